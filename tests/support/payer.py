"""`Payer`: a customer with a link to a payment page and a browser that knows no scripts."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from support.patience import patiently
from support.site import Firm, Site
from support.visitor import Page, Visitor


class Payer:
    """Opens the page, reads it, and follows what it says."""

    def __init__(self, visitor: Visitor, path: str) -> None:
        self.visitor = visitor
        self.path = path

    async def look(self, query: str = "", below: str = "", **headers: str) -> Page:
        return await self.visitor.open(f"{self.path}{below}{query}", follow=False, **headers)

    async def send(
        self, below: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Page:
        """Send a form of the page, as a browser does."""
        visitor = self.visitor
        sent = {"Origin": visitor.base_url, "Sec-Fetch-Site": "same-origin", **(headers or {})}
        async with visitor.session.post(
            visitor.base_url + self.path + below, data=fields, allow_redirects=False, headers=sent
        ) as response:
            answered = dict(response.headers)
            return Page(response.status, str(response.url), await response.text(), answered)

    @asynccontextmanager
    async def listening(self, page: Page) -> AsyncIterator["Listening"]:
        """The page's stream of events, as its own script opens it."""
        found = re.search(r'sse-connect="([^"]+)"', page.text)
        assert found is not None, "the page tells nothing live"
        address = self.visitor.base_url + found[1].replace("&amp;", "&")
        async with self.visitor.session.get(address) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            yield Listening(response)


class Listening:
    """A stream of server-sent events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def event(self) -> str | None:
        """The name of the next event; None once the server hung up."""
        async with patiently("an event"):
            async for line in self.response.content:
                if line.startswith(b"event: "):
                    return line.removeprefix(b"event: ").decode().strip()
        return None


def stage(page: Page) -> str:
    """What the page says of the payment, by name."""
    found = re.search(r'data-stage="(\w+)"', page.text)
    assert found is not None, f"{page.status}: {page.words[:300]}"
    return found[1]


def to_copy(page: Page) -> tuple[str, str]:
    """Amount and address as the page's buttons copy them."""
    amount, address = re.findall(r'data-copy="([^"]*)"', page.text)
    return amount, address


async def invited(
    site: Site, firm: Firm, *, approve: bool = True, **changes: object
) -> tuple[str, Payer]:
    """A new invoice's id, and its customer with the link that the merchant's server was given."""
    bill: Any = (await firm.merchant.create(None, **changes)).data
    if approve:
        assert (await firm.reviewer.approve(bill["id"])).status == 200
    path = urlsplit(bill["payment_page_url"]).path
    return bill["id"], Payer(await site.at_the_pages(), path)
