"""What is shown: an invoice with all that belongs to it, pages of them, and their history."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from counterfoil.books import audit, invoices, lists, moves, screening, transfers
from counterfoil.books.lists import COUNTED_AT_MOST, Filters, Order, StatusCount
from counterfoil.core import resolution
from counterfoil.core.content import content_hash
from counterfoil.core.errors import NotFound, Refusal
from counterfoil.core.invoice import Invoice, PaymentRequest, Status
from counterfoil.core.resolution import Choice
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.seal import LogEntry
from counterfoil.db.pool import Tx
from counterfoil.desk import resolving
from counterfoil.desk.desk import Desk

__all__ = [
    "Filters",
    "InvoiceView",
    "NumberedEntry",
    "Order",
    "Page",
    "StatusCount",
    "fresh_view",
    "full_view",
    "logs",
    "page",
    "shown_view",
    "standing",
    "view",
]

_ENTRIES_PER_INVOICE = 100_000


@dataclass(frozen=True, slots=True)
class InvoiceView:
    """An invoice with what came in, what went out, and the newest screening.

    ``repriced`` is what would be due at the current rates, where somebody may choose that.
    """

    invoice: Invoice
    transfers: tuple[transfers.TransferRow, ...]
    moves: tuple[moves.MoveRow, ...]
    screening: screening.ScreeningRun | None
    repriced: tuple[PaymentRequest, ...] = ()

    @property
    def content_hash(self) -> str:
        """What an approval binds to."""
        return content_hash(self.invoice)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of invoices, how many match in all, and how many by status and context.

    With ``total_is_at_least`` there are more than anybody counted; the counts are then of some.
    """

    views: tuple[InvoiceView, ...]
    total: int
    total_is_at_least: bool
    counts: tuple[StatusCount, ...]
    order: Order = "newest"


@dataclass(frozen=True, slots=True)
class NumberedEntry:
    """A log entry with a number that is unique within the organisation and grows with time."""

    id: int
    entry: LogEntry


async def view(desk: Desk, invoice_id: UUID, by: Actor) -> InvoiceView:
    """One invoice of the actor's organisation; `NotFound` otherwise."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        invoice = await invoices.get(tx, by.org_id, invoice_id)
        if invoice is None:
            raise NotFound("there is no such invoice")
        return await shown_view(desk, tx, invoice)


async def page(desk: Desk, filters: Filters, by: Actor, *, number: int, size: int) -> Page:
    """The ``number``-th page (from 1) of ``size`` invoices that match.

    The newest come first where so many match that they cannot be sorted by due date.
    """
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        counts = await lists.counts(tx, by.org_id, filters)
        total = sum(c.count for c in counts)
        many = total > COUNTED_AT_MOST and not filters.by_standing_only
        if many and filters.by_due:
            filters = replace(filters, order="newest")
        found = await lists.page(
            tx, by.org_id, filters, limit=size, offset=(number - 1) * size, many=many
        )
        return Page(
            views=tuple(await _views(tx, by.org_id, found)),
            total=COUNTED_AT_MOST if many else total,
            total_is_at_least=many,
            counts=tuple(counts),
            order=filters.order,
        )


async def standing(desk: Desk, by: Actor, *, archived: bool | None) -> dict[Status, int]:
    """How many of the organisation's invoices stand where, whatever their context."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        counts = await lists.counts(tx, by.org_id, Filters(archived=archived))
    found: dict[Status, int] = {}
    for one in counts:
        status = Status(one.status)
        found[status] = found.get(status, 0) + one.count
    return found


async def logs(desk: Desk, invoice_id: UUID, by: Actor) -> list[NumberedEntry]:
    """An invoice's history, oldest first."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        invoice = await invoices.get(tx, by.org_id, invoice_id)
        if invoice is None:
            raise NotFound("there is no such invoice")
        entries = await audit.of_invoice(tx, by.org_id, invoice_id)
    return [
        NumberedEntry(invoice.number * _ENTRIES_PER_INVOICE + entry.sequence, entry)
        for entry, _ in entries
    ]


def fresh_view(invoice: Invoice) -> InvoiceView:
    """A new invoice's view: nothing can have come in or gone out yet."""
    return InvoiceView(invoice=invoice, transfers=(), moves=(), screening=None)


async def full_view(tx: Tx, invoice: Invoice) -> InvoiceView:
    """An invoice's view within the caller's transaction."""
    (found,) = await _views(tx, invoice.org_id, [invoice])
    return found


async def shown_view(desk: Desk, tx: Tx, invoice: Invoice) -> InvoiceView:
    """An invoice's view with the current price, where somebody may choose it."""
    found = await full_view(tx, invoice)
    if Choice.RECALCULATE not in resolution.choices(invoice):
        return found
    try:
        requests = await resolving.repriced(desk, tx, invoice, desk.clock.now())
    except Refusal:
        return found
    return replace(found, repriced=tuple(requests))


async def _views(tx: Tx, org_id: int, found: Sequence[Invoice]) -> list[InvoiceView]:
    ids = [invoice.invoice_id for invoice in found]
    if not ids:
        return []
    came_in = await transfers.of_invoices(tx, org_id, ids)
    went_out = await moves.of_invoices(tx, org_id, ids)
    runs = {run.invoice_id: run for run in await screening.latest_of_invoices(tx, org_id, ids)}
    return [
        InvoiceView(
            invoice=invoice,
            transfers=tuple(t for t in came_in if t.invoice_id == invoice.invoice_id),
            moves=tuple(m for m in went_out if m.invoice_id == invoice.invoice_id),
            screening=runs.get(invoice.invoice_id),
        )
        for invoice in found
    ]
