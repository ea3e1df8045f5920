"""An organisation's rules become stricter at once and looser later, whatever is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.core.invoice import Policy, names_in
from counterfoil.core.loosening import LOOSER, is_looser, stricter
from counterfoil.core.slowly import Slowly

NOON = datetime(2026, 6, 22, 12, 0, tzinfo=UTC)
WAIT = timedelta(hours=24)


SWITCH = (False, True)
SOURCES = (*product(("a", "a,b", "b,c"), (1,)), ("a,b", 2), ("b,c", 2), ("", 1), ("", 2), ("", 3))
VALUES: Mapping[str, Sequence[object]] = {
    "approval_required": SWITCH,
    "maker_is_not_checker": SWITCH,
    "underpay_ratio": [Decimal(n) for n in ("0.9", "0.95", "1")],
    "overpay_ratio": [Decimal(n) for n in ("1", "1.02", "1.5")],
    "overpaid": ("refund_at_sign_off", "resolve"),
    "several_payers": ("accept", "resolve"),
    "receipt_window_seconds": (60, 600, 86_400),
    "grace_days": (0, 9, 14),
    "confirm_soft_below_usd": (0, 10, 1_000),
    "dust_below": [Decimal(n) for n in ("0", "0.01", "1")],
    "auto_accept_underpaid_from": (None, Decimal("0.5"), Decimal("0.8")),
    "auto_accept_overpaid_to": (None, Decimal("1.6"), Decimal(2)),
    "late": ((None, None), (5, None), (9, None), (None, 5), (None, 9), (5, 9), (9, 20), (1, 5)),
    "auto_recalculate_late_from": [Decimal(n) for n in ("0.5", "1", "2")],
    "auto_accept_several_payers": SWITCH,
    "auto_refund_surplus_below_usd": (None, 5, 500),
    "confirm_soft_chains": ("", "arb", "base", "arb,base", "base,op"),
    "rate_spread_bps": (0, 50, 500),
    "rate_max_age_seconds": (None, 30, 900),
    "sources": SOURCES,
    "rate_agree_within_bps": (1, 100, 1_000),
}
"""What an administrator could set; two rules that have to fit each other stand together."""


def _policy(chosen: dict[str, Any]) -> Policy:
    accept, recalculate = chosen.pop("late")
    sources, agree = chosen.pop("sources")
    return Policy(
        **chosen,
        auto_accept_late_minutes=accept,
        auto_recalculate_late_minutes=recalculate,
        rate_sources=sources,
        rate_sources_agree=agree,
    )


POLICIES = st.fixed_dictionaries({n: st.sampled_from(v) for n, v in VALUES.items()}).map(_policy)
few = settings(max_examples=40)


def test_each_rule_has_a_direction() -> None:
    assert set(LOOSER) == {field.name for field in fields(Policy)}


STRICT_AND_LOOSE: Mapping[str, tuple[object, object]] = {
    "approval_required": (True, False),
    "sign_off_required": (True, False),
    "maker_is_not_checker": (True, False),
    "underpay_ratio": (Decimal(1), Decimal("0.95")),
    "overpay_ratio": (Decimal(1), Decimal("1.02")),
    "overpaid": ("resolve", "refund_at_sign_off"),
    "several_payers": ("resolve", "accept"),
    "receipt_window_seconds": (600, 86_400),
    "grace_days": (3, 14),
    "confirm_soft_below_usd": (0, 1_000),
    "dust_below": (Decimal("0.01"), Decimal(1)),
    "auto_accept_underpaid_from": (None, Decimal("0.9")),
    "auto_accept_overpaid_to": (None, Decimal("1.5")),
    "auto_accept_late_minutes": (None, 15),
    "auto_recalculate_late_minutes": (15, 30),
    "auto_recalculate_late_from": (Decimal(1), Decimal("0.9")),
    "auto_accept_several_payers": (False, True),
    "auto_refund_surplus_below_usd": (None, 5),
    "confirm_soft_chains": ("arb", ""),
    "rate_spread_bps": (50, 0),
    "rate_max_age_seconds": (60, None),
    "rate_sources": ("a", "a,b"),
    "rate_sources_agree": (2, 1),
    "rate_agree_within_bps": (10, 100),
}


def test_each_rule_is_looser_in_the_direction_in_which_money_is_lost() -> None:
    assert set(STRICT_AND_LOOSE) == set(LOOSER)
    for name, (strict, loose) in STRICT_AND_LOOSE.items():
        assert LOOSER[name](strict, loose), name
        assert not LOOSER[name](loose, strict), name


@few
@given(present=POLICIES, to=POLICIES)
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


@few
@given(present=POLICIES, to=POLICIES)
def test_what_holds_at_once_still_goes_together(present: Policy, to: Policy) -> None:
    at_once = stricter(present, to)
    accepts, recalculates = at_once.auto_accept_late_minutes, at_once.auto_recalculate_late_minutes
    assert accepts is None or recalculates is None or accepts < recalculates
    assert at_once.rate_sources_agree <= (len(names_in(at_once.rate_sources)) or 3)


@few
@given(present=POLICIES, first=POLICIES, second=POLICIES)
def test_no_number_of_clicks_makes_anything_looser_within_the_waiting(
    present: Policy, first: Policy, second: Policy
) -> None:
    asked = Slowly(present).changed(first, NOON, WAIT, stricter)
    again_at = NOON + timedelta(hours=20)
    asked = asked.changed(second, again_at, WAIT, stricter)
    for at in (again_at, NOON + WAIT, again_at + WAIT - timedelta(seconds=1)):
        held = asked.in_force(at)
        announced = first if at >= NOON + WAIT else present
        for name in LOOSER:
            looser = is_looser(name, present, held)
            assert not looser or not is_looser(name, announced, held), name
    assert asked.in_force(again_at + WAIT) == second


@few
@given(present=POLICIES, to=POLICIES)
def test_whoever_asks_for_the_rules_as_they_are_takes_back_what_was_announced(
    present: Policy, to: Policy
) -> None:
    asked = Slowly(present).changed(to, NOON, WAIT, stricter)
    later = NOON + timedelta(hours=1)
    assert asked.changed(to, later, WAIT, stricter) == asked
    back = asked.changed(asked.in_force(later), later, WAIT, stricter)
    assert back == Slowly(stricter(present, to))
    assert back.announced(later) is None
