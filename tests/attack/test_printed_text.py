"""Markup of the typesetter in every field of a document prints as the text it is."""

import json
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path

import pytest

from counterfoil.books.profiles import Profile
from counterfoil.core.invoice import Document, LineItem, Status
from counterfoil.pages import press
from counterfoil.pages.bank import Lines
from counterfoil.pages.paper import Letterhead, Sheet, letterhead_of, paper
from counterfoil.pages.press import typeset
from support.invoices import NOON, invoice, paid
from support.printed import pages_of

HOSTILE = (
    '#eval("40+2")',
    '#read("/etc/passwd")',
    '#read("invoice.typ")',
    '#image("/etc/passwd")',
    '#import "@preview/cetz:0.3.0"',
    '"); #panic("out")',
    "$x^2$ *bold* _soft_ `raw` <label> @ref",
    "= Heading // note /* note */",
    "#set page(fill: red)",
    "#{let x = 1; while true { x += 1 }}",
    "\\u{41} \\#hash ~ -- --- ...",
    "{page} {pages} %(name)s {{ 7*7 }}",
)
TEXTS = ("recipient_name", "recipient_email", "organization_name", "organization_email")
PICTURE = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU"
    b"\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82"
)


SELLER = Profile("Merchant Ltd.", "", "", "", None)


def words_of(
    document: Document, *, language: str = "en", bank: Lines = (), seller: Profile = SELLER
) -> str:
    settlement = "fiat" if bank else "crypto"
    bill = invoice(Status.AWAITING_PAYMENT, document=document, settlement=settlement)
    sheet = Sheet(bill, (), letterhead_of(bill, seller), bank)
    return " ".join(pages_of(typeset(data_of(sheet, language))))


def data_of(sheet: Sheet, language: str = "en") -> str:
    return json.dumps(paper(sheet, language, NOON))


def written(text: str, items: tuple[LineItem, ...]) -> Document:
    """A document that says the same everywhere."""
    return replace(
        invoice().document,
        items=items,
        description=text,
        recipient_name=text,
        recipient_email=text,
        organization_name=f"{text} 2",
        organization_email=text,
    )


def bare(text: str) -> str:
    return "".join(text.split())


def test_text_stays_text_in_every_field() -> None:
    together = " ".join(HOSTILE)
    items = tuple(LineItem(text, Decimal(1), Decimal(100), Decimal(0)) for text in HOSTILE)
    seller = Profile(f"{together} 3", "", together, "", None)
    words = bare(words_of(written(together, items), seller=seller))
    # The description, and the seller's address and name, which stands at the head as well.
    assert words.count(bare(together)) == len(TEXTS) + 4
    for text in HOSTILE:
        assert words.count(bare(text)) == len(TEXTS) + 5
    assert "root:" not in words
    assert bare(together) in bare(words_of(invoice().document, bank=(("Bank", together),)))


def test_every_text_of_a_document_is_known_here() -> None:
    printed_otherwise = {"items", "description", "issued_on", "terms_days"}
    unprinted = {"creator", "origin", "attachment_file_id", "order_data", "group_key"}
    assert {f.name for f in fields(Document)} == {*TEXTS, *printed_otherwise, *unprinted}


def test_a_word_without_an_end_is_broken_within_its_column() -> None:
    word = "Z" * 200
    item = LineItem(word, Decimal(1), Decimal(100), Decimal(0))
    words = words_of(replace(invoice().document, items=(item,), description=word))
    assert words.count("Z") == 2 * len(word)
    assert max(map(len, words.split())) < 120


@pytest.mark.parametrize(
    "text",
    ["永" * 200, "שלום " * 30, "\u202eevil\u200b", "😀👩\u200d👧" * 20, "a\u0301" * 50, "\n" * 20],
)
def test_any_text_can_be_set(text: str) -> None:
    item = LineItem(
        text, Decimal("1.123456789012345678"), Decimal("123456789012.123456"), Decimal(1)
    )
    document = written(text, (item,) * 3)
    assert typeset(data_of(Sheet(invoice(document=document), (), Letterhead(text, (text,)))))


def test_a_template_sees_only_its_own_folder_and_fetches_no_package() -> None:
    sheets = Path(press.__file__).parent / "sheets"
    assert sorted(path.name for path in sheets.iterdir()) == ["invoice.typ", "picture.typ"]
    for sheet in sheets.iterdir():
        text = sheet.read_text("utf-8")
        for risky in ("eval(", "read(", "#import", "#include", "plugin(", "@preview"):
            assert risky not in text


def test_a_logo_stands_in_place_of_the_name_at_the_head() -> None:
    bill = invoice(Status.COMPLETED, tally=paid())
    head = Letterhead("Orchid", ("蘭花街 1 號",), PICTURE, "12345678")
    (words,) = pages_of(typeset(data_of(Sheet(bill, (), head))))
    assert words.startswith("Invoice INV-2026-000042")
    assert "Issued by Orchid 蘭花街 1 號 Tax number 12345678" in words


def test_the_same_data_makes_the_same_bytes() -> None:
    data = data_of(Sheet(invoice(), (), letterhead_of(invoice(), SELLER)))
    assert typeset(data) == typeset(data)
