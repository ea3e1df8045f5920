"""The lifecycle table, cell by cell and story by story (specs/lifecycle.md D.2)."""

from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal

import pytest

from counterfoil.core.errors import Forbidden, Invalid, OutOfPlace
from counterfoil.core.events import (
    COMMANDS,
    FACTS,
    MONEY_FACTS,
    Accept,
    Approve,
    Archive,
    Cancel,
    DeadlinePassed,
    Edit,
    Event,
    GraceOver,
    Leg,
    OrderRefund,
    PaidOut,
    PlanMoves,
    Recalculate,
    RefundSettled,
    Reject,
    ReleaseMoves,
    Screen,
    Screened,
    SignOff,
    StrayScreened,
    Swept,
    TransferConfirmed,
    TransferDropped,
    TransferSeen,
)
from counterfoil.core.invoice import Context, Invoice, PaymentRequest, Policy, Status
from counterfoil.core.lifecycle import LIFECYCLE, RULES, decide
from counterfoil.core.money import Money
from counterfoil.core.tally import Tally
from support.invoices import (
    CHECKER,
    CUSTOMER,
    DEADLINE,
    DUE,
    MAKER,
    MERCHANT_ADDRESS,
    NOON,
    QUOTE,
    SIGNER,
    STRANGER,
    USDT,
    clean,
    gone,
    invoice,
    paid,
)
from support.life import sign_pending, surplus_to, through

S = Status
NOTHING = Tally()


class TestTable:
    """What the table promises as a whole."""

    def test_each_cell_has_one_row(self) -> None:
        assert len(RULES) == len(LIFECYCLE)

    def test_money_facts_have_a_row_in_every_status(self) -> None:
        missing = [
            (status, fact)
            for status in Status
            for fact in MONEY_FACTS
            if (status, fact) not in RULES
        ]
        assert missing == []

    def test_every_status_can_be_reached(self) -> None:
        reached = {S.APPROVAL_PENDING} | {to for _, _, _, tos in LIFECYCLE for to in tos}
        assert reached == set(Status)

    def test_every_command_is_possible_somewhere(self) -> None:
        possible = {on for _, on, _, _ in LIFECYCLE}
        assert set(COMMANDS) <= possible

    def test_ends_can_only_be_left_by_a_refund(self) -> None:
        leaving = {
            (when, on) for when, on, _, to in LIFECYCLE if when.is_end and to != frozenset({when})
        }
        assert leaving == {(end, OrderRefund) for end in Status if end.is_end}


class TestApproval:
    """Nothing is payable before a second person approved it."""

    def test_approval_makes_it_payable_and_binds_the_content(self) -> None:
        after, _ = decide(invoice(), Approve(at=NOON, by=CHECKER, content_hash="c0ffee"))
        assert (after.status, after.approved_by, after.approved_hash) == (
            S.AWAITING_PAYMENT,
            CHECKER,
            "c0ffee",
        )

    def test_who_changed_it_made_it_too(self) -> None:
        edited = replace(invoice(), edited_by=(CHECKER,))
        with pytest.raises(Forbidden, match="created or changed"):
            decide(edited, Approve(at=NOON, by=CHECKER, content_hash=""))

    def test_who_saves_it_as_it_is_did_not_make_it(self) -> None:
        before = invoice(deadline_follows_approval=True, deadline_at=NOON)
        later = NOON + timedelta(hours=1)
        asked_anew = tuple(replace(one, quote=None) for one in before.requests)
        same = an_edit(before, deadline_at=later, requests=asked_anew)
        after, _ = decide(before, same)
        assert (after.edited_by, after.deadline_at) == ((), later)
        more = tuple(replace(one, due_units=one.due_units + 1) for one in before.requests)
        changes: list[dict[str, object]] = [
            {"requests": more},
            {"payout_to": {"evm": "0x" + "0d" * 20}},
            {"reviewer": "user_other"},
            {"deadline_at": later, "deadline_follows_approval": False},
        ]
        for change in changes:
            after, _ = decide(before, an_edit(before, **change))
            assert after.edited_by == (CHECKER,), change

    def test_money_that_came_before_the_approval_is_followed_from_there(self) -> None:
        approval = Approve(at=NOON, by=CHECKER, content_hash="")
        after, todo = decide(invoice(tally=paid(confirmed=0)), approval)
        assert (after.status, todo) == (S.PAYMENT_DETECTED, ())
        after, todo = decide(invoice(tally=paid()), approval)
        assert (after.status, todo) == (S.SCREENING, (Screen(),))

    def test_the_maker_is_not_the_checker(self) -> None:
        with pytest.raises(Forbidden, match="somebody else has to approve"):
            decide(invoice(), Approve(at=NOON, by=MAKER, content_hash=""))

    def test_unless_the_policy_says_so(self) -> None:
        alone = invoice(policy=Policy(maker_is_not_checker=False))
        after, _ = decide(alone, Approve(at=NOON, by=MAKER, content_hash=""))
        assert after.status is S.AWAITING_PAYMENT

    def test_an_invoice_past_its_deadline_is_not_approved(self) -> None:
        with pytest.raises(Invalid) as refusal:
            decide(invoice(), Approve(at=DEADLINE, by=CHECKER, content_hash=""))
        assert "payment_deadline" in refusal.value.fields

    def test_due_on_receipt_starts_when_it_becomes_payable(self) -> None:
        late = DEADLINE + timedelta(days=3)
        due_on_receipt = invoice(deadline_follows_approval=True)
        after, _ = decide(due_on_receipt, Approve(at=late, by=CHECKER, content_hash=""))
        assert after.deadline_at == late + timedelta(days=1)

    def test_rejected_is_the_end(self) -> None:
        after, _ = decide(invoice(), Reject(at=NOON, by=CHECKER, reason="wrong recipient"))
        assert after.status is S.APPROVAL_REJECTED
        with pytest.raises(OutOfPlace, match="possible now: order_refund, dispose_hit, archive"):
            decide(after, Approve(at=NOON, by=CHECKER, content_hash=""))

    def test_a_refusal_names_what_is_possible(self) -> None:
        with pytest.raises(OutOfPlace) as refusal:
            decide(invoice(), SignOff(at=NOON, by=SIGNER))
        assert refusal.value.data["allowed"] == ["edit", "approve", "reject", "cancel"]


class TestPayment:
    """Money comes in, goes away again, and becomes firm."""

    def test_seen_then_confirmed_then_screened_then_waiting_for_the_merchant(self) -> None:
        seen, todo = decide(
            invoice(S.AWAITING_PAYMENT),
            TransferSeen(at=NOON, by="w", tally=paid(confirmed=0)),
        )
        assert (seen.status, todo) == (S.PAYMENT_DETECTED, ())
        firm, todo = decide(seen, TransferConfirmed(at=NOON, by="w", tally=paid()))
        assert (firm.status, todo) == (S.SCREENING, (Screen(),))
        done, todo = decide(firm, Screened(at=NOON, by="w", screening=clean(paid())))
        assert (done.status, done.context, todo) == (S.SIGN_PENDING, Context.EXACT, ())

    def test_a_reorganised_payment_is_not_a_payment(self) -> None:
        gone = through(
            invoice(S.AWAITING_PAYMENT),
            TransferSeen(at=NOON, by="w", tally=paid(confirmed=0)),
            TransferDropped(at=NOON, by="w", tally=NOTHING),
        )
        assert gone.status is S.AWAITING_PAYMENT

    def test_a_late_payment_that_is_reorganised_leaves_it_expired(self) -> None:
        gone = through(
            invoice(S.AWAITING_PAYMENT),
            DeadlinePassed(at=DEADLINE, by="w"),
            TransferSeen(at=DEADLINE, by="w", tally=paid(confirmed=0)),
            TransferDropped(at=DEADLINE, by="w", tally=NOTHING),
        )
        assert gone.status is S.EXPIRED

    def test_a_confirmed_half_waits_for_the_half_on_its_way(self) -> None:
        half, todo = decide(
            invoice(S.AWAITING_PAYMENT),
            TransferConfirmed(at=NOON, by="w", tally=paid(DUE, confirmed=DUE // 2)),
        )
        assert (half.status, todo) == (S.PAYMENT_DETECTED, ())

    def test_half_and_nothing_on_its_way_needs_a_choice(self) -> None:
        half = sign_pending(paid(DUE // 2))
        assert (half.status, half.context) == (S.RESOLUTION_REQUIRED, Context.UNDERPAID)

    def test_a_top_up_after_underpayment_is_judged_anew(self) -> None:
        half = sign_pending(paid(DUE // 2))
        full = through(
            half,
            TransferSeen(at=NOON, by="w", tally=paid(DUE, confirmed=DUE // 2)),
            TransferConfirmed(at=NOON, by="w", tally=paid()),
            Screened(at=NOON, by="w", screening=clean(paid())),
        )
        assert (full.status, full.context) == (S.SIGN_PENDING, Context.EXACT)

    @pytest.mark.parametrize(("short", "context"), [(0, Context.EXACT), (1, Context.UNDERPAID)])
    def test_half_a_per_cent_is_forgiven_to_the_very_unit(
        self, short: int, context: Context
    ) -> None:
        lenient = Policy(underpay_ratio=Decimal("0.995"))
        enough = DUE * 995 // 1000
        assert sign_pending(paid(enough - short), policy=lenient).context is context

    def test_a_late_payment_needs_a_choice(self) -> None:
        late = DEADLINE + timedelta(seconds=1)
        assert sign_pending(paid(at=late)).context is Context.PAID_LATE

    def test_two_payers_need_a_choice(self) -> None:
        assert sign_pending(paid(payers=(CUSTOMER, STRANGER))).context is Context.MULTIPLE_PAYERS

    def test_money_that_comes_while_screening_is_screened_too(self) -> None:
        screening = invoice(S.SCREENING, tally=paid(DUE + 1))
        after, todo = decide(screening, Screened(at=NOON, by="w", screening=clean(paid())))
        assert (after.status, todo) == (S.SCREENING, (Screen(),))

    def test_telling_a_fact_twice_changes_nothing_more(self) -> None:
        fact = TransferConfirmed(at=NOON, by="w", tally=paid())
        once, _ = decide(invoice(S.AWAITING_PAYMENT), fact)
        assert decide(once, fact) == (once, ())


class TestTime:
    """The deadline closes an unpaid invoice, and only that."""

    def test_an_unpaid_invoice_expires_and_then_lapses(self) -> None:
        expired = through(invoice(S.AWAITING_PAYMENT), DeadlinePassed(at=DEADLINE, by="w"))
        assert expired.status is S.EXPIRED
        assert through(expired, GraceOver(at=DEADLINE, by="w")).status is S.CANCELLED

    def test_not_a_moment_too_early(self) -> None:
        early = DeadlinePassed(at=DEADLINE - timedelta(microseconds=1), by="w")
        assert through(invoice(S.AWAITING_PAYMENT), early).status is S.AWAITING_PAYMENT

    @pytest.mark.parametrize("status", [s for s in Status if s is not S.AWAITING_PAYMENT])
    def test_the_deadline_touches_nothing_else(self, status: Status) -> None:
        before = invoice(status)
        assert decide(before, DeadlinePassed(at=DEADLINE, by="w")) == (before, ())

    def test_an_invoice_with_money_on_its_way_cannot_be_cancelled(self) -> None:
        with pytest.raises(OutOfPlace, match="already on chain"):
            decide(
                invoice(S.AWAITING_PAYMENT, tally=paid(confirmed=0)),
                Cancel(at=NOON, by=MAKER),
            )


class TestSettlement:
    """What is signed for is swept, paid out and done."""

    def test_signing_plans_the_whole_way_of_the_money(self) -> None:
        after, (plan,) = decide(sign_pending(), SignOff(at=NOON, by=SIGNER))
        assert after.status is S.SWEEPING
        assert plan == PlanMoves(
            (
                Leg("sweep", Money(DUE, USDT), ""),
                Leg("payout", Money(DUE, USDT), MERCHANT_ADDRESS),
            )
        )

    def test_swept_releases_the_payout_and_its_end_is_the_end(self) -> None:
        signed = through(sign_pending(), SignOff(at=NOON, by=SIGNER))
        swept, todo = decide(signed, Swept(at=NOON, by="w", settled=gone(DUE), more_to_move=True))
        assert (swept.status, todo) == (S.PAYOUT_PROCESSING, (ReleaseMoves(),))
        done = through(swept, PaidOut(at=NOON, by="w", settled=gone(DUE, DUE)))
        assert (done.status, done.settled) == (S.COMPLETED, gone(DUE, DUE))

    def test_without_a_payout_address_the_pool_is_the_end(self) -> None:
        signed, (plan,) = decide(sign_pending(payout_to={}), SignOff(at=NOON, by=SIGNER))
        assert plan == PlanMoves((Leg("sweep", Money(DUE, USDT), ""),))
        done = through(signed, Swept(at=NOON, by="w", settled=gone(DUE), more_to_move=False))
        assert (done.status, done.completed_at) == (S.COMPLETED, NOON)

    def test_nothing_is_signed_before_it_is_final(self) -> None:
        with pytest.raises(OutOfPlace, match="not yet final"):
            decide(sign_pending(paid(final=0)), SignOff(at=NOON, by=SIGNER))

    def test_nothing_is_signed_while_more_is_on_its_way(self) -> None:
        waiting = sign_pending()
        more = TransferSeen(at=NOON, by="w", tally=paid(DUE * 9, confirmed=DUE, final=DUE))
        with pytest.raises(OutOfPlace, match="not yet final"):
            decide(through(waiting, more), SignOff(at=NOON, by=SIGNER))

    def test_money_that_comes_after_the_signature_is_screened_before_it_goes_along(self) -> None:
        signed = through(sign_pending(), SignOff(at=NOON, by=SIGNER))
        more = paid(DUE * 2, payers=(CUSTOMER, STRANGER))
        after, todo = decide(signed, TransferConfirmed(at=NOON, by="w", tally=more))
        assert (after.status, todo) == (S.SWEEPING, (Screen(),))
        done = through(after, Screened(at=NOON, by="w", screening=clean(more)))
        assert done.screening is not None
        assert done.screening.covers_all(more)

    def test_a_policy_never_signs_where_somebody_must_say_where_the_surplus_goes(self) -> None:
        automatic = Policy(sign_off_required=False)
        over = sign_pending(paid(DUE + 1), policy=automatic)
        assert (over.status, over.context) == (S.SIGN_PENDING, Context.OVERPAID)

    def test_an_overpaid_invoice_needs_to_know_where_the_surplus_goes(self) -> None:
        over = sign_pending(paid(DUE + 5))
        with pytest.raises(Invalid) as refusal:
            decide(over, SignOff(at=NOON, by=SIGNER))
        assert "refund_address" in refusal.value.fields

    def test_payout_and_surplus_together_are_what_came_in(self) -> None:
        over = sign_pending(paid(DUE + 5))
        signed, (plan,) = decide(over, surplus_to(CUSTOMER))
        assert plan == PlanMoves(
            (
                Leg("sweep", Money(DUE + 5, USDT), ""),
                Leg("payout", Money(DUE, USDT), MERCHANT_ADDRESS),
                Leg("partial_refund", Money(5, USDT), CUSTOMER, signed.refunds[0].refund_id),
            )
        )

    def test_without_a_human_sign_off_it_waits_for_finality_and_then_signs_itself(self) -> None:
        automatic = Policy(sign_off_required=False)
        waiting = sign_pending(paid(final=0), policy=automatic)
        assert waiting.status is S.SIGN_PENDING
        after, todo = decide(waiting, TransferConfirmed(at=NOON, by="w", tally=paid()))
        assert after.status is S.SWEEPING
        assert isinstance(todo[0], PlanMoves)


class TestResolution:
    """What is particular about a payment is somebody's choice."""

    def test_accepting_keeps_the_reason_in_sight(self) -> None:
        late = sign_pending(paid(at=DEADLINE + timedelta(days=1)))
        taken = through(late, Accept(at=NOON, by=SIGNER))
        assert (taken.status, taken.context) == (S.SIGN_PENDING, Context.PAID_LATE)

    def test_recalculating_judges_against_the_new_amount(self) -> None:
        late_at = DEADLINE + timedelta(days=1)
        late = sign_pending(paid(at=late_at), requests=(PaymentRequest(USDT, DUE, QUOTE),))
        dearer = (PaymentRequest(USDT, DUE + 1, QUOTE),)
        again = through(late, Recalculate(at=late_at, by=SIGNER, requests=dearer))
        assert (again.status, again.context) == (S.RESOLUTION_REQUIRED, Context.UNDERPAID)
        cheaper = (PaymentRequest(USDT, DUE, QUOTE),)
        again = through(late, Recalculate(at=late_at, by=SIGNER, requests=cheaper))
        assert (again.status, again.context) == (S.SIGN_PENDING, Context.EXACT)


class TestEnds:
    """What has ended stays as it ended; money that still comes is kept in sight."""

    @pytest.mark.parametrize("status", [s for s in Status if s.is_end])
    def test_late_money_is_noted_and_changes_nothing_else(self, status: Status) -> None:
        before = invoice(status)
        after, todo = decide(before, TransferConfirmed(at=NOON, by="w", tally=paid()))
        assert after == replace(before, tally=paid())
        assert todo == ()

    def test_archiving_keeps_the_first_time(self) -> None:
        ended = invoice(S.CANCELLED)
        first = through(ended, Archive(at=NOON, by=MAKER))
        again = through(first, Archive(at=DEADLINE, by=MAKER))
        assert again.archived_at == NOON

    @pytest.mark.parametrize("fact", [f for f in FACTS if f not in MONEY_FACTS])
    def test_facts_out_of_place_are_never_refused(self, fact: type[Event]) -> None:
        extra: dict[type[Event], dict[str, object]] = {
            Screened: {"screening": clean(paid())},
            StrayScreened: {"screening": clean(paid())},
            Swept: {"more_to_move": False, "settled": gone(DUE)},
            PaidOut: {"settled": gone(DUE, DUE)},
            RefundSettled: {"settled": gone(DUE, 0, DUE)},
        }
        ended = invoice(S.CANCELLED)
        event = fact(at=NOON, by="w", **extra.get(fact, {}))
        assert decide(ended, event) == (ended, ())


def an_edit(before: Invoice, **change: object) -> Edit:
    """A change of an invoice to what it says already, but for ``change``."""
    names = {field.name for field in fields(Edit)} - {"at", "by", "reason"}
    same = {name: getattr(before, name) for name in names}
    return Edit(at=NOON, by=CHECKER, **{**same, **change})
