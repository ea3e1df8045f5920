"""An organisation's rules become stricter at once and looser later, whatever is asked for."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core.invoice import Policy, names_in
from counterfoil.core.loosening import LOOSER, is_looser, stricter
from counterfoil.core.slowly import Slowly

NOON = datetime(2026, 6, 22, 12, 0, tzinfo=UTC)
WAIT = timedelta(hours=24)


def ratios(least: str, most: str) -> st.SearchStrategy[Decimal]:
    return st.decimals(least, most, places=2)


def several(*names: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(names), unique=True).map(",".join)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Rules that an administrator could set: each within its bounds, and none against another."""
    under, over = draw(ratios("0.9", "1")), draw(ratios("1", "1.5"))
    late = draw(st.none() | st.integers(1, 100))
    sources = draw(several("a", "b", "c"))
    return Policy(
        approval_required=draw(st.booleans()),
        maker_is_not_checker=draw(st.booleans()),
        underpay_ratio=under,
        overpay_ratio=over,
        overpaid=draw(st.sampled_from(["refund_at_sign_off", "resolve"])),
        several_payers=draw(st.sampled_from(["accept", "resolve"])),
        receipt_window_seconds=draw(st.integers(60, 1_000)),
        grace_days=draw(st.integers(0, 366)),
        confirm_soft_below_usd=draw(st.integers(0, 10_000)),
        dust_below=draw(ratios("0", "1")),
        auto_accept_underpaid_from=draw(st.none() | ratios("0.5", "0.89")),
        auto_accept_overpaid_to=draw(st.none() | ratios("1.51", "2")),
        auto_accept_late_minutes=late,
        auto_recalculate_late_minutes=draw(st.none() | st.integers((late or 0) + 1, 200)),
        auto_recalculate_late_from=draw(ratios("0.5", "2")),
        auto_accept_several_payers=draw(st.booleans()),
        confirm_soft_chains=draw(several("arb", "base", "op")),
        rate_spread_bps=draw(st.integers(0, 500)),
        rate_max_age_seconds=draw(st.none() | st.integers(30, 86_400)),
        rate_sources=sources,
        rate_sources_agree=draw(st.integers(1, len(names_in(sources)) or 3)),
        rate_agree_within_bps=draw(st.integers(1, 1_000)),
    )


def test_each_rule_has_a_direction() -> None:
    assert set(LOOSER) == {field.name for field in fields(Policy)}


@given(present=policies(), to=policies())
def test_nothing_is_looser_at_once_and_nothing_stricter_waits_without_need(
    present: Policy, to: Policy
) -> None:
    at_once = stricter(present, to)
    for name in LOOSER:
        assert not is_looser(name, present, at_once), name
        held = getattr(at_once, name) == getattr(present, name)
        assert held or getattr(at_once, name) == getattr(to, name), name
        if not is_looser(name, present, to) and not name.startswith("rate_sources"):
            assert getattr(at_once, name) == getattr(to, name), name
    assert stricter(present, at_once) == at_once


@given(present=policies(), to=policies())
def test_what_holds_at_once_still_goes_together(present: Policy, to: Policy) -> None:
    at_once = stricter(present, to)
    accepts, recalculates = at_once.auto_accept_late_minutes, at_once.auto_recalculate_late_minutes
    assert accepts is None or recalculates is None or accepts < recalculates
    assert at_once.rate_sources_agree <= (len(names_in(at_once.rate_sources)) or 3)


@given(present=policies(), asked=st.lists(policies(), min_size=1, max_size=4))
def test_no_number_of_clicks_makes_anything_looser_within_the_waiting(
    present: Policy, asked: list[Policy]
) -> None:
    rules, now = Slowly(present), NOON
    for to in asked:
        rules, now = rules.changed(to, now, WAIT, stricter), now + timedelta(hours=5)
        assert not any(is_looser(name, present, rules.in_force(now)) for name in LOOSER)
    assert rules.in_force(now + WAIT) == asked[-1]


@given(present=policies(), to=policies())
def test_whoever_asks_for_the_rules_as_they_are_takes_back_what_was_announced(
    present: Policy, to: Policy
) -> None:
    asked = Slowly(present).changed(to, NOON, WAIT, stricter)
    later = NOON + timedelta(hours=1)
    assert asked.changed(to, later, WAIT, stricter) == asked
    back = asked.changed(asked.in_force(later), later, WAIT, stricter)
    assert back == Slowly(stricter(present, to))
    assert back.announced(later) is None
