"""A payment approved again or withdrawn, by a person, once its earlier nonce is known to be dead.

The signer gives a payment one nonce. It gives it another only under a new warrant, which says how
many there were before and which nonce it replaces. What that rests on is looked up here in what
workers found out at finalized blocks (docs/decisions/0011-a-payment-approved-again.md).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from counterfoil.books import lost, moves, notes, retries, wallets
from counterfoil.books.moves import MovePurpose, MoveRow
from counterfoil.books.notes import MoveNote
from counterfoil.books.wallets import TxRow
from counterfoil.core.errors import Forbidden, Invalid, NotFound, OutOfPlace
from counterfoil.core.events import WithdrawRefund
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission, system
from counterfoil.core.rules import makers
from counterfoil.core.warrant import Warrant, check_warrant, seal_warrant
from counterfoil.db.pool import Tx
from counterfoil.desk import progress, queries
from counterfoil.desk.act import happen
from counterfoil.desk.adopting import is_dead
from counterfoil.desk.desk import Desk
from counterfoil.desk.idempotency import Idempotent, once
from counterfoil.desk.metadata import ApprovedAgain, PaymentWithdrawn
from counterfoil.desk.moving import RUNS_WHILE
from counterfoil.desk.objections import OUTGOING, gone_before, over_budget
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.reach import locked
from counterfoil.desk.record import record
from counterfoil.desk.redirect_orders import orderer_of
from counterfoil.desk.refunding import legs_of
from counterfoil.desk.registered import barred
from counterfoil.desk.warrants import claimed_warrant

_REFUNDS_IN: Final = frozenset({Status.REFUND_PROCESSING, Status.PAYOUT_PROCESSING})
"""Where refunds are made: by themselves, and as a surplus beside the payout."""

_KNOWN_DEAD: Final = frozenset({"cancelled", "gone"})


async def approve_again(desk: Desk, move_id: UUID, by: Actor, *, reason: str) -> int:
    """Let a parked payment be made under a new approval; answers how many it has had before.

    The same movement with the same destination and amount: what was sealed the first time is
    compared first, so that nobody approves what a hand in the database made of it. Raises
    `NotFound`, `Forbidden`, `Invalid` without a reason, and `OutOfPlace` for what is not parked, is
    not a payment, has moved something, may still be made by an earlier nonce, or goes where nothing
    may be sent any more: to an address that was removed, or is on a sanctions list by now.
    """
    must_be_said(by, reason)

    async def approve(tx: Tx) -> int:
        invoice, move = await _held(tx, by, move_id)
        await _approve(desk, tx, invoice, move, by, reason)
        return move.generation + 1

    return await desk.database.run(approve)


async def approve_payments_again(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """The same for every parked payment of an invoice: all of them, or none."""
    must_be_said(by, reason)

    async def approve(tx: Tx) -> InvoiceView:
        async def do() -> InvoiceView:
            invoice = await locked(tx, by, invoice_id)
            parked = await _parked(tx, invoice)
            if not parked:
                raise OutOfPlace("no payment of this invoice is parked, so none needs approval")
            for one in parked:
                move = await moves.lock(tx, by.org_id, one.move_id) or one
                invoice = await _approve(desk, tx, invoice, move, by, reason)
            return await queries.full_view(desk, tx, invoice)

        return await once(desk, tx, by, idempotent, do)

    return await desk.database.run(approve)


async def withdraw(desk: Desk, move_id: UUID, by: Actor, *, reason: str) -> None:
    """Give up a parked payment that can never be made, so that its money may go another way.

    A payout of money that was declined since, and whatever is to go back: for a refund, or as a
    surplus beside the payout. The refund ends where nothing of it is left to be made: called off if
    none of it went out, else with what did; another one, to another address, then takes its own
    order, approval and screening. Raises `NotFound`, `Forbidden`, `Invalid` without a reason, and
    `OutOfPlace` as `approve_again` does.
    """
    must_be_said(by, reason)

    async def give_up(tx: Tx) -> None:
        await _withdraw(desk, tx, await _held(tx, by, move_id), by, reason)

    await desk.database.run(give_up)


async def withdraw_payments(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """The same for every parked payment of an invoice's refund, or of its declined money.

    All of them are given up, or none.
    """
    must_be_said(by, reason)

    async def give_up(tx: Tx) -> InvoiceView:
        async def do() -> InvoiceView:
            invoice = await locked(tx, by, invoice_id)
            parked = await _parked(tx, invoice)
            # A payout may stand beside the refund, parked since before the money was declined.
            mine = [move for move in parked if is_of_open_refund(move, invoice)] or parked
            if not mine:
                raise OutOfPlace("no payment of this invoice is parked, so none can be withdrawn")
            for one in mine:
                move = await moves.lock(tx, by.org_id, one.move_id) or one
                invoice = await _withdraw(desk, tx, (invoice, move), by, reason)
            return await queries.full_view(desk, tx, invoice)

        return await once(desk, tx, by, idempotent, do)

    return await desk.database.run(give_up)


async def _parked(tx: Tx, invoice: Invoice) -> list[MoveRow]:
    planned = await moves.of_invoices(tx, invoice.org_id, [invoice.invoice_id])
    return [move for move in planned if move.purpose in OUTGOING and move.status == "parked"]


async def _withdraw(
    desk: Desk, tx: Tx, what: tuple[Invoice, MoveRow], by: Actor, reason: str
) -> Invoice:
    """Give up one payment, which the caller holds locked behind its invoice."""
    invoice, move = what
    _must_be_parked(move)
    _must_have_another_way(move, invoice)
    await must_be_checker(tx, invoice, move, by)
    await dead_nonce(tx, move)
    now = desk.clock.now()
    await moves.give_up(tx, by.org_id, [move.move_id], now)
    stood = f"withdrawn; it stood still because: {move.park_reason}"
    note = MoveNote(by.org_id, desk.ids.new(), move.move_id, now, by.uid, stood, reason)
    await notes.add_to_move(tx, note)
    event = PaymentWithdrawn(at=now, by=by.uid, reason=reason, move_id=move.move_id)
    after = await record(desk, tx, invoice, invoice, event=event, by=by, todo=())
    if invoice.status not in _REFUNDS_IN:
        return after
    return await _end_refund(desk, tx, after, by, reason)


async def _end_refund(desk: Desk, tx: Tx, invoice: Invoice, by: Actor, reason: str) -> Invoice:
    """End the open refund unless some of it is still to be made."""
    refund, now = invoice.open_refund, desk.clock.now()
    planned = await moves.of_invoices(tx, invoice.org_id, [invoice.invoice_id])
    legs = [] if refund is None else legs_of(refund, planned)
    if any(leg.status not in {"final", "failed"} for leg in legs):
        return invoice
    if all(leg.status == "failed" for leg in legs):
        event = WithdrawRefund(at=now, by=by.uid, reason=reason)
        return await happen(desk, tx, invoice, event, by)
    landed: set[MovePurpose] = {leg.purpose for leg in legs}
    for fact in await progress.facts(tx, invoice, now, landed):
        invoice = await happen(desk, tx, invoice, fact, system("move", invoice.org_id))
    return invoice


def is_of_open_refund(move: MoveRow, invoice: Invoice) -> bool:
    """Whether a payment belongs to the refund that is being made."""
    refund = invoice.open_refund
    return refund is not None and refund.refund_id.hex == move.source_id


def _must_have_another_way(move: MoveRow, invoice: Invoice) -> None:
    """Refuse where nothing could be done with the money instead."""
    if invoice.status is Status.COMPLIANCE_DECLINED:
        return
    if invoice.status not in _REFUNDS_IN or not is_of_open_refund(move, invoice):
        raise OutOfPlace(
            f"its invoice is {invoice.status.value}; a payment is withdrawn only when its money was"
            " declined, or when it belongs to the refund that is being made"
        )


def must_be_said(by: Actor, reason: str) -> None:
    """Refuse whoever may not approve payments, or does not say why."""
    by.require(Permission.SIGN)
    if not reason.strip():
        raise Invalid.field("reason", "is required: say what you found, for those who look later")


async def _approve(  # noqa: PLR0913, PLR0917 - who approves which payment, and why
    desk: Desk, tx: Tx, invoice: Invoice, move: MoveRow, by: Actor, reason: str
) -> Invoice:
    """Approve one payment, which the caller holds locked behind its invoice."""
    warrant = old_warrant(desk, move)
    must_be_in_place(move, invoice)
    await must_be_checker(tx, invoice, move, by)
    replaces = await dead_nonce(tx, move)
    now = desk.clock.now()
    if over := await over_budget(tx, move):
        raise OutOfPlace(over)
    if bar := await barred(tx, move, now):
        raise OutOfPlace(bar.reason)
    await seal_again(desk, tx, (move, warrant, replaces), by, now)
    what = f"approved again; it stood still because: {move.park_reason}"
    note = MoveNote(by.org_id, desk.ids.new(), move.move_id, now, by.uid, what, reason)
    await notes.add_to_move(tx, note)
    event = ApprovedAgain(
        at=now,
        by=by.uid,
        reason=reason,
        move_id=move.move_id,
        generation=move.generation + 1,
        replaces_nonce=replaces,
    )
    return await record(desk, tx, invoice, invoice, event=event, by=by, todo=())


async def _held(tx: Tx, by: Actor, move_id: UUID) -> tuple[Invoice, MoveRow]:
    """The payment and its invoice, locked in this order, as everywhere."""
    found = await moves.by_ids(tx, by.org_id, [move_id])
    if not found:
        raise NotFound("there is no such move")
    if found[0].invoice_id is None or found[0].purpose not in OUTGOING:
        raise OutOfPlace(
            f"a {found[0].purpose} needs nobody's approval; retry it where it is parked"
        )
    invoice = await locked(tx, by, found[0].invoice_id)
    move = await moves.lock(tx, by.org_id, move_id)
    if move is None:
        raise NotFound("there is no such move")
    return invoice, move


def old_warrant(desk: Desk, move: MoveRow) -> Warrant:
    """What was approved before, once its seal is found to fit what the row says now."""
    if desk.approval_key is None:
        msg = "this process has no approval key, so nobody can approve money here"
        raise OutOfPlace(msg)
    warrant = claimed_warrant(move)
    if warrant is None or move.warrant is None:
        raise OutOfPlace(
            "nobody ever approved this payment, so there is nothing to approve again; compare its"
            " destination with the invoice"
        )
    if not check_warrant(warrant, move.warrant, desk.approval_key):
        raise OutOfPlace(
            "its chain, token, destination or amount is not what was approved: somebody changed"
            " the row; treat it as an attack"
        )
    return warrant


async def must_be_checker(tx: Tx, invoice: Invoice, move: MoveRow, by: Actor) -> None:
    """Nobody approves again what needed a second person because of them the first time."""
    must_not_have_made(invoice, by)
    ordered = any(
        refund.ordered_by == by.uid and refund.approved_by != refund.ordered_by
        for refund in invoice.refunds
        if refund.refund_id.hex == move.source_id
    )
    if ordered:
        message = "you ordered this refund, so somebody else has to approve its payment again"
        raise Forbidden(message, data={"rule": "maker_is_not_checker"})
    if await orderer_of(tx, move) == by.uid:
        message = "you ordered that it goes there, so somebody else has to approve it again"
        raise Forbidden(message, data={"rule": "maker_is_not_checker"})


def must_not_have_made(invoice: Invoice, by: Actor) -> None:
    """Refuse whoever had a hand in what the invoice says."""
    if by.uid in makers(invoice):
        message = "you made this invoice, so somebody else has to approve its payment again"
        raise Forbidden(message, data={"rule": "maker_is_not_checker"})


def _must_be_parked(move: MoveRow) -> None:
    if move.status != "parked":
        raise OutOfPlace(
            f"move {move.move_id} is {move.status}; only what is parked is approved again or"
            " withdrawn"
        )
    if move.token_fee_units:
        raise OutOfPlace(
            f"move {move.move_id} was made, and its token kept a part of it; accept that instead"
        )
    if move.moved_units:
        raise OutOfPlace(
            f"move {move.move_id} moved {move.moved_units} base units in {move.tx_hash} already;"
            " accept that instead"
        )


def must_be_in_place(move: MoveRow, invoice: Invoice) -> None:
    """Refuse unless it is parked, moved nothing, and its invoice stands where it is made."""
    _must_be_parked(move)
    if (move.purpose, invoice.status.value) not in RUNS_WHILE:
        raise OutOfPlace(f"its invoice is {invoice.status.value}, so nothing is paid for it now")


async def dead_nonce(tx: Tx, move: MoveRow) -> int | None:
    """The last nonce that was signed for a payment, all of which are proven dead; None for none.

    Raises `OutOfPlace` also where the same money has left, or may still, with a movement that was
    given up for this one.
    """
    nonces = {move.replaces_nonce} if move.replaces_nonce is not None else set()
    if move.nonce is not None and move.wallet is not None:
        siblings = await wallets.of_nonce(tx, move.chain, move.wallet, move.nonce)
        _must_be_dead(move.nonce, siblings)
        nonces.add(move.nonce)
    for gone in await lost.of_move(tx, move.org_id, move.move_id):
        if gone.ended == "landed":
            raise OutOfPlace(
                f"it was made with nonce {gone.nonce}, whose signature the books had lost: the"
                " money has left and is not booked; do not pay it again, and have whoever runs"
                " this installation compare the books with the chain"
            )
        if gone.ended not in _KNOWN_DEAD and gone.nonce not in nonces:
            if gone.ended != "kept":
                raise _may_land(gone.nonce)
            siblings = await wallets.of_nonce(tx, gone.chain, gone.wallet, gone.nonce)
            _must_be_dead(gone.nonce, siblings)
        nonces.add(gone.nonce)
    if gone_with_another := await gone_before(tx, move):
        raise OutOfPlace(gone_with_another)
    return max(nonces, default=None)


def _must_be_dead(nonce: int, siblings: Sequence[TxRow]) -> None:
    """Refuse unless a nonce was consumed, at finality, without its payment being made."""
    if not is_dead(siblings):
        raise _may_land(nonce)


def _may_land(nonce: int) -> OutOfPlace:
    return OutOfPlace(
        f"it was signed with nonce {nonce}, which is not known to be dead: wait until the chain's"
        " finalized block is past it, and look at counterfoil status"
    )


async def seal_again(
    desk: Desk,
    tx: Tx,
    what: tuple[MoveRow, Warrant, int | None],
    by: Actor,
    now: datetime,
) -> None:
    """Make a parked payment ready under a warrant that says what ``what`` says, one more time.

    That is the movement, the warrant to renew, and the nonce that it replaces.
    """
    move, old, replaces_nonce = what
    new = replace(
        old,
        approved_by=by.uid,
        approved_at=now,
        generation=old.generation + 1,
        replaces_nonce=replaces_nonce,
    )
    await retries.approved_again(
        tx,
        move.org_id,
        move.move_id,
        by=by.uid,
        at=now,
        amount_units=new.amount_units,
        warrant=seal_warrant(new, desk.approval_key or b""),
        generation=new.generation,
        replaces_nonce=replaces_nonce,
    )
