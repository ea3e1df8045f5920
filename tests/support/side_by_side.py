"""`SideBySide`: stories that share one running system, and the time that it takes."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final

from support.journey import Journey
from support.patience import patiently

LONGEST_SECONDS: Final = 300
"""All stories of a module, and each of them waits for many things."""

Story = Callable[[Journey], Awaitable[None]]


class SideBySide:
    """Marks the stories of a module: with the first of its tests, all of them begin.

    Each test waits for its own story, so each passes or fails by itself; together they take as
    long as the longest. Such a story must not hold up what the others share: a chain, the
    workers, the organisation's rules.
    """

    def __init__(self) -> None:
        self._stories: dict[str, Story] = {}
        self._running: dict[str, asyncio.Future[None]] = {}

    def __call__(self, story: Story) -> Callable[[Journey], Any]:
        name = story.__name__
        self._stories[name] = story

        @wraps(story)
        async def lived(journey: Journey) -> None:
            if not self._running:
                self._running = {
                    each: asyncio.ensure_future(begin(journey))
                    for each, begin in self._stories.items()
                }
            async with patiently(f"the story {name}", LONGEST_SECONDS):
                await self._running[name]

        return lived
