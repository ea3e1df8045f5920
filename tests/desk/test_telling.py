"""An invoice that cannot be told holds up nobody, and is told once it can be."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import get_args
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from counterfoil.books import cursors, effects, ledger
from counterfoil.core.events import Screened
from counterfoil.core.invoice import Invoice, Policy, Status
from counterfoil.core.journal import JournalEntry, Posting
from counterfoil.core.money import Money
from counterfoil.core.reckoning import Depth
from counterfoil.core.roles import system
from counterfoil.db.pool import Database
from counterfoil.desk import telling
from counterfoil.desk.act import act
from counterfoil.desk.desk import Desk
from counterfoil.desk.watching import Sighting
from counterfoil.workers.retell import AT_ONCE, Reteller
from support.damage import How, damage, damaged, mend
from support.fake_clock import NOON, FakeClock
from support.invoices import DUE, STRANGER, USDT, clean
from support.postgres import TestServer
from support.shop import Shop, desk_on
from support.tower import Tower
from support.watcher import Watcher, block_hash, moved, payment

HOW = get_args(How)


async def owed(shop: Shop, *bills: Invoice) -> frozenset[UUID]:
    """Those of the invoices that wait to be told."""
    async with shop.desk.database.reading() as tx:
        ids = [bill.invoice_id for bill in bills]
        return await effects.waiting(tx, shop.org_id, "tell", ids)


async def heights(desk: Desk) -> tuple[int, int, int]:
    """How far the chain was read: head, safe, final."""
    async with desk.database.reading() as tx:
        row = await cursors.get(tx, "arb")
    assert row is not None
    return row.head_number, row.safe_number, row.final_number


async def retell(desk: Desk, clock: FakeClock) -> None:
    clock.advance(timedelta(seconds=telling.LONGEST_RETRY_SECONDS))
    await Reteller(desk).step()


@pytest.mark.parametrize("how", HOW)
async def test_a_broken_invoice_holds_up_neither_a_pass_nor_a_neighbour(
    shop: Shop, watcher: Watcher, desk: Desk, clock: FakeClock, how: How
) -> None:
    bills = [await shop.bill(callback_url="https://shop.example/cb") for _ in range(3)]
    broken, others = bills[1], (bills[0], bills[2])
    block = [payment(bill, 5, index=index) for index, bill in enumerate(bills)]

    async with damaged(desk, broken, how=how):
        recorded = await watcher.seen(0, 10, block)
        assert [one.invoice_id for one in recorded.untold] == [broken.invoice_id]
        assert {await shop.status(bill) for bill in others} == {Status.PAYMENT_DETECTED}
        await watcher.safe(10, block_hash(5))
        assert {await shop.status(bill) for bill in others} == {Status.SCREENING}
        await watcher.final(0, 10, *block)
        assert await heights(desk) == (10, 10, 10)
        assert [row.depth for row in await shop.transfers(broken)] == [Depth.FINAL]
        assert await shop.deposited(broken) == DUE
        assert await owed(shop, *bills) == {broken.invoice_id}

    assert await shop.status(broken) is Status.AWAITING_PAYMENT
    await retell(desk, clock)
    assert await shop.status(broken) is Status.SCREENING
    assert await shop.history(broken) == ["created", "transfer_confirmed"]
    assert await owed(shop, *bills) == set()


async def test_the_watcher_says_which_invoice_it_could_not_tell_and_reads_on(tower: Tower) -> None:
    broken, sound = await tower.shop.bill(), await tower.shop.bill()
    await tower.watch()

    async with damaged(tower.desk, broken):
        for bill in (broken, sound):
            tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
        with capture_logs() as logs:
            for _ in range(10):
                tower.mine()
                await tower.watch()

    said = [line for line in logs if line["event"] == "invoice_cannot_be_told"]
    assert {line["invoice_id"] for line in said} == {str(broken.invoice_id)}
    assert [line["depth"] for line in said] == ["seen", "safe", "final"]
    assert {line["log_level"] for line in said} == {"error"}
    assert await tower.shop.status(sound) is Status.SCREENING
    at = await tower.position()
    assert at.head_number == tower.chain.head.number


async def test_it_is_tried_again_ever_more_seldom(
    shop: Shop, watcher: Watcher, desk: Desk, clock: FakeClock
) -> None:
    bill = await shop.bill()
    reteller = Reteller(desk)
    tries = []

    async with damaged(desk, bill):
        await watcher.seen(0, 10, [payment(bill, 5)])
        with capture_logs() as logs:
            for second in range(120):
                if await reteller.step():
                    tries.append(second)
                clock.advance(timedelta(seconds=1))

    assert tries == [5, 15, 35, 75]
    failed = [line for line in logs if line["event"] == "invoice_still_cannot_be_told"]
    assert [line["attempts"] for line in failed] == [1, 2, 3, 4]
    assert {line["log_level"] for line in failed} == {"error"}


async def test_broken_invoices_do_not_keep_a_mended_one_waiting(
    shop: Shop, watcher: Watcher, desk: Desk, clock: FakeClock
) -> None:
    bills = [await shop.bill() for _ in range(AT_ONCE + 1)]
    *broken, mended = bills
    block = [payment(bill, 5, index=index) for index, bill in enumerate(bills)]
    async with damaged(desk, *bills):
        await watcher.seen(0, 10, block)

    async with damaged(desk, *broken):
        clock.advance(timedelta(minutes=1))
        for _ in range(2):
            await Reteller(desk).step()
        assert await shop.status(mended) is Status.PAYMENT_DETECTED


async def test_the_next_scan_tells_it_before_the_retry_does(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    bill = await shop.bill()
    async with damaged(desk, bill):
        await watcher.seen(0, 10, [payment(bill, 5)])

    await watcher.safe(10, block_hash(5))

    assert await shop.status(bill) is Status.SCREENING
    assert await owed(shop, bill) == set()
    assert await shop.history(bill) == ["created", "transfer_confirmed"]


async def test_money_that_vanished_meanwhile_is_told_as_gone(
    shop: Shop, watcher: Watcher, desk: Desk, clock: FakeClock
) -> None:
    bill = await shop.bill()
    await watcher.seen(0, 10, [payment(bill, 5)])
    async with damaged(desk, bill):
        await watcher.seen(0, 10, [], fork="b")

    await retell(desk, clock)

    assert await shop.status(bill) is Status.AWAITING_PAYMENT
    assert (await shop.history(bill))[-1] == "transfer_dropped"


async def test_money_that_joined_untold_is_screened_although_the_finality_was_told(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    """What an invoice was not told of must not look as if it had been there all along."""
    bill = await shop.bill(status=Status.SIGN_PENDING)
    more = replace(payment(bill, 5), from_address=STRANGER)
    async with damaged(desk, bill):
        await watcher.seen(0, 10, [more])
        await watcher.safe(10, more.block_hash)

    await watcher.final(0, 10, more)

    assert await shop.status(bill) is Status.SCREENING


async def test_a_transfer_that_a_reorg_gives_to_another_leaves_both_to_be_told(
    shop: Shop, watcher: Watcher, desk: Desk, clock: FakeClock
) -> None:
    first, second = [await shop.bill() for _ in range(2)]
    paid = payment(first, 5)
    await watcher.seen(0, 10, [paid])
    async with damaged(desk, first, how="unwritable"):
        other = moved(paid, 6, to_address=second.deposit_address)
        await watcher.seen(0, 10, [other], fork="b")
        assert await owed(shop, first, second) == {first.invoice_id, second.invoice_id}

    await retell(desk, clock)

    assert await shop.status(first) is Status.AWAITING_PAYMENT
    assert await shop.status(second) is Status.PAYMENT_DETECTED


async def test_an_untold_payment_keeps_its_invoice_from_expiring(
    shop: Shop, watcher: Watcher, desk: Desk, clock: FakeClock
) -> None:
    bill = await shop.bill(deadline_at=NOON + timedelta(minutes=2))
    async with damaged(desk, bill):
        await watcher.seen(0, 10, [payment(bill, 5)])
    await watcher.seen(10, 3600)
    clock.advance(timedelta(hours=1))
    async with desk.database.transaction() as tx:
        assert (
            await cursors.past_deadline(tx, ["arb"], clock.now(), 10, passing_over=(), limit=9)
            == []
        )


async def test_facts_that_cannot_be_written_hold_the_cursor_but_nobody_elses_money(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    impossible, sound = [await shop.bill() for _ in range(2)]
    too_much = payment(impossible, 5, 10**60)

    with pytest.raises(ExceptionGroup):
        await watcher.seen(0, 10, [too_much, payment(sound, 5, index=1)])

    assert await shop.status(sound) is Status.PAYMENT_DETECTED
    assert await heights(desk) == (0, 0, 0)


async def test_entries_are_booked_once_however_many_come_together(shop: Shop, desk: Desk) -> None:
    def entry(cause: str) -> JournalEntry:
        enormous = Money(10**59, USDT)
        return JournalEntry(cause, None, (Posting("outside:payer", "deposit", enormous),), NOON, 1)

    async with desk.database.transaction() as tx:
        assert await ledger.post(tx, shop.org_id, entry("a"))
        some = [entry("a"), entry("b"), entry("b"), entry("c")]
        assert await ledger.post_all(tx, shop.org_id, some[:2]) == {"b"}
        assert await ledger.post_all(tx, shop.org_id, some[2:]) == {"c"}
        held = await ledger.balance(tx, shop.org_id, "deposit", "arb", USDT.contract)
    assert held == 3 * 10**59


async def test_payments_whose_policy_signs_for_itself_are_told_with_their_moves(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    policy = Policy(sign_off_required=False)
    bills = [
        await shop.bill(policy=policy, callback_url="https://shop.example/cb") for _ in range(2)
    ]
    block = [payment(bill, 5, index=index) for index, bill in enumerate(bills)]
    await watcher.seen(0, 10, block)
    await watcher.safe(10, block_hash(5))
    for bill in bills:
        verdict = clean((await shop.look(bill)).tally)
        by = system("screen", shop.org_id)
        await act(
            desk,
            shop.org_id,
            bill.invoice_id,
            Screened(at=desk.clock.now(), by=by.uid, screening=verdict),
            by,
        )

    await watcher.final(0, 10, *block)

    assert {await shop.status(bill) for bill in bills} == {Status.SWEEPING}
    async with desk.database.reading() as tx:
        told = await (
            await tx.execute(
                "SELECT jsonb_path_query_array(snapshot, '$.moves[*].purpose') FROM outbox"
                " WHERE to_status = 'sweeping'"
            )
        ).fetchall()
    assert [sorted(purposes) for (purposes,) in told] == [["payout", "sweep"]] * 2


# -- law -----------------------------------------------------------------------------------------

PASSES = ("seen", "safe", "final")
BILLS = 5


@settings(max_examples=15, deadline=None)
@given(
    victim=st.integers(0, BILLS - 1),
    how=st.sampled_from(HOW),
    breaks=st.integers(0, 2),
    lasts=st.integers(1, 3),
)
def test_whoever_cannot_be_told_all_others_go_on_and_once_it_can_it_follows(
    postgres: TestServer, victim: int, how: How, breaks: int, lasts: int
) -> None:
    with postgres.fresh_database() as url:
        asyncio.run(_live(url, victim, how, range(breaks, breaks + lasts)))


async def _live(url: str, victim: int, how: How, broken_at: range) -> None:
    database = Database(url, name="telling")
    await database.open()
    try:
        await _tell_all_but(desk_on(database, FakeClock(NOON)), victim, how, broken_at)
    finally:
        await database.close()


async def _tell_all_but(desk: Desk, victim: int, how: How, broken_at: range) -> None:
    shop = await Shop(desk).open()
    watcher = await Watcher(desk).start()
    bills = [await shop.bill() for _ in range(BILLS)]
    block = [payment(bill, 5, index=index) for index, bill in enumerate(bills)]
    broken, others = bills[victim], bills[:victim] + bills[victim + 1 :]
    for place, name in enumerate(PASSES):
        if place == broken_at.start:
            await damage(desk, how, broken)
        if place == broken_at.stop:
            await mend(desk, how)
        await _pass(watcher, name, block)
        told = Status.PAYMENT_DETECTED if name == "seen" else Status.SCREENING
        assert {await shop.status(bill) for bill in others} == {told}
    assert await heights(desk) == (10, 10, 10)
    assert {await shop.deposited(bill) for bill in others} == {DUE}
    if broken_at.stop >= len(PASSES):
        await mend(desk, how)
    assert isinstance(desk.clock, FakeClock)
    await retell(desk, desk.clock)
    assert await shop.status(broken) is Status.SCREENING
    assert await shop.deposited(broken) == DUE
    assert await owed(shop, *bills) == frozenset()


async def _pass(watcher: Watcher, name: str, block: Sequence[Sighting]) -> None:
    match name:
        case "seen":
            await watcher.seen(0, 10, block)
        case "safe":
            await watcher.safe(10, block_hash(5))
        case _:
            await watcher.final(0, 10, *block)
