"""The watcher over a chain in memory and the real books: what it reads, and what it asks."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from counterfoil.chains.port import RangeTooWide, Recipients, Transfer
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database
from counterfoil.desk import applying
from counterfoil.workers import runner
from counterfoil.workers.comparing import EVERY_SECONDS
from counterfoil.workers.runner import RightOfWay
from counterfoil.workers.watch import ChainWatcher, WatchedAddresses, WatchLimits
from support.fake_chain import FakeChain, Moved
from support.fake_clock import FakeClock
from support.invoices import CUSTOMER, DUE, USDT
from support.patience import PATIENCE_SECONDS, patiently
from support.shop import POOL, Shop, desk_on
from support.tower import CountingChain, Tower

(USDC_E,) = CHAINS["arb"].known_other
FAKE_USDT = "0x" + "fa" * 20


async def test_a_payment_goes_from_seen_to_safe_to_final(tower: Tower) -> None:
    shop, bill = tower.shop, await tower.shop.bill()
    tower.mine(3)
    await tower.watch()
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE, CUSTOMER)

    depths = []
    for _ in range(5):
        tower.mine()
        await tower.watch()
        depths += [transfer.depth for transfer in await shop.transfers(bill)]

    assert depths == [Depth.SEEN, Depth.SEEN, Depth.SAFE, Depth.SAFE, Depth.FINAL]
    assert await shop.deposited(bill) == DUE
    assert (await shop.look(bill)).tally.payers == (CUSTOMER,)


async def test_what_becomes_safe_is_written_one_batch_ahead_of_whoever_works_on_it(
    tower: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "INVOICES_PER_TRANSACTION", 1)
    monkeypatch.setattr(runner, "LONGEST_WAY_SECONDS", PATIENCE_SECONDS)
    shop, bills = tower.shop, [await tower.shop.bill() for _ in range(3)]
    way, at_work = RightOfWay(), asyncio.Event()
    await tower.watcher.stop()
    watcher = tower.another(way=way, recorded=at_work.set)
    await tower.watch(watcher)
    for bill in bills:
        tower.chain.pay(USDT.contract, bill.deposit_address, DUE, CUSTOMER)
    tower.mine()
    await tower.watch(watcher)
    tower.mine(2)
    at_work.clear()

    with way.taken():
        watching_on = asyncio.create_task(tower.watch(watcher))
        async with patiently("two batches to be written"):
            while await judged(shop, bills) < 2:
                await asyncio.sleep(0.01)
            assert at_work.is_set()
            await asyncio.sleep(0.05)
        assert await judged(shop, bills) == 2
    await watching_on

    assert await judged(shop, bills) == 3


async def test_a_payment_is_awaited_until_it_is_safe_or_two_seconds_are_over(
    tower: Tower,
) -> None:
    assert not tower.watcher.is_awaited()
    for waits in (False, True):
        bill = await tower.shop.bill()
        tower.chain.pay(USDT.contract, bill.deposit_address, DUE, CUSTOMER)
        tower.mine()
        await tower.watch()
        assert tower.watcher.is_awaited()
        if waits:
            tower.clock.advance(timedelta(seconds=2))
        else:
            tower.chain.mine(2)
            await tower.watch()
        assert not tower.watcher.is_awaited()


async def judged(shop: Shop, bills: Sequence[Invoice]) -> int:
    return [await shop.status(bill) for bill in bills].count(Status.SCREENING)


async def test_only_registered_tokens_with_a_value_count(tower: Tower) -> None:
    shop, bill = tower.shop, await tower.shop.bill()
    to = bill.deposit_address
    tower.chain.pay(FAKE_USDT, to, DUE)
    tower.chain.pay(USDT.contract, to, 0)
    tower.chain.include(Moved(USDT.contract, CUSTOMER, to, DUE), reverts=True)
    tower.chain.pay("", to, DUE)
    tower.mine(10)
    await tower.watch()
    assert await shop.transfers(bill) == []

    tower.chain.pay(USDC_E.contract, to, DUE)
    tower.mine(10)
    await tower.watch()
    assert [row.contract for row in await shop.transfers(bill)] == [USDC_E.contract]


async def test_two_transfers_in_one_transaction_both_count(tower: Tower) -> None:
    bill = await tower.shop.bill()
    half = Moved(USDT.contract, CUSTOMER, bill.deposit_address, DUE // 2)
    tower.chain.include(half, half)
    tower.mine(10)
    await tower.watch()

    assert await tower.shop.deposited(bill) == DUE
    assert len(await tower.shop.transfers(bill)) == 2


async def test_an_outage_of_hundreds_of_blocks_is_read_without_a_gap(tower: Tower) -> None:
    bills = [await tower.shop.bill() for _ in range(3)]
    for bill, blocks in zip(bills, (1, 260, 239), strict=True):
        tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
        tower.chain.mine(blocks)
    tower.chain.faults.widest_range = 70

    await tower.watch()

    assert {await tower.shop.deposited(bill) for bill in bills} == {DUE}
    at = await tower.position()
    assert (at.head_number, at.final_number) == (500, 496)


async def test_finalized_blocks_missed_in_an_outage_are_read_only_once(database: Database) -> None:
    clock = FakeClock()
    chain = CountingChain(clock)
    tower = Tower(desk_on(database, clock), clock, chain)
    await tower.shop.open()
    await tower.shop.bill()
    await tower.watch()
    chain.mine(1000)

    await tower.watch()

    assert chain.asked["transfers"] == 6


async def test_what_was_read_before_a_crash_is_not_read_again(tower: Tower) -> None:
    tower.chain.mine(500)
    await tower.watcher.stop()
    watcher = tower.another(WatchLimits(ranges_at_once=1))
    for _ in range(2):
        await watcher.step()
    assert (await tower.position()).final_number == 400

    tower.clock.advance(timedelta(minutes=1))
    reborn = tower.another()
    await reborn.step()

    assert (await tower.position()).final_number == 496


async def test_a_single_block_that_is_too_much_is_an_error(tower: Tower) -> None:
    await tower.shop.bill()
    tower.mine(10)
    tower.chain.faults.widest_range = 0
    with pytest.raises(RangeTooWide):
        await tower.watch()

    tower.chain.faults.widest_range = None
    await tower.watch()
    assert (await tower.position()).head_number == 10


async def test_money_for_an_unassigned_address_is_kept_and_logged(tower: Tower) -> None:
    (address,) = await tower.shop.stock(1)
    tower.chain.pay(USDT.contract, address, DUE)
    tower.mine(2)
    with capture_logs() as logs:
        await tower.watch()

    (entry,) = [log for log in logs if log["event"] == "transfer_belongs_to_no_invoice"]
    assert (entry["reason"], entry["address"]) == ("unassigned", address)
    assert (entry["log_level"], entry["amount_units"]) == ("error", str(DUE))


async def test_sweeping_a_deposit_credits_nobody(tower: Tower) -> None:
    bill, other = await tower.shop.bill(), await tower.shop.bill()
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine(2)
    tower.chain.pay(USDT.contract, POOL, DUE, bill.deposit_address)
    tower.chain.pay(USDT.contract, other.deposit_address, 5, bill.deposit_address)
    tower.mine(10)
    await tower.watch()

    assert await tower.shop.deposited(bill) == DUE
    assert await tower.shop.transfers(other) == []


async def test_an_address_given_out_while_its_payment_is_mined_is_watched(tower: Tower) -> None:
    await tower.shop.bill()
    tower.mine(2)
    await tower.watch()
    late = await tower.shop.bill()
    tower.chain.pay(USDT.contract, late.deposit_address, DUE)
    tower.mine()
    await tower.watch()

    assert await tower.shop.status(late) is Status.PAYMENT_DETECTED


async def test_many_addresses_are_found_without_naming_them(tower: Tower) -> None:
    neighbour = await Shop(tower.desk, org_id=2).open()
    bills = [await shop.bill() for shop in (tower.shop, neighbour) for _ in range(2)]
    await tower.shop.stock(50)
    tower.chain = CountingChain(tower.clock)
    tower.chain.mine(9)
    tower.clock.advance(timedelta(minutes=1))
    watcher = tower.another(WatchLimits(listed_at_most=10))
    for bill in bills:
        tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.chain.pay(USDT.contract, CUSTOMER, DUE)
    tower.mine(6)

    await tower.watch(watcher)

    assert {await tower.shop.deposited(bill) for bill in bills} == {DUE}
    assert set(tower.chain.asked) == {"block", "transfers", "everybody's"}


async def test_strangers_payments_cost_no_further_questions(tower: Tower) -> None:
    chain = CountingChain(tower.clock)
    await tower.watcher.stop()
    tower.chain, tower.watcher = chain, _of_everybody(tower, chain)
    await tower.watch()
    asked = []
    for payments in (0, 1):
        chain.asked.clear()
        for _ in range(6):
            for _ in range(payments):
                chain.pay(USDT.contract, CUSTOMER, DUE)
            tower.mine()
        await tower.watch()
        asked.append(chain.asked["block"])

    assert asked[0] == asked[1]


async def test_a_quiet_chain_is_asked_for_three_headers_and_nothing_else(tower: Tower) -> None:
    chain = CountingChain(tower.clock)
    await tower.watcher.stop()
    tower.chain, tower.watcher = chain, _of_everybody(tower, chain)
    chain.mine(5)
    await tower.watch()
    chain.asked.clear()

    await tower.watcher.step()

    assert chain.asked == {"block": 3}


def _of_everybody(tower: Tower, chain: FakeChain) -> ChainWatcher:
    """A watcher that asks for everybody's transfers."""
    limits = WatchLimits(listed_at_most=-1)
    return ChainWatcher(tower.desk, chain, WatchedAddresses(tower.desk, "evm"), limits)


async def test_one_of_two_watchers_works_and_the_other_takes_over(tower: Tower) -> None:
    bill = await tower.shop.bill()
    first, second = tower.watcher, tower.another()
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.chain.mine(3)
    await tower.watch(second)
    assert (await tower.position()).head_number == 0
    await tower.watch(first)
    assert (await tower.position()).head_number == 3

    tower.clock.advance(timedelta(minutes=1))
    tower.mine(4)
    await tower.watch(second)
    await tower.watch(first)

    assert (await tower.position()).final_number == 3
    assert await tower.shop.deposited(bill) == DUE


async def test_a_watcher_that_stops_hands_over_at_once(tower: Tower) -> None:
    tower.mine(3)
    await tower.watcher.stop()
    await tower.watch(tower.another())
    assert (await tower.position()).head_number == 3


async def test_a_stalled_watcher_that_wakes_up_late_writes_nothing(tower: Tower) -> None:
    bill = await tower.shop.bill()
    second = tower.another()

    class Stalling(FakeChain):
        """Takes so long over the logs that another watcher goes past meanwhile."""

        async def transfers(
            self,
            from_block: int,
            to_block: int,
            contracts: Sequence[str] | None,
            recipients: Recipients,
            **hashes: str | None,
        ) -> list[Transfer]:
            found = await super().transfers(from_block, to_block, contracts, recipients, **hashes)
            tower.clock.advance(timedelta(minutes=1))
            tower.chain.reorg(1, forget=True)
            tower.mine()
            await tower.watch(second)
            return found

    tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine()
    stalled = Stalling(tower.clock)
    stalled._chain = tower.chain._chain  # noqa: SLF001 - the same blocks behind a slow node
    first = ChainWatcher(tower.desk, stalled, WatchedAddresses(tower.desk, "evm"))
    await tower.watcher.stop()
    with capture_logs() as logs:
        await first.step()

    assert "lease_lost" in [log["event"] for log in logs]
    assert await tower.shop.transfers(bill) == []


async def test_a_chain_can_be_started_at_an_older_block(database: Database) -> None:
    clock = FakeClock()
    tower = Tower(desk_on(database, clock), clock, FakeChain(clock))
    await tower.shop.open()
    before, after = await tower.shop.bill(), await tower.shop.bill()
    tower.chain.pay(USDT.contract, before.deposit_address, DUE)
    tower.chain.mine(5)
    tower.chain.pay(USDT.contract, after.deposit_address, DUE)
    tower.chain.mine(20)

    watcher = tower.another(WatchLimits(start_block=3))
    with capture_logs() as logs:
        await tower.watch(watcher)
    clock.advance(timedelta(seconds=EVERY_SECONDS))
    await tower.watch(watcher)

    # Nobody looks at blocks before the first one, but what lies at an address of ours is found.
    assert [row.block_number for row in await tower.shop.transfers(before)] == [1]
    assert await tower.shop.deposited(before) == await tower.shop.deposited(after) == DUE
    assert [log["block"] for log in logs if log["event"] == "watching_begins_here"] == [3]


async def test_a_never_watched_chain_starts_at_its_finalized_block(database: Database) -> None:
    clock = FakeClock()
    tower = Tower(desk_on(database, clock), clock, FakeChain(clock))
    tower.chain.mine(30)
    await tower.watcher.step()
    at = await tower.position()
    assert (at.head_number, at.final_number) == (26, 26)


async def test_right_token_on_the_wrong_chain_is_kept(database: Database) -> None:
    clock = FakeClock()
    tower = Tower(desk_on(database, clock), clock, FakeChain(clock, key="base"))
    await tower.shop.open()
    await tower.watch()
    bill = await tower.shop.bill()
    usdt = replace(CHAINS["base"].accepted[1])
    tower.chain.pay(usdt.contract, bill.deposit_address, DUE)
    tower.mine(10)
    await tower.watch()

    assert (await tower.shop.look(bill)).tally.stray
    assert await tower.shop.deposited(bill, usdt) == DUE
