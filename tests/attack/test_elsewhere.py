"""Nobody is sent elsewhere: every way on after a form leads to a page of ours (T31)."""

from typing import Final
from urllib.parse import urlsplit

import pytest

from counterfoil.studio.door import next_of
from support.site import PASSWORD, Firm, Site

ELSEWHERE: Final = (
    "//evil.example",
    "///evil.example",
    "\\\\evil.example",
    "/\\evil.example",
    "/studio\\@evil.example",
    "/studio//evil.example",
    "/studio/..//evil.example",
    "https://evil.example/studio",
    "https:/studio",
    "https:evil.example",
    "http://user@evil.example",
    "/studio@evil.example",
    "javascript:alert('evil')",
    "data:text/html,<script>alert('evil')</script>",
    "/studio\n//evil.example",
    "/studio\r\nLocation: https://evil.example",
    "/studio\x00//evil.example",
    "\t//evil.example",
    "/\u2215evil.example",
    "http://[evil.example",
    "/pay/evil",
)


def is_ours(address: str) -> bool:
    parts = urlsplit(address)
    return not parts.scheme and not parts.netloc and parts.path.split("/")[1] == "studio"


@pytest.mark.usefixtures("firm")
async def test_signing_in_leads_to_our_own_pages_only(site: Site) -> None:
    maya = await site.at_the_pages()
    token = (await maya.open("/studio/sign-in")).form_token
    for wanted in ELSEWHERE:
        fields = {"email": "maya1@merchant.example", "password": PASSWORD, "next": wanted}
        page = await maya.send("/studio/sign-in", fields, token=token, follow=False)
        assert page.status == 303, wanted
        assert is_ours(page.headers["Location"]), wanted
        assert "evil" not in page.headers["Location"], wanted
        token = (await maya.open("/studio/account")).form_token


async def test_turning_to_an_organisation_leads_to_our_own_pages_only(
    site: Site, firm: Firm
) -> None:
    maya = await site.at_the_pages("maya1@merchant.example")
    token = (await maya.open("/studio/account")).form_token
    for wanted in ELSEWHERE:
        fields = {"org_id": str(firm.org_id), "next": wanted}
        page = await maya.send("/studio/organisation", fields, token=token, follow=False)
        assert (page.status, page.headers["Location"]) == (303, "/studio"), wanted
    fields = {"org_id": str(firm.org_id), "next": "/studio/invoices?q=tea"}
    page = await maya.send("/studio/organisation", fields, token=token, follow=False)
    assert page.headers["Location"] == "/studio/invoices?q=tea"


def test_every_page_of_ours_stays_a_way_on() -> None:
    for wanted in ("/studio", "/studio/", "/studio/invoices/inv_0?done=x", "/studio/settings#x"):
        assert next_of(wanted) == wanted
