"""Telling open pages that something changed, by server-sent events.

A page is told only that there is news, and then asks for its part as always; so nothing is shown
that a reload would not show. One poller of the process asks for all pages together (desk/changes).
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from counterfoil.core.errors import Unavailable
from counterfoil.desk.changes import Changes
from counterfoil.desk.paying import Watched

HERE: Final = b": here\n\n"
"""A comment, which browsers ignore; it keeps what is in between from hanging up."""
CHANGED: Final = b"event: changed\ndata: load\n\n"
OVER: Final = b"event: over\ndata: reload\n\n"
"""The page asks no more, until somebody loads it again."""


class Live:
    """Who listens, and for how long."""

    def __init__(
        self,
        changes: Changes,
        *,
        beat_seconds: float = 15.0,
        longest_seconds: float = 1_800.0,
        most: int = 2_000,
    ) -> None:
        """``most`` pages at once; each is told for ``longest_seconds`` and then has to reload."""
        self._changes = changes
        self._beat_seconds = beat_seconds
        self._longest_seconds = longest_seconds
        self._most = most
        self.listening = 0

    def events(self, watched: Watched, seen: int) -> AsyncGenerator[bytes]:
        """The stream of a page that shows the version ``seen``.

        Raises `Unavailable` while too many listen, and once the process is about to stop.
        """
        if self._changes.ended or self.listening >= self._most:
            raise Unavailable("too many pages are open just now; reload this one for news")
        return self._events(watched, seen)

    async def _events(self, watched: Watched, seen: int) -> AsyncGenerator[bytes]:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._longest_seconds
        self.listening += 1
        try:
            while loop.time() < ends_at and not self._changes.ended:
                yield HERE
                news = self._changes.of(*watched, seen, longest_seconds=self._beat_seconds)
                async for version in news:
                    seen = version
                    yield CHANGED
            if not self._changes.ended:
                yield OVER
        finally:
            self.listening -= 1
