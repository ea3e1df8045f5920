"""How the business goes, and what of the machinery needs somebody: the numbers of the home page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from counterfoil.books import grants, insight, invoices, orgs
from counterfoil.books.insight import AGES, Open
from counterfoil.core import reckoning, zones
from counterfoil.core.assets import known_asset
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.desk import after_end, changed_tokens, comparing, doubting, provisioning, watching
from counterfoil.desk.desk import Desk
from counterfoil.desk.provisioning import FuelLevels
from counterfoil.desk.redirecting import STANDS_WHILE

__all__ = ["AGES", "Alert", "Insight", "alerts", "insight_of"]

WEEKS: Final = 12
LAG_SECONDS: Final = 120
_AT_ONCE: Final = 500
_CALLBACKS_SINCE: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Week:
    """What came in of stablecoins in one week, in whole dollars' worth of them."""

    begins_at: datetime
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Owed:
    """What is owed in one currency (None: tokens), by age: amount and number of invoices."""

    currency: str | None
    by_age: Mapping[str, tuple[Decimal, int]]


@dataclass(frozen=True, slots=True)
class Insight:
    """Cash-in by week, the oldest first, every week there; and receivables by age."""

    weeks: tuple[Week, ...]
    owed: tuple[Owed, ...]


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that stands still or runs dry. ``kind`` names the sentence about it."""

    kind: str
    subject: str
    detail: str = ""


async def insight_of(desk: Desk, by: Actor) -> Insight:
    """The organisation's numbers. Ether is left out: it is no sum with dollars."""
    by.require(Permission.READ)
    now = desk.clock.now()
    monday = (now - timedelta(days=now.weekday())).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    first = monday - timedelta(weeks=WEEKS - 1)
    async with desk.database.reading() as tx:
        came = await insight.came_in(tx, by.org_id, first)
        unpaid = await insight.receivables(tx, by.org_id, now)
        unpaid += await _remainders(tx, by.org_id, now)
    sums = {first + timedelta(weeks=n): Decimal(0) for n in range(WEEKS)}
    for row in came:
        asset = known_asset(row.chain, row.contract)
        if asset is not None and not asset.is_native and row.week_at in sums:
            sums[row.week_at] += Decimal(row.units).scaleb(-asset.decimals)
    currencies = sorted({row.currency for row in unpaid}, key=lambda c: c or "")
    owed = tuple(_owed(currency, unpaid) for currency in currencies)
    return Insight(tuple(Week(at, amount) for at, amount in sums.items()), owed)


def _owed(currency: str | None, unpaid: Iterable[Open]) -> Owed:
    by_age: dict[str, tuple[Decimal, int]] = {}
    for row in unpaid:
        if row.currency == currency:
            amount, count = by_age.get(row.age, (Decimal(0), 0))
            by_age[row.age] = amount + Decimal(row.amount), count + row.count
    return Owed(currency, by_age)


async def _remainders(tx: Tx, org_id: int, now: datetime) -> list[Open]:
    """What is owed of invoices of which a part came, each by itself."""
    ids = await insight.paid_in_part(tx, org_id)
    found: list[Open] = []
    for begin in range(0, len(ids), _AT_ONCE):
        for invoice in await invoices.of_ids(tx, org_id, ids[begin : begin + _AT_ONCE]):
            share, asked = reckoning.owed(invoice), invoice.price
            if share:
                amount = asked.amount * share.numerator / share.denominator
                age = insight.age_of(invoice.deadline_at, now)
                found.append(Open(asked.currency, age, 1, amount))
    return found


def _said(org: orgs.Org | None, at: datetime | None) -> str:
    """A time where the organisation is."""
    if org is None or at is None:
        return ""
    return zones.said(at, zones.zone(org.time_zone))


async def alerts(desk: Desk, by: Actor) -> list[Alert]:
    """What needs somebody just now, as far as it concerns the actor's organisation."""
    by.require(Permission.READ)
    now = desk.clock.now()
    found: list[Alert] = []
    for at in await watching.positions(desk):
        if at.halted_reason is not None:
            found.append(Alert("halted", at.chain, at.halted_reason))
        elif not at.watched:
            found.append(Alert("unwatched", at.chain))
        elif at.head_age_seconds > LAG_SECONDS:
            found.append(Alert("lagging", at.chain, str(round(at.head_age_seconds))))
    found += [
        Alert("disputed", d.chain, d.reason)
        for d in await doubting.doubted(desk)
        if d.org_id == by.org_id
    ]
    found += [
        Alert("unexplained", one.chain, one.address)
        for one in await comparing.every(desk)
        if one.org_id == by.org_id
    ]
    found += [
        Alert("token_changed", one.asset.chain, one.asset.symbol)
        for one in await changed_tokens.waiting(desk, by)
    ]
    levels = FuelLevels()
    low = await provisioning.low_stations(
        desk, low_wei=levels.low_wei, target_wei=levels.target_wei
    )
    found += [
        Alert("gas_low", one.wallet.chain, one.gas_address)
        for one in low
        if one.wallet.org_id == by.org_id
    ]
    async with desk.database.reading() as tx:
        given_up = await insight.given_up_callbacks(tx, by.org_id, now - _CALLBACKS_SINCE)
        stuck = await insight.parked_payments(tx, by.org_id, STANDS_WHILE)
        org = await orgs.get(tx, by.org_id)
        given = await grants.of_org(tx, by.org_id)
        people = {one.member_id: one.name for one in await orgs.everybody(tx, by.org_id)}
    if Permission.SIGN in by.permissions and (after := await after_end.count(desk, by)):
        found.append(Alert("came_after", str(after)))
    if stuck:
        found.append(Alert("stuck", str(len(stuck))))
    if org is not None:
        found += _announced(org, now)
    found += [
        Alert("roles", people[member_id], _said(org, holds_at))
        for member_id, holds_at in dict.fromkeys((one.member_id, one.holds_at) for one in given)
    ]
    if given_up:
        found.append(Alert("callbacks", str(given_up)))
    return found


def _announced(org: orgs.Org, now: datetime) -> list[Alert]:
    """Rules that become looser, with the time from which they hold."""
    rules = org.policy
    found = []
    if rules.payouts.announced(now) is not None:
        found.append(Alert("payout_rules", _said(org, rules.payouts.next_at)))
    if rules.invoices.announced(now) is not None:
        found.append(Alert("rules", _said(org, rules.next_invoice_at)))
    if rules.returns.announced(now) is not None:
        found.append(Alert("returns", _said(org, rules.returns.next_at)))
    return found
