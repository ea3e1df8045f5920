"""Work that a change left behind: rows written with it, claimed by workers, done once.

A claim is a lease. Whoever finishes must still hold it, so a worker that was paused past its
lease changes nothing (specs/reliability.md 1.3 item 8).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, all_values, as_records, execute


@dataclass(frozen=True, slots=True)
class EffectRow:
    """A claimed effect. ``attempts`` includes the one that this claim begins."""

    org_id: int
    effect_id: UUID
    kind: str
    invoice_id: UUID
    due_at: datetime
    attempts: int
    lease_until: datetime
    lease_token: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewEffect:
    """Work that a change asks for."""

    org_id: int
    effect_id: UUID
    kind: str
    invoice_id: UUID
    due_at: datetime
    created_at: datetime


async def add_all(tx: Tx, work: Sequence[NewEffect]) -> None:
    """Leave work behind, in the transaction of the changes that ask for it."""
    await execute(
        tx,
        """
        INSERT INTO effect (org_id, effect_id, kind, invoice_id, due_at, created_at)
        SELECT * FROM json_to_recordset(%(rows)s::json) AS new (org_id bigint, effect_id uuid,
            kind text, invoice_id uuid, due_at timestamptz, created_at timestamptz)
        """,
        {"rows": as_records(work)},
    )


async def add_once(  # noqa: PLR0913 - one argument per column
    tx: Tx,
    org_id: int,
    *,
    effect_id: UUID,
    kind: str,
    invoice_id: UUID,
    due_at: datetime,
    created_at: datetime,
    error: str,
) -> None:
    """Leave work behind that failed with ``error``, unless such work waits for the invoice.

    The caller holds the invoice locked, so nobody else can leave it behind at the same time.
    """
    await execute(
        tx,
        """
        INSERT INTO effect (org_id, effect_id, kind, invoice_id, due_at, created_at, last_error)
        SELECT %(org_id)s, %(effect_id)s, %(kind)s, %(invoice_id)s, %(due_at)s, %(created_at)s,
               %(error)s
         WHERE NOT EXISTS (
               SELECT FROM effect
                WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s AND kind = %(kind)s
                  AND done_at IS NULL)
        """,
        {
            "org_id": org_id,
            "effect_id": effect_id,
            "kind": kind,
            "invoice_id": invoice_id,
            "due_at": due_at,
            "created_at": created_at,
            "error": error,
        },
    )


async def waiting(tx: Tx, org_id: int, kind: str, invoice_ids: Collection[UUID]) -> frozenset[UUID]:
    """Those of the invoices for which work of a kind is not done yet, claimed or not."""
    return frozenset(
        await all_values(
            tx,
            UUID,
            """
            SELECT DISTINCT invoice_id FROM effect
             WHERE org_id = %(org_id)s AND invoice_id = ANY(%(invoice_ids)s) AND kind = %(kind)s
               AND done_at IS NULL
            """,
            {"org_id": org_id, "kind": kind, "invoice_ids": list(invoice_ids)},
        )
    )


async def claim(  # noqa: PLR0913 - what to claim, and the lease to claim it with
    tx: Tx, kind: str, limit: int, *, now: datetime, lease_until: datetime, lease_token: UUID
) -> list[EffectRow]:
    """Take up to ``limit`` due effects that nobody holds, the longest due first.

    At most one for each invoice, and none while another one of its kind is being worked on: a
    stranger who sends dust a hundred times must not get a hundred screenings at once.
    """
    return await all_rows(
        tx,
        EffectRow,
        """
        WITH due AS (
            SELECT org_id, effect_id
              FROM effect AS e
             WHERE kind = %(kind)s AND done_at IS NULL AND due_at <= %(now)s
               AND (lease_until IS NULL OR lease_until <= %(now)s)
               AND NOT EXISTS (
                   SELECT FROM effect AS other
                    WHERE other.org_id = e.org_id AND other.invoice_id = e.invoice_id
                      AND other.kind = e.kind AND other.done_at IS NULL
                      AND other.effect_id <> e.effect_id
                      AND (other.lease_until > %(now)s
                           OR (other.due_at, other.effect_id) < (e.due_at, e.effect_id)))
             ORDER BY due_at
             LIMIT %(limit)s
               FOR UPDATE SKIP LOCKED
        )
        UPDATE effect
           SET lease_until = %(lease_until)s, lease_token = %(lease_token)s,
               attempts = attempts + 1
          FROM due
         WHERE effect.org_id = due.org_id AND effect.effect_id = due.effect_id
        RETURNING effect.org_id, effect.effect_id, kind, invoice_id, due_at, attempts,
                  lease_until, lease_token, created_at
        """,
        {
            "kind": kind,
            "limit": limit,
            "now": now,
            "lease_until": lease_until,
            "lease_token": lease_token,
        },
    )


async def complete(
    tx: Tx, org_id: int, effect_id: UUID, *, lease_token: UUID, at: datetime
) -> bool:
    """Mark it done, in the transaction of its result; False when somebody else holds it now."""
    done = await execute(
        tx,
        """
        UPDATE effect SET done_at = %(at)s, lease_until = NULL, lease_token = NULL
         WHERE org_id = %(org_id)s AND effect_id = %(effect_id)s
           AND lease_token = %(lease_token)s AND done_at IS NULL
        """,
        {"org_id": org_id, "effect_id": effect_id, "lease_token": lease_token, "at": at},
    )
    return done == 1


async def complete_all(
    tx: Tx, org_id: int, held: Sequence[tuple[UUID, UUID]], *, at: datetime
) -> frozenset[UUID]:
    """Mark many done as `complete` does; each goes with its lease's token. Answers which were."""
    return frozenset(
        await all_values(
            tx,
            UUID,
            """
            UPDATE effect SET done_at = %(at)s, lease_until = NULL, lease_token = NULL
              FROM unnest(%(ids)s::uuid[], %(tokens)s::uuid[]) AS held (effect_id, token)
             WHERE org_id = %(org_id)s AND effect.effect_id = held.effect_id
               AND lease_token = held.token AND done_at IS NULL
            RETURNING effect.effect_id
            """,
            {
                "org_id": org_id,
                "ids": [effect_id for effect_id, _ in held],
                "tokens": [token for _, token in held],
                "at": at,
            },
        )
    )


async def complete_others(
    tx: Tx, org_id: int, kind: str, invoice_ids: Collection[UUID], *, at: datetime
) -> None:
    """Mark everything of a kind that waits for invoices done: one result answers it all.

    The caller holds the invoices locked, so nothing can be left behind in between.
    """
    await execute(
        tx,
        """
        UPDATE effect SET done_at = %(at)s, lease_until = NULL, lease_token = NULL
         WHERE org_id = %(org_id)s AND invoice_id = ANY(%(ids)s::uuid[]) AND kind = %(kind)s
           AND done_at IS NULL
        """,
        {"org_id": org_id, "ids": list(invoice_ids), "kind": kind, "at": at},
    )


async def fail(  # noqa: PLR0913 - which effect, by whose lease, and what comes next
    tx: Tx, org_id: int, effect_id: UUID, *, lease_token: UUID, due_at: datetime, error: str
) -> bool:
    """Give it back, to be tried again at ``due_at``; False when somebody else holds it now."""
    given_back = await execute(
        tx,
        """
        UPDATE effect
           SET due_at = %(due_at)s, last_error = %(error)s, lease_until = NULL, lease_token = NULL
         WHERE org_id = %(org_id)s AND effect_id = %(effect_id)s
           AND lease_token = %(lease_token)s AND done_at IS NULL
        """,
        {
            "org_id": org_id,
            "effect_id": effect_id,
            "lease_token": lease_token,
            "due_at": due_at,
            "error": error,
        },
    )
    return given_back == 1
