from collections.abc import AsyncIterator

import pytest_asyncio

from counterfoil.sandbox.places import passing_places
from support.journey import Journey, begun


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def journey() -> AsyncIterator[Journey]:
    """One running system for all journeys; each takes invoices of its own.

    Ends with the last of them, as it takes a quarter of a processor even while nobody asks.
    """
    with passing_places() as places:
        async with begun(places) as journey:
            yield journey
