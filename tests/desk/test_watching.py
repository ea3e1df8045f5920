"""What the desk makes of scans that are handed to it; the node's side is in tests/nodes."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from counterfoil.books import cursors, transfers
from counterfoil.books.transfers import Quarantined
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Invoice, Policy, Status
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database
from counterfoil.desk import watching
from counterfoil.desk.desk import Desk
from counterfoil.desk.watching import Lease, LeaseLost, Mark, NeverWatched, Recorded, Sighting
from support.fake_clock import NOON, FakeClock
from support.invoices import CUSTOMER, DUE, STRANGER, USDC, USDT
from support.shop import POOL, Shop, desk_on

(USDC_E,) = CHAINS["arb"].known_other


def block_hash(number: int, fork: str = "a") -> str:
    return f"0x{fork * 8}{number:056x}"


def mark(number: int, fork: str = "a") -> Mark:
    return Mark(number, block_hash(number, fork), block_time(number))


def block_time(number: int) -> datetime:
    return NOON + timedelta(seconds=number)


def payment(
    to: Invoice | str, number: int, units: int = DUE, *, tx: str = "1", index: int = 0
) -> Sighting:
    """A transfer of the customer's USDT in block ``number`` of the first fork."""
    return Sighting(
        tx_hash=f"0x{tx:0>64}",
        log_index=index,
        block_number=number,
        block_hash=block_hash(number),
        block_at=block_time(number),
        contract=USDT.contract,
        from_address=CUSTOMER,
        to_address=to if isinstance(to, str) else to.deposit_address,
        amount_units=units,
    )


def moved(seen: Sighting, number: int, fork: str = "b", **changes: object) -> Sighting:
    """The same transfer in a block of another fork."""
    there = replace(
        seen,
        block_number=number,
        block_hash=block_hash(number, fork),
        block_at=block_time(number),
    )
    return replace(there, **changes)  # type: ignore[arg-type]  # - any field may be changed


class Watcher:
    """A watcher without a node: a test tells it what it reads."""

    def __init__(self, desk: Desk, chain: str = "arb") -> None:
        self.desk = desk
        self.lease = Lease(chain, desk.ids.new())

    async def start(self, number: int = 0) -> "Watcher":
        await watching.start(self.desk, self.lease.chain, mark(number))
        assert await watching.take(self.desk, self.lease, 15) is not None
        return self

    async def seen(
        self, after: int, upto: int, sightings: Sequence[Sighting] = (), fork: str = "a"
    ) -> Recorded:
        return await watching.record_seen(self.desk, self.lease, after, mark(upto, fork), sightings)

    async def final(
        self, after: int, upto: int, *sightings: Sighting, vouched: Sequence[Sighting] = ()
    ) -> Recorded:
        return await watching.record_final(
            self.desk,
            self.lease,
            after,
            mark(upto),
            sightings,
            vouched=[one.key for one in vouched],
        )

    async def safe(self, number: int, *hashes: str) -> Recorded:
        return await watching.record_safe(self.desk, self.lease, number, hashes)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON + timedelta(minutes=1))


@pytest.fixture
def desk(database: Database, clock: FakeClock) -> Desk:
    return desk_on(database, clock)


@pytest.fixture
async def shop(desk: Desk) -> Shop:
    return await Shop(desk).open()


@pytest.fixture
async def watcher(desk: Desk) -> Watcher:
    return await Watcher(desk).start()


async def kept_aside(desk: Desk, *sightings: Sighting) -> list[Quarantined]:
    async with desk.database.reading() as tx:
        return await transfers.quarantined(tx, "arb", [one.tx_hash for one in sightings])


async def test_an_exact_payment_is_seen_then_safe_then_final(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill()
    paid = payment(bill, 5)

    await watcher.seen(0, 10, [paid])
    assert await shop.status(bill) is Status.PAYMENT_DETECTED
    assert await shop.deposited(bill) == 0

    await watcher.safe(6, paid.block_hash)
    assert await shop.status(bill) is Status.SCREENING
    assert (await shop.look(bill)).tally.assets[0].final_units == 0
    assert await shop.deposited(bill) == 0

    await watcher.final(0, 6, paid)
    assert (await shop.look(bill)).tally.assets[0].final_units == DUE
    assert await shop.deposited(bill) == DUE
    assert await shop.history(bill) == [
        "created",
        "transfer_seen",
        "transfer_confirmed",
        "transfer_confirmed",
    ]


async def test_a_large_payment_is_not_confirmed_before_it_is_final(
    shop: Shop, watcher: Watcher
) -> None:
    bill = await shop.bill(due_units=5_000_000_000)
    paid = payment(bill, 5, 5_000_000_000)

    await watcher.seen(0, 10, [paid])
    await watcher.safe(6, paid.block_hash)
    assert await shop.status(bill) is Status.PAYMENT_DETECTED

    await watcher.final(0, 6, paid)
    assert await shop.status(bill) is Status.SCREENING


async def test_the_final_pass_finds_what_the_head_pass_missed(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill()

    await watcher.seen(0, 10)
    await watcher.final(0, 10, payment(bill, 5))

    assert await shop.status(bill) is Status.SCREENING
    assert await shop.deposited(bill) == DUE


async def test_recording_a_scan_again_changes_nothing_more(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill()
    paid = payment(bill, 5)
    for _ in range(3):
        await watcher.seen(0, 10, [paid])
    for _ in range(3):
        await watcher.final(0, 10, paid)

    assert await shop.deposited(bill) == DUE
    assert len(await shop.transfers(bill)) == 1
    assert (await shop.history(bill))[1:] == ["transfer_seen", "transfer_confirmed"]


async def test_two_transfers_in_one_transaction_both_count(shop: Shop, watcher: Watcher) -> None:
    bill, other = await shop.bill(), await shop.bill()
    halves = [payment(bill, 5, DUE // 2, index=1), payment(bill, 5, DUE // 2, index=2)]

    await watcher.final(0, 10, *halves, payment(other, 5, index=3))

    assert await shop.deposited(bill) == DUE
    assert await shop.deposited(other) == DUE
    assert await shop.status(bill) is Status.SCREENING


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


async def test_the_final_pass_drops_what_it_does_not_find(shop: Shop, watcher: Watcher) -> None:
    gone, later = await shop.bill(), await shop.bill()
    await watcher.seen(0, 10, [payment(gone, 5), payment(later, 8, tx="2")])

    await watcher.final(0, 7)

    assert await shop.status(gone) is Status.AWAITING_PAYMENT
    assert await shop.status(later) is Status.PAYMENT_DETECTED


async def test_a_vouched_payment_is_final_although_the_query_left_it_out(
    shop: Shop, watcher: Watcher
) -> None:
    bill = await shop.bill()
    paid = payment(bill, 5)
    await watcher.seen(0, 10, [paid])

    await watcher.final(0, 7, vouched=[paid])

    assert await shop.deposited(bill) == DUE


async def test_a_known_other_token_is_kept_and_flagged(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill()

    await watcher.final(0, 7, replace(payment(bill, 5), contract=USDC_E.contract))

    look = await shop.look(bill)
    assert (look.status, look.tally.stray) == (Status.AWAITING_PAYMENT, True)
    assert await shop.deposited(bill, USDC_E) == DUE


async def test_the_right_token_on_another_chain_is_kept_and_flagged(shop: Shop, desk: Desk) -> None:
    base = await Watcher(desk, "base").start()
    bill = await shop.bill()
    usdt = CHAINS["base"].accepted[1]

    await base.final(0, 7, replace(payment(bill, 5), contract=usdt.contract))

    assert (await shop.look(bill)).tally.stray
    assert await shop.deposited(bill, usdt) == DUE


async def test_money_for_an_address_without_invoice_is_kept_aside(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    (address,) = await shop.stock(1)
    paid = payment(address, 5)

    recorded = await watcher.seen(0, 10, [paid])
    assert [kept.reason for kept in recorded.quarantined] == ["unassigned"]

    await watcher.final(0, 10, paid)
    (kept,) = await kept_aside(desk, paid)
    assert (kept.amount_units, kept.depth) == (DUE, Depth.FINAL)


async def test_what_was_kept_aside_does_not_pay_the_invoice_that_gets_the_address(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    (address,) = await shop.stock(1)
    early = payment(address, 5)
    await watcher.seen(0, 10, [early])
    bill = await shop.bill()
    assert bill.deposit_address == address

    await watcher.final(0, 10, early, payment(bill, 6, 7, tx="2"))

    assert await shop.deposited(bill) == 7
    assert [kept.depth for kept in await kept_aside(desk, early)] == [Depth.FINAL]


async def test_a_reorg_also_drops_what_was_kept_aside(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    (address,) = await shop.stock(1)
    paid = payment(address, 8)
    await watcher.seen(0, 10, [paid])

    await watcher.seen(7, 11, fork="b")

    assert [kept.depth for kept in await kept_aside(desk, paid)] == [Depth.ORPHANED]


async def test_nobody_pays_an_invoice_from_its_own_organisations_pool(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    neighbour = await Shop(desk, org_id=2).open()
    ours, theirs = await shop.bill(), await neighbour.bill()
    circular = replace(payment(ours, 5), from_address=POOL)
    honest = replace(payment(theirs, 5, tx="2"), from_address=POOL)

    await watcher.final(0, 10, circular, honest)

    assert await shop.status(ours) is Status.AWAITING_PAYMENT
    assert [kept.reason for kept in await kept_aside(desk, circular)] == ["own_address"]
    assert await neighbour.deposited(theirs) == DUE


async def test_strangers_addresses_mean_nothing(watcher: Watcher, desk: Desk) -> None:
    await watcher.seen(0, 10, [payment(STRANGER, 5)])
    assert await kept_aside(desk, payment(STRANGER, 5)) == []


async def test_payment_time_is_the_earlier_of_block_and_first_sight(
    shop: Shop, watcher: Watcher, clock: FakeClock
) -> None:
    ahead = clock.now() + timedelta(minutes=5)
    bill = await shop.bill()

    await watcher.seen(0, 10, [replace(payment(bill, 5), block_at=ahead)])

    assert (await shop.look(bill)).tally.paid_at == clock.now()


async def test_several_accepted_assets_pay_one_invoice(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill(assets=(USDT, USDC))
    usdc = replace(payment(bill, 6, 40_000_000, tx="2"), contract=USDC.contract)

    await watcher.final(0, 10, payment(bill, 5, 60_000_000), usdc)

    assert await shop.status(bill) is Status.SCREENING


async def test_many_payments_at_once_reach_their_invoices(shop: Shop, watcher: Watcher) -> None:
    bills = [await shop.bill() for _ in range(120)]
    block = [payment(bill, 5, index=index) for index, bill in enumerate(bills)]

    recorded = await watcher.seen(0, 10, block)

    assert (recorded.transfers, recorded.invoices) == (120, 120)
    assert {await shop.status(bill) for bill in bills} == {Status.PAYMENT_DETECTED}


async def test_one_broken_invoice_holds_the_cursor_but_nobody_elses_money(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    bills = [await shop.bill() for _ in range(3)]
    block = [payment(bill, 5, index=index) for index, bill in enumerate(bills)]
    broken = {"invoice_id": bills[1].invoice_id}
    async with desk.database.transaction() as tx:
        await tx.execute(
            "UPDATE invoice SET detail = '{}' WHERE invoice_id = %(invoice_id)s", broken
        )

    with pytest.raises(ExceptionGroup):
        await watcher.seen(0, 10, block)

    for bill in (bills[0], bills[2]):
        assert await shop.status(bill) is Status.PAYMENT_DETECTED
    async with desk.database.reading() as tx:
        cursor = await cursors.get(tx, "arb")
    assert cursor is not None
    assert cursor.head_number == 0

    async with desk.database.transaction() as tx:
        await tx.execute(
            "UPDATE invoice SET detail = (SELECT detail FROM invoice WHERE detail <> '{}' LIMIT 1)"
            " WHERE invoice_id = %(invoice_id)s",
            broken,
        )
    await watcher.seen(0, 10, block)
    assert await shop.status(bills[1]) is Status.PAYMENT_DETECTED


async def test_chains_tell_the_same_invoice_at_the_same_time(shop: Shop, desk: Desk) -> None:
    watchers = [await Watcher(desk, key).start() for key in CHAINS]
    tokens = [chain.accepted[1] for chain in CHAINS.values()]
    bills = [await shop.bill(assets=tuple(tokens), policy=Policy()) for _ in range(5)]

    await asyncio.gather(
        *(
            watcher.final(
                0,
                10,
                *(
                    replace(payment(bill, 5, index=index), contract=token.contract)
                    for index, bill in enumerate(bills)
                ),
            )
            for watcher, token in zip(watchers, tokens, strict=True)
        )
    )

    for bill in bills:
        final = [asset.final_units for asset in (await shop.look(bill)).tally.assets]
        assert final == [DUE, DUE, DUE]


async def test_a_chain_is_started_once(desk: Desk) -> None:
    lease = Lease("arb", desk.ids.new())
    with pytest.raises(NeverWatched):
        await watching.take(desk, lease, 15)

    assert await watching.start(desk, "arb", mark(7))
    assert not await watching.start(desk, "arb", mark(9))

    at = await watching.take(desk, lease, 15)
    assert at is not None
    assert (at.head, at.safe_number, at.final) == (mark(7), 7, mark(7))


async def test_one_watcher_at_a_time_and_another_after_the_lease(
    desk: Desk, clock: FakeClock
) -> None:
    first = await Watcher(desk).start()
    second = Lease("arb", desk.ids.new())

    assert await watching.take(desk, second, 15) is None
    clock.advance(timedelta(seconds=10))
    assert await watching.take(desk, first.lease, 15) is not None
    clock.advance(timedelta(seconds=10))
    assert await watching.take(desk, second, 15) is None
    clock.advance(timedelta(seconds=15))
    assert await watching.take(desk, second, 15) is not None
    assert await watching.take(desk, first.lease, 15) is None


async def test_a_watcher_that_lost_its_lease_writes_nothing(
    shop: Shop, watcher: Watcher, desk: Desk, clock: FakeClock
) -> None:
    bill = await shop.bill()
    clock.advance(timedelta(minutes=1))
    assert await watching.take(desk, Lease("arb", desk.ids.new()), 15) is not None

    for late in (
        watcher.seen(0, 10, [payment(bill, 5)]),
        watcher.final(0, 10, payment(bill, 5)),
        watcher.seen(0, 10),
        watcher.safe(10),
    ):
        with pytest.raises(LeaseLost):
            await late

    assert await shop.transfers(bill) == []
    (at,) = await watching.positions(desk)
    assert (at.head_number, at.safe_number, at.final_number) == (0, 0, 0)


async def test_a_lease_given_back_is_free_at_once(desk: Desk, watcher: Watcher) -> None:
    await watching.give_back(desk, watcher.lease)
    assert await watching.take(desk, Lease("arb", desk.ids.new()), 15) is not None


async def test_operators_see_where_each_chain_stands(
    desk: Desk, watcher: Watcher, clock: FakeClock
) -> None:
    await watcher.seen(0, 30)
    await watcher.final(0, 10)
    await watcher.safe(20)

    (at,) = await watching.positions(desk)

    assert (at.chain, at.head_number, at.safe_number, at.final_number) == ("arb", 30, 20, 10)
    assert (at.head_age_seconds, at.final_age_seconds) == (30, 50)
    assert at.watched
    clock.advance(timedelta(minutes=1))
    assert not (await watching.positions(desk))[0].watched


async def test_finality_pulls_the_head_along_after_an_outage(desk: Desk, watcher: Watcher) -> None:
    await watcher.seen(0, 5)
    await watcher.final(0, 9)

    at = await watching.take(desk, watcher.lease, 15)

    assert at is not None
    assert (at.head, at.safe_number, at.final) == (mark(9), 9, mark(9))
    assert await watching.anchors(desk, "arb") == []
