"""What is shown: an invoice with all that belongs to it, pages of them, and their history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from counterfoil.books import audit, kept, lists, moves, screening, transfers, unknown
from counterfoil.books.kept import SavedFilter
from counterfoil.books.lists import COUNTED_AT_MOST, Filters, Order, StatusCount
from counterfoil.books.screening import ScreeningRun
from counterfoil.books.unknown import UnknownToken
from counterfoil.core import resolution
from counterfoil.core.content import content_hash
from counterfoil.core.errors import Refusal
from counterfoil.core.invoice import Invoice, PaymentRequest, Status
from counterfoil.core.resolution import Choice
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.seal import LogEntry
from counterfoil.db.pool import Tx
from counterfoil.db.rows import together
from counterfoil.desk import registered, resolving
from counterfoil.desk.desk import Desk
from counterfoil.desk.metadata import told_to
from counterfoil.desk.reach import readable

__all__ = [
    "Filters",
    "InvoiceView",
    "NumberedEntry",
    "Order",
    "Page",
    "Shelf",
    "StatusCount",
    "by_status",
    "counted_now",
    "fresh_view",
    "full_view",
    "logs",
    "must_reach",
    "page",
    "shelf",
    "shown_view",
    "stretch",
    "view",
]

_ENTRIES_PER_INVOICE = 100_000


@dataclass(frozen=True, slots=True)
class InvoiceView:
    """An invoice with what came in, what went out, and the newest screening, as of ``read_at``.

    ``unknown_tokens`` are tokens that are not registered here and came all the same.
    ``repriced`` is what would be due at the current rates, or with more time, where somebody may
    choose that. With
    ``goes_unregistered`` nobody signs for it: its money would go where the organisation does not
    pay out to just now. ``against`` are the screenings that stand against its money, of the
    payment and of what strayed in beside it; the newest one need not be among them.
    """

    invoice: Invoice
    transfers: tuple[transfers.TransferRow, ...]
    moves: tuple[moves.MoveRow, ...]
    screening: ScreeningRun | None
    read_at: datetime
    repriced: tuple[PaymentRequest, ...] = ()
    goes_unregistered: bool = False
    unknown_tokens: tuple[UnknownToken, ...] = ()
    against: tuple[ScreeningRun, ...] = ()

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
class Shelf:
    """One page of invoices by themselves, and how many match as in `Page`.

    ``by_status`` is how many of the organisation's invoices stand where, whatever their context and
    whatever is asked for beside those archived. ``left_out`` are archived where those are not asked
    for: as many as stand there, whatever else is asked for. ``saved`` and ``columns`` are what the
    member keeps of the list; None where they have chosen no columns.
    """

    invoices: tuple[Invoice, ...]
    total: int
    total_is_at_least: bool
    order: Order
    by_status: Mapping[Status, int] = field(default_factory=dict)
    left_out: int = 0
    saved: tuple[SavedFilter, ...] = ()
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class NumberedEntry:
    """A log entry with a number that is unique within the organisation and grows with time."""

    id: int
    entry: LogEntry


async def view(desk: Desk, invoice_id: UUID, by: Actor) -> InvoiceView:
    """One invoice of the actor's organisation; `NotFound` otherwise."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        invoice = await readable(tx, by, invoice_id)
        return await shown_view(desk, tx, invoice)


async def must_reach(desk: Desk, invoice_id: UUID, by: Actor) -> None:
    """Raise `NotFound` for an invoice that the actor's key does not reach."""
    if by.client_id is None:
        return
    async with desk.database.reading() as tx:
        await readable(tx, by, invoice_id)


async def page(desk: Desk, filters: Filters, by: Actor, *, number: int, size: int) -> Page:
    """The ``number``-th page (from 1) of ``size`` invoices that match.

    The newest come first where so many match that they cannot be sorted otherwise.
    """
    return await stretch(desk, filters, by, after=(number - 1) * size, size=size)


async def stretch(desk: Desk, filters: Filters, by: Actor, *, after: int, size: int) -> Page:
    """As `page`, of the ``size`` invoices that stand behind so many others."""
    by.require(Permission.READ)
    filters = replace(filters, client_id=by.client_id)
    async with desk.database.reading() as tx:
        counts = await lists.counts(tx, by.org_id, filters)
        found = await _found(tx, by.org_id, filters, counts, after=after, size=size)
        return Page(
            views=tuple(await _views(desk, tx, by.org_id, found.invoices)),
            total=found.total,
            total_is_at_least=found.total_is_at_least,
            counts=tuple(counts),
            order=found.order,
        )


async def shelf(  # noqa: PLR0913 - as `page`, and for whom
    desk: Desk, filters: Filters, by: Actor, member_id: UUID, *, number: int, size: int
) -> Shelf:
    """The same page for people: the invoices alone, and how the member looks at them."""
    by.require(Permission.READ)
    put_away = Filters(filters.statuses, filters.settlement, archived=True)
    async with desk.database.reading() as tx:
        (counts, everywhere, archived), (saved, columns) = await together(
            tx,
            together(
                tx,
                lists.counts(tx, by.org_id, filters),
                lists.counts(tx, by.org_id, Filters(archived=filters.archived)),
                lists.counts(tx, by.org_id, put_away),
            ),
            together(
                tx,
                kept.filters(tx, by.org_id, member_id),
                kept.columns(tx, by.org_id, member_id),
            ),
        )
        after = (number - 1) * size
        found = await _found(tx, by.org_id, filters, counts, after=after, size=size)
    return replace(
        found,
        by_status=by_status(everywhere),
        left_out=sum(one.count for one in archived) if filters.archived is False else 0,
        saved=tuple(saved),
        columns=None if columns is None else tuple(columns),
    )


async def counted_now(desk: Desk, by: Actor) -> Mapping[Status, int]:
    """How many of the organisation's invoices stand where, without those archived."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        return by_status(await lists.counts(tx, by.org_id, Filters(archived=False)))


def by_status(counts: Sequence[StatusCount]) -> Mapping[Status, int]:
    """How many stand where, whatever their context."""
    found: dict[Status, int] = {}
    for one in counts:
        status = Status(one.status)
        found[status] = found.get(status, 0) + one.count
    return found


async def _found(  # noqa: PLR0913 - whose, which, and the slice of them
    tx: Tx,
    org_id: int,
    filters: Filters,
    counts: Sequence[StatusCount],
    *,
    after: int,
    size: int,
) -> Shelf:
    total = sum(c.count for c in counts)
    many = total > COUNTED_AT_MOST
    at_least = many and not filters.by_standing_only
    if at_least and (filters.by_due or filters.by_amount):
        filters = replace(filters, order="newest")
    found = await lists.page(tx, org_id, filters, limit=size, offset=after, many=many)
    return Shelf(tuple(found), COUNTED_AT_MOST if at_least else total, at_least, filters.order)


async def logs(desk: Desk, invoice_id: UUID, by: Actor) -> list[NumberedEntry]:
    """An invoice's history, oldest first, as the actor may read it."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        invoice = await readable(tx, by, invoice_id)
        entries = await audit.of_invoice(tx, by.org_id, invoice_id)
    return [
        NumberedEntry(invoice.number * _ENTRIES_PER_INVOICE + entry.sequence, told_to(by, entry))
        for entry, _ in entries
    ]


def fresh_view(invoice: Invoice) -> InvoiceView:
    """A new invoice's view: nothing can have come in or gone out yet."""
    return InvoiceView(
        invoice=invoice, transfers=(), moves=(), screening=None, read_at=invoice.created_at
    )


async def full_view(desk: Desk, tx: Tx, invoice: Invoice) -> InvoiceView:
    """An invoice's view within the caller's transaction."""
    (found,) = await _views(desk, tx, invoice.org_id, [invoice])
    return found


async def shown_view(desk: Desk, tx: Tx, invoice: Invoice) -> InvoiceView:
    """An invoice's view with the current price, where somebody may choose it."""
    found = await full_view(desk, tx, invoice)
    if Choice.RECALCULATE not in resolution.choices(invoice, found.read_at):
        return found
    if not resolution.is_priced_by_rate(invoice):
        return replace(found, repriced=invoice.requests)
    try:
        requests = await resolving.repriced(desk, tx, invoice, found.read_at)
    except Refusal:
        return found
    return replace(found, repriced=tuple(requests))


async def _views(desk: Desk, tx: Tx, org_id: int, found: Sequence[Invoice]) -> list[InvoiceView]:
    ids = [invoice.invoice_id for invoice in found]
    if not ids:
        return []
    now = desk.clock.now()
    (came_in, strange), went_out, latest, unregistered = await together(
        tx,
        together(tx, transfers.of_invoices(tx, org_id, ids), unknown.of_invoices(tx, org_id, ids)),
        moves.of_invoices(tx, org_id, ids),
        screening.latest_of_invoices(tx, org_id, ids),
        registered.not_signed_for(tx, org_id, found, now),
    )
    runs = {run.invoice_id: run for run in latest}
    stand = [run_id for invoice in found for run_id in _against(invoice)]
    against = await screening.of_ids(tx, org_id, stand) if stand else []
    return [
        InvoiceView(
            invoice=invoice,
            transfers=tuple(t for t in came_in if t.invoice_id == invoice.invoice_id),
            moves=tuple(m for m in went_out if m.invoice_id == invoice.invoice_id),
            screening=runs.get(invoice.invoice_id),
            read_at=now,
            goes_unregistered=invoice.invoice_id in unregistered,
            unknown_tokens=tuple(t for t in strange if t.invoice_id == invoice.invoice_id),
            against=tuple(run for run in against if run.invoice_id == invoice.invoice_id),
        )
        for invoice in found
    ]


def _against(invoice: Invoice) -> list[UUID]:
    """The screenings whose verdicts stand against money of an invoice."""
    verdicts = (invoice.screening, invoice.stray_screening)
    return [one.run_id for one in verdicts if one is not None and one.decision != "clear"]
