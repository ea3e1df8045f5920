"""What waits for signers and for compliance: one row each, with what is best done about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from litestar import get
from litestar.params import FromPath

from counterfoil.core import ids, reckoning, resolution
from counterfoil.core.errors import NotFound
from counterfoil.core.events import ApproveRefund, OrderRefund
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.lifecycle import command_name
from counterfoil.core.money import Money
from counterfoil.core.planning import payouts_beside
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import after_end, queries, redirecting, second_look
from counterfoil.desk.desk import Desk
from counterfoil.desk.possible import possible
from counterfoil.desk.queries import Filters, Page
from counterfoil.pages.language import N_
from counterfoil.studio import paging
from counterfoil.studio.door import Answer, PageRequest, desk_of, show
from counterfoil.studio.invoice import with_amounts

S = Status
AT_ONCE: Final = 50
MAX_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Queue:
    """Invoices at some statuses, which people with one permission bring on."""

    name: str
    title: str
    permission: Permission
    statuses: tuple[Status, ...]
    nothing: str

    @property
    def address(self) -> str:
        """Where it is shown; approvals have a page of their own."""
        return "/studio/approvals" if self.name == "approve" else f"/studio/queue/{self.name}"


QUEUES: Final = (
    Queue(
        "approve",
        N_("To approve"),
        Permission.APPROVE,
        (S.APPROVAL_PENDING,),
        N_("No invoice waits for approval."),
    ),
    Queue(
        "sign",
        N_("To sign"),
        Permission.SIGN,
        (S.SIGN_PENDING,),
        N_("No payment waits for a signature."),
    ),
    Queue(
        "resolve",
        N_("To decide"),
        Permission.SIGN,
        (S.RESOLUTION_REQUIRED,),
        N_("No payment is short, late or otherwise particular."),
    ),
    Queue(
        "refund",
        N_("Refunds to approve"),
        Permission.SIGN,
        (S.REFUND_PENDING,),
        N_("No refund waits for a second person."),
    ),
    Queue(
        "standing",
        N_("Payments that stand still"),
        Permission.SIGN,
        (),
        N_("No payment stands still."),
    ),
    Queue(
        "clear",
        N_("Held money"),
        Permission.REVIEW,
        (S.COMPLIANCE_HOLD, S.COMPLIANCE_DECLINED),
        N_("No money is held."),
    ),
)
"""What may wait for somebody, in the order of an invoice's life."""

AFTER: Final = Queue(
    "after",
    N_("Money that came after the end"),
    Permission.SIGN,
    (),
    N_("No money came after the end of its invoice."),
)
"""Told of by an alert alone, as it is seldom that something waits there."""


@get("/queue/{name:str}")
async def queue(request: PageRequest, name: FromPath[str]) -> Answer:
    """The invoices of one queue, with what the visitor could do about each."""
    found = next((q for q in (*QUEUES, AFTER) if q.name == name), None)
    if found is None:
        raise NotFound("there is no such queue")
    by = request.user.actor
    by.require(found.permission)
    if found.name == "standing":
        return await _standing(request, found)
    if found is AFTER:
        return await _after(request)
    filters = Filters(statuses=tuple((s, None) for s in found.statuses), archived=False)
    if found.name == "refund":
        return await _refunds(request, found, filters)
    number, page = await _page_of(request, filters)
    rows = [
        (
            ids.public("inv", view.invoice.invoice_id),
            view,
            resolution.suggested(view.invoice, view.read_at),
            [command_name(command) for command in possible(view, by)],
            against(view.invoice),
            reckoning.returned(view.invoice),
        )
        for view in page.views
    ]
    values = {"queue": found, "rows": rows, **_pages(number, page.total)}
    return show(request, "studio/queue.html", values)


async def _page_of(request: PageRequest, filters: Filters) -> tuple[int, Page]:
    """The page that was asked for, or the last there is, with its number."""
    read = partial(queries.page, desk_of(request), filters, request.user.actor, size=AT_ONCE)
    number = paging.read(request, MAX_PAGE)
    page = await read(number=number)
    if number > (last := paging.last(page.total, AT_ONCE)):
        return last, await read(number=last)
    return number, page


async def _refunds(request: PageRequest, queue: Queue, filters: Filters) -> Answer:
    """The refunds that wait, each with all that its second person decides by."""
    by = request.user.actor
    number, page = await _page_of(request, filters)
    rows = [
        (
            ids.public("inv", view.invoice.invoice_id),
            view,
            order,
            payouts_beside(view.invoice, order.refund.amounts)
            if order.refund.with_sign_off
            else (),
            ApproveRefund in possible(view, by),
        )
        for view in page.views
        if (order := second_look.open_order(view)) is not None
    ]
    facts = await second_look.facts_of(desk_of(request), page.views, by)
    values = {"queue": queue, "rows": rows, "facts": facts, **_pages(number, page.total)}
    return show(request, "studio/queue_refund.html", values)


@dataclass(frozen=True, slots=True)
class Against:
    """What came in of one token against what is due in it."""

    due: Money
    came: Money
    missing: Money | None
    too_much: Money | None


def against(invoice: Invoice) -> tuple[Against, ...]:
    """For each token that came, or the first that is asked for.

    What is missing completes the payment in any one of them, so it is told once.
    """
    came = {a.asset: a.seen_units for a in invoice.tally.assets}
    asked = [r for r in invoice.requests if r.asset in came] or invoice.requests[:1]
    completing = (m for m in reckoning.missing(invoice) if m.asset == asked[0].asset)
    missing = {money.asset: money for money in completing}
    surplus = {money.asset: money for money in reckoning.surplus(invoice)}
    return tuple(
        Against(
            due=Money(r.due_units, r.asset),
            came=Money(came.get(r.asset, 0), r.asset),
            missing=missing.get(r.asset),
            too_much=surplus.get(r.asset),
        )
        for r in asked
    )


async def waiting(
    desk: Desk, by: Actor, standing: Mapping[Status, int]
) -> list[tuple[str, str, int]]:
    """The queues of a member: name, address, and how many invoices wait in it.

    So many of their organisation's invoices stand at each status.
    """
    return [
        (one.title, one.address, await _count(desk, by, one, standing))
        for one in QUEUES
        if one.permission in by.permissions
    ]


async def _count(desk: Desk, by: Actor, queue: Queue, standing: Mapping[Status, int]) -> int:
    if queue.name == "standing":
        return len(await redirecting.standing_still(desk, by))
    return sum(standing.get(status, 0) for status in queue.statuses)


async def _standing(request: PageRequest, queue: Queue) -> Answer:
    """Payments that stand still, each with what stands against it and what could be done."""
    desk, by = desk_of(request), request.user.actor
    waits = await redirecting.standing_still(desk, by)
    number = min(paging.read(request, MAX_PAGE), paging.last(len(waits), AT_ONCE))
    rows = []
    for invoice_id in waits[(number - 1) * AT_ONCE : number * AT_ONCE]:
        view = await queries.view(desk, invoice_id, by)
        found = await redirecting.standing(desk, view, by)
        if found is not None:
            rows.append((ids.public("inv", invoice_id), view, found, with_amounts(found)))
    facts = await second_look.facts_of(desk, (), by)
    values = {"queue": queue, "rows": rows, "facts": facts, **_pages(number, len(waits))}
    return show(request, "studio/queue_standing.html", values)


async def _after(request: PageRequest) -> Answer:
    """Money that is left at invoices which have ended, each with who can send it back."""
    desk, by = desk_of(request), request.user.actor
    number = paging.read(request, MAX_PAGE)
    read = partial(after_end.page, desk, by, size=AT_ONCE)
    page = await read(number=number)
    if number > (last := paging.last(page.total, AT_ONCE)):
        number, page = last, await read(number=last)
    rows = []
    for invoice, money in page.invoices:
        view = await queries.view(desk, invoice.invoice_id, by)
        can_order = OrderRefund in possible(view, by)
        rows.append((ids.public("inv", invoice.invoice_id), invoice, money, can_order))
    values = {"queue": AFTER, "rows": rows, **_pages(number, page.total)}
    return show(request, "studio/queue_after.html", values)


def _pages(number: int, total: int) -> dict[str, int]:
    return {"total": total, "number": number, "last": paging.last(total, AT_ONCE)}


HANDLERS: Final = (queue,)
