"""What screening and the movements of money are called on pages; `words` has everything else."""

from collections.abc import Iterable, Mapping
from typing import Final

from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.reckoning import holdings
from counterfoil.core.refund_rules import found_about, is_frozen
from counterfoil.core.rules import is_sanctioned, not_final
from counterfoil.desk import after_end
from counterfoil.desk.after_end import MoveRow
from counterfoil.pages.language import N_

FACTORS: Final[Mapping[str, str]] = {
    "kya_risk": N_("Who paid, and where the money came from"),
    "kya_risk_address": N_("The payer's address"),
    "kya_risk_counter_party": N_("Whom the payer dealt with"),
    "kya_accumulation_risk": N_("Risk that adds up over payments"),
    "large_transaction_risk": N_("Size of the payment"),
    "quick_in_out_risk": N_("Money that hardly stays"),
    "structuring_risk": N_("Payments split below a limit"),
    "transaction_frequency_risk": N_("How often payments come"),
    "volume_spike_risk": N_("Sudden growth"),
    "dormant_account_risk": N_("An account long unused"),
    "business_pattern_risk": N_("Unlike the customer's business"),
}
"""A screening's factors by their names on the wire (specs/aml.md 3)."""

LISTS: Final[Mapping[str, str]] = {"OFAC_SDN": N_("US sanctions list (OFAC SDN)")}
"""Sanctions lists by their codes; others are called by those."""

PURPOSES: Final[Mapping[str, str]] = {
    "sweep": N_("Collected into the pool"),
    "quarantine": N_("Taken to quarantine"),
    "restore": N_("Taken back from quarantine"),
    "payout": N_("Paid out"),
    "refund": N_("Sent back"),
    "partial_refund": N_("A part sent back"),
}
"""What a movement of ours was for."""

OWN_PLACES: Final[Mapping[str, str]] = {
    "sweep": N_("your pool"),
    "quarantine": N_("your quarantine wallet"),
    "restore": N_("your pool"),
}
"""Where a movement goes that names no address, since it stays with the organisation."""

MOVES: Final[Mapping[str, str]] = {
    "waiting": N_("waiting"),
    "ready": N_("to be signed"),
    "signed": N_("on its way"),
    "final": N_("final"),
    "failed": N_("failed"),
    "parked": N_("stands still"),
}
"""How far a movement has come."""

LEDGER: Final[Mapping[str, str]] = {
    "outside:payer": N_("the customer"),
    "outside:merchant": N_("you, outside"),
    "outside:network": N_("the chain, for fees"),
    "outside:token": N_("its token, as a fee"),
    "outside:funding": N_("whoever sent gas money"),
    "deposit": N_("the invoice's address"),
    "child": N_("the invoice's address"),
    "pool": N_("your pool"),
    "pool:coin": N_("your pool"),
    "hold": N_("your quarantine wallet"),
    "hold:coin": N_("your quarantine wallet"),
    "gas": N_("your gas station"),
    "operator": N_("the operator's gas wallet"),
}
"""Ledger account to where that is."""

SEVERITIES: Final = (
    N_("no risk"),
    N_("a low risk"),
    N_("unknown to them"),
    N_("a medium risk"),
    N_("a high risk"),
    N_("a severe risk"),
)
"""What `counterfoil.core.risk_rules` calls the answers of providers, for translators."""

VERDICTS: Final[Mapping[str, str]] = {
    "clear": N_("clear"),
    "manual_review": N_("to be looked at"),
    "aml_hold": N_("held"),
}
"""A screening's decision."""

PARTS: Final[Mapping[str, str]] = {
    "watch": N_("watching the chains"),
    "screen": N_("screening"),
    "move": N_("moving money"),
    "expire": N_("deadlines"),
    "attach": N_("transactions that are named"),
    "policy": N_("your rules"),
    "roles": N_("waiting for roles"),
}
"""Part of the system, as it signs log entries, to what it does."""

NEXT: Final[Mapping[Status, str]] = {
    Status.APPROVAL_PENDING: N_(
        "A reviewer approves or rejects it next. Nobody can pay it before."
    ),
    Status.APPROVAL_REJECTED: N_("It ended when it was rejected. A copy of it can be put right."),
    Status.AWAITING_PAYMENT: N_("The customer pays next; you see it here a moment later."),
    Status.PAYMENT_DETECTED: N_("The payment settles on its chain next, by itself."),
    Status.SCREENING: N_("Where the money comes from is looked at next, by itself."),
    Status.COMPLIANCE_HOLD: N_("Two compliance officers release or decline the money next."),
    Status.COMPLIANCE_DECLINED: N_("A signer orders next that the money goes back."),
    Status.RESOLUTION_REQUIRED: N_("A signer decides next what becomes of the payment."),
    Status.SIGN_PENDING: N_("A signer signs for the money next. It does not move before."),
    Status.SWEEPING: N_("The money arrives in your pool next, by itself."),
    Status.PAYOUT_PROCESSING: N_("The money arrives where it is paid out to next, by itself."),
    Status.COMPLETED: N_("All is done."),
    Status.REFUND_PENDING: N_("A second signer approves the refund next. Nothing is sent before."),
    Status.REFUND_PROCESSING: N_("The refund arrives at its address next, by itself."),
    Status.REFUNDED: N_("All is done: the money went back."),
    Status.EXPIRED: N_("Nobody paid in time. Money that still comes waits for a decision."),
    Status.CANCELLED: N_("It was called off. Money that still comes is kept for you to refund."),
}
"""Status to what happens next, and who brings it about; `next_of` looks at the money as well."""

CAME_AFTER: Final = N_(
    "Money that came after that, or was left over, is still with us. It is not paid out; a signer"
    " can order that it goes back."
)
STILL_COMING: Final = N_(
    "More money is settling on its chain; then a signer can order that it goes back."
)
NOT_FINAL: Final = N_(
    "All of the money has to be final on its chain before it can be signed for; it is within"
    " minutes, unless more keeps coming."
)
LISTED: Final = N_(
    "The money comes from a sanctioned address, so nobody can release it. Two compliance officers"
    " decline it next, unless the hit means somebody else."
)
"""What is told of money instead that is held and cannot be released."""
FROZEN: Final = N_(
    "The money comes from a sanctioned address and was declined, so it stays frozen where it lies."
    " It can go back only once two compliance officers find that the hit means somebody else."
)
"""What is told of money instead that was declined and cannot go back."""
FROZEN_LEFT: Final = N_(
    "Money that is still with us comes from a sanctioned address, so it stays frozen where it lies."
    " It can go back only once two compliance officers find that the hit means somebody else."
)
"""What is told of money instead that came after the end, or is to go back, and cannot."""

BY_BANK: Final[Mapping[Status, str]] = {
    Status.AWAITING_PAYMENT: N_(
        "The customer pays by bank transfer. Whether it was paid, your bank account says; nothing"
        " is seen of it here."
    ),
    Status.EXPIRED: N_(
        "The time to pay is over. Whether it was paid by bank transfer, your bank account says;"
        " nothing is seen of it here."
    ),
    Status.CANCELLED: N_(
        "It is called off. Whether it was paid by bank transfer before that, your bank account"
        " says; nothing is seen of it here."
    ),
}
"""What is told instead where the money goes to a bank, of which nothing is known."""


def next_of(invoice: Invoice, moved: Iterable[MoveRow] = ()) -> tuple[str, ...]:
    """What happens next with an invoice and its money, in one sentence or several.

    ``moved`` are all its movements.
    """
    by_bank = BY_BANK.get(invoice.status) if invoice.settlement == "fiat" else None
    told = by_bank or _by_screening(invoice) or NEXT[invoice.status]
    if invoice.status is Status.SIGN_PENDING and not_final(invoice):
        return told, NOT_FINAL
    if left := after_end.left_at(invoice, moved):
        stays = {is_frozen(invoice, (money,)) for money in left}
        return told, *(FROZEN_LEFT if frozen else CAME_AFTER for frozen in sorted(stays))
    coming = any(a.seen_units > a.confirmed_units for a in invoice.tally.everything)
    return (told, STILL_COMING) if coming and invoice.status.is_end else (told,)


def _by_screening(invoice: Invoice) -> str | None:
    """What is told instead of held or declined money by what was found, or is being looked for."""
    refund = invoice.open_refund
    if invoice.status is Status.REFUND_PENDING and refund is not None:
        found = found_about(invoice, refund.amounts)
        return FROZEN_LEFT if found is not None and found.sanctioned else None
    held = invoice.status is Status.COMPLIANCE_HOLD
    listed = {Status.COMPLIANCE_HOLD: LISTED, Status.COMPLIANCE_DECLINED: FROZEN}
    if invoice.status not in listed:
        return None
    if invoice.screening is None and invoice.tally.seen_any:
        return NEXT[Status.SCREENING]
    frozen = is_sanctioned(invoice) if held else is_frozen(invoice, holdings(invoice))
    return listed[invoice.status] if frozen else None
