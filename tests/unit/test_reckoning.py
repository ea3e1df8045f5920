"""Transfers added up: totals, depth, and what they amount to."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from counterfoil.core import reckoning
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Context, Invoice, PaymentRequest, Policy, Quote
from counterfoil.core.money import Money
from counterfoil.core.reckoning import Depth, Received
from support.invoices import CUSTOMER, DUE, ETH, NOON, STRANGER, USDC, USDT, gone, invoice

ETHER = 10**18
FINAL, SAFE, SEEN, ORPHANED = Depth.FINAL, Depth.SAFE, Depth.SEEN, Depth.ORPHANED
ASKED = (PaymentRequest(USDT, DUE, None),)


def transfer(units: int = DUE, depth: Depth = FINAL, **changes: object) -> Received:
    came = Received(USDT, units, CUSTOMER, depth, NOON)
    return replace(came, **changes)  # type: ignore[arg-type]  # - changed by name


def reckoned(*transfers: Received, policy: Policy | None = None) -> Invoice:
    rules = policy or Policy()
    return invoice(tally=reckoning.tally(ASKED, transfers, rules), policy=rules)


class TestTally:
    """Totals by how deep the money is."""

    def test_orphaned_money_does_not_count(self) -> None:
        assert not reckoning.tally(ASKED, [transfer(depth=ORPHANED)], Policy()).seen_any

    def test_small_money_confirms_at_safe_and_large_money_at_final(self) -> None:
        (small,) = reckoning.tally(ASKED, [transfer(depth=SAFE)], Policy()).assets
        assert (small.confirmed_units, small.final_units) == (DUE, 0)
        elsewhere = Policy(confirm_soft_chains="base, op")
        here = Policy(confirm_soft_chains="base,arb")
        strict = Policy(confirm_soft_below_usd=100)
        for policy, units in ((strict, 0), (elsewhere, 0), (here, DUE)):
            (found,) = reckoning.tally(ASKED, [transfer(depth=SAFE)], policy).assets
            assert found.confirmed_units == units

    def test_a_fraction_of_a_cent_disturbs_nobody(self) -> None:
        dust = transfer(9_999, payer=STRANGER)
        found = reckoned(transfer(), dust)
        assert found.tally.payers == (CUSTOMER,)
        assert reckoning.judge(found) is Context.EXACT
        assert len(reckoned(transfer(), transfer(10_000, payer=STRANGER)).tally.payers) == 2

    @pytest.mark.parametrize(
        ("rate", "enough"),
        [
            (("USD", "1999"), Depth.SAFE),
            (("USD", "2000"), Depth.FINAL),
            (("TWD", "39999"), Depth.SAFE),
            (("TWD", "40000"), Depth.FINAL),
            (("JPY", "1"), Depth.FINAL),
            (None, Depth.FINAL),
        ],
    )
    def test_half_an_ether_is_as_large_as_its_quote_says(
        self, rate: tuple[str, str] | None, enough: Depth
    ) -> None:
        quote = rate and Quote("ETH", rate[0], Decimal(rate[1]), "test", NOON, NOON)
        asked = (PaymentRequest(ETH, ETHER // 2, quote or None),)
        (found,) = reckoning.tally(asked, [transfer(ETHER // 2, SAFE, asset=ETH)], Policy()).assets
        assert found.confirmed_units == (ETHER // 2 if enough is SAFE else 0)

    def test_the_dust_of_an_ether_is_a_hundred_thousandth(self) -> None:
        asked = (PaymentRequest(ETH, ETHER, None),)
        payers = [
            reckoning.tally(asked, [transfer(units, asset=ETH)], Policy()).payers
            for units in (10**13 - 1, 10**13)
        ]
        assert payers == [(), (CUSTOMER,)]

    def test_paid_at_is_when_it_was_enough(self) -> None:
        parts = [
            transfer(DUE // 2),
            transfer(DUE // 2, arrived_at=NOON + timedelta(hours=1)),
            transfer(10_000, arrived_at=NOON + timedelta(days=99)),
        ]
        assert reckoning.tally(ASKED, parts, Policy()).paid_at == NOON + timedelta(hours=1)

    def test_the_right_token_on_another_chain_is_astray(self) -> None:
        elsewhere = CHAINS["base"].accepted[1]
        found = reckoning.tally(ASKED, [transfer(asset=elsewhere)], Policy())
        assert [(a.asset, a.final_units) for a in found.stray] == [(elsewhere, DUE)]
        assert found.assets == ()


class TestJudge:
    """What is particular about the money."""

    @pytest.mark.parametrize(
        ("units", "context"),
        [(DUE - 1, Context.UNDERPAID), (DUE, Context.EXACT), (DUE + 1, Context.OVERPAID)],
    )
    def test_amount(self, units: int, context: Context) -> None:
        assert reckoning.judge(reckoned(transfer(units))) is context

    def test_half_in_one_token_and_half_in_the_other_is_the_whole(self) -> None:
        asked = (PaymentRequest(USDT, DUE, None), PaymentRequest(USDC, DUE * 2, None))
        halves = [transfer(DUE // 2), transfer(DUE, asset=USDC)]
        both = invoice(requests=asked, tally=reckoning.tally(asked, halves, Policy()))
        assert reckoning.coverage(both) == 1
        assert reckoning.judge(both) is Context.EXACT

    def test_late_by_a_moment_is_late(self) -> None:
        deadline = invoice().deadline_at
        assert reckoning.judge(reckoned(transfer(arrived_at=deadline))) is Context.EXACT
        late = transfer(arrived_at=deadline + timedelta(microseconds=1))
        assert reckoning.judge(reckoned(late)) is Context.PAID_LATE

    def test_only_a_wrong_token_is_a_wrong_asset(self) -> None:
        assert reckoning.judge(reckoned(transfer(asset=USDC))) is Context.WRONG_ASSET

    def test_two_payers(self) -> None:
        two = [transfer(DUE // 2), transfer(DUE // 2, payer=STRANGER)]
        assert reckoning.judge(reckoned(*two)) is Context.MULTIPLE_PAYERS
        relaxed = Policy(several_payers="accept")
        assert reckoning.judge(reckoned(*two, policy=relaxed)) is Context.EXACT


class TestSurplus:
    """What goes back when too much came."""

    def test_exactly_what_is_too_much(self) -> None:
        assert reckoning.surplus(reckoned(transfer(DUE + 7))) == (Money(7, USDT),)

    def test_nothing_within_tolerance(self) -> None:
        tolerant = Policy(overpay_ratio=Decimal("1.02"))
        assert reckoning.surplus(reckoned(transfer(DUE * 102 // 100), policy=tolerant)) == ()

    def test_what_went_back_already_is_not_too_much_any_more(self) -> None:
        settled = replace(reckoned(transfer(DUE + 7)), settled=gone(DUE + 7, 0, 5))
        assert reckoning.surplus(settled) == (Money(2, USDT),)
        assert reckoning.judge(replace(settled, settled=gone(DUE + 7, 0, 7))) is Context.EXACT
        assert reckoning.judge(replace(settled, settled=gone(DUE + 7, 0, 8))) is Context.UNDERPAID


class TestHoldings:
    """What is still with us, and where it lies."""

    def test_neither_what_the_merchant_has_nor_what_went_back_is_with_us(self) -> None:
        paid = replace(reckoned(transfer(DUE + 7)), settled=gone(DUE + 7, DUE - 1, 3))
        assert reckoning.received(paid) == (Money(DUE + 7, USDT),)
        assert reckoning.holdings(paid) == (Money(5, USDT),)

    def test_only_what_came_since_the_sweep_lies_at_the_address(self) -> None:
        paid = replace(reckoned(transfer(DUE), transfer(DUE // 2)), settled=gone(DUE))
        assert reckoning.unswept(paid) == (Money(DUE // 2, USDT),)
        assert reckoning.unswept(replace(paid, settled=gone(DUE * 2))) == ()
