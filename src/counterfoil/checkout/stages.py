"""Where a payment stands in the words of the one who pays: what happened, and what to do now.

Nothing here tells a payer why money is held: whoever is suspected must not learn of it
(specs/aml.md 4.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from counterfoil.core.invoice import Context, Invoice, Status
from counterfoil.core.reckoning import is_over, is_partly_returned, still_due, surplus
from counterfoil.core.signing import stands_to_be_signed
from counterfoil.pages.language import N_


class Stage(StrEnum):
    """What a payer has to know apart."""

    NOT_OPEN = "not_open"
    OPEN = "open"
    BY_BANK = "by_bank"
    PARTLY_SEEN = "partly_seen"
    SEEN = "seen"
    CHECKING = "checking"
    MISSING = "missing"
    MISSING_LATE = "missing_late"
    PARTLY_REFUNDED = "partly_refunded"
    WRONG_TOKEN = "wrong_token"  # noqa: S105 - a token of a chain, not of access
    LATE = "late"
    TOO_MUCH = "too_much"
    DECIDING = "deciding"
    RECEIVED = "received"
    RECEIVED_TOO_MUCH = "received_too_much"
    PAID = "paid"
    REFUND_ORDERED = "refund_ordered"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    OVER = "over"
    CALLED_OFF = "called_off"


@dataclass(frozen=True, slots=True)
class Told:
    """A stage in words. ``step`` is the one of `STEPS` that was reached, None off the way."""

    heading: str
    text: str
    colour: str
    step: int | None = None


STEPS: Final = (N_("Pay"), N_("Seen"), N_("Confirmed"), N_("Accepted"))

TOLD: Final[Mapping[Stage, Told]] = {
    Stage.NOT_OPEN: Told(
        N_("Not open for payment yet"),
        N_(
            "The merchant has not approved this invoice yet. Please send nothing before this page"
            " shows where to; load it again later."
        ),
        "yellow",
    ),
    Stage.OPEN: Told(
        N_("Waiting for your payment"),
        N_("Send exactly the amount below, in the token and on the chain that are named."),
        "blue",
        0,
    ),
    Stage.BY_BANK: Told(
        N_("To be paid by bank transfer"),
        N_("Pay into the merchant's bank account. Send no tokens for this invoice."),
        "blue",
    ),
    Stage.PARTLY_SEEN: Told(
        N_("A part of the payment has been seen"),
        N_("It is not the whole amount. Please send the rest to the same address."),
        "orange",
        1,
    ),
    Stage.SEEN: Told(
        N_("Your payment has been seen"),
        N_("It is on the chain and becomes final in a while. There is nothing more to do."),
        "blue",
        1,
    ),
    Stage.CHECKING: Told(
        N_("Your payment has arrived and is being checked"),
        N_("Every payment is. There is nothing more to do; this page shows when it goes on."),
        "blue",
        2,
    ),
    Stage.MISSING: Told(
        N_("A part of the amount is missing"),
        N_(
            "What you sent has arrived, but it is less than the amount due."
            " Please send the rest to the same address."
        ),
        "orange",
        1,
    ),
    Stage.MISSING_LATE: Told(
        N_("A part of the amount is missing, and the time to pay is over"),
        N_(
            "What you sent has arrived, but it is less than the amount due. Please ask the merchant"
            " before you send more: they may give you more time, take it as it is, or send it back."
        ),
        "orange",
        1,
    ),
    Stage.PARTLY_REFUNDED: Told(
        N_("A part of your payment was sent back"),
        N_(
            "Below stands how much. The merchant decides what happens with the rest. There is"
            " nothing for you to do; please send nothing more."
        ),
        "purple",
    ),
    Stage.WRONG_TOKEN: Told(
        N_("Another token has arrived than this invoice takes"),
        N_(
            "It does not pay the invoice. It is not lost: the merchant can send it back,"
            " so please tell them which address is yours."
        ),
        "orange",
        1,
    ),
    Stage.LATE: Told(
        N_("Your payment came after the time to pay was over"),
        N_(
            "It has arrived. The merchant decides now whether to take it or to send it back;"
            " they will contact you if something is to be done."
        ),
        "orange",
        2,
    ),
    Stage.TOO_MUCH: Told(
        N_("You sent more than the amount due"),
        N_(
            "It has arrived. The merchant decides now what happens with the surplus; if it is to go"
            " back, tell them which address is yours."
        ),
        "orange",
        2,
    ),
    Stage.DECIDING: Told(
        N_("Your payment has arrived, and the merchant is looking at it"),
        N_("There is nothing more to do; they will contact you if they have a question."),
        "blue",
        2,
    ),
    Stage.RECEIVED: Told(
        N_("Your payment is confirmed"),
        N_("Nothing more is to be paid. The merchant only has to take note of it. Thank you."),
        "green",
        2,
    ),
    Stage.RECEIVED_TOO_MUCH: Told(
        N_("Your payment is confirmed, and it was more than the amount due"),
        N_(
            "The invoice is paid. The surplus can go back to you: tell the merchant which address"
            " is yours."
        ),
        "green",
        2,
    ),
    Stage.PAID: Told(
        N_("Paid"), N_("The merchant has accepted your payment. Thank you."), "green", 3
    ),
    Stage.REFUND_ORDERED: Told(
        N_("The merchant prepares to send money back"),
        N_(
            "Nothing of this refund has been sent yet, and it may still be changed. This page shows"
            " it as soon as it is; please send nothing more."
        ),
        "purple",
    ),
    Stage.REFUNDING: Told(
        N_("A refund is being sent"),
        N_("The merchant is sending money back. Below stands how much, and how far it is."),
        "purple",
    ),
    Stage.REFUNDED: Told(
        N_("Refunded"),
        N_("The money went back. Please send nothing more to this address."),
        "secondary",
    ),
    Stage.OVER: Told(
        N_("The time to pay is over"),
        N_(
            "Please send nothing more; ask the merchant for a new invoice. A payment that is on"
            " its way already will still be found."
        ),
        "secondary",
    ),
    Stage.CALLED_OFF: Told(
        N_("This invoice was called off"),
        N_(
            "Please send nothing for it. If you have sent something already, contact the merchant:"
            " it can be sent back."
        ),
        "secondary",
    ),
}

PAYABLE: Final = frozenset({Stage.OPEN, Stage.PARTLY_SEEN, Stage.MISSING, Stage.WRONG_TOKEN})
"""Where a payer is shown what to send, and where to."""

WITH_RECEIPT: Final = frozenset({Stage.RECEIVED, Stage.RECEIVED_TOO_MUCH, Stage.PAID})
"""Where the payment is accepted, also one that is short of the amount, and stays."""

_SIMPLE: Final[Mapping[Status, Stage]] = {
    Status.APPROVAL_PENDING: Stage.NOT_OPEN,
    Status.APPROVAL_REJECTED: Stage.CALLED_OFF,
    Status.SCREENING: Stage.CHECKING,
    Status.COMPLIANCE_HOLD: Stage.CHECKING,
    Status.COMPLIANCE_DECLINED: Stage.CHECKING,
    Status.SWEEPING: Stage.PAID,
    Status.PAYOUT_PROCESSING: Stage.PAID,
    Status.COMPLETED: Stage.PAID,
    Status.REFUND_PENDING: Stage.REFUND_ORDERED,
    Status.REFUND_PROCESSING: Stage.REFUNDING,
    Status.REFUNDED: Stage.REFUNDED,
    Status.EXPIRED: Stage.OVER,
    Status.CANCELLED: Stage.CALLED_OFF,
}

_PARTICULAR: Final[Mapping[Context, Stage]] = {
    Context.PAID_LATE: Stage.LATE,
    Context.OVERPAID: Stage.TOO_MUCH,
}


def stage_of(invoice: Invoice, now: datetime) -> Stage:
    """Where the payment of an invoice stands, for the one who pays it."""
    in_time = not is_over(invoice, now)
    match invoice.status:
        case Status.AWAITING_PAYMENT if not in_time:
            return Stage.OVER
        case Status.AWAITING_PAYMENT:
            return Stage.BY_BANK if invoice.settlement == "fiat" else Stage.OPEN
        case Status.PAYMENT_DETECTED:
            return _arriving(invoice, in_time=in_time)
        case Status.RESOLUTION_REQUIRED:
            return _to_be_decided(invoice, in_time=in_time)
        case _ if stands_to_be_signed(invoice):
            return Stage.RECEIVED_TOO_MUCH if surplus(invoice) else Stage.RECEIVED
        case status:
            return _SIMPLE[status]


def _arriving(invoice: Invoice, *, in_time: bool) -> Stage:
    if not still_due(invoice) or is_partly_returned(invoice):
        return Stage.SEEN
    if not invoice.tally.assets:
        return _wrong_token(in_time=in_time)
    return Stage.PARTLY_SEEN if in_time else Stage.MISSING_LATE


def _to_be_decided(invoice: Invoice, *, in_time: bool) -> Stage:
    match invoice.context:
        case Context.UNDERPAID if is_partly_returned(invoice):
            return Stage.PARTLY_REFUNDED
        case Context.UNDERPAID if not still_due(invoice):
            return Stage.SEEN
        case Context.UNDERPAID:
            return Stage.MISSING if in_time else Stage.MISSING_LATE
        case Context.WRONG_ASSET:
            return _wrong_token(in_time=in_time)
        case context:
            return Stage.DECIDING if context is None else _PARTICULAR.get(context, Stage.DECIDING)


def _wrong_token(*, in_time: bool) -> Stage:
    """With time left the payer may still send the right one; without, the merchant decides."""
    return Stage.WRONG_TOKEN if in_time else Stage.DECIDING
