"""Behind proxies, under other names: nobody chooses their address or where links lead (T25)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import pytest

from counterfoil.app import WebSettings
from counterfoil.db.pool import Database
from counterfoil.desk import tries
from support.payer import invited
from support.site import PASSWORD, Firm, Site, open_site
from support.visitor import Page, Visitor

MAYA: Final = "maya1@merchant.example"
PUBLIC: Final = "https://pay.merchant.example"
SIGN_IN: Final = "/studio/sign-in"
THIEF: Final = "203.0.113.66"


@asynccontextmanager
async def behind(database: Database, proxies: int, *, pace: int = 50) -> AsyncIterator[Site]:
    settings = WebSettings(
        public_url=PUBLIC,
        trusted_proxies=proxies,
        allowed_hosts=("counterfoil.internal",),
        payers_per_second=pace,
    )
    async with open_site(database, settings) as site:
        yield site


async def guess(visitor: Visitor, token: str, email: str, came_from: str) -> Page:
    fields = {"email": email, "password": "wrong"}
    headers = {"X-Forwarded-For": came_from}
    return await visitor.send(SIGN_IN, fields, token=token, follow=False, headers=headers)


async def test_a_thief_behind_our_proxy_locks_nobody_else_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A hundred tries would tell the same, later.
    monkeypatch.setattr(tries, "TRIES_FROM_ONE_PLACE", 4)
    async with behind(database, 1) as site:
        await site.firm()
        passwords = site.app.state.studio.signing_in.passwords
        passwords.fit = never
        visitor = await site.at_the_pages()
        token = (await visitor.open(SIGN_IN)).form_token
        answers = [
            # What a sender claims stands to the left of what the proxy saw.
            await guess(visitor, token, f"person{n}@x.example", f"198.51.100.{n}, {THIEF}:{n + 1}")
            for n in range(6)
        ]
        assert [page.status for page in answers] == [403] * 4 + [429] * 2
        assert (await guess(visitor, token, "a@x.example", THIEF)).status == 429
        assert (await guess(visitor, token, "a@x.example", "192.0.2.1")).status == 403
        assert (await guess(visitor, token, "a@x.example", f"{THIEF}, 192.0.2.1")).status == 403


async def never(_stored: str | None, _password: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("proxies", "header", "shown"),
    [
        (0, "203.0.113.7", "127.0.0.1"),
        (1, "203.0.113.7", "203.0.113.7"),
        (1, "6.6.6.6, [2001:db8::7]:4711", "2001:db8::7"),
        (1, "6.6.6.6, <b>bold</b>", "127.0.0.1"),
        (2, "6.6.6.6, 203.0.113.7, 10.0.0.1", "203.0.113.7"),
    ],
)
async def test_a_session_shows_the_address_that_our_proxy_saw(
    database: Database, proxies: int, header: str, shown: str
) -> None:
    async with behind(database, proxies) as site:
        await site.firm()
        maya = await site.at_the_pages()
        token = (await maya.open(SIGN_IN)).form_token
        headers = {"X-Forwarded-For": header, "X-Real-IP": "6.6.6.6", "Forwarded": "for=6.6.6.6"}
        await maya.send(
            SIGN_IN, {"email": MAYA, "password": PASSWORD}, token=token, headers=headers
        )
        words = (await maya.open("/studio/account")).words
        assert f" {shown}, since" in words
        assert "6.6.6.6" not in words


async def test_payers_behind_our_proxy_have_a_pace_each(database: Database) -> None:
    async with behind(database, 1, pace=1) as site:
        _, payer = await invited(site, await site.firm())

        async def look(came_from: str) -> int:
            return (await payer.look(X_Forwarded_For=came_from)).status

        one = [await look(f"198.51.100.{n}, {THIEF}") for n in range(3)]
        assert one == [200, 200, 429]
        assert await look(f"{THIEF}, 192.0.2.1") == 200
        # One household of IPv6 is one payer, however many addresses it has.
        home = [await look(f"[2001:db8:1:2::{n:x}]:443") for n in range(1, 4)]
        assert home == [200, 200, 429]
        assert await look("2001:db8:1:3::1") == 200


async def test_by_plain_http_a_page_is_none_of_ours_where_the_proxy_speaks_https(
    database: Database,
) -> None:
    async with behind(database, 1) as site:
        visitor = await site.at_the_pages()
        token = (await visitor.open(SIGN_IN)).form_token

        async def send(origin: str, scheme: str) -> int:
            headers = {"Host": "pay.merchant.example", "Origin": origin}
            headers |= {"X-Forwarded-Proto": scheme}
            fields = {"email": MAYA, "password": "wrong"}
            page = await visitor.send(SIGN_IN, fields, token=token, headers=headers)
            return 0 if "came from another site" in page.words else page.status

        assert await send(PUBLIC, "https") == 403
        assert await send("http://pay.merchant.example", "https") == 0
        assert await send("http://pay.merchant.example", "https, http") == 403
        for scheme in ("ftp://", "ws://", "//", ""):
            assert await send(f"{scheme}pay.merchant.example", "http") == 0


async def ask(site: Site, path: str, *hosts: str) -> tuple[int, str]:
    """The first line of the answer, and all of it, to a request with these hosts."""
    url = urlsplit(site.address)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    lines = [f"GET {path} HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close"]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    text = (await reader.read()).decode("utf-8", "replace")
    writer.close()
    return int(text.split(" ", 2)[1]), text


async def test_only_our_names_are_answered(database: Database) -> None:
    async with behind(database, 0) as site:
        for ours in ("pay.merchant.example", "PAY.merchant.example:443", "counterfoil.internal"):
            assert (await ask(site, SIGN_IN, ours))[0] == 200, ours
        for path in (SIGN_IN, "/studio/nowhere", "/pay/x", "/v1/studio/api/invoice/intents", "/"):
            for strange in (
                ["evil.example"],
                ["pay.merchant.example.evil.example"],
                ["pay.merchant.example@evil.example"],
                ["pay.merchant.example:x"],
                ["xpay.merchant.example"],
                [""],
                ["pay.merchant.example", "evil.example"],
                [],
            ):
                status, text = await ask(site, path, *strange)
                assert status in {400, 421}, (path, strange)
                assert "evil" not in text
                assert "nosniff" in text or status == 400
        assert (await ask(site, "/healthz", "10.1.2.3:8080"))[0] == 200


async def test_links_begin_with_the_public_address_whatever_was_asked_for(
    database: Database,
) -> None:
    async with behind(database, 1) as site:
        firm: Firm = await site.firm()
        await site.person(1, "adam", "administrator")
        adam = await site.at_the_pages("adam1@merchant.example")
        elsewhere = {"X-Forwarded-Host": "evil.example", "Host": "counterfoil.internal"}
        elsewhere |= {"Origin": "http://counterfoil.internal"}
        fields = {"email": "new@merchant.example", "name": "New", "role": "finance"}
        page = await adam.send("/studio/settings/members/add", fields, headers=elsewhere)
        assert f"{PUBLIC}/studio/invitation/" in page.text
        away = {"Host": "counterfoil.internal"}
        maya = await site.at_the_pages(MAYA)
        new = f"{maya.base_url}/studio/invoices/new"
        async with maya.session.get(new, headers=away) as answer:
            draft = await answer.text()
        assert f'value="{PUBLIC}"' in draft
        _, payer = await invited(site, firm)
        bill = (await firm.merchant.create()).data["id"]
        path = f"/v1/studio/api/invoice/intent/{bill}"
        sent = {**elsewhere, "X-STUDIO-API-KEY": firm.merchant.key or "", "X-Client-ID": "client_1"}
        async with site.session.get(path, headers=sent) as answer:
            text = await answer.text()
        assert f'"{PUBLIC}/pay/' in text
        shown = await payer.look(Host="counterfoil.internal", X_Forwarded_Host="evil.example")
        for told in (page.text, draft, text, shown.text):
            assert "evil.example" not in told
            assert "counterfoil.internal" not in told
