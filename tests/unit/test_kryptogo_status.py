"""Where an invoice stands, in KryptoGO's words and back (specs/lifecycle.md D.3)."""

from dataclasses import replace

import pytest

from counterfoil.api.kryptogo.status import (
    CATEGORIES,
    INTENT_STATUSES,
    INVOICE_STATUSES,
    available_actions,
    category_of,
    intent_status,
    invoice_status,
    standings,
    verbs_of,
)
from counterfoil.core.invoice import Context, Status
from counterfoil.core.lifecycle import allowed_commands
from counterfoil.core.roles import Actor, permissions_of
from support.invoices import CHECKER, MAKER, SIGNER, invoice, paid

S, C = Status, Context

DOCUMENTED_INTENT_STATUSES = {
    "pending",
    "success",
    "expired",
    "insufficient_not_refunded",
    "insufficient_refunded",
    "cancelled",
    "aml_hold",
    "awaiting_approval",
    "manual_review",
    "refunded",
}

PROJECTIONS = [
    (S.APPROVAL_PENDING, None, "approval_pending", "awaiting_approval"),
    (S.APPROVAL_REJECTED, None, "approval_rejected", "cancelled"),
    (S.AWAITING_PAYMENT, None, "pending_payment", "pending"),
    (S.PAYMENT_DETECTED, None, "transaction_detected", "pending"),
    (S.SCREENING, None, "aml_scanning", "pending"),
    (S.COMPLIANCE_HOLD, C.HIGH_RISK, "compliance_freeze", "aml_hold"),
    (S.COMPLIANCE_HOLD, C.SANCTIONED, "compliance_freeze", "aml_hold"),
    (S.COMPLIANCE_DECLINED, C.HIGH_RISK, "compliance_freeze", "manual_review"),
    (S.RESOLUTION_REQUIRED, C.UNDERPAID, "payment_insufficient", "insufficient_not_refunded"),
    (S.RESOLUTION_REQUIRED, C.OVERPAID, "sign_pending", "success"),
    (S.RESOLUTION_REQUIRED, C.PAID_LATE, "sign_pending", "manual_review"),
    (S.RESOLUTION_REQUIRED, C.MULTIPLE_PAYERS, "sign_pending", "manual_review"),
    (S.RESOLUTION_REQUIRED, C.WRONG_ASSET, "payment_insufficient", "manual_review"),
    (S.SIGN_PENDING, C.EXACT, "sign_pending", "success"),
    (S.SIGN_PENDING, C.UNDERPAID, "sign_pending", "success"),
    (S.SWEEPING, C.EXACT, "sweep_processing", "success"),
    (S.PAYOUT_PROCESSING, C.OVERPAID, "payout_processing", "success"),
    (S.COMPLETED, C.EXACT, "completed", "success"),
    (S.REFUND_PENDING, C.EXACT, "refund_pending", "manual_review"),
    (S.REFUND_PENDING, C.UNDERPAID, "refund_pending", "insufficient_not_refunded"),
    (S.REFUND_PROCESSING, C.PAID_LATE, "refund_processing", "manual_review"),
    (S.REFUND_PROCESSING, C.UNDERPAID, "refund_processing", "insufficient_not_refunded"),
    (S.REFUNDED, C.EXACT, "refunded", "refunded"),
    (S.REFUNDED, C.UNDERPAID, "refunded", "insufficient_refunded"),
    (S.EXPIRED, None, "expired", "expired"),
    (S.CANCELLED, None, "cancelled", "cancelled"),
]


@pytest.mark.parametrize(("status", "context", "shown", "intent"), PROJECTIONS)
def test_each_standing_has_its_words(
    status: Status, context: Context | None, shown: str, intent: str
) -> None:
    assert invoice_status(status, context) == shown
    assert intent_status(status, context) == intent


def test_the_table_above_leaves_no_status_out() -> None:
    assert {row[0] for row in PROJECTIONS} == set(Status)
    assert {row[2] for row in PROJECTIONS} == set(INVOICE_STATUSES)
    assert {row[3] for row in PROJECTIONS} == set(INTENT_STATUSES) == DOCUMENTED_INTENT_STATUSES


def test_filtering_by_a_word_finds_exactly_what_shows_it() -> None:
    every = {(status, context) for status in Status for context in (None, *Context)}
    for word in INVOICE_STATUSES:
        assert standings(word) == {pair for pair in every if invoice_status(*pair) == word}
    assert standings(*INVOICE_STATUSES) == every


def test_every_word_stands_in_one_category() -> None:
    assert len(set(INVOICE_STATUSES)) == len(INVOICE_STATUSES)
    for name, words in CATEGORIES.items():
        assert {category_of(word) for word in words} == {name}


def member(uid: str, *roles: str) -> Actor:
    return Actor(uid=uid, org_id=1, permissions=permissions_of(roles))


@pytest.mark.parametrize(
    ("actor", "actions"),
    [
        (member(MAKER, "finance"), ["update", "cancel"]),
        (member(MAKER, "finance", "reviewer"), ["update", "reject", "cancel"]),
        (member(CHECKER, "reviewer"), ["approve", "reject"]),
        (member(SIGNER, "signer"), []),
        (member(CHECKER, "auditor"), []),
    ],
)
def test_actions_follow_role_and_four_eyes(actor: Actor, actions: list[str]) -> None:
    assert available_actions(invoice(), actor) == actions


def test_money_on_its_way_takes_cancelling_away() -> None:
    payable = invoice(S.AWAITING_PAYMENT)

    assert available_actions(payable, member(MAKER, "finance")) == ["cancel"]
    assert available_actions(replace(payable, tally=paid()), member(MAKER, "finance")) == []


def test_signing_waits_for_finality() -> None:
    signer = member(SIGNER, "signer")
    soft = invoice(S.SIGN_PENDING, tally=paid(final=0))

    assert available_actions(soft, signer) == ["refund"]
    assert available_actions(replace(soft, tally=paid()), signer) == ["sign", "refund"]


def test_refusals_speak_in_verbs_of_this_api() -> None:
    assert verbs_of(allowed_commands(S.APPROVAL_PENDING)) == [
        "update",
        "approve",
        "reject",
        "cancel",
    ]
    assert verbs_of(allowed_commands(S.COMPLIANCE_HOLD)) == []
