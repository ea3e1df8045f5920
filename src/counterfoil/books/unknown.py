"""Tokens that are not registered here and came to an invoice's address; they are noted, no more."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, execute_many, one_value


@dataclass(frozen=True, slots=True)
class UnknownToken:
    """The first transfer of a token to an invoice; ``amount_units`` in units only it knows."""

    org_id: int
    invoice_id: UUID
    chain: str
    contract: str
    tx_hash: str
    from_address: str
    amount_units: int
    block_number: int
    noted_at: datetime


async def looked_upto(tx: Tx, chain: str) -> int | None:
    """The last block in which they were looked for; None where nobody ever did."""
    return await one_value(
        tx,
        int,
        "SELECT block_number FROM ingest.unknown_token_cursor WHERE chain = %(chain)s",
        {"chain": chain},
    )


async def begin(tx: Tx, chain: str, block_number: int) -> None:
    """Look for them in blocks after this one."""
    await execute(
        tx,
        """
        INSERT INTO ingest.unknown_token_cursor (chain, block_number)
        VALUES (%(chain)s, %(block_number)s) ON CONFLICT DO NOTHING
        """,
        {"chain": chain, "block_number": block_number},
    )


async def move(tx: Tx, chain: str, after: int, upto: int) -> bool:
    """Go on from a block to another; False where somebody else did."""
    moved = await one_value(
        tx,
        int,
        """
        UPDATE ingest.unknown_token_cursor SET block_number = %(upto)s
         WHERE chain = %(chain)s AND block_number = %(after)s
        RETURNING 1
        """,
        {"chain": chain, "after": after, "upto": upto},
    )
    return moved is not None


async def note(tx: Tx, found: Sequence[UnknownToken], *, at_most: int) -> None:
    """Write down the first transfer of each token, of ``at_most`` tokens for one invoice."""
    await execute_many(
        tx,
        """
        INSERT INTO unknown_token (org_id, invoice_id, chain, contract, tx_hash, from_address,
            amount_units, block_number, noted_at)
        SELECT %(org_id)s, %(invoice_id)s, %(chain)s, %(contract)s, %(tx_hash)s,
               %(from_address)s, %(amount_units)s, %(block_number)s, %(noted_at)s
         WHERE (SELECT count(*) FROM unknown_token
                 WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s) < %(at_most)s
        ON CONFLICT DO NOTHING
        """,
        [{**asdict(one), "at_most": at_most} for one in found],
    )


async def of_invoices(tx: Tx, org_id: int, invoice_ids: Sequence[UUID]) -> list[UnknownToken]:
    """What came to each of some invoices, in the order in which it was noted."""
    return await all_rows(
        tx,
        UnknownToken,
        """
        SELECT org_id, invoice_id, chain, contract, tx_hash, from_address, amount_units,
               block_number, noted_at
          FROM unknown_token WHERE org_id = %(org_id)s AND invoice_id = ANY(%(invoice_ids)s)
         ORDER BY noted_at, block_number, contract
        """,
        {"org_id": org_id, "invoice_ids": list(invoice_ids)},
    )
