"""How values look on a page."""

from decimal import Decimal

import pytest

from counterfoil.core.assets import CHAINS, accepted_asset
from counterfoil.core.invoice import Price
from counterfoil.core.money import Money
from counterfoil.pages import shape

USDT = accepted_asset(CHAINS["arb"], "USDT")


@pytest.mark.parametrize(
    ("units", "shown"),
    [
        (1, "0.000001 USDT"),
        (46_153_847, "46.153847 USDT"),
        (4_223_006_696, "4,223.006696 USDT"),
        (1_000_000_000_000, "1,000,000.00 USDT"),
    ],
)
def test_token_amounts_show_every_digit_and_set_thousands_apart(units: int, shown: str) -> None:
    assert USDT is not None
    assert shape.money(Money(units, USDT)) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [("950.49", "950"), ("1000", "1k"), ("12449", "12.4k"), ("3120000", "3.1M")],
)
def test_above_a_bar_an_amount_has_few_letters(value: str, shown: str) -> None:
    assert shape.roughly(Decimal(value)) == shown


@pytest.mark.parametrize(
    ("value", "of_currency", "of_token"),
    [
        ("1234.5", "1,234.50", "1,234.5"),
        ("44083", "44,083.00", "44,083"),
        ("0.12345", "0.12345", "0.12345"),
    ],
)
def test_a_line_of_an_invoice_has_its_cents(value: str, of_currency: str, of_token: str) -> None:
    fiat = Price(mode="fiat", amount=Decimal(1), currency="TWD")
    token = Price(mode="crypto", amount=Decimal(1), currency=None)
    assert shape.cash(Decimal(value), fiat) == of_currency
    assert shape.cash(Decimal(value), token) == of_token
