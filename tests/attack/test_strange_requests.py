"""Requests that no browser sends: answered in words, with a number, and never by a failure."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import aiohttp
import pytest

from counterfoil.db.pool import Database
from support.contents import all_tables
from support.payer import invited
from support.site import Firm, Site
from support.visitor import Page, Visitor

pytestmark = pytest.mark.usefixtures("firm")

MAYA: Final = "maya1@merchant.example"

RAW_REQUESTS: Final = (
    b"GET /studio/sign-in HTTP/1.1\r\nHost: x:y",
    b"GET /studio/sign-in HTTP/1.1\r\nHost: [",
    b"GET /studio/sign-in HTTP/1.1\r\nHost: x\r\nHost: y",
    b"GET /studio/sign-in HTTP/1.1\r\nHost: x:99999999",
    b"GET /studio/sign-in HTTP/1.1\r\nHost:",
    b"GET /studio/invoices HTTP/1.1\r\nHost: a b/c?d#e:f",
    b"GET /studio/sign-in?next=\xff\xfe HTTP/1.1\r\nHost: x",
    b"GET /studio/sign-in?%ff=%fe&next=%ed%a0%80 HTTP/1.1\r\nHost: x",
    b"GET /studio/invoices?\xff HTTP/1.1\r\nHost: x",
    b"GET /studio/sign-in?done=%00 HTTP/1.1\r\nHost: x",
    b"GET /studio/%ff%00 HTTP/1.1\r\nHost: x",
    b"GET /studio/invoices/%2e%2e%2fsign-in HTTP/1.1\r\nHost: x",
    b"GET /studio/sign-in HTTP/1.1\r\nHost: x\r\nCookie: counterfoil=\xff\xfe; =;;; counterfoil",
    b"GET /studio/sign-in HTTP/1.1\r\nHost: x\r\nAccept-Language: \xff;q=nan,zh;q=-1e999,;q=;",
    b"POST /studio/sign-in HTTP/1.1\r\nHost: x\r\nOrigin: http://[\r\nContent-Length: 0",
    b"POST /studio/sign-in HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nX-Form-Token: \xff",
    (
        b"POST /studio/sign-in HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nContent-Length: 6"
        b"\r\nContent-Type: multipart/form-data\r\n\r\nabcdef"
    ),
    b"PUT /studio/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 0",
    b"TRACE /studio/sign-in HTTP/1.1\r\nHost: x",
)


async def raw(site: Site, head: bytes) -> bytes:
    """What the server answers to these bytes, until it hangs up."""
    port = int(site.address.rstrip("/").rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    first, gap, body = head.partition(b"\r\n\r\n")
    writer.write(first + b"\r\nConnection: close\r\n\r\n" + (body if gap else b""))
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


async def test_bytes_that_no_browser_sends_are_no_failure(site: Site) -> None:
    wrong: list[tuple[bytes, bytes]] = []
    for head in RAW_REQUESTS:
        answer = await raw(site, head)
        if int(answer.split(b" ", 2)[1]) not in {200, 303, 400, 403, 404, 405, 421, 422}:
            wrong.append((head, answer[:100]))
    assert wrong == []


async def test_what_a_path_takes_is_told_to_anybody_and_nothing_else_is(
    site: Site, firm: Firm, database: Database
) -> None:
    made = (await firm.merchant.create()).data["id"]
    before = await all_tables(database)
    paths = ("/invoice/intents", f"/invoice/intent/{made}", f"/invoice/intent/{made}/reports")
    for path in paths:
        async with site.session.options("/v1/studio/api" + path) as answer:
            assert (answer.status, await answer.read()) == (204, b"")
            assert "OPTIONS" in answer.headers["Allow"]
    assert await all_tables(database) == before


LONG: Final = "9" * 5_000

STRANGE_PATHS: Final = (
    ("/studio/invoices?page=1000000000", 422),
    (f"/studio/invoices?page=000000001{LONG}", 422),
    ("/studio/invoices?page=0", 422),
    ("/studio/invoices?page=%D9%A3", 422),
    ("/studio/invoices?q=" + "x" * 20_000, 422),
    ("/studio/invoices?q=%00", 422),
    ("/studio/invoices?q=%ED%A0%80", 422),
    ("/studio/invoices?q=%25_%5C", 200),
    ("/studio/invoices?status=nothing", 422),
    ("/studio/invoices?" + "status=completed&" * 100, 422),
    ("/studio/queue/" + "x" * 5_000, 404),
    ("/studio/queue/%00", 404),
    ("/studio/invoices/inv_" + "0" * 32 + f"/live?since={LONG}", 404),
    ("/studio/files/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
    ("/studio/files/file_" + "0" * 32, 404),
    ("/studio/sign-in?next=//[", 200),
    ("/studio/nothing/here", 404),
    ("/studio?done=%3Cscript%3E", 200),
    ("/studio?done=" + "__class__", 200),
)


async def test_strange_addresses_are_answered_in_words(site: Site) -> None:
    maya = await site.at_the_pages(MAYA)
    wrong: list[tuple[str, int]] = []
    for path, status in STRANGE_PATHS:
        page = await maya.open(path)
        if page.status != status or not in_words(page):
            wrong.append((path[:80], page.status))
    assert wrong == []


def in_words(page: Page) -> bool:
    """Whether this is a page of ours, with the number that finds it in the log."""
    return (
        page.headers["Content-Type"].startswith("text/html")
        and page.headers["X-Request-ID"].startswith("req_")
        and "Internal Server Error" not in page.text
        and "Traceback" not in page.text
    )


STRANGE_TEXTS: Final = ("", "\x00", "a\x00b@c.example", "x" * 100_000, "\ud800", "\u202e", "[", "K")


async def test_strange_texts_in_every_open_form(site: Site, database: Database) -> None:
    maya = await site.at_the_pages(MAYA)
    stranger = await site.at_the_pages()
    forms: tuple[tuple[Visitor, str, tuple[str, ...]], ...] = (
        (stranger, "/studio/sign-in", ("email", "password", "next")),
        (maya, "/studio/account/look", ("language", "theme")),
        (maya, "/studio/account/password", ("old", "password", "again")),
        (maya, "/studio/account/second-factor", ("secret", "code", "proof")),
        (maya, "/studio/organisation", ("org_id", "next")),
        (stranger, "/studio/sign-in/passkey", ("passkey", "next")),
        (maya, "/studio/approvals", ("invoice", "decision", "reason")),
    )
    await maya.open("/studio")
    before = await all_tables(database)
    wrong: list[tuple[str, str, int]] = []
    for visitor, path, names in forms:
        token = (await visitor.open("/studio")).form_token
        for name in names:
            for text in STRANGE_TEXTS:
                fields = {
                    **dict.fromkeys(names, "x"),
                    **({"email": MAYA, "password": "wrong"} if visitor is stranger else {}),
                    name: text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
                }
                page = await visitor.send(path, fields, token=token, follow=False)
                if page.status not in {403, 409, 422, 429} or not in_words(page):
                    wrong.append((f"{path} {name}", ascii(text[:20]), page.status))
    assert wrong == []
    after = await all_tables(database)
    assert {**after, "failed_attempt": []} == {**before, "failed_attempt": []}


async def test_strange_texts_in_a_report_are_refused_where_they_stand(
    site: Site, firm: Firm, database: Database
) -> None:
    """What nobody can keep, and what would hide in a list that only officers read."""
    made = (await firm.merchant.create()).data["id"]
    otto = await site.at_the_pages("otto1@merchant.example")
    token = (await otto.open("/studio")).form_token
    before = await all_tables(database)
    for name in ("reference", "reported_on"):
        for text in ("", "\x00", "MJIB\x007", "MJIB \u202e7", "x" * 100_000, "2026-06-22\x00"):
            fields = {"reference": "MJIB 7", "reported_on": "2026-06-22", name: text}
            page = await otto.send(f"/studio/invoices/{made}/report", fields, token=token)
            assert page.status == 422, (name, text[:20])
            assert f'id="problem-{name}"' in page.text
    assert await all_tables(database) == before


async def test_without_its_database_every_page_says_so_in_words(site: Site, firm: Firm) -> None:
    maya = await site.at_the_pages(MAYA)
    _, payer = await invited(site, firm)
    token = (await maya.open("/studio")).form_token
    await site.desk.database.close()

    for page in (
        await maya.open("/studio"),
        await maya.open("/studio/invoices", HX_Request="true"),
        await maya.send("/studio/sign-out", token=token),
        await payer.look(),
    ):
        assert (page.status, page.headers["Retry-After"]) == (503, "5"), page.address
        assert in_words(page), page.text
        assert "nothing was changed" in page.words.lower()
    program = await firm.merchant.list()
    assert program.refusal == (503, 5030)


async def test_a_hundred_slow_visitors_keep_nobody_waiting(site: Site) -> None:
    port = int(site.address.rstrip("/").rsplit(":", 1)[1])
    slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
    for number, (_, writer) in enumerate(slow):
        head = b"POST /studio/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n"
        writer.write(head if number % 2 else head + b"\r\nemail=")
        await writer.drain()

    maya = await site.at_the_pages(MAYA)
    page = await maya.open("/studio")

    assert page.status == 200
    for _, writer in slow:
        writer.close()


async def test_ten_thousand_fields_are_one_refusal(site: Site, database: Database) -> None:
    rita = await site.at_the_pages("rita1@merchant.example")
    token = (await rita.open("/studio")).form_token
    before = await all_tables(database)
    many: dict[str, list[str]] = {"invoice": ["1:x:y"] * 10_000, "decision": ["approve"]}
    parts = aiohttp.FormData()
    for number in range(2_000):
        parts.add_field(f"f{number}", "x", content_type="text/plain")
    for page in (
        await rita.send("/studio/approvals", many, token=token),
        await rita.send("/studio/approvals", parts, token=token),
        await rita.send("/studio/account/look", {"theme": "x" * 300_000}, token=token),
    ):
        assert page.status in {413, 422}, page.status
        assert in_words(page)
    assert await all_tables(database) == before


async def test_nobody_unknown_has_a_file_read(site: Site) -> None:
    stranger = await site.at_the_pages()
    await stranger.open("/studio/sign-in")
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 90:
            sent += 1
            yield bytes(1024 * 1024)

    for path in ("/studio/files", "/studio/invoices/inv_" + "0" * 32 + "/refund"):
        sent = 0
        with suppress(aiohttp.ClientOSError):
            async with stranger.session.post(
                stranger.base_url + path,
                data=endless(),
                allow_redirects=False,
                headers={"Origin": stranger.base_url, "Sec-Fetch-Site": "same-origin"},
            ) as response:
                assert response.status in {303, 413}
        assert sent < 30
