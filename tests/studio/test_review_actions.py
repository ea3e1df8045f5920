"""Officers at the pages: hits that mean somebody else, escalation, and reports."""

import re

import aiohttp
import pytest

from support.payments import Payments
from support.site import Firm, Site
from support.visitor import Visitor

WHY = "Another person of that name."
PDF = b"%PDF-1.7\nx\nstartxref\n0\n%%EOF"


@pytest.fixture
async def otto(site: Site, firm: Firm) -> Visitor:
    assert firm.org_id == 1
    return await site.at_the_pages("otto1@merchant.example")


async def paid(firm: Firm, payments: Payments) -> str:
    made: str = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.arrives(made)
    return made


async def test_two_officers_say_with_a_passport_that_it_is_somebody_else(
    site: Site, firm: Firm, payments: Payments, otto: Visitor
) -> None:
    await site.person(firm.org_id, "olga", "compliance")
    made = await paid(firm, payments)
    await payments.listed(made, "36518", "LAZARUS GROUP")
    page = await otto.open(f"/studio/invoices/{made}")
    assert "LAZARUS GROUP (36518)" in page.words
    path = f"/studio/invoices/{made}/dispose_hit"
    fields = {"hit": "OFAC_SDN:36518", "reason": WHY}

    refused = await otto.send(path, fields, token=page.form_token)
    assert refused.status == 422
    assert 'id="problem-evidence"' in refused.text
    form = aiohttp.FormData({**fields, "reason": "no"})
    form.add_field("evidence", PDF, filename="passport.pdf", content_type="application/pdf")
    short = await otto.send(path, form, token=page.form_token)
    assert 'id="problem-reason"' in short.text
    (kept,) = re.findall(r'name="file_id" value="([^"]+)"', short.text)
    one = await otto.send(path, {**fields, "file_id": kept}, token=page.form_token)
    assert "when a second person agrees" in one.words
    olga = await site.at_the_pages("olga1@merchant.example")
    page = await olga.open(f"/studio/invoices/{made}")
    token = page.form_token
    # She reads who said so before her, and the papers that they gave.
    assert "Means somebody else, says Otto Evidence passport.pdf" in page.words
    (paper,) = re.findall(r'href="(/studio/files/[^"]+)"', page.text)
    assert (await olga.open(paper)).status == 200
    assert "so nobody can release it" in page.words
    two = await olga.send(path, fields, token=token)
    assert "is screened again without this hit" in two.words
    sam = await site.at_the_pages("sam1@merchant.example")
    assert "LAZARUS" not in (await sam.open(f"/studio/invoices/{made}")).text


async def test_declined_money_of_a_hit_is_told_to_be_frozen_until_two_find_it_false(
    site: Site, firm: Firm, payments: Payments, otto: Visitor
) -> None:
    await site.person(firm.org_id, "olga", "compliance")
    olga = await site.at_the_pages("olga1@merchant.example")
    made = await paid(firm, payments)
    await payments.listed(made, "36518", "LAZARUS GROUP")
    path = f"/studio/invoices/{made}"
    for officer in (otto, olga):
        page = await officer.open(path)
        await officer.send(f"{path}/decline", {"reason": WHY}, token=page.form_token)

    assert "so it stays frozen where it lies" in (await otto.open(path)).words
    assert "因此就地凍結" in (await otto.open(path, Accept_Language="zh-TW")).words
    queue = await otto.open("/studio/queue/clear")
    assert "declined and frozen, unless the hit means somebody else" in queue.words
    form = aiohttp.FormData({"hit": "OFAC_SDN:36518", "reason": WHY})
    form.add_field("evidence", PDF, filename="passport.pdf", content_type="application/pdf")
    await otto.send(f"{path}/dispose_hit", form, token=(await otto.open(path)).form_token)
    fields = {"hit": "OFAC_SDN:36518", "reason": WHY}
    page = await olga.open(path)
    two = await olga.send(f"{path}/dispose_hit", fields, token=page.form_token)
    assert "is screened again without this hit" in two.words
    assert "Where the money comes from is looked at next" in two.words
    await payments.screened(made)
    assert "A signer orders next that the money goes back." in (await otto.open(path)).words


async def test_an_officer_holds_the_money_and_writes_a_report_down(
    site: Site, firm: Firm, payments: Payments, otto: Visitor
) -> None:
    made = await paid(firm, payments)
    await payments.screened(made, "manual_review")
    path = f"/studio/invoices/{made}"
    token = (await otto.open(path)).form_token

    held = await otto.send(f"{path}/escalate", {"reason": WHY}, token=token)
    assert "The money is held now." in held.words
    assert (await firm.officer.look(made)).data["escalated_by"] == firm.officer.uid
    wrong = await otto.send(f"{path}/report", {"reference": "MJIB 7"}, token=token)
    assert wrong.status == 422
    assert 'value="MJIB 7"' in wrong.text
    report = {"reference": "MJIB 7", "reported_on": "2026-06-22"}
    kept = await otto.send(f"{path}/report", report, token=token)
    assert "The report is kept, for compliance only." in kept.words
    assert "MJIB 7 2026-06-22" in kept.words
    chinese = await otto.open(path, Accept_Language="zh-TW")
    assert "向主管機關的申報" in chinese.words
    for who in ("sam", "ada", "maya"):
        other = await site.at_the_pages(f"{who}1@merchant.example")
        assert "MJIB" not in (await other.open(path)).text
    link = (await firm.merchant.look(made)).data["payment_page_url"]
    payer = await site.at_the_pages()
    shown = await payer.open(link.removeprefix(payer.base_url))
    assert "is being checked" in shown.words
    for word in ("MJIB", "hold", "sanction", "compliance", "report"):
        assert word not in shown.words.lower()
