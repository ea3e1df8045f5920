"""Invoices as a table for spreadsheets, made step by step."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from counterfoil.books import invoices, lists
from counterfoil.books.jobs import JobRow
from counterfoil.books.lists import Filters
from counterfoil.core import ids, sheet
from counterfoil.core.errors import Invalid
from counterfoil.core.invoice import Invoice, number_label
from counterfoil.core.money import format_units, plain_text
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.jobs import Jobs, Kind

KIND: Final = "export"
AT_MOST: Final = 10_000
"""Invoices in one table; who wants more narrows the list, by month for example."""

COLUMNS: Final = (
    "number",
    "id",
    "status",
    "context",
    "recipient",
    "email",
    "organization",
    "description",
    "amount",
    "currency",
    "due_in_token",
    "received",
    "method",
    "issued",
    "created",
    "due",
    "completed",
    "reviewer",
    "group",
    "archived",
)
"""What the table says of an invoice, in this order."""


async def begin(  # noqa: PLR0913 - what of whose, and in which words
    desk: Desk,
    jobs: Jobs,
    by: Actor,
    member_id: UUID,
    *,
    of: Filters | Collection[UUID],
    words: Mapping[str, str],
) -> UUID:
    """Have a table made of the invoices that match, or of these; answers the job's id.

    ``words`` say in the reader's language what columns, statuses and contexts are called. Raises
    `Invalid` for none and for more than `AT_MOST`.
    """
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        found = await _ids(tx, by.org_id, of)
    if not found:
        raise Invalid("no invoice is in this list, so there is nothing to export")
    return await jobs.begin(KIND, json.dumps(dict(words)), found, by, member_id)


async def _ids(tx: Tx, org_id: int, of: Filters | Collection[UUID]) -> list[UUID]:
    if isinstance(of, Filters):
        # Counting ends where nobody counts on; among more, finding all of them would take long.
        if sum(one.count for one in await lists.counts(tx, org_id, of)) > AT_MOST:
            sentence = f"more than {AT_MOST} invoices match; narrow the list, by month for example"
            raise Invalid(sentence)
        return await lists.ids(tx, org_id, of, limit=AT_MOST, offset=0, many=False)
    known = await invoices.of_ids(tx, org_id, list(of)[:AT_MOST])
    return [i.invoice_id for i in sorted(known, key=lambda i: i.number, reverse=True)]


async def _step(desk: Desk, job: JobRow, some: Sequence[UUID], by: Actor) -> str:
    by.require(Permission.READ)
    words: dict[str, str] = json.loads(job.asked)
    async with desk.database.reading() as tx:
        found = {i.invoice_id: i for i in await invoices.of_ids(tx, by.org_id, some)}
    table = [_row(found[invoice_id], words) for invoice_id in some if invoice_id in found]
    if job.done:
        return sheet.rows(table)
    header = [words.get(f"column:{name}", name) for name in COLUMNS]
    return sheet.BYTE_ORDER_MARK + sheet.rows([header, *table])


EXPORT: Final = Kind(step=_step, at_once=500)


def _row(invoice: Invoice, words: Mapping[str, str]) -> list[str]:
    document, price, first = invoice.document, invoice.price, invoice.requests[0]
    context = invoice.context.value if invoice.context else ""
    cells = {
        "number": number_label(invoice),
        "id": ids.public("inv", invoice.invoice_id),
        "status": words.get(f"status:{invoice.status.value}", invoice.status.value),
        "context": words.get(f"context:{context}", context),
        "recipient": document.recipient_name,
        "email": document.recipient_email,
        "organization": document.organization_name,
        "description": document.description,
        "amount": plain_text(price.amount),
        "currency": price.currency or first.asset.symbol,
        "due_in_token": f"{format_units(first.due_units, first.asset.decimals)}"
        f" {first.asset.symbol} ({first.asset.chain})",
        "received": "; ".join(
            f"{format_units(t.confirmed_units, t.asset.decimals)} {t.asset.symbol}"
            f" ({t.asset.chain})"
            for t in invoice.tally.money
            if t.confirmed_units
        ),
        "method": words.get(f"method:{invoice.settlement}", invoice.settlement),
        "issued": str(document.issued_on),
        "created": _moment(invoice.created_at),
        "due": _moment(invoice.deadline_at),
        "completed": _moment(invoice.completed_at),
        "reviewer": invoice.reviewer or "",
        "group": document.group_key or "",
        "archived": _moment(invoice.archived_at),
    }
    return [cells[name] for name in COLUMNS]


def _moment(at: datetime | None) -> str:
    """A time as spreadsheets read it, in UTC."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
