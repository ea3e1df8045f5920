"""Payments in the chain's own coin, out of blocks and traces: no log tells of them.

A call that moved coin may have been undone by a caller further up, while the transaction as a
whole succeeded; its own frame then shows no error (specs/chains.md 6.4, 6.5).
"""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import msgspec

from counterfoil.chains.evm.addresses import ZERO_ADDRESS
from counterfoil.chains.evm.attesting import read_log
from counterfoil.chains.evm.rpc import Query, Unusable, hash_in, quantity
from counterfoil.chains.evm.transactions import swept_by
from counterfoil.chains.evm.transfers import RawLog
from counterfoil.chains.port import Block, NativeSweep, Transfer
from counterfoil.core.assets import TOP_LEVEL
from counterfoil.core.money import MAX_UNITS

TRACER: Final = {"tracer": "callTracer"}

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_INNER_CALLS: Final = "CALL"
"""What hands coin on. A ``DELEGATECALL`` shows a value that nobody moves, and contracts that end
themselves are left to the balance, as their rules differ between chains."""

_ENDED: Final = "SELFDESTRUCT"

_MOVES_NOTHING: Final = frozenset({"0x69", "0x6a"})
"""Arbitrum's transactions whose value is not their receiver's: a retryable ticket is only
submitted, a block's own start moves nothing (specs/chains.md 6.4)."""


class RawTx(msgspec.Struct, frozen=True):
    """A transaction of a block; no ``to`` where it creates a contract."""

    tx_hash: str = msgspec.field(name="hash")
    sender: str = msgspec.field(name="from")
    value: str
    to: str | None = None
    type: str = "0x0"


class RawBlock(msgspec.Struct, frozen=True):
    """A block with its transactions in full."""

    number: str
    hash: str
    transactions: list[RawTx]


class Frame(msgspec.Struct, frozen=True):
    """One call of a trace, with the calls that it made."""

    type: str
    sender: str = msgspec.field(name="from")
    to: str | None = None
    value: str | None = None
    error: str | None = None
    calls: list["Frame"] = []


class Traced(msgspec.Struct, frozen=True):
    """One transaction of a traced block; old nodes leave its hash out."""

    result: Frame | None = None
    tx_hash: str | None = msgspec.field(default=None, name="txHash")


_TRACES: Final = msgspec.json.Decoder(list[Traced])
_FULL_BLOCK: Final = msgspec.json.Decoder(RawBlock | None)


def read_traces(answer: bytes) -> list[Traced]:
    """Read what ``debug_traceBlockByHash`` says.

    Raises ``ValueError`` for a trace that cannot be read: a stranger can nest calls deeper than we
    follow, and then it explains nothing.
    """
    try:
        return _TRACES.decode(answer)
    except RecursionError as deep:
        msg = "the trace is nested too deeply to be read"
        raise ValueError(msg) from deep


def paid_query(chain: str, block: Block, recipients: Collection[str]) -> Query[list[Transfer]]:
    """Ask what a block's transactions would pay themselves, of a node that has that very block."""

    def read(raw: msgspec.Raw) -> list[Transfer]:
        found: RawBlock | None = _FULL_BLOCK.decode(raw)
        if found is None or found.hash.lower() != block.hash:
            msg = f"the node does not have block {block.hash}"
            raise Unusable(msg)
        return [top_level(chain, block, tx) for tx in paying(found, recipients)]

    return Query("eth_getBlockByHash", (block.hash, True), read)


def paying(block: RawBlock, recipients: Collection[str]) -> list[RawTx]:
    """The transactions that would pay one of ``recipients`` themselves, if they succeeded.

    Raises ``ValueError``, as all here do, for what no chain can hold.
    """
    return [
        tx
        for tx in block.transactions
        if tx.to is not None
        and tx.to.lower() in recipients
        and quantity(tx.value)
        and tx.type not in _MOVES_NOTHING
    ]


def top_level(chain: str, block: Block, tx: RawTx) -> Transfer:
    """What a transaction that succeeded paid to whom it names."""
    return _transfer(chain, block, tx.tx_hash, TOP_LEVEL, (tx.sender, str(tx.to), tx.value))


def internal(
    chain: str,
    block: Block,
    traced: Sequence[Traced],
    recipients: Collection[str],
    *,
    ended: bool = False,
) -> list[Transfer]:
    """What contracts paid to ``recipients`` inside the transactions of a block.

    With ``ended`` what they left to them as they ended, too: it tells where coin came from.
    Each is known by its place among all frames of its transaction, counted as they began.
    """
    kinds = (_INNER_CALLS, _ENDED) if ended else (_INNER_CALLS,)
    return [
        _transfer(
            chain,
            block,
            one.tx_hash,
            TOP_LEVEL - place,
            (frame.sender, str(frame.to), str(frame.value)),
        )
        for one in traced
        if one.result is not None and one.tx_hash is not None
        for place, frame in _standing(one.result)
        if place and frame.type in kinds and _pays(frame, recipients)
    ]


def _standing(root: Frame) -> Iterator[tuple[int, Frame]]:
    """Frames whose effects lasted: none of their callers failed. The root has place 0."""
    # No recursion: a stranger may nest calls a thousand deep.
    waiting, place = [(root, False)], 0
    while waiting:
        frame, undone = waiting.pop()
        undone = undone or frame.error is not None
        if not undone:
            yield place, frame
        place += 1
        waiting += [(call, undone) for call in reversed(frame.calls)]


def _pays(frame: Frame, recipients: Collection[str]) -> bool:
    to, value = frame.to, frame.value
    return to is not None and value is not None and to.lower() in recipients and quantity(value) > 0


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        msg = f"{text[:80]!r} is no address"
        raise ValueError(msg)
    return text.lower()


def _transfer(
    chain: str, block: Block, tx_hash: str, place: int, said: tuple[str, str, str]
) -> Transfer:
    sender, to, value = said
    amount_units = quantity(value)
    if amount_units > MAX_UNITS:
        msg = f"{value} wei are more than there ever were"
        raise ValueError(msg)
    return Transfer(
        chain=chain,
        tx_hash=hash_in(tx_hash),
        log_index=place,
        block_number=block.number,
        block_hash=block.hash,
        contract="",
        from_address=_address(sender),
        to_address=to.lower(),
        amount_units=amount_units,
    )


def sweeps_in(logs: Sequence[RawLog], factories: Sequence[str]) -> list[NativeSweep]:
    """What these factories' own logs say that they swept in native coin."""
    return [
        NativeSweep(
            tx_hash=hash_in(raw.tx_hash or ""),
            log_index=quantity(raw.log_index or ""),
            block_number=quantity(raw.block_number or ""),
            address=item.account,
            amount_units=item.amount_units,
        )
        for raw in logs
        for item in swept_by((read_log(raw),), factories)
        if item.ok and item.token == ZERO_ADDRESS and item.amount_units
    ]
