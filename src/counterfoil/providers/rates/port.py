"""What every source of exchange rates looks like, and which answers none of them may give."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Protocol

_VALUE: Final = re.compile(r"(0|[1-9][0-9]{0,11})(\.[0-9]{1,18})?", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z][A-Z0-9]{1,11}", re.ASCII)


class RateUnavailable(Exception):  # noqa: N818 - the state of an outsider, not a bug of ours
    """The source did not answer, or does not know the pair; try again later."""


class RateRefused(Exception):  # noqa: N818 - the state of an outsider, not a bug of ours
    """The source answered something we will not price by; keep the last snapshot."""


@dataclass(frozen=True, slots=True)
class RawRate:
    """One unit of ``base`` costs ``value`` of ``quote``: USDT/TWD is about 32.

    ``observed_at`` is when the source saw it, aware UTC; ``raw`` is what it said, as text, so
    that a quote can be explained later.
    """

    base: str
    quote: str
    value: Decimal
    source: str
    observed_at: datetime
    raw: Mapping[str, object] = field(default_factory=dict)

    @property
    def pair(self) -> str:
        """The pair as ``USDT/TWD``."""
        return f"{self.base}/{self.quote}"


class RateSource(Protocol):
    """Someone who knows exchange rates."""

    code: str

    async def quote(self, base: str, quote: str) -> RawRate:
        """Ask for one pair; raises `RateUnavailable` or `RateRefused`."""
        ...


@dataclass(frozen=True, slots=True)
class RateGuard:
    """Refuses a rate that may be well formed and still cannot be true.

    ``max_jump`` is the largest believable change since the same source's last snapshot, as a share
    of it. It does not grow with time: after a long silence a person widens it. A source's first
    word is measured by what others say: a scale or a field that is wrong would price everything.
    """

    max_jump: Decimal = Decimal("0.20")
    max_ahead: timedelta = timedelta(minutes=2)

    def check(
        self,
        rate: RawRate,
        last: RawRate | None,
        now: datetime,
        others: Sequence[RawRate] = (),
    ) -> None:
        """Raise `RateRefused` for a leap, or a time ahead of ours that would stay fresh.

        ``last`` is the same source's last word. Where there is none yet, a rate leaps that does so
        from all that ``others`` say now; where nobody speaks it is taken.
        """
        if rate.observed_at - now > self.max_ahead:
            message = f"{rate.source}: {rate.pair} is dated {rate.observed_at}, ahead of our clock"
            raise RateRefused(message)
        if last is not None and self._leaps(rate, last):
            message = (
                f"{rate.source}: {rate.pair} leaps from {last.value} to {rate.value},"
                f" by more than {self.max_jump:.0%}"
            )
            raise RateRefused(message)
        if last is None and others and all(self._leaps(rate, other) for other in others):
            told = ", ".join(f"{other.source} says {other.value}" for other in others)
            message = (
                f"{rate.source}: the first {rate.pair} is {rate.value}, and {told}: off all of them"
                f" by more than {self.max_jump:.0%}"
            )
            raise RateRefused(message)

    def _leaps(self, rate: RawRate, before: RawRate) -> bool:
        return abs(rate.value - before.value) > self.max_jump * before.value


def parse_rate(value: object, what: str) -> Decimal:
    """Read a rate from plain decimal text; ``what`` names it in the refusal.

    Twelve digits before the point and eighteen after it at most, so no sign, exponent, NaN or
    infinity; never zero. Raises `RateRefused`.
    """
    if not isinstance(value, str) or not _VALUE.fullmatch(value) or Decimal(value) == 0:
        message = f"{what} is {str(value)[:60]!r}, not a plain decimal number above 0"
        raise RateRefused(message)
    return Decimal(value)


def check_currency(code: str) -> str:
    """The code itself, when it is one such as TWD or USDT; raises `RateUnavailable`.

    It becomes part of an address on the web, so nothing else may pass.
    """
    if not _CURRENCY.fullmatch(code):
        message = f"{code[:20]!r} is no currency code"
        raise RateUnavailable(message)
    return code
