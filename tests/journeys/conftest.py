from collections.abc import AsyncIterator

import pytest_asyncio

from support.journey import Journey, begun, folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def journey() -> AsyncIterator[Journey]:
    """One running system for all journeys; each takes invoices of its own."""
    with folder() as places:
        async with begun(places) as journey:
            yield journey
