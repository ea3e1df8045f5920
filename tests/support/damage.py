"""`damaged`: invoices that no rule can be applied to, as after a bug or a disk's mistake."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal, LiteralString

from psycopg import sql

from counterfoil.core.invoice import Invoice
from counterfoil.desk.desk import Desk

How = Literal["unreadable", "unwritable"]

_DAMAGE: dict[How, tuple[LiteralString, ...]] = {
    "unreadable": (
        (
            "CREATE TABLE whole AS"
            " SELECT org_id, invoice_id, detail FROM invoice WHERE invoice_id = ANY({ids}::uuid[])"
        ),
        "UPDATE invoice SET detail = '{{}}' WHERE invoice_id = ANY({ids}::uuid[])",
    ),
    "unwritable": (
        (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'a bug'; END $$"
        ),
        (
            "CREATE TRIGGER refuse BEFORE UPDATE ON invoice FOR EACH ROW"
            " WHEN (old.invoice_id = ANY({ids}::uuid[])) EXECUTE FUNCTION refuse()"
        ),
    ),
}

_MEND: dict[How, tuple[LiteralString, ...]] = {
    "unreadable": (
        (
            "UPDATE invoice SET detail = whole.detail FROM whole"
            " WHERE (invoice.org_id, invoice.invoice_id) = (whole.org_id, whole.invoice_id)"
        ),
        "DROP TABLE whole",
    ),
    "unwritable": ("DROP TRIGGER refuse ON invoice", "DROP FUNCTION refuse"),
}


async def damage(desk: Desk, how: How, *bills: Invoice) -> None:
    """Make these invoices impossible to tell anything."""
    await _run(desk, _DAMAGE[how], bills)


async def mend(desk: Desk, how: How) -> None:
    """Undo `damage`."""
    await _run(desk, _MEND[how], ())


@asynccontextmanager
async def damaged(desk: Desk, *bills: Invoice, how: How = "unreadable") -> AsyncIterator[None]:
    """Damage these invoices for a while."""
    await damage(desk, how, *bills)
    try:
        yield
    finally:
        await mend(desk, how)


async def _run(desk: Desk, statements: Sequence[LiteralString], bills: Sequence[Invoice]) -> None:
    ids = sql.Literal([bill.invoice_id for bill in bills])
    async with desk.database.transaction() as tx:
        for statement in statements:
            await tx.execute(sql.SQL(statement).format(ids=ids))
