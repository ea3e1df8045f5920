"""How long a test waits before it says what did not come: a suite that hangs tells nobody why."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

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
