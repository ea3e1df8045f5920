"""Deposit addresses kept in stock, and whose they are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from counterfoil.core.invoice import DepositMode
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Tx
from counterfoil.db.rows import Params, all_rows, all_values, one_row, one_value


@dataclass(frozen=True, slots=True)
class DepositAddress:
    """One deposit address. ``number`` is also the number of the invoice that takes it."""

    number: int
    address: str


@dataclass(frozen=True, slots=True)
class AssignedAddress:
    """The deposit address of one invoice."""

    invoice_id: UUID
    number: int
    address: str


@dataclass(frozen=True, slots=True)
class OwnedAddress:
    """A deposit address with its organisation, and its invoice once it has one."""

    org_id: int
    number: int
    address: str
    invoice_id: UUID | None
    deposit_mode: DepositMode


@dataclass(frozen=True, slots=True)
class _Strays:
    address: str
    units: int


async def take(tx: Tx, org_id: int, family: str, invoice_id: UUID) -> tuple[int, str] | None:
    """Give the invoice the lowest free number and its address; None when the stock is empty.

    Rows that others are just taking are skipped, so nobody waits and numbers may be taken
    slightly out of order. An address is never given back (specs/reliability.md I15).
    """
    taken = await one_row(
        tx,
        DepositAddress,
        """
        UPDATE deposit_address SET invoice_id = %(invoice_id)s
        WHERE org_id = %(org_id)s AND number = (
            SELECT number FROM deposit_address
            WHERE org_id = %(org_id)s AND family = %(family)s AND invoice_id IS NULL
            ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
        )
        RETURNING number, address
        """,
        {"org_id": org_id, "family": family, "invoice_id": invoice_id},
    )
    return None if taken is None else (taken.number, taken.address)


async def free_count(tx: Tx, org_id: int, family: str) -> int:
    """How many addresses can still be taken."""
    count = await one_value(
        tx,
        int,
        """
        SELECT count(*) FROM deposit_address
        WHERE org_id = %(org_id)s AND family = %(family)s AND invoice_id IS NULL
        """,
        {"org_id": org_id, "family": family},
    )
    return count or 0


async def claim_numbers(tx: Tx, org_id: int, count: int) -> range:
    """Take the organisation's next ``count`` numbers; others wait until this commits.

    Raises ``LookupError`` for an unknown organisation.
    """
    # An UPDATE of no key column, unlike FOR UPDATE, lets rows that refer to the
    # organisation be inserted meanwhile.
    after = await one_value(
        tx,
        int,
        """
        UPDATE org SET next_number = next_number + %(count)s
        WHERE org_id = %(org_id)s RETURNING next_number
        """,
        {"org_id": org_id, "count": count},
    )
    if after is None:
        msg = f"organisation {org_id} does not exist"
        raise LookupError(msg)
    return range(after - count, after)


async def add(tx: Tx, org_id: int, family: str, stock: Sequence[DepositAddress]) -> None:
    """Put new addresses into the stock, and their owner where the watcher looks it up."""
    await _copy(
        tx,
        "COPY deposit_address (org_id, number, family, address) FROM STDIN",
        [(org_id, new.number, family, new.address) for new in stock],
    )
    await _copy(
        tx,
        "COPY ingest.address_owner (family, address, org_id, number) FROM STDIN",
        [(family, new.address, org_id, new.number) for new in stock],
    )


async def without_child(tx: Tx, org_id: int, family: str, limit: int) -> list[int]:
    """The lowest free numbers above those that have a child's address already.

    The caller holds the organisation, so that numbers with one only ever grow, as those who learn
    them page by page rely on. Numbers that were taken before never get one.
    """
    return await all_values(
        tx,
        int,
        """
        SELECT number FROM deposit_address
        WHERE org_id = %(org_id)s AND invoice_id IS NULL AND number > (
            SELECT coalesce(max(number), -1) FROM hd_address
            WHERE org_id = %(org_id)s AND family = %(family)s)
        ORDER BY number LIMIT %(limit)s
        """,
        {"org_id": org_id, "family": family, "limit": limit},
    )


async def add_children(tx: Tx, org_id: int, family: str, new: Sequence[DepositAddress]) -> None:
    """Give numbers of the stock an address with a key of its own, too."""
    await _copy(
        tx,
        "COPY hd_address (org_id, family, number, address) FROM STDIN",
        [(org_id, family, child.number, child.address) for child in new],
    )
    await _copy(
        tx,
        "COPY ingest.address_owner (family, address, org_id, number, deposit_mode) FROM STDIN",
        [(family, child.address, org_id, child.number, "hd") for child in new],
    )


async def child_of(tx: Tx, org_id: int, family: str, number: int) -> str | None:
    """The child's address of a number, or None."""
    return await one_value(
        tx,
        str,
        """
        SELECT address FROM hd_address
        WHERE org_id = %(org_id)s AND family = %(family)s AND number = %(number)s
        """,
        {"org_id": org_id, "family": family, "number": number},
    )


async def owner_of_child(tx: Tx, family: str, address: str) -> OwnedAddress | None:
    """Whose child an address is; None for everything else."""
    return await one_row(
        tx,
        OwnedAddress,
        """
        SELECT a.org_id, a.number, a.address, d.invoice_id, a.deposit_mode
        FROM ingest.address_owner a
        JOIN deposit_address d ON d.org_id = a.org_id AND d.number = a.number
        WHERE a.family = %(family)s AND a.address = %(address)s AND a.deposit_mode = 'hd'
        """,
        {"family": family, "address": address},
    )


async def of_invoices(
    tx: Tx, org_id: int, invoice_ids: Sequence[UUID]
) -> Mapping[UUID, DepositAddress]:
    """The factory's addresses of some invoices; an invoice without one is left out."""
    # By number: deposit_address is keyed by it and an invoice carries the same one.
    query: LiteralString = """
        SELECT i.invoice_id, d.number, d.address
        FROM invoice i JOIN deposit_address d ON d.org_id = i.org_id AND d.number = i.number
        WHERE i.org_id = %(org_id)s AND i.invoice_id = ANY(%(invoice_ids)s)
          AND d.invoice_id = i.invoice_id
        """
    params: Params = {"org_id": org_id, "invoice_ids": list(invoice_ids)}
    found = await all_rows(tx, AssignedAddress, query, params)
    return {row.invoice_id: DepositAddress(row.number, row.address) for row in found}


async def children_of_invoices(
    tx: Tx, org_id: int, invoice_ids: Sequence[UUID]
) -> Mapping[UUID, DepositAddress]:
    """Those of some invoices' addresses that have keys of their own."""
    query: LiteralString = """
        SELECT i.invoice_id, h.number, h.address
        FROM invoice i JOIN hd_address h ON h.org_id = i.org_id AND h.number = i.number
        WHERE i.org_id = %(org_id)s AND i.invoice_id = ANY(%(invoice_ids)s)
        """
    params: Params = {"org_id": org_id, "invoice_ids": list(invoice_ids)}
    found = await all_rows(tx, AssignedAddress, query, params)
    return {row.invoice_id: DepositAddress(row.number, row.address) for row in found}


async def of_mode(
    tx: Tx, mode: DepositMode, org_id: int, invoice_ids: Sequence[UUID]
) -> Mapping[UUID, DepositAddress]:
    """Some invoices' addresses of one mode; an invoice without one is left out."""
    of = of_invoices if mode == "factory" else children_of_invoices
    return await of(tx, org_id, invoice_ids)


async def all_deposits(tx: Tx) -> list[OwnedAddress]:
    """Every deposit address there is, of both modes, taken or not, by organisation and number."""
    return await all_rows(
        tx,
        OwnedAddress,
        """
        SELECT org_id, number, address, invoice_id, 'factory' AS deposit_mode FROM deposit_address
         UNION ALL
        SELECT h.org_id, h.number, h.address, d.invoice_id, 'hd' FROM hd_address h
          JOIN deposit_address d ON d.org_id = h.org_id AND d.number = h.number
         ORDER BY org_id, number, deposit_mode
        """,
        {},
    )


async def stray_units(  # noqa: PLR0913, PLR0917 - an asset, whose addresses, and what counts
    tx: Tx,
    chain: str,
    contract: str,
    addresses: Collection[str],
    upto_block: int,
    least: Depth,
) -> Mapping[str, int]:
    """What transfers, up to a block, brought to addresses without belonging to an invoice.

    Counted are those that are settled at ``least`` so much.

    Addresses are public arithmetic, so anybody can send dust to one before an invoice has it.
    """
    found = await all_rows(
        tx,
        _Strays,
        """
        SELECT address, sum(amount_units)::numeric(78, 0) AS units FROM ingest.unassigned_transfer
        WHERE chain = %(chain)s AND contract = %(contract)s AND address = ANY(%(addresses)s)
          AND depth >= %(least)s AND block_number <= %(upto_block)s
        GROUP BY address
        """,
        {
            "chain": chain,
            "contract": contract,
            "addresses": list(addresses),
            "upto_block": upto_block,
            "least": least,
        },
    )
    return {row.address: row.units for row in found}


async def _copy(tx: Tx, statement: LiteralString, rows: Sequence[tuple[object, ...]]) -> None:
    async with tx.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            await copy.write_row(row)
