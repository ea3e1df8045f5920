"""Long work: what was asked for, how far it is, and what each step brought."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, all_values, execute, one_row


@dataclass(frozen=True, slots=True)
class JobRow:
    """Work about ``total`` invoices, ``done`` of which are; ``asked`` is JSON of its kind's own."""

    org_id: int
    job_id: UUID
    member_id: UUID
    kind: str
    asked: str
    total: int
    done: int
    error: str | None
    created_at: datetime
    finished_at: datetime | None
    lease_until: datetime | None


_COLUMNS: Final[LiteralString] = """
    org_id, job_id, member_id, kind, asked, cardinality(invoice_ids) AS total, done, error,
    created_at, finished_at, lease_until
"""


@dataclass(frozen=True, slots=True)
class NewJob:
    """What somebody asks for."""

    org_id: int
    job_id: UUID
    member_id: UUID
    kind: str
    asked: str
    invoice_ids: list[UUID]
    created_at: datetime


async def insert(tx: Tx, job: NewJob) -> None:
    """Write down new work, of which nothing is done."""
    await execute(
        tx,
        """
        INSERT INTO job (org_id, job_id, member_id, kind, asked, invoice_ids, created_at)
        VALUES (%(org_id)s, %(job_id)s, %(member_id)s, %(kind)s, %(asked)s, %(invoice_ids)s,
            %(created_at)s)
        """,
        asdict(job),
    )


async def get(tx: Tx, org_id: int, member_id: UUID, job_id: UUID) -> JobRow | None:
    """A job of this member's, or None."""
    return await one_row(
        tx,
        JobRow,
        "SELECT "  # noqa: S608 - joined from literals of this file only
        + _COLUMNS
        + " FROM job WHERE org_id = %(org_id)s AND member_id = %(member_id)s"
        " AND job_id = %(job_id)s",
        {"org_id": org_id, "member_id": member_id, "job_id": job_id},
    )


async def of_member(tx: Tx, org_id: int, member_id: UUID, *, limit: int) -> list[JobRow]:
    """What a member asked for, the newest first."""
    return await all_rows(
        tx,
        JobRow,
        "SELECT "  # noqa: S608 - joined from literals of this file only
        + _COLUMNS
        + " FROM job WHERE org_id = %(org_id)s AND member_id = %(member_id)s"
        " ORDER BY created_at DESC, job_id DESC LIMIT %(limit)s",
        {"org_id": org_id, "member_id": member_id, "limit": limit},
    )


async def claim(  # noqa: PLR0913 - which job, for whom and how long
    tx: Tx, org_id: int, job_id: UUID, *, token: UUID, now: datetime, until: datetime
) -> JobRow | None:
    """Take unfinished work that nobody else is at, or go on with one's own; None otherwise."""
    return await one_row(
        tx,
        JobRow,
        """
        UPDATE job SET lease_token = %(token)s, lease_until = %(until)s
         WHERE org_id = %(org_id)s AND job_id = %(job_id)s AND finished_at IS NULL
           AND (lease_until IS NULL OR lease_until <= %(now)s OR lease_token = %(token)s)
        RETURNING """  # noqa: S608 - joined from literals of this file only
        + _COLUMNS,
        {"org_id": org_id, "job_id": job_id, "token": token, "now": now, "until": until},
    )


async def next_invoices(tx: Tx, org_id: int, job_id: UUID, *, done: int, limit: int) -> list[UUID]:
    """The next of its invoices, in the order in which they were named."""
    return await all_values(
        tx,
        UUID,
        """
        SELECT unnest(invoice_ids[%(first)s:%(last)s]) FROM job
         WHERE org_id = %(org_id)s AND job_id = %(job_id)s
        """,
        {"org_id": org_id, "job_id": job_id, "first": done + 1, "last": done + limit},
    )


async def advance(  # noqa: PLR0913 - which job, whose hands, and what they did
    tx: Tx, org_id: int, job_id: UUID, *, token: UUID, before: int, done: int, content: str
) -> bool:
    """Keep what a step brought; False where somebody else has taken the work over."""
    moved = await execute(
        tx,
        """
        UPDATE job SET done = %(done)s
         WHERE org_id = %(org_id)s AND job_id = %(job_id)s AND done = %(before)s
           AND lease_token = %(token)s AND finished_at IS NULL
        """,
        {"org_id": org_id, "job_id": job_id, "token": token, "before": before, "done": done},
    )
    if moved:
        await execute(
            tx,
            """
            INSERT INTO job_part (org_id, job_id, position, content)
            VALUES (%(org_id)s, %(job_id)s, %(position)s, %(content)s)
            """,
            {"org_id": org_id, "job_id": job_id, "position": before, "content": content},
        )
    return bool(moved)


async def finish(  # noqa: PLR0913 - which job, whose hands, and how it ended
    tx: Tx, org_id: int, job_id: UUID, *, token: UUID, at: datetime, error: str | None
) -> None:
    """End it, for good or with what stopped it; nothing happens once somebody else has it."""
    await execute(
        tx,
        """
        UPDATE job SET finished_at = %(at)s, error = %(error)s, lease_until = NULL
         WHERE org_id = %(org_id)s AND job_id = %(job_id)s AND lease_token = %(token)s
           AND finished_at IS NULL
        """,
        {"org_id": org_id, "job_id": job_id, "token": token, "at": at, "error": error},
    )


async def parts(tx: Tx, org_id: int, job_id: UUID) -> list[str]:
    """What its steps brought, in order."""
    return await all_values(
        tx,
        str,
        """
        SELECT content FROM job_part
         WHERE org_id = %(org_id)s AND job_id = %(job_id)s ORDER BY position
        """,
        {"org_id": org_id, "job_id": job_id},
    )


async def forget(tx: Tx, before: datetime, *, limit: int) -> int:
    """Delete the work that was asked for before then, with what it brought; answers how many."""
    return await execute(
        tx,
        """
        DELETE FROM job WHERE (org_id, job_id) IN (
            SELECT org_id, job_id FROM job WHERE created_at < %(before)s
             ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        """,
        {"before": before, "limit": limit},
    )
