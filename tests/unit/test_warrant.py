"""A warrant says what was approved; its seal breaks with any change to it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core.warrant import Warrant, check_warrant, seal_warrant

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
APPROVED_AT = datetime(2026, 3, 2, 9, 30, 0, 123456, tzinfo=UTC)
WARRANT = Warrant(
    org_id=1,
    move_id="0198c5aa-0000-7000-8000-000000000001",
    purpose="payout",
    chain="arb",
    contract="0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9",
    destination="0x" + "ab" * 20,
    amount_units=3_000_000_000,
    approved_by="user_reviewer",
    approved_at=APPROVED_AT,
)

ANOTHER: dict[str, Any] = {
    "org_id": 2,
    "move_id": "0198c5aa-0000-7000-8000-000000000002",
    "purpose": "refund",
    "chain": "base",
    "contract": "0xaf88d065e77c8cc2239327c5edb3a432268e5831",
    "destination": "0x" + "ac" * 20,
    "amount_units": 3_000_000_001,
    "approved_by": "user_thief",
    "approved_at": APPROVED_AT + timedelta(microseconds=1),
    "generation": 1,
}


def test_the_approver_and_the_signer_agree() -> None:
    assert check_warrant(WARRANT, seal_warrant(WARRANT, KEY), KEY)


def test_the_seal_is_the_same_in_every_release() -> None:
    # Warrants sealed before an upgrade are paid after it.
    assert WARRANT.canonical() == (
        b'{"amount_units":"3000000000","approved_at":"2026-03-02T09:30:00.123456+00:00",'
        b'"approved_by":"user_reviewer","chain":"arb",'
        b'"contract":"0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9",'
        b'"destination":"0xabababababababababababababababababababab",'
        b'"domain":"counterfoil.warrant.1","move_id":"0198c5aa-0000-7000-8000-000000000001",'
        b'"org_id":"1","purpose":"payout"}'
    )
    assert seal_warrant(WARRANT, KEY) == (
        "af1c31411b2a99b30e7b139c44cf3c5e9c1349db62775784f423e6b3d82336e1"
    )


@pytest.mark.parametrize("field", ANOTHER)
def test_a_seal_fits_no_other_value_of_any_field(field: str) -> None:
    seal = seal_warrant(WARRANT, KEY)
    assert not check_warrant(replace(WARRANT, **{field: ANOTHER[field]}), seal, KEY)


def test_a_thief_without_the_key_cannot_seal() -> None:
    assert not check_warrant(WARRANT, seal_warrant(WARRANT, OTHER_KEY), KEY)


@pytest.mark.parametrize("seal", ["", "0" * 64, "zz", "ÄÄ", "\ud800"])
def test_a_text_that_is_no_seal_is_simply_wrong(seal: str) -> None:
    assert not check_warrant(WARRANT, seal, KEY)


def test_a_seal_in_capitals_is_not_the_seal() -> None:
    assert not check_warrant(WARRANT, seal_warrant(WARRANT, KEY).upper(), KEY)


@pytest.mark.parametrize("key", [b"", b"short", bytes(31)])
def test_a_short_key_seals_and_checks_nothing(key: bytes) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        seal_warrant(WARRANT, key)
    with pytest.raises(ValueError, match="at least 32 bytes"):
        check_warrant(WARRANT, "", key)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("purpose", "sweep", "a warrant is for one of"),
        ("amount_units", 0, "at least one base unit"),
        ("amount_units", -1, "at least one base unit"),
        ("approved_at", APPROVED_AT.replace(tzinfo=None), "aware UTC"),
        ("approved_at", APPROVED_AT.astimezone(timezone(timedelta(hours=8))), "aware UTC"),
    ],
)
def test_no_approval_can_say_this(field: str, value: object, sentence: str) -> None:
    changed: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=sentence):
        replace(WARRANT, **changed)


texts = st.text(max_size=40)
warrants = st.builds(
    Warrant,
    org_id=st.integers(0, 2**31),
    move_id=texts,
    purpose=st.sampled_from(["payout", "refund"]),
    chain=texts,
    contract=texts,
    destination=texts,
    amount_units=st.integers(1, 10**60),
    approved_by=texts,
    approved_at=st.datetimes(timezones=st.just(UTC)),
)


@given(warrants, warrants)
def test_two_warrants_never_share_their_bytes(one: Warrant, other: Warrant) -> None:
    assert (one.canonical() == other.canonical()) == (one == other)


@given(warrants, texts, st.integers(0, 40))
def test_text_cannot_slide_from_one_field_into_the_next(
    warrant: Warrant, joined: str, at: int
) -> None:
    one = replace(warrant, contract=joined[:at], destination=joined[at:])
    other = replace(warrant, contract=joined, destination="")
    assert (one.canonical() == other.canonical()) == (one == other)
