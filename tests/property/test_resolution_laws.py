"""Tolerances to the very unit, over every ratio, amount and mix of assets."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from hypothesis import example, given
from hypothesis import strategies as st

from counterfoil.core import reckoning
from counterfoil.core.invoice import Context, Invoice, PaymentRequest, Policy, Status
from counterfoil.core.reckoning import Depth, Received
from counterfoil.core.resolution import Choice, by_rule
from support.invoices import CUSTOMER, NOON, QUOTE, USDC, USDT, invoice

dues = st.integers(1, 10**15)
ratios = st.decimals("0.5", "1", places=6)
overs = st.decimals("1", "2", places=6)


def bill(due: int, other_due: int, *units: tuple[object, int], policy: Policy) -> Invoice:
    asked = (PaymentRequest(USDT, due, QUOTE), PaymentRequest(USDC, other_due, QUOTE))
    came = [Received(a, n, CUSTOMER, Depth.FINAL, NOON) for a, n in units if n]  # type: ignore[arg-type]  # - USDT or USDC
    rules = replace(policy, dust_below=Decimal(0))
    return invoice(
        Status.SCREENING,
        requests=asked,
        policy=rules,
        tally=reckoning.tally(asked, came, rules),
    )


@given(dues, ratios)
@example(due=10**8, ratio=Decimal(1))
@example(due=10**8, ratio=Decimal("0.995"))
@example(due=3, ratio=Decimal("0.995"))
def test_the_least_that_is_enough_is_enough_and_a_unit_less_is_not(
    due: int, ratio: Decimal
) -> None:
    policy = Policy(underpay_ratio=ratio)
    least = ceil(due * Fraction(ratio))
    enough = bill(due, due, (USDT, least), policy=policy)
    assert reckoning.judge(enough) is Context.EXACT
    assert reckoning.coverage(enough) >= Fraction(ratio)
    short = bill(due, due, (USDT, least - 1), policy=policy)
    assert reckoning.judge(short) is Context.UNDERPAID


@given(dues, overs)
@example(due=10**8, ratio=Decimal(1))
def test_the_most_that_is_kept_is_kept_and_a_unit_more_is_too_much(
    due: int, ratio: Decimal
) -> None:
    policy = Policy(overpay_ratio=ratio)
    most = floor(due * Fraction(ratio))
    kept = bill(due, due, (USDT, most), policy=policy)
    assert reckoning.judge(kept) is Context.EXACT
    assert reckoning.surplus(kept) == ()
    over = bill(due, due, (USDT, most + 1), policy=policy)
    assert reckoning.judge(over) is Context.OVERPAID
    ((back),) = reckoning.surplus(over)
    assert back.units == most + 1 - due


@given(dues, dues, st.data())
def test_assets_add_up_without_rounding(due: int, other_due: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, due))
    rest = ceil((1 - Fraction(first, due)) * other_due)
    mixed = bill(due, other_due, (USDT, first), (USDC, rest), policy=Policy())
    assert reckoning.coverage(mixed) >= 1
    assert reckoning.missing(mixed) == ()
    if rest:
        short = bill(due, other_due, (USDT, first), (USDC, rest - 1), policy=Policy())
        assert reckoning.judge(short) is Context.UNDERPAID
        missing = {money.asset: money.units for money in reckoning.missing(short)}
        assert missing[USDC] == 1
        topped = bill(
            due, other_due, (USDT, first + missing[USDT]), (USDC, rest - 1), policy=Policy()
        )
        assert reckoning.coverage(topped) >= 1


@given(dues, ratios.filter(lambda ratio: ratio < 1))
def test_a_rule_forgives_to_the_very_unit(due: int, ratio: Decimal) -> None:
    policy = Policy(auto_accept_underpaid_from=ratio)
    least = ceil(due * Fraction(ratio))
    for units, forgiven in ((least, True), (least - 1, False)):
        came = bill(due, due, (USDT, units), policy=policy)
        judged = replace(came, status=Status.RESOLUTION_REQUIRED, context=reckoning.judge(came))
        if judged.context is not Context.UNDERPAID:
            continue
        found = by_rule(judged)
        assert (found is not None and found.choice is Choice.ACCEPT) == forgiven
