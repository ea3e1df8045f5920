"""Giving a payment its transaction: a reviewer names it, the chain confirms or refuses it.

A payment in native coin that only the balance shows has no payer, so screening sends it to people.
Once its transaction is known it has one, and is screened again (specs/chains.md 6.4).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from counterfoil.books import claims, transfers
from counterfoil.books.claims import ClaimRow
from counterfoil.books.transfers import TransferRow, address_of_unknown
from counterfoil.core.errors import Conflict, Invalid, OutOfPlace
from counterfoil.core.invoice import Invoice
from counterfoil.core.reckoning import Depth
from counterfoil.core.roles import Actor, Permission, system
from counterfoil.db.pool import Tx
from counterfoil.desk import queries, telling
from counterfoil.desk.desk import Desk
from counterfoil.desk.idempotency import Idempotent, once
from counterfoil.desk.metadata import TransactionChecked, TransactionNamed
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.reach import held, locked
from counterfoil.desk.record import record

__all__ = ["ClaimRow", "address_of_unknown"]

ACTOR: Final = "attach"

_HASH: Final = re.compile(r"0x[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Origin:
    """A transaction as its receipt shows it: the block it is in, who sent it, whom it called.

    ``paid_wei`` is what its trace shows of coin that it handed to the address which was paid; None
    where no node tells. ``ran_code``: it called a contract or made one, so it may have handed on.
    """

    block_hash: str
    ok: bool
    sender: str
    to: str | None
    paid_wei: int | None = None
    ran_code: bool = True


async def attach(  # noqa: PLR0913 - who says what about which payment, and why
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    *,
    transfer: str,
    tx_hash: str,
    reason: str,
    idempotent: Idempotent | None = None,
) -> InvoiceView:
    """Say with which transaction a payment came whose own is unknown; the chain is asked then.

    ``transfer`` is what the payment has in place of a hash. Raises `NotFound`, `Forbidden` without
    ``compliance:review``, `Invalid` for what is no such payment or no hash, `OutOfPlace` before the
    payment is final, and `Conflict` while an earlier answer is still to come.
    """
    by.require(Permission.REVIEW)
    named = tx_hash.lower()
    if not _HASH.fullmatch(named):
        raise Invalid.field("tx_hash", "must be a transaction's hash: 0x and 64 hex digits")

    async def work(tx: Tx) -> InvoiceView:
        async def make() -> InvoiceView:
            invoice = await locked(tx, by, invoice_id)
            row = await _unattributed(tx, invoice, transfer)
            now = desk.clock.now()
            claim = ClaimRow(
                org_id=by.org_id,
                claim_id=desk.ids.new(),
                invoice_id=invoice_id,
                chain=row.chain,
                tx_hash=row.tx_hash,
                log_index=row.log_index,
                named_tx_hash=named,
                named_by=by.uid,
                named_at=now,
            )
            if not await claims.add(tx, claim):
                raise Conflict("the chain is still being asked about an earlier answer; wait")
            event = TransactionNamed(
                at=now, by=by.uid, transfer=row.tx_hash, tx_hash=named, reason=reason
            )
            after = await record(desk, tx, invoice, invoice, event=event, by=by, todo=())
            return await queries.full_view(desk, tx, after)

        return await once(desk, tx, by, idempotent, make)

    return await desk.database.run(work)


async def to_check(
    desk: Desk, chain: str, limit: int, *, passing_over: Collection[UUID] = ()
) -> list[ClaimRow]:
    """What people said that the chain has not been asked about, except some claims."""
    async with desk.database.reading() as tx:
        return await claims.to_check(tx, chain, limit, passing_over=passing_over)


async def check(desk: Desk, claim: ClaimRow, found: Origin | None) -> str | None:
    """Keep what the chain says to a claim; answers why it is refused, None when it is not.

    With it the payment has a payer, its invoice is told, and what was screened is screened again.
    """

    async def work(tx: Tx) -> str | None:
        invoice = await held(tx, claim.org_id, claim.invoice_id)
        still = await claims.lock_open(tx, claim.org_id, claim.claim_id)
        if still is None:
            return None
        (row,) = await transfers.of_transactions(tx, claim.chain, [claim.org_id], [claim.tx_hash])
        now = desk.clock.now()
        used = await transfers.is_used(tx, claim.org_id, claim.chain, claim.named_tx_hash)
        finding = _against(row, claim, found, used=used)
        await claims.close(tx, claim, finding, now)
        if finding is None and found is not None:
            attached = replace(
                row,
                attached_tx_hash=claim.named_tx_hash,
                attached_sender=found.sender,
                attached_to=found.to,
            )
            await transfers.attach(tx, attached)
        by = system(ACTOR, claim.org_id)
        event = TransactionChecked(
            at=now,
            by=by.uid,
            transfer=claim.tx_hash,
            tx_hash=claim.named_tx_hash,
            reason=finding or "",
        )
        after = await record(desk, tx, invoice, invoice, event=event, by=by, todo=())
        if finding is None:
            await telling.tell(desk, tx, [after])
        return finding

    return await desk.database.run(work)


async def _unattributed(tx: Tx, invoice: Invoice, transfer: str) -> TransferRow:
    rows = await transfers.of_invoices(tx, invoice.org_id, [invoice.invoice_id])
    unknown = [row for row in rows if row.is_unattributed and row.depth is not Depth.ORPHANED]
    row = next((row for row in unknown if row.tx_hash == transfer), None)
    if row is None:
        names = ", ".join(row.tx_hash for row in unknown) or "none"
        raise Invalid.field("transfer", f"is no payment of unknown transaction; there are: {names}")
    if row.attached_tx_hash is not None:
        raise OutOfPlace(f"this payment came with {row.attached_tx_hash}; that is settled")
    if row.depth is not Depth.FINAL:
        raise OutOfPlace(
            "the payment is not yet final on chain; name its transaction in a few minutes",
            data={"rule": "finality"},
        )
    return row


def _against(row: TransferRow, claim: ClaimRow, found: Origin | None, *, used: bool) -> str | None:
    """Why the transaction that somebody named cannot be the one.

    Whoever names one decides whose money it is taken for, so it must have paid: by its trace, or,
    where no node has traces, as the only code that ran for it in the block of the payment.
    """
    if found is None:
        return f"the chain does not know {claim.named_tx_hash}"
    if not found.ok:
        return f"{claim.named_tx_hash} failed, so nothing was paid with it"
    if found.block_hash != row.block_hash:
        return f"{claim.named_tx_hash} is in another block than the payment"
    if found.paid_wei is not None and found.paid_wei < row.amount_units:
        return (
            f"{claim.named_tx_hash} paid {found.paid_wei} wei to this address, the payment is"
            f" {row.amount_units}"
        )
    if not found.ran_code:
        return f"{claim.named_tx_hash} called no contract, so it handed nothing on"
    return f"{claim.named_tx_hash} came with another payment already" if used else None
