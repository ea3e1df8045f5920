"""Home: what waits for whoever looks."""

from typing import Final

from litestar import get

from counterfoil.core import ids
from counterfoil.core.invoice import Status
from counterfoil.desk import queries
from counterfoil.desk.queries import Filters
from counterfoil.studio.door import Answer, PageRequest, desk_of, show
from counterfoil.studio.queues import QUEUES


@get("/")
async def home(request: PageRequest) -> Answer:
    """What waits for me, and how many invoices stand where."""
    page = await queries.page(
        desk_of(request), Filters(archived=False), request.user.actor, number=1, size=8
    )
    standing: dict[Status, int] = {}
    for one in page.counts:
        standing[Status(one.status)] = standing.get(Status(one.status), 0) + one.count
    mine = [q for q in QUEUES if q.permission in request.user.actor.permissions]
    return show(
        request,
        "studio/home.html",
        {
            "queues": [(q, sum(standing.get(s, 0) for s in q.statuses)) for q in mine],
            "standing": standing,
            "rows": [(ids.public("inv", v.invoice.invoice_id), v) for v in page.views],
        },
    )


HANDLERS: Final = (home,)
