"""Stand-ins for USDT and USDC at their real addresses, on a local node.

The registry of core/assets.py thus holds in the sandbox and in tests unchanged
(specs/chains.md 1.2).
"""

from functools import cache
from importlib.resources import files
from typing import Final

from counterfoil.chains.evm.abi import WORD, address_word, keccak256, word
from counterfoil.chains.evm.contracts import Artifact, parse_artifact
from counterfoil.core.assets import Chain
from counterfoil.core.money import Asset
from counterfoil.sandbox.anvil import AnvilNode

TOKEN_OWNER: Final = "0x00000000000000000000000000000000000155e7"  # noqa: S105 - an address
"""Who may mint, freeze and pause; no key exists, the node impersonates it."""

_NAMES: Final = {"USDC": "USD Coin", "USDT": "Tether USD"}


@cache
def artifact(name: str) -> Artifact:
    """Return a compiled contract of ``contracts/sandbox``."""
    path = files("counterfoil.sandbox") / "contracts" / f"{name}.json"
    return parse_artifact(path.read_bytes())


async def install_tokens(node: AnvilNode, chain: Chain) -> None:
    """Put every token of the registry in place, accepted or merely known; safe to repeat."""
    for token in (*chain.accepted, *chain.known_other):
        await _install(node, token)
    await node.impersonate(TOKEN_OWNER)
    await node.set_balance(TOKEN_OWNER, 10**24)


async def mint(node: AnvilNode, token: Asset, to: str, units: int) -> None:
    """Give ``to`` more base units of a token at once, with no Transfer log.

    The gift enters the chain with the next block, and a reorg of that block takes it back.
    """
    slots = _contract(token).slots
    balance = _entry(slots["balanceOf"], to)
    supply = slots["totalSupply"]
    for slot in (balance, supply):
        more = await node.storage(token.contract, slot) + units
        await node.set_storage(token.contract, slot, word(more))


def _contract(token: Asset) -> Artifact:
    return artifact("UsdtLike" if token.symbol.startswith("USDT") else "UsdcLike")


async def _install(node: AnvilNode, token: Asset) -> None:
    contract = _contract(token)
    await node.set_code(token.contract, contract.runtime)
    await node.set_storage(token.contract, contract.slots["owner"], address_word(TOKEN_OWNER))
    await _write_text(node, token, contract.slots["name"], _NAMES.get(token.symbol, token.symbol))
    await _write_text(node, token, contract.slots["symbol"], token.symbol)


async def _write_text(node: AnvilNode, token: Asset, slot: int, text: str) -> None:
    # Vyper keeps a String as its length, followed by its bytes.
    data = text.encode()
    await node.set_storage(token.contract, slot, word(len(data)))
    await node.set_storage(token.contract, slot + 1, data.ljust(WORD, b"\0"))


def _entry(slot: int, key: str) -> int:
    """Return where Vyper keeps a mapping's entry: the hash of slot and key, in that order."""
    return int.from_bytes(keccak256(word(slot) + address_word(key)))
