"""What an invoice's movements have come to, as facts for its lifecycle."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Final

from counterfoil.books import ledger, moves
from counterfoil.books.moves import EMPTYING, MovePurpose, MoveRow
from counterfoil.core.events import Event, PaidOut, RefundSettled, Swept
from counterfoil.core.invoice import Invoice
from counterfoil.core.planning import INWARD
from counterfoil.core.roles import system
from counterfoil.core.settlement import Settlement
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


def overtaken(of_invoice: Sequence[MoveRow]) -> list[MoveRow]:
    """The sweeps that stand still while a later one of the same address and asset did their work.

    ``of_invoice`` has all of an invoice's movements, oldest first. A later sweep takes all that
    lies there by then, so what an earlier one was to move went with it, if that much moved.
    """
    return [
        earlier
        for place, earlier in enumerate(of_invoice)
        if earlier.purpose in EMPTYING
        and earlier.status in {"ready", "parked"}
        and any(_emptied(later, earlier) for later in of_invoice[place + 1 :])
    ]


def _emptied(later: MoveRow, earlier: MoveRow) -> bool:
    left_units = earlier.amount_units - earlier.left_units
    return (
        later.purpose in EMPTYING
        and later.status == "final"
        and (later.chain, later.contract, later.deposit_mode)
        == (earlier.chain, earlier.contract, earlier.deposit_mode)
        and later.left_units >= left_units
    )


def _facts(
    landed: set[MovePurpose],
    of_invoice: Sequence[MoveRow],
    settled: Settlement,
    at: datetime,
    by: str,
) -> Iterator[Event]:
    """What is complete with these purposes; given up or overtaken, it no longer counts."""
    done = {move.move_id for move in overtaken(of_invoice)}
    counting = [m for m in of_invoice if m.status != "failed" and m.move_id not in done]

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
