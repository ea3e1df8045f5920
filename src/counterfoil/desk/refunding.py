"""Refunds at the desk: how much is meant, whether it can be called off, and what went out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from counterfoil.books.moves import OUTGOING, MoveRow
from counterfoil.core import reckoning
from counterfoil.core.errors import Invalid, OutOfPlace
from counterfoil.core.events import WithdrawRefund
from counterfoil.core.invoice import Invoice, Refund, RefundStatus, Status
from counterfoil.core.lifecycle import refusal_data
from counterfoil.core.money import Asset, Money, plain_text, to_units


class RefundProgress(StrEnum):
    """How a refund stands by what became of its movements, however its order ended."""

    PENDING = "pending"
    APPROVED = "approved"
    """It may go, and nothing of it is signed yet; whether it can be withdrawn says
    `may_be_called_off`."""
    PROCESSING = "processing"
    SETTLED = "settled"
    PARTLY_SETTLED = "partly_settled"
    """Some of it went, and no more of it will."""
    WITHDRAWN = "withdrawn"
    """Nothing of it went."""


@dataclass(frozen=True, slots=True)
class Part:
    """What of the money is meant: all there is of a token, or so many whole coins of it.

    ``symbol`` and ``chain`` need only be given where several assets are here.
    """

    amount: Decimal | None = None
    symbol: str | None = None
    chain: str | None = None

    def of(self, invoice: Invoice) -> tuple[Money, ...]:
        """The money that is meant; empty where nothing at all is left, which the order refuses.

        What strayed here beside the payment is meant only where nothing of the payment is. Raises
        `Invalid` for a token that is not here, an amount that could be of several, and one that is
        finer than the token, naming what is left.
        """
        held, astray = reckoning.holdings(invoice), reckoning.astray(invoice)
        named = self.symbol is not None or self.chain is not None
        if not held and not (named and astray):
            return ()
        amounts = " and ".join(f"{m} on {m.asset.chain}" for m in held + astray)
        left = f"what is left is {amounts}"
        paid = [part.asset for part in invoice.tally.money if self._names(part.asset)]
        meant = [money for money in (held if paid else astray) if self._names(money.asset)]
        if not meant:
            name = "refund_token" if self.symbol is not None else "refund_chain"
            raise Invalid.field(name, f"none of it is here; {left}")
        if self.amount is None:
            return tuple(meant)
        if len(meant) > 1:
            alike = len({money.asset.symbol for money in meant}) == 1
            name = "refund_chain" if alike else "refund_token"
            raise Invalid.field(name, f"is required to say of what refund_amount is; {left}")
        asset = meant[0].asset
        try:
            return (Money(to_units(self.amount, asset.decimals, "exact"), asset),)
        except ValueError:
            raise Invalid.field(
                "refund_amount",
                f"{plain_text(self.amount)} is finer than {asset.symbol}, which has"
                f" {asset.decimals} digits after the point; {left}",
            ) from None

    def _names(self, asset: Asset) -> bool:
        return self.symbol in {None, asset.symbol} and self.chain in {None, asset.chain}


def returned(refund: Refund, planned: Sequence[MoveRow]) -> tuple[Money, ...]:
    """How much of each of a refund's amounts went out, in their order, also where it is nothing.

    ``planned`` has all of its invoice's movements.
    """
    legs = legs_of(refund, planned)
    return tuple(
        Money(
            sum(
                leg.moved_units or 0
                for leg in legs
                if (leg.chain, leg.contract) == (money.asset.chain, money.asset.contract)
            ),
            money.asset,
        )
        for money in refund.amounts
    )


def progress_of(refund: Refund, planned: Sequence[MoveRow]) -> RefundProgress:
    """What to say of a refund: what was sent is told, however its order ended.

    One that was called off while a payment of it was signed is on its way until that has landed or
    failed; one that was given up half-way went out in part.
    """
    legs = legs_of(refund, planned)
    if refund.status is RefundStatus.PROCESSING and not any(
        move.nonce is not None for move in planned if move.source_id == refund.refund_id.hex
    ):
        return RefundProgress.APPROVED
    if refund.status.is_open or not legs:
        return RefundProgress(refund.status.value)
    if any(leg.status == "signed" for leg in legs):
        return RefundProgress.PROCESSING
    went = returned(refund, planned)
    if went == refund.amounts:
        return RefundProgress.SETTLED
    return (
        RefundProgress.PARTLY_SETTLED
        if any(money.units for money in went)
        else RefundProgress.WITHDRAWN
    )


def legs_of(refund: Refund, planned: Sequence[MoveRow]) -> list[MoveRow]:
    """The movements that send a refund's money, of all of its invoice's."""
    name = refund.refund_id.hex
    return [move for move in planned if move.source_id == name and move.purpose in OUTGOING]


def in_motion(planned: Sequence[MoveRow]) -> bool:
    """Whether any of an invoice's movements may still change what is here: signed, or undecided."""
    return any(
        move.status == "signed"
        or (move.purpose in OUTGOING and move.status not in {"final", "failed"})
        for move in planned
    )


def must_be_at_rest(invoice: Invoice, planned: Sequence[MoveRow]) -> None:
    """Refuse to send anything back while any of it may still leave; raises `OutOfPlace`."""
    if not in_motion(planned):
        return
    rule = "in_flight"
    sentence = "some of the money is on its way just now; refund it in a few minutes"
    if all(m.status == "parked" for m in planned if m.status not in {"final", "failed"}):
        rule = "payment_stands_still"
        sentence = (
            "a payment of it stands still and comes first: a signer accepts what has left with it,"
            " or withdraws it"
        )
    raise OutOfPlace(sentence, data={"rule": rule, **refusal_data(invoice)})


def in_flight(planned: Sequence[MoveRow], purposes: Collection[str]) -> bool:
    """Whether a movement with one of these purposes is signed and not at its end yet."""
    return any(move.status == "signed" and move.purpose in purposes for move in planned)


def may_be_called_off(invoice: Invoice, planned: Sequence[MoveRow]) -> bool:
    """Whether nothing of the open refund was ever signed, given all of the invoice's movements.

    Signed bytes can land at any time. A sweep that is done is no obstacle: it brought the money to
    the pool, where it stays. A surplus goes back together with the payout; where it stands still,
    its payment is withdrawn (`desk.approving`), by whoever may and with a reason.
    """
    refund = invoice.open_refund
    if refund is None:
        return True
    if invoice.status is Status.PAYOUT_PROCESSING:
        return False
    return not any(
        move.nonce is not None and (move.purpose in OUTGOING or move.status != "final")
        for move in planned
        if move.source_id == refund.refund_id.hex
    )


def must_be_unsent(invoice: Invoice, planned: Sequence[MoveRow]) -> None:
    """Refuse to call the open refund off where `may_be_called_off` says no; raises `OutOfPlace`."""
    refund = invoice.open_refund
    if refund is None or may_be_called_off(invoice, planned):
        return
    legs = legs_of(refund, planned)
    rule = "money_on_its_way"
    if any(leg.status == "parked" for leg in legs):
        rule = "payment_stands_still"
        sentence = "a payment of this refund stands still; withdraw that payment instead"
    elif all(leg.nonce is None for leg in legs):
        sentence = (
            "the surplus goes back together with the payout; nothing of it is sent yet, and it can"
            " be given up only if its payment stands still"
        )
    else:
        sentence = "the refund is already on its way, so it can no longer be withdrawn"
    data = {"rule": rule, **refusal_data(invoice, but=WithdrawRefund)}
    raise OutOfPlace(sentence, data=data)
