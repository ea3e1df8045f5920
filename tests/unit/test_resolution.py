"""What can be chosen about a particular payment, and what rules choose by themselves."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from counterfoil.checkout.stages import Stage, stage_of
from counterfoil.core.content import content_hash, is_approved_content
from counterfoil.core.errors import Invalid, OutOfPlace
from counterfoil.core.events import Accept, Leg, PlanMoves, Recalculate, SignOff
from counterfoil.core.invoice import Context, Invoice, PaymentRequest, Policy, Status
from counterfoil.core.lifecycle import decide
from counterfoil.core.money import Money
from counterfoil.core.resolution import (
    Choice,
    by_rule,
    choices,
    home_by_rule,
    suggested,
    wants_rate,
)
from counterfoil.core.tally import AssetTally, Tally
from support.invoices import (
    CUSTOMER,
    DEADLINE,
    DUE,
    ETH,
    MERCHANT_ADDRESS,
    NOON,
    QUOTE,
    SIGNER,
    STRANGER,
    USDT,
    gone,
    invoice,
    paid,
)
from support.life import sign_pending, surplus_to, through

S, C = Status, Context
LATER = DEADLINE + timedelta(hours=3)
PRICED = (PaymentRequest(USDT, DUE, QUOTE),)
BOTH = (CUSTOMER, STRANGER)


def late(minutes: int, units: int = DUE, payers: tuple[str, ...] = (CUSTOMER,)) -> Tally:
    return paid(units, payers=payers, at=DEADLINE + timedelta(minutes=minutes))


def judged(tally: Tally, **rules: object) -> Invoice:
    """A payment under these rules, priced by a rate, screened and judged."""
    return sign_pending(tally, requests=PRICED, policy=Policy(**rules))  # type: ignore[arg-type]  # - by name


class TestChoices:
    @pytest.mark.parametrize(
        ("tally", "possible", "best"),
        [
            (paid(DUE // 2), ["accept", "recalculate", "refund_all", "wait"], "wait"),
            # Less than counts as somebody paying: nobody can make up for it.
            (paid(DUE - 1), ["accept", "recalculate", "refund_all", "wait"], "accept"),
            (paid(DUE + 1), ["accept", "refund_surplus", "refund_all"], "refund_surplus"),
            (late(1), ["accept", "recalculate", "refund_all"], "recalculate"),
            (late(1, DUE - 1), ["accept", "recalculate", "refund_all", "wait"], "recalculate"),
            (paid(payers=BOTH), ["accept", "refund_all"], "accept"),
            (
                paid(DUE + 1, payers=BOTH),
                ["accept", "refund_surplus", "refund_all"],
                "refund_surplus",
            ),
            (
                late(1, DUE + 1),
                ["accept", "recalculate", "refund_surplus", "refund_all"],
                "recalculate",
            ),
            (paid(), [], None),
        ],
    )
    def test_each_context_has_its_own(
        self, tally: Tally, possible: list[str], best: str | None
    ) -> None:
        found = judged(tally)
        assert [c.value for c in choices(found, NOON)] == possible
        assert suggested(found, NOON) == best

    def test_who_began_to_send_it_back_is_told_to_go_on(self) -> None:
        found = replace(judged(paid(DUE // 2)), settled=gone(returned=DUE // 4))
        assert Choice.WAIT not in choices(found, NOON)
        assert suggested(found, NOON) is Choice.REFUND_ALL

    def test_a_price_without_a_rate_is_not_recalculated(self) -> None:
        found = sign_pending(late(1))
        assert Choice.RECALCULATE not in choices(found, LATER)
        assert suggested(found, LATER) is Choice.ACCEPT

    @pytest.mark.parametrize("requests", [PRICED, (PaymentRequest(USDT, DUE, None),)])
    def test_nobody_waits_for_what_nobody_is_asked_for(
        self, requests: tuple[PaymentRequest, ...]
    ) -> None:
        short = sign_pending(paid(DUE // 2), requests=requests)
        moments = (DEADLINE - timedelta.resolution, DEADLINE, LATER)
        assert [Choice.WAIT in choices(short, at) for at in moments] == [True, False, False]
        assert [suggested(short, at) for at in moments] == [
            Choice.WAIT,
            Choice.RECALCULATE,
            Choice.RECALCULATE,
        ]
        assert [stage_of(short, at) for at in moments] == [
            Stage.MISSING,
            Stage.MISSING_LATE,
            Stage.MISSING_LATE,
        ]

    def test_dust_that_lacks_is_forgiven_when_time_is_over_as_well(self) -> None:
        assert suggested(judged(paid(DUE - 1)), LATER) is Choice.ACCEPT

    def test_what_began_to_go_back_is_not_asked_for_again_by_giving_time(self) -> None:
        begun = replace(sign_pending(paid(DUE // 2)), settled=gone(returned=DUE // 4))
        assert list(choices(begun, LATER)) == ["accept", "refund_all"]
        late_and_begun = replace(judged(late(1, DUE // 2)), settled=gone(returned=DUE // 4))
        assert suggested(late_and_begun, LATER) is Choice.REFUND_ALL

    @pytest.mark.parametrize(
        "status", [s for s in S if s not in {S.RESOLUTION_REQUIRED, S.SIGN_PENDING}]
    )
    def test_nothing_is_chosen_elsewhere(self, status: Status) -> None:
        assert choices(invoice(status, context=C.UNDERPAID, tally=paid(1)), NOON) == ()

    @pytest.mark.parametrize("tally", [paid(DUE + 1), paid(payers=BOTH)])
    def test_what_is_no_choice_is_refused_by_name(self, tally: Tally) -> None:
        found = judged(tally, overpaid="resolve")
        with pytest.raises(OutOfPlace, match=r"recalculate is no choice.*accept, ") as refusal:
            decide(found, Recalculate(at=NOON, by=SIGNER, requests=PRICED))
        assert refusal.value.data["choices"] == list(choices(found, NOON))

    def test_an_exact_payment_needs_no_accepting(self) -> None:
        with pytest.raises(OutOfPlace, match="nothing is left to choose"):
            decide(sign_pending(), Accept(at=NOON, by=SIGNER))


class TestSurplus:
    def test_kept_by_choice_it_is_paid_out_with_the_rest(self) -> None:
        kept = through(judged(paid(DUE + 5)), Accept(at=NOON, by=SIGNER))
        assert (kept.status, choices(kept, NOON)) == (S.SIGN_PENDING, ())
        _, (plan,) = decide(kept, SignOff(at=NOON, by=SIGNER))
        assert plan == PlanMoves(
            (
                Leg("sweep", Money(DUE + 5, USDT), ""),
                Leg("payout", Money(DUE + 5, USDT), MERCHANT_ADDRESS),
            )
        )

    def test_kept_by_choice_it_goes_to_no_address_that_somebody_names(self) -> None:
        kept = through(judged(paid(DUE + 5)), Accept(at=NOON, by=SIGNER))
        with pytest.raises(Invalid, match="accept was chosen, which keeps it") as refusal:
            decide(kept, surplus_to(STRANGER))
        assert "sign without an address" in refusal.value.fields["refund_address"]

    def test_where_nothing_is_too_much_an_address_contradicts_nothing(self) -> None:
        short = through(judged(paid(DUE - 5)), Accept(at=NOON, by=SIGNER))
        for whole in (sign_pending(), short):
            assert through(whole, surplus_to(STRANGER)).status is S.SWEEPING

    def test_to_be_returned_it_still_needs_an_address(self) -> None:
        found = judged(paid(DUE + 5), overpaid="resolve")
        going = through(found, Accept(at=NOON, by=SIGNER, surplus="return"))
        with pytest.raises(Invalid) as refusal:
            decide(going, SignOff(at=NOON, by=SIGNER))
        assert "refund_address" in refusal.value.fields

    @pytest.mark.parametrize("tally", [late(1, DUE + 5), paid(DUE + 5, payers=BOTH)])
    def test_it_goes_back_whatever_else_is_particular(self, tally: Tally) -> None:
        going = through(judged(tally), Accept(at=NOON, by=SIGNER, surplus="return"))
        assert (going.status, Choice.RECALCULATE in choices(going, NOON)) == (S.SIGN_PENDING, False)
        with pytest.raises(Invalid, match="too much"):
            decide(going, SignOff(at=NOON, by=SIGNER))
        _, (plan,) = decide(going, surplus_to(STRANGER))
        assert isinstance(plan, PlanMoves)
        assert [(leg.purpose, leg.money.units) for leg in plan.legs] == [
            ("sweep", DUE + 5),
            ("payout", DUE),
            ("partial_refund", 5),
        ]

    def test_the_choice_is_about_the_money_that_was_there(self) -> None:
        kept = through(judged(paid(DUE + 5)), Accept(at=NOON, by=SIGNER))
        again = through(replace(kept, status=S.AWAITING_PAYMENT, tally=Tally()))
        more = sign_pending(paid(DUE * 3), requests=PRICED, resolution=again.resolution)
        assert more.resolution is None
        assert Choice.REFUND_SURPLUS in choices(more, NOON)


class TestRecalculation:
    def test_it_is_judged_at_the_new_price_and_approved_with_it(self) -> None:
        found = judged(late(5))
        dearer = (PaymentRequest(USDT, DUE * 2, QUOTE),)
        at = DEADLINE + timedelta(hours=1)
        anew = through(found, Recalculate(at=at, by=SIGNER, requests=dearer))
        assert (anew.status, anew.context) == (S.RESOLUTION_REQUIRED, C.UNDERPAID)
        assert anew.deadline_at == at
        assert anew.approved_hash == content_hash(anew) != content_hash(found)

    def test_whoever_then_owes_something_gets_the_time_that_was_given(self) -> None:
        at, until = DEADLINE + timedelta(hours=1), DEADLINE + timedelta(hours=25)
        for units, deadline in ((DUE * 2, until), (DUE, at)):
            priced = (PaymentRequest(USDT, units, QUOTE),)
            order = Recalculate(at=at, by=SIGNER, requests=priced, until=until)
            assert through(judged(late(5)), order).deadline_at == deadline
        sooner = Recalculate(at=NOON, by=SIGNER, requests=PRICED, until=NOON + timedelta(hours=1))
        assert through(judged(paid(DUE // 2)), sooner).deadline_at == DEADLINE

    def test_it_never_shortens_the_time_that_the_customer_has(self) -> None:
        found = judged(paid(DUE // 2))
        anew = through(found, Recalculate(at=NOON, by=SIGNER, requests=PRICED))
        assert anew.deadline_at == DEADLINE

    def test_a_top_up_after_the_deadline_asks_again(self) -> None:
        half = judged(paid(DUE // 2))
        topped = sign_pending(late(1), requests=half.requests)
        assert (topped.status, topped.context) == (S.RESOLUTION_REQUIRED, C.PAID_LATE)
        assert suggested(topped, LATER) is Choice.RECALCULATE

    def test_without_a_rate_more_time_is_all_that_it_gives(self) -> None:
        short = sign_pending(paid(DUE // 2))
        until = LATER + timedelta(hours=24)
        order = Recalculate(at=LATER, by=SIGNER, requests=short.requests, until=until)
        anew = through(short, order)
        assert (anew.status, anew.context) == (S.RESOLUTION_REQUIRED, C.UNDERPAID)
        assert (anew.deadline_at, anew.requests) == (until, short.requests)
        assert (suggested(anew, LATER), stage_of(anew, LATER)) == (Choice.WAIT, Stage.MISSING)
        assert is_approved_content(anew)

    def test_without_a_rate_and_more_time_it_would_change_nothing(self) -> None:
        short = sign_pending(paid(DUE // 2))
        for at, until, rule in (
            (LATER, None, "no_time"),
            (LATER, LATER, "no_time"),
            (NOON, LATER, "no_rate"),
        ):
            order = Recalculate(at=at, by=SIGNER, requests=short.requests, until=until)
            with pytest.raises(OutOfPlace) as refusal:
                decide(short, order)
            assert refusal.value.data["rule"] == rule

    def test_lateness_is_forgiven_and_a_surplus_is_not(self) -> None:
        cheaper = (PaymentRequest(USDT, DUE - 7, QUOTE),)
        at = DEADLINE + timedelta(hours=1)
        anew = through(judged(late(5)), Recalculate(at=at, by=SIGNER, requests=cheaper))
        assert (anew.status, anew.context) == (S.SIGN_PENDING, C.OVERPAID)
        with pytest.raises(Invalid):
            decide(anew, SignOff(at=at, by=SIGNER))


class TestRules:
    def test_without_rules_people_choose(self) -> None:
        for tally in (paid(DUE - 1), paid(DUE + 1), late(1), paid(payers=BOTH)):
            assert by_rule(judged(tally), PRICED) is None

    def test_what_is_particular_no_longer_is_left_to_people_too(self) -> None:
        once_short = replace(judged(paid(DUE - 1)), tally=paid(DUE))
        assert by_rule(once_short) is None

    @pytest.mark.parametrize(
        ("units", "chosen"), [(DUE * 99 // 100, True), (DUE * 99 // 100 - 1, False)]
    )
    def test_short_to_the_very_unit(self, units: int, chosen: object) -> None:
        found = by_rule(judged(paid(units), auto_accept_underpaid_from=Decimal("0.99")))
        assert (found is not None) == chosen

    @pytest.mark.parametrize(
        ("units", "chosen"), [(DUE * 102 // 100, True), (DUE * 102 // 100 + 1, False)]
    )
    def test_over_to_the_very_unit(self, units: int, chosen: object) -> None:
        found = by_rule(judged(paid(units), auto_accept_overpaid_to=Decimal("1.02")))
        assert (found is not None) == chosen

    @pytest.mark.parametrize(("minutes", "chosen"), [(30, True), (31, False)])
    def test_late_to_the_minute(self, minutes: int, chosen: object) -> None:
        found = by_rule(judged(late(minutes), auto_accept_late_minutes=30))
        assert (found is not None) == chosen

    def test_it_says_which_rule(self) -> None:
        found = by_rule(judged(paid(payers=BOTH), auto_accept_several_payers=True))
        assert found is not None
        assert (found.choice, found.rule) == (Choice.ACCEPT, "auto_accept_several_payers")

    def test_a_rule_for_one_thing_forgives_no_other(self) -> None:
        short_and_late = late(5, DUE * 995 // 1000)
        rules: dict[str, object] = {"auto_accept_underpaid_from": Decimal("0.99")}
        assert by_rule(judged(short_and_late, **rules)) is None
        late_and_far_over = judged(late(5, DUE * 9), auto_accept_late_minutes=30)
        assert by_rule(late_and_far_over) is None
        found = by_rule(judged(short_and_late, auto_accept_late_minutes=30, **rules))
        assert found is not None
        assert found.rule == "auto_accept_underpaid_from=0.99; auto_accept_late_minutes=30"

    @pytest.mark.parametrize(
        ("minutes", "due", "chosen"),
        [(60, DUE, True), (61, DUE, False), (60, DUE + 1, False), (60, DUE // 2, True)],
    )
    def test_late_money_is_repriced_in_time_and_where_it_is_enough(
        self, minutes: int, due: int, chosen: object
    ) -> None:
        found = judged(late(minutes), auto_recalculate_late_minutes=60)
        now = (PaymentRequest(USDT, due, QUOTE),)
        rule = by_rule(found, now)
        assert (rule is not None and rule.choice is Choice.RECALCULATE) == chosen
        assert by_rule(found) is None

    def test_a_rate_is_only_asked_for_where_a_rule_may_use_it(self) -> None:
        assert wants_rate(judged(late(60), auto_recalculate_late_minutes=60))
        assert not wants_rate(judged(late(61), auto_recalculate_late_minutes=60))
        assert not wants_rate(judged(paid(DUE - 1), auto_recalculate_late_minutes=60))
        assert not wants_rate(judged(late(60)))

    def test_no_rule_ever_sends_money_back(self) -> None:
        generous: dict[str, object] = {
            "auto_accept_underpaid_from": Decimal("0.5"),
            "auto_accept_overpaid_to": Decimal(2),
            "auto_accept_late_minutes": 1000,
            "auto_accept_several_payers": True,
            "auto_recalculate_late_minutes": 2000,
        }
        for tally in (paid(1), paid(DUE * 3), late(1500, 1), late(1, DUE * 3, BOTH)):
            found = by_rule(judged(tally, **generous), PRICED)
            assert found is None or found.choice in {Choice.ACCEPT, Choice.RECALCULATE}


class TestSurplusGoesHome:
    """A rule that spares people the address, where all of the money came from one."""

    def over(self, units: int, *payers: str, **rules: object) -> Invoice:
        tally = paid(DUE + units, payers=payers or (CUSTOMER,))
        return judged(tally, **{"auto_refund_surplus_below_usd": 10, **rules})

    @pytest.mark.parametrize(("units", "address"), [(10**7 - 1, CUSTOMER), (10**7, None)])
    def test_below_so_many_dollars_to_the_very_unit(self, units: int, address: str | None) -> None:
        home = home_by_rule(self.over(units))
        assert (home and home.address) == address

    def test_never_without_the_rule_nor_where_anybody_else_paid_too(self) -> None:
        assert home_by_rule(judged(paid(DUE + 1))) is None
        assert home_by_rule(self.over(1, *BOTH, several_payers="accept")) is None
        assert home_by_rule(self.over(1, "0x" + "0" * 40)) is None
        assert home_by_rule(self.over(0)) is None

    def test_never_where_screening_found_anything_or_a_surplus_is_kept(self) -> None:
        found = self.over(1)
        assert found.screening is not None
        released = replace(found, screening=replace(found.screening, decision="manual_review"))
        assert home_by_rule(released) is None
        kept = self.over(DUE // 100, auto_accept_overpaid_to=Decimal("1.02"), overpaid="resolve")
        chosen = by_rule(kept)
        assert chosen is not None
        assert chosen.choice is Choice.ACCEPT
        accept = Accept(at=NOON, by=SIGNER)
        assert home_by_rule(through(kept, accept)) is None

    def test_coin_is_worth_what_the_invoices_own_rate_says_and_unknown_worth_stays(self) -> None:
        quote = replace(QUOTE, base="ETH", quote="USD", rate=Decimal(3_000))
        over = replace(paid(0), assets=(AssetTally(ETH, *(10**18 + 3 * 10**15,) * 3),))
        priced = sign_pending(
            over,
            requests=(PaymentRequest(ETH, 10**18, quote),),
            policy=Policy(auto_refund_surplus_below_usd=10),
        )
        assert home_by_rule(priced) is not None
        dearer = replace(quote, rate=Decimal(4_000))
        requests = (PaymentRequest(ETH, 10**18, dearer),)
        assert home_by_rule(replace(priced, requests=requests)) is None
        no_rate = (PaymentRequest(ETH, 10**18, None),)
        assert home_by_rule(replace(priced, requests=no_rate)) is None

    def test_it_is_chosen_where_a_choice_is_asked_for_and_every_other_finding_is_covered(
        self,
    ) -> None:
        plain = self.over(1, overpaid="resolve")
        found = by_rule(plain)
        assert found is not None
        assert (found.choice, found.rule) == (
            Choice.REFUND_SURPLUS,
            "auto_refund_surplus_below_usd=10",
        )
        assert by_rule(self.over(1)) is None
        both = judged(late(5, DUE + 1), auto_refund_surplus_below_usd=10)
        assert by_rule(both) is None
        both = judged(
            late(5, DUE + 1), auto_refund_surplus_below_usd=10, auto_accept_late_minutes=5
        )
        found = by_rule(both)
        assert found is not None
        assert found.rule == "auto_accept_late_minutes=5; auto_refund_surplus_below_usd=10"


class TestHash:
    def test_what_was_approved_before_there_were_rules_still_is(self) -> None:
        # As the first release computed it for this invoice.
        assert is_approved_content(invoice(approved_hash=FIRST_RELEASE_HASH))
        changed = invoice(approved_hash=FIRST_RELEASE_HASH, payout_to={"evm": STRANGER})
        assert not is_approved_content(changed)
        assert not is_approved_content(invoice(approved_hash=None))

    def test_how_the_dues_were_computed_is_covered(self) -> None:
        bill = invoice(requests=PRICED)
        bill = replace(bill, approved_hash=content_hash(bill))
        assert is_approved_content(bill)
        request = PRICED[0]
        assert request.quote is not None
        dearer = replace(request, quote=replace(request.quote, rate=Decimal(99)))
        assert not is_approved_content(replace(bill, requests=(dearer, *PRICED[1:])))
        assert not is_approved_content(replace(bill, use_fixed_stablecoin_rate=True))

    def test_a_rule_cannot_be_set_or_unset_behind_an_approval(self) -> None:
        plain = content_hash(invoice())
        ruled = content_hash(invoice(policy=Policy(auto_accept_underpaid_from=Decimal("0.9"))))
        other = content_hash(invoice(policy=Policy(auto_accept_underpaid_from=Decimal("0.8"))))
        assert len({plain, ruled, other}) == 3


FIRST_RELEASE_HASH = "2e4ff950417ee0f597af38a24234e09e6d6422acbd5cbe9a49bee60f7d590dd9"
