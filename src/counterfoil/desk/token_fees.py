"""Movements of which less arrives than was to: somebody accepts that, and what is here goes on.

What a token keeps on the way to a place of ours is booked and stops nothing by itself; the payment
that is then larger than what is here parks. So does whatever was made and arrived short
(docs/decisions/0037-what-a-token-keeps.md). What did not leave goes after it, as a movement of its
own (docs/decisions/0039-what-landed-is-what-moved.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from uuid import UUID

from counterfoil.books import moves, notes, retries
from counterfoil.books.moves import EMPTYING, MoveRow, NewMove
from counterfoil.books.notes import MoveNote
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, system
from counterfoil.core.warrant import seal_warrant
from counterfoil.db.pool import Tx
from counterfoil.desk import progress, queries
from counterfoil.desk.act import happen
from counterfoil.desk.approving import (
    dead_nonce,
    must_be_checker,
    must_be_in_place,
    must_be_said,
    old_warrant,
    seal_again,
)
from counterfoil.desk.desk import Desk
from counterfoil.desk.idempotency import Idempotent, once
from counterfoil.desk.metadata import ApprovedAgain, PaymentWithdrawn, TokenFeeAccepted
from counterfoil.desk.moving import RUNS_WHILE
from counterfoil.desk.objections import OUTGOING, budget_of, over_budget
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.reach import locked
from counterfoil.desk.record import record
from counterfoil.desk.registered import barred


@dataclass(frozen=True, slots=True)
class Short:
    """Parked movements of an invoice that are short, most by what a token kept.

    ``arrived`` were made and came with less, sweeps among them. ``less`` are payments that were not
    made, with what each can pay, in base units; zero where nothing is left for it.
    """

    arrived: tuple[MoveRow, ...]
    less: tuple[tuple[MoveRow, int], ...]

    def others(self, parked: Sequence[MoveRow]) -> list[MoveRow]:
        """Those of some parked payments that stand still for another reason."""
        own = {move.move_id for move in (*self.arrived, *(move for move, _ in self.less))}
        return [move for move in parked if move.move_id not in own]

    def __bool__(self) -> bool:
        """Whether there is anything to accept."""
        return bool(self.arrived or self.less)


async def find(tx: Tx, invoice: Invoice) -> Short:
    """What of an invoice's parked movements arrived short, or has to."""
    planned = await moves.of_invoices(tx, invoice.org_id, [invoice.invoice_id])
    parked = [move for move in planned if move.status == "parked"]
    arrived = tuple(move for move in parked if move.left_units)
    unmade = [
        move
        for move in parked
        if move.purpose in OUTGOING
        and not move.left_units
        and (move.purpose, invoice.status.value) in RUNS_WHILE
    ]
    # The merchant bears the fee before a customer does, who gets back what was promised.
    unmade.sort(key=lambda move: (move.chain, move.contract, move.purpose != "payout"))
    less: list[tuple[MoveRow, int]] = []
    for _, alike in groupby(unmade, key=lambda move: (move.chain, move.contract)):
        less += await _spared(tx, list(alike))
    return Short(arrived, tuple(less))


async def why_too_large(desk: Desk, move: MoveRow) -> str | None:
    """Why a movement is more than what is here, where a token's fee is to blame; else None."""
    async with desk.database.reading() as tx:
        if move.purpose in OUTGOING and (await budget_of(tx, move)).is_over_by_fees:
            return await over_budget(tx, move)
    return None


async def accept(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Let an invoice's movements end, or go on, with what a token left of them.

    What was made is done with what arrived; what of it did not leave goes after it to the same
    place, as a movement of its own, for a payment under a new approval of that amount. What was not
    made pays what is here, under a new approval of the smaller amount to the same address. Raises
    `NotFound`, `Forbidden` for whoever may not approve these payments again, `Invalid` without a
    reason, and `OutOfPlace` where nothing arrived short, an earlier signature may still land, or
    the invoice is held.
    """
    must_be_said(by, reason)

    async def give(tx: Tx) -> InvoiceView:
        async def do() -> InvoiceView:
            invoice = await locked(tx, by, invoice_id)
            short = await find(tx, invoice)
            if not short:
                raise OutOfPlace("no payment of this invoice is short because its token kept some")
            after = await _accept(desk, tx, invoice, short, by, reason)
            return await queries.full_view(desk, tx, after)

        return await once(desk, tx, by, idempotent, do)

    return await desk.database.run(give)


async def _spared(tx: Tx, alike: Sequence[MoveRow]) -> list[tuple[MoveRow, int]]:
    """What each of these payments of one asset can pay; empty where a fee explains nothing."""
    budget = await budget_of(tx, alike[0])
    if not budget.is_over_by_fees:
        return []
    over_units = budget.over_units
    found = []
    for move in alike:
        spared_units = min(over_units, move.amount_units)
        over_units -= spared_units
        # What was never signed goes on beside it: only the look at the budget stood against it, or
        # what will be looked at again.
        if spared_units or move.nonce is None:
            found.append((move, move.amount_units - spared_units))
    return [] if over_units else found


async def _accept(  # noqa: PLR0913, PLR0917 - who accepts what, and why
    desk: Desk, tx: Tx, invoice: Invoice, short: Short, by: Actor, reason: str
) -> Invoice:
    ended = set()
    for move in short.arrived:
        invoice = await _end(desk, tx, invoice, move, by, reason)
        ended.add(move.purpose)
    for move, units in short.less:
        invoice = await _go_on(desk, tx, invoice, (move, units), by, reason)
        if not units:
            ended.add(move.purpose)
    for move, _ in short.less:
        if over := await over_budget(tx, move):
            raise OutOfPlace(over)
    now = desk.clock.now()
    for fact in await progress.facts(tx, invoice, now, ended) if ended else ():
        invoice = await happen(desk, tx, invoice, fact, system("move", invoice.org_id))
    return invoice


async def _end(  # noqa: PLR0913, PLR0917 - who accepts what, and why
    desk: Desk, tx: Tx, invoice: Invoice, move: MoveRow, by: Actor, reason: str
) -> Invoice:
    """Count as made what arrived short, and have what did not leave go after it."""
    await must_be_checker(tx, invoice, move, by)
    now = desk.clock.now()
    rest = await _rest(desk, tx, invoice, move, by, now)
    await retries.ended_short(tx, by.org_id, move.move_id, now)
    if rest is not None:
        await moves.plan(tx, [rest])
    await _note(desk, tx, move, f"accepted as it arrived; {move.park_reason}", by, reason)
    event = TokenFeeAccepted(
        at=now,
        by=by.uid,
        reason=reason,
        move_id=move.move_id,
        arrived_units=move.moved_units or 0,
        token_fee_units=move.token_fee_units,
        rest_move_id=None if rest is None else rest.move_id,
        rest_units=0 if rest is None else rest.amount_units,
    )
    return await record(desk, tx, invoice, invoice, event=event, by=by, todo=())


async def _rest(  # noqa: PLR0913, PLR0917 - what did not leave of which movement, and who sends it
    desk: Desk, tx: Tx, invoice: Invoice, move: MoveRow, by: Actor, now: datetime
) -> NewMove | None:
    """What did not leave of a movement, to the same place; None where nothing is to go there.

    All that may have left is proven at finality, so the two together are never more than what was
    approved. Money that was declined since goes another way, and a sweep that is under way fetches
    the rest of another.
    """
    if not move.rest_units or invoice.status is Status.COMPLIANCE_DECLINED:
        return None
    if move.purpose in EMPTYING and await _is_fetched(tx, move):
        return None
    if (move.purpose, invoice.status.value) not in RUNS_WHILE:
        raise OutOfPlace(f"its invoice is {invoice.status.value}, so nothing is moved for it now")
    rest = NewMove(
        org_id=move.org_id,
        move_id=desk.ids.new(),
        purpose=move.purpose,
        source_id=move.source_id,
        leg=await retries.next_leg(tx, move),
        invoice_id=move.invoice_id,
        chain=move.chain,
        contract=move.contract,
        destination=move.destination,
        amount_units=move.rest_units,
        status="ready",
        approved_by=move.approved_by,
        approved_at=move.approved_at,
        warrant=None,
        created_at=now,
        deposit_mode=move.deposit_mode,
        from_hold=move.from_hold,
    )
    if move.purpose not in OUTGOING:
        return rest
    warrant = replace(
        old_warrant(desk, move),
        move_id=str(rest.move_id),
        amount_units=rest.amount_units,
        approved_by=by.uid,
        approved_at=now,
        generation=0,
        replaces_nonce=None,
    )
    sealed = seal_warrant(warrant, desk.approval_key or b"")
    return replace(rest, approved_by=by.uid, approved_at=now, warrant=sealed)


async def _is_fetched(tx: Tx, move: MoveRow) -> bool:
    """Whether another sweep of the same address is under way, which takes all that lies there."""
    ids = [] if move.invoice_id is None else [move.invoice_id]
    same = move.chain, move.contract, move.deposit_mode
    return any(
        (other.chain, other.contract, other.deposit_mode) == same
        for other in await moves.of_invoices(tx, move.org_id, ids)
        if other.purpose in EMPTYING and other.status in {"waiting", "ready", "signed"}
    )


async def _go_on(  # noqa: PLR0913, PLR0917 - who accepts what, and why
    desk: Desk, tx: Tx, invoice: Invoice, what: tuple[MoveRow, int], by: Actor, reason: str
) -> Invoice:
    """Have a payment that was not made pay less; none where nothing is left for it."""
    move, units = await moves.lock(tx, by.org_id, what[0].move_id) or what[0], what[1]
    warrant = old_warrant(desk, move)
    must_be_in_place(move, invoice)
    await must_be_checker(tx, invoice, move, by)
    replaces = await dead_nonce(tx, move)
    now = desk.clock.now()
    if bar := await barred(tx, move, now):
        raise OutOfPlace(bar.reason)
    told = f"{units} base units instead of {move.amount_units}; it stood still because:"
    await _note(desk, tx, move, f"approved with {told} {move.park_reason}", by, reason)
    if not units:
        await moves.give_up(tx, by.org_id, [move.move_id], now)
        gone = PaymentWithdrawn(at=now, by=by.uid, reason=reason, move_id=move.move_id)
        return await record(desk, tx, invoice, invoice, event=gone, by=by, todo=())
    fewer = replace(warrant, amount_units=units)
    await seal_again(desk, tx, (move, fewer, replaces), by, now)
    event = ApprovedAgain(
        at=now,
        by=by.uid,
        reason=reason,
        move_id=move.move_id,
        generation=move.generation + 1,
        replaces_nonce=replaces,
        amount_units=units,
        instead_of_units=move.amount_units,
    )
    return await record(desk, tx, invoice, invoice, event=event, by=by, todo=())


async def _note(  # noqa: PLR0913, PLR0917 - one note, whole
    desk: Desk, tx: Tx, move: MoveRow, what: str, by: Actor, reason: str
) -> None:
    now = desk.clock.now()
    note = MoveNote(by.org_id, desk.ids.new(), move.move_id, now, by.uid, what, reason)
    await notes.add_to_move(tx, note)
