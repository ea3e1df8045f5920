"""A payout that stands still goes to another registered address, once its old way is dead.

Where the organisation asks for two people, one orders it and another approves it, each with
``transfer:sign``; the order stands, sealed, in the invoice's log (`desk.redirect_orders`). The old
movement is given up and a new one sealed, for the same money
(docs/decisions/0028-payouts-that-go-elsewhere.md).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from counterfoil.books import insight, moves, notes, profiles
from counterfoil.books.moves import MovePurpose, MoveRow, NewMove
from counterfoil.books.notes import MoveNote
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Conflict, Forbidden, Invalid, OutOfPlace, Refusal
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.redirect_order import ORDERED_FOR, RedirectOrder
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.rules import makers
from counterfoil.core.warrant import Warrant, seal_warrant
from counterfoil.db.pool import Tx
from counterfoil.desk import queries
from counterfoil.desk.approving import (
    dead_nonce,
    is_of_open_refund,
    must_be_checker,
    must_be_in_place,
    must_be_said,
    must_not_have_made,
    old_warrant,
)
from counterfoil.desk.desk import Desk
from counterfoil.desk.destinations import check_destination, sanctioning
from counterfoil.desk.idempotency import Idempotent, once
from counterfoil.desk.metadata import PayoutRedirected, RedirectOrdered, RedirectWithdrawn
from counterfoil.desk.moving import RUNS_WHILE
from counterfoil.desk.objections import OUTGOING, over_budget
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.reach import locked
from counterfoil.desk.record import record
from counterfoil.desk.redirect_orders import last_order, must_be_good, orders_given
from counterfoil.desk.registered import PayoutAddress, barred, refuse_unregistered, usable
from counterfoil.desk.registering import rules_of
from counterfoil.desk.token_fees import Short
from counterfoil.desk.token_fees import find as find_short

__all__ = ["MoveRow", "PayoutAddress"]

STANDS_WHILE: Final[tuple[tuple[MovePurpose, str], ...]] = (
    *RUNS_WHILE,
    *((purpose, Status.COMPLIANCE_DECLINED.value) for purpose in sorted(OUTGOING)),
)
"""In which status of its invoice a parked movement waits for people.

That is where it would be made, and where one that was signed before its money was declined keeps
that from being sent back."""

_FIELD: Final = "payout_address"


@dataclass(frozen=True, slots=True)
class Standing:
    """Payments of an invoice that stand still, and what may be done about them.

    Sweeps are among them where a part of them arrived.

    ``waits`` says why nothing can be done yet, empty where something can. ``barred`` says why they
    are not approved again, empty where they may be: nothing is sent to where they go any more.
    ``short`` are those of which less arrived, or has to, which somebody can accept.
    ``order`` waits for its second person, or did until it ``ran_out``. ``choices`` are the
    registered addresses that it could go to. ``actions`` are those that this member may give.
    ``is_declined``: nothing is paid any more, and this keeps the money from going back.
    """

    parked: tuple[MoveRow, ...]
    waits: str
    barred: str
    short: Short
    order: RedirectOrder | None
    ran_out: bool
    void: str
    choices: tuple[PayoutAddress, ...]
    actions: frozenset[str]
    is_declined: bool = False

    @property
    def may_have_left(self) -> bool:
        """Whether an earlier attempt may have been made, or may be yet."""
        return bool(self.waits)

    @property
    def rest(self) -> bool:
        """Whether some of what was made did not leave, and goes after it."""
        return not self.is_declined and any(move.rest_units for move in self.short.arrived)

    @property
    def has_payout(self) -> bool:
        """Whether money for the merchant is among them, who is still to have it."""
        return not self.is_declined and any(move.purpose == "payout" for move in self.parked)


async def redirect(  # noqa: PLR0913 - one order, whole
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    *,
    address: str,
    reason: str,
    idempotent: Idempotent | None = None,
) -> InvoiceView:
    """Have all parked payouts of an invoice go to another registered address.

    Where the organisation asks for two people it is ordered only, and good for `ORDERED_FOR`.
    Raises `Forbidden`, `NotFound`, `Invalid` naming ``payout_address`` or ``reason``, and
    `OutOfPlace` while an earlier signature may still land, another order waits, or nothing is
    parked.
    """
    must_be_said(by, reason)

    async def give(tx: Tx, invoice: Invoice) -> Invoice:
        now = desk.clock.now()
        parked = await _parked(tx, invoice)
        waiting = await last_order(tx, invoice)
        if waiting is not None and not await _void(desk, tx, *waiting):
            raise OutOfPlace(
                "an order for this waits for its second person; approve or withdraw it first"
            )
        target = await _target(desk, tx, invoice, parked, address)
        order = RedirectOrder(
            org_id=by.org_id,
            invoice_id=invoice_id,
            redirect_id=desk.ids.new(),
            move_ids=frozenset(move.move_id for move in parked),
            destination=target.address,
            label=target.label,
            reason=reason,
            by=by.uid,
            at=now,
            until=now + ORDERED_FOR,
        )
        if not (await rules_of(tx, by.org_id, now)).two_people:
            return await _make(desk, tx, invoice, parked, order, by)
        for move in parked:
            await _may_be_replaced(desk, tx, invoice, move)
        event = RedirectOrdered(
            at=now,
            by=by.uid,
            reason=reason,
            redirect_id=order.redirect_id,
            destination=order.destination,
            label=order.label,
            until=order.until,
            sealed=order.seal(desk.approval_key or b""),
            moves=tuple(move.move_id for move in parked),
        )
        return await record(desk, tx, invoice, invoice, event=event, by=by, todo=())

    return await _decide(desk, invoice_id, by, give, idempotent)


async def approve(
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    idempotent: Idempotent | None = None,
    *,
    seen: UUID | None = None,
) -> InvoiceView:
    """Let the payouts go where somebody else ordered; everything is looked at once more.

    With ``seen`` it is for the order of this id alone; it has to be named where there was more than
    one. Raises as `redirect` does, `Forbidden` for whoever ordered it or made the invoice,
    `Conflict` where another order stands there, and `Invalid` where the order must be named.
    """
    by.require(Permission.SIGN)

    async def give(tx: Tx, invoice: Invoice) -> Invoice:
        order = await _must_be_ordered(desk, tx, invoice)
        if order.by == by.uid:
            message = "you ordered this, so somebody else has to approve it"
            raise Forbidden(message, data={"rule": "maker_is_not_checker"})
        if seen is None and await orders_given(tx, invoice) > 1:
            sentence = "is required: more than one order was given; name the one you looked at"
            raise Invalid.field("redirect_id", sentence)
        if seen is not None and order.redirect_id != seen:
            raise Conflict(
                "another order stands here than the one you looked at, and nothing was approved;"
                " look at its address and then decide"
            )
        parked = await _parked(tx, invoice)
        if {move.move_id for move in parked} != order.move_ids:
            raise OutOfPlace(
                "other payments stand still now than when this was ordered; withdraw the order and"
                " look again"
            )
        await _target(desk, tx, invoice, parked, order.destination)
        return await _make(desk, tx, invoice, parked, order, by)

    return await _decide(desk, invoice_id, by, give, idempotent)


async def withdraw(
    desk: Desk, invoice_id: UUID, by: Actor, *, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Call an order off that nobody has approved. Raises `OutOfPlace` where there is none."""
    must_be_said(by, reason)

    async def give(tx: Tx, invoice: Invoice) -> Invoice:
        order = await _must_be_ordered(desk, tx, invoice)
        event = RedirectWithdrawn(
            at=desk.clock.now(), by=by.uid, reason=reason, redirect_id=order.redirect_id
        )
        return await record(desk, tx, invoice, invoice, event=event, by=by, todo=())

    return await _decide(desk, invoice_id, by, give, idempotent)


async def standing(desk: Desk, view: InvoiceView, by: Actor) -> Standing | None:
    """What stands still of an invoice as it is shown; None where nothing does."""
    invoice = view.invoice
    parked = tuple(
        move
        for move in view.moves
        if move.status == "parked"
        and (move.purpose in OUTGOING or move.left_units)
        and (move.purpose, invoice.status.value) in STANDS_WHILE
    )
    if not parked:
        return None
    order: RedirectOrder | None = None
    waits = void = ""
    now = desk.clock.now()
    declined = invoice.status is Status.COMPLIANCE_DECLINED
    async with desk.database.reading() as tx:
        there = {move.destination for move in parked}
        good = await usable(tx, invoice.org_id, now)
        rules = await rules_of(tx, invoice.org_id, now)
        no_more = "" if declined else await _barred(desk, tx, parked)
        checks = await _is_checker(tx, invoice, parked, by)
        short = await find_short(tx, invoice)
        try:
            found = None if declined else await last_order(tx, invoice)
            if found is not None:
                order, void = found[0], await _void(desk, tx, *found)
            for move in short.others(parked):
                await _must_be_dead(desk, tx, invoice, move)
        except OutOfPlace as refused:
            waits = refused.message
    ran_out = order is not None and order.has_run_out(now)
    waiting = None if void else order
    has_payout = not (short or declined) and any(move.purpose == "payout" for move in parked)
    families = {CHAINS[move.chain].family for move in parked}
    choices = tuple(o for o in good if {o.family} == families and o.address not in there)
    actions: set[str] = set()
    if Permission.SIGN in by.permissions:
        made = by.uid in makers(invoice)
        if checks:
            actions |= _by_checker(invoice, parked, short, waits, no_more)
        may_order = has_payout and choices and (not made or rules.two_people)
        if not waits and waiting is None and may_order:
            actions.add("redirect")
        if not waits and waiting is not None and not made and waiting.by != by.uid:
            actions.add("approve_redirect")
        if waiting is not None:
            actions.add("withdraw_redirect")
    told = waits, no_more, short, order, ran_out, void, choices
    return Standing(parked, *told, frozenset(actions), is_declined=declined)


def _by_checker(
    invoice: Invoice, parked: Sequence[MoveRow], short: Short, waits: str, no_more: str
) -> set[str]:
    """What somebody who checks these payments may do about them where they go."""
    found = {"accept_fees"} if short else set()
    if waits or short.arrived:
        return found
    declined = invoice.status is Status.COMPLIANCE_DECLINED
    if not (short or no_more or declined):
        found.add("approve_payments")
    if declined or any(is_of_open_refund(move, invoice) for move in parked):
        found.add("withdraw_payments")
    return found


async def _barred(desk: Desk, tx: Tx, parked: Sequence[MoveRow]) -> str:
    """Why nothing is sent any more to where one of these goes; empty where all may be made."""
    now = desk.clock.now()
    found = [await barred(tx, move, now) for move in parked]
    return next((bar.reason for bar in found if bar), "")


async def standing_still(desk: Desk, by: Actor) -> list[UUID]:
    """The invoices of the actor's organisation whose payments stand still, the oldest first."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        return await insight.parked_payments(tx, by.org_id, STANDS_WHILE)


async def _decide(
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    give: Callable[[Tx, Invoice], Awaitable[Invoice]],
    idempotent: Idempotent | None,
) -> InvoiceView:
    async def work(tx: Tx) -> InvoiceView:
        async def do() -> InvoiceView:
            invoice = await locked(tx, by, invoice_id)
            return await queries.full_view(desk, tx, await give(tx, invoice))

        return await once(desk, tx, by, idempotent, do)

    return await desk.database.run(work)


async def _parked(tx: Tx, invoice: Invoice) -> list[MoveRow]:
    """The parked payouts of an invoice, locked behind it."""
    if invoice.status is not Status.PAYOUT_PROCESSING:
        raise OutOfPlace(f"its invoice is {invoice.status.value}, so nothing is paid for it now")
    found = [
        await moves.lock(tx, invoice.org_id, move.move_id) or move
        for move in await moves.of_invoices(tx, invoice.org_id, [invoice.invoice_id])
        if move.purpose == "payout" and move.status == "parked"
    ]
    if not found:
        raise OutOfPlace("no payout of this invoice stands still, so none has to go elsewhere")
    return found


async def _target(
    desk: Desk, tx: Tx, invoice: Invoice, parked: Sequence[MoveRow], text: str
) -> PayoutAddress:
    """The registered address that the money may go to instead."""
    known = await profiles.payout_addresses(tx, invoice.org_id)
    (family, *others) = {CHAINS[move.chain].family for move in parked}
    if others:
        raise OutOfPlace("these payouts are on chains of several kinds; no address fits them all")
    address = await check_destination(desk, tx, family, text, _FIELD)
    found = refuse_unregistered(known, family, address, _FIELD, desk.clock.now())
    if address in {move.destination for move in parked}:
        sentence = "is where it was to go already; approve the payment again instead"
        raise Invalid.field(_FIELD, sentence)
    lists = await sanctioning(tx, invoice.org_id, family, address)
    if lists:
        sentence = f"is on the sanctions list {' and '.join(lists)}; nothing may be sent there"
        raise Invalid.field(_FIELD, sentence)
    return found


async def _may_be_replaced(desk: Desk, tx: Tx, invoice: Invoice, move: MoveRow) -> Warrant:
    """What was approved of a payment that nobody can make any more; `OutOfPlace` otherwise."""
    warrant = old_warrant(desk, move)
    must_be_in_place(move, invoice)
    await dead_nonce(tx, move)
    if over := await over_budget(tx, move):
        raise OutOfPlace(over)
    return warrant


async def _must_be_dead(desk: Desk, tx: Tx, invoice: Invoice, move: MoveRow) -> None:
    """Refuse where a payment may have been made, or may be yet; declined money is not paid anew."""
    if invoice.status is Status.COMPLIANCE_DECLINED:
        await dead_nonce(tx, move)
    else:
        await _may_be_replaced(desk, tx, invoice, move)


async def _make(  # noqa: PLR0913, PLR0917 - which payouts, where to, and by whom
    desk: Desk, tx: Tx, invoice: Invoice, parked: Sequence[MoveRow], order: RedirectOrder, by: Actor
) -> Invoice:
    must_not_have_made(invoice, by)
    now = desk.clock.now()
    made = []
    for leg, move in enumerate(parked):
        warrant = await _may_be_replaced(desk, tx, invoice, move)
        made.append(_instead(desk, move, warrant, order, leg, by, now))
    await moves.give_up(tx, invoice.org_id, [move.move_id for move in parked], now)
    await moves.plan(tx, made)
    reason, ordered = order.reason, ""
    if order.by != by.uid:
        reason, ordered = "", f", as {order.by} ordered, saying: {order.reason}"
    for move in parked:
        to = f"sent to {order.destination} instead{ordered}"
        what = f"{to}; it stood still because: {move.park_reason}"
        note = MoveNote(invoice.org_id, desk.ids.new(), move.move_id, now, by.uid, what, reason)
        await notes.add_to_move(tx, note)
    event = PayoutRedirected(
        at=now,
        by=by.uid,
        reason=reason,
        redirect_id=order.redirect_id,
        destination=order.destination,
        label=order.label,
        moves=tuple(
            (old.move_id, new.move_id, new.amount_units)
            for old, new in zip(parked, made, strict=True)
        ),
    )
    return await record(desk, tx, invoice, invoice, event=event, by=by, todo=())


def _instead(  # noqa: PLR0913, PLR0917 - one movement, whole
    desk: Desk,
    move: MoveRow,
    old: Warrant,
    order: RedirectOrder,
    leg: int,
    by: Actor,
    now: datetime,
) -> NewMove:
    """The same money to the other address, under a warrant of its own."""
    move_id = desk.ids.new()
    warrant = replace(
        old,
        move_id=str(move_id),
        destination=order.destination,
        approved_by=by.uid,
        approved_at=now,
        generation=0,
        replaces_nonce=None,
    )
    return NewMove(
        org_id=move.org_id,
        move_id=move_id,
        purpose="payout",
        source_id=order.redirect_id.hex,
        leg=leg,
        invoice_id=move.invoice_id,
        chain=move.chain,
        contract=move.contract,
        destination=order.destination,
        amount_units=move.amount_units,
        status="ready",
        approved_by=by.uid,
        approved_at=now,
        warrant=seal_warrant(warrant, desk.approval_key or b""),
        created_at=now,
    )


async def _must_be_ordered(desk: Desk, tx: Tx, invoice: Invoice) -> RedirectOrder:
    found = await last_order(tx, invoice)
    if found is None:
        raise OutOfPlace("nobody has ordered that payouts of this invoice go elsewhere")
    await must_be_good(desk, tx, *found)
    return found[0]


async def _void(desk: Desk, tx: Tx, order: RedirectOrder, sealed: str) -> str:
    """Why an order is to be given anew; empty where it waits for its second person."""
    try:
        await must_be_good(desk, tx, order, sealed)
    except OutOfPlace as refused:
        return refused.message
    return ""


async def _is_checker(tx: Tx, invoice: Invoice, parked: Sequence[MoveRow], by: Actor) -> bool:
    try:
        for move in parked:
            await must_be_checker(tx, invoice, move, by)
    except Refusal:
        return False
    return True
