"""What members keep of lists for themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_value


@dataclass(frozen=True, slots=True)
class SavedFilter:
    """A query of the list of invoices under a name."""

    name: str
    query: str


async def filters(tx: Tx, org_id: int, member_id: UUID) -> list[SavedFilter]:
    """A member's filters, by name."""
    return await all_rows(
        tx,
        SavedFilter,
        """
        SELECT name, query FROM saved_filter
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s ORDER BY name
        """,
        {"org_id": org_id, "member_id": member_id},
    )


async def keep_filter(
    tx: Tx, org_id: int, member_id: UUID, saved: SavedFilter, now: datetime
) -> None:
    """Keep a filter, in place of one of the same name."""
    await execute(
        tx,
        """
        INSERT INTO saved_filter (org_id, member_id, name, query, created_at)
        VALUES (%(org_id)s, %(member_id)s, %(name)s, %(query)s, %(now)s)
        ON CONFLICT (org_id, member_id, name) DO UPDATE SET query = excluded.query
        """,
        {
            "org_id": org_id,
            "member_id": member_id,
            "name": saved.name,
            "query": saved.query,
            "now": now,
        },
    )


async def forget_filter(tx: Tx, org_id: int, member_id: UUID, name: str) -> None:
    """Delete a filter."""
    await execute(
        tx,
        """
        DELETE FROM saved_filter
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s AND name = %(name)s
        """,
        {"org_id": org_id, "member_id": member_id, "name": name},
    )


async def columns(tx: Tx, org_id: int, member_id: UUID) -> list[str] | None:
    """The columns that a member chose; None without a choice."""
    return await one_value(
        tx,
        list,
        """
        SELECT columns FROM list_columns
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s
        """,
        {"org_id": org_id, "member_id": member_id},
    )


async def keep_columns(tx: Tx, org_id: int, member_id: UUID, chosen: Sequence[str]) -> None:
    """Keep a choice of columns."""
    await execute(
        tx,
        """
        INSERT INTO list_columns (org_id, member_id, columns)
        VALUES (%(org_id)s, %(member_id)s, %(columns)s)
        ON CONFLICT (org_id, member_id) DO UPDATE SET columns = excluded.columns
        """,
        {"org_id": org_id, "member_id": member_id, "columns": list(chosen)},
    )
