"""From what the sources say to the rate that prices an invoice: which count, and the spread."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_DOWN, Context, Decimal
from typing import Final

from counterfoil.core.errors import Unavailable
from counterfoil.core.invoice import Policy, Quote, names_in
from counterfoil.core.money import plain_text

MOST_SPREAD_BPS: Final = 500
MOST_SOURCES: Final = 5
RATE_DECIMALS: Final = 18

_ONE: Final = Decimal(10_000)
_EXACT: Final = Context(prec=60)


def chosen(said: Sequence[Quote], policy: Policy, now: datetime) -> Quote:
    """The rate that a policy prices with, the spread taken off.

    ``said`` is the newest of each source for one pair, the preferred source first; at least one.
    Where several have to agree it is the lowest of those that do, so that the merchant is not
    short. Raises `Unavailable` where too few count or agree.
    """
    wanted = names_in(policy.rate_sources)
    most_seconds = policy.rate_max_age_seconds
    counted = [
        quote
        for quote in said
        if (not wanted or quote.source in wanted)
        and (most_seconds is None or int((now - quote.observed_at).total_seconds()) <= most_seconds)
    ]
    for quote in counted:
        agreeing = [other for other in counted if _agree(quote, other, policy)]
        if len(agreeing) >= policy.rate_sources_agree:
            found = min(agreeing, key=lambda one: one.rate)
            return _less(found if policy.rate_sources_agree > 1 else quote, policy.rate_spread_bps)
    raise _too_few(said[0], counted, policy)


def _agree(one: Quote, other: Quote, policy: Policy) -> bool:
    return abs(one.rate - other.rate) * _ONE <= one.rate * policy.rate_agree_within_bps


def _less(quote: Quote, spread_bps: int) -> Quote:
    if not spread_bps:
        return quote
    exact = _EXACT.divide(_EXACT.multiply(quote.rate, _ONE - spread_bps), _ONE)
    rate = exact.quantize(Decimal(1).scaleb(-RATE_DECIMALS), ROUND_DOWN, _EXACT).normalize(_EXACT)
    return replace(quote, rate=rate, market=quote.rate)


def _too_few(any_of: Quote, counted: Sequence[Quote], policy: Policy) -> Unavailable:
    pair = f"{any_of.base}/{any_of.quote}"
    told = ", ".join(f"{one.source}: {plain_text(one.rate)}" for one in counted)
    data = {"pair": pair, "rates": {one.source: plain_text(one.rate) for one in counted}}
    if not counted:
        msg = f"no {pair} rate counts by your rules: too old, or of other sources; try again"
        return Unavailable(msg, data=data)
    least = policy.rate_sources_agree
    msg = f"{least} sources have to agree on {pair}, and these do not ({told}); try again"
    return Unavailable(msg, data={**data, "agree": least})
