"""Forms that come back: they say what is wrong where it is, and nobody writes anything twice."""

import re
from datetime import timedelta

import aiohttp

from support.keyboards import wide
from support.payments import Payments
from support.site import PASSWORD, Firm, Site
from support.visitor import Page, Visitor

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


async def test_the_form_to_sign_keeps_address_reason_and_papers_until_all_is_right(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made = await ready_to_sign(firm, payments, percent=150)
    sam = await site.at_the_pages(SAM)
    token = (await sam.open(f"/studio/invoices/{made}")).form_token
    path = f"/studio/invoices/{made}/sign_off"
    fields = {"refund_address": "0xnobody", "reason": "Paid twice"}
    refused = await sam.send(path, with_paper(fields, "refund_attachments"), token=token)
    assert refused.status == 422
    assert 'id="problem-refund_address"' in refused.text
    assert 'value="0xnobody" aria-invalid="true" aria-describedby="problem-ref' in refused.text
    assert "\nPaid twice</textarea>" in refused.text
    assert "kept from before: order.pdf" in refused.words
    (paper,) = kept_in(refused)

    fields = {"refund_address": CUSTOMER, "reason": "", "file_id": paper}
    silent = await sam.send(path, fields, token=token)
    assert 'id="problem-reason"' in silent.text
    assert "is required unless money goes back to where it came from" in silent.words
    assert (kept_in(silent), f'value="{CUSTOMER}"' in silent.text) == ([paper], True)

    fields["reason"] = "Paid twice"
    drawn = aiohttp.FormData(fields)
    drawn.add_field("refund_attachments", b"<svg>", filename="drawn.svg")
    drawing = await sam.send(path, drawn, token=token)
    assert 'id="problem-refund_attachments"' in drawing.text
    assert kept_in(drawing) == [paper]

    site.clock.advance(timedelta(minutes=20))
    unproved = await sam.send(path, {**fields, "proof": "wrong"}, token=token)
    assert (unproved.status, kept_in(unproved)) == (403, [paper])
    assert "\nPaid twice</textarea>" in unproved.text
    assert (await firm.auditor.look(made)).data["status"] == "sign_pending"
    signed = await sam.send(path, {**fields, "proof": PASSWORD}, token=token)
    assert signed.status == 200
    sue = await site.at_the_pages("sue1@merchant.example")
    page = await sue.open(f"/studio/invoices/{made}")
    assert paper in page.text.split("What you can do")[1]
    assert "Reason Paid twice" in page.words


async def test_papers_of_another_organisation_do_not_come_along(
    site: Site, firm: Firm, payments: Payments
) -> None:
    other = await site.firm(2)
    theirs = (await other.signer.upload(PDF)).data["file_id"]
    made = await ready_to_sign(firm, payments, percent=150)
    sam = await site.at_the_pages(SAM)
    token = (await sam.open(f"/studio/invoices/{made}")).form_token
    fields = {"refund_address": CUSTOMER, "reason": "Paid twice", "file_id": theirs}
    refused = await sam.send(f"/studio/invoices/{made}/sign_off", fields, token=token)
    assert "names a file that was not uploaded here" in refused.words
    assert kept_in(refused) == []
    assert (await firm.auditor.look(made)).data["status"] == "sign_pending"


async def test_a_reason_that_cannot_be_taken_comes_back_where_it_was_written(
    site: Site, firm: Firm
) -> None:
    made = (await firm.merchant.create()).data["id"]
    rita = await site.at_the_pages("rita1@merchant.example")
    page = await rita.open(f"/studio/invoices/{made}")
    fields = {"reason": "Not ours\u202e"}
    refused = await rita.send(f"/studio/invoices/{made}/reject", fields, token=page.form_token)
    assert refused.status == 422
    assert refused.text.count("\nNot ours\u202e</textarea>") == 1
    assert refused.text.count('aria-invalid="true"') == 1
    assert "U+202E" in refused.words
    in_bulk = await rita.send(
        "/studio/approvals",
        {"decision": "reject", "invoice": ["1:x:y"], **fields},
        token=page.form_token,
    )
    assert 'aria-describedby="problem-reason"' in in_bulk.text
    assert "\nNot ours\u202e</textarea>" in in_bulk.text


async def test_rules_come_back_as_they_were_asked_for(anna: Visitor) -> None:
    path = "/studio/settings/payout-addresses"
    token = (await anna.open(path)).form_token
    asked = {"registered_only": "true", "two_people": "false", "wait_hours": "1,5"}
    refused = await anna.send(f"{path}/rules", asked, token=token)
    assert refused.status == 422
    assert 'value="1,5"' in refused.text
    chosen = re.findall(r'<option value="(true|false)" selected>', refused.text)
    assert chosen == ["true", "false"]
    asked = {"first": "2026-06-01", "last": "", "form": "csv"}
    log = await anna.send("/studio/settings/log/export", asked, token=token)
    assert 'value="2026-06-01"' in log.text
    assert 'aria-describedby="problem-last"' in log.text
    assert '<option value="csv" selected>' in log.text
