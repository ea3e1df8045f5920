"""Signing in and staying signed in, attacked: guesses, stolen and stale sessions (T7, T8, T18)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import aiohttp
import pyotp
import pytest

from counterfoil.app import WebSettings
from counterfoil.db.pool import Database
from counterfoil.db.rows import execute
from counterfoil.desk import passwords
from support.contents import all_tables
from support.site import PASSWORD, Firm, Site, open_site
from support.visitor import Visitor

MAYA: Final = "maya1@merchant.example"
SAM: Final = "sam1@merchant.example"
RITA: Final = "rita1@merchant.example"
FACTOR: Final = "/studio/second-factor"
DROP: Final = "/studio/account/second-factor/drop"
NEW: Final = "a much longer password than before"


async def with_factor(site: Site, email: str) -> pyotp.TOTP:
    """Give somebody a second factor; time moves on, so that its first code is not the present."""
    visitor = await site.at_the_pages(email)
    parts = site.app.state.studio
    who = await parts.signing_in.who(visitor.cookie, "req_x")
    totp = pyotp.TOTP(parts.factors.new_secret())
    code = totp.at(site.clock.now())
    await parts.signing_in.enrol_factor(who, totp.secret, code)
    site.clock.advance(timedelta(minutes=2))
    return totp


def wrong_codes(totp: pyotp.TOTP, site: Site, count: int) -> list[str]:
    step = int(site.clock.now().timestamp()) // 30
    right = {totp.generate_otp(step + near) for near in (-1, 0, 1)}
    return [c for c in (f"{n:06}" for n in range(count + 3)) if c not in right][:count]


@pytest.mark.usefixtures("firm")
async def test_hundreds_of_codes_at_once_are_no_more_than_ten(site: Site) -> None:
    totp = await with_factor(site, SAM)
    thieves = [await site.at_the_pages(SAM) for _ in range(5)]
    tokens = [(await thief.open(FACTOR)).form_token for thief in thieves]
    looked_at = 0
    real = site.app.state.studio.factors.use

    async def counted(*given: Any) -> bool:  # noqa: ANN401 - passed on
        nonlocal looked_at
        looked_at += 1
        return bool(await real(*given))

    site.app.state.studio.factors.use = counted

    async def guess(number: int, code: str) -> int:
        thief = number % len(thieves)
        sent = await thieves[thief].send(FACTOR, {"code": code}, token=tokens[thief], follow=False)
        return sent.status

    codes = list(enumerate(wrong_codes(totp, site, 300)))
    statuses = [await guess(*one) for one in codes[:5]]
    statuses += await asyncio.gather(*(guess(*one) for one in codes[5:40]))
    statuses += [await guess(*one) for one in codes[40:50]]
    statuses += await asyncio.gather(*(guess(*one) for one in codes[50:]))

    assert set(statuses) == {403, 429}
    assert looked_at == statuses.count(403) == 10
    right = await thieves[0].send(FACTOR, {"code": totp.at(site.clock.now())}, token=tokens[0])
    assert right.status == 429
    site.clock.advance(timedelta(minutes=16))
    code = totp.at(site.clock.now())
    assert (await thieves[0].send(FACTOR, {"code": code}, token=tokens[0])).status == 200


@pytest.mark.usefixtures("firm")
async def test_passwords_are_guessed_no_faster_from_many_places_or_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = 0
    real = passwords._fits  # noqa: SLF001 - counts how often work is done, instead of timing it

    def counted(stored: str, password: str) -> bool:
        nonlocal looked_at
        looked_at += 1
        return real(stored, password)

    monkeypatch.setattr(passwords, "_fits", counted)
    visitor = await site.at_the_pages()
    token = (await visitor.open("/studio/sign-in")).form_token

    async def guess(number: int) -> int:
        name = MAYA.upper() if number % 2 else f"  {MAYA} "
        sent = {"email": name, "password": f"wrong {number}"}
        spoofed = {"X-Forwarded-For": f"10.0.0.{number}", "Forwarded": f"for=10.1.1.{number}"}
        page = await visitor.send("/studio/sign-in", sent, token=token, headers=spoofed)
        return page.status

    statuses = await asyncio.gather(*(guess(number) for number in range(40)))
    statuses += [await guess(number) for number in range(40, 52)]

    assert set(statuses) == {403, 429}
    assert looked_at == statuses.count(403) == 10


@pytest.mark.usefixtures("firm")
async def test_an_unknown_name_costs_as_much_work_as_a_known_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: list[str] = []
    real = passwords._fits  # noqa: SLF001 - as above

    def counted(stored: str, password: str) -> bool:
        work.append(stored.split("$")[1])
        return real(stored, password)

    monkeypatch.setattr(passwords, "_fits", counted)
    await _disable(site, RITA)
    stranger = await site.at_the_pages()
    for email, password in (
        (MAYA, "wrong"),
        ("nobody@merchant.example", "wrong"),
        (RITA, "wrong"),
        ("not an e-mail\x00", "wrong"),
        ("é@merchant.example", "wrong"),
    ):
        work.clear()
        assert (await stranger.sign_in(email, password)).status == 403
        assert work == ["argon2id"], email
    for email in (MAYA, "nobody@merchant.example"):
        work.clear()
        assert (await stranger.sign_in(email, "x" * 1_000)).status == 403
        assert work == []
    right = await stranger.sign_in(RITA, PASSWORD)
    unknown = await stranger.sign_in("nobody@merchant.example", PASSWORD)
    assert right.status == unknown.status == 403
    assert right.words.replace(RITA, "") == unknown.words.replace("nobody@merchant.example", "")


async def _disable(site: Site, email: str) -> None:
    async with site.desk.database.transaction() as tx:
        await execute(
            tx,
            "UPDATE member SET disabled_at = %(at)s WHERE person_id ="
            " (SELECT person_id FROM person WHERE email = %(email)s)",
            {"at": site.clock.now(), "email": email},
        )


async def _roles(site: Site, email: str, *roles: str) -> None:
    async with site.desk.database.transaction() as tx:
        await execute(
            tx,
            "UPDATE member SET roles = %(roles)s WHERE person_id ="
            " (SELECT person_id FROM person WHERE email = %(email)s)",
            {"roles": list(roles), "email": email},
        )


async def test_a_form_that_was_open_when_the_role_was_lost_does_nothing(
    site: Site, firm: Firm, database: Database
) -> None:
    made = (await firm.merchant.create()).data
    rita = await site.at_the_pages(RITA)
    page = await rita.open(f"/studio/invoices/{made['id']}")
    fields = {"content_hash": made["content_hash"]}
    await _roles(site, RITA, "auditor")
    before = await all_tables(database)
    for headers in ({}, {"HX-Request": "true"}):
        refused = await rita.send(
            f"/studio/invoices/{made['id']}/approve",
            fields,
            token=page.form_token,
            headers=headers,
        )
        assert refused.status == 403
        assert "transfer:approve" in refused.words
    assert await all_tables(database) == before


async def test_what_was_stolen_ends_with_the_password_the_sign_out_and_the_membership(
    site: Site, firm: Firm, database: Database
) -> None:
    made = (await firm.merchant.create()).data["id"]

    async def stolen_from(owner: Visitor) -> Visitor:
        thief = await site.at_the_pages()
        thief.session.cookie_jar.update_cookies({"counterfoil": owner.cookie})
        assert (await thief.open(f"/studio/invoices/{made}")).status == 200
        return thief

    async def is_out(thief: Visitor, token: str) -> None:
        before = await all_tables(database)
        assert "sign-in" in (await thief.open(f"/studio/invoices/{made}")).address
        sent = await thief.send(
            f"/studio/invoices/{made}/cancel", {"reason": "Mine"}, token=token, follow=False
        )
        assert sent.status in {303, 403}
        assert await all_tables(database) == before

    maya, elsewhere = await site.at_the_pages(MAYA), await site.at_the_pages(MAYA)
    thief, token = await stolen_from(elsewhere), (await elsewhere.open("/studio")).form_token
    new = "a much longer password than before"
    await maya.send("/studio/account/password", {"old": PASSWORD, "password": new, "again": new})
    await is_out(thief, token)

    thief, token = await stolen_from(maya), (await maya.open("/studio")).form_token
    await maya.send("/studio/sign-out", token=token)
    await is_out(thief, token)

    await maya.sign_in(MAYA, new)
    thief, token = await stolen_from(maya), (await maya.open("/studio")).form_token
    await _disable(site, MAYA)
    await is_out(thief, token)


@pytest.mark.usefixtures("firm")
async def test_half_a_session_opens_no_page_and_sends_no_form(
    site: Site, database: Database
) -> None:
    await with_factor(site, SAM)
    thief = await site.at_the_pages(SAM)
    token = (await thief.open(FACTOR)).form_token
    half = thief.cookie
    before = await all_tables(database)
    for path in (
        "/studio",
        "/studio/account",
        "/studio/account/second-factor",
        "/studio/invoices",
        "/studio/second-factor/",
        "/studio//second-factor/../account",
        "/studio/invoices/second-factor",
        "/studio/files/second-factor",
    ):
        page = await thief.open(path)
        assert page.status in {200, 404}
        assert page.status == 404 or "second-factor" in page.address, path
        assert "Sam" not in page.words
    for path in (
        "/studio/account/second-factor/drop",
        "/studio/account/password",
        "/studio/account/sessions/end-others",
        "/studio/sign-out",
    ):
        fields = {"proof": PASSWORD, "old": PASSWORD, "password": "p" * 20, "again": "p" * 20}
        sent = await thief.send(path, fields, token=token, follow=False)
        assert (sent.status, sent.headers["Location"]) == (303, FACTOR)
    assert await all_tables(database) == before
    assert thief.cookie == half


@pytest.mark.usefixtures("firm")
async def test_the_cookie_from_before_the_second_factor_is_worth_nothing_afterwards(
    site: Site,
) -> None:
    totp = await with_factor(site, SAM)
    sam = await site.at_the_pages(SAM)
    half = sam.cookie
    page = await sam.open(FACTOR)
    await sam.send(FACTOR, {"code": totp.at(site.clock.now())}, token=page.form_token)
    assert (await sam.open("/studio")).address.endswith("/studio")
    thief = await site.at_the_pages()
    thief.session.cookie_jar.update_cookies({"counterfoil": half})
    assert "/studio/sign-in" in (await thief.open("/studio")).address


@pytest.mark.usefixtures("firm")
async def test_one_code_sent_twenty_times_at_once_signs_in_once(site: Site) -> None:
    totp = await with_factor(site, SAM)
    sam = [await site.at_the_pages(SAM) for _ in range(5)]
    tokens = [(await one.open(FACTOR)).form_token for one in sam]
    code = totp.at(site.clock.now())
    pages = await asyncio.gather(
        *(
            one.send(FACTOR, {"code": code}, token=token, follow=False)
            for one, token in zip(sam, tokens, strict=True)
        )
    )
    assert sorted(page.status for page in pages) == [303, 403, 403, 403, 403]


@asynccontextmanager
async def by_https(database: Database) -> AsyncIterator[Site]:
    settings = WebSettings(secure=True, public_url="https://pay.example")
    async with open_site(database, settings) as site:
        yield site


async def test_by_https_the_cookie_stays_with_this_host(database: Database) -> None:
    async with by_https(database) as site:
        await site.firm()
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as bare:
            address = f"{site.address.rstrip('/')}/studio/sign-in"
            async with bare.get(address) as first:
                given = first.headers["Set-Cookie"]
                text = await first.text()
                assert first.headers["Strict-Transport-Security"].startswith("max-age=")
            token = text.split('name="form_token" value="', 1)[1].split('"', 1)[0]
            async with bare.post(
                address,
                data={"email": MAYA, "password": PASSWORD, "form_token": token},
                headers={"Cookie": given.split(";")[0], "Origin": site.address.rstrip("/")},
                allow_redirects=False,
            ) as second:
                inside = second.headers["Set-Cookie"]
    assert inside.split(";")[0] != given.split(";")[0]
    for cookie in (given, inside):
        name, *flags = [part.strip().lower() for part in cookie.split(";")]
        assert name.startswith("__host-counterfoil=")
        assert {"secure", "httponly", "path=/", "samesite=lax"} <= set(flags)
        assert not any(flag.startswith("domain") for flag in flags)


@pytest.mark.usefixtures("firm")
async def test_nobody_chooses_the_address_that_is_written_down(
    site: Site, database: Database
) -> None:
    visitor = await site.at_the_pages()
    token = (await visitor.open("/studio/sign-in")).form_token
    spoofed = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Real-IP": "203.0.113.7",
        "Forwarded": "for=203.0.113.7",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "User-Agent": "\x85[31mred <script>alert('T10')</script>" + "x" * 500,
    }
    for password in ("wrong", PASSWORD):
        fields = {"email": MAYA, "password": password}
        await visitor.send("/studio/sign-in", fields, token=token, headers=spoofed)
    tables = await all_tables(database)
    assert "203.0.113.7" not in repr(tables)
    assert not any("\x85" in row for rows in tables.values() for row in rows)
    page = await visitor.open("/studio/account")
    assert "127.0.0.1" in page.words
    assert "<script>alert" not in page.text
    assert "evil.example" not in page.text


async def test_a_second_factor_goes_only_for_password_and_code(
    site: Site, firm: Firm, database: Database
) -> None:
    """A thief at an open session, seconds after sign-in, gets nowhere with half of it (T8)."""
    totp = await with_factor(site, SAM)
    sam = await site.at_the_pages(SAM)
    page = await sam.open(FACTOR)
    codes = totp.at(site.clock.now())
    inside = await sam.send(FACTOR, {"code": codes}, token=page.form_token)
    assert inside.address.endswith("/studio")
    site.clock.advance(timedelta(seconds=60))
    code = totp.at(site.clock.now())
    before = await all_tables(database)
    for fields in (
        {},
        {"old": PASSWORD},
        {"code": code},
        {"old": code, "code": PASSWORD},
        {"old": PASSWORD, "code": codes},
        {"old": "wrong", "code": code},
        {"proof": code},
    ):
        refused = await sam.send(DROP, fields, token=inside.form_token, follow=False)
        assert refused.status == 403, fields
        assert "password or code is not right; nothing was changed" in refused.words
    after = await all_tables(database)
    assert {name for name in before if before[name] != after[name]} == {"failed_attempt"}
    gone = await sam.send(DROP, {"old": PASSWORD, "code": code}, token=inside.form_token)
    assert "The second factor is gone" in gone.words
    assert firm.signer.uid not in gone.words


@pytest.mark.usefixtures("firm")
async def test_with_a_change_of_password_or_factor_every_known_cookie_ends(site: Site) -> None:
    """Whoever copied a cookie is out, also that of the very session in which it happened (T7)."""
    sam, elsewhere = await site.at_the_pages(SAM), await site.at_the_pages(SAM)
    parts = site.app.state.studio
    totp = pyotp.TOTP(parts.factors.new_secret())

    async def step(path: str, fields: dict[str, str], told: str) -> None:
        thief = await site.at_the_pages()
        thief.session.cookie_jar.update_cookies({"counterfoil": sam.cookie})
        assert (await thief.open("/studio/account")).words.count("last seen") == 2
        page = await sam.send(f"/studio/account{path}", fields)
        assert told in page.words
        for gone in (thief, elsewhere):
            assert "sign-in" in (await gone.open("/studio")).address, path
        # Forms of the page that said so are good for the new cookie.
        look = {"language": "en", "theme": "dark"}
        assert (await sam.send("/studio/account/look", look, token=page.form_token)).status == 200
        assert (await sam.open("/studio/account")).words.count("last seen") == 1

    enrolled = {"secret": totp.secret, "code": totp.at(site.clock.now())}
    await step("/second-factor", enrolled, "Your other sessions have ended.")
    for path, fields in (
        ("/password", {"old": PASSWORD, "password": NEW, "again": NEW}),
        ("/second-factor/drop", {"old": NEW}),
    ):
        site.clock.advance(timedelta(seconds=60))
        password = fields["old"]
        await elsewhere.sign_in(SAM, password)
        code = {"code": totp.at(site.clock.now())}
        await elsewhere.send(FACTOR, code, token=(await elsewhere.open(FACTOR)).form_token)
        site.clock.advance(timedelta(seconds=60))
        asked = {**fields, "code": totp.at(site.clock.now())}
        await step(path, asked, "and your other sessions have ended.")


@pytest.mark.usefixtures("firm")
async def test_nobody_gets_a_second_second_factor(site: Site) -> None:
    """Two at once: one holds, so a thief cannot put theirs in place of it (T8)."""
    sam = await site.at_the_pages(SAM)
    parts = site.app.state.studio
    page = await sam.open("/studio/account/second-factor")
    known = [parts.factors.new_secret() for _ in range(2)]
    answers = await asyncio.gather(
        *(
            sam.send(
                "/studio/account/second-factor",
                {"secret": secret, "code": pyotp.TOTP(secret).at(site.clock.now())},
                token=page.form_token,
                follow=False,
            )
            for secret in known
        )
    )
    assert sorted(answer.status for answer in answers) in ([200, 303], [200, 409])
