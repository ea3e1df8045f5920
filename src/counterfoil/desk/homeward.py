"""Whether the surplus of a locked invoice would go back to who sent it: asked when it is signed."""

from counterfoil.books import moves, transfers
from counterfoil.books.moves import MoveRow
from counterfoil.core import homeward, resolution
from counterfoil.core.assets import known_asset
from counterfoil.core.invoice import Invoice
from counterfoil.core.money import Money
from counterfoil.db.pool import Tx
from counterfoil.db.rows import together


async def goes_home(tx: Tx, invoice: Invoice, address: str) -> bool:
    """As `counterfoil.core.homeward.goes_home`, of what the books have about the invoice.

    Coin from inside a transaction counts for nobody: who sent that need not be whose it was.
    """
    ids = [invoice.invoice_id]
    came, planned = await together(
        tx,
        transfers.of_invoices(tx, invoice.org_id, ids),
        moves.of_invoices(tx, invoice.org_id, ids),
    )
    sent = [transfers.received(row) for row in came if not row.is_internal]
    returned = [money for move in planned if (money := _returned(move, address)) is not None]
    return homeward.goes_home(resolution.to_return(invoice), address, sent, returned)


def _returned(move: MoveRow, address: str) -> Money | None:
    """What a movement took back to an address, or may still take there."""
    if move.destination != address or move.purpose not in {"refund", "partial_refund"}:
        return None
    asset = known_asset(move.chain, move.contract)
    units = move.amount_units if move.status != "failed" else move.moved_units or 0
    return None if asset is None else Money(units, asset)
