"""Deposit addresses with keys of their own, where there is money to be moved out of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from counterfoil.books.moves import MovePurpose
from counterfoil.books.wallets import WalletRow
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows

WAITING_FOR_GAS: Final = "waiting for gas"
"""How every reason begins why a transaction of a wallet stands still for lack of gas money."""


@dataclass(frozen=True, slots=True)
class ChildSweep:
    """A sweep that may start or stands still, and the address that it empties."""

    org_id: int
    move_id: UUID
    invoice_id: UUID
    number: int
    address: str
    contract: str
    amount_units: int
    purpose: MovePurpose
    created_at: datetime


_READY: Final = """
    SELECT m.org_id, m.move_id, m.invoice_id, h.number, h.address, m.contract, m.amount_units,
           m.purpose, m.created_at
      FROM move m
      JOIN invoice i ON i.org_id = m.org_id AND i.invoice_id = m.invoice_id
      JOIN hd_address h ON h.org_id = i.org_id AND h.family = %(family)s AND h.number = i.number
     WHERE m.chain = %(chain)s AND m.status = 'ready' AND m.deposit_mode = 'hd'
       AND m.purpose IN ('sweep', 'quarantine')
       AND (m.wait_until IS NULL OR m.wait_until <= %(now)s)
       AND (m.purpose, i.status) IN (
           SELECT * FROM unnest(%(pair_purposes)s::text[], %(pair_statuses)s::text[]))
       AND (%(address)s::text IS NULL OR h.address = %(address)s)
       AND NOT EXISTS (
           SELECT FROM move s
            WHERE s.org_id = m.org_id AND s.invoice_id = m.invoice_id AND s.chain = m.chain
              AND s.contract = m.contract AND s.deposit_mode = 'hd'
              AND s.purpose IN ('sweep', 'quarantine')
              AND s.status = 'signed')
       AND NOT EXISTS (
           SELECT FROM move f
            WHERE f.org_id = m.org_id AND f.purpose = 'fuel' AND f.chain = m.chain
              AND f.destination = h.address AND f.status IN ('ready', 'signed'))
       AND (%(after_at)s::timestamptz IS NULL
            OR (m.created_at, m.move_id) > (%(after_at)s, %(after_id)s::uuid))
     ORDER BY m.created_at, m.move_id
     LIMIT %(limit)s
    """


async def ready_sweeps(  # noqa: PLR0913 - where, when, and of which of them
    tx: Tx,
    chain: str,
    family: str,
    while_invoice: Iterable[tuple[MovePurpose, str]],
    now: datetime,
    *,
    limit: int,
    after: tuple[datetime, UUID] | None = None,
    address: str | None = None,
) -> list[ChildSweep]:
    """The oldest sweeps by child keys that may start, or by one of them, unlocked.

    ``after`` is the place of the last one of the page before: when it was planned, and its id.
    Left out: where fuel is on its way to the address, and where another sweep of the same
    address and token is in flight, as the balance could not be judged otherwise.
    """
    pairs = list(while_invoice)
    return await all_rows(
        tx,
        ChildSweep,
        _READY,
        {
            "chain": chain,
            "family": family,
            "now": now,
            "address": address,
            "limit": limit,
            "after_at": None if after is None else after[0],
            "after_id": None if after is None else after[1],
            "pair_purposes": [purpose for purpose, _ in pairs],
            "pair_statuses": [status for _, status in pairs],
        },
    )


async def short_of_gas(tx: Tx, chain: str, family: str) -> list[ChildSweep]:
    """The signed sweeps of children that stand still for lack of gas money, oldest first.

    A node refused the newest sibling for that, or no dearer one was signed. Left out: where fuel
    is on its way to the address.
    """
    return await all_rows(
        tx,
        ChildSweep,
        """
        SELECT m.org_id, m.move_id, m.invoice_id, h.number, h.address, m.contract, m.amount_units,
               m.purpose, m.created_at
          FROM ingest.chain_tx t
          JOIN move m ON m.chain = t.chain AND m.wallet = t.wallet AND m.nonce = t.nonce
          JOIN invoice i ON i.org_id = m.org_id AND i.invoice_id = m.invoice_id
          JOIN hd_address h ON h.org_id = i.org_id AND h.family = %(family)s
               AND h.number = i.number AND h.address = t.wallet
         WHERE t.chain = %(chain)s AND t.status IN ('signed', 'sent')
           AND (t.send_error LIKE %(short)s OR t.bump_error LIKE %(short)s)
           AND m.status = 'signed' AND m.deposit_mode = 'hd'
           AND NOT EXISTS (
               SELECT FROM ingest.chain_tx n
                WHERE n.chain = t.chain AND n.wallet = t.wallet AND n.nonce = t.nonce
                  AND n.attempt > t.attempt)
           AND NOT EXISTS (
               SELECT FROM move f
                WHERE f.org_id = m.org_id AND f.purpose = 'fuel' AND f.chain = m.chain
                  AND f.destination = h.address AND f.status IN ('ready', 'signed'))
         ORDER BY m.created_at, m.move_id
        """,
        {"chain": chain, "family": family, "short": f"{WAITING_FOR_GAS}%"},
    )


async def wallets_of(tx: Tx, chain: str, addresses: Iterable[str]) -> list[WalletRow]:
    """Those of the addresses whose wallets are known, by organisation and address."""
    return await all_rows(
        tx,
        WalletRow,
        """
        SELECT chain, address, org_id, role, next_nonce, frozen_reason FROM ingest.wallet
         WHERE chain = %(chain)s AND address = ANY(%(addresses)s) AND role = 'child'
         ORDER BY org_id, address
        """,
        {"chain": chain, "addresses": list(addresses)},
    )
