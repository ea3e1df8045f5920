"""Forms that come back in a real browser: who sent them stands where something is to be mended."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import pytest
from playwright.async_api import FilePayload, expect

from support.chromium import DESKTOP, PHONE, Chromium, Look
from support.keyboards import wide
from support.payments import PDF, Payments
from support.sample import signed_in
from support.site import Firm, Site
from support.window import Window, opened_window

pytestmark = pytest.mark.asyncio(loop_scope="session")

CUSTOMER: Final = "0x" + "c0" * 20
PAPER: Final = FilePayload(name="order.pdf", mimeType="application/pdf", buffer=PDF)
REFUSED: Final = "the server responded with a status of 4"


@asynccontextmanager
async def at(
    chromium: Chromium, site: Site, who: str, look: Look = DESKTOP
) -> AsyncIterator[Window]:
    cookies = await signed_in(site, who)
    origin = site.address.rstrip("/")
    async with opened_window(chromium, origin, look, cookies=cookies) as window:
        yield window
        window.excuse(REFUSED)


async def overpaid(firm: Firm, payments: Payments) -> str:
    made: str = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made, percent=150)
    return made


async def test_sam_mends_the_amount_of_a_refund_and_chooses_no_paper_again(
    chromium: Chromium, site: Site, firm: Firm, payments: Payments
) -> None:
    made = await overpaid(firm, payments)
    async with at(chromium, site, "sam1", replace(DESKTOP, language="zh-TW")) as window:
        page = window.page
        await window.open(f"/studio/invoices/{made}/refund")
        await page.fill("#amount", "1,33")
        await page.fill("#address", CUSTOMER)
        await page.fill("#reason", "訂單有誤")
        await page.set_input_files("#attachments", PAPER)
        await page.locator("form button[type=submit]", has_text="申請退款").click()
        amount = page.locator("#amount")
        await expect(amount).to_be_focused()
        await expect(amount).to_have_accessible_description(re.compile("^必須是數字"))
        await expect(page.locator("#reason")).to_have_value("訂單有誤")
        await window.check_accessibility()
        await window.check_punctuation()
        await amount.fill(wide("1.33"))
        await page.keyboard.press("Enter")
        await expect(page.locator(".alert-success")).to_be_visible()
    refund = (await firm.auditor.look(made)).data["refund"]
    assert [one["amount"] for one in refund["amounts"]] == ["1.33"]
    assert len(refund["refund_attachments"]) == 1


async def test_the_form_to_sign_stays_filled_in_on_a_phone_while_the_page_keeps_itself_up_to_date(
    chromium: Chromium, site: Site, firm: Firm, payments: Payments
) -> None:
    made = await overpaid(firm, payments)
    async with at(chromium, site, "sam1", PHONE) as window:
        page = window.page
        await window.open(f"/studio/invoices/{made}")
        await page.fill("#refund_address", CUSTOMER)
        await page.fill("#reason-sign", " ")
        await page.set_input_files("#refund_attachments", PAPER)
        await page.get_by_role("button", name="Sign for the money").click()
        reason = page.locator("#reason-sign")
        await expect(reason).to_be_focused()
        await expect(reason).to_be_in_viewport()
        await window.check_width()
        await window.check_accessibility()
        await reason.blur()
        await payments.paid(made)
        await page.locator("#changed").wait_for(state="visible")
        await expect(page.locator("#refund_address")).to_have_value(CUSTOMER)
        await expect(page.get_by_label("kept from before: order.pdf")).to_be_checked()


async def test_a_preview_that_is_refused_leads_to_the_field_and_the_form_goes_on(
    chromium: Chromium, site: Site, firm: Firm
) -> None:
    assert firm.org_id == 1
    async with at(chromium, site, "maya1") as window:
        page = window.page
        await window.open("/studio/invoices/new")
        await page.fill("#item_name-0", "Consulting")
        await page.fill("#item_unit_price-0", "1,33")
        await page.fill("#recipient_name", "Acme Buyer")
        await page.fill("#recipient_email", "buyer@example.com")
        await page.get_by_role("button", name="Preview").click()
        price = page.locator("#item_unit_price-0")
        await expect(price).to_be_focused()
        await expect(page.locator("#problem-item_unit_price-0")).to_contain_text("1,333.50")
        await price.fill("1,333.50")
        await page.locator("#sum", has_text="1,333.5").wait_for()
        await page.get_by_role("button", name="Preview").click()
        await page.locator("#preview-title").wait_for()
        assert "1,333.50" in await page.inner_text("#preview")
