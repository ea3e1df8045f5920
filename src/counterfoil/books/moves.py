"""Moves: one row for each movement of money out of a wallet of ours; the intent.

``waiting`` until the money is in the pool, then ``ready``, ``signed`` once its bytes are
committed, ``final`` when the chain cannot undo it. A ``ready`` one with a ``wait_reason`` goes on
by itself after ``wait_until``. ``parked`` stopped with a reason and needs a person; ``failed`` was
given up, so its amount is no longer counted as going out.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from counterfoil.core.invoice import DepositMode
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, execute_many, one_row, one_value

MovePurpose = Literal[
    "sweep", "quarantine", "restore", "payout", "refund", "partial_refund", "fuel", "deploy"
]
EMPTYING: Final = frozenset[MovePurpose]({"sweep", "quarantine"})
"""What empties a deposit address."""
OUTGOING: Final = frozenset[MovePurpose]({"payout", "refund", "partial_refund"})
"""What leaves us for good."""
PAID: Final = OUTGOING | {"restore"}
"""What a wallet sends as one plain payment of a sealed or fixed amount."""
MoveStatus = Literal["waiting", "ready", "signed", "final", "failed", "parked"]


@dataclass(frozen=True, slots=True)
class NewMove:
    """A movement to be made; unique by ``(org_id, purpose, source_id, leg)``.

    ``contract`` is empty for the native coin. ``destination`` is empty for what stays with us: a
    sweep, of the invoice's address of ``deposit_mode``, a quarantine, a restoration. ``warrant``
    seals what a person approved. ``from_hold``: the hold wallet sends it.
    """

    org_id: int
    move_id: UUID
    purpose: MovePurpose
    source_id: str
    leg: int
    invoice_id: UUID | None
    chain: str
    contract: str
    destination: str
    amount_units: int
    status: Literal["ready", "waiting"]
    approved_by: str | None
    approved_at: datetime | None
    warrant: str | None
    created_at: datetime
    deposit_mode: DepositMode = "factory"
    from_hold: bool = False


@dataclass(frozen=True, slots=True)
class MoveRow:
    """A movement as it stands. ``moved_units`` is what really moved, known once it is final.

    ``updated_at`` is since when it has its status; waiting does not change it.
    ``generation`` and ``replaces_nonce`` are the warrant's. ``failures`` counts how often it
    came to nothing; at most ``batch_limit`` share its transaction, where it is set.
    ``token_fee_units`` left as well, and did not arrive: the token kept them, or sent them
    elsewhere. ``vouched``: every node says what became of it, though it is not what it was to.
    """

    org_id: int
    move_id: UUID
    purpose: MovePurpose
    source_id: str
    leg: int
    invoice_id: UUID | None
    chain: str
    contract: str
    destination: str
    amount_units: int
    moved_units: int | None
    status: MoveStatus
    park_reason: str | None
    wallet: str | None
    nonce: int | None
    tx_hash: str | None
    approved_by: str | None
    approved_at: datetime | None
    warrant: str | None
    created_at: datetime
    updated_at: datetime
    final_at: datetime | None
    wait_reason: str | None = None
    wait_until: datetime | None = None
    generation: int = 0
    replaces_nonce: int | None = None
    failures: int = 0
    batch_limit: int | None = None
    deposit_mode: DepositMode = "factory"
    from_hold: bool = False
    token_fee_units: int = 0
    vouched: bool = False

    @property
    def left_units(self) -> int:
        """What is known to have left where it was, wherever it arrived."""
        return (self.moved_units or 0) + self.token_fee_units

    @property
    def rest_units(self) -> int:
        """What of a movement that was made in part did not leave, as every node says."""
        known = self.vouched and self.left_units > 0
        return max(self.amount_units - self.left_units, 0) if known else 0


@dataclass(frozen=True, slots=True)
class Ended:
    """How one signed move ended: ``park_reason`` None means that it is final."""

    move_id: UUID
    tx_hash: str
    moved_units: int | None
    park_reason: str | None
    token_fee_units: int = 0
    vouched: bool = False


SELECT_MOVE: Final = """
    SELECT org_id, move_id, purpose, source_id, leg, invoice_id, chain, contract, destination,
        amount_units, moved_units, status, park_reason, wallet, nonce, tx_hash, approved_by,
        approved_at, warrant, created_at, updated_at, final_at, wait_reason, wait_until,
        generation, replaces_nonce, failures, batch_limit, deposit_mode, from_hold, token_fee_units,
        vouched
    FROM move
    """

_INSERT: Final = """
    INSERT INTO move (org_id, move_id, purpose, source_id, leg, invoice_id, chain, contract,
        destination, amount_units, status, approved_by, approved_at, warrant, created_at,
        updated_at, deposit_mode, from_hold)
    VALUES (%(org_id)s, %(move_id)s, %(purpose)s, %(source_id)s, %(leg)s, %(invoice_id)s,
        %(chain)s, %(contract)s, %(destination)s, %(amount_units)s, %(status)s, %(approved_by)s,
        %(approved_at)s, %(warrant)s, %(created_at)s, %(created_at)s,
        %(deposit_mode)s, %(from_hold)s)
    """


async def plan(tx: Tx, moves: Sequence[NewMove]) -> None:
    """Write down movements to be made.

    Planning the same movement twice is a ``UniqueViolation``: the change that asks for it
    happened already, so the whole transaction must not.
    """
    await execute_many(tx, _INSERT, [asdict(move) for move in moves])


async def plan_once(tx: Tx, move: NewMove) -> bool:
    """Write down a movement unless it is known; answers whether it was new."""
    added = await execute(
        tx, _INSERT + "ON CONFLICT (org_id, purpose, source_id, leg) DO NOTHING", asdict(move)
    )
    return added == 1


async def release(tx: Tx, org_id: int, invoice_id: UUID, at: datetime) -> int:
    """Let an invoice's waiting movements start; answers how many there were."""
    return await execute(
        tx,
        """
        UPDATE move SET status = 'ready', updated_at = %(at)s
        WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s AND status = 'waiting'
        """,
        {"org_id": org_id, "invoice_id": invoice_id, "at": at},
    )


async def of_invoices(tx: Tx, org_id: int, invoice_ids: Sequence[UUID]) -> list[MoveRow]:
    """All movements of some invoices, oldest first."""
    return await all_rows(
        tx,
        MoveRow,
        SELECT_MOVE
        + """
        WHERE org_id = %(org_id)s AND invoice_id = ANY(%(invoice_ids)s)
        ORDER BY created_at, move_id
        """,
        {"org_id": org_id, "invoice_ids": list(invoice_ids)},
    )


async def next_ready(  # noqa: PLR0913 - which wallet, which work, and which of it not
    tx: Tx,
    org_id: int,
    chain: str,
    purposes: Collection[MovePurpose],
    while_invoice: Iterable[tuple[MovePurpose, str]],
    *,
    skip: Collection[UUID],
    now: datetime,
    limit: int,
    from_hold: bool = False,
) -> list[MoveRow]:
    """The oldest movements that may start, unlocked: look again before acting on them.

    ``while_invoice`` pairs a purpose with an invoice status in which it may be carried out. Sweeps
    by child keys are in `books.children`. The others need the organisation's factory on the chain,
    and none of the same address and token in flight, as the balance could not be judged otherwise.
    """
    pairs = list(while_invoice)
    return await all_rows(
        tx,
        MoveRow,
        SELECT_MOVE  # noqa: S608 - joined from constants of this file
        + """
        WHERE org_id = %(org_id)s AND chain = %(chain)s AND status = 'ready'
          AND purpose = ANY(%(purposes)s) AND from_hold = %(from_hold)s
          AND NOT move_id = ANY(%(skip)s)
          AND (wait_until IS NULL OR wait_until <= %(now)s)
          AND (invoice_id IS NULL OR (purpose, (
                SELECT i.status FROM invoice i
                WHERE i.org_id = move.org_id AND i.invoice_id = move.invoice_id
              )) IN (
                SELECT * FROM unnest(%(pair_purposes)s::text[], %(pair_statuses)s::text[])
              ))
          AND (purpose NOT IN ('sweep', 'quarantine') OR (deposit_mode = 'factory' AND
                EXISTS (
                    SELECT 1 FROM move f
                    WHERE f.org_id = move.org_id AND f.chain = move.chain
                      AND f.purpose = 'deploy' AND f.status = 'final'
                ) AND NOT EXISTS (
                    SELECT 1 FROM move s
                    WHERE s.org_id = move.org_id AND s.invoice_id = move.invoice_id
                      AND s.chain = move.chain AND s.contract = move.contract
                      AND s.purpose IN ('sweep', 'quarantine') AND s.status = 'signed'
                )))
        ORDER BY created_at, move_id LIMIT %(limit)s
        """,
        {
            "org_id": org_id,
            "chain": chain,
            "purposes": list(purposes),
            "skip": list(skip),
            "now": now,
            "pair_purposes": [purpose for purpose, _ in pairs],
            "pair_statuses": [status for _, status in pairs],
            "limit": limit,
            "from_hold": from_hold,
        },
    )


async def by_ids(tx: Tx, org_id: int, move_ids: Collection[UUID]) -> list[MoveRow]:
    """Some movements, oldest first."""
    return await all_rows(
        tx,
        MoveRow,
        SELECT_MOVE
        + """
        WHERE org_id = %(org_id)s AND move_id = ANY(%(move_ids)s)
        ORDER BY created_at, move_id
        """,
        {"org_id": org_id, "move_ids": list(move_ids)},
    )


async def lock_ready(tx: Tx, org_id: int, move_ids: Collection[UUID]) -> list[MoveRow]:
    """Lock those of the movements that are still ready, oldest first."""
    return await all_rows(
        tx,
        MoveRow,
        SELECT_MOVE
        + """
        WHERE org_id = %(org_id)s AND move_id = ANY(%(move_ids)s) AND status = 'ready'
        ORDER BY created_at, move_id FOR UPDATE
        """,
        {"org_id": org_id, "move_ids": list(move_ids)},
    )


async def of_nonce(tx: Tx, chain: str, wallet: str, nonce: int) -> list[MoveRow]:
    """The movements that the transaction with this nonce carries out."""
    return await all_rows(
        tx,
        MoveRow,
        SELECT_MOVE
        + """
        WHERE chain = %(chain)s AND wallet = %(wallet)s AND nonce = %(nonce)s
        ORDER BY created_at, move_id
        """,
        {"chain": chain, "wallet": wallet, "nonce": nonce},
    )


async def mark_signed(  # noqa: PLR0913 - who, which, and the three parts of its place on chain
    tx: Tx,
    org_id: int,
    move_ids: Collection[UUID],
    *,
    wallet: str,
    nonce: int,
    tx_hash: str,
    at: datetime,
) -> None:
    """Bind ready movements to the transaction that was signed for them.

    Raises ``LookupError`` where one of them is not ready, so that nothing is signed twice.
    """
    marked = await execute(
        tx,
        """
        UPDATE move SET status = 'signed', wallet = %(wallet)s, nonce = %(nonce)s,
            tx_hash = %(tx_hash)s, park_reason = NULL, wait_reason = NULL, wait_until = NULL,
            updated_at = %(at)s
        WHERE org_id = %(org_id)s AND move_id = ANY(%(move_ids)s) AND status = 'ready'
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
    if marked != len(move_ids):
        msg = f"{marked} of {len(move_ids)} moves were ready; none may be signed"
        raise LookupError(msg)


async def park_ready(
    tx: Tx, org_id: int, move_ids: Collection[UUID], reason: str, at: datetime
) -> int:
    """Stop ready movements for a person to look at; answers how many were still ready."""
    return await execute(
        tx,
        """
        UPDATE move SET status = 'parked', park_reason = %(reason)s, wait_reason = NULL,
            wait_until = NULL, updated_at = %(at)s
        WHERE org_id = %(org_id)s AND move_id = ANY(%(move_ids)s) AND status = 'ready'
        """,
        {"org_id": org_id, "move_ids": list(move_ids), "reason": reason, "at": at},
    )


async def park_signed(
    tx: Tx, org_id: int, move_ids: Collection[UUID], reason: str, at: datetime
) -> None:
    """Stop movements whose transaction can never land; nothing was moved by it."""
    await execute(
        tx,
        """
        UPDATE move SET status = 'parked', park_reason = %(reason)s, moved_units = 0,
            updated_at = %(at)s
        WHERE org_id = %(org_id)s AND move_id = ANY(%(move_ids)s) AND status = 'signed'
        """,
        {"org_id": org_id, "move_ids": list(move_ids), "reason": reason, "at": at},
    )


async def wait(
    tx: Tx, org_id: int, move_ids: Collection[UUID], reason: str, until: datetime
) -> None:
    """Say why ready movements do not go on, and when they are to be tried again."""
    await execute(
        tx,
        """
        UPDATE move SET wait_reason = %(reason)s, wait_until = %(until)s
        WHERE org_id = %(org_id)s AND move_id = ANY(%(move_ids)s) AND status = 'ready'
        """,
        {"org_id": org_id, "move_ids": list(move_ids), "reason": reason, "until": until},
    )


async def held_up(tx: Tx) -> list[MoveRow]:
    """Every movement that is parked or waits with a reason, of all organisations, oldest first."""
    return await all_rows(
        tx,
        MoveRow,
        SELECT_MOVE
        + """
        WHERE status = 'parked' OR (status = 'ready' AND wait_reason IS NOT NULL)
        ORDER BY org_id, created_at, move_id
        """,
        {},
    )


async def lock(tx: Tx, org_id: int, move_id: UUID) -> MoveRow | None:
    """One movement, held until the transaction ends."""
    return await one_row(
        tx,
        MoveRow,
        SELECT_MOVE + "WHERE org_id = %(org_id)s AND move_id = %(move_id)s FOR UPDATE",
        {"org_id": org_id, "move_id": move_id},
    )


async def give_up(tx: Tx, org_id: int, move_ids: Collection[UUID], at: datetime) -> None:
    """Never make these, unless signed or done; their amounts no longer count as going out."""
    await execute(
        tx,
        """
        UPDATE move SET status = 'failed', wait_reason = NULL, wait_until = NULL,
            updated_at = %(at)s
        WHERE org_id = %(org_id)s AND move_id = ANY(%(move_ids)s)
          AND status IN ('waiting', 'ready', 'parked')
        """,
        {"org_id": org_id, "move_ids": list(move_ids), "at": at},
    )


async def end(tx: Tx, org_id: int, ended: Sequence[Ended], at: datetime) -> None:
    """Write down how signed movements ended; others are left as they are."""
    await execute_many(
        tx,
        """
        UPDATE move SET
            status = CASE WHEN %(park_reason)s::text IS NULL THEN 'final' ELSE 'parked' END,
            final_at = CASE WHEN %(park_reason)s::text IS NULL THEN %(at)s END,
            park_reason = %(park_reason)s, moved_units = %(moved_units)s,
            tx_hash = %(tx_hash)s, token_fee_units = %(token_fee_units)s, vouched = %(vouched)s,
            updated_at = %(at)s
        WHERE org_id = %(org_id)s AND move_id = %(move_id)s AND status = 'signed'
        """,
        [{**asdict(one), "org_id": org_id, "at": at} for one in ended],
    )


async def close_unsigned(
    tx: Tx, org_id: int, purpose: MovePurpose, source_id: str, at: datetime
) -> None:
    """Count an unfinished movement as done, since what it was to bring about is there already.

    One whose transaction is in flight is left alone: that one's end is still to be told.
    """
    await execute(
        tx,
        """
        UPDATE move SET status = 'final', park_reason = NULL, wait_reason = NULL,
            wait_until = NULL, final_at = %(at)s, updated_at = %(at)s
        WHERE org_id = %(org_id)s AND purpose = %(purpose)s AND source_id = %(source_id)s
          AND status IN ('ready', 'parked')
        """,
        {"org_id": org_id, "purpose": purpose, "source_id": source_id, "at": at},
    )


async def open_outgoing_units(
    tx: Tx, org_id: int, invoice_id: UUID, chain: str, contract: str
) -> int:
    """What is to leave us for an invoice and has not yet: every unfinished payout and refund.

    Parked ones count, as nobody knows yet that they will not be made; what left of them does not.
    """
    units = await one_value(
        tx,
        int,
        """
        SELECT coalesce(sum(amount_units - coalesce(moved_units, 0) - token_fee_units)
                        FILTER (WHERE amount_units > coalesce(moved_units, 0) + token_fee_units),
                   0)::numeric(78, 0) FROM move
        WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s AND chain = %(chain)s
          AND contract = %(contract)s AND purpose IN ('payout', 'refund', 'partial_refund')
          AND status NOT IN ('final', 'failed')
        """,
        {"org_id": org_id, "invoice_id": invoice_id, "chain": chain, "contract": contract},
    )
    return units or 0


async def signed_units(
    tx: Tx, org_id: int, chain: str, contract: str, purposes: Collection[MovePurpose]
) -> int:
    """What movements in flight will take out of their wallet, gas not counted."""
    units = await one_value(
        tx,
        int,
        """
        SELECT coalesce(sum(amount_units), 0)::numeric(78, 0) FROM move
        WHERE org_id = %(org_id)s AND chain = %(chain)s AND contract = %(contract)s
          AND purpose = ANY(%(purposes)s) AND status = 'signed'
        """,
        {"org_id": org_id, "chain": chain, "contract": contract, "purposes": list(purposes)},
    )
    return units or 0


async def is_final(tx: Tx, org_id: int, purpose: MovePurpose, source_id: str) -> bool:
    """Whether a movement of ours that is unique by its source is done."""
    found = await one_value(
        tx,
        bool,
        """
        SELECT EXISTS (SELECT 1 FROM move
            WHERE org_id = %(org_id)s AND purpose = %(purpose)s AND source_id = %(source_id)s
              AND status = 'final')
        """,
        {"org_id": org_id, "purpose": purpose, "source_id": source_id},
    )
    return bool(found)
