"""What an invoice asks for: line items, the rate it is priced at, and when it is due."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Final

from counterfoil.core import zones
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid
from counterfoil.core.invoice import LineItem, PaymentRequest, Policy, Price, Quote
from counterfoil.core.money import Asset, format_units, plain_text, to_units

MAX_AMOUNT: Final = Decimal(10) ** 12
"""A trillion of anything is a mistake, not an invoice."""

FIAT_DECIMALS: Final = 2
COIN_DECIMALS: Final = 8
TAX_DECIMALS: Final = {
    "TWD": 0,
    **{chain.native.symbol: COIN_DECIMALS for chain in CHAINS.values()},
}
"""To how many digits tax at a rate is rounded, where it is not to hundredths.

Taiwan's is in whole dollars (specs/einvoice.md 9.2); a hundredth of a chain's own coin is no cent.
"""

MAX_TERMS_DAYS: Final = 365
MAX_DEADLINE_AHEAD: Final = timedelta(days=366)


def check_items(items: Sequence[LineItem], price: Price) -> None:
    """Refuse line items that do not add up to the amount, exactly.

    Raises `Invalid` naming ``detail_items`` and both sums.
    """
    if not items:
        raise Invalid.field("detail_items", "must have at least one line item")
    total = sum((item.total for item in items), start=Decimal(0))
    if total != price.amount:
        raise Invalid.field(
            "detail_items",
            f"add up to {plain_text(total)}, but amount is {plain_text(price.amount)};"
            " each line counts quantity x unit_price + tax",
        )


def tax_at(percent: Decimal, nets: Sequence[Fraction], unit: str) -> list[Decimal]:
    """The tax of lines that share a rate, given each one's amount before it.

    Rounded half up, and once: over all of them (specs/einvoice.md 9.2). A line's tax is what it
    adds to the rounded tax of those before it, so none is negative and no cent is lost. ``unit``
    is the currency or the token's symbol that the amounts are in.
    """
    decimals = TAX_DECIMALS.get(unit, FIAT_DECIMALS)
    taxes = []
    net, before = Fraction(0), 0
    for one in nets:
        net += one
        so_far = floor(net * Fraction(percent) / 100 * 10**decimals + Fraction(1, 2))
        taxes.append(Decimal(so_far - before).scaleb(-decimals))
        before = so_far
    return taxes


def check_amount(price: Price) -> None:
    """Refuse an amount of zero, of more than a trillion, or finer than the currency."""
    if not 0 < price.amount <= MAX_AMOUNT:
        raise Invalid.field("amount", f"must be above 0 and at most {MAX_AMOUNT:f}")
    if price.mode == "fiat" and -_exponent(price.amount) > FIAT_DECIMALS:
        raise Invalid.field("amount", f"must have at most {FIAT_DECIMALS} digits after the point")


def pair(price: Price, asset: Asset, *, stablecoin_is_one_dollar: bool) -> tuple[str, str] | None:
    """Which rate is needed to price in this asset: (base, quote), or None when none is.

    With a fixed stablecoin rate one coin is one US dollar, so only the dollar needs a rate. A
    chain's own coin is none.
    """
    if price.mode == "crypto" or price.currency is None:
        return None
    if asset.is_native or not stablecoin_is_one_dollar:
        return asset.symbol, price.currency
    return None if price.currency == "USD" else ("USD", price.currency)


def request(price: Price, asset: Asset, quote: Quote | None) -> PaymentRequest:
    """How much of ``asset`` is due; rounded up, so that the merchant is never short.

    Raises `Invalid` for a crypto amount finer than the token.
    """
    if price.mode == "crypto" and -_exponent(price.amount) > asset.decimals:
        sentence = f"must have at most {asset.decimals} digits after the point for {asset.symbol}"
        raise Invalid.field("amount", sentence)
    rate = Fraction(quote.rate) if quote is not None else Fraction(1)
    due_units = to_units(Fraction(price.amount) / rate, asset.decimals, "up")
    return PaymentRequest(asset=asset, due_units=due_units, quote=quote)


def due_text(due: PaymentRequest) -> str:
    """The amount due as plain decimal text, exact."""
    return format_units(due.due_units, due.asset.decimals)


def deadline(
    *,
    now: datetime,
    issued_on: date,
    terms_days: int,
    explicit: datetime | None,
    zone: tzinfo = UTC,
) -> datetime | None:
    """When the invoice is due; None when it is due on receipt, which approval starts.

    Terms count from the issue date to the end of the last day, in the organisation's own zone. An
    explicit deadline wins. Raises `Invalid` for a deadline that has passed or lies absurdly far
    ahead.
    """
    if explicit is not None:
        return _still_ahead(explicit, now, "payment_deadline", zone)
    if not 0 <= terms_days <= MAX_TERMS_DAYS:
        sentence = f"must be a whole number of days from 0 (due on receipt) to {MAX_TERMS_DAYS}"
        raise Invalid.field("payment_terms", sentence)
    if terms_days == 0:
        return None
    day_after = issued_on + timedelta(days=terms_days + 1)
    ends_at = datetime.combine(day_after, time.min, zone).astimezone(UTC)
    return _still_ahead(ends_at, now, "payment_terms", zone)


def receipt_deadline(payable_at: datetime, policy: Policy) -> datetime:
    """When an invoice due on receipt is due, given when it became (or may become) payable."""
    return payable_at + timedelta(seconds=policy.receipt_window_seconds)


def _still_ahead(instant: datetime, now: datetime, field: str, zone: tzinfo) -> datetime:
    if instant <= now:
        due = zones.said_due(instant, zone)
        raise Invalid.field(field, f"puts the deadline at {due}, which has passed")
    if instant > now + MAX_DEADLINE_AHEAD:
        raise Invalid.field(field, "puts the deadline more than a year ahead")
    return instant


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0
