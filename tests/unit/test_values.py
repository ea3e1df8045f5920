"""Copies of frozen values."""

import dataclasses
from dataclasses import dataclass

import pytest

from counterfoil.core.invoice import Status
from counterfoil.core.values import replace
from support.invoices import invoice


@dataclass(frozen=True)
class Range:
    low: int
    high: int = 9

    def __post_init__(self) -> None:
        if self.low > self.high:
            msg = "upside down"
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True)
class Named:
    one: int
    two: int


@dataclass(frozen=True)
class Wider(Range):
    step: int = 1


def test_a_copy_has_every_field_of_the_first_but_those_that_change() -> None:
    before = invoice(Status.SIGN_PENDING, callback_url="https://shop.example/cb")

    for changes in ({}, {"status": Status.SWEEPING}, {"version": 7, "callback_url": None}):
        copy = replace(before, **changes)
        assert copy == dataclasses.replace(before, **changes)
        assert type(copy) is type(before)


def test_a_copy_is_checked_and_is_of_the_same_class() -> None:
    assert replace(Wider(1, 5, 2), low=3) == Wider(3, 5, 2)
    with pytest.raises(ValueError, match="upside down"):
        replace(Range(1, 5), low=6)


def test_a_field_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="Range has no field lowest"):
        replace(Range(1), lowest=0)  # type: ignore[call-arg]  # - what is tested


def test_a_class_that_is_not_made_by_places_is_refused() -> None:
    with pytest.raises(TypeError, match="Named does not take"):
        replace(Named(one=1, two=2), one=3)
