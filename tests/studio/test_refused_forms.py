"""Forms that come back: they say what is wrong where it is, and nobody writes anything twice."""

import re

import aiohttp

from support.keyboards import wide
from support.payments import Payments
from support.site import Firm, Site
from support.visitor import Page

SAM = "sam1@merchant.example"
CUSTOMER = "0x" + "c0" * 20
PDF = b"%PDF-1.7\nx\nstartxref\n0\n%%EOF"


async def ready_to_sign(firm: Firm, payments: Payments, *, percent: int = 100) -> str:
    """An invoice that is paid, screened, and waits for a signature."""
    made: str = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made, percent=percent)
    return made


def with_paper(fields: dict[str, str], name: str) -> aiohttp.FormData:
    form = aiohttp.FormData(fields)
    form.add_field(name, PDF, filename="order.pdf", content_type="application/pdf")
    return form


def kept_in(page: Page) -> list[str]:
    """The files that a form has kept, as it sends them along."""
    return re.findall(r'name="file_id" value="([^"]+)"', page.text)


async def test_a_refund_says_which_number_it_cannot_read_and_keeps_the_rest(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made = await ready_to_sign(firm, payments)
    sam = await site.at_the_pages(SAM)
    path = f"/studio/invoices/{made}/refund"
    token = (await sam.open(path)).form_token
    fields = {"asset": "USDT@arb", "amount": "1,33", "address": CUSTOMER, "reason": "Too many"}
    form = with_paper(fields, "attachments")
    refused = await sam.send(path, form, token=token)
    assert refused.status == 422
    assert "Amount: must be a number such as 1333.50 or 1,333.50" in refused.words
    assert "string" not in refused.words
    for kept in ('value="1,33"', f'value="{CUSTOMER}"', "\nToo many</textarea>"):
        assert kept in refused.text
    (paper,) = kept_in(refused)
    chinese = {"Accept-Language": "zh-TW"}
    again = await sam.send(path, {**fields, "file_id": paper}, token=token, headers=chinese)
    assert "必須是數字" in again.words
    assert kept_in(again) == [paper]
    right = {**fields, "amount": wide("50.5"), "file_id": paper}
    ordered = await sam.send(path, right, token=token)
    assert "a second person has to approve it" in ordered.words
    refund = (await firm.auditor.look(made)).data["refund"]
    assert [one["amount"] for one in refund["amounts"]] == ["50.50"]
