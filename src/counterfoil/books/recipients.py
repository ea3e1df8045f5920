"""The recipient directory: whom an organisation invoices."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from counterfoil.core import lookalike
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_row


@dataclass(frozen=True, slots=True)
class Entry:
    """One of whom invoices are made out to; not offered any more once deactivated."""

    recipient_id: UUID
    name: str
    email: str
    address: str
    tax_number: str
    created_at: datetime
    deactivated_at: datetime | None


_COLUMNS: Final[LiteralString] = (
    "recipient_id, name, email, address, tax_number, created_at, deactivated_at"
)


async def page(  # noqa: PLR0913 - whose, which, and the slice of them
    tx: Tx, org_id: int, text: str, *, active: bool | None, limit: int, offset: int = 0
) -> list[Entry]:
    """Those whose name, e-mail or tax number has the text, by name; ``active`` None for all."""
    return await all_rows(
        tx,
        Entry,
        "SELECT "  # noqa: S608 - joined from literals of this file only
        + _COLUMNS
        + """
          FROM recipient
         WHERE org_id = %(org_id)s
           AND strpos(lower(concat_ws(chr(10), name, email, tax_number)), lower(%(text)s)) > 0
           AND coalesce(%(active)s::boolean = (deactivated_at IS NULL), true)
         ORDER BY lower(name), email, recipient_id LIMIT %(limit)s OFFSET %(offset)s
        """,
        {"org_id": org_id, "text": text, "active": active, "limit": limit, "offset": offset},
    )


async def get(tx: Tx, org_id: int, recipient_id: UUID) -> Entry | None:
    """One of them, or None."""
    return await one_row(
        tx,
        Entry,
        "SELECT "  # noqa: S608 - joined from literals of this file only
        + _COLUMNS
        + " FROM recipient WHERE org_id = %(org_id)s AND recipient_id = %(recipient_id)s",
        {"org_id": org_id, "recipient_id": recipient_id},
    )


async def drawn_like(tx: Tx, org_id: int, name: str) -> list[Entry]:
    """Those whose names are drawn like this one, whether the same or not, by age."""
    return await all_rows(
        tx,
        Entry,
        "SELECT "  # noqa: S608 - joined from literals of this file only
        + _COLUMNS
        + """
          FROM recipient WHERE org_id = %(org_id)s AND skeleton = %(skeleton)s
         ORDER BY created_at, recipient_id
        """,
        {"org_id": org_id, "skeleton": lookalike.skeleton(name)},
    )


async def of_pairs(tx: Tx, org_id: int, names: list[str], emails: list[str]) -> list[Entry]:
    """Those that have one of these names with the e-mail beside it."""
    return await all_rows(
        tx,
        Entry,
        "SELECT "  # noqa: S608 - joined from literals of this file only
        + _COLUMNS
        + """
          FROM recipient WHERE org_id = %(org_id)s
           AND (name, email) IN (SELECT * FROM unnest(%(names)s::text[], %(emails)s::text[]))
        """,
        {"org_id": org_id, "names": names, "emails": emails},
    )


async def insert(tx: Tx, org_id: int, entry: Entry) -> None:
    """Write a new one; a name with an e-mail that are there is an error."""
    await execute(
        tx,
        """
        INSERT INTO recipient (org_id, recipient_id, name, email, address, tax_number, skeleton,
            created_at, deactivated_at)
        VALUES (%(org_id)s, %(recipient_id)s, %(name)s, %(email)s, %(address)s, %(tax_number)s,
            %(skeleton)s, %(created_at)s, %(deactivated_at)s)
        """,
        _parameters(org_id, entry),
    )


async def save(tx: Tx, org_id: int, entry: Entry) -> None:
    """Replace all but the age of one."""
    await execute(
        tx,
        """
        UPDATE recipient SET name = %(name)s, email = %(email)s, address = %(address)s,
               tax_number = %(tax_number)s, skeleton = %(skeleton)s,
               deactivated_at = %(deactivated_at)s
         WHERE org_id = %(org_id)s AND recipient_id = %(recipient_id)s
        """,
        _parameters(org_id, entry),
    )


def _parameters(org_id: int, entry: Entry) -> dict[str, object]:
    return {"org_id": org_id, "skeleton": lookalike.skeleton(entry.name), **asdict(entry)}
