"""A clock that shows what a server said, whatever the host's own one shows."""

from datetime import timedelta
from typing import Final

import pytest

from counterfoil.clock import SLOWEST_ANSWER_SECONDS, SharedClock
from support.fake_clock import NOON, FakeClock

HOUR: Final = timedelta(hours=1)


class Stopwatch(SharedClock):
    """Time passes when a test says so."""

    passed = 1_000.0

    def elapsed(self) -> float:
        return self.passed

    def hears(self, at: object, took: float = 0.0) -> float | None:
        self.passed += took
        return self.told(at, asked=self.passed - took, answered=self.passed)  # type: ignore[arg-type]  # a time


@pytest.fixture
def host() -> FakeClock:
    return FakeClock(NOON + HOUR)


def test_until_somebody_says_the_time_it_is_the_hosts(host: FakeClock) -> None:
    clock = Stopwatch(host)
    assert clock.now() == NOON + HOUR
    clock.hears(NOON)
    assert clock.now() == NOON


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_host_whose_clock_jumps_or_stands_still_changes_nothing(
    host: FakeClock, jump: timedelta
) -> None:
    clock = Stopwatch(host)
    clock.hears(NOON)
    host.advance(jump)
    clock.passed += 90
    assert clock.now() == NOON + timedelta(seconds=90)


def test_an_answer_counts_as_given_half_way(host: FakeClock) -> None:
    clock = Stopwatch(host)
    clock.hears(NOON, took=0.5)
    assert clock.now() == NOON + timedelta(seconds=0.25)


def test_what_may_be_the_trip_alone_moves_nothing(host: FakeClock) -> None:
    clock = Stopwatch(host)
    clock.hears(NOON)
    assert clock.hears(NOON + timedelta(seconds=0.3), took=0.4) is None
    assert clock.now() == NOON + timedelta(seconds=0.4)


def test_a_server_that_says_otherwise_is_followed_and_told_of_when_it_is_much(
    host: FakeClock,
) -> None:
    clock = Stopwatch(host)
    clock.hears(NOON)
    clock.passed += 10
    assert clock.hears(NOON + timedelta(seconds=10.5)) is None
    assert clock.now() == NOON + timedelta(seconds=10.5)
    clock.passed += 10
    assert clock.hears(NOON) == -20.5
    assert clock.now() == NOON


def test_an_answer_that_took_too_long_is_not_heard(host: FakeClock) -> None:
    """As after SIGSTOP: it was true when it was given."""
    clock = Stopwatch(host)
    clock.hears(NOON)
    assert clock.hears(NOON + HOUR, took=SLOWEST_ANSWER_SECONDS + 1) is None
    assert clock.now() == NOON + timedelta(seconds=SLOWEST_ANSWER_SECONDS + 1)


def test_it_goes_on_by_a_clock_that_nobody_sets(host: FakeClock) -> None:
    clock = SharedClock(host)
    first = clock.elapsed()
    assert clock.elapsed() >= first
    assert clock.monotonic() == 0
