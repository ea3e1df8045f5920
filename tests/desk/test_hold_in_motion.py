"""Money held after the merchant signed: it stops where it is, and goes on from there or never."""

import asyncio
from datetime import timedelta

import pytest

from counterfoil.books import lost, moves
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.events import ApproveRefund, OrderRefund
from counterfoil.core.invoice import Context, Invoice, Policy, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import approving, landing, moving, queries, redirecting, stuck
from counterfoil.desk.act import act
from counterfoil.desk.landing import Landed, LandedItem
from counterfoil.desk.moving import Batch, Reserved, SignedBytes, Terms
from counterfoil.desk.refunding import in_motion
from support.fake_clock import FakeClock
from support.invoices import CHECKER, DUE, SIGNER, STRANGER
from support.till import TERMS, Till, fresh_hash, quick_sign, reserve
from support.treasury import declined

S = Status


async def nothing_to_sign(till: Till, role: str = "operator") -> bool:
    wallet = await till.wallet(role)  # type: ignore[arg-type]  # - a role by its name
    return await moving.next_batch(till.desk, wallet) is None


async def lands(till: Till, units: int = DUE) -> None:
    """What is in flight becomes final."""
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    items = tuple(LandedItem(item.move.move_id, units) for item in open_tx.items)
    told = Landed("arb", open_tx.tx.tx_hash, 90, ok=True, fee_wei=1, items=items)
    await landing.settle(till.desk, told)


async def test_a_hit_after_the_signature_holds_the_money_where_it_is(
    till: Till, clock: FakeClock
) -> None:
    bill = await till.signed_bill()
    clock.advance(timedelta(minutes=1))
    await till.screened(bill, "aml_hold")

    held = await till.look(bill)
    assert (held.status, held.context) == (S.COMPLIANCE_HOLD, Context.HIGH_RISK)
    assert await nothing_to_sign(till)

    await till.released(bill)
    assert (await till.look(bill)).context is Context.EXACT
    assert await till.status(bill) is S.SWEEPING
    assert await reserve(till) is Reserved.SIGNED


async def test_a_sweep_that_lands_while_held_is_heard_at_the_release(
    till: Till, clock: FakeClock
) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await till.screened(bill, "manual_review")
    await lands(till)

    held = await till.look(bill)
    assert held.status is S.COMPLIANCE_HOLD
    assert held.settled.swept_units(held.requests[0].asset) == DUE
    assert await nothing_to_sign(till, "pool")

    clock.advance(timedelta(hours=1))
    await till.released(bill)
    assert await till.status(bill) is S.PAYOUT_PROCESSING
    assert (await till.history(bill))[-3:] == ["release", "release", "swept"]
    assert await reserve(till, "pool") is Reserved.SIGNED


async def test_money_in_the_pool_is_held_there(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await lands(till)
    assert await till.status(bill) is S.PAYOUT_PROCESSING
    await till.screened(bill, "aml_hold")

    assert await till.status(bill) is S.COMPLIANCE_HOLD
    assert await nothing_to_sign(till, "pool")
    await till.released(bill)
    assert await till.status(bill) is S.PAYOUT_PROCESSING
    assert await reserve(till, "pool") is Reserved.SIGNED
    await lands(till)
    assert await till.status(bill) is S.COMPLETED


async def test_a_payout_that_lands_while_held_completes_it_at_the_release(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await lands(till)
    await reserve(till, "pool")
    await till.screened(bill, "aml_hold")
    await lands(till)
    assert await till.status(bill) is S.COMPLIANCE_HOLD

    await till.released(bill)

    assert await till.status(bill) is S.COMPLETED
    books = await till.books()
    assert (books.deposit, books.pool, books.merchant) == (0, 0, DUE)


async def test_without_a_payout_the_pool_is_the_end_after_a_hold_as_well(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    payout = await till.move(bill, "payout")
    async with till.desk.database.transaction() as tx:
        query = "UPDATE move SET status = 'failed' WHERE move_id = %s"
        await tx.execute(query, [payout.move_id])
    await till.screened(bill, "aml_hold")
    await lands(till)

    await till.released(bill)

    assert await till.status(bill) is S.COMPLETED


async def test_declined_in_motion_what_is_not_signed_never_happens(till: Till) -> None:
    bill = await till.signed_bill()
    await till.screened(bill, "aml_hold")
    await declined(till, bill)

    assert await till.status(bill) is S.COMPLIANCE_DECLINED
    assert {m.status for m in await till.moves(bill, "sweep")} == {"failed"}
    assert {m.status for m in await till.moves(bill, "payout")} == {"failed"}
    assert await nothing_to_sign(till)


async def test_declined_in_flight_the_sweep_is_booked_and_the_payout_never_made(
    till: Till,
) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await till.screened(bill, "aml_hold")
    await declined(till, bill)
    await lands(till)

    assert await till.status(bill) is S.COMPLIANCE_DECLINED
    assert (await till.move(bill, "sweep")).status == "final"
    assert (await till.move(bill, "payout")).status == "failed"
    books = await till.books()
    assert (books.deposit, books.pool, books.merchant) == (0, DUE, 0)
    assert await nothing_to_sign(till, "pool")


async def test_what_was_signed_once_may_still_land_and_is_not_given_up(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await lands(till)
    await reserve(till, "pool")
    payout = await till.move(bill, "payout")
    async with till.desk.database.transaction() as tx:
        await moves.park_signed(tx, till.org_id, [payout.move_id], "stuck", till.desk.clock.now())
    await till.screened(bill, "aml_hold")
    await declined(till, bill)

    assert (await till.move(bill, "payout")).status == "parked"
    assert in_motion(await till.moves(bill, "payout"))


async def refunded(till: Till, bill: Invoice) -> None:
    """One person orders that all of it goes back, another lets it."""
    at = till.desk.clock.now()
    may = frozenset({Permission.SIGN})
    order = OrderRefund(
        at=at, by=SIGNER, address=STRANGER, reason="declined", attachment_file_ids=()
    )
    for event in (order, ApproveRefund(at=at, by=CHECKER)):
        actor = Actor(event.by, till.org_id, may)
        await act(till.desk, bill.org_id, bill.invoice_id, event, actor)


async def test_declined_money_goes_back_from_its_address(till: Till) -> None:
    bill = await till.signed_bill()
    await till.screened(bill, "aml_hold")
    await declined(till, bill)
    await refunded(till, bill)

    assert await reserve(till) is Reserved.SIGNED
    await lands(till)
    assert await reserve(till, "pool") is Reserved.SIGNED
    await lands(till)

    assert await till.status(bill) is S.REFUNDED
    books = await till.books()
    assert (books.deposit, books.pool, books.merchant, books.payer) == (0, 0, 0, 0)
    assert [m.status for m in await till.moves(bill, "sweep")] == ["failed", "final"]
    assert (await till.move(bill, "payout")).status == "failed"


async def test_declined_money_that_was_swept_already_goes_back_from_the_pool(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await till.screened(bill, "aml_hold")
    await declined(till, bill)
    await lands(till)
    await refunded(till, bill)

    assert await nothing_to_sign(till)
    assert await reserve(till, "pool") is Reserved.SIGNED
    await lands(till)

    assert await till.status(bill) is S.REFUNDED
    books = await till.books()
    assert (books.deposit, books.pool, books.merchant, books.payer) == (0, 0, 0, 0)


async def lost_payout(till: Till, bill: Invoice) -> str:
    """Its payout was signed and nothing was kept of it; answers the wallet that signed."""
    await reserve(till)
    await lands(till)
    payout, pool = await till.move(bill, "payout"), await till.wallet("pool")
    await stuck.found_lost(till.desk, pool, 0, [payout.move_id], [fresh_hash()])
    return pool.address


async def test_a_refund_waits_while_a_lost_payout_of_the_same_money_may_still_land(
    till: Till, clock: FakeClock
) -> None:
    bill = await till.signed_bill()
    pool = await lost_payout(till, bill)
    await till.screened(bill, "aml_hold")
    await declined(till, bill)
    await refunded(till, bill)

    assert await reserve(till, "pool") is Reserved.WAITING
    waits = await till.move(bill, "refund")
    assert "nonce 0" in str(waits.wait_reason)
    assert "may still land" in str(waits.wait_reason)

    # The cancellation is signed: it has not landed, so the lost payout still could.
    async with till.desk.database.reading() as tx:
        hole = await lost.get(tx, "arb", pool, 0)
    assert hole is not None
    assert await stuck.cancel(till.desk, hole, TERMS, sign) is Reserved.SIGNED
    clock.advance(timedelta(minutes=1))
    assert await reserve(till, "pool") is Reserved.WAITING

    await lands(till)
    clock.advance(timedelta(minutes=1))
    assert await reserve(till, "pool") is Reserved.SIGNED
    await lands(till)
    assert await till.status(bill) is S.REFUNDED
    assert (await till.books()).payer == 0


async def test_a_refund_of_what_a_lost_payout_has_paid_after_all_stops_for_a_person(
    till: Till,
) -> None:
    bill = await till.signed_bill()
    pool = await lost_payout(till, bill)
    await till.screened(bill, "aml_hold")
    await declined(till, bill)
    await refunded(till, bill)
    async with till.desk.database.transaction() as tx:
        await lost.end(tx, "arb", pool, 0, "landed", till.desk.clock.now(), 95)

    assert await reserve(till, "pool") is Reserved.PARKED
    assert "landed after all" in str((await till.move(bill, "refund")).park_reason)

    # Nobody is told that the money is still here, and nobody gives it away another way.
    by = Actor("user_third", till.org_id, frozenset({Permission.SIGN, Permission.READ}))
    view = await queries.view(till.desk, bill.invoice_id, by)
    seen = await redirecting.standing(till.desk, view, by)
    assert seen is not None
    assert seen.may_have_left
    assert not seen.actions
    with pytest.raises(OutOfPlace, match="landed after all"):
        await approving.withdraw_payments(till.desk, bill.invoice_id, by, "pay it by hand")
    assert await till.status(bill) is S.REFUND_PROCESSING


async def sign(nonce: int, _terms: Terms) -> SignedBytes:
    tx_hash = fresh_hash()
    return SignedBytes(f"{nonce}:{tx_hash}".encode(), tx_hash)


@pytest.mark.parametrize("turn", range(6))
async def test_a_hold_a_moment_before_the_signature_wins(till: Till, turn: int) -> None:
    bill = await till.signed_bill()
    batch = await till.batch("operator")
    seen: list[Status] = []

    async def looking(batch: Batch, nonce: int, terms: Terms) -> SignedBytes:
        # What everybody else sees while the signer works; the hold must still be to come.
        seen.append(await till.status(bill))
        return await quick_sign(batch, nonce, terms)

    async def hold() -> None:
        for _ in range(turn):
            await asyncio.sleep(0)
        await till.screened(bill, "aml_hold")

    outcome, _ = await asyncio.gather(moving.reserve(till.desk, batch, TERMS, looking), hold())

    assert await till.status(bill) is S.COMPLIANCE_HOLD
    assert outcome in {Reserved.SIGNED, Reserved.CHANGED, Reserved.WAITING}
    assert seen == ([S.SWEEPING] if outcome is Reserved.SIGNED else [])
    assert ((await till.move(bill, "sweep")).status == "signed") == (outcome is Reserved.SIGNED)
    assert await nothing_to_sign(till)


async def test_officers_who_release_money_do_not_approve_a_payment_that_the_policy_signs_for(
    till: Till,
) -> None:
    bill = await till.bill(policy=Policy(sign_off_required=False))
    await till.receive(bill, DUE)
    await till.put(bill, S.SCREENING)
    await till.screened(bill, "aml_hold")
    assert await till.status(bill) is S.COMPLIANCE_HOLD

    await till.released(bill)

    assert await till.status(bill) is S.SWEEPING
    payout = await till.move(bill, "payout")
    assert (payout.amount_units, payout.warrant) == (DUE, None)
    signed = await till.move(await till.signed_bill(), "payout")
    assert signed.warrant is not None
