"""What the desk makes of blocks that replace others: nothing final moves, nothing counts twice."""

from datetime import timedelta

from counterfoil.core.invoice import Status
from counterfoil.core.reckoning import Depth
from counterfoil.desk.desk import Desk
from support.fake_clock import FakeClock
from support.invoices import DUE
from support.shop import Shop
from support.watcher import Watcher, block_hash, kept_aside, moved, payment


async def test_a_payment_that_a_reorg_removed_is_taken_back(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill()
    await watcher.seen(0, 10, [payment(bill, 8)])

    await watcher.seen(7, 10, fork="b")

    assert await shop.status(bill) is Status.AWAITING_PAYMENT
    assert [t.depth for t in await shop.transfers(bill)] == [Depth.ORPHANED]
    assert (await shop.history(bill))[-1] == "transfer_dropped"


async def test_a_reorg_leaves_payments_below_it_alone(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill()
    await watcher.seen(0, 10, [payment(bill, 7)])

    await watcher.seen(7, 10, fork="b")

    assert await shop.status(bill) is Status.PAYMENT_DETECTED


async def test_a_payment_included_again_at_another_height_counts_once(
    shop: Shop, watcher: Watcher
) -> None:
    bill = await shop.bill()
    paid = payment(bill, 8)
    await watcher.seen(0, 10, [paid])

    again = moved(paid, 10)
    await watcher.seen(7, 11, [again], fork="b")
    await watcher.final(0, 11, again)

    (only,) = await shop.transfers(bill)
    assert (only.block_number, only.block_hash) == (10, again.block_hash)
    assert await shop.deposited(bill) == DUE
    assert "transfer_dropped" not in await shop.history(bill)


async def test_a_reorg_ends_safety(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill()
    paid = payment(bill, 8)
    await watcher.seen(0, 10, [paid])
    await watcher.safe(8, paid.block_hash)

    await watcher.seen(7, 11, [moved(paid, 9)], fork="b")

    (only,) = await shop.transfers(bill)
    assert only.depth is Depth.SEEN
    assert await shop.status(bill) is Status.PAYMENT_DETECTED


async def test_only_blocks_known_to_be_canonical_become_safe(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill()
    await watcher.seen(0, 10, [payment(bill, 8)])

    await watcher.safe(10, block_hash(8, "b"))
    await watcher.safe(7, block_hash(8))

    assert [t.depth for t in await shop.transfers(bill)] == [Depth.SEEN]


async def test_a_payment_with_another_log_index_after_a_reorg_keeps_its_time(
    shop: Shop, watcher: Watcher, clock: FakeClock
) -> None:
    bill = await shop.bill()
    paid = payment(bill, 8, index=3)
    await watcher.seen(0, 10, [paid])
    first_seen_at = clock.now()
    clock.advance(timedelta(hours=1))

    late = moved(paid, 9, log_index=4, block_at=clock.now())
    await watcher.seen(7, 11, [late], fork="b")

    old, new = sorted(await shop.transfers(bill), key=lambda t: t.log_index)
    assert (old.depth, new.depth) == (Depth.ORPHANED, Depth.SEEN)
    assert new.first_seen_at == new.arrived_at == first_seen_at
    tally = (await shop.look(bill)).tally
    assert (tally.assets[0].seen_units, tally.paid_at) == (DUE, first_seen_at)


async def test_a_reorg_can_turn_a_transfer_into_another_customers(
    shop: Shop, watcher: Watcher
) -> None:
    alices, bobs = await shop.bill(), await shop.bill()
    paid = payment(alices, 8)
    await watcher.seen(0, 10, [paid])

    await watcher.seen(7, 11, [moved(paid, 9, to_address=bobs.deposit_address)], fork="b")

    assert await shop.status(alices) is Status.AWAITING_PAYMENT
    assert await shop.status(bobs) is Status.PAYMENT_DETECTED


async def test_a_reorg_can_turn_a_transfer_into_another_organisations(
    shop: Shop, watcher: Watcher
) -> None:
    neighbour = await Shop(shop.desk, org_id=2).open()
    ours, theirs = await shop.bill(), await neighbour.bill()
    paid = payment(ours, 8)
    await watcher.seen(0, 10, [paid])

    await watcher.seen(7, 11, [moved(paid, 9, to_address=theirs.deposit_address)], fork="b")

    assert await shop.status(ours) is Status.AWAITING_PAYMENT
    assert await neighbour.status(theirs) is Status.PAYMENT_DETECTED


async def test_what_is_final_stays_whatever_is_told_later(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill()
    paid = payment(bill, 5)
    await watcher.final(0, 6, paid)
    before = await shop.transfers(bill)

    nothing = await watcher.seen(0, 10, fork="b")
    other = await watcher.seen(0, 10, [moved(paid, 9, amount_units=1)], fork="b")

    assert nothing.transfers == other.transfers == 0
    assert await shop.transfers(bill) == before
    assert await shop.deposited(bill) == DUE


async def test_a_reorg_also_drops_what_was_kept_aside(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    (address,) = await shop.stock(1)
    paid = payment(address, 8)
    await watcher.seen(0, 10, [paid])

    await watcher.seen(7, 11, fork="b")

    assert [kept.depth for kept in await kept_aside(desk, paid)] == [Depth.ORPHANED]
