"""Reports to authorities: append-only, sealed, one chain for each organisation."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from counterfoil.core import ids
from counterfoil.core.seal import GENESIS, OrgEntry, link
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_value


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One report, with its place in its organisation's chain, from 1."""

    org_id: int
    sequence: int
    invoice_id: UUID
    at: datetime
    operator_uid: str
    reference: str
    reported_on: date
    request_id: str | None
    seal: bytes = b""


async def next_sequence(tx: Tx, org_id: int) -> int:
    """Take the next place in an organisation's chain; others wait until this commits."""
    found = await one_value(
        tx,
        int,
        """
        UPDATE org SET report_log_length = report_log_length + 1 WHERE org_id = %(org_id)s
        RETURNING report_log_length
        """,
        {"org_id": org_id},
    )
    if found is None:
        msg = f"there is no organisation {org_id}"
        raise LookupError(msg)
    return found


async def append(tx: Tx, row: ReportRow) -> None:
    """Seal a report, whose place is from `next_sequence`, to the one before it."""
    previous = await one_value(
        tx,
        bytes,
        "SELECT seal FROM compliance_report WHERE org_id = %(org_id)s AND sequence = %(sequence)s",
        {"org_id": row.org_id, "sequence": row.sequence - 1},
    )
    await execute(
        tx,
        """
        INSERT INTO compliance_report (org_id, sequence, invoice_id, at, operator_uid, reference,
            reported_on, request_id, seal)
        VALUES (%(org_id)s, %(sequence)s, %(invoice_id)s, %(at)s, %(operator_uid)s, %(reference)s,
            %(reported_on)s, %(request_id)s, %(seal)s)
        """,
        {name: getattr(row, name) for name in ReportRow.__slots__}
        | {"seal": link(previous or GENESIS, _entry(row))},
    )


_SELECT: Final = """
    SELECT org_id, sequence, invoice_id, at, operator_uid, reference, reported_on, request_id, seal
      FROM compliance_report
    """


async def of_invoice(tx: Tx, org_id: int, invoice_id: UUID) -> list[ReportRow]:
    """What was reported about an invoice, oldest first."""
    return await all_rows(
        tx,
        ReportRow,
        _SELECT + "WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s ORDER BY sequence",
        {"org_id": org_id, "invoice_id": invoice_id},
    )


async def of_org(tx: Tx, org_id: int) -> list[tuple[OrgEntry, bytes]]:
    """An organisation's whole chain with its seals, oldest first."""
    rows = await all_rows(
        tx,
        ReportRow,
        _SELECT + "WHERE org_id = %(org_id)s ORDER BY sequence",
        {"org_id": org_id},
    )
    return [(_entry(row), row.seal) for row in rows]


async def length(tx: Tx, org_id: int) -> int:
    """How many reports an organisation says it has."""
    return (
        await one_value(
            tx,
            int,
            "SELECT report_log_length FROM org WHERE org_id = %(org_id)s",
            {"org_id": org_id},
        )
        or 0
    )


def _entry(row: ReportRow) -> OrgEntry:
    """A report as it is sealed."""
    return OrgEntry(
        org_id=row.org_id,
        sequence=row.sequence,
        at=row.at,
        operator_uid=row.operator_uid,
        event="report_filed",
        subject=ids.public("inv", row.invoice_id),
        metadata={"reference": row.reference, "reported_on": row.reported_on.isoformat()},
        request_id=row.request_id,
    )
