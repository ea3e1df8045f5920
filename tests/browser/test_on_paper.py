"""Pages as they come out of a printer: light, and without what belongs to the house."""

import pytest

from support.chromium import PHONE, Chromium, Look
from support.sample import Sample
from support.window import opened_window

pytestmark = pytest.mark.asyncio(loop_scope="session")

DARK = Look(width=900, scheme="dark")
WHITE = "rgb(255, 255, 255)"
BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"


async def test_the_page_of_an_invoice_is_printed_light_and_without_its_history(
    chromium: Chromium, sample: Sample
) -> None:
    origin, cookies = sample.site.address.rstrip("/"), await sample.cookies("ada")
    async with opened_window(chromium, origin, DARK, cookies) as window:
        await window.open(f"/studio/invoices/{sample.invoices['completed']}")
        page = window.page
        assert await page.evaluate(BACKGROUND) != WHITE
        assert await page.get_by_role("link", name="PDF").is_visible()
        await page.emulate_media(media="print")
        await page.locator("html[data-bs-theme=light]").wait_for()
        for shown in ("Document", "Payment"):
            assert await page.get_by_role("heading", name=shown, exact=True).is_visible()
        for hidden in ("Screening", "Ledger", "History"):
            assert await page.get_by_text(hidden, exact=True).first.is_hidden()
        for button in await page.get_by_role("button").all():
            assert await button.is_hidden()


async def test_a_customer_saves_the_invoice_as_pdf(chromium: Chromium, sample: Sample) -> None:
    origin = sample.site.address.rstrip("/")
    async with opened_window(chromium, origin, PHONE) as window:
        await window.open(sample.invoices["pay_awaiting"])
        async with window.page.expect_download() as saving:
            await window.page.get_by_role("link", name="PDF").click()
        saved = await saving.value
        assert saved.suggested_filename.startswith("INV-2026-")
        assert (await saved.path()).read_bytes().startswith(b"%PDF-")
