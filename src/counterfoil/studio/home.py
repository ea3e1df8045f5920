"""Home: what waits for whoever looks."""

from dataclasses import dataclass
from typing import Final

from litestar import get

from counterfoil.core import ids
from counterfoil.core.invoice import Status
from counterfoil.core.roles import Permission
from counterfoil.desk import queries
from counterfoil.desk.queries import Filters
from counterfoil.pages.language import N_
from counterfoil.studio.door import Answer, PageRequest, desk_of, show

S = Status


@dataclass(frozen=True, slots=True)
class Queue:
    """Invoices that wait for people with one permission to do one thing."""

    name: str
    title: str
    permission: Permission
    statuses: tuple[Status, ...]


QUEUES: Final = (
    Queue("approve", N_("To approve"), Permission.APPROVE, (S.APPROVAL_PENDING,)),
    Queue("sign", N_("To sign"), Permission.SIGN, (S.SIGN_PENDING,)),
    Queue("resolve", N_("To decide"), Permission.SIGN, (S.RESOLUTION_REQUIRED,)),
    Queue("refund", N_("Refunds to approve"), Permission.SIGN, (S.REFUND_PENDING,)),
    Queue("clear", N_("Held money"), Permission.REVIEW, (S.COMPLIANCE_HOLD,)),
)
"""What may wait for somebody, in the order of an invoice's life."""


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
