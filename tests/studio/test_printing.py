"""The invoice as a PDF: for members of its organisation, and for the customer with its link."""

from datetime import timedelta

from support.banks import from_before
from support.payer import invited
from support.payments import Payments
from support.printed import Printed, printed
from support.sample import CHINESE_NAME, LONG_NAME
from support.site import Firm, Site

ITEMS = [
    {"name": f"第 {n} 項 {LONG_NAME if n == 1 else 'Service'}", "quantity": n, "unit_price": 10}
    for n in range(1, 101)
]


async def at_studio(site: Site, bill: str, who: str = "ada1", **headers: str) -> Printed:
    visitor = await site.at_the_pages(f"{who}@merchant.example")
    return await printed(visitor, f"/studio/invoices/{bill}/pdf", **headers)


async def test_ada_and_the_customer_get_the_same_with_amounts_and_the_address_of_the_api(
    site: Site, firm: Firm
) -> None:
    bill, payer = await invited(
        site,
        firm,
        recipient_name=CHINESE_NAME,
        detail_items=[{"name": "顧問服務", "quantity": 2, "unit_price": 1425, "tax": 150}],
    )
    (option,) = (await firm.merchant.look(bill)).data["payment_options"]
    page = await at_studio(site, bill)
    assert page.status == 200
    assert page.headers["Content-Type"] == "application/pdf"
    assert page.headers["Content-Disposition"] == 'attachment; filename="INV-2026-000001.pdf"'
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert option["address"] in page.words
    for words in (
        "Invoice INV-2026-000001",
        CHINESE_NAME,
        "1 顧問服務 2 1,425.00 150.00 3,000.00",
        "Subtotal 2,850.00 Tax 150.00 Total 3,000.00 TWD",
        "92.307693 USDT Arbitrum One",
        "1 USDT = 32.5 TWD",
        "Due 2026-07-22 24:00 UTC",
        "Page 1 of 1",
    ):
        assert words in page.words

    customers = await printed(payer.visitor, f"{payer.path}/invoice.pdf")
    assert customers.status == 200
    assert customers.words.split() == [word for word in page.words.split() if "@" not in word]
    assert page.words.count("@") == 2
    assert "noindex" in customers.headers["X-Robots-Tag"]
    assert f'href="{payer.path}/invoice.pdf"' in (await payer.look()).text


async def test_a_hundred_lines_take_three_pages_each_with_its_heading_and_number(
    site: Site, firm: Firm
) -> None:
    made = await firm.merchant.create(
        None, recipient_name=LONG_NAME, amount="50500.00", detail_items=ITEMS
    )
    page = await at_studio(site, made.data["id"])
    assert len(page.pages) == 3
    for number, words in enumerate(page.pages, start=1):
        assert "Item Quantity Unit price Tax Total" in words
        assert f"Page {number} of 3" in words
    assert all(f"第 {n} 項" in page.words for n in range(1, 101))
    assert "Total 50,500.00 TWD" in page.pages[-1]


async def test_what_is_not_approved_says_so_and_bears_no_address(site: Site, firm: Firm) -> None:
    made = (await firm.merchant.create()).data
    page = await at_studio(site, made["id"])
    assert "Not approved yet" in page.words
    assert "Send nothing yet" in page.words
    assert "0x" not in page.words
    await firm.reviewer.reject(made["id"], "Not ours")
    page = await at_studio(site, made["id"])
    assert "Rejected" in page.words
    assert "0x" not in page.words


async def test_what_is_paid_says_when_and_by_which_transaction(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)
    tx_hash = "0x" + "5e" * 32
    await payments.arrives(bill, percent=50, tx_hash=tx_hash)
    page = await at_studio(site, bill)
    assert "Paid on" not in page.words
    await payments.arrives(bill, units=46_153_847)
    await payments.screened(bill)
    page = await at_studio(site, bill)
    assert "Paid on 2026-06-22" in page.words
    assert f"{tx_hash} 46.153846 USDT" in page.words
    assert "How to pay" not in page.words
    customers = await printed(payer.visitor, f"{payer.path}/invoice.pdf")
    assert "Paid on 2026-06-22" in customers.words
    assert tx_hash in customers.words


async def test_after_half_is_paid_the_rest_is_asked_for(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, _ = await invited(site, firm)
    await payments.paid(bill, percent=50)
    (option,) = (await firm.merchant.look(bill)).data["payment_options"]
    page = await at_studio(site, bill)
    assert "46.153847 USDT Arbitrum One" in page.words
    assert option["address"] in page.words
    site.clock.advance(timedelta(days=60))
    page = await at_studio(site, bill)
    assert option["address"] not in page.words
    assert "46.153846 USDT" in page.words


async def test_who_is_paid_by_bank_is_given_the_account_and_no_address(
    site: Site, firm: Firm
) -> None:
    async with site.desk.database.transaction() as tx:
        for number, label in ((122, "First Bank"), (123, "富邦 012-3456")):
            await from_before(tx, number, label)
    bill, payer = await invited(site, firm, payment_method_type="fiat", bank_account_id=123)
    page = await at_studio(site, bill)
    assert "Bank account 富邦 012-3456 (TWD)" in page.words
    assert "First Bank" not in page.words
    assert "Reference INV-2026-000001" in page.words
    assert "0x" not in page.words
    customers = await printed(payer.visitor, f"{payer.path}/invoice.pdf")
    assert "Bank account 富邦 012-3456 (TWD) Reference INV-2026-000001" in customers.words


async def test_nobody_gets_another_organisations(site: Site, firm: Firm) -> None:
    other = await site.firm(2)
    bill = (await other.merchant.create()).data["id"]
    assert (await at_studio(site, bill, "ada2")).status == 200
    refused = await at_studio(site, bill, "ada1")
    assert (refused.status, refused.pages) == (404, ())
    outsider = await printed(await site.at_the_pages(), f"/studio/invoices/{bill}/pdf")
    assert (outsider.status, outsider.pages) == (303, ())
    _, payer = await invited(site, firm)
    for path in (payer.path[:-1], f"/pay/{bill}", "/pay/nothing"):
        refused = await printed(payer.visitor, f"{path}/invoice.pdf")
        assert (refused.status, refused.pages) == (404, ())
