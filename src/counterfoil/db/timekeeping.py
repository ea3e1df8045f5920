"""The database server's time, for every process that shares it (decision 40)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final

import structlog
from psycopg import OperationalError

from counterfoil.clock import SharedClock, SystemClock
from counterfoil.core.ports import Clock
from counterfoil.db.pool import Database

LOOK_EVERY_SECONDS: Final = 10.0
"""A bad crystal loses a thousandth of a second meanwhile; what has to be found is a failover."""

_log: Final = structlog.get_logger("counterfoil.clock")


@asynccontextmanager
async def shared_clock(
    database: Database, host: Clock | None = None, *, every_seconds: float = LOOK_EVERY_SECONDS
) -> AsyncIterator[SharedClock]:
    """A clock that shows the server's time, and is compared with it for as long as it is open.

    While the server is away it goes on by itself. Raises ``psycopg.OperationalError`` where the
    server cannot be asked the first time. ``host`` is this machine's own clock.
    """
    clock = SharedClock(host or SystemClock())
    await look(database, clock)
    looking = asyncio.create_task(_keep_looking(database, clock, every_seconds))
    try:
        yield clock
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def look(database: Database, clock: SharedClock) -> None:
    """Compare a clock with the server's once."""
    async with database.looking() as tx:
        asked = clock.elapsed()
        cursor = await tx.execute("SELECT clock_timestamp()")
        row = await cursor.fetchone()
        answered = clock.elapsed()
    at = row[0] if row is not None else None
    if not isinstance(at, datetime):
        msg = f"the server said that it is {at}"
        raise TypeError(msg)
    moved = clock.told(at, asked=asked, answered=answered)
    if moved is not None:
        _log.warning("clock_moved", seconds=round(moved, 3))


async def _keep_looking(database: Database, clock: SharedClock, every_seconds: float) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        try:
            await look(database, clock)
        except (OperationalError, OSError) as error:
            _log.warning("clock_not_compared", reason=str(error))
