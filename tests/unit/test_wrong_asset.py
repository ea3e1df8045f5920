"""What came that an invoice does not accept: the money where nothing else came, stray beside it."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from counterfoil.core import rules
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.events import (
    Accept,
    Leg,
    PaidOut,
    PlanMoves,
    Quarantine,
    Release,
    Screen,
    Screened,
    SignOff,
    Swept,
    TransferConfirmed,
    TransferDropped,
    TransferSeen,
)
from counterfoil.core.invoice import Context, Invoice, PaymentRequest, Policy, Status
from counterfoil.core.lifecycle import decide
from counterfoil.core.money import Asset, Money
from counterfoil.core.reckoning import (
    Depth,
    Received,
    came_after,
    coverage,
    findings,
    holdings,
    owed,
    received,
    shortfall,
    tally,
)
from counterfoil.core.resolution import Choice, by_rule, choices, suggested
from counterfoil.core.settlement import Settlement
from counterfoil.core.tally import Tally
from counterfoil.desk.scan import fact
from support.invoices import (
    CUSTOMER,
    DUE,
    MERCHANT_ADDRESS,
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
)
from support.life import through

S = Status
(USDC_E,) = CHAINS["arb"].known_other
USDT_ON_BASE = CHAINS["base"].accepted[1]
ASKED = (PaymentRequest(USDT, DUE, None),)


def reckoned(*parts: tuple[Asset, int, str], depth: Depth = Depth.FINAL) -> Tally:
    came = [Received(asset, units, payer, depth, NOON) for asset, units, payer in parts]
    return tally(ASKED, came, Policy())


def told(bill: Invoice, *parts: tuple[Asset, int, str]) -> TransferConfirmed:
    """All that came for an invoice, as it is told once somebody signed for some of it."""
    came = [Received(asset, units, payer, Depth.FINAL, NOON) for asset, units, payer in parts]
    return TransferConfirmed(at=NOON, by="w", tally=tally(ASKED, came, Policy(), bill.taken_assets))


def screened(money: Tally) -> Invoice:
    return through(
        invoice(S.AWAITING_PAYMENT),
        TransferConfirmed(at=NOON, by="w", tally=money),
        Screened(at=NOON, by="w", screening=clean(money)),
    )


@pytest.mark.parametrize(
    ("chain", "symbol"),
    [("arb", "USDC.e"), ("base", "USDbC"), ("optimism", "USDC.e"), ("optimism", "USDT0")],
)
def test_each_token_that_is_known_and_not_taken_is_told_and_pays_nothing(
    chain: str, symbol: str
) -> None:
    (other,) = [token for token in CHAINS[chain].known_other if token.symbol == symbol]
    late = screened(reckoned((other, DUE, CUSTOMER)))
    assert (late.status, late.context) == (S.RESOLUTION_REQUIRED, Context.WRONG_ASSET)
    assert [part.asset for part in late.tally.stray] == [other]
    assert late.tally.assets == ()


class TestTally:
    def test_it_is_counted_apart_asset_by_asset(self) -> None:
        found = reckoned((USDT_ON_BASE, 7_000_000, STRANGER), (USDC_E, 5_000_000, STRANGER))
        assert found.assets == ()
        assert [(a.asset, a.final_units) for a in found.stray] == [
            (USDC_E, 5_000_000),
            (USDT_ON_BASE, 7_000_000),
        ]
        assert found.payers == (STRANGER,)

    def test_beside_money_it_is_nobodys_payment(self) -> None:
        found = reckoned((USDT, DUE, CUSTOMER), (USDC, DUE, STRANGER))
        assert (found.payers, found.confirmed) == ((CUSTOMER,), ((USDT.key, DUE),))
        assert found.money == found.assets

    def test_it_confirms_at_finality_only(self) -> None:
        (safe,) = reckoned((USDC_E, DUE, STRANGER), depth=Depth.SAFE).stray
        assert (safe.seen_units, safe.confirmed_units) == (DUE, 0)

    def test_it_has_come_when_the_last_of_it_had_and_stays_so_once_signed_for(self) -> None:
        hours = [NOON + timedelta(hours=n) for n in range(3)]
        usdc = [Received(USDC, DUE // 2, CUSTOMER, Depth.FINAL, at) for at in hours[:2]]
        right = Received(USDT, DUE, CUSTOMER, Depth.FINAL, hours[2])
        assert tally(ASKED, usdc, Policy()).paid_at == hours[1]
        assert tally(ASKED, [*usdc, right], Policy(), {USDC.key}).paid_at == hours[1]
        assert tally(ASKED, [*usdc, right], Policy()).paid_at == hours[2]

    def test_dust_of_it_is_nothing(self) -> None:
        assert not reckoned((USDC_E, 9_999, STRANGER)).seen_any

    @pytest.mark.parametrize(
        ("before", "after", "kind"),
        [
            ((), ((USDC_E, DUE, STRANGER),), TransferConfirmed),
            (((USDC_E, DUE, STRANGER),), (), TransferDropped),
            (
                ((USDC_E, DUE, STRANGER), (USDT, DUE, CUSTOMER)),
                ((USDT, DUE, CUSTOMER),),
                TransferDropped,
            ),
        ],
    )
    def test_its_coming_and_going_is_told(
        self,
        before: tuple[tuple[Asset, int, str], ...],
        after: tuple[tuple[Asset, int, str], ...],
        kind: type,
    ) -> None:
        told = fact(reckoned(*before), reckoned(*after), NOON, "w")
        assert type(told) is kind


class TestLife:
    def test_an_unpaid_invoice_is_screened_and_then_needs_a_choice(self) -> None:
        money = reckoned((USDC_E, DUE, STRANGER))
        seen = TransferSeen(
            at=NOON, by="w", tally=reckoned((USDC_E, DUE, STRANGER), depth=Depth.SEEN)
        )
        assert through(invoice(S.AWAITING_PAYMENT), seen).status is S.PAYMENT_DETECTED
        found = screened(money)
        assert (found.status, found.context) == (S.RESOLUTION_REQUIRED, Context.WRONG_ASSET)
        assert holdings(found) == received(found) == (Money(DUE, USDC_E),)
        assert choices(found, NOON) == (Choice.REFUND_ALL,)
        assert suggested(found, NOON) is Choice.REFUND_ALL

    def test_a_bridged_token_is_not_accepted(self) -> None:
        with pytest.raises(OutOfPlace, match="there is refund_all"):
            decide(screened(reckoned((USDC_E, DUE, STRANGER))), Accept(at=NOON, by=SIGNER))

    def test_the_right_token_on_another_chain_may_be_accepted_and_is_paid_out_there(self) -> None:
        found = screened(reckoned((USDT_ON_BASE, DUE, STRANGER)))
        taken = through(found, Accept(at=NOON, by=SIGNER))
        _, (plan,) = decide(taken, SignOff(at=NOON, by=SIGNER))
        assert plan == PlanMoves(
            (
                Leg("sweep", Money(DUE, USDT_ON_BASE), ""),
                Leg("payout", Money(DUE, USDT_ON_BASE), MERCHANT_ADDRESS),
            )
        )

    def test_the_real_payment_goes_its_way_as_if_nothing_had_strayed(self) -> None:
        both = reckoned((USDC_E, DUE, STRANGER), (USDT, DUE, CUSTOMER))
        wrong = screened(reckoned((USDC_E, DUE, STRANGER)))
        done = through(
            wrong,
            TransferConfirmed(at=NOON, by="w", tally=both),
            Screened(at=NOON, by="w", screening=clean(both)),
        )
        assert (done.status, done.context) == (S.SIGN_PENDING, Context.EXACT)
        assert holdings(done) == (Money(DUE, USDT),)

    def test_what_strays_in_later_disturbs_nobody(self) -> None:
        waiting = through(screened(reckoned((USDT, DUE, CUSTOMER))))
        both = reckoned((USDC_E, DUE, STRANGER), (USDT, DUE, CUSTOMER))
        after, todo = decide(waiting, TransferConfirmed(at=NOON, by="w", tally=both))
        assert (after.status, todo) == (S.SIGN_PENDING, ())
        _, (plan,) = decide(after, SignOff(at=NOON, by=SIGNER))
        assert isinstance(plan, PlanMoves)
        assert {leg.money.asset for leg in plan.legs} == {USDT}

    def test_reorganised_away_it_leaves_the_invoice_as_it_was(self) -> None:
        wrong = screened(reckoned((USDC_E, DUE, STRANGER)))
        gone = through(wrong, TransferDropped(at=NOON, by="w", tally=Tally()))
        assert gone.status is S.AWAITING_PAYMENT

    def test_a_short_payment_is_short_however_much_strayed(self) -> None:
        money = reckoned((USDC_E, DUE, STRANGER), (USDT, DUE // 2, CUSTOMER))
        assert screened(money).context is Context.UNDERPAID

    def test_no_rule_decides_about_it(self) -> None:
        lenient = Policy(
            auto_accept_underpaid_from=Decimal("0.5"),
            auto_accept_overpaid_to=Decimal(2),
            auto_accept_late_minutes=1000,
            auto_accept_several_payers=True,
        )
        found = replace(screened(reckoned((USDT_ON_BASE, DUE, STRANGER))), policy=lenient)
        assert by_rule(found) is None


IT = (USDC, DUE, CUSTOMER)
"""What came instead of the payment, and was accepted."""


def signed(**changes: object) -> Invoice:
    """USDT was asked for, as much USDC came, and the merchant signed for that."""
    found = replace(screened(reckoned(IT)), **changes)  # type: ignore[arg-type]  # - any field
    return through(found, Accept(at=NOON, by=SIGNER), SignOff(at=NOON, by=SIGNER))


def done(**changes: object) -> Invoice:
    """The same once the merchant has it, or it stays in the pool."""
    bill = signed(**changes)
    moved = gone(DUE, DUE if bill.payout_to else 0, asset=USDC)
    swept = through(bill, Swept(at=NOON, by="w", settled=moved, more_to_move=bool(bill.payout_to)))
    return through(swept, PaidOut(at=NOON, by="w", settled=moved)) if bill.payout_to else swept


class TestSignedFor:
    """What was accepted instead and signed for stays the money, whatever comes beside it."""

    def test_nothing_else_about_it_changes(self) -> None:
        before, bill = screened(reckoned(IT)), signed()
        assert (bill.status, bill.context) == (S.SWEEPING, Context.WRONG_ASSET)
        assert (bill.tally.money, bill.tally.payers) == (before.tally.money, before.tally.payers)
        assert bill.tally.unasked == before.tally.unasked
        assert fact(bill.tally, told(bill, IT).tally, NOON, "w") is None
        assert rules.is_cleared(bill)
        assert findings(done()) == findings(before) == (Context.WRONG_ASSET,)
        assert shortfall(done()) == ()
        assert coverage(done()) == owed(done()) == 0

    def test_whoever_signs_for_what_was_asked_for_takes_nothing_else(self) -> None:
        money = reckoned((USDT, DUE, CUSTOMER), (USDC, DUE, STRANGER))
        bill = through(screened(money), SignOff(at=NOON, by=SIGNER))
        assert (bill.status, bill.taken_assets) == (S.SWEEPING, ())
        assert bill.tally == money

    def test_what_came_beside_it_without_being_accepted_strays_still(self) -> None:
        bill = through(signed(), told(signed(), IT, (USDC_E, DUE, STRANGER)))
        assert [a.asset for a in bill.tally.aside] == [USDC_E]
        assert holdings(bill) == (Money(DUE, USDC),)
        assert rules.is_cleared(bill)

    def test_more_of_it_and_the_right_one_are_screened_before_they_go_along(self) -> None:
        bill = signed()
        for more in ((USDC, 20_000, STRANGER), (USDT, DUE, STRANGER)):
            both, todo = decide(bill, told(bill, IT, more))
            assert (both.status, todo) == (S.SWEEPING, (Screen(),))
            assert not rules.is_cleared(both)
            looked = Screened(at=NOON, by="w", screening=clean(both.tally))
            assert rules.is_cleared(through(both, looked))

    def test_a_hit_on_the_right_one_takes_both_to_quarantine_and_both_come_back(self) -> None:
        bill = signed()
        both = told(bill, IT, (USDT, DUE, STRANGER))
        held = through(bill, both, Screened(at=NOON, by="w", screening=dirty(both.tally)))
        assert held.status is S.COMPLIANCE_HOLD
        kept, (_, plan) = decide(held, Quarantine(at=NOON, by=OFFICERS[0], reason="r"))
        assert isinstance(plan, PlanMoves)
        everything = {Money(DUE, USDC), Money(DUE, USDT)}
        assert {leg.money for leg in plan.legs if leg.purpose == "quarantine"} == everything

        there = tuple(sorted((asset.key, DUE) for asset in (USDC, USDT)))
        kept = replace(kept, settled=Settlement(swept=there, in_hold=there))
        kept = through(kept, Release(at=NOON, by=OFFICERS[0], reason="r"))
        free, (_, back) = decide(kept, Release(at=NOON, by=OFFICERS[1], reason="r"))
        assert (free.status, free.context) == (S.SWEEPING, Context.WRONG_ASSET)
        assert isinstance(back, PlanMoves)
        assert {leg.money for leg in back.legs if leg.purpose == "restore"} == everything

    @pytest.mark.parametrize("payout_to", [{"evm": MERCHANT_ADDRESS}, {}])
    def test_after_the_end_only_what_came_since_waits_for_somebody(
        self, payout_to: dict[str, str]
    ) -> None:
        bill = done(payout_to=payout_to)
        assert (bill.status, came_after(bill)) == (S.COMPLETED, ())
        late = through(bill, told(bill, IT, (USDT, DUE // 2, STRANGER)))
        assert came_after(late) == (Money(DUE // 2, USDT),)
        assert shortfall(late) == ()
        assert findings(late)[0] is Context.WRONG_ASSET


def test_a_paid_invoice_has_no_stray_money() -> None:
    assert paid().stray == ()
