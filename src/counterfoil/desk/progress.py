"""What an invoice's movements have come to, as facts for its lifecycle."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Final

from counterfoil.books import ledger, moves
from counterfoil.books.moves import MovePurpose, MoveRow
from counterfoil.core.events import Event, PaidOut, RefundSettled, Swept
from counterfoil.core.invoice import Invoice, Settlement
from counterfoil.core.planning import INWARD
from counterfoil.core.roles import system
from counterfoil.db.pool import Tx

_BY: Final = "move"


async def facts(
    tx: Tx, invoice: Invoice, at: datetime, landed: Collection[MovePurpose] | None = None
) -> list[Event]:
    """What is complete of an invoice's movements; only of these purposes, where they are named.

    What landed while the invoice was held was not heard by it, and is told again this way.
    """
    ids = [invoice.invoice_id]
    of_invoice = await moves.of_invoices(tx, invoice.org_id, ids)
    settled = (await ledger.settlements(tx, invoice.org_id, ids)).get(
        invoice.invoice_id, Settlement()
    )
    purposes = {move.purpose for move in of_invoice} if landed is None else set(landed)
    return list(_facts(purposes, of_invoice, settled, at, system(_BY, invoice.org_id).uid))


def _facts(
    landed: set[MovePurpose],
    of_invoice: Sequence[MoveRow],
    settled: Settlement,
    at: datetime,
    by: str,
) -> Iterator[Event]:
    """What is complete with these purposes; what was given up no longer counts."""
    counting = [move for move in of_invoice if move.status != "failed"]

    def complete(*purposes: MovePurpose) -> bool:
        wanted = [move for move in counting if move.purpose in purposes]
        return bool(landed.intersection(purposes)) and all(m.status == "final" for m in wanted)

    if complete("sweep", "restore"):
        more = any(move.purpose not in INWARD and move.status != "final" for move in counting)
        yield Swept(at=at, by=by, settled=settled, more_to_move=more)
    if complete("payout", "partial_refund"):
        yield PaidOut(at=at, by=by, settled=settled)
    if complete("refund", "partial_refund"):
        yield RefundSettled(at=at, by=by, settled=settled)
