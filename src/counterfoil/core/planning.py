"""The way of an invoice's money: what is swept, what leaves the pool, and for which refund."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from counterfoil.core import reckoning
from counterfoil.core.assets import CHAINS
from counterfoil.core.events import (
    Effect,
    Event,
    GiveUpMoves,
    Leg,
    PlanMoves,
    Purpose,
    ReleaseMoves,
    SignOff,
)
from counterfoil.core.invoice import Invoice, Refund, RefundStatus, Status
from counterfoil.core.money import Asset, Money
from counterfoil.core.settlement import Settlement
from counterfoil.core.values import replace

INWARD: Final = frozenset[Purpose]({"sweep", "quarantine", "restore"})
"""What moves between places of ours."""

Rerouted = tuple[GiveUpMoves, PlanMoves]


def sweeps(invoice: Invoice, source_id: UUID | None = None) -> tuple[Leg, ...]:
    """All that lies at the deposit address or in the hold wallet, to the pool."""
    lying = tuple(Leg("sweep", money, "", source_id) for money in reckoning.unswept(invoice))
    held = tuple(
        Leg("restore", money, "", source_id, from_hold=True) for money in reckoning.in_hold(invoice)
    )
    return (*lying, *held)


def to_hold(invoice: Invoice) -> Rerouted:
    """All that lies at the deposit address, to the hold wallet instead of the pool."""
    source_id = _decision_id(invoice, "quarantine")
    legs = tuple(Leg("quarantine", money, "", source_id) for money in reckoning.unswept(invoice))
    return GiveUpMoves(INWARD), PlanMoves(legs)


def out_of_hold(invoice: Invoice) -> Rerouted:
    """All that lies anywhere but in the pool, to the pool after all."""
    return GiveUpMoves(INWARD), PlanMoves(sweeps(invoice, _decision_id(invoice, "release")))


def refund_legs(invoice: Invoice, refund: Refund, amounts: tuple[Money, ...]) -> tuple[Leg, ...]:
    """What goes back for a refund: out of the hold wallet first, the rest out of the pool."""
    purpose: Purpose = "refund" if refund.is_whole else "partial_refund"

    def leg(units: int, asset: Asset, *, from_hold: bool) -> Leg:
        money = Money(units, asset)
        return Leg(purpose, money, refund.address, refund.refund_id, from_hold=from_hold)

    parts = [(money, from_hold_units(invoice, money)) for money in amounts]
    held = (leg(units, money.asset, from_hold=True) for money, units in parts if units)
    rest = (
        leg(money.units - units, money.asset, from_hold=False)
        for money, units in parts
        if money.units > units
    )
    return (*held, *rest)


def from_hold_units(invoice: Invoice, money: Money) -> int:
    """How much of what is to go back leaves from the hold wallet."""
    return min(money.units, invoice.settled.in_hold_units(money.asset))


def payouts_beside(invoice: Invoice, back: Iterable[Money]) -> tuple[Leg, ...]:
    """What leaves the pool for the merchant when this goes back to the customer."""
    returned = {money.asset: money.units for money in back}
    return tuple(
        Leg("payout", Money(m.units - returned.get(m.asset, 0), m.asset), target)
        for m in reckoning.holdings(invoice)
        if (target := _payout_target(invoice, m.asset)) and m.units > returned.get(m.asset, 0)
    )


def onward(invoice: Invoice, refund: Refund | None) -> tuple[Leg, ...]:
    """What leaves the pool: the surplus to the customer, all else to the merchant."""
    payouts = payouts_beside(invoice, () if refund is None else refund.amounts)
    if refund is None:
        return payouts
    surplus = (
        Leg("partial_refund", money, refund.address, refund.refund_id) for money in refund.amounts
    )
    return (*payouts, *surplus)


def surplus_refund(invoice: Invoice, event: SignOff, back: tuple[Money, ...]) -> Refund:
    """The refund that a sign-off makes.

    Who signs for the money lets the surplus go with it where it goes home; else it waits for a
    second person, and the sign-off with it.
    """
    waiting = Refund(
        refund_id=next_refund_id(invoice),
        number=len(invoice.refunds) + 1,
        amounts=back,
        address=event.refund_address or "",
        reason=event.reason,
        attachment_file_ids=event.attachment_file_ids,
        is_whole=False,
        returns_to=Status.SIGN_PENDING,
        ordered_by=event.by,
        ordered_at=event.at,
        with_sign_off=True,
    )
    if not event.goes_home:
        return waiting
    return replace(
        waiting,
        returns_to=Status.COMPLETED,
        status=RefundStatus.PROCESSING,
        approved_by=event.by,
        approved_at=event.at,
        with_sign_off=False,
    )


def waiting_surplus(invoice: Invoice) -> Refund | None:
    """The surplus for whose approval a sign-off waits."""
    refund = invoice.open_refund
    waits = refund is not None and refund.with_sign_off and invoice.status is Status.REFUND_PENDING
    return refund if waits else None


def signed(
    invoice: Invoice, refund: Refund | None, *, by: str, at: datetime
) -> tuple[Invoice, tuple[Effect, ...]]:
    """The whole way of the money at once: sweep, payout, and the surplus back.

    What an earlier refund swept along is in the pool already, and goes on from there.
    """
    after = replace(reckoning.take(invoice), signed_off_by=by, signed_off_at=at)
    inward, outward = sweeps(invoice), onward(invoice, refund)
    if inward:
        return replace(after, status=Status.SWEEPING), (PlanMoves((*inward, *outward)),)
    if outward:
        planned = PlanMoves(outward), ReleaseMoves()
        return replace(after, status=Status.PAYOUT_PROCESSING), planned
    return replace(after, status=Status.COMPLETED, completed_at=at), ()


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


def _decision_id(invoice: Invoice, what: str) -> UUID:
    """Names a decision about an invoice: the same one, taken again later, is another."""
    return uuid5(invoice.invoice_id, f"{what}:{invoice.version}")


def _payout_target(invoice: Invoice, asset: Asset) -> str | None:
    return invoice.payout_to.get(CHAINS[asset.chain].family)
