"""Days at work in a real browser: releasing, signing, deciding, refunding, taking a list away."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Download, Locator, expect

from counterfoil.core.invoice import Invoice, Status
from counterfoil.desk.signing_in import CONFIRMED_FOR
from support.actors import PAYOUT_ADDRESS
from support.chromium import DESKTOP, Chromium, Look
from support.fake_screening import a_payment
from support.payments import CUSTOMER_WALLET, PDF, Payments
from support.sample import signed_in
from support.site import PASSWORD, Firm, Site
from support.window import Window, opened_window

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHINESE: Final = replace(DESKTOP, language="zh-TW")
DUE: Final = 92_307_693
"""Base units of USDT that 3,000 TWD are."""


@dataclass(frozen=True)
class Room:
    """A browser in which each person has a window of their own."""

    chromium: Chromium
    site: Site
    firm: Firm
    payments: Payments

    @asynccontextmanager
    async def at(self, who: str, look: Look = DESKTOP) -> AsyncIterator[Window]:
        """Somebody who has just signed in."""
        cookies = await signed_in(self.site, f"{who}{self.firm.org_id}")
        origin = self.site.address.rstrip("/")
        async with opened_window(self.chromium, origin, look, cookies) as window:
            yield window

    async def time_passes(self) -> None:
        """As much as it takes for everybody to be asked again who they are."""
        self.site.clock.advance(CONFIRMED_FOR + timedelta(minutes=1))
        await self.site.publish_rates()

    async def payable(self, customer: str) -> str:
        made: str = (await self.firm.merchant.create(recipient_name=customer)).data["id"]
        assert (await self.firm.reviewer.approve(made)).status == 200
        return made

    async def stands(self, made: str, status: Status) -> Invoice:
        """The invoice in the books, which must be at this status."""
        found = await self.payments.look(made)
        assert found.status is status
        return found


@pytest.fixture
def room(chromium: Chromium, site: Site, firm: Firm, payments: Payments) -> Room:
    return Room(chromium, site, firm, payments)


@pytest_asyncio.fixture(loop_scope="session")
async def second_officer(site: Site, firm: Firm) -> str:
    await site.person(firm.org_id, "olga", "compliance")
    return "olga"


def form(window: Window, made: str, name: str) -> Locator:
    """What a page offers to do with an invoice."""
    return window.page.locator(f"form[action='/studio/invoices/{made}/{name}']")


async def to_the_first(window: Window, queue: str, told: str) -> None:
    """From a queue, with a click, to the invoice that waits longest in it."""
    await window.open(f"/studio/queue/{queue}")
    row = window.page.locator("tbody tr").first
    await expect(row).to_contain_text(told)
    await row.get_by_role("link").click()
    await window.page.locator("#invoice").wait_for()


async def press(button: Locator, told: str) -> None:
    """Press a button, and read on the page that follows what came of it."""
    await button.click()
    await expect(button.page.locator("main")).to_contain_text(told)


async def test_held_money_is_released_by_two_signed_for_and_saved_as_a_table(
    room: Room, second_officer: str
) -> None:
    """Maya watches her invoice meanwhile; nobody asks her to look again."""
    made = await room.payable("=1+1")
    await room.payments.arrives(made)
    await room.payments.screened(made, "aml_hold")
    await room.payments.explained(made, a_payment("600000"))

    async with room.at("maya") as maya:
        await maya.open(f"/studio/invoices/{made}")
        live = maya.page.locator("#live")
        await expect(live).to_contain_text("On hold")

        async with room.at("otto") as otto:
            await to_the_first(otto, "clear", "0 for release, 0 against")
            await expect(otto.page.locator("#fold-risk")).to_contain_text("of 100")
            await form(otto, made, "release").get_by_label("Reason").fill("Known for years")
            release = form(otto, made, "release").get_by_role("button")
            await press(release, "Your word is noted")
            await expect(release).to_have_count(0)
        assert len((await room.stands(made, Status.COMPLIANCE_HOLD)).releases) == 1

        async with room.at(second_officer) as olga:
            await to_the_first(olga, "clear", "1 for release, 0 against")
            await form(olga, made, "release").get_by_label("Reason").fill("I called them")
            release = form(olga, made, "release").get_by_role("button")
            await press(release, "The money is released. The payment goes on.")
        await room.stands(made, Status.SIGN_PENDING)
        await expect(live).to_contain_text("To be signed")

        async with room.at("sam") as sam:
            await room.time_passes()
            await to_the_first(sam, "sign", "Sign for it")
            sign = form(sam, made, "sign_off")
            paid_out = sign.locator("dt:text-is('To be paid out') + dd")
            await expect(paid_out).to_contain_text(f"92.307693 USDT{PAYOUT_ADDRESS.lower()}")
            proof = sign.get_by_label("Your password, to confirm that it is you")
            await proof.fill("not my password")
            await press(sign.get_by_role("button"), "this is not right; nothing was changed")
            sam.excuse("console: Failed to load resource: .* 403")
            await room.stands(made, Status.SIGN_PENDING)
            assert await room.payments.moves(made) == []
            await proof.fill(PASSWORD)
            await press(sign.get_by_role("button"), "Signed.")
        await room.stands(made, Status.SWEEPING)
        sweep, payout = await room.payments.moves(made)
        assert sweep[::2] == ("sweep", DUE)
        assert payout == ("payout", PAYOUT_ADDRESS.lower(), DUE)
        await expect(live).to_contain_text("Collecting")
        await room.payments.swept(made, more_to_move=True)
        await room.payments.paid_out(made)
        await expect(live).to_contain_text("Completed")

        rows = await saved(maya)
    assert [row["Customer"] for row in rows] == ["'=1+1"]
    assert rows[0]["Status"] == "Completed"
    assert rows[0]["Tokens due"] == "92.307693"


async def saved(window: Window) -> list[dict[str, str]]:
    """The list as its export comes out of the browser."""
    page = window.page
    await window.open("/studio/invoices")
    await page.get_by_role("button", name="Export the list").click()
    async with page.expect_download() as saving:
        await page.get_by_role("link", name="Save the table").click()
    download = await saving.value
    assert re.fullmatch(r"invoices-\d{4}-\d\d-\d\d\.csv", download.suggested_filename)
    table = (await content(download)).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(table, newline="")))


async def content(download: Download) -> bytes:
    """What the browser saved."""
    return await asyncio.to_thread((await download.path()).read_bytes)


async def test_a_chinese_day_accepts_a_short_payment_and_refunds_another_with_papers(
    room: Room, tmp_path: Path
) -> None:
    short, wrong = await room.payable("短付客戶"), await room.payable("退款客戶")
    await room.payments.paid(short, percent=40)
    await room.payments.paid(wrong)
    paper = tmp_path / "訂單.pdf"
    paper.write_bytes(PDF)

    async with room.at("sam", CHINESE) as sam:
        page = sam.page
        await room.time_passes()
        await to_the_first(sam, "resolve", "不足 55.384616 USDT")
        accept = form(sam, short, "accept")
        await accept.get_by_label("理由").fill("銀行手續費")
        await press(accept.get_by_role("button"), "付款已照現況接受")
        await room.stands(short, Status.SIGN_PENDING)
        sign = form(sam, short, "sign_off")
        await sign.get_by_label("您的密碼").fill(PASSWORD)
        await press(sign.get_by_role("button"), "已簽收")
        await room.stands(short, Status.SWEEPING)
        assert (await room.payments.moves(short))[-1][::2] == ("payout", 36_923_077)

        await sam.open(f"/studio/invoices/{wrong}")
        await page.get_by_role("link", name="申請退款").click()
        await page.get_by_label("轉到此位址").fill("0x12")
        await page.get_by_label("理由").fill("訂錯了")
        await page.get_by_label("佐證文件").set_input_files(paper)
        order = page.get_by_role("button", name="申請退款")
        await press(order, "先前已上傳並保留")
        await expect(page.locator("label", has=page.locator("[name=file_id]"))).to_contain_text(
            "訂單.pdf"
        )
        sam.excuse("console: Failed to load resource: .* 422")
        await room.stands(wrong, Status.SIGN_PENDING)
        await page.get_by_label("轉到此位址").fill(CUSTOMER_WALLET)
        await press(order, "退款已申請")
        (refund,) = (await room.stands(wrong, Status.REFUND_PENDING)).refunds
        assert await room.payments.moves(wrong) == []
        assert await form(sam, wrong, "approve_refund").count() == 0

        async with room.at("sue", CHINESE) as sue:
            await room.time_passes()
            await sue.open("/studio/queue/refund")
            approve = form(sue, wrong, "approve_refund")
            order = sue.page.locator("section", has=approve)
            for words in ("退款客戶", "92.307693 USDT", refund.address, "正是來自此位址", "訂錯了"):
                await expect(order).to_contain_text(words)
            async with sue.page.expect_download() as saving:
                await order.get_by_role("link", name="訂單.pdf").click()
            assert await content(await saving.value) == PDF
            await order.locator("summary").click()
            await approve.get_by_label("您的密碼").fill(PASSWORD)
            await press(approve.get_by_role("button"), "退款已核准")
        await room.stands(wrong, Status.REFUND_PROCESSING)
        assert (await room.payments.moves(wrong))[1:] == [("refund", CUSTOMER_WALLET, DUE)]
        await room.payments.refunded(wrong)
        await expect(page.locator("#live")).to_contain_text("已退款")
    await room.stands(wrong, Status.REFUNDED)
