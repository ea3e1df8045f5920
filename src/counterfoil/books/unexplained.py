"""Which addresses are compared with their balances, what is known of them, and what is not."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import DepositMode
from counterfoil.core.journal import DEPOSITED
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute_many, one_value


@dataclass(frozen=True, slots=True)
class Compared:
    """An address at which an invoice takes tokens of a chain."""

    org_id: int
    invoice_id: UUID
    address: str
    deposit_mode: DepositMode


@dataclass(frozen=True, slots=True)
class Known:
    """What our records say that an address holds of one token, in base units."""

    address: str
    contract: str
    units: int


@dataclass(frozen=True, slots=True)
class Unexplained:
    """An address held more of a token than our records explain, after a block."""

    chain: str
    address: str
    contract: str
    org_id: int
    invoice_id: UUID
    known_units: int
    chain_units: int
    block_number: int
    since: datetime


DUE: Final = """
    SELECT org_id, invoice_id, number, deposit_address, deadline_at FROM invoice
     WHERE status = 'awaiting_payment'
       AND deadline_at > %(after)s AND deadline_at <= %(upto)s
     UNION ALL
    SELECT org_id, invoice_id, number, deposit_address, deadline_at FROM invoice
     WHERE status IN ('payment_detected', 'screening', 'compliance_hold', 'resolution_required',
                      'refund_pending', 'refund_processing')
       AND deadline_at > %(after)s AND deadline_at <= %(upto)s
    """
"""Invoices that wait for money whose time for it ends ``after`` one time and ``upto`` another.

Each half has an index with just these statuses, and the planner knows only literal ones.
"""


DUE_ADDRESSES: Final = f"""
    SELECT i.org_id, i.invoice_id, a.address, a.deposit_mode
      FROM ({DUE}) AS i
     CROSS JOIN LATERAL (
           SELECT d.address, 'factory' AS deposit_mode FROM deposit_address d
            WHERE d.org_id = i.org_id AND d.number = i.number AND d.family = %(family)s
            UNION ALL
           SELECT h.address, 'hd' FROM hd_address h
            WHERE h.org_id = i.org_id AND h.number = i.number AND h.family = %(family)s
           OFFSET 0) AS a
     CROSS JOIN LATERAL (
           SELECT FROM payment_request p
            WHERE p.org_id = i.org_id AND p.invoice_id = i.invoice_id
              AND p.chain = %(chain)s
              AND (%(contract)s::text IS NULL
                   OR (p.contract = %(contract)s AND a.deposit_mode = 'factory'))
            LIMIT 1) AS asked
     ORDER BY i.deadline_at, i.org_id, i.invoice_id, a.deposit_mode
    """  # noqa: S608 - a constant of this file
"""The addresses of those that ask for money on a chain, or for one asset there.

It is asked for each range of blocks, and mostly nothing is due: so that comes first, and the rest
by key. A planner that knows no statistics yet, of books just restored, joined every address with
every request before it looked at what is due.
"""


async def open_addresses(
    tx: Tx, chain: str, *, ended: Sequence[str], since: datetime, limit: int
) -> list[Compared]:
    """Addresses of invoices that are open or ended ``since``: first those due soonest, then newest.

    Left out are those from which a sweep is on its way.
    """
    return await all_rows(
        tx,
        Compared,
        """
        SELECT i.org_id, i.invoice_id, a.address, a.deposit_mode
          FROM invoice i
          JOIN ingest.address_owner a ON a.org_id = i.org_id AND a.number = i.number
         WHERE (i.status <> ALL(%(ended)s) OR i.updated_at > %(since)s)
           AND NOT EXISTS (
               SELECT FROM move m
                WHERE m.org_id = i.org_id AND m.invoice_id = i.invoice_id
                  AND m.chain = %(chain)s AND m.purpose IN ('sweep', 'quarantine')
                  AND m.status = 'signed')
         ORDER BY CASE WHEN i.status = 'awaiting_payment' THEN i.deadline_at END,
                  i.created_at DESC, a.deposit_mode
         LIMIT %(limit)s
        """,
        {"chain": chain, "ended": list(ended), "since": since, "limit": limit},
    )


async def due_addresses(
    tx: Tx, chain: str, *, after: datetime, upto: datetime, contract: str | None = None
) -> list[Compared]:
    """Addresses of a chain's invoices that wait for money and whose deadline lies in between.

    Those that have a part of it are among them, wherever it is judged or sent back.
    With a ``contract`` only of those that ask for it on that chain, ``""`` being native coin, and
    without addresses that have a key of their own: coin for their gas comes to these.
    """
    return await all_rows(
        tx,
        Compared,
        DUE_ADDRESSES,
        {
            "chain": chain,
            "family": CHAINS[chain].family,
            "after": after,
            "upto": upto,
            "contract": contract,
        },
    )


async def known_at(
    tx: Tx, chain: str, compared: Sequence[Compared], contracts: Collection[str], block_number: int
) -> list[Known]:
    """What records say each address held of each token at the end of a block.

    Credits less sweeps by the ledger, what is not final yet, and what was kept aside there less
    what a sweep took along.
    """
    return await all_rows(
        tx,
        Known,
        """
        SELECT k.address, c.contract,
               (coalesce((
                   SELECT sum(CASE WHEN p.destination = k.account THEN p.amount_units
                                   ELSE -p.amount_units END)
                     FROM posting p JOIN journal_entry e USING (org_id, cause)
                    WHERE p.org_id = k.org_id AND p.invoice_id = k.invoice_id
                      AND p.chain = %(chain)s AND p.contract = c.contract
                      AND k.account IN (p.source, p.destination)
                      AND e.block_number <= %(block_number)s), 0)
                + coalesce((
                   SELECT sum(t.amount_units) FROM transfer t
                    WHERE t.org_id = k.org_id AND t.invoice_id = k.invoice_id
                      AND t.chain = %(chain)s AND t.contract = c.contract
                      AND t.deposit_mode = k.mode AND t.depth IN (1, 2)
                      AND t.block_number <= %(block_number)s), 0)
                + coalesce((
                   SELECT sum(u.amount_units) FROM ingest.unassigned_transfer u
                    WHERE u.chain = %(chain)s AND u.address = k.address
                      AND u.contract = c.contract AND u.depth > 0
                      AND u.block_number <= %(block_number)s), 0)
                + coalesce((
                   SELECT sum(d.amount_units) FROM ingest.dismissed_balance d
                    WHERE d.chain = %(chain)s AND d.address = k.address
                      AND d.contract = c.contract
                      AND d.block_number <= %(block_number)s), 0)
                - coalesce((
                   SELECT sum(p.amount_units)
                     FROM move m
                     JOIN posting p ON p.org_id = m.org_id AND p.cause = 'stray:' || m.move_id
                     JOIN journal_entry e ON e.org_id = p.org_id AND e.cause = p.cause
                    WHERE m.org_id = k.org_id AND m.invoice_id = k.invoice_id
                      AND m.purpose IN ('sweep', 'quarantine') AND m.deposit_mode = k.mode
                      AND p.chain = %(chain)s AND p.contract = c.contract
                      AND e.block_number <= %(block_number)s), 0))::numeric(78, 0) AS units
          FROM unnest(%(orgs)s::bigint[], %(invoices)s::uuid[], %(addresses)s::text[],
                      %(modes)s::text[], %(accounts)s::text[])
               AS k (org_id, invoice_id, address, mode, account)
         CROSS JOIN unnest(%(contracts)s::text[]) AS c (contract)
        """,
        {
            "chain": chain,
            "block_number": block_number,
            "orgs": [one.org_id for one in compared],
            "invoices": [one.invoice_id for one in compared],
            "addresses": [one.address for one in compared],
            "modes": [one.deposit_mode for one in compared],
            "accounts": [DEPOSITED[one.deposit_mode] for one in compared],
            "contracts": list(contracts),
        },
    )


async def save(tx: Tx, found: Sequence[Unexplained]) -> None:
    """Write down what is not explained; what lasts keeps the time at which it began."""
    if not found:
        return
    await execute_many(
        tx,
        """
        INSERT INTO ingest.unexplained_balance (chain, address, contract, org_id, invoice_id,
            known_units, chain_units, block_number, since)
        VALUES (%(chain)s, %(address)s, %(contract)s, %(org_id)s, %(invoice_id)s,
            %(known_units)s, %(chain_units)s, %(block_number)s, %(since)s)
        ON CONFLICT (chain, address, contract) DO UPDATE
           SET known_units = EXCLUDED.known_units, chain_units = EXCLUDED.chain_units,
               block_number = EXCLUDED.block_number
        """,
        [asdict(one) for one in found],
    )


async def explain(tx: Tx, explained: Collection[Unexplained], block_number: int) -> None:
    """Forget what was not explained of these up to a block: it is by now."""
    if not explained:
        return
    await execute_many(
        tx,
        """
        DELETE FROM ingest.unexplained_balance
         WHERE chain = %(chain)s AND address = %(address)s AND contract = %(contract)s
           AND block_number <= %(upto)s
        """,
        [{**asdict(one), "upto": block_number} for one in explained],
    )


async def every(tx: Tx, chain: str | None = None) -> list[Unexplained]:
    """All that is not explained, of one chain or of all, the oldest first."""
    return await all_rows(
        tx,
        Unexplained,
        """
        SELECT chain, address, contract, org_id, invoice_id, known_units, chain_units,
               block_number, since
          FROM ingest.unexplained_balance
         WHERE %(chain)s::text IS NULL OR chain = %(chain)s
         ORDER BY since, chain, address, contract
        """,
        {"chain": chain},
    )


@dataclass(frozen=True, slots=True)
class Dismissed:
    """What an address held beyond our records, that a person has looked into, and why it is so."""

    dismissal_id: UUID
    chain: str
    address: str
    contract: str
    org_id: int
    invoice_id: UUID
    amount_units: int
    block_number: int
    dismissed_by: str
    reason: str
    dismissed_at: datetime


async def lock_at(tx: Tx, chain: str, address: str, invoice_id: UUID) -> list[Unexplained]:
    """What is not explained at an address of an invoice, held until the transaction ends."""
    return await all_rows(
        tx,
        Unexplained,
        """
        SELECT chain, address, contract, org_id, invoice_id, known_units, chain_units,
               block_number, since
          FROM ingest.unexplained_balance
         WHERE chain = %(chain)s AND address = %(address)s AND invoice_id = %(invoice_id)s
         ORDER BY contract FOR UPDATE
        """,
        {"chain": chain, "address": address, "invoice_id": invoice_id},
    )


async def dismiss(tx: Tx, found: Sequence[Dismissed]) -> None:
    """Count this as known from now on; it is no longer unexplained."""
    await execute_many(
        tx,
        """
        INSERT INTO ingest.dismissed_balance (dismissal_id, chain, address, contract, org_id,
            invoice_id, amount_units, block_number, dismissed_by, reason, dismissed_at)
        VALUES (%(dismissal_id)s, %(chain)s, %(address)s, %(contract)s, %(org_id)s,
            %(invoice_id)s, %(amount_units)s, %(block_number)s, %(dismissed_by)s, %(reason)s,
            %(dismissed_at)s)
        """,
        [asdict(one) for one in found],
    )
    await execute_many(
        tx,
        """
        DELETE FROM ingest.unexplained_balance
         WHERE chain = %(chain)s AND address = %(address)s AND contract = %(contract)s
        """,
        [asdict(one) for one in found],
    )


async def is_open(tx: Tx, org_id: int, invoice_id: UUID, chain: str, contract: str) -> bool:
    """Whether an address of an invoice holds more of a token than our records explain."""
    found = await one_value(
        tx,
        bool,
        """
        SELECT EXISTS (SELECT FROM ingest.unexplained_balance
            WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s
              AND chain = %(chain)s AND contract = %(contract)s)
        """,
        {"org_id": org_id, "invoice_id": invoice_id, "chain": chain, "contract": contract},
    )
    return bool(found)


async def of_addresses(tx: Tx, family: str, addresses: Collection[str]) -> list[Compared]:
    """These addresses of invoices."""
    return await all_rows(
        tx,
        Compared,
        """
        SELECT i.org_id, i.invoice_id, a.address, a.deposit_mode
          FROM ingest.address_owner a
          JOIN invoice i ON i.org_id = a.org_id AND i.number = a.number
         WHERE a.family = %(family)s AND a.address = ANY(%(addresses)s)
        """,
        {"family": family, "addresses": list(addresses)},
    )
