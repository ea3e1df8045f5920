import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest_asyncio

from counterfoil.sandbox.demo import Crew
from counterfoil.sandbox.places import passing_places
from support import named_worker
from support.journey import Journey, begun, node_of
from support.names import NameServer
from support.provider import provider

WORKER: Final = [sys.executable, "-P", str(Path(named_worker.__file__))]


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def journey() -> AsyncIterator[Journey]:
    """One running system for all journeys; each takes invoices of its own.

    It reaches Optimism through two providers, and looks up some names where stories say what they
    lead to. Ends with the last journey, as it takes a quarter of
    a processor even while nobody asks.
    """
    async with AsyncExitStack() as stack:
        places = stack.enter_context(passing_places())
        node = node_of(places, "optimism")
        providers = [await stack.enter_async_context(provider(node)) for _ in range(2)]
        names = await stack.enter_async_context(NameServer().open())
        settings = {
            named_worker.ASKED_AT: str(names.port),
            "COUNTERFOIL_RPC_OPTIMISM": ",".join(one.url for one in providers),
            # Stories compare every address with its chain, time and again.
            "COUNTERFOIL_ADDRESSES_IN_STOCK": "200",
        }
        crew = Crew(workers={"work": WORKER}, longest_pause_seconds=0.5)
        yield await stack.enter_async_context(
            begun(places, settings=settings, crew=crew, providers=providers, names=names)
        )
