"""The way of an invoice's money: what is swept, what leaves the pool, and for which refund."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid5

from counterfoil.core import reckoning
from counterfoil.core.assets import CHAINS
from counterfoil.core.events import Event, Leg, SignOff
from counterfoil.core.invoice import Invoice, Refund, RefundStatus, Settlement, Status
from counterfoil.core.money import Asset, Money


def sweeps(invoice: Invoice) -> tuple[Leg, ...]:
    """All that lies at the deposit address, to the pool."""
    return tuple(Leg("sweep", money, "") for money in reckoning.unswept(invoice))


def onward(invoice: Invoice, refund: Refund | None) -> tuple[Leg, ...]:
    """What leaves the pool: the surplus to the customer, all else to the merchant."""
    back = () if refund is None else refund.amounts
    returned = {money.asset: money.units for money in back}
    payouts = tuple(
        Leg("payout", Money(m.units - returned.get(m.asset, 0), m.asset), target)
        for m in reckoning.holdings(invoice)
        if (target := _payout_target(invoice, m.asset)) and m.units > returned.get(m.asset, 0)
    )
    if refund is None:
        return payouts
    surplus = (
        Leg("partial_refund", money, refund.address, refund.refund_id) for money in refund.amounts
    )
    return (*payouts, *surplus)


def surplus_refund(invoice: Invoice, event: SignOff, back: tuple[Money, ...]) -> Refund:
    """The refund that a sign-off makes; who signs for the money lets the surplus go with it."""
    return Refund(
        refund_id=next_refund_id(invoice),
        number=len(invoice.refunds) + 1,
        amounts=back,
        address=event.refund_address or "",
        reason=event.reason,
        attachment_file_ids=event.attachment_file_ids,
        is_whole=False,
        returns_to=Status.COMPLETED,
        ordered_by=event.by,
        ordered_at=event.at,
        status=RefundStatus.PROCESSING,
        approved_by=event.by,
        approved_at=event.at,
    )


def without_surplus_refund(invoice: Invoice, event: Event) -> Invoice:
    """The invoice once its money was refused: what was to go back with it does not."""
    refunds = tuple(
        replace(refund, status=RefundStatus.WITHDRAWN, withdrawn_by=event.by, withdrawn_at=event.at)
        if refund.status.is_open
        else refund
        for refund in invoice.refunds
    )
    return replace(invoice, refunds=refunds)


def with_refund_settled(invoice: Invoice, settled: Settlement, at: datetime) -> Invoice:
    """The invoice with these totals, and with its open refund at its end."""
    refunds = tuple(
        replace(refund, status=RefundStatus.SETTLED, settled_at=at)
        if refund.status is RefundStatus.PROCESSING
        else refund
        for refund in invoice.refunds
    )
    return replace(invoice, settled=settled, refunds=refunds)


def next_refund_id(invoice: Invoice) -> UUID:
    """The id of an invoice's next refund: made from its number, so that it needs no chance."""
    return uuid5(invoice.invoice_id, f"refund:{len(invoice.refunds) + 1}")


def _payout_target(invoice: Invoice, asset: Asset) -> str | None:
    return invoice.payout_to.get(CHAINS[asset.chain].family)
