"""Exchange rates: kept as they are observed, refused once they are old."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from counterfoil.books import orgs, rates
from counterfoil.core import quoting
from counterfoil.core.errors import Unavailable
from counterfoil.core.invoice import Policy, Quote
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk

Snapshot = rates.RateRow
"""One observation of a pair as it was stored."""

PAIRS = (
    ("USDT", "TWD"),
    ("USDC", "TWD"),
    ("USDT", "USD"),
    ("USDC", "USD"),
    ("USD", "TWD"),
    ("ETH", "TWD"),
    ("ETH", "USD"),
)
"""What invoices are priced and screened with."""

SHOWN_FOR: Final = timedelta(days=1)
"""A source that has said nothing for so long is none any more."""

SILENT_AFTER: Final = timedelta(minutes=2)
"""Whoever has said nothing for so long while another spoke is passed over, however preferred."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What every source says about ``base``/``quote``, and which of it prices invoices now.

    ``chosen`` is None where none does; ``why`` says why.
    """

    name: str
    said: Sequence[Snapshot]
    chosen: Quote | None
    why: str = ""


async def said(
    tx: Tx, base: str, quote: str, *, now: datetime, max_age_seconds: int
) -> tuple[Quote, ...]:
    """What each source says now, the preferred one first, to be chosen from by `quoting.chosen`.

    Raises `Unavailable` where nothing was said, or all of it too long ago to price by.
    """
    found = await heard(tx, base, quote, now=now, max_age_seconds=max_age_seconds)
    if not found:
        raise _missing(await rates.latest(tx, base, quote), base, quote, now, max_age_seconds)
    return tuple(
        Quote(
            base=base,
            quote=quote,
            rate=one.rate,
            source=one.source,
            observed_at=one.observed_at,
            locked_at=now,
            raw=one.raw,
        )
        for one in found
    )


async def heard(
    tx: Tx, base: str, quote: str, *, now: datetime, max_age_seconds: int
) -> list[Snapshot]:
    """What is young enough to count, by those that still speak, the preferred one first."""
    after = now - timedelta(seconds=max_age_seconds + 1)
    found = await rates.of_each_source(tx, base, quote, after)
    since = max((one.stored_at for one in found), default=now) - SILENT_AFTER
    return [one for one in found if one.stored_at >= since]


async def current(  # noqa: PLR0913 - a pair, a moment, and by whose rules
    tx: Tx,
    base: str,
    quote: str,
    *,
    now: datetime,
    max_age_seconds: int,
    policy: Policy | None = None,
) -> Quote:
    """The rate by a policy, locked now; `Unavailable` where there is none to price by."""
    found = await said(tx, base, quote, now=now, max_age_seconds=max_age_seconds)
    return quoting.chosen(found, policy or Policy(), now)


def _missing(
    newest: Snapshot | None, base: str, quote: str, now: datetime, max_age_seconds: int
) -> Unavailable:
    pair = f"{base}/{quote}"
    if newest is None:
        msg = f"there is no {pair} rate yet, so nothing can be priced with it; try again"
        return Unavailable(msg, data={"pair": pair, "max_age_seconds": max_age_seconds})
    age_seconds = int((now - newest.observed_at).total_seconds())
    msg = (
        f"the newest {pair} rate is {age_seconds} s old, and only rates of at most"
        f" {max_age_seconds} s are used; try again"
    )
    data = {"pair": pair, "age_seconds": age_seconds, "max_age_seconds": max_age_seconds}
    return Unavailable(msg, data=data)


async def last_of(desk: Desk, source: str, base: str, quote: str) -> Snapshot | None:
    """What a source said last, however long ago, to judge its next answer by."""
    async with desk.database.reading() as tx:
        return await rates.latest_of(tx, base, quote, source)


async def speaking(desk: Desk, base: str, quote: str) -> list[Snapshot]:
    """What counts just now of a pair, to judge a source's first word by."""
    age = desk.rate_max_age_seconds
    async with desk.database.reading() as tx:
        return await heard(tx, base, quote, now=desk.clock.now(), max_age_seconds=age)


async def in_use(desk: Desk, by: Actor) -> list[Pair]:
    """Each pair as it prices one's own organisation's invoices now. Raises `Forbidden`."""
    by.require(Permission.READ)
    now = desk.clock.now()
    async with desk.database.reading() as tx:
        org = await orgs.get(tx, by.org_id)
        policy = Policy() if org is None else org.policy.invoices.in_force(now)
        return [await _in_use(desk, tx, pair, policy, now) for pair in PAIRS]


async def _in_use(desk: Desk, tx: Tx, pair: tuple[str, str], policy: Policy, now: datetime) -> Pair:
    told = await rates.of_each_source(tx, *pair, now - SHOWN_FOR)
    age = desk.rate_max_age_seconds
    try:
        chosen = await current(tx, *pair, now=now, max_age_seconds=age, policy=policy)
    except Unavailable as refused:
        return Pair("/".join(pair), told, None, refused.message)
    return Pair("/".join(pair), told, chosen)


async def sources(desk: Desk, tx: Tx) -> dict[str, frozenset[str]]:
    """Who counts just now for each pair, such as ``USDT/TWD``, about which anybody speaks."""
    now, age = desk.clock.now(), desk.rate_max_age_seconds
    found = {
        f"{base}/{quote}": await heard(tx, base, quote, now=now, max_age_seconds=age)
        for base, quote in PAIRS
    }
    return {pair: frozenset(one.source for one in rows) for pair, rows in found.items() if rows}


async def store(desk: Desk, snapshot: Snapshot) -> None:
    """Keep an observation, or that one which is kept was said again, or corrected."""

    async def keep(tx: Tx) -> None:
        await rates.add(tx, snapshot)

    await desk.database.run(keep)
