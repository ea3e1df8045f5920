"""Hostile text in everything that anybody can write, on every page that shows it (T10, T22)."""
# ruff: noqa: F811 - fixtures are called as their parameters are

import re
from typing import Final
from urllib.parse import urlsplit

import pytest

from browser.conftest import chromium, database, firm, payments, site  # noqa: F401 - fixtures
from counterfoil.db.rows import execute
from support.chromium import Chromium
from support.payments import Payments
from support.sample import signed_in
from support.site import Firm, Site
from support.window import opened_window

pytestmark = pytest.mark.asyncio(loop_scope="session")

ATTACK: Final = (
    "</title></script></textarea>\"'><img src=x onerror=alert('T10')>"
    "<b hx-get=/x hx-trigger=load hx-on:load=alert(1)>{{7*7}}${7*7}"
)
LINK: Final = "<a href=\"javascript:alert('T10')\" style=x onclick=alert(1)>{% raw %}"
ARABIC: Final = "شركة التجارة"
PDF: Final = b"%PDF-1.7\nx\nstartxref\n0\n%%EOF"
CUSTOMER: Final = "0x" + "c0" * 20

GREW: Final = """
[...document.querySelectorAll("*")].filter((one) =>
  one.matches("[onerror], [onload], [onclick], img[src=x], b[hx-get]") ||
  (one.getAttribute("href") || "").startsWith("javascript:") ||
  [...one.attributes].some((a) => a.name.startsWith("hx-on"))
).map((one) => one.outerHTML.slice(0, 200))
"""
"""Elements that hostile text has become; on pages of ours there is none of these."""


async def test_hostile_text_is_only_ever_text(
    chromium: Chromium, site: Site, firm: Firm, payments: Payments
) -> None:
    invoices = await _written(firm, payments)
    await site.person(1, "adam", "administrator")
    async with site.desk.database.transaction() as tx:
        # No form takes such names; what once got in by another way must not run either.
        await execute(tx, "UPDATE org SET name = %(name)s", {"name": ATTACK})
        await execute(tx, "UPDATE person SET name = left(%(name)s || name, 100)", {"name": LINK})
    visits = (
        ("maya", ("/studio", "/studio/now", "/studio/invoices", "/studio/account")),
        ("maya", [f"/studio/invoices/{one}" for one in invoices.values()]),
        ("maya", [f"/studio/invoices/new?from={invoices['new']}"]),
        ("maya", [f"/studio/invoices/{invoices['new']}/edit"]),
        ("maya", ["/studio/recipients?recipient_name=img", "/studio/invoices?q=%3Cimg"]),
        ("rita", [f"/studio/invoices/{invoices['new']}", "/studio/approvals"]),
        ("sam", [f"/studio/invoices/{invoices['refund']}", "/studio/queue/refund"]),
        ("sam", [f"/studio/invoices/{invoices['paid']}/refund", "/studio/queue/sign"]),
        ("otto", [f"/studio/invoices/{invoices['held']}", "/studio/queue/clear"]),
        ("adam", ["/studio/settings/members", "/studio/settings/log", "/studio/settings/roles"]),
        (None, [f"/studio/sign-in?next={ATTACK.replace('#', '')}", "/studio/invitation/x"]),
        (None, [await _payment_page(firm, invoices[one]) for one in ("pending", "paid")]),
    )
    shown = 0
    for who, paths in visits:
        cookies = await signed_in(site, f"{who}1") if who else None
        async with opened_window(chromium, site.address.rstrip("/"), cookies=cookies) as window:
            for path in paths:
                status = await window.open(path)
                if status != 200:
                    window.excuse(f"status of {status}")
                assert status in {200, 404}, path
                assert await window.page.evaluate(GREW) == [], path
                text = await window.page.inner_text("body")
                assert "$49" not in text
                shown += ATTACK[:40] in await window.page.content() or "{{7*7}}" in text
    assert shown > 10


async def test_hostile_text_in_forms_comes_back_as_text(
    chromium: Chromium, site: Site, firm: Firm
) -> None:
    made = (await firm.merchant.create()).data["id"]
    async with opened_window(
        chromium, site.address.rstrip("/"), cookies=await signed_in(site, "maya1")
    ) as window:
        page = window.page
        for path in ("/studio/invoices/new", f"/studio/invoices/{made}/edit"):
            await window.open(path)
            names = await page.eval_on_selector_all(
                "main input:not([type=hidden]):not([type=file]):not([type=checkbox])"
                ":not([type=radio]):not([type=date]):not([type=datetime-local]):not([type=number]),"
                " main textarea",
                f"(all) => all.map((one) => {{ one.value = {ATTACK!r}; return one.name; }})",
            )
            assert "recipient_name" in names
            await page.eval_on_selector_all(
                "main form", "(all) => all.forEach((one) => { one.noValidate = true; })"
            )
            async with page.expect_navigation():
                await page.eval_on_selector(
                    "main [name=do][value=save]", "(one) => one.form.requestSubmit(one)"
                )
            window.excuse("status of 422")
            assert await page.evaluate(GREW) == [], path
            assert ATTACK in await page.eval_on_selector("[name=recipient_name]", "(o) => o.value")


async def test_names_that_look_like_others_are_kept_apart(site: Site, firm: Firm) -> None:
    await firm.merchant.create(recipient_name=f"{ARABIC} 123 ABC")
    maya = await site.at_the_pages("maya1@merchant.example")
    page = await maya.open("/studio/invoices")
    assert re.search(rf"<bdi[^>]*>{ARABIC} 123 ABC</bdi>", page.text)
    token = page.form_token
    for name in ("Acme\u202eBuyer", "Acme\u200bBuyer", "A" + "\u0301" * 10_000, "Acme\x00"):
        refused = await maya.send(
            "/studio/invoices/new", {"do": "save", "recipient_name": name}, token=token
        )
        assert refused.status == 422
        assert "recipient_name" in refused.text


async def _payment_page(firm: Firm, invoice_id: str) -> str:
    address: str = (await firm.merchant.look(invoice_id)).data["payment_page_url"]
    return urlsplit(address).path


async def _written(firm: Firm, payments: Payments) -> dict[str, str]:
    """Invoices with hostile text in all that a caller may write, at many statuses."""
    made: dict[str, str] = {}

    async def create(name: str) -> str:
        file_id = (await firm.merchant.upload(PDF, LINK)).data["file_id"]
        answer = await firm.merchant.create(
            recipient_name=ATTACK,
            organization_name=LINK,
            creator=ATTACK,
            description=f"{ATTACK}\n{LINK}",
            group_key=LINK[:128],
            order_data={ATTACK: {LINK: [ATTACK]}, "external_invoice_id": ATTACK},
            detail_items=[{"name": ATTACK, "quantity": 1, "unit_price": 3000, "tax": 0}],
            attachment={"file_id": file_id},
        )
        made[name] = answer.data["id"]
        return made[name]

    await create("new")
    assert (await firm.reviewer.reject(await create("rejected"), ATTACK)).status == 200
    assert (await firm.merchant.cancel(await create("cancelled"), ATTACK)).status == 200
    for name in ("pending", "paid", "refund", "held"):
        assert (await firm.reviewer.approve(await create(name))).status == 200
    await payments.paid(made["paid"])
    await payments.paid(made["refund"])
    await payments.arrives(made["held"])
    await payments.screened(made["held"], "aml_hold")
    paper = (await firm.signer.upload(PDF, ATTACK)).data["file_id"]
    ordered = await firm.signer.act(
        "refund",
        made["refund"],
        {"refund_address": CUSTOMER, "refund_reason": ATTACK, "refund_attachments": [paper]},
    )
    assert ordered.status == 200, ordered.raw
    return made
