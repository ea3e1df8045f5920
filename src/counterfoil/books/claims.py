"""What people say about payments whose transaction is unknown, and what became of it."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_row


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """Somebody says that a transfer came with the transaction ``named_tx_hash``.

    ``tx_hash`` and ``log_index`` are the transfer's key. ``finding`` says why it was refused.
    """

    org_id: int
    claim_id: UUID
    invoice_id: UUID
    chain: str
    tx_hash: str
    log_index: int
    named_tx_hash: str
    named_by: str
    named_at: datetime
    status: Literal["open", "confirmed", "refused"] = "open"
    finding: str | None = None
    checked_at: datetime | None = None


_SELECT: Final = """
    SELECT org_id, claim_id, invoice_id, chain, tx_hash, log_index, named_tx_hash, named_by,
           named_at, status, finding, checked_at
      FROM transfer_claim
"""


async def add(tx: Tx, claim: ClaimRow) -> bool:
    """Keep a claim; False while another one about the same transfer is open."""
    added = await execute(
        tx,
        """
        INSERT INTO transfer_claim (org_id, claim_id, invoice_id, chain, tx_hash, log_index,
            named_tx_hash, named_by, named_at, status)
        VALUES (%(org_id)s, %(claim_id)s, %(invoice_id)s, %(chain)s, %(tx_hash)s, %(log_index)s,
            %(named_tx_hash)s, %(named_by)s, %(named_at)s, 'open')
        ON CONFLICT DO NOTHING
        """,
        asdict(claim),
    )
    return added == 1


async def to_check(
    tx: Tx, chain: str, limit: int, *, passing_over: Collection[UUID]
) -> list[ClaimRow]:
    """The oldest open claims about a chain, except those to pass over."""
    return await all_rows(
        tx,
        ClaimRow,
        _SELECT
        + """
        WHERE chain = %(chain)s AND status = 'open'
          AND claim_id <> ALL(%(passing_over)s::uuid[])
        ORDER BY named_at, claim_id LIMIT %(limit)s
        """,
        {"chain": chain, "limit": limit, "passing_over": list(passing_over)},
    )


async def lock_open(tx: Tx, org_id: int, claim_id: UUID) -> ClaimRow | None:
    """A claim that is still open, held until the transaction ends."""
    return await one_row(
        tx,
        ClaimRow,
        _SELECT
        + "WHERE org_id = %(org_id)s AND claim_id = %(claim_id)s AND status = 'open' FOR UPDATE",
        {"org_id": org_id, "claim_id": claim_id},
    )


async def of_invoices(tx: Tx, org_id: int, invoice_ids: Collection[UUID]) -> list[ClaimRow]:
    """Every claim about these invoices' transfers, the oldest first."""
    return await all_rows(
        tx,
        ClaimRow,
        _SELECT
        + "WHERE org_id = %(org_id)s AND invoice_id = ANY(%(ids)s) ORDER BY named_at, claim_id",
        {"org_id": org_id, "ids": list(invoice_ids)},
    )


async def close(tx: Tx, claim: ClaimRow, finding: str | None, at: datetime) -> None:
    """Say what the chain says: confirmed, or refused for the reason given."""
    await execute(
        tx,
        """
        UPDATE transfer_claim
           SET status = CASE WHEN %(finding)s::text IS NULL THEN 'confirmed' ELSE 'refused' END,
               finding = %(finding)s, checked_at = %(at)s
         WHERE org_id = %(org_id)s AND claim_id = %(claim_id)s AND status = 'open'
        """,
        {"org_id": claim.org_id, "claim_id": claim.claim_id, "finding": finding, "at": at},
    )
