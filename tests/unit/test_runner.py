"""The loop that workers live in."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from counterfoil.chains.port import ChainError
from counterfoil.workers import runner
from counterfoil.workers.runner import (
    LONGEST_BACKOFF_SECONDS,
    Beat,
    Bell,
    RightOfWay,
    alone,
    first,
    forever,
)
from support.patience import PATIENCE_SECONDS, patiently


@pytest.fixture(autouse=True)
def log() -> Iterator[list[EventDict]]:
    with capture_logs() as entries:
        yield entries


class Naps:
    """Remembers how long a loop slept, and ends it after so many naps."""

    def __init__(self, upto: int) -> None:
        self.taken: list[float] = []
        self._upto = upto

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        if len(self.taken) == self._upto:
            raise asyncio.CancelledError


def steps(*outcomes: object) -> Callable[[], object]:
    left = list(outcomes)

    async def step() -> object:
        outcome = left.pop(0) if left else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return step


async def run(step: Callable[[], object], naps: Naps, luck: float = 1.0) -> list[float]:
    with pytest.raises(asyncio.CancelledError):
        await forever(
            step,  # type: ignore[arg-type]  # - the fake is as loose as a test may be
            name="test",
            pause_seconds=0.2,
            sleep=naps,
            jitter=lambda: luck,
        )
    return naps.taken


async def test_it_goes_on_at_once_while_there_is_work() -> None:
    assert await run(steps(3, 1, 0, None), Naps(4)) == [0, 0, 0.2, 0.2]


async def test_it_waits_longer_after_each_error_and_starts_over_after_success() -> None:
    step = steps(OSError(), OSError(), OSError(), 0, OSError())
    assert await run(step, Naps(5)) == [0.5, 1.0, 2.0, 0.2, 0.5]


async def test_it_never_waits_longer_than_the_longest() -> None:
    step = steps(*[OSError()] * 30)
    assert (await run(step, Naps(30)))[-1] == LONGEST_BACKOFF_SECONDS


async def test_errors_and_recovery_are_told(log: list[EventDict]) -> None:
    await run(steps(OSError(), OSError(), 0), Naps(3))
    assert [(entry["event"], entry["failures"]) for entry in log] == [
        ("step_failed", 1),
        ("step_failed", 2),
        ("recovered", 2),
    ]


async def test_chance_shortens_a_wait_by_half_at_most() -> None:
    assert await run(steps(OSError()), Naps(1), luck=0.0) == [0.25]


async def test_it_ends_when_it_is_cancelled() -> None:
    stuck = asyncio.create_task(forever(asyncio.Event().wait, name="test", pause_seconds=0.2))
    await asyncio.sleep(0)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck


A_LONG_TIME = 3600


async def test_a_bell_ends_the_rest_of_a_worker_that_has_something_to_do() -> None:
    bell, looked = Bell(), asyncio.Semaphore(0)

    async def step() -> None:
        looked.release()

    worker = asyncio.create_task(
        forever(step, name="test", pause_seconds=A_LONG_TIME, rest=bell.rest)
    )
    async with patiently("the end of the work"):
        for _ in range(3):
            await looked.acquire()
            bell.ring()
    worker.cancel()


async def test_a_bell_that_rang_during_a_step_is_not_missed() -> None:
    bell, looked = Bell(), asyncio.Semaphore(0)

    async def step() -> None:
        bell.ring()
        looked.release()

    worker = asyncio.create_task(
        forever(step, name="test", pause_seconds=A_LONG_TIME, rest=bell.rest)
    )
    async with patiently("the end of the work"):
        await looked.acquire()
        await looked.acquire()
    worker.cancel()


async def test_a_bell_shortens_one_rest_only() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    await bell.rest(A_LONG_TIME)
    second = asyncio.create_task(bell.rest(A_LONG_TIME))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not second.done()
    second.cancel()


async def test_a_bell_does_not_shorten_the_wait_after_an_error() -> None:
    async def rest(seconds: float) -> None:
        await naps(-seconds)

    naps = Naps(3)
    with pytest.raises(asyncio.CancelledError):
        await forever(
            steps(OSError(), 0),  # type: ignore[arg-type]  # - the fake is as loose as a test may be
            name="test",
            pause_seconds=0.2,
            rest=rest,
            sleep=naps,
            jitter=lambda: 1.0,
        )
    assert naps.taken == [0.5, -0.2, -0.2]


async def test_a_beat_counts_the_work_as_rest_but_rests_a_fifth_at_least() -> None:
    now, slept = 100.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(round(seconds, 6))
        now += seconds

    beat = Beat(lambda: now, sleep)
    for work_seconds in (0.0, 0.1, 0.19, 5.0, 0.0):
        now += work_seconds
        await beat.rest(0.25)

    assert slept == [0.25, 0.15, 0.06, 0.05, 0.25]


async def test_in_a_hurry_it_beats_twice_as_fast() -> None:
    slept: list[float] = []
    hurry = False

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    beat = Beat(lambda: 0.0, sleep, in_a_hurry=lambda: hurry)
    await beat.rest(0.25)
    hurry = True
    await beat.rest(0.25)
    assert slept == [0.25, 0.125]


async def test_a_bell_ends_a_rest_but_lets_some_time_lie_between_two_beginnings() -> None:
    now, slept, bell = 100.0, list[float](), Bell()

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(round(seconds, 6))
        now += seconds

    beat = Beat(lambda: now, sleep, bell=bell)
    for work_seconds in (0.0, 0.02, 0.3):
        bell.ring()
        now += work_seconds
        async with patiently("the bell"):
            await beat.rest(2 * PATIENCE_SECONDS)
    assert slept == [0.05, 0.03, 0]

    async with patiently("the beat, which nobody rings for"):
        await beat.rest(0.01)


async def test_who_waits_for_somebody_outside_goes_first_for_so_long_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "LONGEST_WAY_SECONDS", PATIENCE_SECONDS)
    way = RightOfWay()
    async with patiently("the way to be free", PATIENCE_SECONDS / 2):
        with way.taken(0.01), way.taken(PATIENCE_SECONDS):
            pass
        with way.taken(0.01):
            await way.give()


async def test_who_can_wait_goes_on_when_whoever_goes_first_is_done() -> None:
    way, bell, order = RightOfWay(), Bell(), []

    async def screen() -> None:
        order.append("screening")
        await asyncio.sleep(0.02)
        order.append("screened")

    async def woken() -> None:
        await bell.rest(PATIENCE_SECONDS)
        await first(screen, way)()

    waiting = asyncio.create_task(woken())
    await asyncio.sleep(0)

    bell.ring()
    await way.give()
    order.append("final")

    await waiting
    assert order == ["screening", "screened", "final"]


async def test_a_way_is_free_again_after_an_error_and_nobody_waits_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "LONGEST_WAY_SECONDS", 0.01)
    way = RightOfWay()
    async with patiently("the way to be free"):
        with way.taken():
            await way.give()
        with pytest.raises(ZeroDivisionError), way.taken(), way.taken():
            raise ZeroDivisionError
    monkeypatch.setattr(runner, "LONGEST_WAY_SECONDS", PATIENCE_SECONDS)
    async with patiently("the way to be free after an error", PATIENCE_SECONDS / 2):
        await way.give()


async def test_what_goes_wrong_alone_is_logged_and_stays_alone(log: list[EventDict]) -> None:
    done = []
    for error in (ChainError("away"), KeyError("what?"), None, TimeoutError("late")):
        with alone(structlog.get_logger(), "failed", org_id=7):
            if error is not None:
                raise error
            done.append(7)
    assert done == [7]
    assert [(entry["log_level"], entry["reason"], entry["org_id"]) for entry in log] == [
        ("warning", "ChainError: away", 7),
        ("error", "KeyError: 'what?'", 7),
        ("error", "TimeoutError: late", 7),
    ]
    with pytest.raises(KeyError), alone(structlog.get_logger(), "failed", but=(LookupError,)):
        raise KeyError
    with pytest.raises(asyncio.CancelledError), alone(structlog.get_logger(), "failed"):
        raise asyncio.CancelledError
