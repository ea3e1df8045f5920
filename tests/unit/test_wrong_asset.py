"""What came that an invoice does not accept: the money where nothing else came, stray beside it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.events import (
    Accept,
    Leg,
    PlanMoves,
    Screened,
    SignOff,
    TransferConfirmed,
    TransferDropped,
    TransferSeen,
)
from counterfoil.core.invoice import Context, Invoice, PaymentRequest, Policy, Status, Tally
from counterfoil.core.lifecycle import decide
from counterfoil.core.money import Asset, Money
from counterfoil.core.reckoning import Depth, Received, holdings, received, tally
from counterfoil.core.resolution import Choice, by_rule, choices, suggested
from counterfoil.desk.scan import fact
from support.invoices import (
    CUSTOMER,
    DUE,
    MERCHANT_ADDRESS,
    NOON,
    SIGNER,
    STRANGER,
    USDC,
    USDT,
    clean,
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


def test_a_paid_invoice_has_no_stray_money() -> None:
    assert paid().stray == ()
