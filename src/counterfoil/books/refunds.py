"""The refund tables: one row each, and how much of which asset goes back."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

from counterfoil.core.assets import CHAINS, known_asset
from counterfoil.core.invoice import Invoice, Refund, RefundStatus, Status
from counterfoil.core.money import Asset, Money
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute_many


@dataclass(frozen=True, slots=True)
class _Row:
    """A refund with one of its amounts."""

    invoice_id: UUID
    refund_id: UUID
    number: int
    status: str
    address: str
    reason: str
    attachment_file_ids: list[UUID]
    is_whole: bool
    returns_to: str
    ordered_by: str
    ordered_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    withdrawn_by: str | None
    withdrawn_at: datetime | None
    settled_at: datetime | None
    with_sign_off: bool
    chain: str
    contract: str
    amount_units: int


async def by_invoice(
    tx: Tx, org_id: int, invoice_ids: Collection[UUID]
) -> dict[UUID, tuple[Refund, ...]]:
    """All refunds of those of the invoices that have any, oldest first."""
    rows = await all_rows(
        tx,
        _Row,
        """
        SELECT r.invoice_id, r.refund_id, r.number, r.status, r.address, r.reason,
               r.attachment_file_ids, r.is_whole, r.returns_to, r.ordered_by, r.ordered_at,
               r.approved_by, r.approved_at, r.withdrawn_by, r.withdrawn_at, r.settled_at,
               r.with_sign_off,
               a.chain, a.contract, a.amount_units
          FROM refund r JOIN refund_amount a USING (org_id, refund_id)
         WHERE r.org_id = %(org_id)s AND r.invoice_id = ANY(%(invoice_ids)s)
         ORDER BY r.invoice_id, r.number, a.position
        """,
        {"org_id": org_id, "invoice_ids": list(invoice_ids)},
    )
    return {
        invoice_id: tuple(
            _refund(list(parts)) for _, parts in groupby(of_invoice, key=lambda row: row.number)
        )
        for invoice_id, of_invoice in groupby(rows, key=lambda row: row.invoice_id)
    }


async def save(tx: Tx, before: Invoice, after: Invoice) -> None:
    """Write the refunds that an invoice, which the caller holds locked, has new or changed."""
    known = {refund.refund_id: refund for refund in before.refunds}
    changed = [refund for refund in after.refunds if known.get(refund.refund_id) != refund]
    if not changed:
        return
    await execute_many(
        tx,
        """
        INSERT INTO refund (org_id, refund_id, invoice_id, number, status, address, reason,
            attachment_file_ids, is_whole, returns_to, ordered_by, ordered_at, approved_by,
            approved_at, withdrawn_by, withdrawn_at, settled_at, with_sign_off)
        VALUES (%(org_id)s, %(refund_id)s, %(invoice_id)s, %(number)s, %(status)s, %(address)s,
            %(reason)s, %(attachment_file_ids)s, %(is_whole)s, %(returns_to)s, %(ordered_by)s,
            %(ordered_at)s, %(approved_by)s, %(approved_at)s, %(withdrawn_by)s, %(withdrawn_at)s,
            %(settled_at)s, %(with_sign_off)s)
        ON CONFLICT (org_id, refund_id) DO UPDATE
           SET status = excluded.status, approved_by = excluded.approved_by,
               approved_at = excluded.approved_at, withdrawn_by = excluded.withdrawn_by,
               withdrawn_at = excluded.withdrawn_at, settled_at = excluded.settled_at
        """,
        [_columns(after, refund) for refund in changed],
    )
    await execute_many(
        tx,
        """
        INSERT INTO refund_amount (org_id, refund_id, position, chain, contract, amount_units)
        VALUES (%(org_id)s, %(refund_id)s, %(position)s, %(chain)s, %(contract)s, %(units)s)
        """,
        [
            {
                "org_id": after.org_id,
                "refund_id": refund.refund_id,
                "position": position,
                "chain": money.asset.chain,
                "contract": money.asset.contract,
                "units": money.units,
            }
            for refund in changed
            if refund.refund_id not in known
            for position, money in enumerate(refund.amounts)
        ],
    )


def _columns(invoice: Invoice, refund: Refund) -> Mapping[str, object]:
    return {
        "org_id": invoice.org_id,
        "refund_id": refund.refund_id,
        "invoice_id": invoice.invoice_id,
        "number": refund.number,
        "status": refund.status.value,
        "address": refund.address,
        "reason": refund.reason,
        "attachment_file_ids": list(refund.attachment_file_ids),
        "is_whole": refund.is_whole,
        "returns_to": refund.returns_to.value,
        "ordered_by": refund.ordered_by,
        "ordered_at": refund.ordered_at,
        "approved_by": refund.approved_by,
        "approved_at": refund.approved_at,
        "withdrawn_by": refund.withdrawn_by,
        "withdrawn_at": refund.withdrawn_at,
        "settled_at": refund.settled_at,
        "with_sign_off": refund.with_sign_off,
    }


def _refund(parts: list[_Row]) -> Refund:
    row = parts[0]
    return Refund(
        refund_id=row.refund_id,
        number=row.number,
        amounts=tuple(Money(part.amount_units, _asset(part)) for part in parts),
        address=row.address,
        reason=row.reason,
        attachment_file_ids=tuple(row.attachment_file_ids),
        is_whole=row.is_whole,
        returns_to=Status(row.returns_to),
        ordered_by=row.ordered_by,
        ordered_at=row.ordered_at,
        status=RefundStatus(row.status),
        approved_by=row.approved_by,
        approved_at=row.approved_at,
        withdrawn_by=row.withdrawn_by,
        withdrawn_at=row.withdrawn_at,
        settled_at=row.settled_at,
        with_sign_off=row.with_sign_off,
    )


def _asset(row: _Row) -> Asset:
    asset = known_asset(row.chain, row.contract) if row.contract else CHAINS[row.chain].native
    if asset is None:
        msg = f"{row.chain}:{row.contract} has left the registry while a refund names it"
        raise LookupError(msg)
    return asset
