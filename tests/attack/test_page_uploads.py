"""Files sent by the forms of pages: judged by what they are, bounded, only ever saved (T11-T13)."""

import asyncio
import re
import resource
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from attack.test_files import PDF
from counterfoil.db.pool import Database
from support.contents import all_tables
from support.payments import Payments
from support.pictures import jpeg, png
from support.site import Firm, Site
from support.visitor import Page, Visitor

# What the form parser drops half-read is closed by the collector, which says so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CUSTOMER: Final = "0x" + "c0" * 20
NEW: Final = "/studio/invoices/new"
FILES: Final = "/studio/files"
SCRIPTED_PDF: Final = (
    b"%PDF-1.7\n1 0 obj\n<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>\n"
    b"endobj\nstartxref\n9\n%%EOF\n"
)

UNWANTED: Final = (
    ("x.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
    ("x.png", b"<!doctype html><script>alert(1)</script>"),
    ("x.pdf", b"<html>%PDF-1.7"),
    ("x.png", png() + b"<script>alert(1)</script>"),
    ("x.png", png(2**31 - 1, 1)),
    ("x.png", png(20_000, 20_000)),
    ("x.jpg", jpeg(65_535, 65_535)),
    ("x.pdf", PDF + b"PK\x03\x04 a zip behind it"),
    ("x.pdf", b"\n" + PDF),
    ("x.zip", b"PK\x03\x04" + bytes(30)),
)


async def send(visitor: Visitor, path: str, field: str, name: str, content: bytes) -> Page:
    """Send one file, named as if it were an image, with what else a form needs."""
    form = aiohttp.FormData({"do": "add", "reason": "Wrong order", "address": CUSTOMER})
    form.add_field(field, content, filename=name, content_type="image/png")
    token = (await visitor.open("/studio/account")).form_token
    return await visitor.send(path, form, token=token, follow=False)


async def refundable(firm: Firm, payments: Payments) -> str:
    made: str = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made)
    return made


async def test_what_no_file_may_be_is_refused_by_every_form(
    site: Site, firm: Firm, payments: Payments, database: Database
) -> None:
    made = await refundable(firm, payments)
    maya = await site.at_the_pages("maya1@merchant.example")
    sam = await site.at_the_pages("sam1@merchant.example")
    await site.person(1, "anna", "administrator")
    anna = await site.at_the_pages("anna1@merchant.example")
    await maya.open("/studio")
    before = await all_tables(database)
    for name, content in UNWANTED:
        for visitor, path, field in (
            (maya, NEW, "upload"),
            (maya, FILES, "upload"),
            (sam, f"/studio/invoices/{made}/refund", "attachments"),
            (anna, "/studio/settings/organisation/logo", "file"),
        ):
            page = await send(visitor, path, field, name, content)
            assert page.status == 422, (path, name)
            assert "<svg xmlns" not in page.text
    assert await all_tables(database) == before


async def test_a_scripted_pdf_and_odd_names_are_only_ever_saved(site: Site, firm: Firm) -> None:
    assert firm.org_id == 1
    maya = await site.at_the_pages("maya1@merchant.example")
    absurd = await send(maya, FILES, "upload", "x" * 5_000, SCRIPTED_PDF)
    assert absurd.status == 422
    assert "the form cannot be read" in absurd.words
    for name, kept in (
        ("../../etc/passwd", "passwd.pdf"),
        ("..\\..\\boot.ini", "boot.ini.pdf"),
        ("page.html", "page.html.pdf"),
        ("nul", "file nul.pdf"),
        ("x" * 2_000, "x" * 116 + ".pdf"),
        ("%2e%2e%2fup.pdf", "2fup.pdf"),
    ):
        page = await send(maya, FILES, "upload", name, SCRIPTED_PDF)
        assert page.status == 200, (name[:30], page.words)
        assert kept in page.words
        (file_id,) = set(re.findall(r"file_[0-9a-f]{32}", page.text))
        async with maya.session.get(f"{maya.base_url}/studio/files/{file_id}") as back:
            assert await back.read() == SCRIPTED_PDF
            assert back.headers["Content-Disposition"].startswith("attachment;")
            assert back.headers["X-Content-Type-Options"] == "nosniff"
            assert back.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
            assert back.headers["Content-Type"] == "application/pdf"
            assert "Set-Cookie" not in back.headers


async def test_thousands_of_small_files_are_one_refusal(
    site: Site, firm: Firm, payments: Payments, database: Database
) -> None:
    made = await refundable(firm, payments)
    sam = await site.at_the_pages("sam1@merchant.example")
    token = (await sam.open("/studio/account")).form_token
    before = await all_tables(database)
    for path, field, count in (
        (f"/studio/invoices/{made}/refund", "attachments", 11),
        (f"/studio/invoices/{made}/refund", "attachments", 10_000),
        (FILES, "upload", 2),
        (FILES, "upload", 10_000),
    ):
        form = aiohttp.FormData()
        for number in range(count):
            form.add_field(field, PDF, filename=f"{number}.pdf")
        page = await sam.send(path, form, token=token, follow=False)
        assert page.status in {413, 422}, (path, count)
    assert await all_tables(database) == before


@pytest.mark.usefixtures("firm")
async def test_huge_streams_leave_memory_flat(site: Site) -> None:
    maya = await site.at_the_pages("maya1@merchant.example")
    token = (await maya.open("/studio/account")).form_token
    head = (
        b'--b\r\nContent-Disposition: form-data; name="upload"; filename="a.pdf"\r\n\r\n%PDF-1.7\n'
    )

    async def endless() -> AsyncIterator[bytes]:
        yield head
        for _ in range(2_000):
            yield bytes(1024 * 1024)
            await asyncio.sleep(0)

    before = _resident_bytes()
    for _ in range(3):
        with suppress(aiohttp.ClientOSError):
            async with maya.session.post(
                maya.base_url + FILES,
                data=endless(),
                headers={
                    "Content-Type": "multipart/form-data; boundary=b",
                    "Origin": maya.base_url,
                    "X-Form-Token": token,
                },
            ) as answer:
                assert answer.status == 413
    grown = _resident_bytes() - before
    assert grown < 150 * 1024**2, grown


def _resident_bytes() -> int:
    """What this process, which serves and asks, has in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
