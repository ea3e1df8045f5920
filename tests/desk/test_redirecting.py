"""Payouts that can never be made go to another registered address, once and when it is safe."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import LiteralString
from uuid import UUID

import pytest

from counterfoil.books import audit, lost, notes, outbox
from counterfoil.core import ids
from counterfoil.core.errors import Forbidden, Invalid, NotFound, OutOfPlace, Refusal
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.seal import LogEntry, link
from counterfoil.core.warrant import check_warrant
from counterfoil.db.rows import execute
from counterfoil.desk import approving, moving, proving, queries, redirecting, stuck
from counterfoil.desk.moving import Reserved
from counterfoil.desk.redirecting import Standing
from counterfoil.desk.warrants import claimed_warrant
from support.fake_clock import FakeClock
from support.invoices import DUE, MAKER, MERCHANT_ADDRESS, STRANGER
from support.till import Till, fresh_hash, reserve
from support.treasury import allow_one_person, land, listed, member, register, remove

TREASURY = "0x" + "7e" * 20
WHY = "the issuer has frozen this address for good"
SIGNS = frozenset({Permission.SIGN, Permission.READ})
SAM_ID, SUE_ID = UUID(int=0x5A), UUID(int=0x5E)
SAM, SUE = (Actor(ids.public("user", one), 1, SIGNS) for one in (SAM_ID, SUE_ID))
MAYA = Actor(MAKER, 1, SIGNS)


@pytest.fixture(autouse=True)
async def signers(till: Till) -> None:
    """Whoever orders has to be a signer still when another one approves."""
    await member(till.desk, SAM_ID, "Sam", "signer")
    await member(till.desk, SUE_ID, "Sue", "signer")


async def stuck_payout(till: Till, *, signed: bool = True) -> Invoice:
    """A payout that reverted, or that no node would take."""
    bill = await till.bill(status=Status.SIGN_PENDING, callback_url="https://merchant.example/cb")
    await till.receive(bill, DUE)
    await till.screened(bill)
    bill = await till.sign_off(bill)
    await reserve(till)
    await land(till)
    if signed:
        await reserve(till, "pool")
        await land(till, ok=False)
    else:
        payout = (await till.move(bill, "payout")).move_id
        await moving.park(till.desk, 1, {payout: "the chain would refuse it: blacklisted"})
    assert (await till.move(bill, "payout")).status == "parked"
    return bill


async def redirect(
    till: Till, bill: Invoice, by: Actor = SAM, address: str = TREASURY, reason: str = WHY
) -> None:
    await redirecting.redirect(till.desk, bill.invoice_id, by, address=address, reason=reason)


async def approve(till: Till, bill: Invoice, by: Actor = SUE, *, last: bool = False) -> None:
    it = (await standing(till, bill, by)).order if last else None
    await redirecting.approve(till.desk, bill.invoice_id, by, seen=it.redirect_id if it else None)


async def withdraw(till: Till, bill: Invoice, by: Actor = SUE) -> None:
    await redirecting.withdraw(till.desk, bill.invoice_id, by, reason="not there either")


async def standing(till: Till, bill: Invoice, by: Actor = SAM) -> Standing:
    view = await queries.view(till.desk, bill.invoice_id, by)
    found = await redirecting.standing(till.desk, view, by)
    assert found is not None
    return found


async def completed_callbacks(till: Till, bill: Invoice) -> int:
    async with till.desk.database.reading() as tx:
        told = await outbox.of_invoice(tx, 1, bill.invoice_id)
    return sum(event.to_status == Status.COMPLETED for event in told)


@pytest.mark.parametrize("signed", [True, False])
async def test_a_payout_to_a_blocked_address_goes_to_another_one_exactly_once(
    till: Till, *, signed: bool
) -> None:
    await register(till, TREASURY)
    bill = await stuck_payout(till, signed=signed)
    old = await till.move(bill, "payout")
    await redirect(till, bill)
    assert (await till.move(bill, "payout")).status == "parked"
    assert await moving.next_batch(till.desk, await till.wallet("pool")) is None
    await approve(till, bill)

    given_up, new = await till.moves(bill, "payout")
    assert (given_up.move_id, given_up.status) == (old.move_id, "failed")
    assert (new.status, new.destination, new.amount_units) == ("ready", TREASURY, DUE)
    assert (new.approved_by, new.nonce, new.generation) == (SUE.uid, None, 0)
    warrant = claimed_warrant(new)
    assert warrant is not None
    assert check_warrant(warrant, new.warrant or "", till.desk.approval_key or b"")
    async with till.desk.database.reading() as tx:
        (note,) = await notes.of_move(tx, 1, old.move_id)
        entries = [entry for entry, _ in await audit.of_invoice(tx, 1, bill.invoice_id)]
    assert note.what.startswith(
        f"sent to {TREASURY} instead, as {SAM.uid} ordered, saying: {WHY}; it stood still because: "
    )
    assert (note.by, note.reason) == (SUE.uid, "")
    ordered, made = entries[-2:]
    assert (ordered.event, ordered.operator_uid) == ("redirect_ordered", SAM.uid)
    assert (made.event, made.operator_uid) == ("payout_redirected", SUE.uid)
    assert (ordered.reason, made.reason) == (WHY, "")
    assert made.metadata["destination"] == TREASURY
    assert made.metadata["moves"] == [
        {"from": str(old.move_id), "to": str(new.move_id), "amount_units": str(DUE)}
    ]

    assert await reserve(till, "pool") is Reserved.SIGNED
    await land(till)
    assert await till.status(bill) is Status.COMPLETED
    assert await moving.next_batch(till.desk, await till.wallet("pool")) is None
    books = await till.books()
    assert (books.deposit, books.pool, books.merchant) == (0, 0, DUE)
    assert await completed_callbacks(till, bill) == 1
    assert (await proving.verify_audit(till.desk)).breaks == ()
    with pytest.raises(OutOfPlace, match="its invoice is completed"):
        await redirect(till, bill)


async def test_one_orders_and_another_who_did_not_make_the_invoice_approves(till: Till) -> None:
    await register(till, TREASURY)
    bill = await stuck_payout(till)
    with pytest.raises(OutOfPlace, match="nobody has ordered"):
        await approve(till, bill)
    for nobody in (Actor(SAM.uid, 1, frozenset({Permission.ADMINISTER, Permission.READ})),):
        with pytest.raises(Forbidden, match="transfer:sign"):
            await redirect(till, bill, nobody)
    with pytest.raises(NotFound):
        await redirect(till, bill, Actor(SAM.uid, 2, SIGNS))
    with pytest.raises(Invalid, match="say what you found"):
        await redirect(till, bill, reason=" ")
    await redirect(till, bill)
    with pytest.raises(OutOfPlace, match="waits for its second person"):
        await redirect(till, bill, SUE)
    with pytest.raises(Forbidden, match="you ordered this"):
        await approve(till, bill, SAM)
    with pytest.raises(Forbidden, match="you made this invoice"):
        await approve(till, bill, MAYA)
    with pytest.raises(NotFound):
        await approve(till, bill, Actor(SUE.uid, 2, SIGNS))
    assert (await standing(till, bill, SAM)).actions == {"approve_payments", "withdraw_redirect"}
    assert (await standing(till, bill, MAYA)).actions == {"withdraw_redirect"}
    assert "approve_redirect" in (await standing(till, bill, SUE)).actions
    await withdraw(till, bill)
    with pytest.raises(OutOfPlace, match="nobody has ordered"):
        await approve(till, bill)
    assert (await standing(till, bill, MAYA)).actions == {"redirect"}
    assert (await till.history(bill))[-2:] == ["redirect_ordered", "redirect_withdrawn"]
    assert (await till.move(bill, "payout")).status == "parked"


async def test_an_order_that_nobody_approves_in_seven_days_runs_out_and_is_given_anew(
    till: Till, clock: FakeClock
) -> None:
    await register(till, TREASURY)
    bill = await stuck_payout(till)
    await redirect(till, bill)
    ordered = clock.now()
    clock.advance(timedelta(days=7, microseconds=-1))
    seen = await standing(till, bill, SUE)
    assert "approve_redirect" in seen.actions
    assert (seen.order is not None, seen.ran_out) == (True, False)
    with pytest.raises(OutOfPlace, match="waits for its second person"):
        await redirect(till, bill, SUE)
    clock.advance(timedelta(microseconds=1))

    async with till.desk.database.reading() as tx:
        (*_, (entry, _)) = await audit.of_invoice(tx, 1, bill.invoice_id)
    assert entry.metadata["until"] == (ordered + timedelta(days=7)).isoformat()
    sentence = rf"good until {ordered + timedelta(days=7):%Y-%m-%d %H:%M} UTC.*order it anew"
    with pytest.raises(OutOfPlace, match=sentence):
        await approve(till, bill)
    with pytest.raises(OutOfPlace, match=sentence):
        await withdraw(till, bill)
    seen = await standing(till, bill, SUE)
    assert seen.ran_out
    assert seen.actions == {"approve_payments", "redirect"}
    assert [move.status for move in await till.moves(bill, "payout")] == ["parked"]

    await redirect(till, bill, SUE)
    with pytest.raises(Forbidden, match="you ordered this"):
        await approve(till, bill, SUE)
    await approve(till, bill, SAM, last=True)
    assert (await till.moves(bill, "payout"))[-1].destination == TREASURY
    assert (await proving.verify_audit(till.desk)).breaks == ()


async def test_where_one_person_is_enough_it_is_done_at_once_but_not_by_the_maker(
    till: Till,
) -> None:
    await register(till, TREASURY)
    await allow_one_person(till)
    bill = await stuck_payout(till)
    with pytest.raises(Forbidden, match="you made this invoice"):
        await redirect(till, bill, MAYA)
    await redirect(till, bill)
    assert (await till.moves(bill, "payout"))[-1].destination == TREASURY
    assert (await till.history(bill))[-1] == "payout_redirected"
    assert (await proving.verify_audit(till.desk)).breaks == ()


async def test_it_goes_to_registered_addresses_only_and_is_looked_at_again_at_the_approval(
    till: Till,
) -> None:
    where = await register(till, TREASURY)
    await register(till, STRANGER, "Later", wait=timedelta(hours=1))
    await register(till, MERCHANT_ADDRESS, "As before")
    bill = await stuck_payout(till)
    assert [one.label for one in (await standing(till, bill)).choices] == ["Treasury"]
    for address, sentence in (
        ("0x" + "0d" * 20, "is no registered payout address"),
        (STRANGER, "registered as Later, but good only from"),
        (MERCHANT_ADDRESS, "is where it was to go already"),
        ("0x1", "payout_address"),
    ):
        with pytest.raises(Invalid, match=sentence):
            await redirect(till, bill, address=address)
    await redirect(till, bill)
    await remove(till, where)
    with pytest.raises(Invalid, match="is no registered payout address"):
        await approve(till, bill)
    await register(till, TREASURY)
    await listed(till, TREASURY)
    with pytest.raises(Invalid, match="is on the sanctions list OFAC_SDN"):
        await approve(till, bill)
    assert [move.status for move in await till.moves(bill, "payout")] == ["parked"]


async def test_nothing_goes_elsewhere_while_the_first_payment_may_still_be_made(
    till: Till, clock: FakeClock
) -> None:
    await register(till, TREASURY)
    bill = await stuck_payout(till)
    async with till.desk.database.transaction() as tx:
        await execute(
            tx, "UPDATE ingest.chain_tx SET status = 'sent' WHERE status = 'reverted'", {}
        )
    with pytest.raises(OutOfPlace, match="nonce 0, which is not known to be dead"):
        await redirect(till, bill)
    seen = await standing(till, bill)
    assert "not known to be dead" in seen.waits
    assert seen.actions == frozenset()
    async with till.desk.database.transaction() as tx:
        await execute(
            tx, "UPDATE ingest.chain_tx SET status = 'reverted' WHERE status = 'sent'", {}
        )
    await redirect(till, bill)
    payout = (await till.move(bill, "payout")).move_id
    await approving.approve_again(till.desk, payout, SUE, reason=WHY)
    with pytest.raises(OutOfPlace, match="no payout of this invoice stands still"):
        await approve(till, bill)
    assert await reserve(till, "pool") is Reserved.SIGNED
    with pytest.raises(OutOfPlace):
        await approve(till, bill)
    await land(till)
    clock.advance(timedelta(minutes=1))
    assert await till.status(bill) is Status.COMPLETED
    assert (await till.books()).merchant == DUE
    with pytest.raises(OutOfPlace, match="its invoice is completed"):
        await approve(till, bill)


async def test_a_signature_that_got_lost_holds_the_new_payment_up_and_stops_it_once_it_landed(
    till: Till, clock: FakeClock
) -> None:
    await register(till, TREASURY)
    await register(till, STRANGER, "Safe")
    bill = await stuck_payout(till, signed=False)
    old = (await till.move(bill, "payout")).move_id
    await redirect(till, bill)
    await approve(till, bill)
    pool = await till.wallet("pool")
    await stuck.found_lost(till.desk, pool, 0, [old], [fresh_hash()])
    assert await reserve(till, "pool") is Reserved.WAITING
    new = (await till.moves(bill, "payout"))[-1]
    assert "may still land; waiting until that nonce is used up" in (new.wait_reason or "")
    async with till.desk.database.transaction() as tx:
        await lost.end(tx, "arb", pool.address, 0, "landed", clock.now(), 90)
    clock.advance(timedelta(minutes=2))
    assert await reserve(till, "pool") is Reserved.PARKED
    assert "landed after all" in ((await till.moves(bill, "payout"))[-1].park_reason or "")
    seen = await standing(till, bill, SUE)
    assert "landed after all" in seen.waits
    assert not seen.actions
    with pytest.raises(OutOfPlace, match="landed after all"):
        await approving.approve_payments_again(till.desk, bill.invoice_id, SUE, WHY)
    with pytest.raises(OutOfPlace, match="landed after all"):
        await redirect(till, bill, SAM, STRANGER)
    assert [move.status for move in await till.moves(bill, "payout")] == ["failed", "parked"]


async def test_twenty_approvals_at_once_make_one_payment(till: Till) -> None:
    await register(till, TREASURY)
    bill = await stuck_payout(till)
    await redirect(till, bill)

    async def one(number: int) -> int:
        try:
            await approve(till, bill, Actor(f"user_{number}", 1, SIGNS))
        except Refusal:
            return 0
        return 1

    assert sum(await asyncio.gather(*map(one, range(20)))) == 1
    assert [m.status for m in await till.moves(bill, "payout")] == ["failed", "ready"]


@pytest.mark.parametrize(
    ("by_hand", "finding"),
    [
        (
            "UPDATE move SET destination = '0xthief' WHERE status = 'ready'",
            "goes elsewhere than the invoice says",
        ),
        (
            "UPDATE move SET amount_units = 10 WHERE status = 'ready'",
            "goes elsewhere than the invoice says",
        ),
        (
            "UPDATE move SET source_id = md5('another') WHERE status = 'ready'",
            "goes elsewhere than the invoice says",
        ),
        (
            "UPDATE move SET approved_by = 'user_else' WHERE status = 'ready'",
            "that the log does not know",
        ),
    ],
)
async def test_a_redirected_payout_that_was_changed_by_hand_is_found(
    till: Till, by_hand: str, finding: str
) -> None:
    await register(till, TREASURY)
    bill = await stuck_payout(till)
    await redirect(till, bill)
    await approve(till, bill)
    async with till.desk.database.transaction() as tx:
        await execute(tx, by_hand, {})
    (broken,) = (await proving.verify_audit(till.desk)).breaks
    assert finding in broken.finding


async def test_what_was_changed_by_hand_before_is_not_sent_on(till: Till) -> None:
    await register(till, TREASURY)
    bill = await stuck_payout(till)
    await redirect(till, bill)
    async with till.desk.database.transaction() as tx:
        await execute(tx, "UPDATE move SET amount_units = 10 WHERE purpose = 'payout'", {})
    with pytest.raises(OutOfPlace, match="is not what was approved"):
        await approve(till, bill)


async def log_of(till: Till, bill: Invoice) -> list[LogEntry]:
    async with till.desk.database.reading() as tx:
        return [entry for entry, _ in await audit.of_invoice(tx, 1, bill.invoice_id)]


async def write_by_hand(till: Till, bill: Invoice, entry: LogEntry) -> LogEntry:
    """Somebody adds an entry to a log, with a link that fits."""
    async with till.desk.database.transaction() as tx:
        (*_, (last, seal)) = await audit.of_invoice(tx, 1, bill.invoice_id)
        written = replace(entry, sequence=last.sequence + 1)
        await audit.append_all(tx, [(written, link(seal, written))])
        await execute(tx, "UPDATE invoice SET version = version + 1", {})
    return written


@pytest.mark.parametrize(
    "changed",
    [
        {"destination": STRANGER},
        {"destination": STRANGER, "sealed": ""},
        {"until": "2099-01-01T00:00:00+00:00"},
    ],
)
async def test_an_order_that_nobody_gave_is_not_approved_however_well_its_log_fits(
    till: Till, changed: dict[str, str]
) -> None:
    await register(till, TREASURY)
    await register(till, STRANGER, "Safe")
    bill = await stuck_payout(till)
    await redirect(till, bill)
    given = (await log_of(till, bill))[-1]
    await withdraw(till, bill)
    await write_by_hand(till, bill, replace(given, metadata={**given.metadata, **changed}))
    assert (await proving.verify_audit(till.desk)).breaks == ()
    seen = await standing(till, bill, SUE)
    assert "does not bear our seal" in seen.void
    assert seen.actions == {"approve_payments", "redirect"}
    with pytest.raises(OutOfPlace, match="does not bear our seal"):
        await approve(till, bill)
    assert [move.status for move in await till.moves(bill, "payout")] == ["parked"]


async def test_a_log_whose_end_was_cut_off_is_not_believed(till: Till) -> None:
    await register(till, TREASURY)
    bill = await stuck_payout(till)
    await redirect(till, bill)
    async with till.desk.database.transaction() as tx:
        await execute(tx, "UPDATE invoice SET version = version + 1", {})
    with pytest.raises(OutOfPlace, match="changed by hand; treat it as an attack"):
        await approve(till, bill)


@pytest.mark.parametrize(
    "gone",
    [
        "UPDATE member SET disabled_at = created_at",
        "UPDATE member SET roles = '{reviewer}'",
    ],
)
async def test_an_order_of_somebody_who_may_not_sign_any_more_is_given_anew(
    till: Till, gone: LiteralString
) -> None:
    await register(till, TREASURY)
    bill = await stuck_payout(till)
    await redirect(till, bill)
    async with till.desk.database.transaction() as tx:
        await execute(tx, gone, {})
    with pytest.raises(OutOfPlace, match="whoever ordered this may not sign any more"):
        await approve(till, bill)
    assert (await standing(till, bill, SUE)).actions == {"approve_payments", "redirect"}
    await redirect(till, bill, SUE)
    assert (await till.history(bill))[-2:] == ["redirect_ordered", "redirect_ordered"]


async def test_who_ordered_where_it_goes_does_not_approve_it_again_but_another_order(
    till: Till,
) -> None:
    await register(till, TREASURY)
    await register(till, STRANGER, "Safe")
    bill = await stuck_payout(till)
    await redirect(till, bill)
    await approve(till, bill, SUE)
    payout = (await till.moves(bill, "payout"))[-1]
    await moving.park(till.desk, 1, {payout.move_id: "the chain would refuse it: blacklisted"})
    assert (await standing(till, bill, SAM)).actions == {"redirect"}
    assert "approve_payments" in (await standing(till, bill, SUE)).actions
    with pytest.raises(Forbidden, match="you ordered that it goes there"):
        await approving.approve_again(till.desk, payout.move_id, SAM, reason=WHY)
    assert (await till.moves(bill, "payout"))[-1].status == "parked"

    await redirect(till, bill, SUE, STRANGER)
    await approve(till, bill, SAM, last=True)
    assert (await till.moves(bill, "payout"))[-1].destination == STRANGER


async def test_a_redirected_payout_whose_address_is_removed_before_it_is_signed_stands_still(
    till: Till,
) -> None:
    where = await register(till, TREASURY)
    bill = await stuck_payout(till)
    await redirect(till, bill)
    await approve(till, bill)
    await remove(till, where)
    assert await reserve(till, "pool") is Reserved.PARKED
    moved = (await till.moves(bill, "payout"))[-1]
    assert "is no registered payout address" in (moved.park_reason or "")
    await register(till, STRANGER, "Safe")
    await redirect(till, bill, address=STRANGER)
    await approve(till, bill, last=True)
    assert await reserve(till, "pool") is Reserved.SIGNED
    await land(till)
    statuses = [(m.status, m.destination) for m in await till.moves(bill, "payout")]
    assert statuses == [
        ("failed", MERCHANT_ADDRESS),
        ("failed", TREASURY),
        ("final", STRANGER),
    ]
    assert await till.status(bill) is Status.COMPLETED
    assert (await till.books()).merchant == DUE
    assert (await proving.verify_audit(till.desk)).breaks == ()


async def test_held_money_goes_nowhere(till: Till) -> None:
    await register(till, TREASURY)
    bill = await stuck_payout(till)
    await redirect(till, bill)
    await till.put(bill, Status.COMPLIANCE_HOLD)
    with pytest.raises(OutOfPlace, match="its invoice is compliance_hold"):
        await approve(till, bill)
    assert await redirecting.standing_still(till.desk, SAM) == []
    await till.put(bill, Status.PAYOUT_PROCESSING)
    assert await redirecting.standing_still(till.desk, SAM) == [bill.invoice_id]
    assert await redirecting.standing_still(till.desk, Actor(SAM.uid, 2, SIGNS)) == []
