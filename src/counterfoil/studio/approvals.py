"""Approvals: all that waits for this person, in every organisation of theirs, decided at once.

Each invoice is decided on its own, so one that was changed meanwhile holds no other up, and each
row tells what became of it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from litestar import get, post

from counterfoil.core import ids
from counterfoil.core.errors import Invalid, NotFound, Refusal
from counterfoil.core.events import Approve
from counterfoil.core.invoice import Status, number_label
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.seal import LogEntry
from counterfoil.desk import commands, edits, queries
from counterfoil.desk.desk import Desk
from counterfoil.desk.possible import possible
from counterfoil.desk.queries import Filters, InvoiceView
from counterfoil.pages import shape
from counterfoil.pages.forms import Form, read_form
from counterfoil.studio import history, paging
from counterfoil.studio.door import Answer, PageRequest, desk_of, show, status_code_of

AT_ONCE: Final = 100

MAX_PAGE: Final = 1_000

_PENDING: Final = Filters(
    statuses=((Status.APPROVAL_PENDING, None),), archived=False, order="oldest"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One invoice that waits. ``key`` names it in the form, with the content that is shown."""

    org_id: int
    org_name: str
    public_id: str
    view: InvoiceView
    changes: Sequence[LogEntry]
    """What was changed since it was submitted, oldest first."""
    names: Mapping[str, str]
    mine: bool
    """Whether the visitor may decide it: four eyes keep makers from approving."""

    @property
    def was_redirected(self) -> bool:
        """Whether its payout address was changed, so that nobody chooses it along with others."""
        return history.was_redirected(self.changes)

    @property
    def key(self) -> str:
        """Organisation, invoice and content hash."""
        return f"{self.org_id}:{self.public_id}:{self.view.content_hash}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """One row of the form: as whom, which invoice, and the content that was shown."""

    by: Actor
    public_id: str
    seen: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one row."""

    number: str
    public_id: str
    refusal: Refusal | None


@get("/approvals")
async def approvals(request: PageRequest) -> Answer:
    """What waits to be approved."""
    return await _page(request)


@post("/approvals", status_code=200)
async def decide(request: PageRequest) -> Answer:
    """Approve or reject what was chosen, one after the other."""
    form = await read_form(request)
    try:
        decision = form.chosen("decision", ("approve", "reject"))
        chosen = form.all("invoice", at_most=AT_ONCE)
        if not chosen:
            raise Invalid.field("invoice", "choose at least one invoice")
        reason = form.text("reason", empty=decision == "approve", lines=True)
        parsed = [_parsed(request, one) for one in chosen]
    except Invalid as refusal:
        was_chosen, reason = _as_it_was(form)
        return await _page(request, refusal=refusal, chosen=was_chosen, reason=reason)
    results = [await _decided(desk_of(request), one, decision, reason) for one in parsed]
    return await _page(request, results=results, decision=decision)


def actors_of(request: PageRequest, permission: Permission) -> list[tuple[Actor, str]]:
    """The visitor as a member of each organisation in which they have a permission."""
    found = [(request.user.actor_in(one.org_id), one.org_name) for one in request.user.memberships]
    return [(by, name) for by, name in found if permission in by.permissions]


async def _page(  # noqa: PLR0913 - what one decision left, or the form as it was
    request: PageRequest,
    *,
    results: Sequence[Result] = (),
    decision: str = "",
    refusal: Refusal | None = None,
    chosen: Collection[str] = (),
    reason: str = "",
) -> Answer:
    rows: list[Waiting] = []
    everywhere = actors_of(request, Permission.APPROVE)
    if not everywhere:
        request.user.actor.require(Permission.APPROVE)
    waiting = [await _how_many(desk_of(request), by) for by, _ in everywhere]
    total = sum(waiting)
    number = min(paging.read(request, MAX_PAGE), paging.last(total, AT_ONCE))
    for (by, org_name), part in zip(everywhere, _parts(waiting, number), strict=True):
        if not part:
            continue
        page = await queries.stretch(
            desk_of(request), _PENDING, by, after=part.start, size=len(part)
        )
        made = await edits.of_waiting(desk_of(request), [v.invoice for v in page.views], by)
        rows += [
            Waiting(
                by.org_id,
                org_name,
                ids.public("inv", view.invoice.invoice_id),
                view,
                made.by_invoice.get(view.invoice.invoice_id, ()),
                made.names,
                Approve in possible(view, by),
            )
            for view in page.views
        ]
    rows.sort(key=lambda row: row.view.invoice.created_at)
    return show(
        request,
        "studio/approvals.html",
        {
            "waiting": rows,
            "total": total,
            "number": number,
            "last": paging.last(total, AT_ONCE),
            "sums": _sums(rows) if total == len(rows) else (),
            "elsewhere": sorted(
                {row.org_id for row in rows} - {request.user.session.org_id},
            ),
            "several": len(everywhere) > 1,
            "results": results,
            "decision": decision,
            "refusal": refusal,
            "chosen": chosen,
            "reason": reason,
            "history": history,
        },
        status_code=200 if refusal is None else status_code_of(refusal),
    )


async def _how_many(desk: Desk, by: Actor) -> int:
    return (await queries.counted_now(desk, by)).get(Status.APPROVAL_PENDING, 0)


def _parts(waiting: Sequence[int], number: int) -> list[range]:
    """Which rows of each organisation are on a page: those of one follow those of another."""
    first, found = (number - 1) * AT_ONCE, []
    for count in waiting:
        found.append(range(min(max(first, 0), count), min(max(first + AT_ONCE, 0), count)))
        first -= count
    return found


def _sums(rows: Sequence[Waiting]) -> list[str]:
    """What is asked for in all, in each currency and token."""
    sums: dict[tuple[str | None, str], Decimal] = {}
    for row in rows:
        price, symbol = row.view.invoice.price, row.view.invoice.requests[0].asset.symbol
        key = (price.currency, "" if price.currency else symbol)
        sums[key] = sums.get(key, Decimal(0)) + price.amount
    return [
        shape.fiat(amount, currency) if currency else f"{shape.number(amount)} {symbol}"
        for (currency, symbol), amount in sorted(sums.items(), key=str)
    ]


def _as_it_was(form: Form) -> tuple[Collection[str], str]:
    try:
        return form.all("invoice", at_most=AT_ONCE), form.raw("reason")
    except Invalid:
        return (), ""


def _parsed(request: PageRequest, key: str) -> Chosen:
    org, _, rest = key.partition(":")
    public_id, _, seen = rest.partition(":")
    org_id = ids.parse_number(org)
    if org_id is None:
        raise Invalid.field("invoice", "is not one that this page has shown")
    return Chosen(request.user.actor_in(org_id), public_id, seen)


async def _decided(desk: Desk, one: Chosen, decision: str, reason: str) -> Result:
    label = one.public_id
    try:
        invoice_id = ids.parse("inv", one.public_id)
        if invoice_id is None:
            raise NotFound("there is no such invoice")
        label = number_label((await queries.view(desk, invoice_id, one.by)).invoice)
        if decision == "approve":
            await commands.approve(desk, invoice_id, one.by, seen_hash=one.seen)
        else:
            await commands.reject(desk, invoice_id, one.by, reason)
    except Refusal as refusal:
        return Result(label, one.public_id, refusal)
    return Result(label, one.public_id, None)


HANDLERS: Final = (approvals, decide)
