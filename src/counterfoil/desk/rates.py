"""Exchange rates: kept as they are observed, refused once they are old."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from counterfoil.books import rates
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


async def said(
    tx: Tx, base: str, quote: str, *, now: datetime, max_age_seconds: int
) -> tuple[Quote, ...]:
    """What each source says now, the preferred one first, to be chosen from by `quoting.chosen`.

    Raises `Unavailable` where nothing was said, or all of it too long ago to price by.
    """
    after = now - timedelta(seconds=max_age_seconds + 1)
    found = await rates.of_each_source(tx, base, quote, after)
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


async def newest(desk: Desk, base: str, quote: str) -> Snapshot | None:
    """The newest observation however old, to judge the next one by; None when there is none."""
    async with desk.database.reading() as tx:
        return await rates.latest(tx, base, quote)


async def newest_of_all(desk: Desk, by: Actor) -> list[tuple[str, Sequence[Snapshot]]]:
    """Each pair with what every source said last, in `SHOWN_FOR`. Raises `Forbidden`."""
    by.require(Permission.READ)
    after = desk.clock.now() - SHOWN_FOR
    async with desk.database.reading() as tx:
        return [(f"{b}/{q}", await rates.of_each_source(tx, b, q, after)) for b, q in PAIRS]


async def sources(tx: Tx, now: datetime) -> frozenset[str]:
    """Who has said anything of late."""
    said = [await rates.of_each_source(tx, b, q, now - SHOWN_FOR) for b, q in PAIRS]
    return frozenset(one.source for rows in said for one in rows)


async def store(desk: Desk, snapshot: Snapshot) -> bool:
    """Keep an observation; False when it is kept already."""

    async def keep(tx: Tx) -> bool:
        return await rates.add(tx, snapshot)

    return await desk.database.run(keep)
