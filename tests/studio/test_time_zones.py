"""An organisation in Taipei: its documents bear Taipei's days, and every time says its zone."""

import re
from datetime import datetime, timedelta

from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import printing
from counterfoil.pages import paper
from counterfoil.studio.alert_words import ALERTS
from counterfoil.studio.home import ALERT_PLACES
from support.payer import stage
from support.payments import Payments
from support.site import Firm, Site
from support.visitor import Visitor

PROFILE = "/studio/settings/organisation"
SHOP = "https://merchant.example"
READER = Actor("user_test", 1, frozenset({Permission.READ}))
TOLD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?! UTC\+8)")
"""A time that does not say its zone, or another one."""


async def test_in_the_small_hours_documents_bear_the_day_it_is_where_the_merchant_is(
    site: Site, firm: Firm, payments: Payments, anna: Visitor
) -> None:
    page = await anna.open(PROFILE)
    assert "<option selected>UTC</option>" in page.text
    written = {"name": "Formosa", "email": "", "address": "", "tax_number": ""}
    refused = await anna.send(PROFILE, {**written, "time_zone": "Asia/Atlantis"})
    assert (refused.status, refused.words.count("such as Asia/Taipei")) == (422, 2)
    saved = await anna.send(PROFILE, {**written, "time_zone": "Asia/Taipei"})
    assert "<option selected>Asia/Taipei</option>" in saved.text

    for listed in (SHOP, f"{SHOP}\nhttps://b.example"):
        await anna.send(f"{PROFILE}/returns", {"return_origins": listed})
    announced = await anna.open("/studio/now")
    assert re.search(r"to other addresses from [\d-]+ 20:00 UTC\+8 on", announced.words)
    assert f'href="{PROFILE}">Look at it' in announced.text
    assert {k for k, told in ALERTS.items() if "administrator" in told} <= set(ALERT_PLACES)

    site.clock.advance(timedelta(hours=5, minutes=30))
    await site.publish_rates()
    made = (await firm.merchant.create(invoice_issue_date=None, payment_terms=30)).data
    assert made["invoice_issue_date"] == "2026-06-23"
    bill, intent = made["id"], made["payment_intent"]
    assert intent["payment_deadline"] == datetime.fromisoformat("2026-07-24T00:00+08").timestamp()
    maya = await site.at_the_pages("maya1@merchant.example")
    form = await maya.open(f"/studio/invoices/{bill}/edit")
    assert re.search(r'id="deadline-zone">Asia/Taipei<', form.text)
    assert 'name="zone" value="Asia/Taipei"' in form.text
    await firm.reviewer.approve(bill)
    await payments.paid(bill)
    customer = await site.at_the_pages()
    link = (await firm.merchant.look(bill)).data["payment_page_url"].partition("/pay/")[2]
    page = await customer.open(f"/pay/{link}")
    assert stage(page) == "received"
    assert "Issued 2026-06-23" in page.words
    receipt = await customer.open(f"/pay/{link}/receipt")
    assert "Paid on 2026-06-23 01:30 UTC+8" in receipt.words

    ada = await site.at_the_pages("ada1@merchant.example")
    seen = await ada.open(f"/studio/invoices/{bill}")
    assert "Due 2026-07-23 24:00 UTC+8" in seen.words
    history = await ada.open("/studio/settings/log")
    assert "UTC+8" in history.words
    for one in (page, receipt, seen, history):
        assert TOLD.findall(one.words) == []

    found = await printing.printable(site.desk, (await payments.look(bill)).invoice_id, READER)
    sheet = paper.paper(paper.sheet_of(found, mail=False), "zh-Hant-TW", site.clock.now())
    assert sheet["facts"][0][1] == "2026-06-23"
    assert sheet["facts"][2][1] == "2026-07-23 24:00 UTC+8"
    assert "2026-06-23" in sheet["stamp"]["text"]
