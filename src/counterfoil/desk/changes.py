"""Waiting for an invoice to change, for pages that are live: one question a moment for all of them.

However many pages are open, a process asks the database once in `EVERY_SECONDS`, and only while
somebody waits.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

import structlog

from counterfoil.books import invoices
from counterfoil.desk.desk import Desk

EVERY_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 240.0
"""A page that is still there asks again by itself, and whoever left is forgotten."""

_log: Final = structlog.get_logger("counterfoil.changes")

Key = tuple[int, UUID]


class Changes:
    """The versions of the invoices that somebody looks at, and who waits for the next."""

    def __init__(self, desk: Desk) -> None:
        """Start with nobody waiting."""
        self._desk = desk
        self._waiting: dict[Key, set[asyncio.Queue[int]]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the process stops."""
        return self._ended

    def end(self) -> None:
        """Let go of everybody, since the process stops."""
        self._ended = True
        for queues in self._waiting.values():
            for queue in queues:
                queue.put_nowait(-1)

    async def of(
        self,
        org_id: int,
        invoice_id: UUID,
        since: int,
        *,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> AsyncIterator[int]:
        """Each version after ``since``, as it comes, for at most ``longest_seconds``."""
        queue: asyncio.Queue[int] = asyncio.Queue()
        key = (org_id, invoice_id)
        self._waiting.setdefault(key, set()).add(queue)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        last = since
        try:
            ends_at = asyncio.get_running_loop().time() + longest_seconds
            while not self._ended:
                # Not around the yield: there the clock would strike whoever takes the version.
                async with asyncio.timeout_at(ends_at):
                    version = await queue.get()
                if version > last:
                    last = version
                    yield version
        except TimeoutError:
            return
        finally:
            self._waiting[key].discard(queue)
            if not self._waiting[key]:
                del self._waiting[key]

    async def _ask(self) -> None:
        while self._waiting and not self._ended:
            keys = list(self._waiting)
            try:
                async with self._desk.database.looking() as tx:
                    versions = await invoices.versions(tx, keys)
            except Exception as error:  # noqa: BLE001 - the next round may find the database back
                _log.warning("changes_not_seen", error=repr(error))
                versions = {}
            for key, version in versions.items():
                for queue in self._waiting.get(key, ()):
                    queue.put_nowait(version)
            await asyncio.sleep(EVERY_SECONDS)
