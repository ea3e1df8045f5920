"""Exchange rates: kept as they are observed, refused once they are old."""

from datetime import datetime

from counterfoil.books import rates
from counterfoil.core.errors import Unavailable
from counterfoil.core.invoice import Quote
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


async def current(tx: Tx, base: str, quote: str, *, now: datetime, max_age_seconds: int) -> Quote:
    """The newest rate, locked now; `Unavailable` where it is missing or too old to price by."""
    newest = await rates.latest(tx, base, quote)
    if newest is None:
        msg = f"there is no {base}/{quote} rate yet, so nothing can be priced with it; try again"
        raise Unavailable(msg, data={"pair": f"{base}/{quote}", "max_age_seconds": max_age_seconds})
    age_seconds = int((now - newest.observed_at).total_seconds())
    if age_seconds > max_age_seconds:
        msg = (
            f"the newest {base}/{quote} rate is {age_seconds} s old, and only rates of at most"
            f" {max_age_seconds} s are used; try again"
        )
        raise Unavailable(
            msg,
            data={
                "pair": f"{base}/{quote}",
                "age_seconds": age_seconds,
                "max_age_seconds": max_age_seconds,
            },
        )
    return Quote(
        base=base,
        quote=quote,
        rate=newest.rate,
        source=newest.source,
        observed_at=newest.observed_at,
        locked_at=now,
        raw=newest.raw,
    )


async def newest(desk: Desk, base: str, quote: str) -> Snapshot | None:
    """The newest observation however old, to judge the next one by; None when there is none."""
    async with desk.database.reading() as tx:
        return await rates.latest(tx, base, quote)


async def newest_of_all(desk: Desk, by: Actor) -> list[tuple[str, Snapshot | None]]:
    """Each pair with its newest observation however old. Raises `Forbidden`."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        return [(f"{base}/{quote}", await rates.latest(tx, base, quote)) for base, quote in PAIRS]


async def store(desk: Desk, snapshot: Snapshot) -> bool:
    """Keep an observation; False when it is kept already."""

    async def keep(tx: Tx) -> bool:
        return await rates.add(tx, snapshot)

    return await desk.database.run(keep)
