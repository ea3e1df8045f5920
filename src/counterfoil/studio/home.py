"""Home: what waits for whoever looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from litestar import get

from counterfoil.core import ids
from counterfoil.core.invoice import Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import bank_accounts, granting, insight, payout_addresses, queries
from counterfoil.desk.insight import Alert, Owed
from counterfoil.desk.queries import Filters
from counterfoil.pages import language, shape
from counterfoil.pages.language import N_
from counterfoil.studio import queues
from counterfoil.studio.alert_words import ALERTS
from counterfoil.studio.changed_tokens import CHANGED
from counterfoil.studio.door import PREFIX, Answer, PageRequest, desk_of, language_of, show
from counterfoil.studio.settings.bank_accounts import ACCOUNTS
from counterfoil.studio.settings.members import MEMBERS
from counterfoil.studio.settings.payouts import PAYOUTS
from counterfoil.studio.settings.profile import PROFILE
from counterfoil.studio.settings.rules import RULES_PAGE

SUMMARY: Final = (
    Status.APPROVAL_PENDING,
    Status.AWAITING_PAYMENT,
    Status.RESOLUTION_REQUIRED,
    Status.COMPLETED,
)
"""What is counted for those for whom nothing ever waits."""

MOST_ELSEWHERE: Final = 20
"""Of so many organisations somebody hears at home. The page of approvals has those of all; what
else waits in others is told once one turns to them."""

ALERT_PLACES: Final = {
    "stuck": (f"{PREFIX}/queue/standing", Permission.SIGN),
    "token_changed": (CHANGED, Permission.READ),
    "came_after": (queues.AFTER.address, Permission.SIGN),
    "payout_rules": (PAYOUTS, Permission.READ),
    "rules": (RULES_PAGE, Permission.READ),
    "returns": (PROFILE, Permission.READ),
    "roles": (MEMBERS, Permission.AUDIT),
}
"""Kind of alert to the page on which something is done about it, and who may go there."""


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
        values = {"awaited": awaited, "elsewhere": await _elsewhere(request)}
        return show(request, "studio/home_empty.html", values)
    page = await queries.page(
        desk_of(request), Filters(archived=False), request.user.actor, number=1, size=8
    )
    standing = queries.by_status(page.counts)
    waiting = await queues.waiting(desk_of(request), by, standing)
    waiting += [(title, at, count) for title, at, count in await _to_agree(request) if count]
    return show(
        request,
        "studio/home.html",
        {
            "awaited": awaited,
            "queues": waiting,
            "waiting": any(count for *_, count in waiting),
            "elsewhere": await _elsewhere(request),
            "standing": standing,
            "summary": SUMMARY,
            "rows": [(ids.public("inv", v.invoice.invoice_id), v) for v in page.views],
        },
    )


async def _elsewhere(request: PageRequest) -> list[tuple[int, str, list[tuple[str, int]]]]:
    """What waits for the visitor in their other organisations: id, name, and each queue's count."""
    visitor, desk = request.user, desk_of(request)
    found = []
    for one in visitor.memberships[:MOST_ELSEWHERE]:
        by = visitor.actor_in(one.org_id)
        if one.org_id == visitor.session.org_id or Permission.READ not in by.permissions:
            continue
        waiting = await queues.waiting(desk, by, await queries.counted_now(desk, by))
        waits = [(title, count) for title, _, count in waiting if count]
        found.append((one.org_id, one.org_name, waits))
    return found


async def _to_agree(request: PageRequest) -> list[tuple[str, str, int]]:
    """What other administrators asked for, and this member can agree to."""
    desk, by = desk_of(request), request.user.actor
    addresses = await payout_addresses.to_approve(desk, by)
    return [
        (N_("Payout addresses to approve"), PAYOUTS, addresses),
        (N_("Bank accounts to approve"), ACCOUNTS, await bank_accounts.to_approve(desk, by)),
        (N_("Roles to agree to"), MEMBERS, await granting.to_agree(desk, by)),
    ]


@get("/now")
async def now(request: PageRequest) -> Answer:
    """Charts and alerts, which the page fetches once it stands."""
    desk, by = desk_of(request), request.user.actor
    found = await insight.insight_of(desk, by)
    return show(
        request,
        "studio/home_part.html",
        {
            "alerts_told": ALERTS,
            "alerts": [(one, _place(one, by)) for one in await insight.alerts(desk, by)],
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


def _place(alert: Alert, by: Actor) -> str | None:
    """Where something can be done about it, for who may."""
    address, permission = ALERT_PLACES.get(alert.kind, ("", Permission.READ))
    return address if address and permission in by.permissions else None


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
