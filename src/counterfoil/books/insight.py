"""Questions about many invoices at once, for those who look at how the business goes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from counterfoil.books.moves import OUTGOING, MovePurpose
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, all_values, one_value


@dataclass(frozen=True, slots=True)
class CameIn:
    """What came in of one asset in the week that begins then."""

    week_at: datetime
    chain: str
    contract: str
    units: int


@dataclass(frozen=True, slots=True)
class Open:
    """Unpaid invoices of one currency, as far before or behind their deadline.

    ``currency`` is None for those that ask for tokens. ``age`` is one of `AGES`.
    """

    currency: str | None
    age: str
    count: int
    amount: Decimal | int


AGES: Final = ("later", "soon", "overdue_30", "overdue_60", "overdue_more")
"""Due in more than a week, within it, overdue up to 30 days, up to 60, and longer."""


def age_of(deadline_at: datetime, now: datetime) -> str:
    """Which of `AGES` it is; `receivables` says the same."""
    ends = (timedelta(days=7), timedelta(0), timedelta(days=-30), timedelta(days=-60))
    left = deadline_at - now
    return next((age for age, end in zip(AGES, ends, strict=False) if left > end), AGES[-1])


async def came_in(tx: Tx, org_id: int, since: datetime) -> list[CameIn]:
    """Confirmed transfers by week and asset, the oldest week first; weeks begin on Mondays, UTC."""
    return await all_rows(
        tx,
        CameIn,
        """
        SELECT date_trunc('week', block_at, 'UTC') AS week_at, chain, contract,
               sum(amount_units) AS units
          FROM transfer
         WHERE org_id = %(org_id)s AND block_at >= %(since)s AND depth >= 2
         GROUP BY 1, 2, 3 ORDER BY 1
        """,
        {"org_id": org_id, "since": since},
    )


async def receivables(tx: Tx, org_id: int, now: datetime) -> list[Open]:
    """What is owed whole, as nothing came, by currency and age."""
    return await all_rows(
        tx,
        Open,
        """
        SELECT detail->'price'->>'currency' AS currency,
               CASE WHEN deadline_at > %(now)s + interval '7 days' THEN 'later'
                    WHEN deadline_at > %(now)s THEN 'soon'
                    WHEN deadline_at > %(now)s - interval '30 days' THEN 'overdue_30'
                    WHEN deadline_at > %(now)s - interval '60 days' THEN 'overdue_60'
                    ELSE 'overdue_more' END AS age,
               count(*) AS count, sum((detail->'price'->>'amount')::numeric) AS amount
          FROM invoice
         WHERE org_id = %(org_id)s AND NOT archived
           AND status IN ('awaiting_payment', 'expired')
         GROUP BY 1, 2
        """,
        {"org_id": org_id, "now": now},
    )


async def paid_in_part(tx: Tx, org_id: int) -> list[UUID]:
    """The invoices of which a part may have come while the rest is owed."""
    return await all_values(
        tx,
        UUID,
        """
        SELECT invoice_id FROM invoice
         WHERE org_id = %(org_id)s AND NOT archived
           AND (status = 'payment_detected' OR (
                status = 'resolution_required' AND context IN ('underpaid', 'wrong_asset')))
        """,
        {"org_id": org_id},
    )


async def given_up_callbacks(tx: Tx, org_id: int, since: datetime) -> int:
    """How many callbacks were given up since then."""
    return (
        await one_value(
            tx,
            int,
            """
            SELECT count(*) FROM outbox
             WHERE org_id = %(org_id)s AND status = 'parked' AND created_at >= %(since)s
            """,
            {"org_id": org_id, "since": since},
        )
        or 0
    )


async def parked_payments(
    tx: Tx, org_id: int, while_invoice: Iterable[tuple[MovePurpose, str]]
) -> list[UUID]:
    """The invoices of an organisation with a parked payment, the longest parked first.

    ``while_invoice`` pairs a purpose with an invoice status in which it would be carried out.
    """
    pairs = list(while_invoice)
    return await all_values(
        tx,
        UUID,
        """
        SELECT move.invoice_id FROM move JOIN invoice AS i USING (org_id, invoice_id)
        WHERE org_id = %(org_id)s AND move.status = 'parked'
          AND (purpose = ANY(%(outgoing)s) OR coalesce(moved_units, 0) + token_fee_units > 0)
          AND (purpose, i.status) IN (
                SELECT * FROM unnest(%(purposes)s::text[], %(statuses)s::text[]))
        GROUP BY move.invoice_id
        ORDER BY min(move.updated_at), move.invoice_id
        """,
        {
            "org_id": org_id,
            "outgoing": list(OUTGOING),
            "purposes": [purpose for purpose, _ in pairs],
            "statuses": [status for _, status in pairs],
        },
    )
