"""Compares balances with the books while invoices are open, and finds what no list told.

A node can leave a transfer out of every list, and where it is the only one, both passes of the
watcher believe it. The balance at the same block tells (specs/chains.md 6.2 item 3, decision 19).
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import structlog

from counterfoil.chains.port import Block, Chain, ChainUnreachable
from counterfoil.core.assets import CHAINS
from counterfoil.desk import comparing, watching
from counterfoil.desk.comparing import Compared, Unexplained
from counterfoil.desk.desk import Desk
from counterfoil.desk.watching import Lease, Mark, Position, Recorded, Sighting
from counterfoil.workers import witness
from counterfoil.workers.reading import dated

AT_ONCE: Final = 100
EVERY_SECONDS: Final = 10
BEHIND_SECONDS: Final = 60
"""How often while blocks are missed, as whoever paid in these waits for them to be read."""

ONE_ROUND: Final = 20_000
ROUND_SECONDS: Final = 120
"""Looking for open invoices among very many takes a while, so it is not done more often."""

BLOCKS_AT_ONCE: Final = 5
"""How many blocks with something missing are read again for one address in one go."""

_COIN: Final = ""
"""The contract that stands for a chain's native coin."""

_Place = tuple[str, str]
"""An address and a token's contract."""

_NO_NEWS: Final[Mapping[_Place, int]] = {}


class BalanceCheck:
    """Compares one chain's open addresses in turns, a bounded number at a time.

    A hundred every ten seconds: each of three thousand open invoices within five minutes.
    """

    def __init__(self, desk: Desk, chain: Chain, lease: Lease, two_nodes_from_dollars: int) -> None:
        """Look at ``chain`` on behalf of the watcher that holds ``lease``."""
        self._desk = desk
        self._chain = chain
        self._lease = lease
        self._two_nodes_from_dollars = two_nodes_from_dollars
        known = CHAINS[chain.key]
        self._contracts = [asset.contract for asset in (*known.accepted, *known.known_other)]
        self._waiting: deque[Compared] = deque()
        self.state_kept: bool | None = None
        """Whether a node told balances when last asked for old ones; None before that."""
        # A watcher that begins has missed blocks: these come first.
        self._round_at = self._last_at = desk.clock.now()
        self._log = structlog.get_logger(worker="watch", chain=chain.key)

    async def before_deadlines(
        self, head: Mark, end: Block, tip: Block, found: Collection[Sighting]
    ) -> None:
        """Look at invoices whose time to pay ends in the blocks above ``head`` up to ``end``.

        Called before the head moves there, so that nothing expires whose address holds more than
        is on record, or is about to be: ``found`` is what was just read. Raises
        `ChainUnreachable` where no endpoint tells balances.
        """
        due = await comparing.due_addresses(self._desk, self._chain.key, after=head.at, upto=end.at)
        if not due:
            return
        over = await self._over(due, tip, await self._news(due, head, found))
        if over is None:
            msg = f"{self._chain.key}: no endpoint tells what invoices that are due hold"
            raise ChainUnreachable(msg)
        await self._keep(tip.number, (), over)

    async def coin_before_deadlines(
        self, head: Mark, end: Block, tip: Block, found: Collection[Sighting]
    ) -> None:
        """Look at native coin the same way, where no node tells what was at the end of a range.

        What is there now is always told. Raises `ChainUnreachable` where it is not.
        """
        due = await comparing.due_addresses(
            self._desk, self._chain.key, after=head.at, upto=end.at, contract=_COIN
        )
        news = await self._news(due, head, found)
        await self._keep(tip.number, (), await self._coin_over(due, tip, news))

    async def _news(
        self, due: Sequence[Compared], head: Mark, found: Collection[Sighting]
    ) -> dict[_Place, int]:
        """How much is found above the head at these addresses that is not on record yet.

        A scan that broke may have written some of it before the head moved.
        """
        if not due:
            return {}
        ours = {one.address for one in due}
        new = [one for one in found if one.block_number > head.number and one.to_address in ours]
        hashes = {one.tx_hash for one in new}
        known = (
            await comparing.on_record(self._desk, self._chain.key, due, hashes) if hashes else set()
        )
        return _units(one for one in new if one.key not in known)

    async def rotate(self, at: Position, *, behind: bool) -> Recorded:
        """Compare the next addresses after the last block that is wholly in the books.

        What is missing is read again and recorded; what stays missing is kept for people to see.
        It is done less often while the watcher is ``behind`` its chain.
        """
        now = self._desk.clock.now()
        pause = timedelta(seconds=BEHIND_SECONDS if behind else EVERY_SECONDS)
        if now < self._last_at + pause:
            return Recorded()
        self._last_at, final = now, at.final
        if not self._waiting and now >= self._round_at:
            self._round_at = now + timedelta(seconds=ROUND_SECONDS)
            self._waiting.extend(
                await comparing.open_addresses(self._desk, self._chain.key, ONE_ROUND)
            )
        some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        every = await comparing.every(self._desk, self._chain.key)
        await self._look_at_coin([one for one in every if one.contract == _COIN])
        suspects = [one for one in every if one.contract != _COIN]
        known = {one.address for one in suspects} - {one.address for one in some}
        # What held more when it was last looked at is looked at every time.
        some += await comparing.addresses(self._desk, self._chain.key, known)
        if not some:
            return Recorded()
        over = await self._over(some, final)
        self.state_kept = over is not None
        if over is None:
            self._log.warning("no_node_tells_balances", block=final.number)
            return Recorded()
        transfers = 0
        by_address = {one.address: one for one in some}
        for one in over:
            transfers += await self._read_again(by_address[one.address], one.contract, final)
        still: list[Unexplained] | None = over
        if transfers:
            still = await self._over([by_address[one.address] for one in over], final)
        if still is None:
            still = over
        await self._keep(final.number, suspects, still)
        return Recorded(transfers=transfers, invoices=len(over) - len(still))

    async def _look_at_coin(self, suspects: Sequence[Unexplained]) -> None:
        """Look again at coin that is not on record, by what is there now: that is always told."""
        newest = await self._chain.block("latest") if suspects else None
        if newest is None:
            return
        addresses = {one.address for one in suspects}
        some = await comparing.addresses(self._desk, self._chain.key, addresses)
        await self._keep(newest.number, suspects, await self._coin_over(some, newest))

    async def _coin_over(
        self, compared: Sequence[Compared], newest: Block, news: Mapping[_Place, int] = _NO_NEWS
    ) -> list[Unexplained]:
        """Where there is more native coin now than is on record."""
        if not compared:
            return []
        addresses = [one.address for one in compared]
        held = await self._chain.native_balances(addresses, newest.hash)
        return await self._beyond([(_COIN, one) for one in compared], held, newest.number, news)

    async def _over(
        self,
        compared: Sequence[Compared],
        block: Block | Mark,
        news: Mapping[_Place, int] = _NO_NEWS,
    ) -> list[Unexplained] | None:
        """Where there is more than is on record; None where no endpoint tells balances.

        By the block's own hash: a node on another branch tells of other payments.
        """
        asked = [(contract, one) for one in compared for contract in self._contracts]
        held = await self._chain.kept_balances(
            [(contract, one.address) for contract, one in asked], block.hash
        )
        return None if held is None else await self._beyond(asked, held, block.number, news)

    async def _beyond(
        self,
        asked: Sequence[tuple[str, Compared]],
        held: Sequence[int],
        block_number: int,
        news: Mapping[_Place, int],
    ) -> list[Unexplained]:
        """Where an address that was asked about holds more of a token than is on record.

        ``news`` is what is about to be, by address and token.
        """
        compared = list(dict.fromkeys(one for _, one in asked))
        contracts = list(dict.fromkeys(contract for contract, _ in asked))
        known = await comparing.known_at(
            self._desk, self._chain.key, compared, contracts, block_number
        )
        for place in known:
            known[place] += news.get(place, 0)
        now = self._desk.clock.now()
        return [
            Unexplained(
                chain=self._chain.key,
                address=one.address,
                contract=contract,
                org_id=one.org_id,
                invoice_id=one.invoice_id,
                known_units=known[one.address, contract],
                chain_units=units,
                block_number=block_number,
                since=now,
            )
            for (contract, one), units in zip(asked, held, strict=True)
            if units > known[one.address, contract]
        ]

    async def _read_again(self, one: Compared, contract: str, final: Mark) -> int:
        """Read the blocks again in which something is missing; answers how much was found."""
        found = 0
        upto = await self._chain.block(final.number)
        if upto is None or upto.hash != final.hash:
            return 0  # another node answers now, which has not this chain
        for _ in range(BLOCKS_AT_ONCE):
            block = await self._first_over(one, contract, upto)
            news = 0 if block is None else await self._record(one, contract, block)
            if not news:
                break
            found += news
        return found

    async def _record(self, one: Compared, contract: str, block: Block) -> int:
        transfers = {
            transfer
            for view in (self._chain, self._chain.second_view)
            for transfer in await view.transfers(
                block.number, block.number, [contract], [one.address], end_hash=block.hash
            )
        }
        agreed = await witness.one_content(self._chain, transfers)
        sightings = await dated(self._chain, sorted(agreed, key=lambda t: t.log_index), block)
        recorded = await watching.record_missed(
            self._desk,
            self._lease,
            block.number,
            sightings,
            await witness.doubted(
                self._desk, self._chain, sightings, [], self._two_nodes_from_dollars
            ),
        )
        if recorded.transfers:
            self._log.error(
                "node_omitted_a_transfer",
                block=block.number,
                address=one.address,
                transfers=recorded.transfers,
            )
        return recorded.transfers

    async def _first_over(self, one: Compared, contract: str, upto: Block) -> Block | None:
        """The block from which on there is more than is on record; None where nobody tells."""
        low, high, step = upto.number - 1, upto, 1
        while low >= 0:
            block, more = await self._is_over(one, contract, low, upto)
            if block is None or more is None:
                return None
            if not more:
                break
            low, high, step = low - 2 * step, block, 2 * step
        low = max(low, -1)
        while high.number - low > 1:
            middle = (low + high.number) // 2
            block, more = await self._is_over(one, contract, middle, upto)
            if block is None or more is None:
                return None
            low, high = (low, block) if more else (middle, high)
        return high

    async def _is_over(
        self, one: Compared, contract: str, number: int, upto: Block
    ) -> tuple[Block | None, bool | None]:
        """A block in the chain of ``upto``, and whether more was there than is on record."""
        block = (await self._chain.headers([number], below=upto))[number]
        over = None if block is None else await self._over([one], block)
        return block, None if over is None else any(found.contract == contract for found in over)

    async def _keep(
        self, block_number: int, suspects: Sequence[Unexplained], over: Sequence[Unexplained]
    ) -> None:
        still = {(one.address, one.contract) for one in over}
        explained = [one for one in suspects if (one.address, one.contract) not in still]
        if explained or over:
            await comparing.keep(self._desk, block_number, explained, over)
        for one in over:
            self._log.error(
                "address_holds_more_than_is_on_record",
                org_id=one.org_id,
                invoice_id=str(one.invoice_id),
                address=one.address,
                contract=one.contract,
                known_units=str(one.known_units),
                chain_units=str(one.chain_units),
                block=one.block_number,
            )


def _units(found: Iterable[Sighting]) -> dict[_Place, int]:
    """How much of each token came to each address.

    Whoever got something may still miss more: only dust, or a token that nobody asked for, may be
    what was found.
    """
    units: dict[_Place, int] = {}
    for one in found:
        place = one.to_address, one.contract
        units[place] = units.get(place, 0) + one.amount_units
    return units
