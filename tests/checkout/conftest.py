"""A running site with one firm in it, and a customer who was sent a link."""

from collections.abc import AsyncIterator

import pytest

from counterfoil.db.pool import Database
from support.payments import Payments
from support.site import Firm, Site, open_site


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with open_site(database) as site:
        yield site


@pytest.fixture
async def firm(site: Site) -> Firm:
    return await site.firm()


@pytest.fixture
def payments(site: Site) -> Payments:
    return Payments(site.desk)
