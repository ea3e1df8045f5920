"""Native coin at deposit addresses: which are looked at, and what is known to be there.

No log tells of native coin, so a balance is compared with what is on record (specs/chains.md 6.4).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute_many


@dataclass(frozen=True, slots=True)
class NativeAddress:
    """A deposit address at which native coin is expected.

    ``known_wei`` is what came in by our records, less what was swept out. ``swept`` says that a
    sweep of it was ever planned, so that some may have left since.
    """

    address: str
    factory: str
    known_wei: int
    swept: bool


@dataclass(frozen=True, slots=True)
class Outflow:
    """Native coin that a sweep took out of a deposit address."""

    chain: str
    tx_hash: str
    log_index: int
    address: str
    amount_units: int
    block_number: int


async def watched(  # noqa: PLR0913 - a chain, two heights, and who is left out
    tx: Tx,
    chain: str,
    *,
    received_upto: int,
    left_upto: int,
    ended: Sequence[str],
    since: datetime,
) -> list[NativeAddress]:
    """Addresses of the invoices that ask for native coin on any chain, and what is known on one.

    Counted is what was received up to one block and what left up to another. Left out are invoices
    in one of the statuses ``ended`` that nothing happened to ``since``.
    """
    return await all_rows(
        tx,
        NativeAddress,
        """
        SELECT i.deposit_address AS address, o.factory_address AS factory,
               (coalesce((
                   SELECT sum(t.amount_units) FROM transfer t
                    WHERE t.org_id = i.org_id AND t.invoice_id = i.invoice_id
                      AND t.chain = %(chain)s AND t.contract = '' AND t.depth > 0
                      AND t.block_number <= %(received_upto)s), 0)
                + coalesce((
                   SELECT sum(u.amount_units) FROM ingest.unassigned_transfer u
                    WHERE u.chain = %(chain)s AND u.address = i.deposit_address
                      AND u.contract = '' AND u.depth > 0
                      AND u.block_number <= %(received_upto)s), 0)
                - coalesce((
                   SELECT sum(f.amount_units) FROM ingest.native_outflow f
                    WHERE f.chain = %(chain)s AND f.address = i.deposit_address
                      AND f.block_number <= %(left_upto)s), 0))::numeric(78, 0) AS known_wei,
               EXISTS (
                   SELECT FROM move m
                    WHERE m.org_id = i.org_id AND m.invoice_id = i.invoice_id
                      AND m.purpose IN ('sweep', 'quarantine') AND m.chain = %(chain)s
                       AND m.contract = '') AS swept
          FROM (SELECT DISTINCT org_id, invoice_id FROM payment_request WHERE contract = '') AS p
          JOIN invoice i USING (org_id, invoice_id)
          JOIN org o USING (org_id)
         WHERE i.status <> ALL(%(ended)s) OR i.updated_at > %(since)s
         ORDER BY i.deposit_address
        """,
        {
            "chain": chain,
            "received_upto": received_upto,
            "left_upto": left_upto,
            "ended": list(ended),
            "since": since,
        },
    )


async def keep_outflows(tx: Tx, found: Sequence[Outflow]) -> None:
    """Write down what left deposit addresses in final blocks; told twice it is written once."""
    if not found:
        return
    await execute_many(
        tx,
        """
        INSERT INTO ingest.native_outflow
            (chain, tx_hash, log_index, address, amount_units, block_number)
        VALUES (%(chain)s, %(tx_hash)s, %(log_index)s, %(address)s, %(amount_units)s,
            %(block_number)s)
        ON CONFLICT DO NOTHING
        """,
        [asdict(one) for one in found],
    )
