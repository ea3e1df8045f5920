"""What explains a difference between ledger and chain: gifts kept aside, and moves under way."""

from dataclasses import dataclass
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows


@dataclass(frozen=True, slots=True)
class Aside:
    """What came to a deposit address without belonging to its invoice, and still lies there."""

    org_id: int
    address: str
    contract: str
    units: int


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A move whose bytes were signed and whose end is not booked yet."""

    org_id: int
    purpose: str
    invoice_id: UUID | None
    wallet: str
    destination: str


async def asides_at(tx: Tx, chain: str, block_number: int) -> list[Aside]:
    """Gifts at the end of a block: what was quarantined, less what a sweep took along."""
    return await all_rows(
        tx,
        Aside,
        """
        WITH kept AS (
            SELECT org_id, address, contract, sum(amount_units) AS units
              FROM ingest.unassigned_transfer
             WHERE chain = %(chain)s AND depth = 3 AND block_number <= %(block_number)s
             GROUP BY org_id, address, contract
        ), swept AS (
            SELECT posting.org_id, deposit_address.address, contract, sum(amount_units) AS units
              FROM posting
              JOIN journal_entry USING (org_id, cause)
              JOIN deposit_address ON deposit_address.org_id = posting.org_id
               AND deposit_address.invoice_id = posting.invoice_id
             WHERE chain = %(chain)s AND block_number <= %(block_number)s
               AND cause LIKE 'stray:%%'
             GROUP BY posting.org_id, deposit_address.address, contract
        )
        SELECT org_id, address, contract,
               (kept.units - coalesce(swept.units, 0))::numeric(78, 0) AS units
          FROM kept LEFT JOIN swept USING (org_id, address, contract)
        """,
        {"chain": chain, "block_number": block_number},
    )


async def under_way(tx: Tx, chain: str) -> list[UnderWay]:
    """Moves that may have landed on a chain without being booked."""
    return await all_rows(
        tx,
        UnderWay,
        """
        SELECT org_id, purpose, invoice_id, wallet, destination
          FROM move WHERE chain = %(chain)s AND status = 'signed'
        """,
        {"chain": chain},
    )
