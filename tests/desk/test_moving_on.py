"""Movements that can never be made: what they were for goes on another way, once."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from counterfoil.api.kryptogo.views import invoice_intent
from counterfoil.books import notes
from counterfoil.core.errors import Forbidden, Invalid, NotFound, OutOfPlace
from counterfoil.core.events import ApproveRefund, OrderRefund, WithdrawRefund
from counterfoil.core.ids import public
from counterfoil.core.invoice import Invoice, RefundStatus, Status
from counterfoil.core.pay_links import PayLinks
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import (
    approving,
    commands,
    files,
    landing,
    moving,
    progress,
    proving,
    queries,
    redirecting,
    upkeep,
)
from counterfoil.desk.act import act
from counterfoil.desk.landing import Landed, LandedItem
from counterfoil.desk.moving import Reserved
from counterfoil.desk.possible import possible
from support.fake_clock import FakeClock
from support.invoices import CHECKER, DUE, MAKER, SIGNER, STRANGER, USDC, USDT
from support.life import surplus_to
from support.payments import PDF
from support.till import Till, reserve
from support.treasury import declined, land, refund


async def declined_with_a_reverted_sweep(till: Till, clock: FakeClock) -> Invoice:
    bill = await till.signed_bill()
    await reserve(till)
    clock.advance(timedelta(minutes=1))
    await till.screened(bill, "aml_hold")
    await declined(till, bill)
    await land(till, ok=False)
    assert (await till.move(bill, "sweep")).status == "parked"
    clock.advance(timedelta(minutes=1))
    return bill


async def test_a_parked_sweep_does_not_keep_a_refund_back_that_swept_the_money_itself(
    till: Till, clock: FakeClock
) -> None:
    bill = await declined_with_a_reverted_sweep(till, clock)
    await refund(till, bill)
    assert await reserve(till) is Reserved.SIGNED
    await land(till)

    first, second = await till.moves(bill, "sweep")
    assert (first.status, second.status) == ("failed", "final")
    async with till.desk.database.reading() as tx:
        (note,) = await notes.of_move(tx, 1, first.move_id)
    assert note.what.startswith("given up; it stood still because: reverted on chain")
    assert note.reason == "a later sweep emptied the address"
    assert await upkeep.held_up(till.desk) == []
    assert (await till.move(bill, "refund")).status == "ready"
    assert await reserve(till, "pool") is Reserved.SIGNED
    await land(till)
    assert await till.status(bill) is Status.REFUNDED
    books = await till.books()
    assert (books.deposit, books.pool, books.merchant, books.payer) == (0, 0, 0, 0)


@pytest.mark.parametrize("short_by", [1, DUE])
async def test_a_later_sweep_that_brought_less_leaves_the_earlier_one_standing(
    till: Till, clock: FakeClock, short_by: int
) -> None:
    bill = await declined_with_a_reverted_sweep(till, clock)
    await refund(till, bill)
    await reserve(till)
    await land(till, units=DUE - short_by)

    assert [move.status for move in await till.moves(bill, "sweep")] == ["parked", "final"]
    assert (await till.move(bill, "refund")).status == "waiting"
    assert await till.status(bill) is Status.REFUND_PROCESSING


async def test_only_the_same_address_and_token_emptied_later_counts(
    till: Till, clock: FakeClock
) -> None:
    bill = await declined_with_a_reverted_sweep(till, clock)
    parked = await till.move(bill, "sweep")
    later = replace(parked, move_id=till.desk.ids.new(), status="final", moved_units=DUE)
    assert progress.overtaken([parked, later]) == [parked]
    assert progress.overtaken([later, parked]) == []
    for other in (
        replace(later, deposit_mode="hd"),
        replace(later, contract=USDC.contract),
        replace(later, chain="base"),
        replace(later, purpose="restore"),
        replace(later, status="parked"),
    ):
        assert progress.overtaken([parked, other]) == []


THIRD = "user_third"
WHY = "the issuer blocked this address for good"
PERSON = Actor(THIRD, 1, frozenset({Permission.SIGN}))
OTHER_ADDRESS = "0x" + "a7" * 20


async def withdraw(till: Till, move_id: UUID, by: Actor = PERSON, reason: str = WHY) -> None:
    await approving.withdraw(till.desk, move_id, by, reason=reason)


async def told(till: Till, bill: Invoice) -> list[tuple[str, list[str]]]:
    """What the merchant reads of each refund: how it stands, and what of its amounts went."""
    by = Actor(SIGNER, till.org_id, frozenset({Permission.READ, Permission.REVIEW}))
    view = await queries.view(till.desk, bill.invoice_id, by)
    links = PayLinks(b"k" * 32, "https://pay.merchant.example")
    refunds = invoice_intent(view, by, links)["refunds"]
    return [(one["status"], [part["returned"] for part in one["amounts"]]) for one in refunds]


async def parked_refund(till: Till, *, signed: bool) -> Invoice:
    """A refund that reverted, or that no node would take."""
    bill = await till.paid_bill()
    await refund(till, bill)
    await reserve(till)
    await land(till)
    if signed:
        await reserve(till, "pool")
        await land(till, ok=False)
    else:
        leg = (await till.move(bill, "refund")).move_id
        await moving.park(till.desk, 1, {leg: "the chain would refuse it: blacklisted"})
    return bill


@pytest.mark.parametrize("signed", [True, False])
async def test_a_refund_to_a_blocked_address_is_withdrawn_and_goes_to_another_once(
    till: Till, *, signed: bool
) -> None:
    bill = await parked_refund(till, signed=signed)
    leg = await till.move(bill, "refund")
    await withdraw(till, leg.move_id)

    assert await till.status(bill) is Status.SIGN_PENDING
    assert await told(till, bill) == [("withdrawn", ["0.00"])]
    assert (await till.history(bill))[-2:] == ["payment_withdrawn", "withdraw_refund"]
    assert (await till.move(bill, "refund")).status == "failed"
    async with till.desk.database.reading() as tx:
        (note,) = await notes.of_move(tx, 1, leg.move_id)
    assert (note.by, note.reason) == (THIRD, WHY)
    assert note.what.startswith("withdrawn; it stood still because: ")

    await refund(till, bill, OTHER_ADDRESS)
    assert await reserve(till, "pool") is Reserved.SIGNED
    await land(till)
    assert await till.status(bill) is Status.REFUNDED
    first, second = await till.moves(bill, "refund")
    assert (first.status, first.destination) == ("failed", STRANGER)
    assert (second.status, second.destination) == ("final", OTHER_ADDRESS)
    books = await till.books()
    assert (books.deposit, books.pool, books.merchant, books.payer) == (0, 0, 0, 0)
    assert (await proving.verify_audit(till.desk)).breaks == ()


async def test_a_payout_signed_before_its_money_was_declined_leaves_the_budget_to_the_refund(
    till: Till, clock: FakeClock
) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till)
    await reserve(till, "pool")
    clock.advance(timedelta(minutes=1))
    await till.screened(bill, "aml_hold")
    payout = (await till.move(bill, "payout")).move_id
    with pytest.raises(OutOfPlace, match="is signed; only what is parked"):
        await withdraw(till, payout)
    await land(till, ok=False)
    with pytest.raises(OutOfPlace, match="its invoice is compliance_hold"):
        await withdraw(till, payout)
    await declined(till, bill)
    by = Actor(CHECKER, till.org_id, frozenset({Permission.READ, Permission.SIGN}))
    view = await queries.view(till.desk, bill.invoice_id, by)
    found = await redirecting.standing(till.desk, view, by)
    assert found is not None
    assert found.actions == {"withdraw_payments"}
    assert (found.waits, found.has_payout) == ("", False)
    assert await redirecting.standing_still(till.desk, by) == [bill.invoice_id]
    maker = Actor(public("user", UUID(int=5)), till.org_id, frozenset(Permission))
    papers = ((await files.store(till.desk, PDF, "why.pdf", maker)).file_id,)
    with pytest.raises(OutOfPlace, match="a payment of it stands still"):
        await commands.order_refund(
            till.desk, bill.invoice_id, by, address=STRANGER, reason="", attachments=papers
        )
    await withdraw(till, payout)
    assert await till.status(bill) is Status.COMPLIANCE_DECLINED

    clock.advance(timedelta(minutes=1))
    await refund(till, bill)
    assert await reserve(till, "pool") is Reserved.SIGNED
    await land(till)
    assert await till.status(bill) is Status.REFUNDED
    books = await till.books()
    assert (books.pool, books.merchant, books.payer) == (0, 0, 0)


async def test_a_surplus_that_was_signed_before_its_money_was_declined_is_told_when_it_lands(
    till: Till, clock: FakeClock
) -> None:
    bill = await till.bill(status=Status.SIGN_PENDING)
    await till.receive(bill, DUE + 9)
    await till.screened(bill)
    by = Actor(SIGNER, till.org_id, frozenset({Permission.SIGN}))
    signing = surplus_to(STRANGER, at=clock.now())
    await act(till.desk, till.org_id, bill.invoice_id, signing, by)
    await reserve(till)
    await land(till)
    for _ in range(2):
        await reserve(till, "pool")
    clock.advance(timedelta(minutes=1))
    await till.screened(bill, "aml_hold")
    await declined(till, bill)
    assert [one.status for one in (await till.look(bill)).refunds] == [RefundStatus.WITHDRAWN]
    assert await told(till, bill) == [("processing", ["0.00"])]

    for open_tx in await moving.open_txs(till.desk, "arb"):
        items = tuple(LandedItem(i.move.move_id, i.move.amount_units) for i in open_tx.items)
        await landing.settle(
            till.desk, Landed("arb", open_tx.tx.tx_hash, 90, ok=True, fee_wei=1, items=items)
        )
    assert await told(till, bill) == [("settled", ["0.000009"])]


async def overpaid(till: Till) -> Invoice:
    """Signed for and swept; the payout and the surplus wait in the pool."""
    bill = await till.bill(status=Status.SIGN_PENDING)
    await till.receive(bill, DUE + 9)
    await till.screened(bill)
    by = Actor(SIGNER, till.org_id, frozenset({Permission.SIGN}))
    at = till.desk.clock.now()
    signing = surplus_to(STRANGER, at=at)
    await act(till.desk, till.org_id, bill.invoice_id, signing, by)
    await reserve(till)
    await land(till)
    return bill


async def offered(till: Till, bill: Invoice) -> bool:
    by = Actor(THIRD, till.org_id, frozenset({Permission.SIGN, Permission.READ}))
    view = await queries.view(till.desk, bill.invoice_id, by)
    standing = await redirecting.standing(till.desk, view, by)
    given_up = standing is not None and "withdraw_payments" in standing.actions
    assert given_up or WithdrawRefund not in possible(view, by)
    return given_up


@pytest.mark.parametrize("paid_first", [True, False])
async def test_a_surplus_that_can_never_go_back_is_withdrawn_and_goes_to_another_address_once(
    till: Till, clock: FakeClock, *, paid_first: bool
) -> None:
    """The payout beside it goes its way, whichever ends first; the surplus stays until asked."""
    bill = await overpaid(till)
    back = (await till.move(bill, "partial_refund")).move_id
    with pytest.raises(OutOfPlace, match="is ready; only what is parked"):
        await withdraw(till, back)
    with pytest.raises(OutOfPlace, match="goes back together with the payout") as refused:
        await commands.withdraw_refund(till.desk, bill.invoice_id, PERSON, WHY)
    assert "withdraw_refund" not in str(refused.value.data["allowed"])
    if paid_first:
        for _ in range(2):
            await reserve(till, "pool")
        for open_tx in await moving.open_txs(till.desk, "arb"):
            (item,) = open_tx.items
            pays = item.move.purpose == "payout"
            items = (LandedItem(item.move.move_id, item.move.amount_units),) if pays else ()
            ended = Landed("arb", open_tx.tx.tx_hash, 90, pays, 1, items)
            await landing.settle(till.desk, ended)
    else:
        await moving.park(till.desk, 1, {back: "the chain would refuse it: blacklisted"})
        await reserve(till, "pool")
    assert await offered(till, bill)

    # One way only, by which whoever made the invoice does not come, and nobody without a reason.
    for by in (PERSON, Actor(MAKER, till.org_id, PERSON.permissions)):
        with pytest.raises(OutOfPlace, match="withdraw that payment instead"):
            await commands.withdraw_refund(till.desk, bill.invoice_id, by, WHY)
    await approving.withdraw_payments(till.desk, bill.invoice_id, PERSON, WHY)
    if not paid_first:
        assert await till.status(bill) is Status.PAYOUT_PROCESSING
        assert (await till.move(bill, "payout")).status == "signed", "it goes on"
        await land(till)

    assert await till.status(bill) is Status.COMPLETED
    assert await told(till, bill) == [("withdrawn", ["0.00"])]
    assert (await till.move(bill, "partial_refund")).status == "failed"
    assert (await till.books()).pool == 9
    assert not await offered(till, bill)

    at = clock.now()
    order = OrderRefund(
        at=at, by=SIGNER, address=OTHER_ADDRESS, reason="", attachment_file_ids=(), amounts=()
    )
    for event in (order, ApproveRefund(at=at, by=CHECKER)):
        signs = Actor(event.by, till.org_id, frozenset({Permission.SIGN}))
        await act(till.desk, till.org_id, bill.invoice_id, event, signs)
    await reserve(till, "pool")
    await land(till)
    assert await till.status(bill) is Status.COMPLETED
    assert await told(till, bill) == [("withdrawn", ["0.00"]), ("settled", ["0.000009"])]
    books = await till.books()
    assert (books.deposit, books.pool, books.merchant, books.payer) == (0, 0, DUE, -DUE)
    assert (await proving.verify_audit(till.desk)).breaks == ()


async def test_a_surplus_is_withdrawn_beside_a_payout_that_stands_still_and_is_paid_elsewhere(
    till: Till,
) -> None:
    bill = await overpaid(till)
    legs = [(await till.move(bill, purpose)).move_id for purpose in ("payout", "partial_refund")]
    await moving.park(till.desk, 1, dict.fromkeys(legs, "the chain would refuse it: blacklisted"))
    assert await offered(till, bill)
    await approving.withdraw_payments(till.desk, bill.invoice_id, PERSON, WHY)

    assert await till.status(bill) is Status.PAYOUT_PROCESSING
    assert (await till.move(bill, "payout")).status == "parked", "it is still to be made"
    with pytest.raises(OutOfPlace, match="no surplus is on its way"):
        await commands.withdraw_refund(till.desk, bill.invoice_id, PERSON, WHY)
    with pytest.raises(OutOfPlace, match="its invoice is payout_processing"):
        await approving.withdraw_payments(till.desk, bill.invoice_id, PERSON, WHY)
    await approving.approve_payments_again(till.desk, bill.invoice_id, PERSON, WHY)
    await reserve(till, "pool")
    await land(till)
    assert await till.status(bill) is Status.COMPLETED
    assert (await till.books()).pool == 9


async def test_only_who_may_withdraws_and_only_what_is_dead(till: Till) -> None:
    bill = await parked_refund(till, signed=True)
    leg = (await till.move(bill, "refund")).move_id
    with pytest.raises(Forbidden, match="transfer:sign"):
        await withdraw(till, leg, Actor(THIRD, 1, frozenset({Permission.REVIEW})))
    with pytest.raises(Forbidden, match="you ordered this refund"):
        await withdraw(till, leg, Actor(SIGNER, 1, frozenset({Permission.SIGN})))
    with pytest.raises(Forbidden, match="you made this invoice"):
        await withdraw(till, leg, Actor(MAKER, 1, frozenset({Permission.SIGN})))
    with pytest.raises(NotFound):
        await withdraw(till, leg, Actor(THIRD, 2, frozenset({Permission.SIGN})))
    with pytest.raises(Invalid, match="say what you found"):
        await withdraw(till, leg, reason=" ")
    async with till.desk.database.transaction() as tx:
        await tx.execute("UPDATE ingest.chain_tx SET status = 'sent' WHERE status = 'reverted'")
    with pytest.raises(OutOfPlace, match="not known to be dead"):
        await withdraw(till, leg)
    assert (await till.move(bill, "refund")).status == "parked"
    assert await till.status(bill) is Status.REFUND_PROCESSING


async def test_a_payout_that_is_still_to_be_made_is_not_withdrawn(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till)
    await reserve(till, "pool")
    await land(till, ok=False)
    with pytest.raises(OutOfPlace, match="its invoice is payout_processing"):
        await withdraw(till, (await till.move(bill, "payout")).move_id)


async def test_a_refund_of_two_tokens_ends_with_the_one_that_went_out(till: Till) -> None:
    bill = await till.bill(assets=(USDT, USDC), due_units=DUE, status=Status.SIGN_PENDING)
    for asset in (USDT, USDC):
        await till.receive(bill, DUE // 2, asset)
    await till.screened(bill)
    await refund(till, bill)
    for _ in range(2):
        await reserve(till)
        await land(till)
    await reserve(till, "pool")
    await land(till)
    (leg,) = [move for move in await till.moves(bill, "refund") if move.status == "ready"]
    await moving.park(till.desk, 1, {leg.move_id: "the chain would refuse it: blacklisted"})
    await withdraw(till, leg.move_id)

    after = await till.look(bill)
    assert after.status is not Status.REFUND_PROCESSING
    assert [one.status for one in after.refunds] == [RefundStatus.SETTLED]
    # Which of the two went first is not for this story to say.
    ((state, returned),) = await told(till, bill)
    assert (state, sorted(returned)) == ("partly_settled", ["0.00", "50.00"])
    assert (await till.history(bill))[-2:] == ["payment_withdrawn", "refund_settled"]
    await refund(till, bill, OTHER_ADDRESS)
    assert await reserve(till, "pool") is Reserved.SIGNED
    await land(till)
    assert await till.status(bill) is Status.REFUNDED
