"""What still lies with us where an invoice has ended, and no step is left for it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from counterfoil.core import reckoning
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.money import Asset, Money


@dataclass(frozen=True, slots=True)
class Moved:
    """What a movement came to, into the pool or out of it, and for which refund."""

    refund_id: UUID
    money: Money
    inward: bool


def left_over(invoice: Invoice, moved: Iterable[Moved]) -> tuple[Money, ...]:
    """What waits for a signer to send it back, per asset; empty before the end.

    That is what came after the end, and what a refund took into the pool and did not send. What
    was signed for and stays in the pool is not part of it. ``moved`` are all movements for refunds
    of the invoice.
    """
    found = Counter[Asset]()
    for money in reckoning.came_after(invoice):
        found[money.asset] += money.units
    if stays_in_pool(invoice):
        for asset, units in _not_sent(invoice, tuple(moved)).items():
            found[asset] += min(units, reckoning.in_pool(invoice, asset))
    return tuple(Money(units, asset) for asset, units in found.items() if units > 0)


def stays_in_pool(invoice: Invoice) -> bool:
    """Whether the pool is where its money ends, so that some of it there waits for nobody."""
    return invoice.status is Status.COMPLETED and not invoice.payout_to


def worth_dollars(amounts: Iterable[Money]) -> Decimal:
    """What several amounts are worth, roughly: to put the most first, and to price nothing."""
    rough = (reckoning.rough_dollars(money.asset, money.units) for money in amounts)
    return sum((Decimal(one.numerator) / one.denominator for one in rough), start=Decimal(0))


def _not_sent(invoice: Invoice, moved: tuple[Moved, ...]) -> dict[Asset, int]:
    """What refunds took into the pool since the invoice was signed for, and did not send.

    The surplus that goes back with a sign-off is taken along by its sweep. A refund first sends
    what came late, so money that was signed for counts only once that is gone.
    """
    left = Counter[Asset]()
    payment = {a.asset for a in invoice.tally.money}
    for refund in invoice.refunds:
        if refund.approved_at is None or invoice.signed_off_at is None:
            continue
        if refund.approved_at < invoice.signed_off_at:
            continue
        own = [one for one in moved if one.refund_id == refund.refund_id]
        taken = [one.money for one in own if one.inward]
        if refund.approved_at == invoice.signed_off_at:
            taken += refund.amounts
        for money in taken:
            left[money.asset] += money.units
        for money in (one.money for one in own if not one.inward):
            left[money.asset] -= min(money.units, left[money.asset])
    return {asset: units for asset, units in left.items() if asset in payment}
