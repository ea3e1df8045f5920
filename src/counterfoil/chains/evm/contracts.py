"""The compiled contracts that the package carries (sources and compiler: ``contracts/``)."""

from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

DETERMINISTIC_DEPLOYER: Final = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
"""The CREATE2 deployer that stands at the same address on every EVM chain: call data is a
32-byte salt and init code (https://github.com/Arachnid/deterministic-deployment-proxy)."""


class Artifact(msgspec.Struct, frozen=True):
    """One compiled contract: hex init code for deploying, hex runtime code, storage slots."""

    contract: str
    initcode: str
    runtime: str
    slots: dict[str, int]


def parse_artifact(text: bytes) -> Artifact:
    """Read the JSON that ``contracts/compile.py`` wrote."""
    return msgspec.json.decode(text, type=Artifact)


@cache
def deposit_initcode() -> bytes:
    """The deposit logic's init code, without its arguments."""
    return _initcode("Deposit")


@cache
def factory_initcode() -> bytes:
    """The factory's init code, without its arguments."""
    return _initcode("Factory")


def _initcode(name: str) -> bytes:
    artifact = files("counterfoil.chains.evm") / "artifacts" / f"{name}.json"
    return bytes.fromhex(parse_artifact(artifact.read_bytes()).initcode[2:])
