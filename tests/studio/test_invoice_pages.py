"""The list and the page of an invoice, and what people do on it."""

from support.site import Firm, Site


async def test_rita_finds_an_invoice_and_approves_it(site: Site, firm: Firm) -> None:
    made = (await firm.merchant.create(recipient_name="Orchid <b>Studio</b>")).data["id"]
    rita = await site.at_the_pages("rita1@merchant.example")
    listed = await rita.open("/studio/invoices?q=orchid")
    assert "Orchid <b>Studio</b>" in listed.words
    assert "<b>Studio" not in listed.text
    page = await rita.open(f"/studio/invoices/{made}")
    assert "Approve" in page.words
    assert "To be approved" in page.words
    content_hash = page.text.split('name="content_hash" value="')[1].split('"')[0]
    after = await rita.send(
        f"/studio/invoices/{made}/approve",
        {"content_hash": content_hash},
        token=page.form_token,
    )
    assert "The invoice is approved" in after.words
    assert "Waiting for payment" in after.words


async def test_maya_is_offered_nothing_that_is_refused(site: Site, firm: Firm) -> None:
    made = (await firm.merchant.create()).data["id"]
    maya = await site.at_the_pages("maya1@merchant.example")
    page = await maya.open(f"/studio/invoices/{made}")
    assert "/approve" not in page.text
    refused = await maya.send(f"/studio/invoices/{made}/approve", token=page.form_token)
    assert refused.status == 403
    assert "transfer:approve" in refused.words
