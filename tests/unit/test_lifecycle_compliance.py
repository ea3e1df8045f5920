"""Held money: who may let it go, and when it goes by itself (specs/lifecycle.md D.2)."""

from dataclasses import replace

import pytest

from counterfoil.core.errors import Forbidden, OutOfPlace
from counterfoil.core.events import (
    Decline,
    DisposeHit,
    GiveUpMoves,
    OrderRefund,
    Release,
    Screen,
    Screened,
    SignOff,
    TransferConfirmed,
)
from counterfoil.core.invoice import Context, Invoice, PaymentRequest, Policy, Status
from counterfoil.core.lifecycle import allowed_commands, decide
from counterfoil.core.money import Money
from counterfoil.core.reckoning import Depth, Received, tally
from support.invoices import (
    CHECKER,
    CUSTOMER,
    DUE,
    MAKER,
    NOON,
    OFFICERS,
    SIGNER,
    STRANGER,
    USDC,
    USDT,
    clean,
    dirty,
    gone,
    invoice,
    paid,
    silent,
)
from support.life import sign_pending, through

S = Status


def somebody_else(officer: str) -> DisposeHit:
    """One officer's word that a hit of the customer's address means somebody else."""
    return DisposeHit(
        at=NOON,
        by=officer,
        list_code="OFAC_SDN",
        entry_uid="1",
        payer=CUSTOMER,
        fingerprint="f",
        evidence=(),
        reason="another person",
    )


class TestCompliance:
    """Held money moves only when two uninvolved people say so, and sanctioned money never."""

    def held(self, *, sanctioned: bool = False) -> Invoice:
        found = Screened(at=NOON, by="w", screening=dirty(paid(), sanctioned=sanctioned))
        return through(invoice(S.SCREENING, tally=paid(), approved_by=CHECKER), found)

    def test_a_finding_holds(self) -> None:
        assert (self.held().status, self.held().context) == (S.COMPLIANCE_HOLD, Context.HIGH_RISK)

    def test_two_people_release(self) -> None:
        one, two = (Release(at=NOON, by=officer, reason="checked") for officer in OFFICERS)
        first = through(self.held(), one)
        assert first.status is S.COMPLIANCE_HOLD
        assert through(first, two).status is S.SIGN_PENDING

    def test_one_person_twice_is_one_person(self) -> None:
        first = through(self.held(), Release(at=NOON, by=OFFICERS[0], reason="checked"))
        with pytest.raises(Forbidden, match="second person"):
            decide(first, Release(at=NOON, by=OFFICERS[0], reason="again"))

    @pytest.mark.parametrize("involved", [MAKER, CHECKER])
    def test_those_involved_do_not_decide(self, involved: str) -> None:
        with pytest.raises(Forbidden, match="other people"):
            decide(self.held(), Release(at=NOON, by=involved, reason="mine"))

    def test_sanctioned_money_cannot_be_released(self) -> None:
        with pytest.raises(OutOfPlace, match="sanctioned"):
            decide(self.held(sanctioned=True), Release(at=NOON, by=OFFICERS[0], reason="?"))

    def test_two_people_decline_and_then_it_can_only_be_refunded(self) -> None:
        one, two = (Decline(at=NOON, by=officer, reason="no") for officer in OFFICERS)
        declined = through(self.held(), one, two)
        assert declined.status is S.COMPLIANCE_DECLINED
        assert allowed_commands(declined.status) == [
            "order_refund",
            "dispose_hit",
            "quarantine",
            "take_note",
        ]

    def test_a_hit_on_declined_money_found_false_is_screened_anew_and_it_stays_declined(
        self,
    ) -> None:
        no = [Decline(at=NOON, by=officer, reason="no") for officer in OFFICERS]
        declined = through(self.held(sanctioned=True), *no)
        assert declined.context is Context.SANCTIONED
        more = paid(DUE * 2, payers=(CUSTOMER, STRANGER))
        came = through(declined, TransferConfirmed(at=NOON, by="w", tally=more))
        one, two = (somebody_else(officer) for officer in OFFICERS)
        known, todo = decide(through(came, one), two)
        assert (known.status, known.screening, todo) == (S.COMPLIANCE_DECLINED, None, (Screen(),))
        with pytest.raises(OutOfPlace, match="being screened"):
            decide(known, one)

        cleared = through(known, Screened(at=NOON, by="w", screening=clean(more)))
        assert (cleared.status, cleared.context) == (S.COMPLIANCE_DECLINED, Context.HIGH_RISK)
        assert cleared.screening == clean(more)
        found = Screened(at=NOON, by="w", screening=dirty(more, sanctioned=True))
        again = through(known, found)
        assert (again.context, again.disposals) == (Context.SANCTIONED, ())

    def test_a_hit_on_what_came_instead_stays_with_it_once_the_payment_comes(self) -> None:
        """The customer's money is held with it, for people; but it is not what was hit."""
        mallory = Received(USDC, DUE, STRANGER, Depth.FINAL, NOON)
        customer = Received(USDT, DUE, CUSTOMER, Depth.FINAL, NOON)
        asked = (PaymentRequest(USDT, DUE, None),)
        instead, both = (tally(asked, came, Policy()) for came in ([mallory], [mallory, customer]))
        hit = dirty(instead, sanctioned=True)
        held = through(
            invoice(S.SCREENING, tally=instead),
            Screened(at=NOON, by="w", screening=hit),
            TransferConfirmed(at=NOON, by="w", tally=both),
            Screened(at=NOON, by="w", screening=clean(both)),
        )
        assert (held.status, held.context) == (S.COMPLIANCE_HOLD, Context.HIGH_RISK)
        assert (held.screening, held.stray_screening) == (clean(both), hit)
        one, two = (Release(at=NOON, by=officer, reason="his own") for officer in OFFICERS)
        assert through(held, one, two).status is S.SIGN_PENDING

        no = [Decline(at=NOON, by=officer, reason="no") for officer in OFFICERS]
        declined = through(held, *no)
        back = OrderRefund(
            at=NOON, by=SIGNER, address=CUSTOMER, reason="declined", attachment_file_ids=()
        )
        assert through(declined, back).refunds[0].amounts == (Money(DUE, USDT),)
        with pytest.raises(OutOfPlace, match="frozen where it lies"):
            decide(declined, replace(back, amounts=(Money(DUE, USDC),)))

    def test_a_hit_that_a_later_answer_lacks_stands_against_all_that_is_here(self) -> None:
        """So two people can find it false, and need not decline the money for it first."""
        more = paid(DUE * 2, payers=(CUSTOMER, STRANGER))
        held = through(
            self.held(sanctioned=True),
            TransferConfirmed(at=NOON, by="w", tally=more),
            Screened(at=NOON, by="w", screening=clean(more)),
        )
        assert held.context is Context.SANCTIONED
        one, two = (somebody_else(officer) for officer in OFFICERS)
        assert decide(through(held, one), two)[1] == (Screen(),)

    def test_where_no_money_is_left_nothing_depends_on_a_hit(self) -> None:
        over = invoice(S.COMPLETED, tally=paid(), settled=gone(DUE, DUE), approved_by=CHECKER)
        with pytest.raises(OutOfPlace, match="nothing depends on the hit"):
            decide(over, somebody_else(OFFICERS[0]))

    def test_no_answer_that_comes_later_outweighs_a_hit_on_declined_money(self) -> None:
        no = [Decline(at=NOON, by=officer, reason="no") for officer in OFFICERS]
        declined = through(self.held(sanctioned=True), *no)
        for answer in (clean(paid()), silent(paid()), dirty(paid())):
            assert through(declined, Screened(at=NOON, by="w", screening=answer)) == declined

    def test_money_held_for_silence_goes_on_once_all_of_it_is_clear(self) -> None:
        quiet = Screened(at=NOON, by="w", screening=silent(paid()))
        held = through(invoice(S.SCREENING, tally=paid(), approved_by=CHECKER), quiet)
        assert (held.status, held.context) == (S.COMPLIANCE_HOLD, Context.HIGH_RISK)
        one = through(held, Release(at=NOON, by=OFFICERS[0], reason="checked"))

        after, todo = decide(one, Screened(at=NOON, by="w", screening=clean(paid())))
        assert (after.status, after.context, after.releases) == (S.SIGN_PENDING, Context.EXACT, ())
        assert todo == ()

        less = Screened(at=NOON, by="w", screening=clean(paid(DUE // 2)))
        assert through(held, less).status is S.COMPLIANCE_HOLD
        found = Screened(at=NOON, by="w", screening=dirty(paid()))
        answered = Screened(at=NOON, by="w", screening=clean(paid()))
        assert through(held, found, answered).status is S.COMPLIANCE_HOLD

    def test_silence_does_not_wipe_out_a_finding(self) -> None:
        quiet = Screened(at=NOON, by="w", screening=silent(paid()))
        answered = Screened(at=NOON, by="w", screening=clean(paid()))
        assert through(self.held(), quiet, answered).status is S.COMPLIANCE_HOLD

    def test_one_no_stands_against_the_answers(self) -> None:
        after = through(
            invoice(S.SCREENING, tally=paid(), approved_by=CHECKER),
            Screened(at=NOON, by="w", screening=silent(paid())),
            Decline(at=NOON, by=OFFICERS[0], reason="no"),
            Screened(at=NOON, by="w", screening=clean(paid())),
        )
        assert after.status is S.COMPLIANCE_HOLD

    def test_a_later_finding_stops_a_signature(self) -> None:
        found = Screened(at=NOON, by="w", screening=dirty(paid()))
        held = through(sign_pending(), found)
        with pytest.raises(OutOfPlace):
            decide(held, SignOff(at=NOON, by=SIGNER))

    def test_more_money_does_not_get_round_a_hold(self) -> None:
        more = TransferConfirmed(at=NOON, by="w", tally=paid(DUE * 2, payers=(CUSTOMER, STRANGER)))
        after, todo = decide(self.held(), more)
        assert (after.status, todo) == (S.COMPLIANCE_HOLD, (Screen(),))
        with pytest.raises(OutOfPlace, match="being screened"):
            decide(after, Release(at=NOON, by=OFFICERS[0], reason="checked"))

    def test_people_decide_anew_on_all_of_it(self) -> None:
        once = through(self.held(), Release(at=NOON, by=OFFICERS[0], reason="checked"))
        both = paid(DUE * 2, payers=(CUSTOMER, STRANGER))
        after = through(
            once,
            TransferConfirmed(at=NOON, by="w", tally=both),
            Screened(at=NOON, by="w", screening=dirty(both, sanctioned=True)),
        )
        assert (after.status, after.context) == (S.COMPLIANCE_HOLD, Context.SANCTIONED)
        assert after.releases == ()

    def test_another_payer_of_the_same_amount_is_screened_too(self) -> None:
        waiting = sign_pending()
        swapped = TransferConfirmed(at=NOON, by="w", tally=paid(payers=(STRANGER,)))
        after, todo = decide(waiting, swapped)
        assert (after.status, todo) == (S.SCREENING, (Screen(),))


class TestInMotion:
    """A finding after the signature holds the money; two people let it go on or refuse it."""

    def signed(self) -> Invoice:
        return through(sign_pending(approved_by=CHECKER), SignOff(at=NOON, by=SIGNER))

    def held(self) -> Invoice:
        both = paid(DUE * 2, payers=(CUSTOMER, STRANGER))
        return through(
            self.signed(),
            TransferConfirmed(at=NOON, by="w", tally=both),
            Screened(at=NOON, by="w", screening=dirty(both)),
        )

    def test_it_is_held_and_goes_on_with_what_was_signed_for(self) -> None:
        held = self.held()
        assert (held.status, held.context) == (S.COMPLIANCE_HOLD, Context.HIGH_RISK)
        assert held.signed_off_by == SIGNER
        one, two = (Release(at=NOON, by=officer, reason="checked") for officer in OFFICERS)
        after, todo = decide(through(held, one), two)
        assert (after.status, todo) == (S.SWEEPING, ())

    def test_refused_its_movements_are_given_up(self) -> None:
        one, two = (Decline(at=NOON, by=officer, reason="no") for officer in OFFICERS)
        after, todo = decide(through(self.held(), one), two)
        assert (after.status, todo) == (S.COMPLIANCE_DECLINED, (GiveUpMoves(),))

    def test_before_the_signature_nothing_was_planned(self) -> None:
        found = Screened(at=NOON, by="w", screening=dirty(paid()))
        held = through(invoice(S.SCREENING, tally=paid()), found)
        one, two = (Decline(at=NOON, by=officer, reason="no") for officer in OFFICERS)
        assert decide(through(held, one), two)[1] == ()

    def test_a_refund_on_its_way_is_not_held(self) -> None:
        leaving = invoice(S.REFUND_PROCESSING, tally=paid())
        found = Screened(at=NOON, by="w", screening=dirty(paid()))
        assert through(leaving, found).status is S.REFUND_PROCESSING

    def test_nobody_stands_on_both_sides(self) -> None:
        one = OFFICERS[0]
        released = through(self.held(), Release(at=NOON, by=one, reason="checked"))
        changed = through(released, Decline(at=NOON, by=one, reason="on second thought"))
        assert (changed.releases, changed.declines) == ((), (one,))
        last = through(changed, Release(at=NOON, by=OFFICERS[1], reason="checked"))
        assert last.status is S.COMPLIANCE_HOLD
        back = through(last, Release(at=NOON, by=one, reason="checked again"))
        assert (back.status, back.declines) == (S.SWEEPING, ())
