"""People sign in, stay signed in for a while, and nobody else gets in."""

from datetime import timedelta

import pyotp
import pytest

from counterfoil.db.rows import execute
from support.keyboards import wide
from support.site import PASSWORD, Site

pytestmark = pytest.mark.usefixtures("firm")

FACTOR = "/studio/second-factor"

MAYA = "maya1@merchant.example"
SAM = "sam1@merchant.example"


async def test_maya_signs_in_works_and_signs_out(site: Site) -> None:
    maya = await site.at_the_pages()
    asked = await maya.open("/studio/invoices?status=expired")
    assert asked.address.endswith("/studio/sign-in?next=/studio/invoices?status%3Dexpired")
    token = asked.form_token
    fields = {"email": MAYA.upper(), "password": PASSWORD, "next": "/studio/invoices"}
    inside = await maya.send("/studio/sign-in", fields, token=token)
    assert inside.status == 200
    assert inside.address.endswith("/studio/invoices")
    assert "Maya" in inside.words
    out = await maya.send("/studio/sign-out", token=inside.form_token)
    assert out.address.endswith("/studio/sign-in")
    assert (await maya.open("/studio")).address.endswith("/studio/sign-in?next=/studio")


async def test_a_wrong_password_and_an_unknown_name_read_the_same(site: Site) -> None:
    stranger = await site.at_the_pages()
    wrong = await stranger.sign_in(MAYA, "wrong")
    unknown = await stranger.sign_in("nobody@merchant.example", "wrong")
    assert (wrong.status, unknown.status) == (403, 403)
    assert wrong.words.replace(MAYA, "") == unknown.words.replace("nobody@merchant.example", "")
    assert "e-mail or password is not right" in wrong.words


async def test_after_ten_wrong_tries_not_even_the_right_password_counts(site: Site) -> None:
    stranger = await site.at_the_pages()
    for _ in range(10):
        assert (await stranger.sign_in(MAYA, "wrong")).status == 403
    assert (await stranger.sign_in(MAYA, PASSWORD)).status == 429
    site.clock.advance(timedelta(minutes=16))
    assert (await stranger.sign_in(MAYA, PASSWORD)).status == 200


async def test_a_session_ends_when_nobody_uses_it_and_after_a_day_of_work(site: Site) -> None:
    maya = await site.at_the_pages(MAYA)
    for _ in range(4):
        site.clock.advance(timedelta(minutes=29))
        assert (await maya.open("/studio")).address.endswith("/studio")
    site.clock.advance(timedelta(minutes=31))
    assert "sign-in" in (await maya.open("/studio")).address

    sam = await site.at_the_pages(SAM)
    for _ in range(24):
        site.clock.advance(timedelta(minutes=29))
        await sam.open("/studio")
    site.clock.advance(timedelta(minutes=25))
    assert "sign-in" in (await sam.open("/studio")).address


async def test_who_is_disabled_or_loses_a_role_loses_it_at_once(site: Site) -> None:
    maya = await site.at_the_pages(MAYA)
    assert (await maya.open("/studio")).status == 200
    async with site.desk.database.transaction() as tx:
        await execute(
            tx,
            "UPDATE member SET disabled_at = %(at)s WHERE person_id ="
            " (SELECT person_id FROM person WHERE email = %(email)s)",
            {"at": site.clock.now(), "email": MAYA},
        )
    assert "sign-in" in (await maya.open("/studio")).address


async def test_a_cookie_from_before_signing_in_is_worth_nothing_afterwards(site: Site) -> None:
    victim = await site.at_the_pages()
    planted = "A" * 43
    victim.session.cookie_jar.update_cookies({"counterfoil": planted})
    await victim.sign_in(MAYA, PASSWORD)
    assert (await victim.open("/studio")).status == 200
    attacker = await site.at_the_pages()
    attacker.session.cookie_jar.update_cookies({"counterfoil": planted})
    assert "sign-in" in (await attacker.open("/studio")).address


async def test_a_second_factor_is_asked_for_everywhere_and_works_once(site: Site) -> None:
    factors = site.app.state.studio.factors
    secret = factors.new_secret()
    sam = await site.at_the_pages(SAM)
    who = await site.app.state.studio.signing_in.who(sam.cookie, "req_x")
    totp = pyotp.TOTP(secret)
    code = totp.at(site.clock.now())
    codes, _ = await site.app.state.studio.signing_in.enrol_factor(who, secret, code)
    site.clock.advance(timedelta(seconds=60))

    again = await site.at_the_pages(SAM)
    page = await again.open("/studio/invoices")
    assert "second-factor" in page.address
    code = totp.at(site.clock.now())
    assert (await again.send(FACTOR, {"code": "000000"}, token=page.form_token)).status == 403
    inside = await again.send(FACTOR, {"code": wide(code)}, token=page.form_token)
    assert inside.address.endswith("/studio")

    thief = await site.at_the_pages(SAM)
    page = await thief.open("/studio")
    assert (await thief.send(FACTOR, {"code": code}, token=page.form_token)).status == 403
    used = await thief.send(FACTOR, {"code": codes[3]}, token=page.form_token)
    assert used.address.endswith("/studio")
    third = await site.at_the_pages(SAM)
    page = await third.open("/studio")
    assert (await third.send(FACTOR, {"code": codes[3]}, token=page.form_token)).status == 403


async def test_a_form_from_another_site_does_nothing(site: Site) -> None:
    maya = await site.at_the_pages(MAYA)
    token = (await maya.open("/studio")).form_token
    for headers in (
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        sent = await maya.send("/studio/sign-out", token=token, headers=headers)
        assert sent.status == 403, headers
    for wrong in ("", "0" * 64, token[:-1]):
        assert (await maya.send("/studio/sign-out", token=wrong)).status == 403
    assert (await maya.open("/studio")).address.endswith("/studio")


async def test_nobody_is_sent_elsewhere_after_signing_in(site: Site) -> None:
    for target in (
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "/v1/x",
        "javascript:1",
    ):
        maya = await site.at_the_pages()
        token = (await maya.open("/studio/sign-in")).form_token
        fields = {"email": MAYA, "password": PASSWORD, "next": target}
        page = await maya.send("/studio/sign-in", fields, token=token)
        assert page.address == f"{maya.base_url}/studio", target
