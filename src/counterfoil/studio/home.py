"""Home: what waits for whoever looks."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from litestar import get

from counterfoil.core import ids
from counterfoil.core.invoice import Status
from counterfoil.desk import insight, queries
from counterfoil.desk.insight import Owed
from counterfoil.desk.queries import Filters
from counterfoil.pages import language
from counterfoil.pages.language import N_
from counterfoil.studio.door import Answer, PageRequest, desk_of, language_of, show
from counterfoil.studio.queues import QUEUES

SUMMARY: Final = (
    Status.APPROVAL_PENDING,
    Status.AWAITING_PAYMENT,
    Status.RESOLUTION_REQUIRED,
    Status.COMPLETED,
)
"""What is counted for those for whom nothing ever waits."""


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
            "summary": SUMMARY,
            "rows": [(ids.public("inv", v.invoice.invoice_id), v) for v in page.views],
        },
    )


@get("/now")
async def now(request: PageRequest) -> Answer:
    """Charts and alerts, which the page fetches once it stands."""
    desk, by = desk_of(request), request.user.actor
    found = await insight.insight_of(desk, by)
    return show(
        request,
        "studio/home_part.html",
        {
            "alerts": await insight.alerts(desk, by),
            "cash": _bars([(f"{week.begins_at:%m/%d}", week.amount) for week in found.weeks]),
            "owed": [(one.currency, _aged(request, one)) for one in found.owed],
        },
    )


def _aged(request: PageRequest, owed: Owed) -> list[tuple[str, int, str]]:
    say = language.translations(language_of(request)).gettext
    amounts = [
        (say(AGE_NAMES[age]), owed.by_age.get(age, (Decimal(0), 0))[0]) for age in insight.AGES
    ]
    return _bars(amounts)


def _bars(points: Sequence[tuple[str, Decimal]]) -> list[tuple[str, int, str]]:
    """Name, height out of a hundred, and the amount in words."""
    most = max((value for _, value in points), default=Decimal(0))
    return [
        (name, int(value * 100 / most) if most else 0, f"{value:,.2f}") for name, value in points
    ]


AGE_NAMES: Final = {
    "later": N_("later"),
    "soon": N_("7 days"),
    "overdue_30": N_("-30 d"),
    "overdue_60": N_("-60 d"),
    "overdue_more": N_("older"),
}
"""How the bars of ages are called: few letters, since they stand below bars."""

HANDLERS: Final = (home, now)
