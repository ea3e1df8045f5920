"""Payments that no two nodes agree on, one row while it lasts, and what has come in beside them."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from counterfoil.books.transfers import Key
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, execute_many


@dataclass(frozen=True, slots=True)
class Doubt:
    """A transfer in a finalized block that is not confirmed; ``reason`` says why, for people.

    Only one node vouches for it, another denies it, or none keeps the state that would prove it.
    """

    chain: str
    tx_hash: str
    log_index: int
    org_id: int
    invoice_id: UUID
    contract: str
    amount_units: int
    block_number: int
    reason: str
    since: datetime

    @property
    def key(self) -> Key:
        """The credit key within the chain."""
        return self.tx_hash, self.log_index


@dataclass(frozen=True, slots=True)
class Beside:
    """What an invoice has on record of one token, for one of its addresses.

    ``chain``, ``contract`` and ``units`` are None where nothing is on record.
    """

    address: str
    org_id: int
    invoice_id: UUID
    chain: str | None
    contract: str | None
    units: int | None


async def save(tx: Tx, doubts: Sequence[Doubt]) -> None:
    """Write doubts; one that lasts keeps the time at which it began."""
    if not doubts:
        return
    await execute_many(
        tx,
        """
        INSERT INTO ingest.doubted_transfer (chain, tx_hash, log_index, org_id, invoice_id,
            contract, amount_units, block_number, reason, since)
        VALUES (%(chain)s, %(tx_hash)s, %(log_index)s, %(org_id)s, %(invoice_id)s, %(contract)s,
            %(amount_units)s, %(block_number)s, %(reason)s, %(since)s)
        ON CONFLICT (chain, tx_hash, log_index) DO UPDATE SET reason = EXCLUDED.reason
        """,
        [asdict(doubt) for doubt in doubts],
    )


async def end(tx: Tx, chain: str, keys: Collection[Key]) -> None:
    """Forget doubts that are resolved."""
    await execute(
        tx,
        """
        DELETE FROM ingest.doubted_transfer d
         USING unnest(%(hashes)s::text[], %(indexes)s::integer[]) AS k (tx_hash, log_index)
         WHERE d.chain = %(chain)s AND d.tx_hash = k.tx_hash AND d.log_index = k.log_index
        """,
        {
            "chain": chain,
            "hashes": [tx_hash for tx_hash, _ in keys],
            "indexes": [index for _, index in keys],
        },
    )


async def every(tx: Tx) -> list[Doubt]:
    """All that is doubted, the oldest first."""
    return await all_rows(
        tx,
        Doubt,
        """
        SELECT chain, tx_hash, log_index, org_id, invoice_id, contract, amount_units,
               block_number, reason, since
          FROM ingest.doubted_transfer ORDER BY since, chain, tx_hash, log_index
        """,
        {},
    )


async def beside(
    tx: Tx, family: str, chain: str, addresses: Collection[str], keys: Collection[Key]
) -> list[Beside]:
    """All tokens that the invoices behind addresses have on record, without some of ``chain``.

    Of every chain and address, final or not; what a reorg removed is left out. Addresses that
    belong to no invoice are left out too.
    """
    return await all_rows(
        tx,
        Beside,
        """
        SELECT a.address, d.org_id, d.invoice_id, t.chain, t.contract,
               sum(t.amount_units) AS units
          FROM ingest.address_owner a
          JOIN deposit_address d ON d.org_id = a.org_id AND d.number = a.number
          LEFT JOIN transfer t
            ON t.org_id = d.org_id AND t.invoice_id = d.invoice_id AND t.depth > 0
           AND t.contract <> ''
           AND NOT (t.chain = %(chain)s AND (t.tx_hash, t.log_index) IN
                    (SELECT * FROM unnest(%(hashes)s::text[], %(indexes)s::integer[])))
         WHERE a.family = %(family)s AND a.address = ANY(%(addresses)s)
           AND d.invoice_id IS NOT NULL
         GROUP BY a.address, d.org_id, d.invoice_id, t.chain, t.contract
        """,
        {
            "family": family,
            "chain": chain,
            "addresses": list(addresses),
            "hashes": [tx_hash for tx_hash, _ in keys],
            "indexes": [index for _, index in keys],
        },
    )
