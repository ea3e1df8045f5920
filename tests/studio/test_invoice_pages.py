"""The list and the page of an invoice, and what people do on it."""

import asyncio

import psycopg

from counterfoil.books import unknown
from counterfoil.books.unknown import UnknownToken
from support.fake_screening import ON_OFAC, a_payment
from support.payments import Payments
from support.postgres import TestServer
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


async def test_a_token_that_nobody_knows_is_named_on_its_page_and_over_the_api(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made, other = [(await firm.merchant.create()).data["id"] for _ in range(2)]
    maya = await site.at_the_pages("maya1@merchant.example")
    contract, tx_hash = "0x" + "fa" * 20, "0x" + "9c" * 32
    bill = await payments.look(made)
    note = UnknownToken(
        org_id=1,
        invoice_id=bill.invoice_id,
        chain="arb",
        contract=contract,
        tx_hash=tx_hash,
        from_address="0x" + "c0" * 20,
        amount_units=2**255,
        block_number=7,
        noted_at=site.clock.now(),
    )
    async with site.desk.database.transaction() as tx:
        await unknown.note(tx, [note], at_most=1)
    page = await maya.open(f"/studio/invoices/{made}")
    assert "Tokens that are not known here" in page.words
    assert contract in page.words
    assert f"/tx/{tx_hash}" in page.text
    assert "no command gives it back" in page.words
    assert "Tokens that are not known" not in (await maya.open(f"/studio/invoices/{other}")).words
    (told,) = (await firm.merchant.look(made)).data["unknown_tokens"]
    assert (told["chain"], told["token_address"], told["tx_hash"]) == ("arb", contract, tx_hash)
    assert (told["amount_units"], told["block_number"]) == (str(2**255), 7)
    assert (await firm.merchant.look(other)).data["unknown_tokens"] == []


async def test_maya_is_offered_nothing_that_is_refused(site: Site, firm: Firm) -> None:
    made = (await firm.merchant.create()).data["id"]
    maya = await site.at_the_pages("maya1@merchant.example")
    page = await maya.open(f"/studio/invoices/{made}")
    assert "/approve" not in page.text
    refused = await maya.send(f"/studio/invoices/{made}/approve", token=page.form_token)
    assert refused.status == 403
    assert "transfer:approve" in refused.words


async def test_an_open_page_hears_of_a_change_at_once(site: Site, firm: Firm) -> None:
    made = (await firm.merchant.create()).data["id"]
    rita = await site.at_the_pages("rita1@merchant.example")
    stream = await rita.session.get(f"{rita.base_url}/studio/invoices/{made}/live?since=1")
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert (await firm.reviewer.approve(made)).status == 200
    heard = await asyncio.wait_for(stream.content.readuntil(b"data: 2\n\n"), 20)
    assert b"event: changed" in heard
    stream.close()


async def test_the_history_says_who_did_what_and_that_its_seals_hold(
    site: Site, firm: Firm, postgres: TestServer, database_url: str
) -> None:
    made = (await firm.merchant.create()).data["id"]
    await firm.reviewer.reject(made, "Not ours <script>alert(1)</script>")
    ada = await site.at_the_pages("ada1@merchant.example")
    page = await ada.open(f"/studio/invoices/{made}")
    assert "Rita rejected it" in page.words
    assert "Maya created it" in page.words
    assert "Amount due 92.307693 USDT, Arbitrum One (USDT/TWD 32.5, test)" in page.words
    assert "due_units" not in page.words
    assert "Not ours <script>alert(1)</script>" in page.words
    assert "<script>alert" not in page.text
    assert "Seals hold" in page.words
    with psycopg.connect(postgres.as_admin(database_url)) as admin:
        admin.execute("UPDATE invoice_log SET reason = 'fine' WHERE sequence = 2")
    assert "Broken at entry 2" in (await ada.open(f"/studio/invoices/{made}")).words


async def test_why_money_is_held_stands_first_and_is_told_in_words(
    site: Site, firm: Firm, payments: Payments
) -> None:
    held, clean = [(await firm.merchant.create()).data["id"] for _ in range(2)]
    for one in (held, clean):
        await firm.reviewer.approve(one)
        await payments.arrives(one)
    await payments.screened(held, "aml_hold")
    await payments.explained(held, a_payment("600000", hits=(ON_OFAC,)))
    await payments.screened(clean)
    await payments.explained(clean, a_payment())
    otto = await site.at_the_pages("otto1@merchant.example")
    page = await otto.open(f"/studio/invoices/{held}")
    assert "Two compliance officers release or decline the money next." in page.words
    assert "US sanctions list (OFAC SDN): Digital Currency Address - ETH" in page.words
    assert "Size of the payment 72.00 10 a payment of 600,000.00 TWD" in page.words
    assert page.text.index("risk-title") < page.text.index("document-title")
    page = await otto.open(f"/studio/invoices/{clean}")
    assert "A signer signs for the money next. It does not move before." in page.words
    assert page.text.index("risk-title") > page.text.index("document-title")
