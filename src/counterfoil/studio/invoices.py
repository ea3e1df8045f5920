"""The list of invoices: search, filters with names, columns of one's own, and tables to take."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlencode

from litestar import get, post
from litestar.datastructures import MultiDict

from counterfoil.core import ids
from counterfoil.core.errors import Invalid
from counterfoil.core.invoice import Status
from counterfoil.core.text import clean_email, clean_text
from counterfoil.desk import exporting, keeping, queries
from counterfoil.desk.exporting import COLUMNS as EXPORTED
from counterfoil.desk.queries import Filters, Order
from counterfoil.pages.forms import read_form
from counterfoil.pages.render import is_fragment
from counterfoil.studio import paging, words
from counterfoil.studio.door import (
    PREFIX,
    Answer,
    PageRequest,
    desk_of,
    go,
    parts_of,
    show,
    status_code_of,
    translated,
    zone_of,
)

LIST: Final = f"{PREFIX}/invoices"
PAGE_SIZE: Final = 20
SEARCH_LENGTH: Final = 200
MAX_PAGE: Final = 5_000
MAX_PAGE_BY_DUE: Final = 500
"""Each standing is read that far and merged, so pages further on would take long."""
MAX_PAGE_BY_AMOUNT: Final = 100
"""Where each invoice stands is looked up on the way there; the other end is one click away."""

ORDERS: Final[Mapping[str, Order]] = {
    "newest": "newest",
    "oldest": "oldest",
    "due_first": "due_first",
    "due_last": "due_last",
    "amount_least": "amount_least",
    "amount_most": "amount_most",
}
COLUMNS: Final = (
    "recipient",
    "email",
    "status",
    "amount",
    "tokens",
    "method",
    "description",
    "reviewer",
    "created",
    "due",
)
"""What a list may show beside the number, in the order in which it stands."""
USUAL_COLUMNS: Final = ("recipient", "status", "amount", "created", "due")

_Query = MultiDict[str]
_ARCHIVED: Final[Mapping[str, bool | None]] = {"": False, "only": True, "yes": None}
_METHODS: Final[Mapping[str, Literal["crypto", "fiat"] | None]] = {
    "": None,
    "crypto": "crypto",
    "fiat": "fiat",
}
_REFUSED_IN_PLACE: Final = (Invalid,)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list is asked for, as its form says it."""

    statuses: tuple[Status, ...]
    search: str
    email: str
    since: date | None
    until: date | None
    method: str
    archived: str
    order: str

    def filters(self, zone: tzinfo) -> Filters:
        """The same for the desk. Days are those of the zone, the last one to its end."""
        return Filters(
            statuses=tuple((s, None) for s in self.statuses) or None,
            search=self.search or None,
            recipient_email=self.email or None,
            settlement=_METHODS[self.method],
            archived=_ARCHIVED[self.archived],
            created_after=_start(self.since, zone) if self.since else None,
            created_before=_end(self.until, zone) if self.until else None,
            order=ORDERS[self.order],
        )

    @property
    def query(self) -> str:
        """As the query of an address, each way of asking written in one way."""
        kept = [("status", s.value) for s in self.statuses]
        kept += [("q", self.search), ("email", self.email), ("method", self.method)]
        kept += [("since", str(self.since or "")), ("until", str(self.until or ""))]
        kept += [("archived", self.archived)]
        kept += [("order", "" if self.order == "newest" else self.order)]
        return urlencode([(name, value) for name, value in kept if value])

    @property
    def last_page(self) -> int:
        """As far as pages are shown."""
        if self.is_by_amount:
            return MAX_PAGE_BY_AMOUNT
        return MAX_PAGE_BY_DUE if Filters(order=ORDERS[self.order]).by_due else MAX_PAGE

    @property
    def is_by_amount(self) -> bool:
        """Whether the list is sorted by amount."""
        return Filters(order=ORDERS[self.order]).by_amount

    def with_order(self, order: str) -> str:
        """The query of the same list in another order."""
        return replace(self, order=order).query

    @property
    def with_archived(self) -> str:
        """The query of the same list with those archived in it."""
        return replace(self, archived="yes").query

    @property
    def is_narrowed(self) -> bool:
        """Whether anything is asked for beside where invoices stand."""
        return bool(self.search or self.email or self.since or self.until or self.method)


@get("/invoices")
async def page(request: PageRequest) -> Answer:
    """A page of invoices that match."""
    asked = read(request.query_params)
    return await _list(request, asked, paging.read(request, asked.last_page))


async def _list(
    request: PageRequest, asked: Asked, number: int, refusal: Invalid | None = None
) -> Answer:
    desk, by = desk_of(request), request.user.actor
    found = await queries.shelf(
        desk,
        asked.filters(zone_of(request)),
        by,
        request.user.session.member_id,
        number=number,
        size=PAGE_SIZE,
    )
    chosen = found.columns if found.columns is not None else USUAL_COLUMNS
    fragment = is_fragment(request) and refusal is None
    return show(
        request,
        "studio/invoices_part.html" if fragment else "studio/invoices.html",
        {
            "found": found,
            "rows": [(ids.public("inv", one.invoice_id), one) for one in found.invoices],
            "counts": found.by_status,
            "last": min(asked.last_page, paging.last(found.total, PAGE_SIZE)),
            "number": number,
            "asked": asked,
            "saved": found.saved,
            "columns": [name for name in COLUMNS if name in chosen],
            "all_columns": COLUMNS,
            "refusal": refusal,
        },
        status_code=200 if refusal is None else status_code_of(refusal),
    )


@post("/filters", status_code=303)
async def save_filter(request: PageRequest) -> Answer:
    """Keep what the list is asked for under a name; the same name again replaces it."""
    form = await read_form(request)
    asked = read(_query(form.raw("query")))
    try:
        name = form.text("name", max_length=keeping.NAME_LENGTH, empty=False)
        member = request.user.session.member_id
        await keeping.keep_filter(desk_of(request), request.user.actor, member, name, asked.query)
    except _REFUSED_IN_PLACE as refusal:
        return await _list(request, asked, 1, refusal)
    return go(f"{LIST}?{asked.query}", done="saved")


@post("/filters/delete", status_code=303)
async def delete_filter(request: PageRequest) -> Answer:
    """Forget a filter."""
    form = await read_form(request)
    name = form.text("name", max_length=keeping.NAME_LENGTH, empty=False)
    member = request.user.session.member_id
    await keeping.forget_filter(desk_of(request), request.user.actor, member, name)
    return go(f"{LIST}?{read(_query(form.raw('query'))).query}", done="saved")


@post("/columns", status_code=303)
async def choose_columns(request: PageRequest) -> Answer:
    """Keep which columns the member wants to see."""
    form = await read_form(request)
    chosen = form.all("column", at_most=len(COLUMNS))
    if not set(chosen) <= set(COLUMNS):
        raise Invalid.field("column", f"must be one of {', '.join(COLUMNS)}")
    member = request.user.session.member_id
    columns = tuple(name for name in COLUMNS if name in chosen)
    await keeping.keep_columns(desk_of(request), request.user.actor, member, columns)
    return go(f"{LIST}?{read(_query(form.raw('query'))).query}", done="saved")


@post("/exports", status_code=303)
async def export(request: PageRequest) -> Answer:
    """Have a table made of what the list shows, or of the invoices that were picked in it."""
    form = await read_form(request)
    asked = read(_query(form.raw("query")))
    picked = [ids.parse("inv", name) for name in form.all("invoice", at_most=exporting.AT_MOST)]
    if None in picked:
        raise Invalid.field("invoice", "must be invoices of the list")
    chosen = [one for one in picked if one is not None]
    of = chosen if form.raw("what") == "picked" else asked.filters(zone_of(request))
    try:
        job_id = await exporting.begin(
            desk_of(request),
            parts_of(request).jobs,
            request.user.actor,
            request.user.session.member_id,
            of=of,
            words=_words(request),
        )
    except _REFUSED_IN_PLACE as refusal:
        return await _list(request, asked, 1, refusal)
    return go(f"{PREFIX}/jobs/{ids.public('job', job_id)}")


def _words(request: PageRequest) -> dict[str, str]:
    """What the table calls things, in the member's language."""
    say = translated(request)
    return {
        **{f"column:{name}": say(words.EXPORTED[name]) for name in EXPORTED},
        **{f"status:{s.value}": say(label) for s, (label, _) in words.STATUSES.items()},
        **{f"context:{c.value}": say(label) for c, label in words.CONTEXTS.items()},
        **{f"method:{name}": say(label) for name, label in words.METHODS.items()},
    }


def read(query: _Query) -> Asked:
    """What a query asks for; raises `Invalid` naming what cannot be read."""
    statuses = query.getall("status", [])
    known = {s.value for s in Status}
    if len(statuses) > len(known) or not set(statuses) <= known:
        raise Invalid.field("status", f"must be one of {', '.join(sorted(known))}")
    email = query.get("email", "").strip()
    return Asked(
        statuses=tuple(s for s in Status if s.value in statuses),
        search=clean_text(query.get("q", ""), "q", max_length=SEARCH_LENGTH, empty=True),
        email=clean_email(email, "email") if email else "",
        since=_day(query.get("since", ""), "since"),
        until=_day(query.get("until", ""), "until"),
        method=_known(query.get("method", ""), _METHODS, "method"),
        archived=_known(query.get("archived", ""), _ARCHIVED, "archived"),
        order=_known(query.get("order", "") or "newest", ORDERS, "order"),
    )


def _query(text: str) -> _Query:
    try:
        return MultiDict(parse_qsl(text[:4_000], max_num_fields=60))
    except ValueError:
        raise Invalid.field("query", "must be the query of a list") from None


def _known(value: str, known: Mapping[str, Any], name: str) -> str:
    if value not in known:
        raise Invalid.field(name, f"must be one of {', '.join(filter(None, known))}")
    return value


def _day(text: str, name: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or not 2000 <= day.year <= 2199:  # noqa: PLR2004 - the years that dates are read in
        raise Invalid.field(name, "must be a date such as 2026-06-22")
    return day


def _start(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _end(day: date, zone: tzinfo) -> datetime:
    return _start(day + timedelta(days=1), zone) - timedelta(microseconds=1)


HANDLERS: Final = (page, save_filter, delete_filter, choose_columns, export)
