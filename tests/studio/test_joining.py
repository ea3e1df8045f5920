"""Joining an organisation: who accepts an invitation, with what, and what a pending one opens."""

import asyncio
import re
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final

import pyotp
import pytest

from counterfoil.books import members, orgs
from counterfoil.core import ids
from counterfoil.core.errors import Conflict, Invalid, NotFound
from counterfoil.core.roles import Actor, Permission, permissions_of
from counterfoil.db.rows import execute
from counterfoil.desk import freeing, joining, membership, org_log
from counterfoil.desk.tries import TRIES
from support.shop import Shop
from support.site import PASSWORD, Site
from support.visitor import Page, Visitor

MEMBERS: Final = "/studio/settings/members"
ACCOUNT: Final = "/studio/account"
CFO: Final = "cfo@bravo.example"
OTHERS: Final = "what a stranger has chosen"
OWN: Final = "what only she knows well"
ALPHA, BRAVO = 1, 2


@pytest.fixture(autouse=True)
async def two_organisations(site: Site) -> None:
    """Alpha, which may be anybody's, and Bravo, each with an administrator."""
    for org_id, name in ((ALPHA, "anna"), (BRAVO, "bea")):
        await Shop(site.desk, org_id).open()
        await site.person(org_id, name, "administrator")
    await site.person(ALPHA, "maya", "finance")


async def invite(site: Site, org_id: int, email: str = CFO, *roles: str) -> str:
    """An administrator's invitation: the path of its link."""
    name = {ALPHA: "anna1", BRAVO: "bea2"}[org_id]
    admin = await site.at_the_pages(f"{name}@merchant.example")
    fields = {"email": email, "name": "Grace Kuo", "role": list(roles) or ["auditor"]}
    return link_on(await admin.send(f"{MEMBERS}/add", fields))


def link_on(page: Page) -> str:
    (link,) = set(re.findall(r"/studio/invitation/[\w-]{43}", page.text))
    return str(link)


async def use(site: Site, link: str, password: str) -> Page:
    """Whoever has a link and no session chooses a password with it."""
    visitor = await site.at_the_pages()
    token = (await visitor.open("/studio/sign-in")).form_token
    return await visitor.send(link, {"password": password, "again": password}, token=token)


async def prove(site: Site, link: str, password: str, code: str = "") -> tuple[Visitor, Page]:
    """Whoever has a link and a password accepts with both."""
    visitor = await site.at_the_pages()
    token = (await visitor.open(link)).form_token
    return visitor, await visitor.send(link, {"old": password, "code": code}, token=token)


async def signed_in(site: Site, email: str, password: str) -> Visitor:
    visitor = await site.at_the_pages()
    assert (await visitor.sign_in(email, password)).address.endswith("/studio")
    return visitor


async def accept_at_account(visitor: Visitor, link: str) -> Page:
    return await visitor.send(f"{ACCOUNT}/invitations/accept", {"link": link})


async def member_of(site: Site, org_id: int, email: str = CFO) -> str:
    """A member's public id, joined or not."""
    return ids.public("user", (await membership_of(site, org_id, email)).member_id)


async def membership_of(site: Site, org_id: int, email: str = CFO) -> members.MemberRow:
    everybody = await membership.everybody(site.desk, administrator(org_id))
    (found,) = [one for one in everybody if one.email == email]
    return found


async def joined(site: Site, email: str = CFO) -> set[int]:
    """The organisations that somebody is a member of."""
    found = set()
    for org_id in (ALPHA, BRAVO):
        everybody = await membership.everybody(site.desk, administrator(org_id))
        if any(one.email == email and one.accepted_at for one in everybody):
            found.add(org_id)
    return found


async def events(site: Site, org_id: int) -> list[str]:
    found = await org_log.history(site.desk, administrator(org_id))
    assert found.broken is None
    return [entry.event for entry, _ in found.entries]


def administrator(org_id: int) -> Actor:
    return Actor("user_test", org_id, permissions_of(("administrator",)) | {Permission.AUDIT})


async def test_a_password_set_by_anothers_link_opens_no_organisation_but_that_one(
    site: Site,
) -> None:
    assert (await use(site, await invite(site, ALPHA), OTHERS)).status == 200
    link = await invite(site, BRAVO, CFO, "signer", "auditor")
    thief = await signed_in(site, CFO, OTHERS)
    shown = await thief.open(ACCOUNT)
    assert "Merchant 2 invites you as Auditor Signer" in shown.words
    assert 'name="org_id"' not in shown.text
    here = {"org_id": str(BRAVO), "next": "/studio"}
    assert (await thief.send("/studio/organisation", here)).status == 403
    for guess in ("", "x" * 43, f"{site.address}studio/invitation/{'A' * 43}"):
        assert (await accept_at_account(thief, guess)).status == 404
    assert await joined(site) == {ALPHA}
    # Bravo's link alone opens nothing either, whoever comes with it and whatever they choose.
    assert "Accept the invitation" in (await (await site.at_the_pages()).open(link)).words
    assert (await use(site, link, OWN)).status == 403
    maya = await site.at_the_pages("maya1@merchant.example")
    assert (await accept_at_account(maya, link)).status == 403
    assert (await prove(site, link, PASSWORD))[1].status == 403
    for member in (await member_of(site, BRAVO), await member_of(site, ALPHA), "user_", "x"):
        assert (await maya.send(f"{ACCOUNT}/invitations/{member}/decline")).status == 404
    assert await joined(site) == {ALPHA}
    assert await events(site, BRAVO) == ["member_added", "roles_asked"]
    listed = await site.at_the_pages("bea2@merchant.example")
    assert re.search(r"Auditor Signer: waits - \S invited", (await listed.open(MEMBERS)).words)


async def test_whoever_is_signed_in_as_somebody_else_gets_to_the_account_that_is_meant(
    site: Site,
) -> None:
    """Maya, at her own account, opens links for the one she has at Bravo's address."""
    maya = await signed_in(site, "maya1@merchant.example", PASSWORD)
    link = await invite(site, BRAVO)
    page = await maya.open(link)
    assert "You are signed in here as maya1@merchant.example" in page.words
    assert "Setting the password signs you out." in page.words
    done = await maya.send(link, {"password": OWN, "again": OWN}, token=page.form_token)
    assert done.address.endswith("/sign-in?done=invited")
    assert "The password is set. Sign in with it." in done.words
    assert (await maya.sign_in(CFO, OWN)).address.endswith("/studio")

    maya = await signed_in(site, "maya1@merchant.example", PASSWORD)
    other = await invite(site, ALPHA)
    page = await maya.open(other)
    assert "Sign in first" not in page.words
    assert "Setting the password" not in page.words
    (onward,) = re.findall(r'name="next" value="([^"]+)"', page.text)
    out = await maya.send("/studio/sign-out", {"next": onward}, token=page.form_token)
    assert out.address.endswith(other)
    assert "You are signed in" not in out.words
    assert "Sign in first" in out.words
    away = await signed_in(site, CFO, OWN)
    token = (await away.open(ACCOUNT)).form_token
    evil = {"next": "//evil.example/studio"}
    left = await away.send("/studio/sign-out", evil, token=token, follow=False)
    assert left.headers["Location"] == "/studio"


async def test_one_link_sets_the_first_password_and_all_others_end(site: Site) -> None:
    theirs, own = await invite(site, ALPHA), await invite(site, BRAVO)
    assert (await use(site, own, OWN)).address.endswith("/sign-in?done=invited")
    assert await joined(site) == {BRAVO}
    assert (await use(site, theirs, OTHERS)).status == 404
    anna = await site.at_the_pages("anna1@merchant.example")
    path = f"{MEMBERS}/{await member_of(site, ALPHA)}"
    assert "there is no link that opens" in (await anna.open(path)).words
    again = link_on(await anna.send(f"{path}/invite"))
    known = site.app.state.studio.signing_in.passwords
    with pytest.raises(Conflict, match="have a password here already"):
        await joining.accept_newly(site.desk, known, again.rpartition("/")[2], OTHERS)
    refused = await use(site, again, OTHERS)
    assert "password or code is not right" in refused.words
    grace = await signed_in(site, CFO, OWN)
    assert (await (await site.at_the_pages()).sign_in(CFO, OTHERS)).status == 403
    done = await grace.send(again, token=(await grace.open(again)).form_token)
    assert "You are a member there now" in done.words
    assert await joined(site) == {ALPHA, BRAVO}
    assert (await anna.send(f"{path}/invite")).status == 409
    told = ["member_added", "invitation_renewed", "invitation_accepted"]
    assert await events(site, ALPHA) == told
    assert await events(site, BRAVO) == ["member_added", "invitation_used"]


async def test_two_links_at_once_set_one_password(site: Site) -> None:
    links = [await invite(site, org_id) for org_id in (ALPHA, BRAVO)]
    known = site.app.state.studio.signing_in.passwords

    def choose(link: str, password: str) -> Awaitable[None]:
        return joining.accept_newly(site.desk, known, link.rpartition("/")[2], password)

    both = (choose(link, one) for link, one in zip(links, (OTHERS, OWN), strict=True))
    came = await asyncio.gather(*both, return_exceptions=True)
    (refused,) = [one for one in came if one is not None]
    assert isinstance(refused, NotFound | Conflict)
    assert len(await joined(site)) == 1
    tried = [(await (await site.at_the_pages()).sign_in(CFO, one)).status for one in (OTHERS, OWN)]
    assert sorted(tried) == [200, 403]


async def test_maya_declines_and_accepts_under_her_account_in_her_language(site: Site) -> None:
    email = "maya1@merchant.example"
    first = await invite(site, BRAVO, email, "signer", "auditor")
    maya = await site.at_the_pages(email)
    await maya.send(f"{ACCOUNT}/look", {"language": "zh-Hant-TW", "theme": "auto"})
    shown = await maya.open(ACCOUNT)
    assert "邀請您擔任" in shown.words
    assert "接受" in shown.words
    path = f"{ACCOUNT}/invitations/{await member_of(site, BRAVO, email)}/decline"
    await maya.send(f"{ACCOUNT}/look", {"language": "en", "theme": "auto"})
    assert "The invitation is declined" in (await maya.send(path)).words
    assert (await maya.send(path)).status == 404
    assert (await maya.open(first)).status == 404
    bea = await site.at_the_pages("bea2@merchant.example")
    member = f"{MEMBERS}/{await member_of(site, BRAVO, email)}"
    assert "disabled since" in (await bea.open(member)).words
    assert (await bea.send(f"{member}/invite")).status == 409
    await bea.send(f"{member}/enable")
    # Let in again she is invited, and no member yet.
    assert await joined(site, email) == {ALPHA}
    again = link_on(await bea.send(f"{member}/invite"))
    assert (await maya.open(MEMBERS)).status == 403
    done = await accept_at_account(maya, f"  {site.address.rstrip('/')}{again} ")
    assert "You are a member there now" in done.words
    assert (await accept_at_account(maya, again)).status == 404
    await maya.send("/studio/organisation", {"org_id": str(BRAVO), "next": "/studio"})
    assert (await maya.open(MEMBERS)).status == 200
    history = (await bea.open("/studio/settings/log")).words
    for sentence in ("declined the invitation", "accepted the invitation"):
        assert f"Maya {sentence}" in history


async def test_a_pending_membership_counts_for_nothing(site: Site) -> None:
    email, now = "maya1@merchant.example", site.clock.now()
    await invite(site, BRAVO, email)
    maya = await site.at_the_pages(email)
    found = await membership_of(site, BRAVO, email)
    key = orgs.KeyRow(
        "k" * 16, b"", BRAVO, [], found.member_id, email, ["administrator"], auto_approve=False
    )
    async with site.desk.database.transaction() as tx:
        await members.set_roles(tx, BRAVO, found.member_id, ("administrator",))
        await orgs.insert_key(tx, key, "not theirs", now)
        assert await orgs.usable_key(tx, key.key_id, now) is None
        assert await orgs.roles_of(tx, BRAVO, found.member_id) == []
        assert [one.email for one in await orgs.members(tx, BRAVO)] == ["bea2@merchant.example"]
        await execute(tx, "UPDATE person_session SET org_id = 2 WHERE org_id = 1", {})
    assert "sign-in" in (await maya.open("/studio")).address
    # She is no administrator who could stay behind as the last one.
    bea = await membership_of(site, BRAVO, "bea2@merchant.example")
    with pytest.raises(Conflict, match="last administrator"):
        await membership.disable(site.desk, bea.member_id, administrator(BRAVO))
    with pytest.raises(Conflict, match="has not joined"):
        await membership.reset_factor(site.desk, found.member_id, administrator(BRAVO))


async def test_nobody_blocks_anothers_help_by_inviting_their_people(site: Site) -> None:
    email = "maya1@merchant.example"
    link = await invite(site, BRAVO, email)
    maya = await membership_of(site, ALPHA, email)
    assert not maya.elsewhere
    await membership.reset_factor(site.desk, maya.member_id, administrator(ALPHA))
    await joining.accept(site.desk, link.rpartition("/")[2], maya.person_id)
    with pytest.raises(Conflict, match="belongs to other organisations too"):
        await membership.reset_factor(site.desk, maya.member_id, administrator(ALPHA))
    there = await membership_of(site, BRAVO, email)
    await membership.disable(site.desk, there.member_id, administrator(BRAVO))
    await membership.reset_factor(site.desk, maya.member_id, administrator(ALPHA))


async def test_whoever_left_elsewhere_joins_with_password_and_code(site: Site) -> None:
    email, secret = "maya1@merchant.example", pyotp.random_base32()
    maya = await site.at_the_pages(email)
    fields = {"secret": secret, "code": pyotp.TOTP(secret).at(site.clock.now())}
    await maya.send(f"{ACCOUNT}/second-factor", fields)
    link = await invite(site, BRAVO, email)
    half = await site.at_the_pages(email)
    assert (await half.send(link, token=(await half.open(link)).form_token)).status == 403
    left = await membership_of(site, ALPHA, email)
    await membership.disable(site.desk, left.member_id, administrator(ALPHA))
    assert (await half.sign_in(email, PASSWORD)).status == 403
    site.clock.advance(timedelta(minutes=1))
    code = pyotp.TOTP(secret).at(site.clock.now())
    for wrong in ((PASSWORD, ""), (PASSWORD, "000000"), ("wrong", code)):
        assert (await prove(site, link, *wrong))[1].status == 403
    came, page = await prove(site, link, PASSWORD, code)
    assert "You are a member there now" in page.words
    assert (await came.open(MEMBERS)).status == 200
    assert await events(site, BRAVO) == ["member_added", "invitation_accepted"]


async def test_a_password_is_not_guessed_with_a_link(site: Site) -> None:
    link = await invite(site, BRAVO, "maya1@merchant.example")
    async with site.desk.database.transaction() as tx:
        await execute(
            tx,
            """
            INSERT INTO failed_attempt (attempt_id, subject, at)
            SELECT gen_random_uuid(), 'person:maya1@merchant.example', %(now)s
              FROM generate_series(1, %(tries)s)
            """,
            {"now": site.clock.now(), "tries": TRIES},
        )
    assert (await prove(site, link, PASSWORD))[1].status == 429
    assert await joined(site, "maya1@merchant.example") == {ALPHA}


async def test_the_operator_frees_an_address_that_somebody_took(site: Site) -> None:
    """Alpha's puppet chose the password; the owner has Bravo's link and shows who they are."""

    async def free(**given: object) -> list[int]:
        told = {"unknown_hash": "-", "reason": "her passport, case 7", **given}
        return await freeing.free_email(site.desk, CFO.upper(), **told)  # type: ignore[arg-type]  # - as a test gives it

    with pytest.raises(NotFound, match="nobody here has the e-mail"):
        await free()
    await use(site, await invite(site, ALPHA, CFO, "administrator"), OTHERS)
    link = await invite(site, BRAVO, CFO, "auditor")
    thief = await signed_in(site, CFO, OTHERS)
    with pytest.raises(Invalid, match="say how you know whose address it is"):
        await free(reason=" ")
    for given in ({}, {"taken_by": BRAVO}):
        with pytest.raises(Conflict, match="is a member of organisation 1, which has let them in"):
            await free(**given)
    assert (await thief.open("/studio")).status == 200

    assert await free(taken_by=ALPHA) == [ALPHA, BRAVO]
    assert (await thief.open("/studio", follow=False)).status == 303
    again = await site.at_the_pages()
    assert "/sign-in" in (await again.sign_in(CFO, OTHERS)).address
    assert (await use(site, link, OWN)).status == 404, "links of before end"
    bea = await site.at_the_pages("bea2@merchant.example")
    page = await bea.send(f"{MEMBERS}/{await member_of(site, BRAVO)}/invite")
    assert (await use(site, link_on(page), OWN)).status == 200
    assert await joined(site) == {BRAVO}
    grace = await signed_in(site, CFO, OWN)
    assert "Merchant 2" in (await grace.open(ACCOUNT)).words
    for org_id in (ALPHA, BRAVO):
        assert (await events(site, org_id)).count("email_freed") == 1
    with pytest.raises(Conflict, match="organisation 2"):
        await free(taken_by=ALPHA)
