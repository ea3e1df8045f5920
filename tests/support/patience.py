"""How long a test waits before it says what did not come: a suite that hangs tells nobody why."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from counterfoil.db.pool import Database
from counterfoil.db.rows import one_value

PATIENCE_SECONDS: Final = 60.0
"""Far more than anything here takes, also where a machine has other things to do."""


@asynccontextmanager
async def patiently(what: str, seconds: float = PATIENCE_SECONDS) -> AsyncIterator[None]:
    """Bound what is awaited inside; raises AssertionError with ``what`` when it takes longer."""
    patience = asyncio.timeout(seconds)
    try:
        async with patience:
            yield
    except TimeoutError:
        if not patience.expired():
            raise
        raise AssertionError(f"waited {seconds:g} s in vain for {what}") from None


async def somebody_waits_for_a_lock(database: Database) -> None:
    """Wait until a transaction waits for another one."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with patiently("somebody who waits for a lock"):
        while True:
            async with database.looking() as tx:
                if await one_value(tx, int, query, {}):
                    return
