"""Reports to authorities about a payment: kept for compliance, and told to nobody else.

Who is reported must not be warned (specs/aml.md 4.1). So a report changes nothing about its
invoice, not even its version, and stands in no log, callback, list or file that others can read;
its own chain is sealed like theirs.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from counterfoil.books import reports
from counterfoil.books.reports import ReportRow
from counterfoil.core.errors import Invalid, Problems
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.desk import queries
from counterfoil.desk.desk import Desk
from counterfoil.desk.idempotency import Idempotent, once
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.reach import locked, readable

REFERENCE_LENGTH: Final = 200
_EARLIEST: Final = date(2009, 1, 3)
"""No coin is older."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was reported, when, and who wrote it down here at ``noted_at``."""

    reference: str
    reported_on: date
    by: str
    noted_at: datetime


async def file_report(  # noqa: PLR0913 - one command, whole
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    *,
    reference: str,
    reported_on: date,
    idempotent: Idempotent | None = None,
) -> InvoiceView:
    """Write down that an invoice's payment was reported to an authority, wherever it stands.

    Raises `Forbidden` without ``compliance:review``, `NotFound`, and `Invalid` naming ``reference``
    or ``reported_on``. What is there already is not written down twice.
    """
    by.require(Permission.REVIEW)
    reference = _checked(desk, reference, reported_on)

    async def work(tx: Tx) -> InvoiceView:
        async def do() -> InvoiceView:
            invoice = await locked(tx, by, invoice_id)
            known = await reports.of_invoice(tx, by.org_id, invoice_id)
            if (reference, reported_on) not in {(r.reference, r.reported_on) for r in known}:
                await reports.append(
                    tx,
                    ReportRow(
                        org_id=by.org_id,
                        sequence=await reports.next_sequence(tx, by.org_id),
                        invoice_id=invoice_id,
                        at=desk.clock.now(),
                        operator_uid=by.uid,
                        reference=reference,
                        reported_on=reported_on,
                        request_id=by.request_id,
                    ),
                )
            return await queries.full_view(desk, tx, invoice)

        return await once(desk, tx, by, idempotent, do)

    return await desk.database.run(work)


async def of_invoice(desk: Desk, invoice_id: UUID, by: Actor) -> list[Report]:
    """What was reported about an invoice, oldest first. As `file_report` it raises."""
    by.require(Permission.REVIEW)
    async with desk.database.reading() as tx:
        await readable(tx, by, invoice_id)
        rows = await reports.of_invoice(tx, by.org_id, invoice_id)
    return [Report(r.reference, r.reported_on, r.operator_uid, r.at) for r in rows]


def _checked(desk: Desk, reference: str, reported_on: date) -> str:
    problems = Problems()
    reference = reference.strip()
    if not 1 <= len(reference) <= REFERENCE_LENGTH:
        sentence = f"must have 1 to {REFERENCE_LENGTH} characters"
        problems.note(Invalid.field("reference", sentence), "reference")
    # A day begins in the east first.
    today = (desk.clock.now().astimezone(UTC) + timedelta(hours=14)).date()
    if not _EARLIEST <= reported_on <= today:
        sentence = "must be a day that has begun; a report is written down once it is made"
        problems.note(Invalid.field("reported_on", sentence), "reported_on")
    problems.settle()
    return reference
