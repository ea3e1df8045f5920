from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio

from counterfoil.sandbox.demo import Crew
from counterfoil.sandbox.places import passing_places
from support.journey import Journey, begun, node_of
from support.provider import provider


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def journey() -> AsyncIterator[Journey]:
    """One running system for all journeys; each takes invoices of its own.

    It reaches Optimism through two providers. Ends with the last journey, as it takes a quarter of
    a processor even while nobody asks.
    """
    async with AsyncExitStack() as stack:
        places = stack.enter_context(passing_places())
        node = node_of(places, "optimism")
        providers = [await stack.enter_async_context(provider(node)) for _ in range(2)]
        settings = {
            "COUNTERFOIL_RPC_OPTIMISM": ",".join(one.url for one in providers),
            # Stories compare every address with its chain, time and again.
            "COUNTERFOIL_ADDRESSES_IN_STOCK": "200",
        }
        crew = Crew(longest_pause_seconds=0.5)
        yield await stack.enter_async_context(
            begun(places, settings=settings, crew=crew, providers=providers)
        )
