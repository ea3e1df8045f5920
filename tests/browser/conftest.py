"""One real Chromium for all tests of pages; everything here lives in the session's event loop."""

from collections.abc import AsyncIterator

import pytest_asyncio

from support.chromium import Chromium, running_chromium


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Chromium]:
    async with running_chromium() as chromium:
        yield chromium
