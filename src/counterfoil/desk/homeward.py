"""Whether money goes back to who sent it: asked when a surplus is signed, told of any refund."""

from collections.abc import Iterable

from counterfoil.books import moves, transfers
from counterfoil.books.moves import MoveRow
from counterfoil.books.transfers import TransferRow
from counterfoil.core import homeward, resolution
from counterfoil.core.assets import known_asset
from counterfoil.core.homeward import Origin
from counterfoil.core.invoice import Invoice, Refund
from counterfoil.core.money import Money
from counterfoil.core.resolution import Home
from counterfoil.db.pool import Tx
from counterfoil.db.rows import together


async def goes_home(tx: Tx, invoice: Invoice, address: str) -> bool:
    """Whether all that goes back to an address has its origin there, as far as the books know.

    Coin from inside a transaction counts for nobody: who sent that need not be whose it was.
    """
    return _goes_home(invoice, address, *await _rows(tx, invoice))


async def by_rule(tx: Tx, invoice: Invoice) -> Home | None:
    """As `home`, of what the books have about the invoice."""
    return home(invoice, *await _rows(tx, invoice))


def home(invoice: Invoice, came: Iterable[TransferRow], planned: Iterable[MoveRow]) -> Home | None:
    """Where the surplus goes by a rule of the invoice, if as much came from there; None without."""
    found = resolution.home_by_rule(invoice)
    return found if found and _goes_home(invoice, found.address, came, planned) else None


def origin_of(refund: Refund, came: Iterable[TransferRow], planned: Iterable[MoveRow]) -> Origin:
    """What a refund's address has to do with its money, the refund itself left aside."""
    others = (move for move in planned if move.source_id != refund.refund_id.hex)
    return _origin(refund.amounts, refund.address, came, others)


async def _rows(tx: Tx, invoice: Invoice) -> tuple[list[TransferRow], list[MoveRow]]:
    ids = [invoice.invoice_id]
    return await together(
        tx,
        transfers.of_invoices(tx, invoice.org_id, ids),
        moves.of_invoices(tx, invoice.org_id, ids),
    )


def _goes_home(
    invoice: Invoice, address: str, came: Iterable[TransferRow], planned: Iterable[MoveRow]
) -> bool:
    return _origin(resolution.to_return(invoice), address, came, planned) is Origin.HOME


def _origin(
    back: Iterable[Money],
    address: str,
    came: Iterable[TransferRow],
    planned: Iterable[MoveRow],
) -> Origin:
    sent = [transfers.received(row) for row in came if not row.is_internal]
    returned = [money for move in planned if (money := _returned(move, address)) is not None]
    return homeward.origin(back, address, sent, returned)


def _returned(move: MoveRow, address: str) -> Money | None:
    """What a movement took back to an address, or may still take there."""
    if move.destination != address or move.purpose not in {"refund", "partial_refund"}:
        return None
    asset = known_asset(move.chain, move.contract)
    has_ended = move.status in {"final", "failed"}
    units = move.left_units if has_ended else move.amount_units
    return None if asset is None else Money(units, asset)
