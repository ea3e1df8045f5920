"""The loop that every worker runs in: step after step, quietly, until it is cancelled."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import structlog

from counterfoil.chains.port import ChainError
from counterfoil.signer.client import SignerRefused, SignerUnreachable

FIRST_BACKOFF_SECONDS: Final = 0.5
LONGEST_BACKOFF_SECONDS: Final = 30.0
LONGEST_WAY_SECONDS: Final = 0.25
BETWEEN_BELLS_SECONDS: Final = 0.05
"""Whoever rings may do so without end, on purpose."""

_LEAST_REST: Final = 0.2
_TURNS_TO_WAKE: Final = 4
"""Of the event loop, from a bell to the first thing that is done on account of it."""

Step = Callable[[], Awaitable[object]]
"""One bounded unit of work; true when there may be more of it at once."""

Sleep = Callable[[float], Awaitable[object]]
Jitter = Callable[[], float]
"""A random number from 0 to 1."""

system_jitter: Final[Jitter] = secrets.SystemRandom().random


class Bell:
    """Wakes a worker of this process that rests; the others find out when they look.

    It is never needed: whoever sleeps through it only looks later. Rung while nobody rests, it
    shortens the next rest, so that nothing is missed in between.
    """

    def __init__(self) -> None:
        """Silent."""
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Say that there is something to do."""
        self._rung.set()

    async def rest(self, seconds: float) -> None:
        """Wait for the bell, at most ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        self._rung.clear()
        await asyncio.sleep(0)  # a bell that rang already must not keep everybody else waiting


class RightOfWay:
    """Lets what somebody waits for go before what can wait, among the workers of one process.

    They share one processor: what all do at once, all end late. Whoever is busy for others says
    so with `taken`; who can wait calls `give` between pieces of work. Nobody waits for longer than
    `LONGEST_WAY_SECONDS` at a time, however slow whoever goes first may be.
    """

    def __init__(self) -> None:
        """Free."""
        self._going: set[object] = set()
        self._free = asyncio.Event()
        self._free.set()

    @contextmanager
    def taken(self, seconds: float | None = None) -> Iterator[None]:
        """Go first; no longer than ``seconds``, for what may have to wait for somebody outside."""
        going = object()
        self._going.add(going)
        self._free.clear()
        over = seconds and asyncio.get_running_loop().call_later(seconds, self._gone, going)
        try:
            yield
        finally:
            if over:
                over.cancel()
            self._gone(going)

    async def give(self) -> None:
        """Let others go first who are under way, or were woken just now."""
        for _ in range(_TURNS_TO_WAKE):
            await asyncio.sleep(0)
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_WAY_SECONDS):
                while self._going:
                    await self._free.wait()

    def _gone(self, going: object) -> None:
        self._going.discard(going)
        if not self._going:
            self._free.set()


def first(step: Step, way: RightOfWay) -> Step:
    """The same step, which goes first."""

    async def going() -> object:
        with way.taken():
            return await step()

    return going


class Beat:
    """Rests from one beginning to the next: what was done meanwhile counts as rest.

    At least a fifth of the time is rest, however long the work takes. A ``bell`` ends a rest early,
    but however often it rings, `BETWEEN_BELLS_SECONDS` lie between one beginning and the next.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
        *,
        bell: Bell | None = None,
        in_a_hurry: Callable[[], bool] = lambda: False,
    ) -> None:
        """Begin now, by a ``clock`` in seconds that never goes back.

        While it is ``in_a_hurry`` it beats twice as fast.
        """
        self._clock = clock
        self._sleep = sleep
        self._bell = bell
        self._in_a_hurry = in_a_hurry
        self._last = clock()

    async def rest(self, seconds: float) -> None:
        """Wait until ``seconds`` after the last time this ended, or for the bell."""
        seconds /= 2 if self._in_a_hurry() else 1
        spent, least = self._clock() - self._last, seconds * _LEAST_REST
        if self._bell is None:
            await self._sleep(max(seconds - spent, least))
        else:
            deaf = max(min(BETWEEN_BELLS_SECONDS, seconds) - spent, 0)
            await self._sleep(deaf)
            await self._bell.rest(max(seconds - spent - deaf, least))
        self._last = self._clock()


@contextmanager
def alone(
    log: structlog.stdlib.BoundLogger,
    event: str,
    *,
    but: tuple[type[Exception], ...] = (),
    **about: object,
) -> Iterator[None]:
    """Keep what goes wrong inside, with one organisation or row, from all others.

    It is logged with its class and sentence: what a chain or the signer fails to do as a warning,
    anything else as an error with where it happened. What concerns the others as well, one of
    ``but``, is raised.
    """
    try:
        yield
    except but:
        raise
    except (ChainError, SignerRefused, SignerUnreachable) as error:
        log.warning(event, reason=sentence(error), **about)
    except Exception as error:
        log.exception(event, reason=sentence(error), **about)


def sentence(error: Exception) -> str:
    """Say what an error is, for people who read logs."""
    return f"{type(error).__name__}: {error}"


def quietly() -> None:
    """Tell nobody."""


async def forever(  # noqa: PLR0913 - a step, and each way of waiting for the next
    step: Step,
    *,
    name: str,
    pause_seconds: float,
    rest: Sleep | None = None,
    sleep: Sleep = asyncio.sleep,
    jitter: Jitter = system_jitter,
) -> None:
    """Run ``step`` until cancelled, pausing whenever it found nothing to do.

    ``rest`` takes such a pause and may end it early; it is ``sleep`` unless given.
    An error is logged and the step tried again, after a wait that doubles up to
    `LONGEST_BACKOFF_SECONDS` and starts over with the next success. Never returns.
    """
    log: structlog.stdlib.BoundLogger = structlog.get_logger(worker=name)
    failures = 0
    while True:
        try:
            busy = await step()
        except Exception:
            failures += 1
            wait = _backoff_seconds(failures, jitter)
            log.exception("step_failed", failures=failures, wait_seconds=round(wait, 2))
            await sleep(wait)
            continue
        if failures:
            log.info("recovered", failures=failures)
            failures = 0
        if busy:
            await sleep(0)
        else:
            await (rest or sleep)(pause_seconds)


def _backoff_seconds(failures: int, jitter: Jitter) -> float:
    # Capped in the exponent too: a worker that fails for weeks must not overflow a float.
    doubled: float = FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 16)
    return min(doubled, LONGEST_BACKOFF_SECONDS) * (0.5 + jitter() / 2)
