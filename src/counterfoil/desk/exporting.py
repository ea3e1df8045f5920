"""Invoices as a table for spreadsheets, made step by step."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Final
from uuid import UUID

from counterfoil.books import invoices, lists, orgs
from counterfoil.books.jobs import JobRow
from counterfoil.books.lists import Filters
from counterfoil.core import ids, reckoning, sheet, zones
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid
from counterfoil.core.invoice import Invoice, number_label
from counterfoil.core.money import Money, format_units, plain_text
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.tally import AssetTally
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
    "issuer",
    "customer",
    "customer_email",
    "customer_organization",
    "description",
    "net",
    "tax",
    "amount",
    "currency",
    "method",
    "token",
    "chain",
    "due_in_token",
    "received",
    "paid_out",
    "sent_back",
    "other_tokens",
    "issued",
    "created",
    "payable_until",
    "completed",
    "reviewer",
    "group",
    "archived",
)
"""What the table says of an invoice, in this order.

Net, tax and amount are in its currency. What came and went is of one token, the one of which the
most came, so that a program can add it up; further tokens stand beside it as text.
"""

_TIMES: Final = frozenset({"created", "payable_until", "completed", "archived"})
_ISSUER: Final = "issuer"
_ZONE: Final = "zone"


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
        org = await orgs.get(tx, by.org_id)
    if not found:
        raise Invalid("no invoice is in this list, so there is nothing to export")
    asked = {**words, **({} if org is None else {_ISSUER: org.name, _ZONE: org.time_zone})}
    return await jobs.begin(KIND, json.dumps(asked), found, by, member_id)


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
    header = [_heading(name, words) for name in COLUMNS]
    return sheet.BYTE_ORDER_MARK + sheet.rows([header, *table])


EXPORT: Final = Kind(step=_step, at_once=500)


def _heading(name: str, words: Mapping[str, str]) -> str:
    said = words.get(f"column:{name}", name)
    return f"{said} ({words.get(_ZONE, zones.DEFAULT)})" if name in _TIMES else said


def _row(invoice: Invoice, words: Mapping[str, str]) -> list[str]:
    document, price = invoice.document, invoice.price
    context = invoice.context.value if invoice.context else ""
    issuer = words.get(_ISSUER, "")
    zone = zones.zone(words.get(_ZONE, zones.DEFAULT))
    cells = {
        "number": number_label(invoice),
        "id": ids.public("inv", invoice.invoice_id),
        "status": words.get(f"status:{invoice.status.value}", invoice.status.value),
        "context": words.get(f"context:{context}", context),
        "issuer": issuer,
        "customer": document.recipient_name,
        "customer_email": document.recipient_email,
        # The document's organisation is its recipient's, but for those who write their own there.
        "customer_organization": _other(document.organization_name, issuer),
        "description": document.description,
        "net": plain_text(document.net),
        "tax": plain_text(document.tax),
        "amount": plain_text(price.amount),
        "currency": price.currency or invoice.requests[0].asset.symbol,
        "method": words.get(f"method:{invoice.settlement}", invoice.settlement),
        **_money(invoice),
        "issued": str(document.issued_on),
        "created": _moment(invoice.created_at, zone),
        "payable_until": _moment(invoice.deadline_at, zone),
        "completed": _moment(invoice.completed_at, zone),
        "reviewer": invoice.reviewer or "",
        "group": document.group_key or "",
        "archived": _moment(invoice.archived_at, zone),
    }
    return [cells[name] for name in COLUMNS]


def _other(name: str, than: str) -> str:
    return "" if name == than else name


def _money(invoice: Invoice) -> dict[str, str]:
    """What is due, came and went, of one token; of further ones what came, as text."""
    first, *others = sorted(
        (came for came in invoice.tally.everything if came.confirmed_units),
        key=lambda came: -reckoning.rough_dollars(came.asset, came.confirmed_units),
    ) or [AssetTally(invoice.requests[0].asset, 0, 0, 0)]
    asset, settled = first.asset, invoice.settled
    due = next((r.due_units for r in invoice.requests if r.asset == asset), 0)
    return {
        "token": asset.symbol,
        "chain": CHAINS[asset.chain].name,
        "due_in_token": format_units(due, asset.decimals),
        "received": format_units(first.confirmed_units, asset.decimals),
        "paid_out": format_units(settled.paid_out_units(asset), asset.decimals),
        "sent_back": format_units(settled.returned_units(asset), asset.decimals),
        "other_tokens": "; ".join(
            f"{Money(came.confirmed_units, came.asset)} ({CHAINS[came.asset.chain].name})"
            for came in others
        ),
    }


def _moment(at: datetime | None, zone: tzinfo) -> str:
    """A time as spreadsheets read it; the heading says the zone."""
    return "" if at is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M}"
