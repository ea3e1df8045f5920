"""The list of invoices: found, sorted, kept under a name, and taken away as a table."""

import asyncio
import csv
import io
import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from counterfoil.books import invoices
from counterfoil.books.invoices import Changed
from counterfoil.core import ids
from counterfoil.core.invoice import Invoice, Price, Status
from counterfoil.db.rows import execute
from support.fake_clock import NOON
from support.invoices import USDC
from support.patience import patiently
from support.payments import CUSTOMER_WALLET, PDF, Payments
from support.site import Firm, Site
from support.spreadsheet import sums
from support.visitor import Page, Visitor

LIST = "/studio/invoices"
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1")


@pytest.fixture
async def maya(site: Site, firm: Firm) -> Visitor:
    assert firm.org_id == 1
    return await site.at_the_pages("maya1@merchant.example")


async def put(site: Site, bill: Invoice, **changes: object) -> None:
    """The invoice as some event would have left it."""
    async with site.desk.database.transaction() as tx:
        before = await invoices.lock(tx, bill.org_id, bill.invoice_id)
        assert before is not None
        after = replace(before, version=before.version + 1, **changes)  # type: ignore[arg-type]  # any fields
        await invoices.save_all(tx, [Changed(before, after, site.clock.now())])


async def three(site: Site, firm: Firm) -> list[Invoice]:
    """Three invoices, minutes apart, of which each is due before the one made earlier."""
    made = []
    for number in range(3):
        deadline = site.clock.now() + timedelta(days=20 - 5 * number)
        made.append(await firm.shop.bill(deadline_at=deadline))
        async with site.desk.database.transaction() as tx:
            await execute(
                tx,
                "UPDATE invoice SET created_at = %(at)s WHERE invoice_id = %(id)s",
                {"at": site.clock.now(), "id": made[-1].invoice_id},
            )
        site.clock.advance(timedelta(minutes=5))
    return made


def shown(page: Page) -> list[int]:
    """The numbers of the invoices in a list, from top to bottom."""
    assert page.status == 200, page.words
    return [int(n) for n in re.findall(r"data-opens href=[^>]+>INV-2026-0*([0-9]+)<", page.text)]


async def test_a_list_is_narrowed_by_everything_that_it_offers(
    site: Site, firm: Firm, maya: Visitor
) -> None:
    first, second, third = await three(site, firm)
    document = replace(first.document, recipient_email="other@example.com")
    await put(site, first, document=document, settlement="fiat")
    await put(site, second, status=Status.COMPLETED)
    await put(site, third, status=Status.EXPIRED, archived_at=site.clock.now())
    for query, numbers in (
        ("", [2, 1]),
        ("archived=yes", [3, 2, 1]),
        ("archived=only", [3]),
        ("status=completed&status=expired&archived=yes", [3, 2]),
        ("email=other@EXAMPLE.com", [1]),
        ("method=fiat", [1]),
        ("method=crypto", [2]),
        ("since=2026-06-22&until=2026-06-22", [2, 1]),
        ("until=2026-06-21", []),
        ("since=2026-06-23", []),
        ("q=INV-2026-000002", [2]),
    ):
        assert shown(await maya.open(f"{LIST}?{query}")) == numbers, query
    counted = await maya.open(f"{LIST}?archived=yes")
    assert "Completed 1" in counted.words
    for wrong in (
        "status=gone",
        "since=yesterday",
        "method=cash",
        "order=amount",
        "page=0",
        "page=5001",
    ):
        assert (await maya.open(f"{LIST}?{wrong}")).status == 422, wrong
    assert shown(await maya.open(f"{LIST}?order=due_first&page=500")) == []
    assert (await maya.open(f"{LIST}?order=due_first&page=501")).status == 422
    assert shown(await maya.open(f"{LIST}?order=amount_most&page=100")) == []
    assert (await maya.open(f"{LIST}?order=amount_most&page=101")).status == 422


async def test_a_list_is_sorted_by_age_by_due_date_and_by_amount(
    site: Site, firm: Firm, maya: Visitor
) -> None:
    first, second, _ = await three(site, firm)
    await put(site, first, status=Status.COMPLETED, price=Price("fiat", Decimal(70), "USD"))
    await put(site, second, price=Price("fiat", Decimal(20_000), "TWD"))
    for query, numbers in (
        ("", [3, 2, 1]),
        ("order=oldest", [1, 2, 3]),
        ("order=due_first", [3, 2, 1]),
        ("order=due_last", [1, 2, 3]),
        ("order=due_last&status=completed&status=awaiting_payment", [1, 2, 3]),
        ("order=due_first&status=awaiting_payment", [3, 2]),
        ("order=due_last&q=acme", [1, 2, 3]),
        ("order=due_last&since=2026-01-01", [1, 2, 3]),
        ("order=oldest&q=inv", [1, 2, 3]),
        ("order=amount_least", [2, 1, 3]),
        ("order=amount_most", [3, 1, 2]),
        ("order=amount_most&status=awaiting_payment", [3, 2]),
        ("order=amount_most&q=acme", [3, 1, 2]),
        ("order=amount_least&q=in", [2, 1, 3]),
        ("order=amount_least&since=2026-01-01", [2, 1, 3]),
    ):
        assert shown(await maya.open(f"{LIST}?{query}")) == numbers, query
    assert "no currency is put against another" not in (await maya.open(LIST)).words
    page = await maya.open(f"{LIST}?order=amount_least")
    assert "no currency is put against another" in page.words
    (heading,) = re.findall(r'<th [^>]*aria-sort="ascending"><a [^>]*>([^<]*)', page.text)
    assert heading.strip() == "Amount"
    turned = re.findall(r'href="([^"]*order=amount_most[^"]*)"', page.text)
    assert shown(await maya.open(turned[0].replace("&amp;", "&"))) == [3, 1, 2]
    sent = await maya.send("/studio/exports", {"query": "order=amount_most", "what": "all"})
    assert sent.status == 200


async def test_a_day_of_the_filter_is_the_organisations_day(
    site: Site, firm: Firm, maya: Visitor
) -> None:
    evening, night = (await three(site, firm))[:2]
    async with site.desk.database.transaction() as tx:
        await execute(tx, "UPDATE org SET time_zone = 'Asia/Taipei'", {})
        for bill, minute in ((evening, 59), (night, 60)):
            at = NOON.replace(hour=15, minute=0) + timedelta(minutes=minute)
            await execute(
                tx,
                "UPDATE invoice SET created_at = %(at)s WHERE invoice_id = %(id)s",
                {"at": at, "id": bill.invoice_id},
            )
    page = await maya.open(f"{LIST}?since=2026-06-23")
    assert shown(page) == [night.number]
    assert "Made from (Asia/Taipei)" in page.words
    late = await maya.open(f"{LIST}?until=2026-06-22&since=2026-06-22")
    assert evening.number in shown(late)
    assert night.number not in shown(late)
    _, (_, *rows) = await exported(maya, query="since=2026-06-23")
    assert [row[0] for row in rows] == [f"INV-2026-{night.number:06d}"]


async def test_what_is_archived_is_said_to_be_left_out_and_one_click_away(
    site: Site, firm: Firm, maya: Visitor
) -> None:
    first, *others = await three(site, firm)
    assert "archived" not in (await maya.open(LIST)).words.split("Number")[1]
    await put(site, first, status=Status.CANCELLED, archived_at=site.clock.now())
    page = await maya.open(LIST)
    assert shown(page) == [one.number for one in reversed(others)]
    assert "2 invoices · 1 archived is not shown: show them too" in page.words
    (link,) = re.findall(r'<a href="([^"]+)">show them too', page.text)
    both = await maya.open(link.replace("&amp;", "&"))
    assert len(shown(both)) == 3
    assert "show them too" not in both.words
    searched = await maya.open(f"{LIST}?q=inv&status=cancelled")
    assert shown(searched) == []
    assert "archived ones are left out: show them too" in searched.words
    (link,) = re.findall(r'<a href="([^"]+)">show them too', searched.text)
    assert shown(await maya.open(link.replace("&amp;", "&"))) == [first.number]
    assert "show them too" not in (await maya.open(f"{LIST}?status=awaiting_payment")).words


async def test_a_member_keeps_filters_and_columns_for_themselves(
    site: Site, firm: Firm, maya: Visitor
) -> None:
    await firm.shop.bill()
    query = "status=awaiting_payment&q=acme"
    named = {"name": "六月 <open>", "query": query}
    page = await maya.send("/studio/filters", named)
    assert "六月 <open>" in page.words
    assert "六月 <open>" not in page.text
    assert "status=awaiting_payment&amp;q=acme" in page.text
    await maya.send("/studio/filters", {**named, "query": "status=expired"})
    again = await maya.open(LIST)
    assert again.text.count("btn-group") == 1
    assert f"{LIST}?status=expired" in again.text
    await maya.send("/studio/columns", {"query": "", "column": ["email", "tokens"]})
    after = await maya.open(LIST)
    assert "USDT · Arbitrum One" in after.words
    assert 'aria-sort="none"' not in after.text

    colin = await site.at_the_pages("colin1@merchant.example")
    other = await colin.open(LIST)
    assert "六月" not in other.words
    assert "USDT · Arbitrum One" not in other.words
    assert (await maya.send("/studio/columns", {"query": "", "column": ["secret"]})).status == 422
    gone = await maya.send("/studio/filters/delete", {"name": "六月 <open>", "query": ""})
    assert "六月" not in gone.words
    for number in range(20):
        await maya.send("/studio/filters", {"name": f"f{number}", "query": query}, follow=False)
    full = await maya.send("/studio/filters", {"name": "one more", "query": query})
    assert full.status == 422
    assert "you keep 20 filters" in full.words


async def exported(maya: Visitor, **fields: str | list[str]) -> tuple[Page, list[list[str]]]:
    """The table that an export comes to, as a program reads it."""
    page = await maya.send("/studio/exports", {"query": "", "what": "all", **fields})
    assert page.status == 200, page.words
    path = page.address.removeprefix(maya.base_url)
    async with patiently("the table"):
        while "table.csv" not in page.text:
            await asyncio.sleep(0.02)
            page = await maya.open(path)
    table = await maya.open(f"{path}/table.csv")
    assert table.status == 200
    assert table.text.startswith("\ufeff")
    return table, list(csv.reader(io.StringIO(table.text[1:], newline="")))


async def test_no_cell_of_a_table_is_a_formula(site: Site, firm: Firm, maya: Visitor) -> None:
    for text in FORMULAS:
        bill = await firm.shop.bill()
        document = replace(
            bill.document,
            recipient_name=text,
            recipient_email=text,
            organization_name=text,
            description=text,
            group_key=text,
        )
        await put(site, bill, document=document, reviewer=text)
    chinese = await firm.shop.bill()
    named = replace(chinese.document, recipient_name='王小明, "Ltd"', description="two\nlines")
    await put(site, chinese, document=named)

    table, (header, *rows) = await exported(maya)

    assert table.headers["Content-Disposition"].startswith('attachment; filename="invoices-')
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert len(rows) == len(FORMULAS) + 1
    named_row = dict(zip(header, rows[0], strict=True))
    assert named_row["Customer"] == '王小明, "Ltd"'
    assert named_row["Description"] == "two\nlines"
    assert named_row["Status"] == "Waiting for payment"
    due = [named_row[name] for name in ("Tokens due", "Token", "Chain")]
    assert due == ["100.00", "USDT", "Arbitrum One"]
    for text, row in zip(reversed(FORMULAS), rows[1:], strict=True):
        found = dict(zip(header, row, strict=True))
        for column in (
            "Customer",
            "Customer's e-mail",
            "Customer's organisation",
            "Description",
            "Asked to approve",
            "Group",
        ):
            assert found[column] == f"'{text}", column
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


async def test_a_spreadsheet_adds_up_what_came_and_where_it_went(
    site: Site, firm: Firm, maya: Visitor, payments: Payments
) -> None:
    async with site.desk.database.transaction() as tx:
        await execute(tx, "UPDATE org SET time_zone = 'Asia/Taipei'", {})
    lines = [{"name": "Work", "quantity": 2, "unit_price": 1400, "tax": 200}]
    over, part, open_ = [
        (await firm.merchant.create(detail_items=lines, organization_name=name)).data["id"]
        for name in ("Acme GmbH", "Merchant 1", "Acme GmbH")
    ]
    for one in (over, part):
        await firm.reviewer.approve(one)
    await payments.paid(over, percent=150)
    surplus = {"refund_address": CUSTOMER_WALLET, "refund_reason": "too much"}
    files = [(await firm.signer.upload(PDF)).data["file_id"]]
    signed = await firm.signer.act("sign", over, {**surplus, "refund_attachments": files})
    assert signed.status == 200, signed.data
    await payments.swept(over, more_to_move=True)
    await payments.paid_out(over)
    await payments.arrives(part, percent=40)
    await payments.arrives(part, units=7, asset=USDC)
    await payments.arrives(part, units=1_500_000, asset=USDC)

    table, (header, *rows) = await exported(maya, query="order=oldest")

    assert len(set(header)) == len(header)
    told = dict(zip(header, rows[0], strict=True))
    expected = {
        "Issued by": "Merchant 1",
        "Customer": "Acme Buyer",
        "Customer's e-mail": "buyer@example.com",
        "Customer's organisation": "Acme GmbH",
        "Net": "2800",
        "Tax": "200",
        "Amount with tax": "3000",
        "Currency of the amount": "TWD",
        "Token": "USDT",
        "Chain": "Arbitrum One",
        "Tokens due": "92.307693",
        "Tokens received": "138.461539",
        "Tokens paid out": "92.307693",
        "Tokens sent back": "46.153846",
        "Other tokens received": "",
        "Created (Asia/Taipei)": "2026-06-22 20:00",
        "Completed (Asia/Taipei)": "2026-06-22 20:00",
        "Archived (Asia/Taipei)": "",
    }
    assert {name: told[name] for name in expected} == expected
    short, unpaid = [dict(zip(header, row, strict=True)) for row in rows[1:]]
    assert short["Customer's organisation"] == "", "they write their own name there"
    assert short["Other tokens received"] == "1.50 USDC (Arbitrum One)"
    assert unpaid["Id"] == open_
    assert [
        unpaid[name] for name in ("Tokens due", "Tokens received", "Completed (Asia/Taipei)")
    ] == [
        "92.307693",
        "0.00",
        "",
    ]
    columns = ("Net", "Tax", "Amount with tax", "Tokens received", "Tokens sent back")
    assert sums(table.text, *columns) == ["8400", "600", "9000", "175.384616", "46.153846"]


async def test_a_table_has_what_the_list_showed_or_what_was_picked(
    site: Site, firm: Firm, maya: Visitor
) -> None:
    first, second, third = await three(site, firm)
    await put(site, second, status=Status.COMPLETED)
    _, (_, *rows) = await exported(maya, query="status=completed")
    assert [row[0] for row in rows] == [f"INV-2026-{second.number:06d}"]
    _, (_, *rows) = await exported(
        maya, what="picked", invoice=[ids.public("inv", b.invoice_id) for b in (first, third)]
    )
    assert [row[0][-1] for row in rows] == ["3", "1"]
    listed = await maya.open("/studio/jobs")
    assert listed.words.count("ready") == 2

    nothing = await maya.send("/studio/exports", {"query": "status=expired", "what": "all"})
    assert nothing.status == 422
    assert "nothing to export" in nothing.words
    await site.firm(2)
    stranger = await site.at_the_pages("maya2@merchant.example")
    foreign = {"query": "", "what": "picked", "invoice": ids.public("inv", first.invoice_id)}
    assert (await stranger.send("/studio/exports", foreign)).status == 422
    job = re.search(r"/studio/jobs/job_[0-9a-f]{32}", listed.text)
    assert job is not None
    colin = await site.at_the_pages("colin1@merchant.example")
    for other in (colin, stranger):
        assert (await other.open(job[0])).status == 404
        assert (await other.open(job[0] + "/table.csv")).status == 404


async def test_too_many_for_a_table_are_refused_before_they_are_read(
    site: Site, maya: Visitor
) -> None:
    async with site.desk.database.transaction() as tx:
        await execute(
            tx,
            "INSERT INTO invoice_count (org_id, status, settlement, archived, count)"
            " VALUES (1, 'completed', 'crypto', false, 10001)",
            {},
        )
    refused = await maya.send("/studio/exports", {"query": "", "what": "all"})
    assert refused.status == 422
    assert "more than 10000 invoices match" in refused.words
