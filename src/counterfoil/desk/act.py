"""The one road on which an invoice changes: lock, authorise, decide, record."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from counterfoil.core.events import Event, WithdrawRefund
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.lifecycle import decide
from counterfoil.core.roles import Actor, require, system
from counterfoil.db.pool import Tx
from counterfoil.desk import progress, resolving
from counterfoil.desk.desk import Desk
from counterfoil.desk.reach import held, unknown
from counterfoil.desk.record import Beside, record
from counterfoil.desk.sheet import Sheet

MakeEvent = Callable[[Invoice, datetime], Event]
"""Builds the event from the locked invoice and the time, for what depends on either."""


async def act(desk: Desk, org_id: int, invoice_id: UUID, event: Event, by: Actor) -> Invoice:
    """Let ``event`` happen to an invoice: one transaction, or nothing.

    Raises `NotFound` for an id that is not this organisation's, `Forbidden` where the actor may
    not, and `OutOfPlace` or another refusal where the lifecycle does not allow it.
    """

    async def change(tx: Tx) -> Invoice:
        return await happen(desk, tx, await held(tx, org_id, invoice_id), event, by)

    return await desk.database.run(change)


async def happen(  # noqa: PLR0913 - one event, whole, and what is known beside the invoice
    desk: Desk,
    tx: Tx,
    before: Invoice,
    event: Event,
    by: Actor,
    *,
    known: Beside | None = None,
    sheet: Sheet | None = None,
) -> Invoice:
    """Authorise, decide and record within the caller's transaction, which holds the lock.

    An event that changes nothing leaves no trace, so a fact may be told any number of times.
    Where it brings up a choice that a rule of the invoice makes, the choice happens as well.
    Raises `NotFound` where the actor's key does not reach the invoice.
    With ``sheet`` the caller writes it afterwards, with what is noted there of other invoices.
    """
    if not by.reaches(before.client_id):
        raise unknown()
    require(by, event)
    after, effects = decide(before, event)
    if after == before and not effects:
        return before
    now = await record(
        desk, tx, before, after, event=event, by=by, todo=effects, known=known, sheet=sheet
    )
    surplus_stays = before.status is Status.PAYOUT_PROCESSING and isinstance(event, WithdrawRefund)
    if surplus_stays or (before.status, now.status) == (Status.COMPLIANCE_HOLD, Status.SWEEPING):
        await _written(tx, sheet)
        return await _catch_up(desk, tx, now, event.at)
    chosen = await resolving.by_rule(desk, tx, now, event)
    if chosen is None:
        return now
    await _written(tx, sheet)
    command, policy = chosen
    return await happen(desk, tx, now, command, policy)


async def _written(tx: Tx, sheet: Sheet | None) -> None:
    """What happens next to the same invoice builds on what is in the database."""
    if sheet is not None:
        await sheet.write(tx)


async def _catch_up(desk: Desk, tx: Tx, invoice: Invoice, at: datetime) -> Invoice:
    """Tell an invoice what its movements came to meanwhile: it was held, or waited for others."""
    for fact in await progress.facts(tx, invoice, at):
        invoice = await happen(desk, tx, invoice, fact, system("move", invoice.org_id))
    return invoice
