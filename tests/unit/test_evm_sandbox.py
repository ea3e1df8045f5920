"""Small parts below the EVM layer that need no node."""

from pathlib import Path

import pytest

from counterfoil.chains.evm.rpc import quantity
from counterfoil.sandbox.anvil import BINARY_SETTING, AnvilSettings, SandboxError, find_anvil


@pytest.mark.parametrize(
    ("text", "value"), [("0x0", 0), ("0xA4b1", 42161), ("0x" + "f" * 64, 2**256 - 1)]
)
def test_a_quantity_is_read(text: str, value: int) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize(
    "text", ["", "0x", "10", "0x-1", "0x_1", "0x 1", "0xg", "0x" + "f" * 65, "0x\uff15"]
)
def test_anything_else_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        quantity(text)


def test_a_wrong_path_to_anvil_is_named() -> None:
    with pytest.raises(SandboxError, match="/nowhere/anvil"):
        find_anvil({BINARY_SETTING: "/nowhere/anvil"})
    assert find_anvil({BINARY_SETTING: __file__}) == Path(__file__)


def test_only_a_node_with_a_state_path_is_kept(tmp_path: Path) -> None:
    fleeting = AnvilSettings(10).arguments(8545)
    assert "--state" not in fleeting
    kept = AnvilSettings(10, state_path=tmp_path / "state.json", block_seconds=2).arguments(8545)
    assert kept[kept.index("--state") + 1] == str(tmp_path / "state.json")
    assert kept[kept.index("--block-time") + 1] == "2"
