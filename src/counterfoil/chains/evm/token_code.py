"""What a token runs: its own code, and what it hands its calls on to where that can be exchanged.

USDC's own contracts are proxies of ZeppelinOS, which is older than the standard for such places;
USDT on Arbitrum follows the standard (EIP-1967), and tokens that Arbitrum's bridge made ask a
beacon. Each is looked for at each token: an issuer may change its proxy as well (specs/chains.md
6.5). Tether's ``deprecated`` exists on Ethereum and Tron alone, where no token of ours is.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from counterfoil.chains.evm.abi import WORD, address_in, bytes32, keccak256, selector
from counterfoil.chains.evm.rpc import JsonRpc, Query, RpcError, Unusable, quantity
from counterfoil.chains.port import TokenCode

_NEWEST: Final = "latest"
"""Few nodes keep the state of the last final block, and a wrong alarm costs little."""


def _before(name: str) -> str:
    """The place that EIP-1967 takes for a name, one before its hash."""
    return "0x" + (int.from_bytes(keccak256(name.encode())) - 1).to_bytes(WORD).hex()


IMPLEMENTATION: Final = _before("eip1967.proxy.implementation")
BEACON: Final = _before("eip1967.proxy.beacon")
ZEPPELIN_OS: Final = "0x" + keccak256(b"org.zeppelinos.proxy.implementation").hex()

_PLACES: Final = (IMPLEMENTATION, ZEPPELIN_OS, BEACON)
_ASKED: Final = selector("implementation()")


class Newest:
    """Asks endpoints about their newest block, as far as they have reached ``not_before``."""

    def __init__(self, rpc: JsonRpc, not_before: int, *, second: bool) -> None:
        """Ask ``rpc``, the ``second`` view of it or the first."""
        self._rpc = rpc
        self._not_before = not_before
        self._second = second

    async def ask(self, queries: Sequence[Query[bytes]]) -> list[bytes]:
        """The answers of one endpoint, in order; raises as `JsonRpc.ask_all`."""
        if not queries:
            return []
        reached = Query("eth_blockNumber", (), self._reached)
        _, *told = await self._rpc.ask_all([reached, *queries], second_view=self._second)
        return told

    def _reached(self, raw: msgspec.Raw) -> bytes:
        number = quantity(msgspec.json.decode(raw, type=str))
        if number < self._not_before:
            msg = f"the node is at block {number}, and {self._not_before} is final"
            raise Unusable(msg)
        return b""


async def token_codes(newest: Newest, contracts: Sequence[str]) -> list[TokenCode]:
    """What these contracts run, in the order asked; see `counterfoil.chains.port.Chain`."""
    queries: list[Query[bytes]] = []
    for contract in contracts:
        queries.append(_code(contract))
        queries += [_stored(contract, place) for place in _PLACES]
    told = await newest.ask(queries)
    found = []
    for number, contract in enumerate(contracts):
        own, direct, older, beacon = told[number * 4 : number * 4 + 4]
        behind = [address_in(word) for word in (direct, older, beacon) if any(word)]
        if any(beacon):
            behind += await _asked(newest, address_in(beacon))
        codes = await newest.ask([_code(one) for one in behind])
        parts = [own, *(bytes32("0x" + "00" * 12 + one[2:]) for one in behind), *codes]
        fingerprint = keccak256(b"".join(keccak256(part) for part in parts))
        found.append(TokenCode(contract, "0x" + fingerprint.hex(), tuple(behind), bool(own)))
    return found


async def _asked(newest: Newest, beacon: str) -> list[str]:
    """What a beacon names, which it may not at all."""
    call = {"to": beacon, "data": "0x" + _ASKED.hex()}
    try:
        (answer,) = await newest.ask([Query("eth_call", (call, _NEWEST), _read_bytes)])
    except RpcError:
        return []
    return [address_in(answer)] if len(answer) == WORD else []


def _code(address: str) -> Query[bytes]:
    return Query("eth_getCode", (address, _NEWEST), _read_bytes)


def _stored(address: str, place: str) -> Query[bytes]:
    return Query("eth_getStorageAt", (address, place, _NEWEST), _read_word)


def _read_bytes(raw: msgspec.Raw) -> bytes:
    return bytes.fromhex(msgspec.json.decode(raw, type=str).removeprefix("0x"))


def _read_word(raw: msgspec.Raw) -> bytes:
    """32 bytes; some nodes leave out the zeros in front."""
    told = msgspec.json.decode(raw, type=str).removeprefix("0x")
    return int(told or "0", 16).to_bytes(WORD)
