"""Idempotency keys: which request was answered how, so that asking again answers the same."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import execute, one_row, one_value


@dataclass(frozen=True, slots=True)
class KeyRow:
    """What became of the request that used a key."""

    fingerprint: bytes
    status_code: int
    body: bytes


async def claim(  # noqa: PLR0913 - the columns of the row, and how long to wait for it
    tx: Tx,
    org_id: int,
    member_id: UUID,
    key: str,
    *,
    fingerprint: bytes,
    now: datetime,
    forgotten_before: datetime,
    patience: str,
) -> bool:
    """Take a key; False when a finished request has it.

    A request that holds the key and is still running makes this wait for ``patience`` (a
    PostgreSQL duration), and then raises `psycopg.errors.LockNotAvailable`. That bound stays on
    the rest of the transaction. A key older than ``forgotten_before`` is taken over.
    """
    return bool(
        await one_value(
            tx,
            bool,
            """
            WITH bound AS MATERIALIZED (SELECT set_config('lock_timeout', %(patience)s, true))
            INSERT INTO idempotency_key AS k
                (org_id, member_id, key, fingerprint, created_at)
            SELECT %(org_id)s, %(member_id)s, %(key)s, %(fingerprint)s, %(now)s FROM bound
                ON CONFLICT (org_id, member_id, key) DO UPDATE
               SET fingerprint = excluded.fingerprint, created_at = excluded.created_at,
                   status_code = NULL, body = NULL
             WHERE k.created_at < %(forgotten_before)s
            RETURNING true
            """,
            {
                "org_id": org_id,
                "member_id": member_id,
                "key": key,
                "fingerprint": fingerprint,
                "now": now,
                "forgotten_before": forgotten_before,
                "patience": patience,
            },
        )
    )


async def answered(tx: Tx, org_id: int, member_id: UUID, key: str) -> KeyRow | None:
    """The finished request that has this key, or None."""
    return await one_row(
        tx,
        KeyRow,
        """
        SELECT fingerprint, status_code, body FROM idempotency_key
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s AND key = %(key)s
           AND status_code IS NOT NULL
        """,
        {"org_id": org_id, "member_id": member_id, "key": key},
    )


async def finish(  # noqa: PLR0913 - the columns of the row
    tx: Tx, org_id: int, member_id: UUID, key: str, *, status_code: int, body: bytes
) -> None:
    """Keep the answer, in the transaction that claimed the key and did the work."""
    await execute(
        tx,
        """
        UPDATE idempotency_key SET status_code = %(status_code)s, body = %(body)s
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s AND key = %(key)s
        """,
        {
            "org_id": org_id,
            "member_id": member_id,
            "key": key,
            "status_code": status_code,
            "body": body,
        },
    )


async def forget(tx: Tx, before: datetime, *, limit: int) -> int:
    """Delete the oldest keys from before an instant; answers how many, at most ``limit``."""
    return await execute(
        tx,
        """
        DELETE FROM idempotency_key
         WHERE (org_id, member_id, key) IN (
               SELECT org_id, member_id, key FROM idempotency_key
                WHERE created_at < %(before)s
                ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        """,
        {"before": before, "limit": limit},
    )
