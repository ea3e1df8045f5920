"""The watcher on bad ground: reorgs, rollbacks, nodes that lag, lie or stay away."""

import pytest
from structlog.testing import capture_logs

from counterfoil.chains.port import At, Block, ChainUnreachable
from counterfoil.core.invoice import Status
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database
from counterfoil.workers.branch import FinalityBroken
from support.fake_chain import FakeChain
from support.fake_clock import FakeClock
from support.invoices import DUE, USDT
from support.shop import desk_on
from support.tower import Tower, left_behind


async def test_a_reorged_payment_is_dropped_and_counts_once_when_it_returns(tower: Tower) -> None:
    shop, bill = tower.shop, await tower.shop.bill()
    tower.mine(5)
    await tower.watch()
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine()
    await tower.watch()
    assert await shop.status(bill) is Status.PAYMENT_DETECTED

    tower.chain.reorg(2)
    waiting, tower.chain.pool = tower.chain.pool, []
    tower.mine(1)
    await tower.watch()
    assert await shop.status(bill) is Status.AWAITING_PAYMENT
    assert await shop.deposited(bill) == 0

    tower.chain.pool = waiting
    tower.mine(6)
    await tower.watch()
    (only,) = await shop.transfers(bill)
    assert (only.block_number, only.depth) == (7, Depth.FINAL)
    assert await shop.deposited(bill) == DUE


async def test_a_reorg_below_many_anchors_rewinds_to_the_common_ancestor(tower: Tower) -> None:
    early, late = await tower.shop.bill(), await tower.shop.bill()
    tower.chain.final_lag = tower.chain.safe_lag = 100
    for bill in (early, late):
        tower.mine(10)
        tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
        for _ in range(10):
            tower.mine()
            await tower.watch()

    tower.chain.reorg(12, forget=True)
    tower.mine(3)
    with capture_logs() as logs:
        await tower.watch()

    assert await tower.shop.status(early) is Status.PAYMENT_DETECTED
    assert await tower.shop.status(late) is Status.AWAITING_PAYMENT
    assert [(log["head"], log["ancestor"]) for log in logs if log["event"] == "reorg"] == [(40, 20)]


async def test_a_replaced_block_shows_in_the_parent_of_the_next(tower: Tower) -> None:
    bill = await tower.shop.bill()
    tower.mine(5)
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine()
    await tower.watch()

    tower.chain.reorg(1, forget=True)
    tower.mine(2)
    await tower.watch()

    assert tower.chain.head.number == 7
    assert await tower.shop.status(bill) is Status.AWAITING_PAYMENT


async def test_a_rollback_is_waited_for_and_told_apart_by_hash(tower: Tower) -> None:
    bill = await tower.shop.bill()
    tower.mine(5)
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine()
    await tower.watch()

    tower.chain.reorg(3, forget=True)
    await tower.watch()
    assert await tower.shop.status(bill) is Status.PAYMENT_DETECTED

    tower.mine()
    await tower.watch()
    assert await tower.shop.status(bill) is Status.AWAITING_PAYMENT


async def test_a_lagging_node_rewinds_nothing(tower: Tower) -> None:
    bill = await tower.shop.bill()
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine(10)
    await tower.watch()
    before = await tower.position()

    tower.chain.faults.lag_blocks = 7
    await tower.watch()

    after = await tower.position()
    assert (after.head_number, after.safe_number, after.final_number) == (10, 8, 6)
    assert before.head_number == after.head_number
    assert await tower.shop.deposited(bill) == DUE


async def test_an_empty_answer_at_the_head_is_mended_by_the_final_pass(tower: Tower) -> None:
    bill = await tower.shop.bill()
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine(2)
    tower.chain.faults.empty_logs = True
    await tower.watch()
    assert await tower.shop.status(bill) is Status.AWAITING_PAYMENT

    tower.chain.faults.empty_logs = False
    tower.mine(4)
    await tower.watch()
    assert await tower.shop.deposited(bill) == DUE


async def test_an_empty_answer_of_the_final_pass_cannot_undo_a_payment(tower: Tower) -> None:
    bill = await tower.shop.bill()
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine(2)
    await tower.watch()

    tower.chain.faults.empty_logs = True
    with capture_logs() as logs:
        tower.mine(3)
        await tower.watch()
        tower.mine(3)
        await tower.watch()

    assert "node_omitted_a_transfer" in [log["event"] for log in logs]
    assert await tower.shop.deposited(bill) == DUE


async def test_an_unreachable_chain_loses_nothing(tower: Tower) -> None:
    bill = await tower.shop.bill()
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine(10)
    for calls in range(1, 12):
        tower.chain.faults.failing_calls = calls
        for _ in range(calls):
            try:
                await tower.watcher.step()
            except ChainUnreachable:
                continue
    tower.chain.faults.failing_calls = 0
    await tower.watch()

    assert await tower.shop.deposited(bill) == DUE
    assert len(await tower.shop.transfers(bill)) == 1


async def test_a_broken_finality_stops_the_chain(tower: Tower) -> None:
    bill = await tower.shop.bill()
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine(10)
    await tower.watch()

    tower.chain.reorg(9, forget=True)
    tower.mine(5)
    with pytest.raises(FinalityBroken, match="finalized block 6"):
        await tower.watch()

    assert await tower.shop.deposited(bill) == DUE
    assert (await tower.position()).final_number == 6


class Torn(FakeChain):
    """Two nodes behind one client, of which one stayed on a branch that leads nowhere."""

    behind: FakeChain | None = None
    """The one that stayed behind, where it is asked for the next block: the other fails then."""

    async def block(self, at: At) -> Block | None:
        behind, self.behind = self.behind, None if isinstance(at, int) else self.behind
        return await (behind.block(at) if behind and isinstance(at, int) else super().block(at))


async def test_a_payment_is_not_safe_in_a_block_that_only_a_node_left_behind_has(
    database: Database,
) -> None:
    """One node says how far the chain is safe, another that the payment's block is in its own."""
    clock = FakeClock()
    chain = Torn(clock, final_lag=100)
    tower = Tower(desk_on(database, clock), clock, chain)
    await tower.shop.open()
    await tower.watch()
    bill = await tower.shop.bill()
    tower.mine(4)
    chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine()
    await tower.watch()

    chain.behind = left_behind(chain)
    chain.reorg(2, forget=True)
    tower.mine(6)
    await tower.watch()
    (only,) = await tower.shop.transfers(bill)
    assert only.depth is Depth.SEEN
    assert await tower.shop.status(bill) is Status.PAYMENT_DETECTED

    await tower.watch()
    assert await tower.shop.status(bill) is Status.AWAITING_PAYMENT


async def test_blocks_that_another_branch_put_below_the_head_are_read_before_they_are_final(
    database: Database,
) -> None:
    """One node says that the head stands, another lists what is above it: neither told of these."""
    clock = FakeClock()
    chain = Torn(clock, safe_lag=100, final_lag=100)
    tower = Tower(desk_on(database, clock), clock, chain)
    await tower.shop.open()
    await tower.watch()
    gone, come = await tower.shop.bill(), await tower.shop.bill()
    tower.mine(4)
    chain.pay(USDT.contract, gone.deposit_address, DUE)
    tower.mine()
    await tower.watch()

    behind = left_behind(chain)
    chain.reorg(2, forget=True)
    chain.pay(USDT.contract, come.deposit_address, DUE)
    tower.mine(3)
    chain.behind = behind
    await tower.watch()
    await tower.watch()

    assert (await tower.position()).head_number == chain.head.number == 7
    assert await tower.shop.status(come) is Status.PAYMENT_DETECTED
    assert await tower.shop.status(gone) is Status.AWAITING_PAYMENT
