"""Home: what waits for whoever looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from litestar import get

from counterfoil.core import ids
from counterfoil.core.invoice import Status
from counterfoil.core.roles import Permission
from counterfoil.desk import granting, insight, payout_addresses, queries
from counterfoil.desk.insight import Owed
from counterfoil.desk.queries import Filters
from counterfoil.pages import language, shape
from counterfoil.pages.language import N_
from counterfoil.studio import queues
from counterfoil.studio.door import Answer, PageRequest, desk_of, language_of, show
from counterfoil.studio.settings.payouts import PAYOUTS

SUMMARY: Final = (
    Status.APPROVAL_PENDING,
    Status.AWAITING_PAYMENT,
    Status.RESOLUTION_REQUIRED,
    Status.COMPLETED,
)
"""What is counted for those for whom nothing ever waits."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart: its height out of a hundred, what stands above it, and all of it."""

    name: str
    height: int
    above: str
    told: str


@get("/")
async def home(request: PageRequest) -> Answer:
    """What waits for me, and how many invoices stand where."""
    by = request.user.actor
    awaited = await granting.mine(desk_of(request), by)
    if Permission.READ not in by.permissions:
        return show(request, "studio/home_empty.html", {"awaited": awaited})
    page = await queries.page(
        desk_of(request), Filters(archived=False), request.user.actor, number=1, size=8
    )
    standing: dict[Status, int] = {}
    for one in page.counts:
        standing[Status(one.status)] = standing.get(Status(one.status), 0) + one.count
    waiting = [
        (q.title, q.address, await queues.count(request, q, standing))
        for q in queues.QUEUES
        if q.permission in by.permissions
    ]
    if to_approve := await payout_addresses.to_approve(desk_of(request), by):
        waiting.append((N_("Payout addresses to approve"), PAYOUTS, to_approve))
    return show(
        request,
        "studio/home.html",
        {
            "awaited": awaited,
            "queues": waiting,
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
            "cash_sum": sum((week.amount for week in found.weeks), start=Decimal(0)),
            "owed": [
                (
                    one.currency,
                    sum(amount for amount, _ in one.by_age.values()),
                    _aged(request, one),
                )
                for one in found.owed
            ],
        },
    )


def _aged(request: PageRequest, owed: Owed) -> list[Bar]:
    say = language.translations(language_of(request)).gettext
    amounts = [
        (say(AGE_NAMES[age]), owed.by_age.get(age, (Decimal(0), 0))[0]) for age in insight.AGES
    ]
    return _bars(amounts)


def _bars(points: Sequence[tuple[str, Decimal]]) -> list[Bar]:
    most = max((value for _, value in points), default=Decimal(0))
    return [
        Bar(
            name=name,
            height=int(value * 100 / most) if most else 0,
            above=shape.roughly(value) if value else "",
            told=f"{value:,.2f}",
        )
        for name, value in points
    ]


AGE_NAMES: Final = {
    "later": N_("due later"),
    "soon": N_("due in 7 days"),
    "overdue_30": N_("1-30 days late"),
    "overdue_60": N_("31-60 days late"),
    "overdue_more": N_("older"),
}
"""How the bars of ages are called: few letters, since they stand below bars."""

HANDLERS: Final = (home, now)
