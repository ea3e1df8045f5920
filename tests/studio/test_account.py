"""One's own account: look, password, second factor, sessions, organisations."""

import re
from datetime import timedelta

import pyotp
import pytest

from support.site import PASSWORD, Site

pytestmark = pytest.mark.usefixtures("firm")

MAYA = "maya1@merchant.example"
NEW = "a much longer password than before"


async def test_maya_changes_her_password_and_her_other_sessions_end(site: Site) -> None:
    maya, elsewhere = await site.at_the_pages(MAYA), await site.at_the_pages(MAYA)
    page = await maya.open("/studio/account")
    assert page.words.count("last seen") == 2
    fields = {"old": PASSWORD, "password": NEW, "again": NEW}
    for wrong in ({"old": "wrong"}, {"again": "other"}, {"password": "short", "again": "short"}):
        refused = await maya.send(
            "/studio/account/password", {**fields, **wrong}, token=page.form_token
        )
        assert refused.status in {403, 422}
    changed = await maya.send("/studio/account/password", fields, token=page.form_token)
    assert "The password is changed" in changed.words
    assert "sign-in" in (await elsewhere.open("/studio")).address
    assert (await elsewhere.sign_in(MAYA, PASSWORD)).status == 403
    assert (await elsewhere.sign_in(MAYA, NEW)).address.endswith("/studio")


async def test_maya_sets_up_a_second_factor_and_confirms_with_it(site: Site) -> None:
    maya = await site.at_the_pages(MAYA)
    page = await maya.open("/studio/account/second-factor")
    secret = re.findall(r'name="secret" value="([A-Z2-7]+)"', page.text)[0]
    totp = pyotp.TOTP(secret)
    wrong = await maya.send(
        "/studio/account/second-factor", {"secret": secret, "code": "1"}, token=page.form_token
    )
    assert wrong.status == 422
    codes = await maya.send(
        "/studio/account/second-factor",
        {"secret": secret, "code": totp.at(site.clock.now())},
        token=page.form_token,
    )
    assert len(re.findall(r"\b[0-9a-f]{5}(?:-[0-9a-f]{5}){3}\b", codes.words)) == 10
    site.clock.advance(timedelta(minutes=11))
    page = await maya.open("/studio/account")
    assert "10 recovery codes are left" in page.words
    drop = "/studio/account/second-factor/drop"
    fields = {"old": PASSWORD, "code": totp.at(site.clock.now())}
    dropped = await maya.send(drop, fields, token=page.form_token)
    assert "The second factor is gone, and your other sessions have ended." in dropped.words
    assert "Second factor off Without it" in dropped.words


async def test_maya_reads_the_pages_in_chinese_and_dark(site: Site) -> None:
    maya = await site.at_the_pages(MAYA)
    token = (await maya.open("/studio")).form_token
    fields = {"language": "zh-Hant-TW", "theme": "dark"}
    page = await maya.send("/studio/account/look", fields, token=token)
    assert '<html lang="zh-Hant-TW" data-theme="dark">' in page.text
    refused = await maya.send("/studio/account/look", {**fields, "theme": "pink"}, token=token)
    assert refused.status == 422


async def test_maya_ends_one_session_and_nobody_ends_hers(site: Site) -> None:
    maya, elsewhere = await site.at_the_pages(MAYA), await site.at_the_pages(MAYA)
    sam = await site.at_the_pages("sam1@merchant.example")
    page = await maya.open("/studio/account")
    (path,) = re.findall(r'action="(/studio/account/sessions/ses_[^"]+/end)"', page.text)
    assert (await sam.send(path)).status == 404
    assert (await elsewhere.open("/studio")).address.endswith("/studio")
    await maya.send(path, token=page.form_token)
    assert "sign-in" in (await elsewhere.open("/studio")).address


async def test_nobody_turns_to_an_organisation_that_is_not_theirs(site: Site) -> None:
    await site.firm(2)
    maya = await site.at_the_pages(MAYA)
    for org in ("2", "99", "x", ""):
        assert (await maya.send("/studio/organisation", {"org_id": org})).status == 403
