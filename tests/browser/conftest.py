"""One real Chromium for all tests of pages; everything here lives in the session's event loop."""

from collections.abc import AsyncIterator

import pytest_asyncio

from counterfoil.db.pool import Database
from support.chromium import Chromium, running_chromium
from support.payments import Payments
from support.postgres import TestServer
from support.sample import Sample, sampled
from support.site import Firm, Site, open_site


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Chromium]:
    async with running_chromium() as chromium:
        yield chromium


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sample(postgres: TestServer) -> AsyncIterator[Sample]:
    """An organisation to look at, which no test changes."""
    with postgres.fresh_database() as url:
        database = Database(url, name="sample")
        await database.open()
        async with sampled(database) as sample:
            yield sample
        await database.close()


@pytest_asyncio.fixture(loop_scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open pool on an empty database of this test's own, in the browser's event loop."""
    database = Database(database_url, name="test")
    await database.open()
    yield database
    await database.close()


@pytest_asyncio.fixture(loop_scope="session")
async def site(database: Database) -> AsyncIterator[Site]:
    async with open_site(database) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def firm(site: Site) -> Firm:
    return await site.firm()


@pytest_asyncio.fixture(loop_scope="session")
async def payments(site: Site) -> Payments:
    return Payments(site.desk)
