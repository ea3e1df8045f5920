"""The loop that every worker runs in: step after step, quietly, until it is cancelled."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

FIRST_BACKOFF_SECONDS: Final = 0.5
LONGEST_BACKOFF_SECONDS: Final = 30.0

Step = Callable[[], Awaitable[object]]
"""One bounded unit of work; true when there may be more of it at once."""

Sleep = Callable[[float], Awaitable[object]]
Jitter = Callable[[], float]
"""A random number from 0 to 1."""

system_jitter: Final[Jitter] = secrets.SystemRandom().random


async def forever(
    step: Step,
    *,
    name: str,
    pause_seconds: float,
    sleep: Sleep = asyncio.sleep,
    jitter: Jitter = system_jitter,
) -> None:
    """Run ``step`` until cancelled, pausing whenever it found nothing to do.

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
        await sleep(0 if busy else pause_seconds)


def _backoff_seconds(failures: int, jitter: Jitter) -> float:
    # Capped in the exponent too: a worker that fails for weeks must not overflow a float.
    doubled: float = FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 16)
    return min(doubled, LONGEST_BACKOFF_SECONDS) * (0.5 + jitter() / 2)
