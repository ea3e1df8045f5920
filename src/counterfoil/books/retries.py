"""Movements that are made once more: sweeps that came to nothing, payments approved again."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from counterfoil.books.moves import OUTGOING, MoveRow
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_values, execute


async def swept_nothing(  # noqa: PLR0913 - which, why, and the pauses that grow
    tx: Tx,
    org_id: int,
    move_id: UUID,
    reason: str,
    at: datetime,
    *,
    first_pause: timedelta,
    longest_pause: timedelta,
) -> None:
    """Let a signed sweep that moved nothing be made again, after pauses that double."""
    await execute(
        tx,
        """
        UPDATE move SET status = 'ready', failures = least(failures + 1, 1000),
            wait_reason = %(reason)s,
            wait_until = %(at)s + least(%(first)s * power(2, least(failures, 30)), %(longest)s),
            wallet = NULL, nonce = NULL, tx_hash = NULL, moved_units = NULL, updated_at = %(at)s
        WHERE org_id = %(org_id)s AND move_id = %(move_id)s AND status = 'signed'
          AND purpose IN ('sweep', 'quarantine')
        """,
        {
            "org_id": org_id,
            "move_id": move_id,
            "reason": reason,
            "at": at,
            "first": first_pause,
            "longest": longest_pause,
        },
    )


async def reverted_together(
    tx: Tx, org_id: int, move_ids: Collection[UUID], batch_limit: int, at: datetime
) -> None:
    """Let signed sweeps whose one transaction reverted be made again, fewer at a time."""
    await execute(
        tx,
        """
        UPDATE move SET status = 'ready', failures = least(failures + 1, 1000),
            batch_limit = %(limit)s, wait_reason = NULL, wait_until = NULL,
            wallet = NULL, nonce = NULL, tx_hash = NULL, moved_units = NULL, updated_at = %(at)s
        WHERE org_id = %(org_id)s AND move_id = ANY(%(move_ids)s) AND status = 'signed'
          AND purpose IN ('sweep', 'quarantine')
        """,
        {"org_id": org_id, "move_ids": list(move_ids), "limit": batch_limit, "at": at},
    )


async def split(tx: Tx, org_id: int, move_ids: Collection[UUID], batch_limit: int) -> None:
    """Have ready sweeps share their transaction with fewer others from now on."""
    await execute(
        tx,
        """
        UPDATE move SET batch_limit = %(limit)s
        WHERE org_id = %(org_id)s AND move_id = ANY(%(move_ids)s) AND status = 'ready'
          AND purpose IN ('sweep', 'quarantine')
        """,
        {"org_id": org_id, "move_ids": list(move_ids), "limit": batch_limit},
    )


async def approved_again(  # noqa: PLR0913 - who, when, and the warrant with what it vouches for
    tx: Tx,
    org_id: int,
    move_id: UUID,
    *,
    by: str,
    at: datetime,
    warrant: str,
    generation: int,
    replaces_nonce: int | None,
) -> None:
    """Make a parked payment ready under a new warrant, without the nonce that is dead."""
    await execute(
        tx,
        """
        UPDATE move SET status = 'ready', park_reason = NULL, wait_reason = NULL,
            wait_until = NULL, wallet = NULL, nonce = NULL, tx_hash = NULL, moved_units = NULL,
            approved_by = %(by)s, approved_at = %(at)s, warrant = %(warrant)s,
            generation = %(generation)s, replaces_nonce = %(replaces_nonce)s, updated_at = %(at)s
        WHERE org_id = %(org_id)s AND move_id = %(move_id)s AND status = 'parked'
        """,
        {
            "org_id": org_id,
            "move_id": move_id,
            "by": by,
            "at": at,
            "warrant": warrant,
            "generation": generation,
            "replaces_nonce": replaces_nonce,
        },
    )


async def earlier_nonces(tx: Tx, wallet: str, move: MoveRow) -> list[int]:
    """Nonces of a wallet with which a payment, or one given up for it, was signed and is dead.

    Those of all its approvals, as the invoice's log tells them, and of all payments of the same
    money that failed.
    """
    return await all_values(
        tx,
        int,
        """
        WITH same AS MATERIALIZED (
            SELECT move_id, status, nonce, replaces_nonce FROM move
            WHERE org_id = %(org_id)s AND (move_id = %(move_id)s
                OR (invoice_id = %(invoice_id)s AND chain = %(chain)s AND contract = %(contract)s
                    AND from_hold = %(from_hold)s AND purpose = ANY(%(outgoing)s)
                    AND status = 'failed')))
        SELECT nonce FROM same WHERE status = 'failed' AND nonce IS NOT NULL
        UNION SELECT replaces_nonce FROM same WHERE replaces_nonce IS NOT NULL
        UNION SELECT nonce FROM ingest.lost_signature
            WHERE org_id = %(org_id)s AND chain = %(chain)s AND wallet = %(wallet)s
              AND ended IN ('cancelled', 'gone', 'landed')
              AND move_ids && ARRAY(SELECT move_id FROM same)
        UNION SELECT (metadata::json ->> 'replaces_nonce')::bigint FROM invoice_log
            WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s AND event = 'approved_again'
              AND metadata::json ->> 'move_id' IN (SELECT move_id::text FROM same)
              AND metadata::json ->> 'replaces_nonce' IS NOT NULL
        ORDER BY 1
        """,
        {
            "org_id": move.org_id,
            "move_id": move.move_id,
            "invoice_id": move.invoice_id,
            "chain": move.chain,
            "contract": move.contract,
            "from_hold": move.from_hold,
            "outgoing": list(OUTGOING),
            "wallet": wallet,
        },
    )


async def found_signed(  # noqa: PLR0913 - who, which, and the three parts of its place on chain
    tx: Tx,
    org_id: int,
    move_ids: Collection[UUID],
    *,
    wallet: str,
    nonce: int,
    tx_hash: str,
    at: datetime,
) -> int:
    """Bind movements to a transaction that was signed for them unbeknown to the books.

    Answers how many: those that moved nothing yet and were given no other nonce.
    """
    return await execute(
        tx,
        """
        UPDATE move SET status = 'signed', wallet = %(wallet)s, nonce = %(nonce)s,
            tx_hash = %(tx_hash)s, moved_units = NULL, park_reason = NULL, wait_reason = NULL,
            wait_until = NULL, updated_at = %(at)s
        WHERE org_id = %(org_id)s AND move_id = ANY(%(move_ids)s)
          AND status IN ('ready', 'parked', 'signed') AND coalesce(moved_units, 0) = 0
          AND (nonce IS NULL OR (wallet = %(wallet)s AND nonce = %(nonce)s))
        """,
        {
            "org_id": org_id,
            "move_ids": list(move_ids),
            "wallet": wallet,
            "nonce": nonce,
            "tx_hash": tx_hash,
            "at": at,
        },
    )
