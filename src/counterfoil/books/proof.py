"""What explains a difference between ledger and chain: gifts kept aside, and moves under way."""

from dataclasses import dataclass
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows


@dataclass(frozen=True, slots=True)
class Aside:
    """What came to a deposit address without belonging to its invoice, and still lies there.

    What a person dismissed is among it.
    """

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
    """Gifts at the end of a block: what was kept aside, less what a sweep took along.

    What a sweep took along is nobody's, so its entry names the movement and no invoice.
    """
    return await all_rows(
        tx,
        Aside,
        """
        WITH kept AS (
            SELECT org_id, address, contract, sum(amount_units) AS units
              FROM (SELECT org_id, address, contract, amount_units
                      FROM ingest.unassigned_transfer
                     WHERE chain = %(chain)s AND depth = 3 AND block_number <= %(block_number)s
                     UNION ALL
                    SELECT org_id, address, contract, amount_units
                      FROM ingest.dismissed_balance
                     WHERE chain = %(chain)s AND block_number <= %(block_number)s) AS gifts
             GROUP BY org_id, address, contract
        ), swept AS (
            SELECT m.org_id, coalesce(h.address, d.address) AS address, p.contract,
                   sum(p.amount_units) AS units
              FROM move m
              JOIN journal_entry j ON j.org_id = m.org_id AND j.cause = 'stray:' || m.move_id
              JOIN posting p ON p.org_id = j.org_id AND p.cause = j.cause
              JOIN deposit_address d ON d.org_id = m.org_id AND d.invoice_id = m.invoice_id
              LEFT JOIN hd_address h ON h.org_id = d.org_id AND h.family = d.family
               AND h.number = d.number AND m.deposit_mode = 'hd'
             WHERE m.chain = %(chain)s AND m.purpose IN ('sweep', 'quarantine')
               AND j.block_number <= %(block_number)s
             GROUP BY m.org_id, coalesce(h.address, d.address), p.contract
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
