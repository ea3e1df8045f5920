"""What a member keeps of the list of invoices: filters under a name, and columns."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from counterfoil.books import kept as book
from counterfoil.books.kept import SavedFilter
from counterfoil.core.errors import Invalid
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk

NAME_LENGTH: Final = 60
MOST_FILTERS: Final = 20


async def keep_filter(desk: Desk, by: Actor, member_id: UUID, name: str, query: str) -> None:
    """Keep a query under a name; raises `Invalid` naming ``name`` where there are enough."""
    by.require(Permission.READ)

    async def work(tx: Tx) -> None:
        names = [one.name for one in await book.filters(tx, by.org_id, member_id)]
        if name not in names and len(names) >= MOST_FILTERS:
            sentence = f"is one too many: you keep {MOST_FILTERS} filters; delete one first"
            raise Invalid.field("name", sentence)
        now = desk.clock.now()
        await book.keep_filter(tx, by.org_id, member_id, SavedFilter(name, query), now)

    await desk.database.run(work)


async def forget_filter(desk: Desk, by: Actor, member_id: UUID, name: str) -> None:
    """Forget a filter; nothing happens where there is none."""
    by.require(Permission.READ)
    async with desk.database.transaction() as tx:
        await book.forget_filter(tx, by.org_id, member_id, name)


async def keep_columns(desk: Desk, by: Actor, member_id: UUID, columns: Sequence[str]) -> None:
    """Keep which columns to show."""
    by.require(Permission.READ)
    async with desk.database.transaction() as tx:
        await book.keep_columns(tx, by.org_id, member_id, columns)
