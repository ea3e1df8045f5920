"""Movements that are made once more, and payments that end with what of them arrived."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from counterfoil.books.moves import OUTGOING, PAID, SELECT_MOVE, MoveRow
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_value


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
    amount_units: int,
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
            amount_units = %(amount_units)s,
            generation = %(generation)s, replaces_nonce = %(replaces_nonce)s, updated_at = %(at)s
        WHERE org_id = %(org_id)s AND move_id = %(move_id)s AND status = 'parked'
        """,
        {
            "org_id": org_id,
            "move_id": move_id,
            "by": by,
            "at": at,
            "amount_units": amount_units,
            "warrant": warrant,
            "generation": generation,
            "replaces_nonce": replaces_nonce,
        },
    )


async def ended_short(tx: Tx, org_id: int, move_id: UUID, at: datetime) -> None:
    """Count a movement as made of which less arrived than was to."""
    await execute(
        tx,
        """
        UPDATE move SET status = 'final', park_reason = NULL, final_at = %(at)s,
            updated_at = %(at)s
        WHERE org_id = %(org_id)s AND move_id = %(move_id)s AND status = 'parked'
          AND coalesce(moved_units, 0) + token_fee_units > 0
        """,
        {"org_id": org_id, "move_id": move_id, "at": at},
    )


@dataclass(frozen=True, slots=True)
class EarlierNonce:
    """A nonce that is held for dead; ``is_own``: the payment itself was signed with it."""

    nonce: int
    is_own: bool


async def earlier_nonces(tx: Tx, wallet: str, move: MoveRow) -> list[EarlierNonce]:
    """Nonces of a wallet with which a payment, or one given up for it, was signed and is dead.

    Those of all its approvals, as the invoice's log tells them, and of all payments of the same
    money that failed.
    """
    return await all_rows(
        tx,
        EarlierNonce,
        """
        WITH same AS MATERIALIZED (
            SELECT move_id, status, nonce, replaces_nonce FROM move
            WHERE org_id = %(org_id)s AND (move_id = %(move_id)s
                OR (invoice_id = %(invoice_id)s AND chain = %(chain)s AND contract = %(contract)s
                    AND from_hold = %(from_hold)s AND purpose = ANY(%(outgoing)s)
                    AND status = 'failed'))),
        earlier (nonce, move_id) AS (
            SELECT nonce, move_id FROM same WHERE status = 'failed' AND nonce IS NOT NULL
            UNION SELECT replaces_nonce, move_id FROM same WHERE replaces_nonce IS NOT NULL
            UNION SELECT l.nonce, s.move_id FROM ingest.lost_signature l
                JOIN same s ON s.move_id = ANY(l.move_ids)
                WHERE l.org_id = %(org_id)s AND l.chain = %(chain)s AND l.wallet = %(wallet)s
                  AND l.ended IN ('cancelled', 'gone', 'landed')
            UNION SELECT (g.metadata::json ->> 'replaces_nonce')::bigint, s.move_id
                FROM invoice_log g
                JOIN same s ON s.move_id::text = g.metadata::json ->> 'move_id'
                WHERE g.org_id = %(org_id)s AND g.invoice_id = %(invoice_id)s
                  AND g.event = 'approved_again'
                  AND g.metadata::json ->> 'replaces_nonce' IS NOT NULL)
        SELECT nonce, bool_and(move_id = %(move_id)s) AS is_own FROM earlier
         GROUP BY nonce ORDER BY nonce
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


async def parked_as_made(tx: Tx, chain: str) -> list[MoveRow]:
    """Parked payments of which a transaction has landed that is not booked."""
    return await all_rows(
        tx,
        MoveRow,
        SELECT_MOVE  # noqa: S608 - a constant
        + """
        WHERE status = 'parked' AND purpose = ANY(%(paid)s) AND (org_id, move_id) IN (
            SELECT org_id, unnest(move_ids) FROM ingest.lost_signature
             WHERE chain = %(chain)s AND ended = 'landed')
        ORDER BY org_id, move_id
        """,
        {"chain": chain, "paid": list(PAID)},
    )


async def parked_because(tx: Tx, org_id: int, move_id: UUID, reason: str) -> None:
    """Say anew why a parked movement stands still, since the same time."""
    await execute(
        tx,
        """
        UPDATE move SET park_reason = %(reason)s
        WHERE org_id = %(org_id)s AND move_id = %(move_id)s AND status = 'parked'
        """,
        {"org_id": org_id, "move_id": move_id, "reason": reason},
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

    Answers how many: those that moved nothing yet and were given no other nonce but one before it
    with which they parked.
    """
    return await execute(
        tx,
        """
        UPDATE move SET status = 'signed', wallet = %(wallet)s, nonce = %(nonce)s,
            tx_hash = %(tx_hash)s, moved_units = NULL, park_reason = NULL, wait_reason = NULL,
            wait_until = NULL, updated_at = %(at)s
        WHERE org_id = %(org_id)s AND move_id = ANY(%(move_ids)s)
          AND status IN ('ready', 'parked', 'signed')
          AND coalesce(moved_units, 0) + token_fee_units = 0
          AND (nonce IS NULL OR (wallet = %(wallet)s AND (nonce = %(nonce)s
               OR (status = 'parked' AND nonce < %(nonce)s))))
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


async def next_leg(tx: Tx, move: MoveRow) -> int:
    """The number of one more movement beside this one, of the same source."""
    found = await one_value(
        tx,
        int,
        """
        SELECT max(leg) + 1 FROM move
        WHERE org_id = %(org_id)s AND purpose = %(purpose)s AND source_id = %(source_id)s
        """,
        {"org_id": move.org_id, "purpose": move.purpose, "source_id": move.source_id},
    )
    return found or 0


async def start_again(tx: Tx, org_id: int, move_id: UUID, at: datetime) -> None:
    """Make a locked movement ready as if it had just been planned."""
    await execute(
        tx,
        """
        UPDATE move SET status = 'ready', park_reason = NULL, wait_reason = NULL,
            wait_until = NULL, wallet = NULL, nonce = NULL, tx_hash = NULL, moved_units = NULL,
            updated_at = %(at)s
        WHERE org_id = %(org_id)s AND move_id = %(move_id)s AND status IN ('ready', 'parked')
        """,
        {"org_id": org_id, "move_id": move_id, "at": at},
    )
