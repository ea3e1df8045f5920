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
    people_needed,
    standings,
    verbs_of,
)
from counterfoil.books.moves import MoveRow
from counterfoil.core.events import ApproveRefund, OrderRefund
from counterfoil.core.invoice import Context, Status
from counterfoil.core.roles import ROLES, Actor, permissions_of
from counterfoil.core.settlement import Settlement
from counterfoil.desk.queries import InvoiceView, fresh_view
from support.invoices import (
    CHECKER,
    CUSTOMER,
    DUE,
    MAKER,
    NOON,
    OFFICERS,
    SIGNER,
    clean,
    dirty,
    gone,
    invoice,
    paid,
)
from support.life import sign_pending, through
from support.rows import a_move

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
    assert available_actions(fresh_view(invoice()), actor) == actions


def test_who_edited_is_a_maker_too() -> None:
    changed = invoice(edited_by=(CHECKER,))

    assert available_actions(fresh_view(changed), member(CHECKER, "reviewer")) == ["reject"]


def test_money_on_its_way_takes_cancelling_away() -> None:
    payable = invoice(S.AWAITING_PAYMENT)

    merchant = member(MAKER, "finance")
    assert available_actions(fresh_view(payable), merchant) == ["cancel"]
    assert available_actions(fresh_view(replace(payable, tally=paid())), merchant) == []


def test_money_goes_nowhere_before_it_is_final() -> None:
    signer = member(SIGNER, "signer")
    soft = invoice(S.SIGN_PENDING, tally=paid(final=0), screening=clean(paid()))

    assert available_actions(fresh_view(soft), signer) == []
    assert available_actions(fresh_view(replace(soft, tally=paid())), signer) == ["sign", "refund"]


@pytest.mark.parametrize(
    ("context", "actions"),
    [
        (C.PAID_LATE, ["accept", "sign", "refund"]),
        (C.MULTIPLE_PAYERS, ["accept", "sign", "refund"]),
        (C.OVERPAID, ["accept", "sign", "refund"]),
        (C.UNDERPAID, ["accept", "refund"]),
        (C.WRONG_ASSET, ["accept", "refund"]),
    ],
)
def test_what_shows_as_sign_pending_can_be_signed(context: Context, actions: list[str]) -> None:
    particular = invoice(
        S.RESOLUTION_REQUIRED, context=context, tally=paid(), screening=clean(paid())
    )

    assert available_actions(fresh_view(particular), member(SIGNER, "signer")) == actions
    assert verbs_of(S.RESOLUTION_REQUIRED, context) == actions
    assert ("sign" in actions) == (invoice_status(particular.status, context) == "sign_pending")


def test_officers_decide_on_held_money_that_is_not_their_own_work() -> None:
    one, other = (member(uid, "compliance") for uid in OFFICERS)
    maker = member(MAKER, "compliance")
    money = paid()
    held = invoice(
        S.COMPLIANCE_HOLD,
        context=C.HIGH_RISK,
        tally=money,
        screening=dirty(money),
        releases=(one.uid,),
    )

    assert available_actions(fresh_view(held), one) == ["decline", "quarantine"]
    assert available_actions(fresh_view(held), other) == ["release", "decline", "quarantine"]
    assert available_actions(fresh_view(held), maker) == ["quarantine"]
    assert people_needed(held) == {"release": 1, "decline": 2}


def test_sanctioned_money_can_only_be_declined() -> None:
    money = paid()
    held = invoice(
        S.COMPLIANCE_HOLD,
        context=C.SANCTIONED,
        tally=money,
        screening=dirty(money, sanctioned=True),
    )

    officer = member(OFFICERS[0], "compliance")
    assert available_actions(fresh_view(held), officer) == ["decline", "quarantine"]
    assert people_needed(held) == {"decline": 2}
    assert people_needed(invoice(S.SIGN_PENDING, tally=money, screening=clean(money))) is None


def test_money_that_went_out_is_not_offered_for_a_refund() -> None:
    done = invoice(S.COMPLETED, tally=paid())
    signer = member(SIGNER, "signer")

    def after(settled: Settlement) -> InvoiceView:
        return fresh_view(replace(done, settled=settled))

    assert available_actions(after(gone(DUE)), signer) == ["refund"]
    assert available_actions(after(gone(DUE, DUE)), signer) == []
    assert available_actions(after(gone(DUE, DUE - 1)), signer) == ["refund"]
    assert available_actions(after(gone(DUE, DUE - 1, 1)), signer) == []


def test_a_refund_on_its_way_is_not_offered_to_be_withdrawn() -> None:
    ordered = through(
        sign_pending(),
        OrderRefund(at=NOON, by=SIGNER, address=CUSTOMER, reason="", attachment_file_ids=()),
    )
    moving = through(ordered, ApproveRefund(at=NOON, by=CHECKER))
    signer = member(SIGNER, "signer")
    source = ordered.refunds[0].refund_id.hex

    def after(move: MoveRow) -> InvoiceView:
        return replace(fresh_view(moving), moves=(replace(move, source_id=source),))

    assert available_actions(fresh_view(ordered), signer) == ["refund/withdraw"]
    assert available_actions(after(a_move("sweep")), signer) == ["refund/withdraw"]
    flying = replace(a_move("sweep", moved=None), status="signed", nonce=1)
    assert available_actions(after(flying), signer) == []
    assert available_actions(after(replace(a_move("refund"), nonce=1)), signer) == []


def test_an_ended_invoice_is_archived_once() -> None:
    ended = invoice(S.CANCELLED)
    merchant = member(MAKER, "finance")

    assert available_actions(fresh_view(ended), merchant) == ["archive"]
    assert available_actions(fresh_view(replace(ended, archived_at=NOON)), merchant) == []


def test_refusals_speak_in_verbs_of_this_api() -> None:
    assert verbs_of(S.APPROVAL_PENDING, None) == ["update", "approve", "reject", "cancel"]
    assert verbs_of(S.COMPLIANCE_HOLD, C.HIGH_RISK) == [
        "release",
        "decline",
        "escalate",
        "disposition",
        "quarantine",
    ]
    assert verbs_of(S.SWEEPING, C.EXACT) == []
    assert verbs_of(S.APPROVAL_PENDING, None, ROLES["finance"]) == ["update", "cancel"]


def test_every_status_leads_on_by_a_verb_or_by_itself() -> None:
    by_itself = {
        S.PAYMENT_DETECTED,
        S.SCREENING,
        S.SWEEPING,
        S.PAYOUT_PROCESSING,
        S.EXPIRED,
    }

    assert {status for status in S if not verbs_of(status, None)} == by_itself
