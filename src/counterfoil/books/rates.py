"""Exchange rates as sources observed them: of each observation, what its source said last.

An invoice keeps its own copy of what it was priced with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from psycopg.types.json import Jsonb

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_row


@dataclass(frozen=True, slots=True)
class RateRow:
    """1 ``base`` = ``rate`` ``quote``, as ``source`` saw it at ``observed_at``.

    ``rank`` is the source's place among those that were asked; 0 is the preferred one's.
    ``stored_at`` is when the source said so last: one may say the same for hours.
    """

    base: str
    quote: str
    observed_at: datetime
    source: str
    rate: Decimal
    raw: Mapping[str, object]
    stored_at: datetime
    rank: int = 0


async def add(tx: Tx, row: RateRow) -> None:
    """Keep a snapshot; of one that is kept already, that it was said again, or corrected."""
    await execute(
        tx,
        """
        INSERT INTO rate_snapshot (base, quote, observed_at, source, rate, raw, stored_at, rank)
        VALUES (%(base)s, %(quote)s, %(observed_at)s, %(source)s, %(rate)s, %(raw)s,
            %(stored_at)s, %(rank)s)
        ON CONFLICT (base, quote, observed_at, source) DO UPDATE
           SET stored_at = EXCLUDED.stored_at, rank = EXCLUDED.rank, rate = EXCLUDED.rate,
               raw = EXCLUDED.raw
        """,
        {
            "base": row.base,
            "quote": row.quote,
            "observed_at": row.observed_at,
            "source": row.source,
            "rate": row.rate,
            "raw": Jsonb(dict(row.raw)),
            "stored_at": row.stored_at,
            "rank": row.rank,
        },
    )


async def latest_of(tx: Tx, base: str, quote: str, source: str) -> RateRow | None:
    """The newest observation of a pair by a source; None when it has never said anything."""
    return await one_row(
        tx,
        RateRow,
        """
        SELECT base, quote, observed_at, source, rate, raw, stored_at, rank
          FROM rate_snapshot
         WHERE base = %(base)s AND quote = %(quote)s AND source = %(source)s
         ORDER BY observed_at DESC
         LIMIT 1
        """,
        {"base": base, "quote": quote, "source": source},
    )


async def latest(tx: Tx, base: str, quote: str) -> RateRow | None:
    """The newest observation of a pair; None when there has never been one."""
    return await one_row(
        tx,
        RateRow,
        """
        SELECT base, quote, observed_at, source, rate, raw, stored_at, rank
          FROM rate_snapshot
         WHERE base = %(base)s AND quote = %(quote)s
         ORDER BY observed_at DESC, rank, stored_at DESC
         LIMIT 1
        """,
        {"base": base, "quote": quote},
    )


async def of_each_source(tx: Tx, base: str, quote: str, after: datetime) -> list[RateRow]:
    """The newest observation of a pair by each source since then, the preferred source first."""
    return await all_rows(
        tx,
        RateRow,
        """
        SELECT base, quote, observed_at, source, rate, raw, stored_at, rank
          FROM (SELECT DISTINCT ON (source) *
                  FROM rate_snapshot
                 WHERE base = %(base)s AND quote = %(quote)s AND observed_at > %(after)s
                 ORDER BY source, observed_at DESC) AS newest
         ORDER BY rank, observed_at DESC, source
        """,
        {"base": base, "quote": quote, "after": after},
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
