"""Which of its addresses an invoice's money lies at, where it has one with a key of its own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from counterfoil.books import moves, transfers
from counterfoil.core.events import Leg
from counterfoil.core.invoice import DepositMode, Invoice
from counterfoil.core.money import Money
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Tx

_MODES: Final[tuple[DepositMode, ...]] = ("factory", "hd")


async def by_address(
    tx: Tx, invoice: Invoice, legs: Sequence[Leg]
) -> list[tuple[Leg, DepositMode]]:
    """Split sweeps so that each empties one address, and give the mode of every leg.

    Customers may use either address of an invoice, also the one that was meant for another chain.
    A child key sends an exact amount, so what lies there is counted here, dust included.
    """
    if invoice.hd_address is None or all(leg.purpose not in moves.EMPTYING for leg in legs):
        return [(leg, "factory") for leg in legs]
    lying = await _lying(tx, invoice)
    found: list[tuple[Leg, DepositMode]] = []
    for leg in legs:
        asset = leg.money.asset
        parts = {mode: lying[asset.chain, asset.contract, mode] for mode in _MODES}
        if leg.purpose not in moves.EMPTYING or parts["hd"] <= 0:
            found.append((leg, "factory"))
            continue
        found += [
            (replace(leg, money=Money(units, asset)), mode)
            for mode, units in parts.items()
            if units > 0
        ]
    return found


async def _lying(tx: Tx, invoice: Invoice) -> Counter[tuple[str, str, DepositMode]]:
    """Confirmed money at each address, less what was swept, in base units."""
    lying: Counter[tuple[str, str, DepositMode]] = Counter()
    for row in await transfers.of_invoices(tx, invoice.org_id, [invoice.invoice_id]):
        if row.depth >= Depth.SAFE:
            lying[row.chain, row.contract, row.deposit_mode] += row.amount_units
    for move in await moves.of_invoices(tx, invoice.org_id, [invoice.invoice_id]):
        if move.purpose in moves.EMPTYING:
            lying[move.chain, move.contract, move.deposit_mode] -= move.left_units
    return lying
