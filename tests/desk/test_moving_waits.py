"""Movements that wait: visibly, without a person, and without holding up any other."""

from datetime import timedelta

import pytest

from counterfoil.books import transfers
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.events import ApproveRefund, Decline, OrderRefund, TransferConfirmed
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.reckoning import tally
from counterfoil.core.roles import Actor, Permission, system
from counterfoil.db.rows import one_value
from counterfoil.desk import landing, moving
from counterfoil.desk.act import act, happen
from counterfoil.desk.landing import Landed, LandedItem
from counterfoil.desk.moving import Batch, Reserved, SignedBytes, SigningDelayed, Terms
from counterfoil.desk.objections import LONG
from counterfoil.desk.reach import held
from support.fake_clock import FakeClock
from support.invoices import CHECKER, DUE, OFFICERS, SIGNER, STRANGER
from support.till import TERMS, Till, quick_sign, reserve

SECOND = timedelta(seconds=1)


async def waits(till: Till, bill: Invoice, purpose: str = "sweep") -> str | None:
    """Why the invoice's movement waits; it must be ready."""
    move = await till.move(bill, purpose)
    assert move.status == "ready"
    return move.wait_reason


async def more_comes(till: Till, bill: Invoice, payer: str = STRANGER, units: int = DUE) -> None:
    """Another transfer arrives and is final, and the invoice is told."""
    before = await till.look(bill)
    await till.receive(bill, units, payer=payer)
    by = system("watch", bill.org_id)
    async with till.desk.database.transaction() as tx:
        await held(tx, bill.org_id, bill.invoice_id)
        rows = await transfers.of_invoices(tx, bill.org_id, [bill.invoice_id])
        total = tally(before.requests, map(transfers.received, rows), before.policy)
        event = TransferConfirmed(at=till.desk.clock.now(), by=by.uid, tally=total)
        await happen(till.desk, tx, before, event, by)


async def screenings_due(till: Till, bill: Invoice) -> int:
    query = "SELECT count(*) FROM effect WHERE invoice_id = %(id)s AND done_at IS NULL"
    async with till.desk.database.reading() as tx:
        return await one_value(tx, int, query, {"id": bill.invoice_id}) or 0


async def all_screened(till: Till, bill: Invoice) -> None:
    await till.screened(bill)
    async with till.desk.database.transaction() as tx:
        await tx.execute("UPDATE effect SET done_at = now()")


async def land_the_sweep(till: Till, units: int = DUE) -> None:
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    items = tuple(LandedItem(item.move.move_id, units) for item in open_tx.items)
    told = Landed("arb", open_tx.tx.tx_hash, 90, ok=True, fee_wei=1, items=items)
    await landing.settle(till.desk, told)


async def test_money_of_a_stranger_is_not_swept_before_it_is_screened(
    till: Till, clock: FakeClock
) -> None:
    bill = await till.signed_bill()
    await more_comes(till, bill)

    assert await reserve(till) is Reserved.WAITING
    assert await waits(till, bill) == "what has come in is not wholly screened yet"
    assert await till.txs() == []

    await all_screened(till, bill)
    clock.advance(SECOND)
    assert await reserve(till) is Reserved.SIGNED
    assert (await till.move(bill, "sweep")).wait_reason is None


async def test_the_same_sum_from_somebody_else_is_not_what_was_screened(
    till: Till, clock: FakeClock
) -> None:
    bill = await till.signed_bill()
    async with till.desk.database.transaction() as tx:
        await tx.execute("UPDATE transfer SET from_address = %(who)s", {"who": STRANGER})

    assert await reserve(till) is Reserved.WAITING
    await till.screened(bill)
    clock.advance(SECOND)
    assert await reserve(till) is Reserved.SIGNED


@pytest.mark.parametrize("depth", [1, 2])
async def test_money_that_may_still_vanish_is_waited_for(
    till: Till, clock: FakeClock, depth: int
) -> None:
    bill = await till.signed_bill()
    async with till.desk.database.transaction() as tx:
        await tx.execute("UPDATE transfer SET depth = %(depth)s", {"depth": depth})
    assert await reserve(till) is Reserved.WAITING
    assert await waits(till, bill) == "more money is on its way to this address and not final yet"

    async with till.desk.database.transaction() as tx:
        await tx.execute("UPDATE transfer SET depth = 3")
    clock.advance(SECOND)
    assert await reserve(till) is Reserved.SIGNED


async def test_other_sweeps_go_on_without_the_one_that_waits(till: Till) -> None:
    waiting, going = await till.signed_bill(), await till.signed_bill()
    await more_comes(till, waiting)

    assert [await reserve(till), await reserve(till)] == [Reserved.WAITING, Reserved.SIGNED]
    assert (await till.move(going, "sweep")).status == "signed"
    assert await moving.next_batch(till.desk, await till.wallet("operator")) is None


async def test_held_money_that_two_people_released_goes_on(till: Till) -> None:
    bill = await till.paid_bill()
    await till.screened(bill, "aml_hold")
    assert await till.status(bill) is Status.COMPLIANCE_HOLD
    await till.released(bill)
    await till.sign_off(bill)

    assert await reserve(till) is Reserved.SIGNED


async def test_a_release_says_nothing_about_money_that_came_after_it(
    till: Till, clock: FakeClock
) -> None:
    bill = await till.paid_bill()
    await till.screened(bill, "aml_hold")
    await till.released(bill)
    await till.sign_off(bill)
    clock.advance(SECOND)
    await more_comes(till, bill)
    batch = await till.batch("operator")
    await till.screened(bill, "aml_hold")

    assert await till.status(bill) is Status.COMPLIANCE_HOLD
    assert await moving.reserve(till.desk, batch, TERMS, quick_sign) is Reserved.CHANGED
    assert await till.txs() == []


async def test_money_that_was_never_screened_is_not_even_signed_for(till: Till) -> None:
    bill = await till.bill(status=Status.SIGN_PENDING)
    await till.receive(bill, DUE)
    with pytest.raises(OutOfPlace, match="being screened"):
        await till.sign_off(bill)
    assert await till.moves(bill, "payout") == []


async def test_money_that_came_while_a_refund_was_decided_on_is_screened_in_the_end(
    till: Till, clock: FakeClock
) -> None:
    bill = await till.paid_bill()
    await till.screened(bill, "aml_hold")
    for officer in OFFICERS:
        by = Actor(officer, 1, frozenset({Permission.REVIEW}))
        await act(
            till.desk, 1, bill.invoice_id, Decline(at=clock.now(), by=officer, reason="no"), by
        )
    await more_comes(till, bill)
    order = OrderRefund(
        at=clock.now(), by=SIGNER, address=STRANGER, reason="declined", attachment_file_ids=()
    )
    signer = Actor(SIGNER, 1, frozenset({Permission.SIGN}))
    await act(till.desk, 1, bill.invoice_id, order, signer)
    checker = Actor(CHECKER, 1, frozenset({Permission.SIGN}))
    await act(till.desk, 1, bill.invoice_id, ApproveRefund(at=clock.now(), by=CHECKER), checker)
    assert await screenings_due(till, bill) == 1
    clock.advance(SECOND)
    assert await reserve(till) is Reserved.WAITING
    assert await screenings_due(till, bill) == 1
    await all_screened(till, bill)
    clock.advance(SECOND)
    assert await reserve(till) is Reserved.SIGNED


async def test_a_payout_waits_for_what_was_swept_along_unscreened(
    till: Till, clock: FakeClock
) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await more_comes(till, bill)
    await land_the_sweep(till, 2 * DUE)

    assert await reserve(till, "pool") is Reserved.WAITING
    assert await waits(till, bill, "payout") == "what has come in is not wholly screened yet"
    await all_screened(till, bill)
    clock.advance(SECOND)
    assert await reserve(till, "pool") is Reserved.SIGNED


async def test_a_stranger_cannot_stop_a_payout_by_paying_after_the_sweep(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await land_the_sweep(till)
    await more_comes(till, bill, units=10_000)

    assert await reserve(till, "pool") is Reserved.SIGNED


async def test_what_the_signer_delays_waits_until_then_and_others_go_on(
    till: Till, clock: FakeClock
) -> None:
    bills = [await till.signed_bill() for _ in range(2)]
    await reserve(till)
    await land_the_sweep(till)
    midnight = clock.now() + timedelta(hours=12)

    async def too_much_today(_batch: Batch, _nonce: int, _terms: Terms) -> SignedBytes:
        raise SigningDelayed("too much for today", midnight)

    batch = await till.batch("pool")
    outcome = await moving.reserve(till.desk, batch, TERMS, too_much_today)
    assert outcome is Reserved.WAITING
    assert await waits(till, bills[0], "payout") == "the signer refused: too much for today"
    assert (await till.wallet("pool")).next_nonce == 0

    assert await reserve(till, "pool") is Reserved.SIGNED
    assert (await till.move(bills[1], "payout")).status == "signed"
    pool = await till.wallet("pool")
    clock.advance(midnight - clock.now() - SECOND)
    assert await moving.next_batch(till.desk, pool) is None
    clock.advance(SECOND)
    assert await moving.next_batch(till.desk, pool) is not None


async def test_pauses_double_up_to_a_bound(till: Till, clock: FakeClock) -> None:
    await till.signed_bill()
    operator = await till.wallet("operator")
    tried = []
    for second in range(70 * 60):
        if second < 16 or second % 60 == 0:
            batch = await moving.next_batch(till.desk, operator)
            if batch is not None:
                tried.append(second)
                await moving.wait(till.desk, batch, "dear", LONG)
        clock.advance(SECOND)

    assert tried[:6] == [0, 1, 2, 4, 8, 60]
    assert tried[-1] - tried[-2] == LONG.total_seconds()


async def test_an_idle_worker_asks_one_question_and_no_node(till: Till) -> None:
    assert await moving.chains_at_work(till.desk) == []

    bill = await till.signed_bill()
    assert await moving.chains_at_work(till.desk) == ["arb"]

    assert await reserve(till) is Reserved.SIGNED
    assert (await till.move(bill, "sweep")).status == "signed"
    assert await moving.chains_at_work(till.desk) == ["arb"]
