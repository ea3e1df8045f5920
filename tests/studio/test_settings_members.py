"""Settings: members and roles, and the organisation's own history of them."""

import re
from datetime import timedelta

import psycopg
import pyotp
import pytest

from counterfoil.core import ids
from counterfoil.core.errors import Conflict
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.rows import all_values, execute, one_value
from counterfoil.desk import membership, org_log, proving
from support.site import PASSWORD, Firm, Site
from support.visitor import Page, Visitor

NEW = "a much longer password than before"
MEMBERS = "/studio/settings/members"
ADD = f"{MEMBERS}/add"
NINA = {"email": "nina@merchant.example", "name": "Nina", "role": ["finance", "auditor"]}


def uid_of(page: Page, name: str) -> str:
    found = re.search(rf'members/(user_[0-9a-f]+)"><bdi>{name}<', page.text)
    assert found is not None, page.words
    return found[1]


async def uid(anna: Visitor, name: str) -> str:
    return uid_of(await anna.open(MEMBERS), name)


async def events(site: Site, org_id: int = 1) -> list[tuple[str, str]]:
    actor = Actor("user_test", org_id, frozenset({Permission.AUDIT}))
    found = await org_log.history(site.desk, actor)
    assert found.broken is None
    return [(entry.event, entry.operator_uid) for entry, _ in found.entries]


async def test_anna_invites_nina_who_chooses_a_password_and_works(
    site: Site, anna: Visitor
) -> None:
    shown = await anna.send(ADD, NINA)
    (link,) = set(re.findall(r"/studio/invitation/[\w-]{43}", shown.text))
    assert shown.status == 200
    assert f"{site.address.rstrip('/')}{link}" in shown.words
    nina = await site.at_the_pages()
    assert (await nina.sign_in("nina@merchant.example", "")).status == 403
    page = await nina.open(link)
    assert "nina@merchant.example" in page.words
    fields = {"password": NEW, "again": NEW}
    for wrong in ({"again": "other"}, {"password": "short", "again": "short"}):
        refused = await nina.send(link, {**fields, **wrong}, token=page.form_token)
        assert refused.status == 422
    done = await nina.send(link, fields, token=page.form_token)
    assert "The password is set" in done.words
    assert (await nina.open(link)).status == 404
    assert (await nina.send(link, fields, token=page.form_token)).status == 404
    home = await nina.sign_in("nina@merchant.example", NEW)
    assert home.address.endswith("/studio")
    assert (await nina.open("/studio/invoices/new")).status == 200
    told = await events(site)
    assert [event for event, _ in told] == ["member_added", "invitation_used"]
    assert told[1][1] == await uid(anna, "Nina")
    assert "Anna added a member: Nina" in (await anna.open("/studio/settings/log")).words


async def test_an_invitation_ends_by_itself_and_by_a_newer_one(site: Site, anna: Visitor) -> None:
    shown = await anna.send(ADD, NINA)
    first = re.findall(r"/studio/invitation/[\w-]{43}", shown.text)[0]
    again = await anna.send(f"{MEMBERS}/{await uid(anna, 'nina@merchant.example')}/invite")
    second = re.findall(r"/studio/invitation/[\w-]{43}", again.text)[0]
    nina = await site.at_the_pages()
    assert (await nina.open(first)).status == 404
    assert (await nina.open(second)).status == 200
    site.clock.advance(timedelta(days=7))
    assert (await nina.open(second)).status == 404


async def test_a_refused_form_says_why_and_keeps_what_was_typed(anna: Visitor) -> None:
    for wrong, sentence in (
        ({"email": "no mail"}, "must be an e-mail address"),
        ({"name": " "}, "must not be empty"),
        ({"role": []}, "must be at least one"),
        ({"role": ["finance", "king"]}, "king is not one of"),
    ):
        refused = await anna.send(ADD, {**NINA, **wrong})
        assert refused.status == 422
        assert refused.words.count(sentence) == 2
        assert ('value="Nina"' in refused.text) == ("name" not in wrong)
    assert (await anna.send(ADD, {**NINA, "email": "MAYA1@merchant.example"})).status == 409


async def test_a_person_of_another_organisation_stays_the_same_person(
    site: Site, firm: Firm, anna: Visitor
) -> None:
    await site.firm(2)
    site.clock.advance(timedelta(seconds=1))
    added = await anna.send(ADD, {**NINA, "email": "Maya2@merchant.example", "role": ["auditor"]})
    (link,) = set(re.findall(r"/studio/invitation/[\w-]{43}", added.text))
    (member,) = set(re.findall(rf"{MEMBERS}/user_\w+", added.text))
    # Until she accepts, nothing is told of her but what was typed, and not what name.
    for page in (await anna.open(member), await anna.open(MEMBERS)):
        assert "<bdi>maya2@merchant.example</bdi>" in page.text
        assert "Nina" not in page.words
        assert "belongs to other organisations too" not in page.words
    maya = await site.at_the_pages("maya2@merchant.example")
    await maya.send(link)
    assert "<bdi>Maya</bdi>" in (await anna.open(member)).text
    assert (await maya.open(MEMBERS)).status == 403
    assert "belongs to other organisations too" in (await anna.open(member)).words
    await maya.send("/studio/organisation", {"org_id": str(firm.org_id), "next": "/studio"})
    assert (await maya.open(MEMBERS)).status == 200
    # What opens her account is not for an organisation that is not her only one.
    for action in ("reset-factor", "invite"):
        assert (await anna.send(f"{member}/{action}")).status == 409


async def test_roles_hold_from_the_next_click(site: Site, anna: Visitor) -> None:
    maya = await site.at_the_pages("maya1@merchant.example")
    assert (await maya.open(MEMBERS)).status == 403
    member = f"{MEMBERS}/{await uid(anna, 'Maya')}"
    done = await anna.send(f"{member}/roles", {"role": ["auditor"]})
    assert "The roles are changed" in done.words
    assert (await maya.open(MEMBERS)).status == 200
    actor = Actor("user_test", 1, frozenset({Permission.AUDIT}))
    ((entry, _),) = (await org_log.history(site.desk, actor)).entries
    assert entry.metadata == {"before": ["finance"], "after": ["auditor"]}
    assert entry.subject == member.rpartition("/")[2]
    assert entry.request_id is not None


async def test_whoever_is_disabled_is_out_at_once_and_their_keys_for_good(
    site: Site, firm: Firm, anna: Visitor
) -> None:
    maya = await site.at_the_pages("maya1@merchant.example")
    assert (await firm.merchant.list()).status == 200
    member = f"{MEMBERS}/{await uid(anna, 'Maya')}"
    assert "The member is disabled" in (await anna.send(f"{member}/disable")).words
    assert "sign-in" in (await maya.open("/studio")).address
    assert (await maya.sign_in("maya1@merchant.example", PASSWORD)).status == 403
    assert (await firm.merchant.list()).status == 401
    assert (await anna.send(f"{member}/disable")).status == 409
    await anna.send(f"{member}/enable")
    assert (await maya.sign_in("maya1@merchant.example", PASSWORD)).address.endswith("/studio")
    assert (await firm.merchant.list()).status == 401
    told = [event for event, _ in await events(site)]
    assert told == ["member_disabled", "member_enabled"]


async def test_a_lost_telephone(site: Site, anna: Visitor) -> None:
    maya = await site.at_the_pages("maya1@merchant.example")
    page = await maya.open("/studio/account/second-factor")
    secret = re.findall(r'name="secret" value="([A-Z2-7]+)"', page.text)[0]
    code = pyotp.TOTP(secret).at(site.clock.now())
    fields = {"secret": secret, "code": code}
    await maya.send("/studio/account/second-factor", fields, token=page.form_token)
    lost = await site.at_the_pages("maya1@merchant.example")
    assert "second-factor" in (await lost.open("/studio")).address
    member = f"{MEMBERS}/{await uid(anna, 'Maya')}"
    assert "signed out everywhere" in (await anna.send(f"{member}/reset-factor")).words
    assert "sign-in" in (await maya.open("/studio")).address
    home = await lost.sign_in("maya1@merchant.example", PASSWORD)
    assert home.address.endswith("/studio")


async def test_nobody_changes_themselves_and_one_administrator_stays(
    site: Site, firm: Firm, anna: Visitor
) -> None:
    herself = f"{MEMBERS}/{await uid(anna, 'Anna')}"
    for action in ("roles", "disable", "enable", "reset-factor", "invite"):
        refused = await anna.send(f"{herself}/{action}", {"role": ["administrator", "signer"]})
        assert refused.status == 403
    # Two administrators who take each other's role at the same time leave one.
    await site.person(firm.org_id, "arno", "administrator")
    arno = await site.at_the_pages("arno1@merchant.example")
    his = f"{MEMBERS}/{await uid(anna, 'Arno')}"
    assert (await anna.send(f"{his}/roles", {"role": ["auditor"]})).status == 200
    assert (await arno.send(f"{herself}/roles", {"role": ["auditor"]})).status == 403
    # His click was on its way already when he lost the role.
    late = Actor(his.rpartition("/")[2], 1, frozenset({Permission.ADMINISTER}))
    anna_id = ids.parse("user", herself.rpartition("/")[2])
    assert anna_id is not None
    with pytest.raises(Conflict, match="last administrator"):
        await membership.change_roles(site.desk, anna_id, ("auditor",), late)
    with pytest.raises(Conflict, match="last administrator"):
        await membership.disable(site.desk, anna_id, late)
    async with site.desk.database.reading() as tx:
        query = "SELECT count(*) FROM member WHERE 'administrator' = ANY(roles)"
        assert await one_value(tx, int, query, {}) == 1


async def test_changes_ask_who_is_there_once_more(site: Site, anna: Visitor) -> None:
    member = f"{MEMBERS}/{await uid(anna, 'Maya')}"
    site.clock.advance(timedelta(minutes=11))
    fields = {"role": ["auditor"]}
    assert (await anna.send(f"{member}/roles", fields)).status == 403
    assert (await anna.send(f"{member}/roles", {**fields, "proof": "wrong"})).status == 403
    assert await events(site) == []
    assert (await anna.send(f"{member}/roles", {**fields, "proof": PASSWORD})).status == 200


async def test_what_everybody_may_do_here(site: Site, anna: Visitor) -> None:
    member = f"{MEMBERS}/{await uid(anna, 'Colin')}"
    reading = (MEMBERS, member, "/studio/settings/log")
    changing = (ADD, *(f"{member}/{a}" for a in ("roles", "disable", "enable", "invite")))
    for name in ("maya", "rita", "sam", "otto", "ada"):
        visitor = await site.at_the_pages(f"{name}1@merchant.example")
        token = (await visitor.open("/studio")).form_token
        sees = 200 if name == "ada" else 403
        for path in reading:
            assert (await visitor.open(path)).status == sees, (name, path)
        for path in changing:
            refused = await visitor.send(path, {**NINA}, token=token)
            assert refused.status == 403, (name, path)
        roles = await visitor.open("/studio/settings")
        assert roles.status == 200
        assert ("Members" in roles.words) == (name == "ada")
    assert await events(site) == []
    stranger = await site.at_the_pages()
    for path in reading:
        assert "sign-in" in (await stranger.open(path)).address


async def test_members_of_others_do_not_exist(site: Site, anna: Visitor) -> None:
    other, token = await site.firm(2), (await anna.open(MEMBERS)).form_token
    for public in (other.merchant.uid, ids.public("user", site.desk.ids.new()), "x", "user_"):
        assert (await anna.open(f"{MEMBERS}/{public}")).status == 404
        for action in ("roles", "disable", "enable", "reset-factor", "invite"):
            path = f"{MEMBERS}/{public}/{action}"
            refused = await anna.send(path, {"role": ["signer"]}, token=token)
            assert refused.status == 404


async def test_the_history_can_not_be_rewritten_and_a_forged_one_is_found(
    site: Site, anna: Visitor
) -> None:
    member = f"{MEMBERS}/{await uid(anna, 'Maya')}"
    for roles in (["auditor"], ["auditor", "finance"], ["finance"]):
        await anna.send(f"{member}/roles", {"role": roles})
    good = await proving.verify_audit(site.desk)
    assert (good.org_entries, good.holds) == (3, True)
    for forging, finding in (
        ("UPDATE org_log SET event = 'x' WHERE sequence = 2", "seal does not match"),
        ("DELETE FROM org_log WHERE sequence = 3", "the end of the log is missing"),
        ("DELETE FROM org_log WHERE sequence = 1", "an entry is missing"),
    ):
        assert not await _allowed(site, forging)
        async with site.desk.database.transaction() as tx:
            await execute(tx, "GRANT UPDATE, DELETE ON org_log TO CURRENT_USER", {})
        async with site.desk.database.transaction() as tx:
            kept = await all_values(tx, str, "SELECT org_log::text FROM org_log", {})
            await tx.execute(forging)
        (broken,) = (await proving.verify_audit(site.desk)).org_breaks
        assert finding in broken.finding
        assert "Broken at entry" in (await anna.open("/studio/settings/log")).words
        async with site.desk.database.transaction() as tx:
            await execute(tx, "DELETE FROM org_log", {})
            for row in kept:
                query = "INSERT INTO org_log SELECT (%(row)s::org_log).*"
                await execute(tx, query, {"row": row})
            await execute(tx, "REVOKE UPDATE, DELETE ON org_log FROM CURRENT_USER", {})
    assert (await proving.verify_audit(site.desk)).holds


async def _allowed(site: Site, query: str) -> bool:
    try:
        async with site.desk.database.transaction() as tx:
            await tx.execute(query)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True
