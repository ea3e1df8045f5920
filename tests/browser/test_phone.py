"""Pages on a phone: what matters comes first, and what somebody opened stays open."""

import pytest
from playwright.async_api import Page, expect

from counterfoil.core import ids
from support.chromium import PHONE, Chromium
from support.payments import Payments
from support.sample import signed_in
from support.site import Firm, Site
from support.window import opened_window, place_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def height(page: Page) -> int:
    found: int = await page.evaluate("document.documentElement.scrollHeight")
    return found


async def test_an_invoice_begins_with_what_is_to_be_done_and_keeps_open_what_is_read(
    chromium: Chromium, site: Site, firm: Firm, payments: Payments
) -> None:
    made = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made, percent=40)
    cookies = await signed_in(site, f"sam{firm.org_id}")
    async with opened_window(chromium, site.address.rstrip("/"), PHONE, cookies) as window:
        await window.open(f"/studio/invoices/{made}")
        page = window.page
        do = page.get_by_role("button", name="Accept as it is")
        assert (await place_of(do))["y"] < PHONE.height
        assert await height(page) < 2 * PHONE.height
        await expect(page.locator("#fold-document > .card-body")).to_be_hidden()
        await page.click("#payment-title")
        await expect(page.locator("#payment-page")).to_be_visible()
        # A field that was drawn larger has a style of its own, which is nobody's to copy.
        await page.eval_on_selector("textarea", "(field) => { field.style.height = '9rem' }")
        await payments.paid(made, percent=100)
        await page.get_by_text("To be signed").first.wait_for()
        await expect(page.locator("#payment-page")).to_be_visible()
        await expect(page.locator("#fold-document > .card-body")).to_be_hidden()
        await window.check_width()


async def test_home_and_the_list_fit_into_few_screens_and_open_where_they_are_touched(
    chromium: Chromium, site: Site, firm: Firm
) -> None:
    bills = [await firm.shop.bill() for _ in range(8)]
    cookies = await signed_in(site, f"maya{firm.org_id}")
    async with opened_window(chromium, site.address.rstrip("/"), PHONE, cookies) as window:
        page = window.page
        for path in ("/studio", "/studio/invoices"):
            await window.open(path)
            await page.locator(".htmx-request").first.wait_for(state="detached")
            assert await height(page) < 2 * PHONE.height
            assert await page.get_by_role("link", name="New invoice").first.is_visible()
        # The box that picks stands beside the name, and is not what opens the invoice.
        row = page.locator("tr[data-row]").first
        box, who = [await place_of(row.locator(one)) for one in ("input", ".b-who")]
        assert box["x"] + box["width"] <= who["x"]
        assert abs(box["y"] - who["y"]) < who["height"]
        await row.locator("input").check()
        status = await place_of(row.locator(".b-status"))
        await page.touchscreen.tap(status["x"] + 5, status["y"] + 5)
        await page.wait_for_url(f"**/invoices/{ids.public('inv', bills[-1].invoice_id)}")
