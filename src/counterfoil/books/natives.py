"""Native coin at deposit addresses: which are looked at, and what is known to be there.

No log tells of native coin, so a balance is compared with what is on record (specs/chains.md 6.4).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from counterfoil.books.unexplained import DUE
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, all_values, execute_many


@dataclass(frozen=True, slots=True)
class NativeAddress:
    """A deposit address at which native coin is expected.

    ``known_wei`` is what came in by our records, less what was swept out. ``being_swept`` says that
    some may be leaving, or has left in a block that is not on record. ``swept_in`` is the last
    block on record in which some left.
    """

    address: str
    known_wei: int
    being_swept: bool
    swept_in: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """An invoice that ended, and its address, at which native coin was asked for."""

    org_id: int
    invoice_id: UUID
    address: str


@dataclass(frozen=True, slots=True)
class Outflow:
    """Native coin that a sweep took out of a deposit address."""

    chain: str
    tx_hash: str
    log_index: int
    address: str
    amount_units: int
    block_number: int


async def open_addresses(tx: Tx, *, ended: Sequence[str], since: datetime) -> list[str]:
    """Addresses of the invoices that ask for native coin on any chain, the newest first.

    Left out are invoices in one of the statuses ``ended`` that nothing happened to ``since``.
    """
    return await all_values(
        tx,
        str,
        """
        SELECT i.deposit_address
          FROM (SELECT DISTINCT org_id, invoice_id FROM payment_request WHERE contract = '') AS p
          JOIN invoice i USING (org_id, invoice_id)
         WHERE i.status <> ALL(%(ended)s) OR i.updated_at > %(since)s
         ORDER BY i.created_at DESC, i.deposit_address
        """,
        {"ended": list(ended), "since": since},
    )


async def long_ended(
    tx: Tx, *, ended: Sequence[str], before: datetime, after: Ended | None, limit: int
) -> list[Ended]:
    """Those that `open_addresses` leaves out, ``limit`` of them, by id from ``after`` one on."""
    return await all_rows(
        tx,
        Ended,
        """
        SELECT i.org_id, i.invoice_id, i.deposit_address AS address
          FROM invoice i
         WHERE i.status = ANY(%(ended)s) AND i.updated_at <= %(before)s
           AND (i.org_id, i.invoice_id) IN (
               SELECT org_id, invoice_id FROM payment_request
                WHERE contract = '' AND (org_id, invoice_id) > (%(org_id)s, %(invoice_id)s))
         ORDER BY i.org_id, i.invoice_id
         LIMIT %(limit)s
        """,
        {
            "ended": list(ended),
            "before": before,
            "org_id": after.org_id if after else 0,
            "invoice_id": after.invoice_id if after else UUID(int=0),
            "limit": limit,
        },
    )


async def pressing(  # noqa: PLR0913 - a chain, a range of blocks and one of times
    tx: Tx, chain: str, *, above: int, upto: int, due_after: datetime, due_upto: datetime
) -> list[str]:
    """Addresses that must be looked at now, whoever's turn it is.

    Those at which coin was seen in the blocks above ``above`` up to ``upto`` and is not final, and
    those of invoices that wait for coin, or more of it, and are due in between the two times.
    """
    return await all_values(
        tx,
        str,
        f"""
        SELECT i.deposit_address FROM transfer t JOIN invoice i USING (org_id, invoice_id)
         WHERE t.chain = %(chain)s AND t.contract = '' AND t.depth IN (1, 2)
           AND t.block_number > %(above)s AND t.block_number <= %(block_upto)s
         UNION
        SELECT u.address FROM ingest.unassigned_transfer u
         WHERE u.chain = %(chain)s AND u.contract = '' AND u.depth IN (1, 2)
           AND u.block_number > %(above)s AND u.block_number <= %(block_upto)s
         UNION
        SELECT i.deposit_address FROM ({DUE}) AS i
         WHERE EXISTS (
               SELECT FROM payment_request p
                WHERE p.org_id = i.org_id AND p.invoice_id = i.invoice_id AND p.contract = '')
        """,  # noqa: S608 - a constant
        {
            "chain": chain,
            "above": above,
            "block_upto": upto,
            "after": due_after,
            "upto": due_upto,
        },
    )


async def sweeping_factories(tx: Tx, chain: str) -> list[str]:
    """The factories that may be sweeping native coin on a chain, or just did."""
    return await all_values(
        tx,
        str,
        """
        SELECT DISTINCT o.factory_address FROM move m JOIN org o USING (org_id)
         WHERE m.chain = %(chain)s AND m.contract = ''
           AND m.purpose IN ('sweep', 'quarantine') AND m.status IN ('ready', 'signed', 'parked')
         ORDER BY o.factory_address
        """,
        {"chain": chain},
    )


async def watched(  # noqa: PLR0913 - a chain, whose addresses, and what counts as known
    tx: Tx,
    chain: str,
    family: str,
    addresses: Sequence[str],
    *,
    received_upto: int,
    left_upto: int,
    final_only: bool,
) -> list[NativeAddress]:
    """What is known on a chain of these addresses of invoices.

    Counted is what was received up to one block, only what is final or also what is merely seen,
    and what left up to another.
    """
    return await all_rows(
        tx,
        NativeAddress,
        """
        SELECT a.address,
               (coalesce((
                   SELECT sum(t.amount_units) FROM transfer t
                    WHERE t.org_id = i.org_id AND t.invoice_id = i.invoice_id
                      AND t.chain = %(chain)s AND t.contract = '' AND t.depth >= %(least)s
                      AND t.block_number <= %(received_upto)s), 0)
                + coalesce((
                   SELECT sum(u.amount_units) FROM ingest.unassigned_transfer u
                    WHERE u.chain = %(chain)s AND u.address = a.address
                      AND u.contract = '' AND u.depth >= %(least)s
                      AND u.block_number <= %(received_upto)s), 0)
                - coalesce((
                   SELECT sum(f.amount_units) FROM ingest.native_outflow f
                    WHERE f.chain = %(chain)s AND f.address = a.address
                      AND f.block_number <= %(left_upto)s), 0))::numeric(78, 0) AS known_wei,
               EXISTS (
                   SELECT FROM move m
                    WHERE m.org_id = i.org_id AND m.invoice_id = i.invoice_id
                      AND m.purpose IN ('sweep', 'quarantine') AND m.chain = %(chain)s
                      AND m.contract = ''
                      AND (m.status IN ('waiting', 'ready', 'signed', 'parked')
                           OR m.status = 'final' AND out.block_number IS NULL)) AS being_swept,
               out.block_number AS swept_in
          FROM ingest.address_owner a
          JOIN invoice i ON i.org_id = a.org_id AND i.number = a.number
         CROSS JOIN LATERAL (
               SELECT max(f.block_number) AS block_number FROM ingest.native_outflow f
                WHERE f.chain = %(chain)s AND f.address = a.address
                  AND f.block_number <= %(left_upto)s) AS out
         WHERE a.family = %(family)s AND a.address = ANY(%(addresses)s)
           AND a.deposit_mode = 'factory'
         ORDER BY a.address
        """,
        {
            "chain": chain,
            "family": family,
            "addresses": list(addresses),
            "received_upto": received_upto,
            "left_upto": left_upto,
            "least": 3 if final_only else 1,
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
