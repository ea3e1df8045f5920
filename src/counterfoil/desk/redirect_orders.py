"""Orders that payouts go elsewhere, as an invoice's log keeps them, and whether they are good."""

from datetime import datetime
from uuid import UUID

from counterfoil.books import audit, orgs
from counterfoil.books.moves import MoveRow
from counterfoil.core import ids, seal
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.invoice import Invoice
from counterfoil.core.redirect_order import ORDERED_FOR, RedirectOrder
from counterfoil.core.roles import Permission, permissions_of
from counterfoil.core.seal import LogEntry
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk

__all__ = ["ORDERED_FOR", "RedirectOrder", "last_order", "must_be_good", "orderer_of"]


async def last_order(tx: Tx, invoice: Invoice) -> tuple[RedirectOrder, str] | None:
    """The order that nobody has approved or withdrawn, by the log, and the seal that it bears.

    Raises `OutOfPlace` where the log was changed or cut by hand.
    """
    chain = await audit.of_invoice(tx, invoice.org_id, invoice.invoice_id)
    found: LogEntry | None = None
    for entry, _ in chain:
        if entry.event in {"redirect_withdrawn", "payout_redirected"}:
            found = None
        elif entry.event == "redirect_ordered":
            found = entry
    if found is None:
        return None
    if seal.verify(chain) is not None or len(chain) < invoice.version:
        raise OutOfPlace("the log of this invoice was changed by hand; treat it as an attack")
    return _ordered(found), str(found.metadata.get("sealed", ""))


async def orders_given(tx: Tx, invoice: Invoice) -> int:
    """How many such orders there were for an invoice, whatever became of them."""
    chain = await audit.of_invoice(tx, invoice.org_id, invoice.invoice_id)
    return sum(entry.event == "redirect_ordered" for entry, _ in chain)


async def must_be_good(desk: Desk, tx: Tx, order: RedirectOrder, sealed: str) -> None:
    """Refuse an order that nobody may approve any more, or that nobody gave; raises `OutOfPlace`.

    Without the approval key nothing is approved anyway, and no seal is looked at.
    """
    if order.has_run_out(desk.clock.now()):
        raise OutOfPlace(
            f"this order was good until {order.until:%Y-%m-%d %H:%M} UTC and nobody approved it in"
            f" those {ORDERED_FOR.days} days; order it anew"
        )
    if desk.approval_key is not None and not order.is_sealed(sealed, desk.approval_key):
        raise OutOfPlace(
            "this order does not bear our seal: if it was not given before orders had one, somebody"
            " wrote it by hand; treat it as an attack"
        )
    member_id = ids.parse("user", order.by)
    roles = [] if member_id is None else await orgs.roles_of(tx, order.org_id, member_id)
    if Permission.SIGN not in permissions_of(tuple(roles)):
        raise OutOfPlace("whoever ordered this may not sign any more; order it anew")


async def orderer_of(tx: Tx, move: MoveRow) -> str | None:
    """Who ordered that a payout goes where it goes, where somebody else approved that."""
    if move.purpose != "payout" or move.invoice_id is None:
        return None
    if move.source_id == move.invoice_id.hex:
        return None
    redirect_id = str(UUID(move.source_id))
    did = {
        entry.event: entry.operator_uid
        for entry, _ in await audit.of_invoice(tx, move.org_id, move.invoice_id)
        if entry.metadata.get("redirect") == redirect_id
    }
    ordered = did.get("redirect_ordered")
    return None if ordered == did.get("payout_redirected") else ordered


def _ordered(entry: LogEntry) -> RedirectOrder:
    told = entry.metadata
    listed, until = told["moves"], told.get("until")
    return RedirectOrder(
        org_id=entry.org_id,
        invoice_id=entry.invoice_id,
        redirect_id=UUID(str(told["redirect"])),
        move_ids=frozenset(map(UUID, listed if isinstance(listed, list) else ())),
        destination=str(told["destination"]),
        label=str(told["label"]),
        reason=entry.reason,
        by=entry.operator_uid,
        at=entry.at,
        # Orders from before had no end.
        until=datetime.fromisoformat(str(until)) if until else entry.at + ORDERED_FOR,
    )
