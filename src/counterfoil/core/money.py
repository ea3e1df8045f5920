"""Money: whole base units of a named asset. No float ever comes near it."""

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

from counterfoil.core.errors import Invalid

MAX_UNITS: Final = 10**60 - 1
"""The largest amount any table holds (``numeric(78,0)`` with a CHECK below 1e60)."""

_AMOUNT: Final = re.compile(r"(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?", re.ASCII)

Rounding = Literal["up", "down", "exact"]


@dataclass(frozen=True, slots=True)
class Asset:
    """One token on one chain, known by its contract and never by its symbol.

    ``contract`` is lower-case hex on EVM chains; empty for the chain's own coin.
    """

    symbol: str
    chain: str
    contract: str
    decimals: int

    @property
    def key(self) -> str:
        """``chain:contract``, unique over all chains; used in books and journals."""
        return f"{self.chain}:{self.contract or 'native'}"

    @property
    def is_native(self) -> bool:
        """Whether it is the chain's own coin, which no contract keeps and no log reports."""
        return not self.contract


@dataclass(frozen=True, slots=True)
class Money:
    """A non-negative number of base units of one asset.

    Raises ``ValueError`` for a negative or absurdly large number: such a value is a
    bug of ours, since text from outside passes through `parse_units` first.
    """

    units: int
    asset: Asset

    def __post_init__(self) -> None:
        """Refuse what no table could hold."""
        if not 0 <= self.units <= MAX_UNITS:
            msg = f"{self.units} base units of {self.asset.key} are out of bounds"
            raise ValueError(msg)

    def __add__(self, other: "Money") -> "Money":
        """Add money of the same asset; mixing assets is a ``ValueError``."""
        self._same(other)
        return Money(self.units + other.units, self.asset)

    def __sub__(self, other: "Money") -> "Money":
        """Subtract money of the same asset; going below zero is a ``ValueError``."""
        self._same(other)
        return Money(self.units - other.units, self.asset)

    def __str__(self) -> str:
        """Amount and symbol for people, as in ``9.23 USDT``."""
        return f"{format_units(self.units, self.asset.decimals)} {self.asset.symbol}"

    def _same(self, other: "Money") -> None:
        if self.asset != other.asset:
            msg = f"cannot mix {self.asset.key} with {other.asset.key}"
            raise ValueError(msg)


def parse_decimal(text: object, field: str, *, decimals: int = 18) -> Decimal:
    """Read an amount written as plain decimal text.

    Only ``0`` or digits without leading zeros, at most 18 before the point and 18 after
    it, ASCII (specs/reliability.md 2.3 T20): so no sign, exponent, NaN, infinity,
    underscore, blank or full-width digit. Raises `Invalid` naming ``field``.
    """
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
        raise Invalid.field(
            field,
            'must be a plain decimal number in a string, such as "3000.00":'
            " digits and one point, no sign, exponent or separator",
        )
    _, _, fraction = text.partition(".")
    if len(fraction) > decimals:
        raise Invalid.field(field, f"must have at most {decimals} digits after the point")
    return Decimal(text)


def parse_units(text: object, decimals: int, field: str) -> int:
    """Read decimal text as base units; finer than ``decimals`` is `Invalid`."""
    return to_units(parse_decimal(text, field, decimals=decimals), decimals, "exact")


def to_units(value: Decimal | Fraction, decimals: int, rounding: Rounding) -> int:
    """Turn a number of whole coins into base units, rounding as named.

    ``exact`` raises ``ValueError`` where rounding would be needed. What a payer owes is
    rounded up, what we hand out is rounded down, so the books never come out short.
    """
    scaled = Fraction(value) * 10**decimals
    whole, rest = divmod(scaled.numerator, scaled.denominator)
    if rest and rounding == "exact":
        msg = f"{value} is finer than {decimals} decimals"
        raise ValueError(msg)
    return int(whole) + 1 if rest and rounding == "up" else int(whole)


def format_units(units: int, decimals: int, *, at_least: int = 2) -> str:
    """Write base units as plain decimal text, keeping ``at_least`` digits after the point."""
    if decimals == 0:
        return str(units)
    whole, fraction = divmod(units, 10**decimals)
    digits = str(fraction).rjust(decimals, "0").rstrip("0").ljust(min(at_least, decimals), "0")
    return f"{whole}.{digits}" if digits else str(whole)


def plain_text(value: Decimal) -> str:
    """Decimal text without exponent and without idle zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
