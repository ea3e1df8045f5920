"""The rules that score a payment, and the policy that sets their numbers (specs/aml.md 3, 4.2).

The numbers are a design of our own, drawn from public red flags and legal thresholds; nobody
publishes the rules behind the field names. So all of them stand here, and a `Policy` says which
of them an organisation changes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import chain, pairwise
from types import MappingProxyType
from typing import Final, Literal

from counterfoil.core.errors import Invalid
from counterfoil.core.money import plain_text
from counterfoil.core.risk_facts import (
    EXPOSURE_SCALES,
    Exposure,
    Factors,
    Hit,
    ListState,
    Severity,
)

SEVERITY_SCORES: Final = MappingProxyType(
    {
        Severity.NONE: 0,
        Severity.LOW: 10,
        Severity.UNKNOWN: 20,
        Severity.MEDIUM: 50,
        Severity.HIGH: 80,
        Severity.SEVERE: 95,
    }
)
"""Rule R1 of specs/aml.md 3."""

Freshness = Literal["fresh", "ageing", "stale"]
MAX_SCORE: Final = 100

_NOTHING: Final = Fraction(0)
_DUST_SHARE: Final = Fraction(1, 100)
_ISSUER_FREEZE_SCORE: Final = 95
_SOFT_HIT_SCORE: Final = 50


# ----------------------------------------------------------------------------------- the policy

_LONGEST_LIST_AGE: Final = timedelta(hours=72)
PEOPLE: Final = 2
"""How many release money, unless a policy asks for others."""
_MOST_PEOPLE: Final = 5
_ALWAYS_ON: Final = frozenset({"kya_risk", "kya_risk_address"})
Curve = tuple[tuple[Decimal, Decimal], ...]
"""Points ``(x, y)`` of a line, x rising."""

LARGE_TRANSACTION_CURVE: Final = (
    (Decimal(30_000), Decimal(20)),
    (Decimal(150_000), Decimal(40)),
    (Decimal(500_000), Decimal(70)),
    (Decimal(1_500_000), Decimal(90)),
    (Decimal(3_000_000), Decimal(100)),
)
"""Rule R4 of specs/aml.md 3: New Taiwan dollars to score, linear in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How an organisation scores, inside guard rails it cannot leave (specs/aml.md 4.2).

    ``weights`` and ``peaks`` override the table of rules. ``lists`` are the sanctions lists
    that bind: each must be present and fresh. ``providers`` are those that must answer. So many
    people release what is to be looked at, and what is held; one is enough for the first only.
    Raises `Invalid` naming the setting that breaks a guard rail.
    """

    version: int
    review: Decimal = Decimal(40)
    hold: Decimal = Decimal(75)
    weights: Mapping[str, int] = field(default_factory=dict)
    peaks: Mapping[str, Decimal] = field(default_factory=dict)
    rules_off: frozenset[str] = frozenset()
    edd_twd: Decimal = Decimal(500_000)
    large_transaction_curve: Curve = LARGE_TRANSACTION_CURVE
    lists: frozenset[str] = frozenset({"OFAC_SDN"})
    providers: frozenset[str] = frozenset()
    list_max_age: timedelta = _LONGEST_LIST_AGE
    review_approvers: int = PEOPLE
    hold_approvers: int = PEOPLE

    def __post_init__(self) -> None:
        """Check every guard rail, and name all that break."""
        broken = dict(
            chain(self._bands(), self._rules(), self._thresholds(), self._lists(), self._people())
        )
        if broken:
            message = "; ".join(f"{setting}: {sentence}" for setting, sentence in broken.items())
            raise Invalid(message, fields=broken)

    @property
    def list_warn_age(self) -> timedelta:
        """When to warn that a list grows old: after two thirds, so 48 h of the usual 72."""
        return self.list_max_age * 2 / 3

    def freshness(self, state: ListState, at: datetime) -> Freshness:
        """How far a list can be trusted at an instant (specs/aml.md 6.5)."""
        # A list dated far in the future would stay fresh for ever, so distance counts, not age.
        distance = abs(at - state.fetched_at)
        if distance >= self.list_max_age:
            return "stale"
        return "ageing" if distance >= self.list_warn_age else "fresh"

    def weight(self, code: str) -> int:
        """The rule's weight in the mean."""
        return self.weights.get(code, RULES[code].weight)

    def peak(self, code: str) -> Decimal | None:
        """The factor by which the rule alone can carry the total; None for parts of a rule."""
        own = RULES[code].peak
        return own if own is None else self.peaks.get(code, own)

    def _bands(self) -> Iterator[tuple[str, str]]:
        yield from _outside("review", self.review, 10, 60)
        yield from _outside("hold", self.hold, 50, 90)
        # NaN refuses to be compared, and has been named already.
        if self.hold.is_finite() and self.review.is_finite() and self.hold <= self.review:
            yield "hold", "must be greater than review"

    def _rules(self) -> Iterator[tuple[str, str]]:
        for code in {*self.weights, *self.peaks, *self.rules_off} - RULES.keys():
            yield code, f"is no rule; the rules are {', '.join(RULES)}"
        for code, weight in self.weights.items():
            yield from _outside(f"weights.{code}", Decimal(weight), 0, 100)
        for code, peak in self.peaks.items():
            yield from _outside(f"peaks.{code}", peak, 0, 1)
        for code in _ALWAYS_ON & self.rules_off:
            yield f"rules_off.{code}", "cannot be switched off, for it carries the sanctions"

    def _thresholds(self) -> Iterator[tuple[str, str]]:
        yield from _outside("edd_twd", self.edd_twd, 1, 10**12)
        curve = self.large_transaction_curve
        finite = all(x.is_finite() and y.is_finite() for x, y in curve)
        if not (
            curve and finite and _rises(curve) and curve[0][1] >= 0 and curve[-1][1] <= MAX_SCORE
        ):
            yield "large_transaction_curve", "must have rising amounts with scores from 0 to 100"

    def _people(self) -> Iterator[tuple[str, str]]:
        most = Decimal(self.hold_approvers)
        yield from _outside("release.hold_approvers", most, PEOPLE, _MOST_PEOPLE)
        yield from _outside("release.review_approvers", Decimal(self.review_approvers), 1, most)

    def _lists(self) -> Iterator[tuple[str, str]]:
        if not self.lists:
            yield "lists", "must name at least one sanctions list"
        if not timedelta(hours=1) <= self.list_max_age <= _LONGEST_LIST_AGE:
            yield "list_max_age", "must be between 1 and 72 hours"


def _rises(curve: Curve) -> bool:
    return all(x0 < x1 and y0 <= y1 for (x0, y0), (x1, y1) in pairwise(curve))


def _outside(
    setting: str, value: Decimal, low: int, high: int | Decimal
) -> Iterator[tuple[str, str]]:
    if not (value.is_finite() and low <= value <= high):
        yield setting, f"must be between {low} and {high}"


# ------------------------------------------------------------------------------------ the rules


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What a rule found: a score of two decimals, or None, with the sentence that says why."""

    score: Decimal | None
    explain: str
    inputs: Mapping[str, str | int] = field(default_factory=dict)


def _scored(score: int | Fraction, explain: str, **inputs: str | int) -> RuleResult:
    return RuleResult(two_places(score), explain, inputs)


def _not_evaluated(reason: str) -> RuleResult:
    return RuleResult(None, reason)


def _address(factors: Factors, _policy: Policy) -> RuleResult:
    """R1: the payer's own address; a hard hit outranks everything, our own list any vendor."""
    if hard := [h for h in factors.all_hits if h.hard]:
        return _hard_hit(hard)
    if not factors.subject.readable:
        return _not_evaluated("no address to look up")
    if not factors.lists and not factors.screenings:
        return _not_evaluated("no list and no provider to ask")
    if factors.allow_listed and not factors.all_hits:
        return _scored(0, "a verified wallet of the organisation")
    worst = max((s.severity for s in factors.screenings), key=_severity, default=Severity.NONE)
    if factors.all_hits and _severity(worst) <= _SOFT_HIT_SCORE:
        return _scored(_SOFT_HIT_SCORE, "another form of a listed address, under the same key")
    return _scored(_severity(worst), f"the worst answer is {_SAID[worst]}", severity=worst.value)


def _hard_hit(hits: list[Hit]) -> RuleResult:
    listed = sorted({h.list_code for h in hits if h.match != "issuer_freeze"})
    if not listed:
        return _scored(_ISSUER_FREEZE_SCORE, "frozen by the issuer of the token")
    return _scored(MAX_SCORE, f"listed on {', '.join(listed)}")


_SAID: Final[Mapping[Severity, str]] = {
    Severity.NONE: "no risk",
    Severity.LOW: "a low risk",
    Severity.UNKNOWN: "unknown to them",
    Severity.MEDIUM: "a medium risk",
    Severity.HIGH: "a high risk",
    Severity.SEVERE: "a severe risk",
}
"""A provider's word, for people."""


def _severity(severity: Severity) -> int:
    return SEVERITY_SCORES[severity]


def _counter_party(factors: Factors, _policy: Policy) -> RuleResult:
    """R2: whose money passed through; shares below 1 % are dust that an enemy could send."""
    traced = [s.exposures for s in factors.screenings if s.exposures is not None]
    if not traced:
        return _not_evaluated("no provider traced the funds")
    scores = [score for exposures in traced for score in _exposure_scores(exposures)]
    worst, category = max(scores, default=(_NOTHING, "none"))
    return _scored(worst, f"the worst exposure is {category}", category=category)


def _exposure_scores(exposures: tuple[Exposure, ...]) -> Iterator[tuple[Fraction, str]]:
    for category in {e.category for e in exposures}:
        share = sum((Fraction(e.share) for e in exposures if e.category == category), Fraction(0))
        base, full = EXPOSURE_SCALES[category]
        if share >= _DUST_SHARE:
            yield base * min(Fraction(1), share / full), category


def _kya(factors: Factors, policy: Policy) -> RuleResult:
    """The worse of R1 and R2."""
    parts = (
        evaluate("kya_risk_address", factors, policy),
        evaluate("kya_risk_counter_party", factors, policy),
    )
    scored = [(p.score, p.explain) for p in parts if p.score is not None]
    if not scored:
        return _not_evaluated(parts[0].explain)
    score, explain = max(scored)
    return RuleResult(score, explain)


def _large_transaction(factors: Factors, policy: Policy) -> RuleResult:
    """R4: one big payment, half as strange when the organisation expects as much."""
    amount = factors.amount_twd
    if amount is None:
        return _not_evaluated("no rate to New Taiwan dollars")
    curve = policy.large_transaction_curve
    score = piecewise(amount, curve) if amount >= curve[0][0] else _NOTHING
    expected = factors.expected_max_single_twd
    if expected is None or amount > expected:
        return _scored(score, f"a payment of {amount:,.2f} TWD", amount_twd=plain_text(amount))
    return _scored(
        score / 2,
        f"a payment of {amount:,.2f} TWD, within the expected {expected:,.2f}",
        amount_twd=plain_text(amount),
        expected_max_single_twd=plain_text(expected),
    )


def _without_history(_factors: Factors, _policy: Policy) -> RuleResult:
    return _not_evaluated("no history source yet")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule's place in the total: its weight, its peak factor, and the function that scores.

    A rule without a peak is a part of another one and does not count by itself.
    """

    weight: int
    peak: Decimal | None
    score: Callable[[Factors, Policy], RuleResult]


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "kya_risk": Rule(35, Decimal("0.95"), _kya),
        "kya_risk_address": Rule(0, None, _address),
        "kya_risk_counter_party": Rule(0, None, _counter_party),
        "kya_accumulation_risk": Rule(10, Decimal("0.75"), _without_history),
        "large_transaction_risk": Rule(10, Decimal("0.55"), _large_transaction),
        "quick_in_out_risk": Rule(10, Decimal("0.70"), _without_history),
        "structuring_risk": Rule(9, Decimal("0.75"), _without_history),
        "transaction_frequency_risk": Rule(8, Decimal("0.60"), _without_history),
        "volume_spike_risk": Rule(7, Decimal("0.60"), _without_history),
        "dormant_account_risk": Rule(6, Decimal("0.60"), _without_history),
        "business_pattern_risk": Rule(5, Decimal("0.60"), _without_history),
    }
)
"""Every rule under its name on the wire (specs/aml.md 3). To add one, write its function here."""


def evaluate(code: str, factors: Factors, policy: Policy) -> RuleResult:
    """Let one rule look at the factors, unless the policy switched it off."""
    if code in policy.rules_off:
        return _not_evaluated("switched off by the policy")
    return RULES[code].score(factors, policy)


def piecewise(x: Decimal, curve: Curve) -> Fraction:
    """The value at ``x`` of a line through ``curve``: constant outside, straight inside."""
    if x <= curve[0][0]:
        return Fraction(curve[0][1])
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x <= x1:
            return Fraction(y0) + Fraction(y1 - y0) * Fraction(x - x0) / Fraction(x1 - x0)
    return Fraction(curve[-1][1])


def two_places(value: int | Fraction) -> Decimal:
    """Round half up to two decimals, exactly and whatever the thread's decimal context is."""
    n, d = value.as_integer_ratio()
    return Decimal((200 * n + d) // (2 * d)).scaleb(-2)
