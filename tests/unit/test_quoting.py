"""From what sources say to the rate that prices an invoice."""

from datetime import timedelta
from decimal import Decimal

import pytest

from counterfoil.core import pricing
from counterfoil.core.errors import Unavailable
from counterfoil.core.invoice import Policy, Price, Quote
from counterfoil.core.quoting import chosen
from support.invoices import NOON, USDT


def says(source: str, rate: str, seconds_ago: int = 0) -> Quote:
    return Quote("USDT", "TWD", Decimal(rate), source, NOON - timedelta(seconds=seconds_ago), NOON)


def test_the_preferred_source_counts_and_then_the_next() -> None:
    said = [says("bank", "32", 60), says("web", "33")]
    assert chosen(said, Policy(), NOON).source == "bank"
    assert chosen(said, Policy(rate_max_age_seconds=60), NOON).source == "bank"
    assert chosen(said, Policy(rate_max_age_seconds=59), NOON).source == "web"
    assert chosen(said, Policy(rate_sources=" web ,other"), NOON).source == "web"
    with pytest.raises(Unavailable, match="no USDT/TWD rate counts by your rules"):
        chosen(said, Policy(rate_sources="other"), NOON)


def test_those_who_have_to_agree_price_at_the_lowest_of_them() -> None:
    policy = Policy(rate_sources_agree=2)
    assert chosen([says("a", "100"), says("b", "99")], policy, NOON).rate == 99
    liar = [says("liar", "150"), says("a", "100"), says("b", "100.5")]
    assert chosen(liar, policy, NOON).source == "a"
    with pytest.raises(Unavailable, match="2 sources have to agree on USDT/TWD") as refusal:
        chosen([says("a", "100"), says("b", "98.99")], policy, NOON)
    assert refusal.value.data["rates"] == {"a": "100", "b": "98.99"}
    with pytest.raises(Unavailable):
        chosen([says("a", "100")], policy, NOON)
    narrow = Policy(rate_sources_agree=2, rate_agree_within_bps=1)
    with pytest.raises(Unavailable):
        chosen([says("a", "100"), says("b", "99.98")], narrow, NOON)


@pytest.mark.parametrize(
    ("spread_bps", "rate", "due_units"),
    [(0, "32.5", 92_307_693), (50, "32.3375", 92_771_551), (500, "30.875", 97_165_992)],
)
def test_a_spread_makes_the_customer_send_more(spread_bps: int, rate: str, due_units: int) -> None:
    quote = chosen([says("bank", "32.5")], Policy(rate_spread_bps=spread_bps), NOON)
    assert quote.rate == Decimal(rate)
    assert quote.market == (Decimal("32.5") if spread_bps else None)
    due = pricing.request(Price("fiat", Decimal(3000), "TWD"), USDT, quote)
    assert due.due_units == due_units


def test_the_merchant_is_never_short_by_rounding() -> None:
    market = Decimal("999999999999.999999999999999999")
    quote = chosen([says("bank", str(market))], Policy(rate_spread_bps=1), NOON)
    assert quote.rate == Decimal("999899999999.999999999999999999")
    odd = chosen([says("bank", "1.000000000000000007")], Policy(rate_spread_bps=1), NOON)
    assert odd.rate == Decimal("0.999900000000000006")
