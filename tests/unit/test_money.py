"""Amounts: what text is taken, how it is rounded, and that nothing mixes."""

from decimal import Decimal
from fractions import Fraction

import pytest

from counterfoil.core.errors import Invalid
from counterfoil.core.money import Money, format_units, parse_decimal, parse_units, to_units
from support.invoices import USDC, USDT

NOT_AMOUNTS = [
    "",
    " 5",
    "5 ",
    "-0",
    "-1",
    "+1",
    "1e3",
    "1E+1000000",
    "NaN",
    "Infinity",
    "1_000",
    "1,000",
    "01",
    "1.",
    ".5",
    "0x10",
    "\uff15",  # a full-width five
    "\u0665",  # an Arabic five
    "1\n",
    "1" * 19,
    "0." + "1" * 19,
    5,
    5.0,
    True,
    None,
    ["5"],
]


@pytest.mark.parametrize("text", NOT_AMOUNTS)
def test_what_is_not_plain_decimal_text_is_refused_by_name(text: object) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_decimal(text, "amount")
    assert list(refusal.value.fields) == ["amount"]


def test_the_largest_and_the_finest_amount_are_read_exactly() -> None:
    assert parse_decimal("9" * 18 + "." + "9" * 18, "amount") == Decimal("9" * 18 + "." + "9" * 18)


def test_finer_than_the_token_is_refused_not_rounded() -> None:
    assert parse_units("0.000001", 6, "amount") == 1
    with pytest.raises(Invalid):
        parse_units("0.0000001", 6, "amount")


def test_rounding_is_as_named() -> None:
    third = Fraction(1, 3)
    assert to_units(third, 6, "up") == 333_334
    assert to_units(third, 6, "down") == 333_333
    with pytest.raises(ValueError, match="finer"):
        to_units(third, 6, "exact")


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (9_230_000, "9.23"),
        (100_000_000, "100.00"),
        (1_500_000, "1.50"),
    ],
)
def test_amounts_are_written_plainly(units: int, text: str) -> None:
    assert format_units(units, 6) == text


def test_money_refuses_to_mix_assets_or_go_below_nothing() -> None:
    with pytest.raises(ValueError, match="cannot mix"):
        Money(1, USDT) + Money(1, USDC)
    with pytest.raises(ValueError, match="out of bounds"):
        Money(1, USDT) - Money(2, USDT)
    assert str(Money(9_230_000, USDT)) == "9.23 USDT"
