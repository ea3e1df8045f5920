"""Administrators at the pages, whom the tests of settings share."""

import pytest

from support.site import Firm, Site
from support.visitor import Visitor


@pytest.fixture
async def anna(site: Site, firm: Firm) -> Visitor:
    """An administrator, at the pages."""
    await site.person(firm.org_id, "anna", "administrator")
    return await site.at_the_pages("anna1@merchant.example")


@pytest.fixture
async def arno(site: Site, firm: Firm) -> Visitor:
    """Another administrator, at the pages."""
    await site.person(firm.org_id, "arno", "administrator")
    return await site.at_the_pages("arno1@merchant.example")
