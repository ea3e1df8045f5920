"""Watches one chain: a provisional pass at its head, an authoritative one behind finality.

Polling is the truth. Cursors never jump: after an outage of any length the same loop reads every
block since, in chunks. What a node says is believed only as far as hashes carry it: a range counts
when the block that ends it had the same hash before and after the logs were read, and a cursor
goes back only where `branch` proves that it must (specs/chains.md 6.2, 6.3).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Final

import structlog

from counterfoil.chains.port import Block, Chain, ChainMoved, RangeTooWide
from counterfoil.core.values import replace
from counterfoil.desk import doubting, watching
from counterfoil.desk.desk import Desk
from counterfoil.desk.foreseeing import NO_LOOKS
from counterfoil.desk.watching import (
    Lease,
    LeaseLost,
    Mark,
    Position,
    Relay,
    Sighting,
    Told,
    TransferRow,
)
from counterfoil.workers import witness
from counterfoil.workers.branch import Branch, FinalityBroken, is_there
from counterfoil.workers.comparing import BalanceCheck
from counterfoil.workers.foresee import Foreseer
from counterfoil.workers.going_on import GoingOn
from counterfoil.workers.native import AT_ONCE as COINS_AT_ONCE
from counterfoil.workers.native import NativeFound, NativeRange, NativeScan, SlowTurn, Turn
from counterfoil.workers.reading import RangeReader, Read, Width, anchor_of, dated
from counterfoil.workers.runner import RightOfWay, quietly
from counterfoil.workers.watched import LISTED_AT_MOST, WatchedAddresses
from counterfoil.workers.witness import TWO_NODES_FROM_DOLLARS

__all__ = ["ChainWatcher", "WatchLimits", "WatchedAddresses"]

NO_OLD_STATE: Final = (
    "no node that answers keeps what was true at final blocks: ether that contracts paid is not"
    " confirmed, and balances are not compared; bring back what is away, or add a node that keeps"
    " an hour of old state"
)

NOT_AGREED: Final = "nodes do not agree on the chain, so nothing becomes final; see which is wrong"

NOT_AGREED_AFTER: Final = timedelta(minutes=1)
"""Nodes differ for a moment whenever a block is replaced."""

HURRY: Final = timedelta(seconds=2)
"""How long after a payment was seen its chain is looked at more often, until it is safe."""


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """How a chain is watched.

    ``start_block`` is where a chain that was never watched begins, None at its finalized block.
    ``widest_range`` is how many blocks one query spans at most: few enough that a busy
    chain's logs fit into one answer, and that one range is fetched while another is recorded.
    After an outage so many ``ranges_at_once`` follow each other before tips are looked at again.
    A watcher that says nothing for ``lease_seconds`` is replaced by another. Payments of
    ``two_nodes_from_dollars`` or more need two nodes that agree; what they do not agree on is
    asked again every ``recheck_seconds``. Balances of ``coins_at_once`` addresses are looked at for
    native coin in one range.
    """

    start_block: int | None = None
    widest_range: int = 200
    ranges_at_once: int = 4
    lease_seconds: float = 15
    listed_at_most: int = LISTED_AT_MOST
    two_nodes_from_dollars: int = TWO_NODES_FROM_DOLLARS
    recheck_seconds: float = 10
    coins_at_once: int = COINS_AT_ONCE


class ChainWatcher:
    """Watches one chain, as long as it holds the chain's lease. Any number may try."""

    def __init__(  # noqa: PLR0913 - what a process hands to this worker
        self,
        desk: Desk,
        chain: Chain,
        watched: WatchedAddresses,
        limits: WatchLimits | None = None,
        *,
        recorded: Callable[[], None] = quietly,
        way: RightOfWay | None = None,
        foreseer: Foreseer | None = None,
    ) -> None:
        """Watch ``chain``, which must be in the registry, for the registry's tokens.

        ``recorded`` is called when transfers have been written down. ``way`` is given to whoever
        works on from there, before more is written of what can wait. ``foreseer`` looks at what
        is merely seen.
        """
        self._desk = desk
        self._chain = chain
        self._watched = watched
        self._limits = limits or WatchLimits()
        self._recorded = recorded
        self._way = way or RightOfWay()
        self._foreseer = foreseer
        self._seen = Relay(written=self._expected)
        self._settled = Relay(NO_LOOKS if foreseer is None else foreseer.looks, self._told)
        self._lease = Lease(chain.key, desk.ids.new())
        self._width = Width(self._limits.widest_range)
        listed = self._limits.listed_at_most
        self._head_pass = RangeReader(chain, chain, watched, self._width, listed)
        self._final_pass = RangeReader(chain, chain.second_view, watched, self._width, listed)
        self._head_turn = Turn(desk, self._limits.coins_at_once)
        self._final_turn = Turn(desk, self._limits.coins_at_once)
        self._slow_turn = SlowTurn(desk, self._limits.coins_at_once)
        self._coin_kept: bool | None = None
        self._paid_from = self._paid_upto = 0
        """The blocks in which payments were seen last; they wait until these are safe."""
        self._paid_at = self._settled_at = desk.clock.now()
        self._safe_upto = 0
        self._recheck_at = desk.clock.now()
        self._moved_since: datetime | None = None
        """Since when no step came to its end, as nodes show different blocks."""
        self._going_on = GoingOn(chain, desk.clock)
        self._branch = Branch(desk, chain)
        self._balances = BalanceCheck(desk, chain, self._lease, self._limits.two_nodes_from_dollars)
        self._log = structlog.get_logger(worker="watch", chain=chain.key)

    async def step(self) -> bool:
        """Go as far as one query of each pass leads; True when there is more to read at once.

        Raises `counterfoil.chains.port.ChainUnreachable`, `FinalityBroken`, and whatever
        recording raises; nothing is lost by any of it.
        """
        try:
            at = await watching.take(self._desk, self._lease, self._limits.lease_seconds)
            return at is not None and await self._go_on(at)
        except watching.NeverWatched:
            return await self._begin()
        except RangeTooWide as refusal:
            return self._narrow(refusal)
        except ChainMoved as moved:
            await self._note_moved(moved)
        except LeaseLost:
            self._log.warning("lease_lost")
        return False

    def is_awaited(self) -> bool:
        """Whether payments were seen just now that are not safe yet.

        On a chain that calls blocks safe within seconds they will be in a moment; on one that
        takes minutes there is no hurry.
        """
        waited = self._desk.clock.now() - self._paid_at
        return self._safe_upto < self._paid_upto and waited < HURRY

    async def stop(self) -> None:
        """Let another watcher go on at once."""
        await watching.give_back(self._desk, self._lease)

    async def _begin(self) -> bool:
        start = self._limits.start_block
        block = await self._chain.block("finalized" if start is None else start)
        if block is None:
            self._log.warning("no_block_to_start_from", start_block=start)
            return False
        begun = await watching.start(self._desk, self._chain.key, _mark(block))
        if begun:
            self._log.warning(
                "watching_begins_here",
                block=block.number,
                note="payments in this block or before it are not looked for",
            )
        return begun

    async def _go_on(self, at: Position) -> bool:
        """Advance, unless the chain stands still; and ask again about what is doubted."""
        try:
            if at.halted:
                self._branch.must_stand(at, await self._chain.block(at.final.number))
                await doubting.resume(self._desk, self._chain.key)
                self._log.warning("chain_goes_on", final=at.final.number)
            behind = await self._advance(at)
        except FinalityBroken as broken:
            await doubting.halt(self._desk, self._chain.key, str(broken))
            raise
        await self._recheck(at)
        self._report("missed", at.final.number, await self._balances.rotate(at, behind=behind))
        self._moved_since = None
        await self._note_lacking(at)
        return behind

    async def _note_moved(self, moved: ChainMoved) -> None:
        """Tell operators once it is no reorg any more: what nodes dispute nobody can decide."""
        now = self._desk.clock.now()
        self._moved_since = self._moved_since or now
        if now - self._moved_since < NOT_AGREED_AFTER:
            self._log.info("chain_moved_while_reading", detail=str(moved))
            return
        self._log.error("nodes_do_not_agree_on_the_chain", detail=str(moved))
        await doubting.lack(self._desk, self._chain.key, f"{NOT_AGREED}; {moved}")

    async def _note_lacking(self, at: Position) -> None:
        """Keep for operators whether nodes tell what was at blocks as old as the final one."""
        kept = {self._coin_kept, self._balances.state_kept}
        unasked = kept == {None} and at.lacking == NO_OLD_STATE
        lacking = NO_OLD_STATE if unasked or False in kept else None
        if lacking != at.lacking:
            await doubting.lack(self._desk, self._chain.key, lacking)

    async def _advance(self, at: Position) -> bool:
        tip, safe, final = await asyncio.gather(
            self._chain.block("latest"), self._chain.block("safe"), self._chain.block("finalized")
        )
        await self._going_on.look(tip, at.head.number)
        if safe is not None and at.safe_number < min(safe.number, self._paid_upto):
            # Somebody waits for these; what else is new can wait for them.
            await self._deepen(at, safe)
        if _news(tip, at.head) or (final is not None and final.number > at.final.number):
            # After what is read up to is known: an address given out before its block was mined
            # is in here.
            await self._watched.refresh()
        if final is not None and final.number > at.head.number:
            return await self._catch_up(at, final, tip or final)
        head = None if tip is None else await self._follow(at, tip)
        behind = tip is not None and head is not None and head.number < tip.number
        if final is not None and final.number > at.final.number and not self._may_settle_later():
            settled = await self._settle(at, final, tip or final)
            behind |= settled is not None and settled.number < final.number
        if safe is not None and (head is not None or safe.number > at.safe_number):
            if self.is_awaited() and safe.number < self._paid_from:
                return behind  # nothing more can be safe, and any moment it may be
            await self._deepen(at, safe)
        return behind

    def _may_settle_later(self) -> bool:
        """Whether somebody waits for a payment to become safe: the chain may say so any moment."""
        since = self._desk.clock.now() - self._settled_at
        return self.is_awaited() and since < HURRY

    async def _follow(self, at: Position, tip: Block) -> Block | None:
        """The head pass; answers the new head, None where nothing was recorded.

        A tip below the head is a node that lags, or a reorg that has yet to outgrow it: both
        are waited for.
        """
        if tip.number < at.head.number or tip.hash == at.head.hash:
            return None
        after = await self._branch.ancestor(at, tip)
        if after is None or after.number >= tip.number:
            return None  # a node lags, or one shows another head where the next stands by ours
        read = await self._head_pass.next(after, tip)
        if read is None:
            return None
        end = read.end
        async with self._head_pass.fetching_ahead(end, tip):
            sightings, native = await self._with_native(self._chain, read, at, tip)
            await self._before_deadlines(at, end, tip, (sightings, native))
            recorded = await watching.record_seen(
                self._desk, self._lease, after.number, _mark(end), sightings, relay=self._seen
            )
        self._report("seen", end.number, recorded)
        if recorded.transfers:
            paid_in = [seen.block_number for seen in sightings] or [end.number]
            self._paid_from, self._paid_upto = min(paid_in), max(paid_in)
            self._paid_at = self._desk.clock.now()
        return end

    async def _catch_up(self, at: Position, final: Block, tip: Block) -> bool:
        """After an outage most of what was missed is final: read it once, and for good.

        It stops in time for the lease to be kept, where nodes are slow.
        """
        more, clock = False, self._desk.clock
        until = clock.now() + timedelta(seconds=self._limits.lease_seconds / 4)
        for _ in range(self._limits.ranges_at_once):
            end = await self._settle(at, final, tip)
            if end is None:
                break
            more, mark = True, _mark(end)
            if end.number >= final.number or clock.now() >= until:
                break
            at = replace(at, final=mark, head=max(mark, at.head, key=attrgetter("number")))
        return more

    async def _settle(self, at: Position, final: Block, tip: Block) -> Block | None:
        """The final pass over one range; answers the block that ended it, None while it waits."""
        last = await self._chain.block(at.final.number)
        if last is None:
            return None
        self._branch.must_stand(at, last)
        read = await self._final_pass.next(anchor_of(at.final), final)
        if read is None:
            return None
        await self._way.give()  # nobody waits for it to be final as they do for what is new
        async with self._final_pass.fetching_ahead(read.end, final):
            recorded = await self._record_final(at, read, tip)
        self._settled_at = self._desk.clock.now()
        self._report("final", read.end.number, recorded)
        return read.end

    async def _record_final(self, at: Position, read: Read, tip: Block) -> watching.Recorded:
        after, end = read.after.number, read.end
        sightings, native = await self._with_native(
            self._chain.second_view, read, at, tip, settles=True
        )
        self._coin_kept = native.state_kept
        if end.number > at.head.number:
            await self._before_deadlines(at, end, tip, (sightings, native))
        unsettled = await watching.unsettled(self._desk, self._chain.key, after, end.number)
        story = await witness.one_story(self._desk, self._chain, sightings, unsettled)
        untold = _untold(unsettled, read) if native.state_kept is False else {}
        vouched = [*story.kept, *await self._vouched(unsettled, sightings, native)]
        vouched += [row for row in unsettled if row.key in untold and row not in vouched]
        sightings = story.sightings
        return await watching.record_final(
            self._desk,
            self._lease,
            after,
            _mark(end),
            sightings,
            vouched=[row.key for row in vouched],
            outflows=native.outflows,
            tells_coin=native.state_kept is True,
            doubted=await witness.doubted(
                self._desk, self._chain, sightings, vouched, self._limits.two_nodes_from_dollars
            )
            | story.reasons
            | untold,
            relay=self._settled,
        )

    async def _deepen(self, at: Position, safe: Block) -> None:
        """Take transfers as safe whose own blocks are in the chain of the safe block."""
        blocks = await watching.seen_blocks(self._desk, self._chain.key, safe.number)
        numbers = {block.block_number for block in blocks}
        there = await self._chain.headers(numbers, below=safe) if numbers else {}
        canonical = [b.block_hash for b in blocks if is_there(there[b.block_number], b.block_hash)]
        if not canonical and safe.number <= at.safe_number:
            return
        self._safe_upto = safe.number
        recorded = await watching.record_safe(
            self._desk, self._lease, safe.number, canonical, relay=self._settled
        )
        self._report("safe", safe.number, recorded)

    async def _expected(self, told: Sequence[Told]) -> None:
        """Have what is merely seen looked at while more of it is written."""
        if self._foreseer is not None:
            self._foreseer.expect(told)

    async def _told(self, _: Sequence[Told]) -> None:
        """Have what was written worked on before more is begun.

        So the first are told before the last are, while the batch beside it is written.
        """
        self._recorded()
        await self._way.give()

    async def _with_native(
        self, view: Chain, read: Read, at: Position, tip: Block, *, settles: bool = False
    ) -> tuple[list[Sighting], NativeFound]:
        """Every transfer to an address of ours in a range, and what there is of native coin."""
        blocks = NativeRange(
            read.after.number,
            read.end,
            at.final.number,
            self._width.blocks,
            settles,
            at.head.at,
            tip,
        )
        second = None if view is self._chain else self._chain
        turn = self._final_turn if settles else self._head_turn
        slow = None if settles else self._slow_turn
        native = await NativeScan(self._desk, view, turn, second, slow).scan(blocks)
        coin = await dated(self._chain, native.transfers, read.end)
        return [*read.found, *coin], native

    async def _before_deadlines(
        self, at: Position, end: Block, tip: Block, found: tuple[list[Sighting], NativeFound]
    ) -> None:
        sightings, native = found
        await self._balances.before_deadlines(at.head, end, tip, sightings)
        if native.state_kept is False:
            await self._balances.coin_before_deadlines(at.head, end, tip, sightings)

    async def _vouched(
        self, unsettled: Sequence[TransferRow], sightings: Sequence[Sighting], native: NativeFound
    ) -> list[TransferRow]:
        """Transfers on record that the final query left out and whose receipts still show them.

        Nodes have answered with empty lists for blocks that had logs (specs/chains.md 6.1). A
        receipt in the very block that was recorded outweighs such an answer.
        """
        listed = {seen.key for seen in sightings}
        vouched = []
        for row in unsettled:
            if row.key in listed or row.is_unattributed:
                continue
            receipt = await self._chain.receipt(row.tx_hash)
            if receipt is None or not witness.shows(receipt, row):
                continue
            if not await witness.is_final(self._chain, receipt):
                continue  # a node that stayed behind on another branch shows it
            if row.contract or native.state_kept:
                self._log.error("node_omitted_a_transfer", tx_hash=row.tx_hash, index=row.log_index)
            vouched.append(row)
        return vouched

    async def _recheck(self, at: Position) -> None:
        """Ask again about transfers below the final cursor that two nodes did not agree on."""
        now = self._desk.clock.now()
        if now < self._recheck_at:
            return
        self._recheck_at = now + timedelta(seconds=self._limits.recheck_seconds)
        recorded = await witness.ask_again(self._desk, self._chain, self._lease, at.final.number)
        self._report("agreed", at.final.number, recorded)

    def _narrow(self, refusal: RangeTooWide) -> bool:
        self._width.narrow(refusal)
        self._log.info("range_halved", blocks=self._width.blocks)
        return True

    def _report(self, depth: str, upto: int, recorded: watching.Recorded) -> None:
        if recorded.transfers:
            self._recorded()
            self._log.info(
                depth, block=upto, transfers=recorded.transfers, invoices=recorded.invoices
            )
        for untold in recorded.untold:
            self._log.error(
                "invoice_cannot_be_told",
                depth=depth,
                org_id=untold.org_id,
                invoice_id=str(untold.invoice_id),
                exc_info=untold.error,
            )
        for doubt in recorded.doubted:
            self._log.error(
                "nodes_do_not_agree_on_a_payment",
                reason=doubt.reason,
                org_id=doubt.org_id,
                invoice_id=str(doubt.invoice_id),
                tx_hash=doubt.tx_hash,
                log_index=doubt.log_index,
                amount_units=str(doubt.amount_units),
            )
        for kept in recorded.quarantined:
            self._log.error(
                "transfer_belongs_to_no_invoice",
                depth=depth,
                reason=kept.reason,
                org_id=kept.org_id,
                address=kept.address,
                tx_hash=kept.tx_hash,
                log_index=kept.log_index,
                amount_units=str(kept.amount_units),
            )


def _untold(unsettled: Sequence[TransferRow], read: Read) -> dict[tuple[str, int], str]:
    """Coin on record in a range whose balances no node tells, and that nothing else proves."""
    return {
        row.key: NO_OLD_STATE
        for row in unsettled
        if row.is_internal and row.block_number > read.after.number
    }


def _mark(block: Block) -> Mark:
    return Mark(block.number, block.hash, block.at)


def _news(tip: Block | None, head: Mark) -> bool:
    return tip is not None and tip.hash != head.hash
