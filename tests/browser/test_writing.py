"""Writing an invoice and walking through the list with a keyboard; approving many with a mouse."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from support.chromium import Chromium
from support.sample import signed_in
from support.site import Firm, Site
from support.window import Window, opened_window, place_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def window(chromium: Chromium, site: Site, firm: Firm) -> AsyncIterator[Window]:
    cookies = await signed_in(site, f"maya{firm.org_id}")
    origin = site.address.rstrip("/")
    async with opened_window(chromium, origin, cookies=cookies) as window:
        yield window


async def goes_on_by_keyboard(page: Page) -> None:
    """From a line's tax to the next line, after the last to another one; and away with it again."""
    await page.focus("#item_tax-2")
    await page.keyboard.press("Tab")
    await expect(page.locator("#item_name-3")).to_be_focused()
    await page.focus("#item_tax-3")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Add a line")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#item_name-4")).to_be_focused()
    for _ in range(6):
        await page.keyboard.press("Tab")
    away = page.locator("details", has_text="Remove a line")
    await expect(away.locator("summary")).to_be_focused()
    assert (await place_of(away))["height"] > 10
    await page.keyboard.press("Enter")
    for _ in range(5):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#item_name-3")).to_be_focused()
    await expect(page.locator("#item_name-4")).to_have_count(0)


async def test_maya_writes_an_invoice_while_the_server_adds_up(window: Window, firm: Firm) -> None:
    await firm.merchant.create(recipient_name="Acme Buyer")
    await window.open("/studio/invoices/new")
    page = window.page
    await page.fill("#recipient_name", "\u0410cme Buyer")
    await page.locator("#lookalike", has_text="only looks like Acme Buyer").wait_for()
    await page.fill("#recipient_name", "Acme Buyer")
    await page.locator("#lookalike .alert").wait_for(state="detached")
    await expect(page.locator("#recipient_email")).to_have_value("buyer@example.com")
    await page.fill("#item_name-0", "Consulting")
    await page.fill("#item_quantity-0", "3")
    await page.fill("#item_unit_price-0", "1000.10")
    await page.locator("#sum", has_text="3,000.3 TWD").wait_for()
    await page.get_by_role("button", name="Add a line").click()
    await page.locator("#item_name-3").wait_for()
    await page.fill("#item_name-3", "Travel")
    await page.fill("#item_unit_price-3", "99.70")
    await page.locator("#line-3", has_text="99.7").wait_for()
    await goes_on_by_keyboard(page)
    await page.get_by_role("button", name="Remove line 2").click()
    await page.locator("#item_name-3").wait_for(state="detached")
    assert await page.input_value("#item_name-2") == "Travel"
    await page.locator("#sum", has_text="3,100 TWD").wait_for()
    await page.set_input_files(
        "#upload",
        {
            "name": "offer.pdf",
            "mimeType": "application/pdf",
            "buffer": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\nstartxref\n9\n%%EOF\n",
        },
    )
    await page.locator("#attachment", has_text="offer.pdf").wait_for()
    await page.get_by_role("button", name="Preview").click()
    await page.locator("#preview-title").wait_for()
    await page.get_by_role("button", name="Create the invoice").click()
    await page.get_by_text("The invoice is created").wait_for()
    assert "3,100.00 TWD" in await page.inner_text("main")


async def test_the_list_is_walked_picked_and_opened_with_keys(window: Window, firm: Firm) -> None:
    for name in ("Erste", "Zweite", "Dritte"):
        await firm.merchant.create(recipient_name=name)
    await window.open("/studio/invoices")
    page = window.page
    await page.keyboard.press("?")
    assert await page.locator("#keys").is_visible()
    await page.keyboard.press("Escape")
    await page.locator("#keys").wait_for(state="hidden")
    for key in ("j", "j", "ArrowDown", "k", "x"):
        await page.keyboard.press(key)
    picked = page.locator("tr:has(input:checked)")
    assert "Zweite" in await picked.inner_text()
    assert await page.inner_text("[data-picked]") == "1"
    await page.keyboard.press("/")
    await page.keyboard.type("erste")
    await expect(page.locator("tr[data-row]")).to_have_count(1)
    assert "q=erste" in page.url
    await page.locator("#search").blur()
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.locator("#invoice").wait_for()
    assert "Erste" in await page.inner_text("main")


async def test_rita_approves_many_with_the_mouse_and_hears_of_each(
    chromium: Chromium, site: Site, firm: Firm
) -> None:
    made = [(await firm.merchant.create()).data["id"] for _ in range(3)]
    cookies = await signed_in(site, f"rita{firm.org_id}")
    async with opened_window(chromium, site.address.rstrip("/"), cookies=cookies) as window:
        await window.open("/studio/approvals")
        page = window.page
        await page.locator("[data-all]").check()
        await expect(page.locator("[data-count=invoice]").first).to_have_text("3")
        await firm.merchant.update(made[1], recipient_name="Somebody Else")
        await page.get_by_role("button", name="Approve the chosen").click()
        await expect(page.locator("main")).to_contain_text("was changed since you opened it")
        assert (await page.inner_text("main")).count(": approved") == 2
    assert [(await firm.merchant.look(one)).data["status"] for one in made] == [
        "pending_payment",
        "approval_pending",
        "pending_payment",
    ]
