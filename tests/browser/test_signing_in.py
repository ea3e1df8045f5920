"""Coming in with a real browser, with the keyboard alone."""

import pytest

from support.chromium import Chromium
from support.site import PASSWORD, Firm, Site
from support.window import opened_window

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_maya_signs_in_without_a_mouse(chromium: Chromium, site: Site, firm: Firm) -> None:
    origin = site.address.rstrip("/")
    async with opened_window(chromium, origin) as window:
        await window.open("/studio/invoices")
        page = window.page
        assert page.url.startswith(f"{origin}/studio/sign-in")
        await page.keyboard.type(f"maya{firm.org_id}@merchant.example")
        await page.keyboard.press("Tab")
        await page.keyboard.type("a guess")
        await page.keyboard.press("Enter")
        await page.get_by_role("alert").wait_for()
        window.excuse("status of 403")
        await page.get_by_label("Password").focus()
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{origin}/studio/invoices")
        assert await page.get_by_role("heading", level=1).inner_text() == "Invoices"
