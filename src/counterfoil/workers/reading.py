"""Reads a chain range by range: what came to addresses of ours, one range ahead of the books.

While one range is written down the next is fetched. What was fetched ahead is only a copy of what
the chain said: the books and their cursors know nothing of it, and it counts only where the block
that ends it still has the same hash when its turn comes (specs/chains.md 6.2). Each range is proven
to follow the one before it by hash, as another node may have told that one's end.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from counterfoil.chains.port import Block, Chain, ChainError, ChainMoved, RangeTooWide, Transfer
from counterfoil.core.assets import CHAINS
from counterfoil.desk.watching import Anchor, Mark, Sighting
from counterfoil.workers.watched import WatchedAddresses


class Width:
    """How many blocks one query spans: halved where nodes refuse, and slowly grown again."""

    def __init__(self, widest: int) -> None:
        """Begin with ``widest``, which is never exceeded."""
        self._widest = widest
        self.blocks = widest

    def narrow(self, refusal: RangeTooWide) -> None:
        """Ask for half as many blocks next time; a single block that is too much is an error."""
        if self.blocks == 1:
            raise refusal
        self.blocks //= 2

    def grow(self) -> None:
        """Slowly: a node with a limit of its own then refuses one question in six, not in two."""
        self.blocks = min(self.blocks + self.blocks // 8 + 1, self._widest)


@dataclass(frozen=True, slots=True)
class Read:
    """Token transfers to addresses of ours in the blocks above ``after`` up to and with ``end``."""

    after: Anchor
    end: Block
    found: tuple[Sighting, ...]


class RangeReader:
    """Reads one pass over a chain, from one range to the next.

    Whoever asks for a range refreshes the watched addresses first, once its target is known.
    """

    def __init__(
        self,
        chain: Chain,
        view: Chain,
        watched: WatchedAddresses,
        width: Width,
        listed_at_most: int,
    ) -> None:
        """List transfers through ``view`` and read headers of ``chain``."""
        known = CHAINS[chain.key]
        self._chain = chain
        self._view = view
        self._watched = watched
        self._width = width
        self._listed_at_most = listed_at_most
        self._contracts = [a.contract for a in (*known.accepted, *known.known_other)]
        self._ahead: Read | None = None

    async def next(self, after: Anchor, target: Block) -> Read | None:
        """The range above ``after`` towards ``target``; None where the node has no end for it.

        Raises `ChainMoved`, `RangeTooWide`, and whatever else the chain does.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.after == after and ahead.end.number <= target.number:
            end = await self._chain.block(ahead.end.number)
            if end == ahead.end:
                return ahead
        end = await self._end(after, target)
        return None if end is None else await self._read(after, end)

    @asynccontextmanager
    async def fetching_ahead(self, end: Block, target: Block) -> AsyncIterator[None]:
        """Fetch what follows ``end`` meanwhile; it is forgotten where the work inside fails."""
        if end.number >= target.number:
            yield
            return
        fetching = asyncio.create_task(self._fetch(anchor_of(end), target))
        try:
            yield
            self._ahead = await fetching
        finally:
            fetching.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([fetching])

    async def _fetch(self, after: Anchor, target: Block) -> Read | None:
        """What follows, or None where it cannot be had now: whose turn it is meets the trouble."""
        try:
            end = await self._end(after, target)
            return None if end is None else await self._read(after, end)
        except ChainError:
            return None

    async def _end(self, after: Anchor, target: Block) -> Block | None:
        """The block that ends the next range towards ``target``."""
        if target.number <= after.number + self._width.blocks:
            return target
        return await self._chain.block(after.number + self._width.blocks)

    async def _read(self, after: Anchor, end: Block) -> Read:
        follows = end.number == after.number + 1 and end.parent_hash == after.hash
        found = await self._view.transfers(
            after.number + 1,
            end.number,
            self._contracts,
            self._watched.recipients(self._listed_at_most),
            end_hash=end.hash,
            after_hash=None if follows else after.hash,
        )
        self._width.grow()
        return Read(after, end, tuple(await dated(self._chain, found, end)))


def anchor_of(block: Block | Mark) -> Anchor:
    """A block as what a range follows."""
    return Anchor(block.number, block.hash)


async def dated(chain: Chain, found: Sequence[Transfer], end: Block) -> list[Sighting]:
    """Put each transfer's block time beside it: its node's, else a header's of that block."""
    undated = {t.block_number for t in found if t.block_at is None} - {end.number}
    below = await chain.headers(undated, below=end) if undated else {}
    known = {**below, end.number: end}
    return [_sighting(t, t.block_at or _at(t, known[t.block_number])) for t in found]


def _at(transfer: Transfer, block: Block | None) -> datetime:
    if block is None or block.hash != transfer.block_hash:
        msg = f"{transfer.chain}: block {transfer.block_number} changed while it was read"
        raise ChainMoved(msg)
    return block.at


def _sighting(transfer: Transfer, block_at: datetime) -> Sighting:
    return Sighting(
        tx_hash=transfer.tx_hash,
        log_index=transfer.log_index,
        block_number=transfer.block_number,
        block_hash=transfer.block_hash,
        block_at=block_at,
        contract=transfer.contract,
        from_address=transfer.from_address,
        to_address=transfer.to_address,
        amount_units=transfer.amount_units,
    )
