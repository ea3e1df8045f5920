"""How risky a payment is: facts in, a weighted score and a verdict out (specs/aml.md 3 to 5).

The rules score the facts, what is missing sets a floor, and every `Assessment` shows its
arithmetic. Scores are decimals from 0.00 to 100.00; ``None`` means "not evaluated", which is
never the same as 0.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from counterfoil.core.money import plain_text
from counterfoil.core.risk_facts import Factors, Subject, instant_text, whole_hours
from counterfoil.core.risk_rules import MAX_SCORE, RULES, Policy, RuleResult, evaluate, two_places

ENGINE_VERSION: Final = "1.0.0"
"""Part of every record; raise it whenever the same facts would score differently."""

_STRONG_SCORE: Final = 50
_UPLIFT_PER_RULE: Final = 5
_UPLIFT_MAX: Final = 20
_NO_PEAK: Final = Decimal(0)


class Decision(StrEnum):
    """What happens to the payment, mildest first (specs/aml.md 4)."""

    CLEAR = "clear"
    MANUAL_REVIEW = "manual_review"
    AML_HOLD = "aml_hold"


# ----------------------------------------------------------------------------------- the floors


@dataclass(frozen=True, slots=True)
class Floor:
    """A reason why the decision cannot be milder than review, whatever the score says.

    ``degrades``: the run lacked something it should have had. ``passes``: a later run may have it.
    """

    code: str
    explain: str
    degrades: bool = True
    passes: bool = True

    def record(self) -> dict[str, object]:
        """The floor as it stands in ``kya_record.floors``."""
        return {
            "code": self.code,
            "at_least": Decision.MANUAL_REVIEW.value,
            "explain": self.explain,
        }


def _floors(factors: Factors, policy: Policy) -> Iterator[Floor]:
    """Fail closed: whatever is missing asks for a person (specs/aml.md 4)."""
    yield from _list_floors(factors, policy)
    yield from _provider_floors(factors, policy)
    yield from _subject_floors(factors.subject)
    if factors.amount_twd is None:
        yield Floor("amount_unknown", "there is no rate to New Taiwan dollars")
    elif factors.amount_twd >= policy.edd_twd:
        explain = f"at least {policy.edd_twd:,f} TWD, the threshold of enhanced diligence"
        yield Floor("edd_amount", explain, degrades=False, passes=False)


def _list_floors(factors: Factors, policy: Policy) -> Iterator[Floor]:
    present = {state.code: state for state in factors.lists}
    for code in sorted(policy.lists):
        if code not in present:
            yield Floor("list_unavailable", f"{code} was never imported")
        elif policy.freshness(present[code], factors.evaluated_at) == "stale":
            age = whole_hours(factors.evaluated_at - present[code].fetched_at)
            limit = whole_hours(policy.list_max_age)
            yield Floor("list_unavailable", f"{code} is {age} h old, the limit is {limit} h")


def _provider_floors(factors: Factors, policy: Policy) -> Iterator[Floor]:
    for failure in factors.failures:
        explain = f"{failure.provider}: {failure.reason}"
        yield Floor("provider_unavailable", explain, passes=failure.passes)
    if factors.subject.readable:
        heard = {s.provider for s in factors.screenings} | {f.provider for f in factors.failures}
        for code in sorted(policy.providers - heard):
            yield Floor("provider_unavailable", f"{code} was not asked")


def _subject_floors(subject: Subject) -> Iterator[Floor]:
    if subject.kind == "address" and subject.value is None:
        yield Floor("payer_unknown", "nobody knows the paying address", passes=False)
    elif subject.kind == "address" and not subject.readable:
        yield Floor("payer_unreadable", "the paying address has no known form", passes=False)


# ---------------------------------------------------------------------------------- the verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """One finished evaluation: the verdict and all of its arithmetic."""

    factors: Factors
    policy: Policy
    results: Mapping[str, RuleResult]
    weighted: Decimal
    peak: tuple[str, Decimal] | None
    uplift: int
    total: Decimal
    floors: tuple[Floor, ...]
    decision: Decision

    @property
    def degraded(self) -> bool:
        """Whether something was missing that should have been there."""
        return any(f.degrades for f in self.floors)

    @property
    def undecided(self) -> bool:
        """Whether nothing stands against it but answers that a later run may get."""
        found = self.total >= self.policy.review
        return bool(self.floors) and not found and all(f.passes for f in self.floors)

    @property
    def hard_hit(self) -> bool:
        """Whether a confirmed hit forced the verdict; such a hold is never released."""
        return any(h.hard for h in self.factors.all_hits)

    def scores(self) -> dict[str, str | None]:
        """The flat fields of a payment intent, as text of two decimals or None."""
        flat = {code: _text(result.score) for code, result in self.results.items()}
        return flat | {"total_weighted_risk_score": _text(self.total)}

    def record(self) -> dict[str, object]:
        """The ``kya_record`` of specs/aml.md 5, in JSON values only."""
        at = self.factors.evaluated_at
        return {
            "run_id": self.factors.run_id,
            "stage": self.factors.stage,
            "subject": self.factors.subject.record(),
            "policy_version": self.policy.version,
            "engine_version": ENGINE_VERSION,
            "evaluated_at": instant_text(at),
            "amount_twd": None
            if self.factors.amount_twd is None
            else plain_text(self.factors.amount_twd),
            "rate": self.factors.rate.record() if self.factors.rate else None,
            "lists": [
                state.record(at) | {"freshness": self.policy.freshness(state, at)}
                for state in self.factors.lists
            ],
            "hits": [hit.record() for hit in self.factors.all_hits],
            **self._dispositions(),
            "rules": [
                self._rule_record(code, r)
                for code, r in self.results.items()
                if r.score is not None
            ],
            "null_rules": [
                {"code": code, "reason": r.explain}
                for code, r in self.results.items()
                if r.score is None
            ],
            "weighted": _text(self.weighted),
            "peak": {"code": self.peak[0], "value": _text(self.peak[1])} if self.peak else None,
            "uplift": str(self.uplift),
            "total": _text(self.total),
            "floors": [f.record() for f in self.floors],
            "decision": self.decision.value,
            "degraded": self.degraded,
        }

    def _dispositions(self) -> dict[str, object]:
        """What was hit and counts for nothing, where there is any."""
        found = [one.record() for one in self.factors.disposed]
        return {"dispositions": found} if found else {}

    def _rule_record(self, code: str, result: RuleResult) -> dict[str, object]:
        factor = self.policy.peak(code)
        peak = None if factor is None or result.score is None else _times(result.score, factor)
        return {
            "code": code,
            "score": _text(result.score),
            "weight": self.policy.weight(code),
            "peak": None if peak is None else _text(two_places(peak)),
            "inputs": dict(result.inputs),
            "explain": result.explain,
        }


def assess(factors: Factors, policy: Policy) -> Assessment:
    """Score the factors under a policy and decide (specs/aml.md 4)."""
    results = {code: evaluate(code, factors, policy) for code in RULES}
    counted = {
        code: result.score
        for code, result in results.items()
        if result.score is not None and RULES[code].peak is not None
    }
    weighted = _weighted_mean(counted, policy)
    peak = max(
        ((_times(s, policy.peak(c) or _NO_PEAK), c) for c, s in counted.items()), default=None
    )
    strong = sum(score >= _STRONG_SCORE for score in counted.values())
    uplift = min(_UPLIFT_MAX, _UPLIFT_PER_RULE * max(0, strong - 1))
    hard_hit = any(h.hard for h in factors.all_hits)
    highest = max(weighted, peak[0]) if peak else weighted
    total = two_places(MAX_SCORE if hard_hit else min(MAX_SCORE, highest + uplift))
    floors = tuple(_floors(factors, policy))
    return Assessment(
        factors=factors,
        policy=policy,
        results=MappingProxyType(results),
        weighted=two_places(weighted),
        peak=(peak[1], two_places(peak[0])) if peak else None,
        uplift=uplift,
        total=total,
        floors=floors,
        decision=_decide(total, policy, floored=bool(floors)),
    )


def without_names(record: Mapping[str, object]) -> dict[str, object]:
    """A ``kya_record`` for readers without ``compliance:review``: hits without their names."""
    hits = record["hits"]
    shown = [hit | {"names": []} for hit in hits] if isinstance(hits, list) else []
    return {**record, "hits": shown}


def _weighted_mean(counted: Mapping[str, Decimal], policy: Policy) -> int | Fraction:
    weights = sum(policy.weight(code) for code in counted)
    if not weights:
        return 0
    total = sum(policy.weight(code) * _exactly(score) for code, score in counted.items())
    return Fraction(total, weights) if total else 0


def _times(score: Decimal, factor: Decimal) -> int | Fraction:
    return _exactly(score) * Fraction(factor) if score else 0


def _exactly(score: Decimal) -> int | Fraction:
    """A score to reckon with. Most payments score nothing, which needs no fraction."""
    return Fraction(score) if score else 0


def _decide(total: Decimal, policy: Policy, *, floored: bool) -> Decision:
    # A hard hit totals 100, above any band a policy may set, so it needs no case of its own.
    if total >= policy.hold:
        return Decision.AML_HOLD
    return Decision.MANUAL_REVIEW if floored or total >= policy.review else Decision.CLEAR


def _text(score: Decimal | None) -> str | None:
    return None if score is None else f"{score:.2f}"
