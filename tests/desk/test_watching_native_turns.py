"""Native coin at more addresses than are asked about at once, and nodes that keep no old state."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from counterfoil.chains.port import Block
from counterfoil.cli_watch import needing_a_person
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database
from counterfoil.desk import comparing, doubting
from counterfoil.workers.expire import Expirer
from counterfoil.workers.watch import WatchLimits
from support.fake_chain import FakeChain, Moved
from support.fake_clock import NOON, FakeClock
from support.invoices import CUSTOMER, DUE, ETH, USDT
from support.shop import desk_on
from support.till import ETHER
from support.tower import Tower


class Asked(FakeChain):
    """Remembers at how many addresses it was asked for coin at once."""

    at_once: list[int]

    async def native_balances(self, addresses: Sequence[str], block_hash: str) -> list[int]:
        self.at_once = [*getattr(self, "at_once", []), len(addresses)]
        return await super().native_balances(addresses, block_hash)


@pytest.fixture
async def crowded(database: Database) -> Tower:
    """A tower whose watcher looks at three addresses in one range."""
    clock = FakeClock()
    found = Tower(desk_on(database, clock), clock, Asked(clock))
    found.watcher = found.another(WatchLimits(coins_at_once=3))
    await found.shop.open()
    await found.watch()
    return found


def coin(to: Invoice, wei: int = ETHER, how: str = "plain") -> Moved:
    return Moved("", CUSTOMER, to.deposit_address, wei, how)  # type: ignore[arg-type]  # by name


async def step_by_step(tower: Tower, blocks: int) -> None:
    for _ in range(blocks):
        tower.mine()
        await tower.watch()


async def test_of_many_open_invoices_few_are_asked_about_at_once_and_none_is_missed(
    crowded: Tower,
) -> None:
    bills = [await crowded.shop.bill(assets=(ETH,), due_units=ETHER) for _ in range(10)]
    await step_by_step(crowded, 1)
    paid: dict[str, Block] = {}
    for bill in bills:
        tx = crowded.chain.include(coin(bill))
        await step_by_step(crowded, 1)
        paid[tx.tx_hash] = crowded.chain.head
    await step_by_step(crowded, 10)

    rows = [row for bill in bills for row in await crowded.shop.transfers(bill)]
    assert {row.tx_hash: row.block_hash for row in rows} == {
        tx_hash: block.hash for tx_hash, block in paid.items()
    }
    assert {(row.amount_units, row.depth) for row in rows} == {(ETHER, Depth.FINAL)}
    assert [await crowded.shop.deposited(bill, ETH) for bill in bills] == [ETHER] * 10
    # Three in their turn, and those with coin that is about to become final.
    assert isinstance(crowded.chain, Asked)
    assert max(crowded.chain.at_once) < len(bills)


async def test_an_invoice_is_looked_at_before_it_is_due_whoever_has_the_turn(
    crowded: Tower,
) -> None:
    bills = [
        await crowded.shop.bill(
            assets=(ETH,), due_units=ETHER, deadline_at=NOON + timedelta(seconds=30)
        )
        for _ in range(7)
    ]
    crowded.mine(20)
    await crowded.watch()
    for bill in bills:
        crowded.chain.include(coin(bill))
    crowded.mine(20)
    await crowded.watch()
    await Expirer(crowded.desk, ["arb"]).step()
    assert [await crowded.shop.status(bill) for bill in bills] == [Status.SCREENING] * 7


async def test_without_old_state_tokens_go_on_and_coin_is_confirmed_as_far_as_it_is_proven(
    tower: Tower,
) -> None:
    shop, chain = tower.shop, tower.chain
    ether = await shop.bill(assets=(ETH,), due_units=ETHER)
    inside = await shop.bill(assets=(ETH,), due_units=ETHER)
    dollars = await shop.bill()
    tower.mine(3)
    await tower.watch()
    chain.faults.no_state = chain.faults.no_traces = True
    chain.include(coin(ether), coin(inside, how="call"))
    chain.pay(USDT.contract, dollars.deposit_address, DUE, CUSTOMER)
    await step_by_step(tower, 12)

    assert await shop.deposited(dollars) == DUE
    assert await shop.deposited(ether, ETH) == ETHER
    assert [row.depth for row in await shop.transfers(inside)] == [Depth.SAFE]
    at, (doubt,) = await tower.position(), await doubting.doubted(tower.desk)
    first, second = needing_a_person([at], [doubt])
    assert first.startswith("arb: no node that answers keeps what was true at final blocks")
    assert second.startswith("not confirmed: 1.00 ETH for inv_")

    chain.faults.no_state = chain.faults.no_traces = False
    tower.clock.advance(timedelta(minutes=3))
    await step_by_step(tower, 3)
    # Its trace explains it by now, so what only the balance had shown is no second payment.
    rows = {row.is_unattributed: row.depth for row in await shop.transfers(inside)}
    assert rows == {False: Depth.FINAL, True: Depth.ORPHANED}
    assert (await shop.look(inside)).tally.assets[0].seen_units == ETHER
    assert [await shop.deposited(bill, ETH) for bill in (ether, inside)] == [ETHER, ETHER]
    assert (
        list(needing_a_person([await tower.position()], await doubting.doubted(tower.desk))) == []
    )
    assert await comparing.every(tower.desk) == []


@pytest.fixture
async def after_an_outage(tower: Tower) -> Invoice:
    """A bill for ether that came due while nobody watched and no node keeps old state."""
    due = NOON + timedelta(seconds=900)
    bill = await tower.shop.bill(assets=(ETH,), due_units=ETHER, deadline_at=due)
    tower.mine(3)
    await tower.watch()
    tower.chain.faults.no_state = tower.chain.faults.no_traces = True
    return bill


async def test_who_paid_ether_in_time_while_nobody_watched_is_found_to_have_paid_in_time(
    tower: Tower, after_an_outage: Invoice
) -> None:
    bill, unpaid = (
        after_an_outage,
        await tower.shop.bill(
            assets=(ETH,), due_units=ETHER, deadline_at=after_an_outage.deadline_at
        ),
    )
    tower.mine(300)
    tx = tower.chain.include(coin(bill))
    tower.mine(1_500)
    while await tower.watcher.step():
        await Expirer(tower.desk, ["arb"]).step()
    await Expirer(tower.desk, ["arb"]).step()

    (row,) = await tower.shop.transfers(bill)
    assert (row.tx_hash, row.from_address, row.amount_units) == (tx.tx_hash, CUSTOMER, ETHER)
    assert (row.depth, row.arrived_at < bill.deadline_at) == (Depth.FINAL, True)
    assert await tower.shop.deposited(bill, ETH) == ETHER
    assert await tower.shop.status(bill) is Status.SCREENING
    assert await tower.shop.status(unpaid) is Status.EXPIRED
    assert await comparing.every(tower.desk) == []


async def test_ether_that_only_the_newest_balance_shows_keeps_its_invoice_from_expiring(
    tower: Tower, after_an_outage: Invoice
) -> None:
    """Nor does dust that a stranger sends beside it keep anybody from looking."""
    bill = after_an_outage
    tower.mine(300)
    tower.chain.include(coin(bill, how="call"))
    tower.mine(580)
    tower.chain.include(coin(bill, 7))
    tower.mine(920)
    held = []
    while await tower.watcher.step():
        await Expirer(tower.desk, ["arb"]).step()
        held += await comparing.every(tower.desk)
    assert {(one.invoice_id, one.contract) for one in held} == {(bill.invoice_id, "")}
    assert {one.chain_units - one.known_units for one in held} == {ETHER}
    assert await tower.shop.status(bill) is not Status.EXPIRED
    rows = {row.amount_units: row.is_unattributed for row in await tower.shop.transfers(bill)}
    assert rows == {7: False, ETHER: True}

    # On record by now, though no node tells old state yet: nothing holds it any more.
    tower.clock.advance(timedelta(minutes=3))
    await step_by_step(tower, 2)
    assert await comparing.every(tower.desk) == []
