"""KryptoGO's words for where an invoice stands: a projection of (status, context), both ways.

Invoice statuses are those of specs/kryptogo.md C.5, payment-intent statuses those of the source's
table of ``PaymentIntent``, and the pairing is specs/lifecycle.md D.3.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from counterfoil.core.events import (
    Accept,
    Approve,
    ApproveRefund,
    Archive,
    Cancel,
    Command,
    Decline,
    DisposeHit,
    Edit,
    Escalate,
    OrderRefund,
    Quarantine,
    Reject,
    Release,
    SignOff,
    WithdrawRefund,
)
from counterfoil.core.invoice import Context, Invoice, Status
from counterfoil.core.roles import REQUIRED, Actor, Permission
from counterfoil.core.rules import PEOPLE_TO_DECIDE_A_HOLD, people_to_release
from counterfoil.desk.desk import Standing
from counterfoil.desk.possible import possible, stands
from counterfoil.desk.queries import InvoiceView

S = Status
C = Context

_INVOICE: Final = {
    S.APPROVAL_PENDING: "approval_pending",
    S.APPROVAL_REJECTED: "approval_rejected",
    S.AWAITING_PAYMENT: "pending_payment",
    S.PAYMENT_DETECTED: "transaction_detected",
    S.SCREENING: "aml_scanning",
    S.COMPLIANCE_HOLD: "compliance_freeze",
    S.COMPLIANCE_DECLINED: "compliance_freeze",
    S.RESOLUTION_REQUIRED: "sign_pending",
    S.SIGN_PENDING: "sign_pending",
    S.SWEEPING: "sweep_processing",
    S.PAYOUT_PROCESSING: "payout_processing",
    S.COMPLETED: "completed",
    S.REFUND_PENDING: "refund_pending",
    S.REFUND_PROCESSING: "refund_processing",
    S.REFUNDED: "refunded",
    S.EXPIRED: "expired",
    S.CANCELLED: "cancelled",
}

_INVOICE_BY_CONTEXT: Final = {
    (S.RESOLUTION_REQUIRED, C.UNDERPAID): "payment_insufficient",
    (S.RESOLUTION_REQUIRED, C.WRONG_ASSET): "payment_insufficient",
}

_INTENT: Final = {
    S.APPROVAL_PENDING: "awaiting_approval",
    S.APPROVAL_REJECTED: "cancelled",
    S.AWAITING_PAYMENT: "pending",
    S.PAYMENT_DETECTED: "pending",
    S.SCREENING: "pending",
    S.COMPLIANCE_HOLD: "aml_hold",
    S.COMPLIANCE_DECLINED: "manual_review",
    S.RESOLUTION_REQUIRED: "manual_review",
    S.SIGN_PENDING: "success",
    S.SWEEPING: "success",
    S.PAYOUT_PROCESSING: "success",
    S.COMPLETED: "success",
    S.REFUND_PENDING: "manual_review",
    S.REFUND_PROCESSING: "manual_review",
    S.REFUNDED: "refunded",
    S.EXPIRED: "expired",
    S.CANCELLED: "cancelled",
}

_INTENT_BY_CONTEXT: Final = {
    (S.RESOLUTION_REQUIRED, C.UNDERPAID): "insufficient_not_refunded",
    (S.RESOLUTION_REQUIRED, C.OVERPAID): "success",
    (S.REFUND_PENDING, C.UNDERPAID): "insufficient_not_refunded",
    (S.REFUND_PROCESSING, C.UNDERPAID): "insufficient_not_refunded",
    (S.REFUNDED, C.UNDERPAID): "insufficient_refunded",
}

CATEGORIES: Final = {
    "approval": ("approval_pending", "approval_rejected"),
    "pre_payment": (
        "pending_payment",
        "transaction_detected",
        "aml_scanning",
        "payment_insufficient",
    ),
    "compliance": ("compliance_freeze",),
    "settlement": ("sign_pending", "sweep_processing", "payout_processing"),
    "refund": ("refund_pending", "refund_processing"),
    "terminal": ("completed", "refunded", "expired", "cancelled"),
}
"""``status_category`` groups; every status stands in exactly one, so that their counts add up."""

INVOICE_STATUSES: Final = tuple(name for names in CATEGORIES.values() for name in names)
INTENT_STATUSES: Final = tuple(sorted({*_INTENT.values(), *_INTENT_BY_CONTEXT.values()}))

_STANDINGS: Final[tuple[Standing, ...]] = tuple((s, c) for s in Status for c in (None, *Context))


def invoice_status(status: Status, context: Context | None) -> str:
    """The invoice's workflow status on the wire."""
    special = _INVOICE_BY_CONTEXT.get((status, context)) if context else None
    return special or _INVOICE[status]


def intent_status(status: Status, context: Context | None) -> str:
    """The payment intent's status on the wire; a change of it is what callbacks tell."""
    special = _INTENT_BY_CONTEXT.get((status, context)) if context else None
    return special or _INTENT[status]


def category_of(wire_status: str) -> str:
    """The group a wire status belongs to."""
    return next(name for name, members in CATEGORIES.items() if wire_status in members)


def standings(*wire_statuses: str) -> frozenset[Standing]:
    """Every (status, context) that shows as one of these; the projection read backwards."""
    return frozenset(s for s in _STANDINGS if invoice_status(*s) in wire_statuses)


@dataclass(frozen=True, slots=True)
class Verb:
    """An action of this API: the end of its path, and the command it gives."""

    name: str
    command: type[Command]


VERBS: Final = (
    Verb("update", Edit),
    Verb("approve", Approve),
    Verb("reject", Reject),
    Verb("cancel", Cancel),
    Verb("release", Release),
    Verb("decline", Decline),
    Verb("escalate", Escalate),
    Verb("disposition", DisposeHit),
    Verb("quarantine", Quarantine),
    Verb("accept", Accept),
    Verb("sign", SignOff),
    Verb("refund", OrderRefund),
    Verb("refund/approve", ApproveRefund),
    Verb("refund/withdraw", WithdrawRefund),
    Verb("archive", Archive),
)
"""What this API can ask for, in the order in which it comes up."""


def verbs_of(
    status: Status,
    context: Context | None,
    permissions: Collection[Permission] = frozenset(Permission),
) -> list[str]:
    """The verbs that somebody with these permissions may use while an invoice stands here."""
    return [
        verb.name
        for verb in VERBS
        if REQUIRED[verb.command] in permissions and stands(status, context, verb.command)
    ]


def available_actions(view: InvoiceView, actor: Actor) -> list[str]:
    """The verbs that would be heard if this member sent them now: status, role and four eyes."""
    found = possible(view, actor)
    return [verb.name for verb in VERBS if verb.command in found]


def people_needed(invoice: Invoice) -> dict[str, int] | None:
    """How many more people a held payment needs for each decision; None where nothing is held."""
    if invoice.status is not S.COMPLIANCE_HOLD:
        return None
    decline = {"decline": PEOPLE_TO_DECIDE_A_HOLD - len(invoice.declines)}
    if invoice.context is C.SANCTIONED:
        return decline
    return {"release": people_to_release(invoice) - len(invoice.releases), **decline}
