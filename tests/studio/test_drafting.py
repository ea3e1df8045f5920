"""Invoices that people write: new ones, copies, and changes until somebody approves."""

import re
from decimal import Decimal

import aiohttp
import pytest

from counterfoil.books import invoices
from counterfoil.core import ids
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import operator
from counterfoil.db.rows import one_value
from counterfoil.desk import bank_accounts, settings
from support.actors import PAYOUT_ADDRESS
from support.banks import FUBON
from support.keyboards import wide
from support.printed import printed
from support.site import Firm, Site
from support.visitor import Fields, Page, Visitor

NEW = "/studio/invoices/new"
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\nstartxref\n9\n%%EOF\n"

FORM = {
    "recipient_name": "Acme Buyer",
    "recipient_email": "buyer@example.com",
    "organization_name": "Merchant Ltd.",
    "organization_email": "finance@merchant.example",
    "origin": "https://merchant.example",
    "price_in": "TWD",
    "pay_token": "USDT",
    "chain": "arb",
    "due": "days",
    "payment_terms": "30",
    "payment_method_type": "crypto",
    "item_name": ["Consulting", "Travel", ""],
    "item_quantity": ["2", "1", "1"],
    "item_unit_price": ["1250.50", "400", ""],
    "item_tax": ["125.05", "", ""],
    "do": "save",
}
"""Two lines that come to 2 x 1250.50 + 125.05 + 400 = 3026.05, and one that nobody wrote in."""


class Writer:
    """Somebody who fills the form in."""

    def __init__(self, site: Site, visitor: Visitor) -> None:
        self.site = site
        self.visitor = visitor
        self.sent = 0

    async def send(self, path: str = NEW, *, key: str | None = None, **changes: object) -> Page:
        self.sent += 1
        fields: dict[str, object] = {**FORM, "form_key": key or f"form {self.sent}", **changes}
        return await self.visitor.send(path, as_fields(fields))

    async def made(self, **changes: object) -> Invoice:
        """The invoice that a form makes."""
        page = await self.send(**changes)  # type: ignore[arg-type]  # fields of the form
        assert page.status == 200, page.words
        assert "The invoice is created" in page.words, page.words[:2000]
        return await self.look(page.address)

    async def look(self, address: str) -> Invoice:
        found = re.search(r"inv_[0-9a-f]{32}", address)
        assert found is not None, address
        invoice_id = ids.parse("inv", found[0])
        assert invoice_id is not None
        async with self.site.desk.database.reading() as tx:
            invoice = await invoices.get(tx, 1, invoice_id)
        assert invoice is not None
        return invoice

    async def count(self) -> int:
        async with self.site.desk.database.reading() as tx:
            return await one_value(tx, int, "SELECT count(*) FROM invoice", {}) or 0


def as_fields(fields: dict[str, object]) -> Fields:
    return {n: v for n, v in fields.items() if isinstance(v, str | list)}


def address_of(invoice: Invoice) -> str:
    return f"/studio/invoices/{ids.public('inv', invoice.invoice_id)}"


@pytest.fixture
async def maya(site: Site, firm: Firm) -> Writer:
    assert firm.org_id == 1
    return Writer(site, await site.at_the_pages("maya1@merchant.example"))


async def test_maya_writes_an_invoice_and_the_server_adds_it_up(maya: Writer) -> None:
    form = await maya.visitor.open(NEW)
    assert "Issued by Merchant 1" in form.words
    made = await maya.made(
        allow_any_chain="yes",
        description="Two days\r\nin June",
        order_data='{"po": 1.10}',
        payout_address=PAYOUT_ADDRESS,
        reviewer="rita1@merchant.example",
        group_key="june",
        callback_url="https://merchant.example/callbacks",
        invoice_issue_date="2026-06-20",
    )
    assert made.status is Status.APPROVAL_PENDING
    assert (made.price.amount, made.price.currency) == (Decimal("3026.05"), "TWD")
    assert [i.name for i in made.document.items] == ["Consulting", "Travel"]
    # 3026.05 / 32.5 = 93.1092307..., rounded up to the unit.
    assert {(r.asset.chain, r.due_units) for r in made.requests} == {
        ("arb", 93_109_231),
        ("base", 93_109_231),
        ("optimism", 93_109_231),
    }
    assert made.document.description == "Two days\nin June"
    assert made.document.order_data == '{"po":1.10}'
    assert made.document.creator == "Maya"
    assert str(made.document.issued_on) == "2026-06-20"
    assert made.payout_to == {"evm": PAYOUT_ADDRESS.lower()}
    assert (made.reviewer, made.document.group_key) == ("rita1@merchant.example", "june")
    assert (made.dialect, made.callback_url) == ("kryptogo", "https://merchant.example/callbacks")
    again = await maya.visitor.open(NEW)
    assert 'value="https://merchant.example/callbacks"' in again.text
    assert "Two days" not in again.text
    assert 'value="Acme Buyer" data-email="buyer@example.com"' in again.text


async def test_lines_add_up_while_somebody_types(maya: Writer) -> None:
    lines = {n: v for n, v in FORM.items() if n.startswith("item_")}
    part = await maya.visitor.send("/studio/invoices/sums", {**lines, "price_in": "TWD"})
    assert '<output id="sum">3,026.05 TWD<br>' in part.text
    assert "of it tax: 125.05" in part.words
    assert '<output id="line-0" hx-swap-oob="true">2,626.05</output>' in part.text
    # With thousands apart, and from a Chinese keyboard.
    lines["item_unit_price"] = ["1,250.50", wide("400"), ""]
    lines["item_tax"] = [wide("125.05"), "", ""]
    part = await maya.visitor.send("/studio/invoices/sums", {**lines, "price_in": "TWD"})
    assert '<output id="sum">3,026.05 TWD<br>' in part.text
    made = await maya.made(**lines, payment_terms=wide("30"))
    assert made.price.amount == Decimal("3026.05")
    lines["item_unit_price"] = ["1e3", "400", ""]
    part = await maya.visitor.send("/studio/invoices/sums", {**lines, "price_in": "TWD"})
    assert "400 TWD 1 line cannot be read yet" in part.words


async def test_tax_is_typed_as_a_rate_too_and_rounded_once(maya: Writer) -> None:
    # Of 333.33 and twice 100.05 together, 5 % are 26.67: whole dollars in Taiwan.
    lines: dict[str, object] = {
        "item_name": ["Consulting", "Travel", "Hotel", "Stamps"],
        "item_quantity": ["1", "1", "1", "2"],
        "item_unit_price": ["333.33", "100.05", "100.05", "10"],
        "item_tax": ["5%", "5 %", "5\uff05", "0.50"],
    }
    made = await maya.made(**lines)
    assert [str(i.tax) for i in made.document.items] == ["17", "5", "5", "0.50"]
    assert made.price.amount == Decimal("580.93")
    shown = (await maya.visitor.open(address_of(made))).words
    assert "Subtotal 553.43 Tax 27.50 Total 580.93 TWD" in shown
    refused = await maya.send(key=None, **{**lines, "item_tax": ["101%", "5%%", "-5%", "five"]})  # type: ignore[arg-type]  # fields of the form
    assert refused.words.count("must be an amount such as 150, or a rate up to 100%") == 8
    assert 'value="101%"' in refused.text


async def test_a_rate_on_ether_is_that_rate_and_neither_nothing_nor_double(maya: Writer) -> None:
    for price, tax, total in (("0.09", "0.0045", "0.0945"), ("0.1", "0.005", "0.105")):
        lines: dict[str, object] = {
            "item_name": ["Consulting"],
            "item_quantity": ["1"],
            "item_unit_price": [price],
            "item_tax": ["5%"],
            "price_in": "token",
            "pay_token": "ETH",
        }
        part = await maya.visitor.send("/studio/invoices/sums", as_fields(lines))
        assert f"{total} ETH of it tax: {tax}" in part.words
        made = await maya.made(**lines)
        assert made.requests[0].due_units == int(Decimal(total) * 10**18)
        shown = (await maya.visitor.open(address_of(made))).words
        assert f"Subtotal {price} Tax {tax} Total {total} ETH" in shown


async def test_without_scripts_buttons_add_take_away_and_preview_lines(maya: Writer) -> None:
    more = await maya.send(do="add")
    assert more.text.count('name="item_name"') == 4
    assert "3,026.05 TWD" in more.words
    less = await maya.send(do="remove-0")
    assert less.text.count('name="item_name"') == 2
    assert "Consulting" not in less.text
    assert "Total 400 TWD" in less.words
    wrong = await maya.send(do="preview", item_unit_price=["1,25", "400", ""])
    assert "Unit price in line 1 : must be a number such as" in wrong.words
    seen = await maya.send(do="preview")
    assert "What your customer will see" in seen.words
    assert "93.109231 USDT" in seen.words
    assert "1 USDT = 32.5 TWD" in seen.words
    assert await maya.count() == 0


async def test_a_refused_form_comes_back_as_it_was_typed(maya: Writer) -> None:
    page = await maya.send(
        recipient_email="nobody",
        item_quantity=["two", "1", "1"],
        order_data="[1]",
        callback_url="http://127.0.0.1/x",
        recipient_name="Wang\u202e",
        description="kept as it was",
    )
    assert page.status == 422
    assert "kept as it was" in page.text
    assert 'id="problem-recipient_email"' in page.text
    assert 'id="problem-item_quantity-0"' in page.text
    assert 'id="problem-order_data"' in page.text
    assert 'id="problem-callback_url"' in page.text
    assert "U+202E" in page.words
    assert 'value="two"' in page.text
    short = await maya.send(payout_address="0x" + "0" * 40)
    assert short.status == 422
    assert "zero address" in short.words
    for changes, told in (
        ({"item_unit_price": ["0.333", "0", ""]}, "at most 2 digits"),
        (
            {"item_name": ["", "", ""], "item_unit_price": [""] * 3, "item_tax": [""] * 3},
            "at least one line",
        ),
        ({"payment_terms": "366"}, "from 0 (due on receipt) to 365"),
        ({"due": "deadline", "payment_deadline": "2026-06-21T12:00"}, "which has passed"),
        ({"price_in": "EUR"}, "TWD, USD or the token itself"),
        ({"chain": "tron"}, "must be one of arb"),
        ({"bank_account_id": "7", "payment_method_type": "fiat"}, "no bank account"),
        ({"attachment": "file_" + "0" * 32}, "names no file"),
    ):
        refused = await maya.send(**changes)
        assert refused.status == 422, changes
        assert told in refused.words, told
    assert await maya.count() == 0


async def test_fields_that_are_not_in_the_form_change_nothing(site: Site, maya: Writer) -> None:
    stranger = {
        "status": "completed",
        "org_id": "2",
        "number": "77",
        "creator": "admin",
        "created_by": "user_0",
        "dialect": "other",
        "payment_address": "0x1",
        "deposit_address": "0x1",
        "amount": "1",
        "approve_time": "2026-01-01",
        "approved_by": "rita",
        "policy": "{}",
        "auto_approve": "yes",
        "invoice_id": "inv_1",
        "kg_fee_amount": "0",
        "swap_enabled": "yes",
    }
    plain, stuffed = await maya.made(), await maya.made(**stranger)
    assert stuffed.status is Status.APPROVAL_PENDING
    assert (stuffed.org_id, stuffed.number) == (1, plain.number + 1)
    assert (stuffed.document, stuffed.price) == (plain.document, plain.price)
    assert (stuffed.policy, stuffed.dialect) == (plain.policy, plain.dialect)
    assert (stuffed.created_by, stuffed.approved_by) == (plain.created_by, None)
    assert not stuffed.swap_enabled
    page = await maya.visitor.open(f"{address_of(plain)}/edit")
    seen = re.search(r'name="seen" value="([0-9a-f]+)"', page.text)
    assert seen is not None
    path = f"{address_of(plain)}/edit"
    after = await maya.send(path, seen=seen[1], callback_url="https://evil.example/", **stranger)
    assert "The invoice is changed" in after.words
    edited = await maya.look(after.address)
    assert (edited.document, edited.price, edited.status) == (
        plain.document,
        plain.price,
        plain.status,
    )
    assert (edited.callback_url, edited.deposit_address) == (None, plain.deposit_address)
    alma = Writer(site, await site.at_the_pages("alma1@merchant.example"))
    page = await alma.visitor.open(path)
    seen = re.search(r'name="seen" value="([0-9a-f]+)"', page.text)
    assert seen is not None
    await alma.send(path, seen=seen[1], description="by Alma")
    edited = await maya.look(after.address)
    assert (edited.document.creator, edited.document.description) == ("Maya", "by Alma")


async def test_sent_twice_by_an_impatient_hand_it_is_one_invoice(maya: Writer) -> None:
    first = await maya.send(key="same")
    second = await maya.send(key="same")
    assert first.address == second.address
    assert await maya.count() == 1
    other = await maya.send(key="same", recipient_name="Somebody Else")
    assert other.status == 409
    assert "open a new form" in other.words
    assert await maya.count() == 1


async def test_an_approval_binds_to_what_the_invoice_says_after_the_change(
    site: Site, maya: Writer
) -> None:
    made = await maya.made(reviewer="rita1@merchant.example")
    rita = await site.at_the_pages("rita1@merchant.example")
    seen_by_rita = await rita.open(address_of(made))
    content_hash = seen_by_rita.text.split('name="content_hash" value="')[1].split('"')[0]

    form = await maya.visitor.open(f"{address_of(made)}/edit")
    assert 'value="Consulting"' in form.text
    seen = re.search(r'name="seen" value="([0-9a-f]+)"', form.text)
    assert seen is not None
    path = f"{address_of(made)}/edit"
    saved = await maya.send(path, seen=seen[1], item_unit_price=["9000", "400", ""])
    assert "approves what it says now" in saved.words
    assert "18,525.05 TWD" in saved.words

    stale = {"content_hash": content_hash}
    refused = await rita.send(f"{address_of(made)}/approve", stale)
    assert refused.status == 409
    assert (await maya.look(address_of(made))).status is Status.APPROVAL_PENDING
    late = await maya.send(path, seen=seen[1], item_unit_price=["1", "1", ""])
    assert late.status == 409
    assert "somebody changed this invoice after you opened it" in late.words
    assert (await maya.look(address_of(made))).price.amount == Decimal("18525.05")

    page = await rita.open(address_of(made))
    assert "changed it after it was submitted" in page.words
    assert "→ 18525.05" in page.words
    now = page.text.split('name="content_hash" value="')[1].split('"')[0]
    await rita.send(f"{address_of(made)}/approve", {"content_hash": now})
    assert (await maya.visitor.open(path)).status == 409
    assert (await maya.send(path, seen=seen[1])).status == 409


async def test_only_finance_writes_and_only_in_its_own_organisation(
    site: Site, firm: Firm, maya: Writer
) -> None:
    made = await maya.made()
    rita = await site.at_the_pages("rita1@merchant.example")
    assert (await rita.open(NEW)).status == 403
    assert (await rita.send(NEW, as_fields({**FORM}))).status == 403
    assert (await rita.open(f"{address_of(made)}/edit")).status == 403
    assert (await rita.open("/studio/recipients?recipient_name=a")).status == 403
    assert "New invoice" not in (await rita.open("/studio/invoices")).words
    await site.firm(2)
    stranger = await site.at_the_pages("maya2@merchant.example")
    assert (await stranger.open(f"{NEW}?from={address_of(made)[-36:]}")).status == 404
    assert (await stranger.open(f"{address_of(made)}/edit")).status == 404
    assert "Acme" not in (await stranger.open("/studio/recipients?recipient_name=acme")).text
    assert firm.org_id == 1


async def test_a_copy_asks_for_the_same_from_today_on(maya: Writer) -> None:
    made = await maya.made(
        order_data='{"po": 7}',
        due="deadline",
        payment_deadline="2026-07-01T18:00",
    )
    assert made.deadline_at.isoformat() == "2026-07-01T18:00:00+00:00"
    elsewhere = await maya.made(
        due="deadline", payment_deadline="2026-07-01T18:00", zone="Asia/Taipei"
    )
    assert elsewhere.deadline_at.isoformat() == "2026-07-01T10:00:00+00:00"
    form = await maya.visitor.open(f"{NEW}?from={address_of(made)[-36:]}")
    assert 'value="Consulting"' in form.text
    assert 'value="Acme Buyer"' in form.text
    assert "&#34;po&#34;" not in form.text
    assert "2026-07-01" not in form.text


async def test_a_name_that_only_looks_known_is_marked_and_asked_about(maya: Writer) -> None:
    await maya.made()
    alike = "\u0410cme Buyer"
    part = await maya.visitor.open(f"/studio/recipients?recipient_name={alike}")
    assert "only looks like Acme Buyer (buyer@example.com)" in part.words
    refused = await maya.send(recipient_name=alike)
    assert refused.status == 422
    assert "only looks like Acme Buyer" in refused.words
    made = await maya.made(recipient_name=alike, meant="yes")
    assert "letters of several scripts" in (await maya.visitor.open(address_of(made))).words
    mixed = await maya.send(recipient_name="Nov\u03b1 Ltd")
    assert mixed.status == 422
    assert "mixes letters of several scripts" in mixed.words
    assert await maya.count() == 2
    directory = await maya.visitor.open("/studio/recipients?recipient_name=acm")
    assert "Acme Buyer" in directory.text
    assert (
        "buyer@example.com"
        in (await maya.visitor.open("/studio/recipients?recipient_email=BUYER@")).text
    )


async def test_a_file_is_attached_and_comes_back_to_be_saved(maya: Writer) -> None:
    dropped = aiohttp.FormData()
    dropped.add_field("upload", PDF, filename="offer.pdf", content_type="application/pdf")
    part = await maya.visitor.send("/studio/files", dropped)
    assert part.status == 200
    found = re.search(r'name="attachment" value="(file_[0-9a-f]{32})"', part.text)
    assert found is not None
    assert "offer.pdf" in part.words
    made = await maya.made(attachment=found[1])
    assert ids.public("file", made.document.attachment_file_id or made.invoice_id) == found[1]
    back = await maya.visitor.open(f"/studio/files/{found[1]}")
    assert back.headers["Content-Disposition"].startswith('attachment; filename="offer.pdf"')
    assert "sandbox" in back.headers["Content-Security-Policy"]
    for content in (b"<svg onload='alert(1)'/>", b"<script>alert(1)</script>", b""):
        bad = aiohttp.FormData()
        bad.add_field("upload", content, filename="a.pdf", content_type="application/pdf")
        refused = await maya.visitor.send("/studio/files", bad)
        assert refused.status == 422, content
    whole = aiohttp.FormData()
    for name, value in FORM.items():
        for one in [value] if isinstance(value, str) else value:
            whole.add_field(name, one)
    whole.add_field("upload", PDF, filename="with the form.pdf", content_type="application/pdf")
    saved = await maya.visitor.send(NEW, whole)
    attached = (await maya.look(saved.address)).document.attachment_file_id
    assert attached is not None
    assert attached != made.document.attachment_file_id


async def test_an_invoice_in_tokens_is_due_to_the_unit(maya: Writer) -> None:
    made = await maya.made(
        price_in="token",
        pay_token="USDC",
        chain="base",
        due="receipt",
        item_unit_price=["0.000001", "400", ""],
        item_tax=["", "", ""],
    )
    assert made.price.mode == "crypto"
    assert [(r.asset.symbol, r.asset.chain, r.due_units) for r in made.requests] == [
        ("USDC", "base", 400_000_002)
    ]
    assert made.deadline_follows_approval


async def test_a_bank_account_takes_its_own_currency_and_no_tokens(
    site: Site, maya: Writer
) -> None:
    await bank_accounts.set_up(site.desk, 7, FUBON, label="Main", currency="TWD", by=operator(1))
    assert f"Main (TWD) •••• {FUBON.account_number[-4:]}" in (await maya.visitor.open(NEW)).words
    assert FUBON.account_number not in (await maya.visitor.open(NEW)).text
    by_bank = {"payment_method_type": "fiat", "bank_account_id": "7"}
    for price_in, sentence in (
        ("USD", "names an account in TWD; this invoice asks for USD"),
        ("token", "nobody can pay them through a bank"),
    ):
        refused = await maya.send(**by_bank, price_in=price_in)
        assert refused.status == 422
        assert sentence in refused.words
    assert await maya.count() == 0
    made = await maya.made(**by_bank)
    assert (made.settlement, made.bank_account_id, made.price.currency) == ("fiat", 7, "TWD")


async def test_a_preview_of_a_change_is_priced_as_the_change_will_be(
    site: Site, maya: Writer
) -> None:
    fixed = await maya.made(price_in="USD", use_fixed_stablecoin_rate="on")
    spread = {"rate_spread_bps": "500"}
    await settings.change_policy(site.desk, 1, spread)
    path = f"{address_of(fixed)}/edit"
    form = await maya.visitor.open(path)
    seen = re.search(r'name="seen" value="([0-9a-f]+)"', form.text)
    assert seen is not None
    seen_then = seen[1]

    async def change(do: str) -> Page:
        prices = ["1300", "400", ""]
        return await maya.send(path, price_in="USD", seen=seen_then, item_unit_price=prices, do=do)

    shown, saved = await change("preview"), await change("save")
    due = (await maya.look(saved.address)).requests[0].due_units
    assert due == 3_125_050_000
    assert "3,125.05 USDT" in shown.words
    await maya.visitor.open(path)
    late = await change("preview")
    assert late.status == 409
    assert "somebody changed this invoice after you opened it" in late.words


async def test_the_recipients_organisation_is_shown_with_them_where_it_is_another_name(
    maya: Writer,
) -> None:
    plain = await maya.made(organization_name="", organization_email="")
    assert plain.document.organization_name == "Acme Buyer"
    assert plain.document.organization_email == "buyer@example.com"
    theirs = await maya.made(organization_name="Acme GmbH", organization_email="ap@acme.example")
    for invoice, is_shown in ((plain, False), (theirs, True)):
        address = address_of(invoice)
        assert ("Acme GmbH" in (await maya.visitor.open(address)).words) is is_shown
        sheet = await printed(maya.visitor, f"{address}/pdf")
        assert (
            "Billed to Acme Buyer buyer@example.com Acme GmbH ap@acme.example" in sheet.words
        ) is is_shown
        assert "Acme" not in sheet.words.partition("Issued by")[2].partition(" Billed to ")[0]
