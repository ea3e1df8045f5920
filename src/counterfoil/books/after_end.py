"""Invoices that have ended with money still with us: all postings are too many to add them up."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, all_values, as_records, execute, one_value


@dataclass(frozen=True, slots=True)
class Kept:
    """An invoice that has ended or is listed, and what is kept of it.

    ``worth_dollars`` None: not looked at since the table was made, or not listed at all.
    """

    org_id: int
    invoice_id: UUID
    is_listed: bool
    worth_dollars: Decimal | int | None


@dataclass(frozen=True, slots=True)
class Unweighed:
    """An invoice of which it is not known what is left there."""

    org_id: int
    invoice_id: UUID


async def keep(tx: Tx, org_id: int, worth: Mapping[UUID, Decimal]) -> None:
    """Write what is left at these invoices is worth, in dollars, and forget those with nothing.

    The caller holds them locked.
    """
    nothing = [invoice_id for invoice_id, dollars in worth.items() if not dollars]
    if nothing:
        await execute(
            tx,
            """
            DELETE FROM money_after_end
             WHERE org_id = %(org_id)s AND invoice_id = ANY(%(ids)s)
            """,
            {"org_id": org_id, "ids": nothing},
        )
    if len(nothing) == len(worth):
        return
    rows = [
        {"invoice_id": invoice_id, "worth_dollars": f"{dollars:f}"}
        for invoice_id, dollars in worth.items()
        if dollars
    ]
    await execute(
        tx,
        """
        INSERT INTO money_after_end (org_id, invoice_id, worth_dollars)
        SELECT %(org_id)s, new.*
          FROM json_to_recordset(%(rows)s::json) AS new (invoice_id uuid, worth_dollars numeric)
            ON CONFLICT (org_id, invoice_id) DO UPDATE SET worth_dollars = EXCLUDED.worth_dollars
        """,
        {"org_id": org_id, "rows": as_records(rows)},
    )


async def count(tx: Tx, org_id: int) -> int:
    """At how many invoices of an organisation something is left."""
    return (
        await one_value(
            tx,
            int,
            """
            SELECT count(*) FROM money_after_end
             WHERE org_id = %(org_id)s AND worth_dollars IS NOT NULL
            """,
            {"org_id": org_id},
        )
        or 0
    )


async def page(tx: Tx, org_id: int, *, limit: int, offset: int) -> list[UUID]:
    """The invoices at which something is left, those first where it is worth the most."""
    return await all_values(
        tx,
        UUID,
        """
        SELECT invoice_id FROM money_after_end
         WHERE org_id = %(org_id)s AND worth_dollars IS NOT NULL
         ORDER BY worth_dollars DESC, invoice_id LIMIT %(limit)s OFFSET %(offset)s
        """,
        {"org_id": org_id, "limit": limit, "offset": offset},
    )


async def unweighed(tx: Tx, limit: int) -> list[Unweighed]:
    """Some of the invoices that were found when this table was made, and not looked at since."""
    return await all_rows(
        tx,
        Unweighed,
        """
        SELECT org_id, invoice_id FROM money_after_end
         WHERE worth_dollars IS NULL ORDER BY org_id, invoice_id LIMIT %(limit)s
        """,
        {"limit": limit},
    )


async def walk(tx: Tx, *, ends: Collection[str], after: tuple[int, UUID], limit: int) -> list[Kept]:
    """The next invoices in one of the statuses ``ends`` or listed, in (org_id, invoice_id) order.

    For walking through all of them: ``after`` is the last one of before.
    """
    return await all_rows(
        tx,
        Kept,
        """
        SELECT i.org_id, i.invoice_id, k.invoice_id IS NOT NULL AS is_listed,
               k.worth_dollars
          FROM invoice AS i
          LEFT JOIN money_after_end AS k USING (org_id, invoice_id)
         WHERE (i.org_id, i.invoice_id) > (%(org_id)s, %(invoice_id)s)
           AND (i.status = ANY(%(ends)s) OR k.invoice_id IS NOT NULL)
         ORDER BY i.org_id, i.invoice_id LIMIT %(limit)s
        """,
        {"ends": list(ends), "org_id": after[0], "invoice_id": after[1], "limit": limit},
    )
