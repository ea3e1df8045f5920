"""What the history says of an entry: nothing that did not happen, in the units of the pages."""

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from counterfoil.pages import render
from counterfoil.studio import history, terms, units, words

ENTRY = '{% import "studio/parts.html" as parts with context %}{{ parts.log_entry(entry, seal) }}'
USDC = "arb:0xaf88d065e77c8cc2239327c5edb3a432268e5831"


def say(sentence: str, **values: object) -> str:
    return sentence % values


def told(**metadata: object) -> dict[str, str]:
    """Each detail by its name, its lines joined, as the page has them."""
    found = history.details(metadata, say, UTC)
    return {name: "; ".join(lines) for name, lines in found}


def test_a_member_keeps_the_roles_that_they_keep() -> None:
    assert told(before=["finance"], after=["finance", "signer"]) == {
        "Before": "Finance",
        "After": "Finance; Signer",
    }
    assert told(before=["finance", "reviewer"], after=[]) == {"Before": "Finance; Reviewer"}


@pytest.mark.parametrize(
    ("name", "pair", "line"),
    [
        ("rate_spread_bps", [50, 500], "0.5% → 5%"),
        ("underpay_ratio", ["1", "0.9"], "100% → 90%"),
        ("confirm_soft_chains", ["arb,base", ""], "Arbitrum One, Base → all chains"),
        ("rate_sources", ["test", ""], "test → all sources"),
        ("overpaid", ["resolve", "refund_at_sign_off"], "person decide → send the rest back"),
        ("auto_accept_late_minutes", [None, 15], "\N{EN DASH} → 15"),
        ("maker_is_not_checker", [True, False], "yes → no"),
    ],
)
def test_a_rule_is_told_in_the_units_in_which_it_is_written(
    name: str, pair: list[object], line: str
) -> None:
    ((title, at_once),) = told(**{name: pair}).items()
    assert line in at_once
    assert told(later={name: pair}) == {"Holds later": f"{title}: {at_once}"}
    assert told(taken_back={name: pair}) == {"Taken back": f"{title}: {at_once}"}


def test_chains_that_are_chosen_can_be_kept_where_this_server_has_them_off() -> None:
    assert units.offered("optimism,doge", ["base", "arb"]) == ["arb", "base", "optimism", "doge"]
    assert units.shown("confirm_soft_chains", "doge,optimism ,arb") == "arb, optimism, doge"


def test_nothing_is_told_in_the_words_of_programs() -> None:
    rules = {"registered_only": True, "two_people": False, "wait_hours": 24}
    assert told(before=rules) == {
        "Before": "Pay out to registered addresses only: yes; Two people: no;"
        " Hours of waiting before an address is good: 24"
    }
    assert told(fields={"name": ["Old", "<b>New"], "tax_number": ["", "04595257"]}) == {
        "Changed": "Name: Old → <b>New; Tax number: \N{EN DASH} → 04595257"
    }
    assert told(refund_amounts={USDC: "1000000"}, payout_to={"evm": "0xab"}) == {
        "Amount to refund": "1.00 USDC, Arbitrum One",
        "Paid out to": "0xab",
    }


def test_times_are_told_in_the_zone_and_what_others_wrote_is_text() -> None:
    days = {"from": "2026-01-01T00:00:00+00:00", "to": "2026-01-02T12:30:00+00:00"}
    entry = SimpleNamespace(
        at=datetime(2026, 1, 1, tzinfo=UTC),
        sequence=3,
        operator_uid="user_a",
        request_id="",
        metadata={"deadline_at": days, "label": "<i>x</i>", "payout_to": {"from": "<u>", "to": ""}},
    )
    page = render.environment("en").from_string(ENTRY)
    zone = timezone(timedelta(hours=8))
    shown = page.render(
        history=history, terms=terms, words=words, entry=entry, seal=b"\0" * 4, zone=zone
    )
    assert "2026-01-01 08:00 UTC+8 → 2026-01-02 20:30 UTC+8</dd>" in shown
    assert "&lt;i&gt;x&lt;/i&gt;" in shown
    assert "&lt;u&gt; → \N{EN DASH}" in shown
    assert "<i>" not in shown
    assert "<u>" not in shown


@pytest.mark.parametrize("says", ["its token kept 5", "landed after all", "over budget"])
def test_a_contract_that_refuses_does_not_choose_why_a_payment_stands_still(says: str) -> None:
    because = words.stands_because(f"the chain would refuse it: {says}")
    assert because.startswith("The token refuses this payment")
