"""The watcher on a real node: reorgs as they are, and the books against the node's balances."""

import asyncio
from datetime import timedelta
from random import Random

import pytest

from counterfoil.clock import SystemClock
from counterfoil.core import reckoning
from counterfoil.core.invoice import Context, Invoice, Status
from counterfoil.core.money import Asset
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database
from counterfoil.workers.watch import ChainWatcher, WatchedAddresses, WatchLimits
from support.chain import LocalChain
from support.invoices import DUE
from support.patience import patiently
from support.shop import Shop, desk_on


class Tower:
    def __init__(self, database: Database, chain: LocalChain) -> None:
        self.chain = chain
        self.desk = desk_on(database)
        self.shop = Shop(self.desk)
        self.watcher = self._watcher(WatchLimits())

    def _watcher(self, limits: WatchLimits) -> ChainWatcher:
        return ChainWatcher(self.desk, self.chain.chain, WatchedAddresses(self.desk, "evm"), limits)

    async def relieve(self, limits: WatchLimits) -> None:
        """Let another watcher go on instead."""
        await self.watcher.stop()
        self.watcher = self._watcher(limits)

    async def watch(self) -> None:
        async with patiently("a watcher that rests"):
            while await self.watcher.step():
                pass

    async def bills(self, count: int) -> list[Invoice]:
        assets = (self.chain.usdt, self.chain.usdc)
        return [await self.shop.bill(assets=assets) for _ in range(count)]

    async def agrees(self, bill: Invoice, asset: Asset) -> bool:
        """Whether the ledger and the node hold the same at the invoice's address."""
        held = await self.chain.balance(asset, bill.deposit_address)
        return held == await self.shop.deposited(bill, asset)


@pytest.fixture
async def tower(database: Database, arb: LocalChain) -> Tower:
    tower = Tower(database, arb)
    await tower.shop.open()
    await arb.node.mine(10)
    await tower.watch()
    return tower


async def test_what_was_sent_in_time_and_mined_after_it_is_late(
    database: Database, arb: LocalChain
) -> None:
    clock = SystemClock()
    desk = desk_on(database, clock)
    shop = await Shop(desk).open()
    await arb.node.mine(10)
    watcher = ChainWatcher(desk, arb.chain, WatchedAddresses(desk, "evm"))
    await watcher.step()
    deadline_at = clock.now() + timedelta(seconds=3)
    bill = await shop.bill(assets=(arb.usdt,), deadline_at=deadline_at)
    payment = await arb.signed_payment(arb.usdt, bill.deposit_address, DUE)
    await arb.node.rpc("evm_setAutomine", False)  # noqa: FBT003 - anvil's own parameter
    await arb.chain.send(payment)
    assert clock.now() < deadline_at

    async with patiently("the deadline to pass"):
        while clock.now() < deadline_at + timedelta(seconds=1):
            await asyncio.sleep(0.1)
    await arb.node.mine(9)
    while await watcher.step():
        pass

    (paid,) = await shop.transfers(bill)
    late = await shop.look(bill)
    assert (paid.amount_units, late.status) == (DUE, Status.SCREENING)
    assert (late.tally.paid_at or deadline_at) > deadline_at
    assert reckoning.judge(late) is Context.PAID_LATE


async def test_a_payment_becomes_final(tower: Tower, arb: LocalChain) -> None:
    (bill,) = await tower.bills(1)

    await arb.pay(arb.usdt, bill.deposit_address, DUE)
    await tower.watch()
    assert await tower.shop.status(bill) is Status.PAYMENT_DETECTED
    await arb.node.mine(4)
    await tower.watch()
    assert await tower.shop.status(bill) is Status.SCREENING
    assert await tower.shop.deposited(bill, arb.usdt) == 0
    await arb.finalize()
    await tower.watch()

    assert await tower.shop.deposited(bill, arb.usdt) == DUE
    assert await tower.agrees(bill, arb.usdt)


async def test_a_payment_that_a_reorg_moves_counts_once(tower: Tower, arb: LocalChain) -> None:
    (bill,) = await tower.bills(1)
    raw = await arb.signed_payment(arb.usdt, bill.deposit_address, DUE)
    await arb.node.automine(on=False)
    await arb.chain.send(raw)
    await arb.node.mine(3)
    await tower.watch()
    (before,) = await tower.shop.transfers(bill)

    await arb.node.reorg(3, [(raw, 2)])
    await arb.node.mine()
    await tower.watch()
    (after,) = await tower.shop.transfers(bill)
    assert after.block_number == before.block_number + 2
    assert after.depth is Depth.SEEN

    await arb.finalize()
    await tower.watch()
    assert await tower.shop.deposited(bill, arb.usdt) == DUE
    assert "transfer_dropped" not in await tower.shop.history(bill)


async def test_a_payment_that_a_reorg_removes_is_taken_back(tower: Tower, arb: LocalChain) -> None:
    (bill,) = await tower.bills(1)
    await arb.pay(arb.usdt, bill.deposit_address, DUE)
    await arb.node.mine(2)
    await tower.watch()

    await arb.node.reorg(3)
    await tower.watch()
    assert await tower.shop.status(bill) is Status.AWAITING_PAYMENT

    await arb.finalize()
    await tower.watch()
    assert await tower.agrees(bill, arb.usdt)
    assert [row.depth for row in await tower.shop.transfers(bill)] == [Depth.ORPHANED]


async def test_an_outage_is_read_whether_addresses_are_named_or_not(
    tower: Tower, arb: LocalChain
) -> None:
    bills = await tower.bills(4)
    for bill in bills:
        await arb.pay(arb.usdc, bill.deposit_address, DUE)
        await arb.node.mine(60)
    await arb.finalize()

    await tower.relieve(WatchLimits(listed_at_most=2, widest_range=50))
    await tower.watch()

    assert [await tower.shop.deposited(bill, arb.usdc) for bill in bills] == [DUE] * 4


@pytest.mark.parametrize("seed", [1, 2])
async def test_many_reorgs_later_the_books_equal_the_chain(
    tower: Tower, arb: LocalChain, seed: int
) -> None:
    random = Random(seed)  # noqa: S311 - a story to be told again, not a secret
    bills = await tower.bills(5)
    await tower.relieve(WatchLimits(widest_range=10))
    for _ in range(60):
        bill, token = random.choice(bills), random.choice((arb.usdt, arb.usdc))
        await arb.pay(token, bill.deposit_address, random.randint(1, DUE))
        if random.random() < 0.25:
            await arb.node.reorg(random.randint(1, 5))
        if random.random() < 0.6:
            await tower.watch()
    await arb.finalize()
    await tower.watch()

    rows = [row for bill in bills for row in await tower.shop.transfers(bill)]
    assert {row.depth for row in rows} == {Depth.ORPHANED, Depth.FINAL}
    for bill in bills:
        assert await tower.agrees(bill, arb.usdt)
        assert await tower.agrees(bill, arb.usdc)
