"""Passkeys: added, listed and removed; signing in and proving oneself with one."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

import pyotp
import pytest

from counterfoil.app import WebSettings
from counterfoil.books import orgs
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.desk import org_log
from support.authenticator import (
    ADD,
    BEGIN,
    QUESTION,
    SIGN_IN,
    Authenticator,
    add_passkey,
    question_on,
    sign_in_with,
)
from support.patience import somebody_waits_for_a_lock
from support.payments import Payments
from support.shop import Shop
from support.site import PASSWORD, Site, open_site
from support.visitor import Page

ORIGIN: Final = "https://studio.merchant.example"
MAYA: Final = "maya1@merchant.example"
SAM: Final = "sam1@merchant.example"
ACCOUNT: Final = "/studio/account"


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    """A small organisation; stories with money open another."""
    async with open_site(database, WebSettings(public_url=ORIGIN)) as site:
        await small_firm(site)
        yield site


@pytest.fixture
def telephone() -> Authenticator:
    return Authenticator(ORIGIN)


async def small_firm(site: Site) -> None:
    await Shop(site.desk).open()
    for name, role in (("maya", "finance"), ("sam", "signer"), ("anna", "administrator")):
        await site.person(1, name, role)


def removal(page: Page) -> list[str]:
    return re.findall(r'action="(/studio/account/passkeys/pass_[0-9a-f]{32}/remove)"', page.text)


async def told(site: Site, org_id: int = 1) -> list[tuple[str, object]]:
    """What an organisation's log says of passkeys."""
    actor = Actor("user_test", org_id, frozenset({Permission.AUDIT}))
    found = await org_log.history(site.desk, actor)
    assert found.broken is None
    return [(entry.event, entry.metadata.get("name")) for entry, _ in found.entries]


async def test_maya_adds_two_passkeys_signs_in_with_either_and_removes_one(
    site: Site, telephone: Authenticator
) -> None:
    maya, stick = await site.at_the_pages(MAYA), Authenticator(ORIGIN)
    assert "The passkey is added" in (await add_passkey(maya, telephone)).words
    listed = await add_passkey(maya, stick, "Stick in the safe")
    assert "My telephone" in listed.words
    assert "Stick in the safe" in listed.words
    assert listed.words.count("never used yet") == 2

    for device in (telephone, stick):
        home = await sign_in_with(await site.at_the_pages(), device)
        assert home.address.endswith("/studio")
        assert "Maya" in home.words
    page = await maya.open(ACCOUNT)
    assert "never used yet" not in page.words
    assert page.words.count("last used") == 2

    first, second = removal(page)
    elsewhere = await site.at_the_pages(MAYA)
    before = maya.cookie
    removed = await maya.send(first, {"old": PASSWORD}, token=page.form_token)
    assert "The passkey is removed" in removed.words
    assert "sign-in" in (await elsewhere.open("/studio")).address
    assert before != maya.cookie
    assert removal(removed) == [second]
    assert (await sign_in_with(await site.at_the_pages(), telephone)).status == 403
    assert (await sign_in_with(await site.at_the_pages(), stick)).status == 200
    assert await told(site) == [
        ("passkey_added", "My telephone"),
        ("passkey_added", "Stick in the safe"),
        ("passkey_removed", "My telephone"),
    ]


async def test_adding_and_removing_take_all_that_signing_in_does_however_short_ago(
    site: Site, telephone: Authenticator
) -> None:
    maya = await site.at_the_pages(MAYA)
    await add_passkey(maya, telephone)
    page = await maya.open(ACCOUNT)
    (path,) = removal(page)
    token = page.form_token
    assert "Current password" in (await maya.open(ADD)).words
    for proof in ({}, {"old": "wrong"}, {"proof": PASSWORD}, {"code": PASSWORD}):
        for asked in (path, BEGIN):
            refused = await maya.send(asked, proof, token=token)
            assert refused.status == 403
            assert "password or code is not right; nothing was changed" in refused.words
            assert "data-question" not in refused.text
    assert (await maya.send(ADD, {"name": "x", "made": "{}"}, token=token)).status == 403
    by_itself = await question_on(maya, passkey=telephone.answer((await maya.open(QUESTION)).text))
    unnamed = {"name": " ", "made": Authenticator(ORIGIN).make(by_itself)}
    refused = await maya.send(ADD, unnamed, token=token)
    assert refused.status == 422
    assert "Name: must not be empty" in refused.words
    assert await told(site) == [("passkey_added", "My telephone")]


async def test_with_a_second_factor_it_takes_password_and_code_and_a_passkey_is_both(
    site: Site, telephone: Authenticator
) -> None:
    maya, signing_in = await site.at_the_pages(MAYA), site.app.state.studio.signing_in
    who = await signing_in.who(maya.cookie, "req_x")
    totp = pyotp.TOTP(pyotp.random_base32())
    await signing_in.enrol_factor(who, totp.secret, totp.at(site.clock.now()))
    site.clock.advance(timedelta(minutes=2))
    typed = await maya.sign_in(MAYA, PASSWORD)
    assert typed.address.endswith("/studio/second-factor?next=/studio")
    code = {"code": totp.at(site.clock.now())}
    await maya.send("/studio/second-factor", code, token=typed.form_token)
    site.clock.advance(timedelta(minutes=2))
    code = {"code": totp.at(site.clock.now())}
    for too_little in ({"old": PASSWORD}, code, {**code, "old": "wrong"}):
        assert (await maya.send(BEGIN, too_little)).status == 403
    question = await question_on(maya, old=PASSWORD, **code)
    assert (await maya.send(BEGIN, {"old": PASSWORD, **code})).status == 403
    made = {"name": "My telephone", "made": telephone.make(question)}
    assert "Remove it" in (await maya.send(ADD, made)).words
    assert (await sign_in_with(await site.at_the_pages(), telephone)).address.endswith("/studio")


async def test_sam_signs_for_money_with_his_passkey_instead_of_his_password(
    site: Site, telephone: Authenticator
) -> None:
    firm = await site.firm(2)
    sam = await site.at_the_pages("sam2@merchant.example")
    await add_passkey(sam, telephone)
    payments = Payments(site.desk, 2)
    invoice = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(invoice)
    await payments.paid(invoice)
    site.clock.advance(timedelta(minutes=11))
    page = await sam.open(f"/studio/invoices/{invoice}")
    assert "Use a passkey instead" in page.words
    path = f"/studio/invoices/{invoice}/sign_off"
    assert (await sam.send(path, {"passkey": "{}"}, token=page.form_token)).status == 403
    assert (await firm.signer.look(invoice)).data["status"] == "sign_pending"
    answer = telephone.answer((await sam.open(QUESTION)).text)
    signed = await sam.send(path, {"passkey": answer}, token=page.form_token)
    assert "Signed. Collecting and paying out go on" in signed.words
    assert (await firm.signer.look(invoice)).data["status"] == "sweep_processing"


async def test_a_form_that_is_refused_for_another_reason_asks_for_no_second_proof(
    site: Site,
) -> None:
    maya = await site.at_the_pages(MAYA)
    site.clock.advance(timedelta(minutes=11))
    path = f"{ACCOUNT}/second-factor"
    fields = {"secret": pyotp.random_base32(), "code": "1"}
    asked = await maya.send(path, {**fields, "proof": "wrong"})
    assert (asked.status, 'name="proof"' in asked.text) == (403, True)
    asked = await maya.send(path, {**fields, "proof": PASSWORD})
    assert (asked.status, 'name="proof"' in asked.text) == (422, False)


async def test_an_administrator_takes_passkeys_away_with_the_second_factor(
    site: Site, telephone: Authenticator
) -> None:
    anna, sam = await site.at_the_pages("anna1@merchant.example"), await site.at_the_pages(SAM)
    members = await anna.open("/studio/settings/members")
    (path,) = re.findall(r'href="(\S+/members/user_\w+)"><bdi>Sam<', members.text)
    assert "passkeys away" not in (await anna.open(path)).words
    await add_passkey(sam, telephone)
    shown = await anna.open(path)
    assert "Passkeys 1" in shown.words
    done = await anna.send(f"{path}/reset-factor", token=shown.form_token)
    assert "Second factor and passkeys are gone" in done.words
    assert "sign-in" in (await sam.open("/studio")).address
    assert (await sign_in_with(await site.at_the_pages(), telephone)).status == 403


async def test_a_passkey_is_on_record_wherever_its_owner_belongs(
    site: Site, telephone: Authenticator
) -> None:
    await Shop(site.desk, 2).open()
    async with site.desk.database.transaction() as tx:
        await tx.execute(
            "INSERT INTO member (org_id, member_id, person_id, roles, created_at, accepted_at)"
            " SELECT 2, gen_random_uuid(), person_id, '{finance}', now(), now() FROM person"
            " WHERE email = %s",
            [MAYA],
        )
    await add_passkey(await site.at_the_pages(MAYA), telephone)
    for org_id in (1, 2):
        assert await told(site, org_id) == [("passkey_added", "My telephone")]


async def test_removing_one_takes_no_lock_before_the_organisations_as_everybody_else(
    site: Site, telephone: Authenticator
) -> None:
    maya = await site.at_the_pages(MAYA)
    page = await add_passkey(maya, telephone)
    (path,) = removal(page)
    async with site.desk.database.transaction() as tx:
        await orgs.hold(tx, 1)
        removing = asyncio.create_task(maya.send(path, {"old": PASSWORD}, token=page.form_token))
        await somebody_waits_for_a_lock(site.desk.database)
        await tx.execute("SELECT FROM passkey FOR UPDATE NOWAIT")
    assert "The passkey is removed" in (await removing).words


async def test_there_is_room_for_twenty_and_the_browser_knows_which(
    site: Site, telephone: Authenticator
) -> None:
    maya = await site.at_the_pages(MAYA)
    async with site.desk.database.transaction() as tx:
        await tx.execute(
            "INSERT INTO passkey (credential_id, person_id, public_key, sign_count, label,"
            " created_at) SELECT decode(lpad(n::text, 4, '0'), 'hex'), person_id, '', 0, n, now()"
            " FROM person, generate_series(1, 19) AS n WHERE email = %s",
            [MAYA],
        )
    known = json.loads(await question_on(maya))["excludeCredentials"]
    assert len({one["id"] for one in known}) == 19
    assert len(removal(await add_passkey(maya, telephone))) == 20
    full = await maya.send(BEGIN, {"old": PASSWORD})
    assert full.status == 409
    assert "20 passkeys are the most" in full.words


async def test_where_browsers_know_no_passkeys_the_account_says_why(database: Database) -> None:
    async with open_site(database, WebSettings(public_url="http://127.0.0.1:8080")) as site:
        await small_firm(site)
        maya = await site.at_the_pages(MAYA)
        page = await maya.open(ACCOUNT)
        assert "They are not offered here" in page.words
        assert "http://127.0.0.1:8080" in page.words
        stranger = await site.at_the_pages()
        shown = await stranger.open("/studio/sign-in")
        assert "passkey" not in shown.words
        assert "passkey.js" not in shown.text
        for visitor, path in ((stranger, SIGN_IN), (maya, QUESTION), (maya, ADD)):
            assert (await visitor.open(path)).status == 409
        refused = await stranger.send(SIGN_IN, {"passkey": "{}"}, token=shown.form_token)
        assert refused.status in {403, 409}
