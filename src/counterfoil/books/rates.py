"""Exchange rates as they were observed. Snapshots are added, never changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from psycopg.types.json import Jsonb

from counterfoil.db.pool import Tx
from counterfoil.db.rows import execute, one_row


@dataclass(frozen=True, slots=True)
class RateRow:
    """1 ``base`` = ``rate`` ``quote``, as ``source`` saw it at ``observed_at``."""

    base: str
    quote: str
    observed_at: datetime
    source: str
    rate: Decimal
    raw: Mapping[str, object]
    stored_at: datetime


async def add(tx: Tx, row: RateRow) -> bool:
    """Keep a snapshot; False when the very same observation is kept already."""
    added = await execute(
        tx,
        """
        INSERT INTO rate_snapshot (base, quote, observed_at, source, rate, raw, stored_at)
        VALUES (%(base)s, %(quote)s, %(observed_at)s, %(source)s, %(rate)s, %(raw)s,
            %(stored_at)s)
        ON CONFLICT DO NOTHING
        """,
        {
            "base": row.base,
            "quote": row.quote,
            "observed_at": row.observed_at,
            "source": row.source,
            "rate": row.rate,
            "raw": Jsonb(dict(row.raw)),
            "stored_at": row.stored_at,
        },
    )
    return added == 1


async def latest(tx: Tx, base: str, quote: str) -> RateRow | None:
    """The newest observation of a pair; None when there has never been one."""
    return await one_row(
        tx,
        RateRow,
        """
        SELECT base, quote, observed_at, source, rate, raw, stored_at
          FROM rate_snapshot
         WHERE base = %(base)s AND quote = %(quote)s
         ORDER BY observed_at DESC, stored_at DESC
         LIMIT 1
        """,
        {"base": base, "quote": quote},
    )


async def forget(tx: Tx, before: datetime, *, limit: int) -> int:
    """Delete observations older than ``before``, at most ``limit``; answers how many.

    The newest of each pair and source stays, whatever its age. An invoice keeps its own copy of
    the rate that it was priced with.
    """
    return await execute(
        tx,
        """
        DELETE FROM rate_snapshot
         WHERE (base, quote, observed_at, source) IN (
            SELECT base, quote, observed_at, source FROM rate_snapshot AS old
             WHERE observed_at < %(before)s
               AND EXISTS (
                SELECT FROM rate_snapshot AS newer
                 WHERE (newer.base, newer.quote, newer.source) = (old.base, old.quote, old.source)
                   AND newer.observed_at > old.observed_at)
             LIMIT %(limit)s)
        """,
        {"before": before, "limit": limit},
    )
