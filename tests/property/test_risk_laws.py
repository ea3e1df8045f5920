"""Laws that hold for every payment, however strange."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, localcontext

from hypothesis import assume, given
from hypothesis import strategies as st

from counterfoil.core.risk import Decision, assess
from counterfoil.core.risk_facts import (
    EXPOSURE_SCALES,
    Exposure,
    Factors,
    Hit,
    ProviderFailure,
    Severity,
)
from counterfoil.core.risk_rules import RULES, SEVERITY_SCORES, Policy
from support.fake_screening import (
    BANK_TRANSFER,
    ON_OFAC,
    PAYER,
    UNKNOWN_PAYER,
    a_list,
    a_payment,
    a_provider,
)

ORDER = list(Decision)
SEVERITIES = sorted(Severity, key=SEVERITY_SCORES.__getitem__)

amounts = st.one_of(st.none(), st.decimals(min_value=0, max_value=10**9, places=2, allow_nan=False))
shares = st.decimals(min_value=0, max_value=1, places=4, allow_nan=False)
exposures = st.none() | st.lists(
    st.builds(Exposure, st.sampled_from(sorted(EXPOSURE_SCALES)), shares), max_size=4
).map(tuple)
same_key = replace(ON_OFAC, match="same_key", hard=False)
hits: st.SearchStrategy[tuple[Hit, ...]] = st.sampled_from([(), (same_key,), (ON_OFAC,)])
ages = st.integers(0, 100).map(lambda hours: timedelta(hours=hours))


@st.composite
def payments(draw: st.DrawFn) -> Factors:
    provider = a_provider(draw(st.sampled_from(SEVERITIES)), exposures=draw(exposures))
    payment = a_payment(
        subject=draw(st.sampled_from([PAYER, UNKNOWN_PAYER, BANK_TRANSFER])),
        provider=provider,
        hits=draw(hits),
        lists=draw(st.sampled_from([(), (a_list(age=draw(ages)),)])),
    )
    return replace(payment, amount_twd=draw(amounts), allow_listed=draw(st.booleans()))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    review = draw(st.integers(10, 60))
    counted = [code for code, rule in RULES.items() if rule.peak is not None]
    peaks = st.decimals(min_value=0, max_value=1, places=2, allow_nan=False)
    return Policy(
        version=1,
        review=Decimal(review),
        hold=Decimal(draw(st.integers(max(50, review + 1), 90))),
        weights=draw(st.dictionaries(st.sampled_from(counted), st.integers(0, 100))),
        peaks=draw(st.dictionaries(st.sampled_from(counted), peaks)),
    )


def at_least(decision: Decision, floor: Decision) -> bool:
    return ORDER.index(decision) >= ORDER.index(floor)


@given(payments(), policies())
def test_scores_and_total_stay_between_0_and_100(payment: Factors, policy: Policy) -> None:
    assessment = assess(payment, policy)

    scores = [r.score for r in assessment.results.values() if r.score is not None]
    for score in [*scores, assessment.total, assessment.weighted]:
        assert 0 <= score <= 100
        assert score == round(score, 2)


@given(payments(), policies())
def test_a_hard_hit_is_always_held(payment: Factors, policy: Policy) -> None:
    assessment = assess(replace(payment, hits=(ON_OFAC,)), policy)

    assert (assessment.total, assessment.decision) == (Decimal(100), Decision.AML_HOLD)


@given(payments(), policies(), st.sampled_from(SEVERITIES), st.sampled_from(SEVERITIES))
def test_a_worse_severity_never_helps(
    payment: Factors, policy: Policy, one: Severity, other: Severity
) -> None:
    assume(payment.screenings)
    milder, worse = sorted((one, other), key=SEVERITIES.index)

    def told(severity: Severity) -> Factors:
        return replace(payment, screenings=(replace(payment.screenings[0], severity=severity),))

    before, after = assess(told(milder), policy), assess(told(worse), policy)
    assert after.total >= before.total
    assert at_least(after.decision, before.decision)


@given(payments(), policies(), st.integers(0, 10**8), st.integers(0, 10**8))
def test_a_larger_amount_never_helps(
    payment: Factors, policy: Policy, one: int, other: int
) -> None:
    expecting = replace(payment, expected_max_single_twd=Decimal(400_000))
    smaller, larger = (
        assess(replace(expecting, amount_twd=Decimal(amount)), policy)
        for amount in sorted((one, other))
    )

    assert larger.total >= smaller.total
    assert at_least(larger.decision, smaller.decision)


@given(payments(), policies())
def test_what_is_missing_never_clears_a_payment(payment: Factors, policy: Policy) -> None:
    silent = (ProviderFailure("mock", "timeout"),)
    with_list = assess(replace(payment, lists=(a_list(),)), policy)

    for worse in (
        replace(payment, lists=()),
        replace(payment, lists=(a_list(age=timedelta(hours=72)),)),
        replace(payment, failures=silent),
        replace(payment, screenings=(), failures=silent),
        replace(payment, amount_twd=None),
        replace(payment, subject=UNKNOWN_PAYER),
    ):
        assessment = assess(worse, policy)
        assert at_least(assessment.decision, Decision.MANUAL_REVIEW)
        assert assessment.degraded
    # With everything else equal, an old list is never better than a fresh one.
    old = assess(replace(payment, lists=(a_list(age=timedelta(hours=80)),)), policy)
    assert at_least(old.decision, with_list.decision)


@given(payments(), policies(), hits)
def test_one_more_hit_never_helps(payment: Factors, policy: Policy, more: tuple[Hit, ...]) -> None:
    before = assess(payment, policy)
    after = assess(replace(payment, hits=(*payment.hits, *more)), policy)

    assert after.total >= before.total
    assert at_least(after.decision, before.decision)


@given(payments(), policies())
def test_the_result_does_not_depend_on_the_thread(payment: Factors, policy: Policy) -> None:
    with localcontext() as context:
        context.prec = 5
        careless = assess(payment, policy).record()

    assert careless == assess(payment, policy).record()
