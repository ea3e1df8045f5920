"""Refunds in the lifecycle: ordered, approved, withdrawn and settled, one after another."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from counterfoil.core import reckoning
from counterfoil.core.errors import Forbidden, Invalid, OutOfPlace
from counterfoil.core.events import (
    Accept,
    ApproveRefund,
    GiveUpMoves,
    Leg,
    OrderRefund,
    PaidOut,
    PlanMoves,
    RefundSettled,
    ReleaseMoves,
    Screen,
    Screened,
    SignOff,
    Swept,
    TransferConfirmed,
    WithdrawRefund,
)
from counterfoil.core.invoice import Context, Invoice, Policy, RefundStatus, Status
from counterfoil.core.lifecycle import decide
from counterfoil.core.money import Money
from counterfoil.core.settlement import Settlement
from counterfoil.core.tally import Tally
from support.invoices import (
    CHECKER,
    CUSTOMER,
    DEADLINE,
    DUE,
    MERCHANT_ADDRESS,
    NOON,
    SIGNER,
    STRANGER,
    USDC,
    USDT,
    clean,
    dirty,
    gone,
    invoice,
    paid,
)
from support.life import sign_pending, surplus_to, through

S = Status
APPROVE = ApproveRefund(at=NOON, by=CHECKER)
WITHDRAW = WithdrawRefund(at=NOON, by=SIGNER)


def order(units: int | None = None) -> OrderRefund:
    """Somebody asks for so much to be sent back, or for all that is left."""
    return OrderRefund(
        at=NOON,
        by=SIGNER,
        address=CUSTOMER,
        reason="wrong",
        attachment_file_ids=(UUID(int=9),),
        amounts=() if units is None else (Money(units, USDT),),
    )


def settled(swept: int, paid_out: int, returned: int) -> RefundSettled:
    return RefundSettled(at=NOON, by="w", settled=gone(swept, paid_out, returned))


def completed(units: int = DUE, *, paid_out: int = 0) -> Invoice:
    """A completed invoice whose money was swept, and went to the merchant as far as said."""
    return invoice(
        S.COMPLETED,
        tally=paid(units),
        screening=clean(paid(units)),
        context=Context.EXACT,
        settled=gone(units, paid_out),
    )


class TestWhole:
    """Everything goes back, and that is the end."""

    def test_a_second_person_approves_and_everything_goes_back_through_the_pool(self) -> None:
        ordered = through(sign_pending(), order())
        refund = ordered.open_refund
        assert refund is not None
        after, (plan,) = decide(ordered, APPROVE)
        assert after.status is S.REFUND_PROCESSING
        assert plan == PlanMoves(
            (
                Leg("sweep", Money(DUE, USDT), "", refund.refund_id),
                Leg("refund", Money(DUE, USDT), CUSTOMER, refund.refund_id),
            )
        )
        swept, todo = decide(after, Swept(at=NOON, by="w", settled=gone(DUE), more_to_move=True))
        assert todo == (ReleaseMoves(),)
        done = through(swept, settled(DUE, 0, DUE))
        assert (done.status, done.settled) == (S.REFUNDED, gone(DUE, 0, DUE))
        assert [one.status for one in done.refunds] == [RefundStatus.SETTLED]

    def test_who_orders_does_not_approve(self) -> None:
        with pytest.raises(Forbidden, match="somebody else"):
            decide(through(sign_pending(), order()), ApproveRefund(at=NOON, by=SIGNER))

    def test_two_parts_that_are_all_of_it_end_refunded(self) -> None:
        half = through(completed(), order(DUE // 2), APPROVE, settled(DUE, 0, DUE // 2))
        assert half.status is S.COMPLETED
        rest = through(half, order(), APPROVE, settled(DUE, 0, DUE))
        assert rest.status is S.REFUNDED
        assert [(one.number, one.is_whole) for one in rest.refunds] == [(1, False), (2, True)]
        assert len({one.refund_id for one in rest.refunds}) == 2


class TestPart:
    """Some of it goes back, and the invoice goes on."""

    def test_of_a_completed_invoice_it_leaves_the_pool_at_once(self) -> None:
        after, (plan, release) = decide(through(completed(), order(7)), APPROVE)
        refund = after.refunds[0]
        assert refund.after_completion
        assert plan == PlanMoves(
            (Leg("partial_refund", Money(7, USDT), CUSTOMER, refund.refund_id),)
        )
        assert release == ReleaseMoves()
        assert through(after, settled(DUE, 0, 7)).status is S.COMPLETED

    def test_a_refunded_surplus_leaves_an_exact_payment_to_be_signed_for(self) -> None:
        over = sign_pending(paid(DUE + 5), policy=Policy(overpaid="resolve"))
        assert (over.status, over.context) == (S.RESOLUTION_REQUIRED, Context.OVERPAID)
        back = through(over, order(5), APPROVE, settled(DUE + 5, 0, 5))
        assert (back.status, back.context) == (S.SIGN_PENDING, Context.EXACT)
        signed, todo = decide(back, SignOff(at=NOON, by=SIGNER))
        assert signed.status is S.PAYOUT_PROCESSING
        payout = Leg("payout", Money(DUE, USDT), MERCHANT_ADDRESS)
        assert todo == (PlanMoves((payout,)), ReleaseMoves())

    def test_where_the_pool_is_the_end_signing_completes_at_once(self) -> None:
        over = sign_pending(paid(DUE + 5), policy=Policy(overpaid="resolve"), payout_to={})
        back = through(over, order(5), APPROVE, settled(DUE + 5, 0, 5))
        signed, todo = decide(back, SignOff(at=NOON, by=SIGNER))
        assert (signed.status, signed.completed_at, todo) == (S.COMPLETED, NOON, ())

    def test_too_much_sent_back_is_a_payment_too_small(self) -> None:
        short = through(sign_pending(), order(5), APPROVE, settled(DUE, 0, 5))
        assert (short.status, short.context) == (S.RESOLUTION_REQUIRED, Context.UNDERPAID)

    def test_a_policy_that_signs_for_itself_goes_on_by_itself(self) -> None:
        automatic = Policy(sign_off_required=False)
        over = sign_pending(paid(DUE + 5), policy=automatic)
        after, todo = decide(through(over, order(5), APPROVE), settled(DUE + 5, 0, 5))
        assert after.status is S.PAYOUT_PROCESSING
        assert isinstance(todo[0], PlanMoves)
        same = through(over, order(5), WITHDRAW)
        assert (same.status, same.context) == (S.SIGN_PENDING, Context.OVERPAID)

    def test_only_the_asset_that_is_short_in_the_pool_is_swept(self) -> None:
        both = Tally(assets=(*paid().assets, *paid(asset=USDC).assets), payers=(CUSTOMER,))
        swept = gone(DUE, asset=USDC)
        start = invoice(S.COMPLETED, tally=both, screening=clean(both), settled=swept)
        ordered = through(start, replace(order(), amounts=(Money(3, USDC), Money(4, USDT))))
        _, (plan,) = decide(ordered, APPROVE)
        assert isinstance(plan, PlanMoves)
        sweeps = [leg.money for leg in plan.legs if leg.purpose == "sweep"]
        assert sweeps == [Money(DUE, USDT)]

    def test_what_the_pool_has_enough_of_is_not_swept_beside_it(self) -> None:
        late = replace(completed(), tally=paid(DUE + 9, payers=(CUSTOMER, STRANGER)))
        ordered, todo = decide(late, order(7))
        assert todo == (Screen(),)
        _, (plan, _) = decide(ordered, APPROVE)
        assert isinstance(plan, PlanMoves)
        assert [leg.purpose for leg in plan.legs] == ["partial_refund"]

    def test_it_is_swept_for_what_is_certain_of_the_payment(self) -> None:
        """What is safe may still go, and a sweep that brings less than it was to parks."""
        safe = paid(DUE + 50, final=DUE)
        start = invoice(S.CANCELLED, tally=safe, screening=clean(safe))
        _, (plan, *_) = decide(through(start, order(DUE)), APPROVE)
        assert isinstance(plan, PlanMoves)
        assert [(leg.purpose, leg.money.units) for leg in plan.legs] == [
            ("sweep", DUE),
            ("partial_refund", DUE),
        ]


class TestBudget:
    """Payouts and refunds share what came in."""

    def test_what_the_merchant_has_is_not_refunded(self) -> None:
        with pytest.raises(OutOfPlace, match="already been paid out") as refusal:
            decide(completed(paid_out=DUE), order())
        assert refusal.value.data["rule"] == "budget"

    def test_nothing_came_nothing_goes(self) -> None:
        with pytest.raises(OutOfPlace, match="nothing to refund"):
            decide(invoice(S.CANCELLED), order())

    @pytest.mark.parametrize(("units", "why"), [(0, "more than zero"), (6, "is more than")])
    def test_an_amount_that_cannot_be_names_what_is_left(self, units: int, why: str) -> None:
        with pytest.raises(Invalid, match=why) as refusal:
            decide(completed(paid_out=DUE - 5), order(units))
        assert "what is left is 0.000005 USDT" in refusal.value.fields["refund_amount"]

    def test_only_what_is_final_goes_back(self) -> None:
        money = paid(DUE, final=DUE - 5)
        soft = invoice(S.SIGN_PENDING, tally=money, screening=clean(money))
        for asked in (order(), order(DUE - 4)):
            with pytest.raises(OutOfPlace, match="not yet final") as refusal:
                decide(soft, asked)
            assert refusal.value.data["rule"] == "finality"
        assert through(soft, order(DUE - 5)).status is S.REFUND_PENDING

    def test_an_approval_counts_again(self) -> None:
        ordered = through(completed(), order())
        with pytest.raises(Invalid, match="more than is still here"):
            decide(replace(ordered, settled=gone(DUE, 1)), APPROVE)

    def test_one_refund_at_a_time(self) -> None:
        with pytest.raises(OutOfPlace, match="approve_refund, withdraw_refund"):
            decide(through(completed(), order(1)), order(1))


class TestWithdrawal:
    """A refund that is called off leaves no trace but its record."""

    @pytest.mark.parametrize("approved", [False, True])
    def test_it_stands_where_it_stood(self, approved: bool) -> None:  # noqa: FBT001 - a case
        accepted = through(sign_pending(paid(DUE // 2)), Accept(at=NOON, by=SIGNER))
        ordered = through(accepted, order(), *([APPROVE] if approved else []))
        after, todo = decide(ordered, replace(WITHDRAW, by=CHECKER))
        assert (after.status, after.context) == (S.SIGN_PENDING, Context.UNDERPAID)
        (refund,) = after.refunds
        assert (refund.status, refund.withdrawn_by) == (RefundStatus.WITHDRAWN, CHECKER)
        assert todo == (GiveUpMoves(),)
        assert through(after, order()).refunds[1].number == 2

    def test_money_that_came_meanwhile_is_looked_at_and_judged(self) -> None:
        ordered = through(sign_pending(paid(DUE // 2)), order())
        more, todo = decide(ordered, TransferConfirmed(at=NOON, by="w", tally=paid(DUE)))
        assert (more.status, todo) == (S.REFUND_PENDING, (Screen(),))
        unseen, todo = decide(more, WITHDRAW)
        assert (unseen.status, todo[1:]) == (S.SCREENING, (Screen(),))
        seen = through(more, Screened(at=NOON, by="w", screening=clean(paid(DUE))), WITHDRAW)
        assert (seen.status, seen.context) == (S.SIGN_PENDING, Context.EXACT)
        found = Screened(at=NOON, by="w", screening=dirty(paid(DUE)))
        assert through(more, found, WITHDRAW).status is S.COMPLIANCE_HOLD

    @pytest.mark.parametrize(
        "status", [S.COMPLETED, S.CANCELLED, S.APPROVAL_REJECTED, S.REFUNDED, S.COMPLIANCE_DECLINED]
    )
    def test_what_had_ended_stays_ended(self, status: Status) -> None:
        ended = invoice(status, tally=paid(), screening=clean(paid()))
        after = through(ended, order(), WITHDRAW)
        assert after == replace(ended, refunds=after.refunds)


class TestLateMoney:
    """Money for an invoice that has ended is never lost, and never moves unseen."""

    @pytest.mark.parametrize("status", [S.CANCELLED, S.APPROVAL_REJECTED])
    def test_it_is_screened_and_goes_back(self, status: Status) -> None:
        late = paid(at=DEADLINE + timedelta(days=365))
        ended = through(invoice(status), TransferConfirmed(at=NOON, by="w", tally=late))
        ordered, todo = decide(ended, order())
        assert (ordered.status, todo) == (S.REFUND_PENDING, (Screen(),))
        done = through(
            ordered,
            Screened(at=NOON, by="w", screening=clean(late)),
            APPROVE,
            settled(DUE, 0, DUE),
        )
        assert done.status is S.REFUNDED

    def test_of_a_completed_invoice_only_what_came_late_goes_back(self) -> None:
        more = paid(DUE + 9, payers=(CUSTOMER, STRANGER))
        late = replace(completed(paid_out=DUE), tally=more)
        ordered, todo = decide(late, order())
        assert todo == (Screen(),)
        _, (plan,) = decide(ordered, APPROVE)
        refund_id = ordered.refunds[0].refund_id
        assert plan == PlanMoves(
            (
                Leg("sweep", Money(9, USDT), "", refund_id),
                Leg("partial_refund", Money(9, USDT), CUSTOMER, refund_id),
            )
        )
        done = through(ordered, APPROVE, settled(DUE + 9, DUE, 9))
        assert (done.status, reckoning.holdings(done)) == (S.COMPLETED, ())

    def test_of_a_refunded_invoice_it_goes_back_too(self) -> None:
        back = through(sign_pending(), order(), APPROVE, settled(DUE, 0, DUE))
        again = through(back, TransferConfirmed(at=NOON, by="w", tally=paid(DUE + 9)))
        done = through(again, order(), APPROVE, settled(DUE + 9, 0, DUE + 9))
        assert done.status is S.REFUNDED
        assert done.refunds[1].amounts == (Money(9, USDT),)

    def test_money_that_is_frozen_stays_where_it_lies(self) -> None:
        money = paid()
        frozen = invoice(
            S.COMPLIANCE_DECLINED, tally=money, screening=dirty(money, sanctioned=True)
        )
        with pytest.raises(OutOfPlace, match="frozen") as refusal:
            decide(frozen, order())
        assert refusal.value.data["rule"] == "sanctions_hit"

    def test_frozen_money_that_a_sweep_took_along_stays_in_the_pool(self) -> None:
        money = paid(DUE + 9)
        swept = Settlement(swept=((USDT.key, DUE + 9),))
        frozen = invoice(
            S.COMPLIANCE_DECLINED,
            tally=money,
            screening=dirty(money, sanctioned=True),
            settled=swept,
        )
        for wanted in ((), (9,)):
            with pytest.raises(OutOfPlace, match="frozen"):
                decide(frozen, order(*wanted))

    def test_what_was_clean_in_the_pool_goes_back_beside_frozen_money_at_the_address(self) -> None:
        money = paid(DUE + 9)
        late = invoice(
            S.COMPLIANCE_DECLINED,
            tally=money,
            screening=dirty(money, sanctioned=True),
            settled=Settlement(swept=((USDT.key, DUE),)),
        )
        assert decide(late, order(DUE))[0].status is S.REFUND_PENDING
        with pytest.raises(OutOfPlace, match="frozen"):
            decide(late, order())

    def test_found_on_a_list_after_the_order_it_is_not_approved(self) -> None:
        ended = through(invoice(S.CANCELLED), TransferConfirmed(at=NOON, by="w", tally=paid()))
        found = Screened(at=NOON, by="w", screening=dirty(paid(), sanctioned=True))
        with pytest.raises(OutOfPlace, match="frozen"):
            decide(through(ended, order(), found), APPROVE)

    def test_declined_money_in_parts_stays_declined(self) -> None:
        money = paid()
        declined = invoice(S.COMPLIANCE_DECLINED, tally=money, screening=dirty(money))
        half = through(declined, order(DUE // 2), APPROVE, settled(DUE, 0, DUE // 2))
        assert half.status is S.COMPLIANCE_DECLINED
        assert through(half, order(), APPROVE, settled(DUE, 0, DUE)).status is S.REFUNDED


class TestSurplusAtSignOff:
    """Who signs for too much sends the surplus back with the same signature."""

    def test_it_is_a_refund_like_any_other(self) -> None:
        over = sign_pending(paid(DUE + 5))
        signed = through(over, surplus_to(CUSTOMER))
        (refund,) = signed.refunds
        assert (refund.status, refund.amounts) == (RefundStatus.PROCESSING, (Money(5, USDT),))
        assert (refund.ordered_by, refund.approved_by) == (SIGNER, SIGNER)
        done = through(
            signed,
            Swept(at=NOON, by="w", settled=gone(DUE + 5), more_to_move=True),
            PaidOut(at=NOON, by="w", settled=gone(DUE + 5, DUE, 5)),
        )
        assert (done.status, done.refunds[0].status) == (S.COMPLETED, RefundStatus.SETTLED)
        assert reckoning.holdings(done) == ()


class TestSurplusElsewhere:
    """A surplus that does not go back to where it came from: the sign-off waits with it."""

    def waiting(self) -> Invoice:
        return through(sign_pending(paid(DUE + 5)), surplus_to(STRANGER, goes_home=False))

    def test_nothing_moves_before_a_second_person_has_looked(self) -> None:
        waiting, todo = decide(sign_pending(paid(DUE + 5)), surplus_to(STRANGER, goes_home=False))
        (refund,) = waiting.refunds
        assert (waiting.status, todo) == (S.REFUND_PENDING, ())
        assert (waiting.signed_off_by, waiting.signed_off_at) == (None, None)
        assert (refund.status, refund.with_sign_off) == (RefundStatus.PENDING, True)
        assert (refund.ordered_by, refund.second_person) == (SIGNER, None)
        with pytest.raises(Forbidden, match="you ordered this refund"):
            decide(waiting, ApproveRefund(at=NOON, by=SIGNER))

    def test_payout_and_surplus_are_planned_together_with_the_second_persons_word(self) -> None:
        going, (plan,) = decide(self.waiting(), APPROVE)
        (refund,) = going.refunds
        assert plan == PlanMoves(
            (
                Leg("sweep", Money(DUE + 5, USDT), ""),
                Leg("payout", Money(DUE, USDT), MERCHANT_ADDRESS),
                Leg("partial_refund", Money(5, USDT), STRANGER, refund.refund_id),
            )
        )
        assert (going.status, going.signed_off_by) == (S.SWEEPING, SIGNER)
        assert (refund.status, refund.second_person) == (RefundStatus.PROCESSING, CHECKER)
        done = through(
            going,
            Swept(at=NOON, by="w", settled=gone(DUE + 5), more_to_move=True),
            PaidOut(at=NOON, by="w", settled=gone(DUE + 5, DUE, 5)),
        )
        assert (done.status, done.refunds[0].status) == (S.COMPLETED, RefundStatus.SETTLED)

    def test_withdrawn_it_is_to_be_signed_as_before(self) -> None:
        back = through(self.waiting(), WITHDRAW)
        assert (back.status, back.context) == (S.SIGN_PENDING, Context.OVERPAID)
        assert (back.signed_off_by, back.refunds[0].status) == (None, RefundStatus.WITHDRAWN)
        assert through(back, surplus_to(CUSTOMER)).status is S.SWEEPING

    def test_what_came_in_between_is_not_signed_for_by_the_way(self) -> None:
        more = paid(DUE + 9)
        unscreened = through(self.waiting(), TransferConfirmed(at=NOON, by="w", tally=more))
        with pytest.raises(OutOfPlace, match="being screened"):
            decide(unscreened, APPROVE)
        screened = through(unscreened, Screened(at=NOON, by="w", screening=clean(more)))
        with pytest.raises(OutOfPlace, match="another amount is too much"):
            decide(screened, APPROVE)
        assert through(screened, WITHDRAW).status is S.SIGN_PENDING

    def test_a_finding_in_between_holds_the_money_and_the_order_is_off(self) -> None:
        more = paid(DUE + 9)
        held = through(
            self.waiting(),
            TransferConfirmed(at=NOON, by="w", tally=more),
            Screened(at=NOON, by="system:screen", screening=dirty(more)),
        )
        (refund,) = held.refunds
        assert held.status is S.COMPLIANCE_HOLD
        assert (refund.status, refund.withdrawn_by) == (RefundStatus.WITHDRAWN, "system:screen")

    def test_a_refund_that_was_ordered_by_itself_leaves_a_finding_to_its_way(self) -> None:
        dirt = dirty(paid(DUE))
        pending = through(sign_pending(), order(7), Screened(at=NOON, by="w", screening=dirt))
        assert pending.status is S.REFUND_PENDING
