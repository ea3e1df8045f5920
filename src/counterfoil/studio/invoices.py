"""The list of invoices: free search, filters, and how many stand where."""

from typing import Any, Final
from urllib.parse import urlencode

from litestar import get

from counterfoil.core import ids
from counterfoil.core.errors import Invalid
from counterfoil.core.invoice import Status
from counterfoil.core.text import clean_text
from counterfoil.desk import queries
from counterfoil.desk.queries import Filters
from counterfoil.pages.render import is_fragment
from counterfoil.studio.door import PREFIX, Answer, PageRequest, desk_of, show

PAGE_SIZE: Final = 20
SEARCH_LENGTH: Final = 200
MAX_PAGE: Final = 5_000


@get("/invoices")
async def page(request: PageRequest) -> Answer:
    """A page of invoices, newest first."""
    asked = _asked(request)
    found = await queries.page(
        desk_of(request),
        Filters(
            statuses=tuple((s, None) for s in asked["statuses"]) or None,
            search=asked["search"] or None,
            archived=None if asked["archived"] else False,
        ),
        request.user.actor,
        number=asked["number"],
        size=PAGE_SIZE,
    )
    counts: dict[Status, int] = {}
    if not asked["search"]:
        everything = await queries.page(
            desk_of(request),
            Filters(archived=None if asked["archived"] else False),
            request.user.actor,
            number=1,
            size=1,
        )
        for one in everything.counts:
            counts[Status(one.status)] = counts.get(Status(one.status), 0) + one.count
    template = "studio/invoices_part.html" if is_fragment(request) else "studio/invoices.html"
    return show(
        request,
        template,
        {
            "found": found,
            "rows": [(ids.public("inv", v.invoice.invoice_id), v) for v in found.views],
            "counts": counts,
            "last": max(1, -(-found.total // PAGE_SIZE)),
            **asked,
        },
    )


def _asked(request: PageRequest) -> dict[str, Any]:
    """The query, read; raises `Invalid` naming what cannot be."""
    query = request.query_params
    statuses = query.getall("status", [])
    known = {s.value for s in Status}
    if len(statuses) > len(known) or not set(statuses) <= known:
        raise Invalid.field("status", f"must be one of {', '.join(sorted(known))}")
    number = query.get("page", "1")
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= MAX_PAGE):
        raise Invalid.field("page", f"must be a whole number from 1 to {MAX_PAGE}")
    search = clean_text(query.get("q", ""), "q", max_length=SEARCH_LENGTH, empty=True)
    archived = query.get("archived", "") == "yes"
    kept = [("status", s) for s in statuses]
    kept += [("q", search)] if search else []
    kept += [("archived", "yes")] if archived else []
    return {
        "statuses": [Status(s) for s in statuses],
        "number": int(number),
        "search": search,
        "archived": archived,
        "query": f"{PREFIX}/invoices?{urlencode(kept)}",
    }


HANDLERS: Final = (page,)
