"""While one range is recorded the next is fetched; nothing is lost or made up by it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from counterfoil.chains.port import ChainUnreachable, Recipients, Transfer
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database
from counterfoil.workers.watch import WatchLimits
from support.fake_clock import FakeClock
from support.invoices import DUE, USDT
from support.shop import desk_on
from support.tower import CountingChain, Tower

NARROW = WatchLimits(widest_range=10, ranges_at_once=1)


class Flaky(CountingChain):
    """Has no answer for ranges that begin at some blocks, and takes its time for all others."""

    silent_from: frozenset[int] = frozenset()
    slowness = timedelta(0)

    async def transfers(
        self,
        from_block: int,
        to_block: int,
        contracts: Sequence[str] | None,
        recipients: Recipients,
        **hashes: str | None,
    ) -> list[Transfer]:
        if from_block in self.silent_from:
            msg = "no endpoint answers"
            raise ChainUnreachable(msg)
        assert isinstance(self.clock, FakeClock)
        self.clock.advance(self.slowness)
        return await super().transfers(from_block, to_block, contracts, recipients, **hashes)


class Reader(Tower):
    """A tower that reads ten blocks at once."""

    chain: Flaky

    async def reads(self) -> tuple[int, int]:
        """Let the watcher take one step; answers how far head and final pass are."""
        await self.watcher.step()
        at = await self.position()
        return at.head_number, at.final_number

    async def opens(self) -> "Reader":
        await self.shop.open()
        self.watcher = self.another(NARROW)
        await self.watch()
        return self


@pytest.fixture
async def reader(database: Database) -> Reader:
    clock = FakeClock()
    return await Reader(desk_on(database, clock), clock, Flaky(clock)).opens()


@pytest.fixture
async def slow(database: Database) -> Reader:
    """On a chain where nothing becomes final for long, so that the head pass reads all of it."""
    clock = FakeClock()
    return await Reader(desk_on(database, clock), clock, Flaky(clock, final_lag=1_000)).opens()


async def test_every_range_is_fetched_once_and_one_ahead(reader: Reader) -> None:
    bill = await reader.shop.bill()
    reader.mine(14)
    reader.chain.pay(USDT.contract, bill.deposit_address, DUE)
    reader.mine(30)

    assert await reader.reads() == (10, 10)
    assert reader.chain.asked["transfers"] == 2, "this range and the next, no more"
    assert await reader.shop.transfers(bill) == [], "fetched is not recorded"
    assert await reader.reads() == (20, 20)
    assert await reader.shop.deposited(bill) == DUE
    assert reader.chain.asked["transfers"] == 3


async def test_several_ranges_are_read_in_a_row_and_each_stays_read(reader: Reader) -> None:
    early, late = await reader.shop.bill(), await reader.shop.bill()
    reader.mine(14)
    reader.chain.pay(USDT.contract, early.deposit_address, DUE)
    reader.mine(20)
    reader.chain.pay(USDT.contract, late.deposit_address, DUE)
    reader.mine(40)
    reader.chain.silent_from = frozenset({31})
    reader.watcher = reader.another(replace(NARROW, ranges_at_once=4))

    reader.clock.advance(timedelta(minutes=1))
    reader.chain.asked.clear()
    with pytest.raises(ChainUnreachable):
        await reader.watcher.step()
    assert (await reader.position()).final_number == 30, "what stands before the trouble is read"
    assert reader.chain.asked["transfers"] == 3
    assert await reader.shop.deposited(early) == DUE
    assert await reader.shop.transfers(late) == []

    reader.chain.silent_from = frozenset()
    assert await reader.reads() == (70, 70)
    assert await reader.shop.deposited(late) == DUE


async def test_a_slow_node_s_ranges_are_not_read_in_a_row_until_another_takes_over(
    reader: Reader,
) -> None:
    reader.mine(90)
    reader.chain.slowness = timedelta(seconds=4)
    await reader.watcher.stop()
    reader.watcher = reader.another(replace(NARROW, ranges_at_once=4))
    assert await reader.reads() == (10, 10), "then the lease is renewed"

    reader.chain.slowness = timedelta(0)
    assert await reader.reads() == (50, 50)


async def test_what_was_fetched_ahead_is_forgotten_where_a_reorg_replaced_it(slow: Reader) -> None:
    stays, moves, goes = [await slow.shop.bill() for _ in range(3)]
    slow.mine(4)
    slow.chain.pay(USDT.contract, stays.deposit_address, DUE)
    slow.mine(11)
    again = slow.chain.pay(USDT.contract, moves.deposit_address, DUE)
    slow.chain.pay(USDT.contract, goes.deposit_address, DUE)
    slow.mine(15)

    assert await slow.reads() == (10, 0)
    slow.chain.reorg(18, forget=True)
    slow.mine(2)
    slow.chain.pool.append(again)
    slow.mine(5)
    await slow.watch()

    assert [row.depth for row in await slow.shop.transfers(stays)] == [Depth.SAFE]
    (moved,) = await slow.shop.transfers(moves)
    assert moved.block_hash == (await slow.chain.block(moved.block_number)).hash  # type: ignore[union-attr]  # it was mined
    assert await slow.shop.transfers(goes) == []


async def test_trouble_with_what_is_ahead_does_not_hold_up_what_is_here(reader: Reader) -> None:
    bill, later = await reader.shop.bill(), await reader.shop.bill()
    reader.chain.pay(USDT.contract, bill.deposit_address, DUE)
    reader.mine(14)
    reader.chain.pay(USDT.contract, later.deposit_address, DUE)
    reader.mine(10)
    reader.chain.silent_from = frozenset({11})

    assert await reader.reads() == (10, 10)
    assert await reader.shop.deposited(bill) == DUE
    with pytest.raises(ChainUnreachable):
        await reader.watcher.step()
    assert (await reader.position()).final_number == 10, "cursors never jump"

    reader.chain.silent_from = frozenset()
    await reader.watch()
    assert await reader.shop.deposited(later) == DUE


async def test_a_watcher_that_comes_back_does_not_go_on_where_it_was(reader: Reader) -> None:
    bill = await reader.shop.bill()
    reader.mine(14)
    reader.chain.pay(USDT.contract, bill.deposit_address, DUE)
    reader.mine(40)
    assert await reader.reads() == (10, 10)

    reader.clock.advance(timedelta(minutes=1))
    other = reader.another(NARROW)
    for _ in range(2):
        await other.step()
    assert await reader.reads() == (30, 30), "the other has the lease"
    await other.stop()

    assert await reader.reads() == (40, 40)
    assert await reader.shop.deposited(bill) == DUE
    assert len(await reader.shop.transfers(bill)) == 1


async def test_what_was_fetched_ahead_counts_for_nothing_where_recording_failed(
    reader: Reader,
) -> None:
    bill = await reader.shop.bill()
    reader.chain.pay(USDT.contract, bill.deposit_address, DUE)
    reader.mine(30)
    reader.clock.advance(timedelta(seconds=1))

    async with reader.desk.database.transaction() as tx:
        await tx.execute("ALTER TABLE transfer ADD CONSTRAINT shut CHECK (depth = 0)")
    with pytest.raises(ExceptionGroup):
        await reader.watcher.step()
    assert (await reader.position()).final_number == 0

    async with reader.desk.database.transaction() as tx:
        await tx.execute("ALTER TABLE transfer DROP CONSTRAINT shut")
    await reader.watch()
    assert await reader.shop.deposited(bill) == DUE
