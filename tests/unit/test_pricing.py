"""What an invoice asks for, to the unit."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from counterfoil.core import pricing
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid
from counterfoil.core.invoice import LineItem, Price, Quote
from support.invoices import NOON, USDT


def line(quantity: str, unit_price: str, tax: str = "0") -> LineItem:
    return LineItem("Work", Decimal(quantity), Decimal(unit_price), Decimal(tax))


def twd(amount: str) -> Price:
    return Price("fiat", Decimal(amount), "TWD")


def rate(value: str) -> Quote:
    return Quote("USDT", "TWD", Decimal(value), "test", NOON, NOON)


class TestLineItems:
    """The sum must be the amount, and tax is an amount."""

    def test_quantity_times_price_plus_tax_is_the_amount(self) -> None:
        pricing.check_items([line("3", "950", "150"), line("0.5", "0")], twd("3000.00"))

    def test_a_cent_of_difference_is_refused_with_both_sums(self) -> None:
        with pytest.raises(Invalid, match=r"add up to 3000\.01, but amount is 3000"):
            pricing.check_items([line("1", "3000.01")], twd("3000.00"))

    def test_no_lines_is_no_invoice(self) -> None:
        with pytest.raises(Invalid, match="at least one"):
            pricing.check_items([], twd("1"))


class TestAmount:
    """Zero, absurd and too fine amounts are refused."""

    @pytest.mark.parametrize("amount", ["0", "1000000000000.01", "1.001"])
    def test_refused(self, amount: str) -> None:
        with pytest.raises(Invalid):
            pricing.check_amount(twd(amount))

    def test_a_trillion_is_the_most(self) -> None:
        pricing.check_amount(twd("1000000000000"))


class TestDue:
    """The payer never owes a unit too little, nor the merchant's number changed."""

    def test_twd_is_divided_by_the_rate_and_rounded_up(self) -> None:
        due = pricing.request(twd("3000.00"), USDT, rate("32.41"))
        assert due.due_units == 92_564_024  # 92.5640234... rounded up at six decimals

    def test_an_exact_quotient_is_not_rounded(self) -> None:
        assert pricing.request(twd("3000.00"), USDT, rate("32")).due_units == 93_750_000

    def test_a_crypto_amount_is_due_as_it_is(self) -> None:
        price = Price("crypto", Decimal("9.23"), None)
        assert pricing.request(price, USDT, None).due_units == 9_230_000

    def test_a_crypto_amount_finer_than_the_token_is_refused(self) -> None:
        with pytest.raises(Invalid, match="at most 6 digits"):
            pricing.request(Price("crypto", Decimal("0.0000001"), None), USDT, None)


class TestPair:
    """Which rate is needed."""

    @pytest.mark.parametrize(
        ("price", "fixed", "pair"),
        [
            (twd("1"), False, ("USDT", "TWD")),
            (twd("1"), True, ("USD", "TWD")),
            (Price("fiat", Decimal(1), "USD"), False, ("USDT", "USD")),
            (Price("fiat", Decimal(1), "USD"), True, None),
            (Price("crypto", Decimal(1), None), False, None),
        ],
    )
    def test_pair(self, price: Price, fixed: bool, pair: tuple[str, str] | None) -> None:  # noqa: FBT001 - a table's column
        assert pricing.pair(price, USDT, stablecoin_is_one_dollar=fixed) == pair


class TestDeadline:
    """Terms count to the end of the last day; an explicit deadline wins."""

    ISSUED = date(2026, 6, 22)

    def deadline(self, **changes: object) -> datetime | None:
        asked: dict[str, object] = {
            "now": NOON,
            "issued_on": self.ISSUED,
            "terms_days": 30,
            "explicit": None,
        }
        return pricing.deadline(**(asked | changes))  # type: ignore[arg-type]  # - changed by name

    def test_net_30(self) -> None:
        assert self.deadline() == datetime(2026, 7, 23, tzinfo=UTC)

    def test_zero_days_is_due_on_receipt(self) -> None:
        assert self.deadline(terms_days=0) is None

    def test_explicit_wins(self) -> None:
        asked = NOON + timedelta(minutes=10)
        assert self.deadline(explicit=asked) == asked

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"explicit": NOON}, "payment_deadline"),
            ({"explicit": NOON + timedelta(days=400)}, "payment_deadline"),
            ({"terms_days": -1}, "payment_terms"),
            ({"terms_days": 366}, "payment_terms"),
            ({"issued_on": date(2025, 1, 1)}, "payment_terms"),
        ],
    )
    def test_refused_by_name(self, changes: dict[str, object], field: str) -> None:
        with pytest.raises(Invalid) as refusal:
            self.deadline(**changes)
        assert list(refusal.value.fields) == [field]


# specs/einvoice.md 9.3, where prices are without tax; rounding to even would fail it.
TAXES = (
    *((9, 0), (10, 1), (29, 1), (30, 2), (49, 2), (50, 3), (70, 4), (90, 5), (110, 6)),
    *((333, 17), (952, 48), (30_000, 1_500)),
)


@pytest.mark.parametrize(("net", "tax"), TAXES)
def test_taiwans_tax_is_rounded_half_up_to_whole_dollars(net: int, tax: int) -> None:
    assert pricing.tax_at(Decimal(5), [Fraction(net)], "TWD") == [Decimal(tax)]


def test_tax_is_rounded_once_over_all_lines_and_never_below_nothing() -> None:
    taxes = pricing.tax_at(Decimal(5), [Fraction(10)] * 10, "TWD")
    assert sum(taxes) == Decimal(5)
    assert set(taxes) == {Decimal(0), Decimal(1)}
    assert pricing.tax_at(Decimal("7.5"), [Fraction("0.33")] * 3, "USD") == [
        Decimal("0.02"),
        Decimal("0.03"),
        Decimal("0.02"),
    ]
    assert pricing.tax_at(Decimal(5), [Fraction("9.99")], "USDT") == [Decimal("0.50")]


def test_tax_in_a_chains_own_coin_is_rounded_much_finer_than_to_hundredths() -> None:
    for chain in CHAINS.values():
        unit = chain.native.symbol
        assert pricing.tax_at(Decimal(5), [Fraction("0.09")], unit) == [Decimal("0.0045")]
        assert pricing.tax_at(Decimal(5), [Fraction("0.000000301")], unit) == [Decimal("2E-8")]
