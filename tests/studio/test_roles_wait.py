"""Roles by which people decide about money: a second administrator agrees, or time goes by."""

import re
from datetime import timedelta

from counterfoil.core.payout_rules import PayoutRules
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.desk import granting, org_log, payout_addresses, proving
from support.contents import all_tables
from support.payments import PDF, Payments
from support.site import PASSWORD, Firm, Site
from support.visitor import Page, Visitor

MEMBERS = "/studio/settings/members"
READER = Actor("user_test", 1, frozenset({Permission.AUDIT, Permission.READ}))
PUPPET = "sock puppet pass 7!"
DAY = timedelta(days=1)
THIEVES = "0x" + "7e" * 20
REGISTERING: dict[str, dict[str, str | list[str]]] = {
    "/studio/settings/bank-accounts": {
        "label": "Main",
        "currency": "TWD",
        "holder": "Me",
        "bank_name": "Thief Bank",
        "bank_code": "012",
        "account_number": "9123456789",
    },
    "/studio/settings/payout-addresses": {"family": "evm", "address": THIEVES, "label": "Mine"},
}


async def member(who: Visitor, name: str) -> str:
    page = await who.open(MEMBERS)
    found = re.search(rf'members/(user_[0-9a-f]+)"><bdi>{name}<', page.text)
    assert found is not None, page.words
    return f"{MEMBERS}/{found[1]}"


async def add(who: Visitor, name: str, *roles: str) -> Page:
    fields = {"email": f"{name}@evil.example", "name": name.title(), "role": list(roles)}
    return await who.send(f"{MEMBERS}/add", fields)


async def puppet(site: Site, thief: Visitor, name: str, *roles: str) -> Visitor:
    """Somebody who is the thief: the link is shown to whoever asked for it."""
    link = re.findall(r"/studio/invitation/[\w-]{43}", (await add(thief, name, *roles)).text)[0]
    visitor = await site.at_the_pages()
    token = (await visitor.open(link)).form_token
    await visitor.send(link, {"password": PUPPET, "again": PUPPET}, token=token)
    await visitor.sign_in(f"{name}@evil.example", PUPPET)
    return visitor


async def events(*, of: Site) -> list[tuple[str, str, dict[str, object]]]:
    found = await org_log.history(of.desk, READER)
    assert found.broken is None
    return [
        (e.event, found.names.get(e.operator_uid, e.operator_uid), dict(e.metadata))
        for e, _ in found.entries
    ]


async def may(who: Visitor, path: str) -> bool:
    page = await who.open(path, follow=False)
    assert page.status in {200, 403}, page.headers
    return page.status == 200


async def test_one_stolen_administrator_makes_nobody_who_takes_the_money(
    site: Site, firm: Firm, payments: Payments, anna: Visitor, database: Database
) -> None:
    """The thief has Anna's account, two people of their own making, and a minute."""
    made = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made)
    one = await puppet(site, anna, "ann", "administrator", "signer", "finance")
    two = await puppet(site, anna, "bob", "administrator", "signer", "reviewer")
    told = (await one.open("/studio")).words
    for role in ("Signer", "Administrator"):
        assert f"You were given the role {role}. It holds from 2026-06-23 12:00 UTC on" in told
    assert "You have no role in this organisation just now" in (await two.open("/studio")).words
    receipt = (await firm.signer.upload(PDF)).data["file_id"]
    before = await all_tables(database)
    refund: dict[str, str | list[str]] = {"reason": "x", "address": THIEVES, "file_id": [receipt]}
    complete = {**REGISTERING, f"/studio/invoices/{made}/refund": refund}
    forms: dict[str, dict[str, str | list[str]]] = {
        **complete,
        f"{MEMBERS}/add": {"email": "c@evil.example", "name": "C", "role": "signer"},
        f"/studio/invoices/{made}/sign_off": {},
        f"/studio/invoices/{made}/approve_refund": {},
    }
    for thief in (one, two):
        token = (await thief.open("/studio/account")).form_token
        for path, fields in forms.items():
            assert (await thief.send(path, fields, token=token)).status == 403, path
        key = {"label": "k", "permission": "transfer:sign", "last_day": "2026-07-01"}
        refused = await thief.send("/studio/settings/keys", key, token=token)
        assert refused.status == 403 or "is none that you have" in refused.words
    # Nor do they agree to each other, or Anna to what she asked for.
    ann, bob = await member(anna, "Ann"), await member(anna, "Bob")
    for thief, whom in ((one, bob), (two, ann), (anna, ann), (anna, bob)):
        token = (await thief.open("/studio/account")).form_token
        assert (await thief.send(f"{whom}/roles/signer/agree", token=token)).status == 403
    assert await all_tables(database) == before
    assert (await firm.auditor.look(made)).data["status"] == "sign_pending"
    # Everybody reads of it, and Arno puts an end to it.
    await site.person(firm.org_id, "arno", "administrator")
    arno = await site.at_the_pages("arno1@merchant.example")
    assert "are given to Bob; they hold from" in (await arno.open("/studio/now")).words
    await arno.send(f"{await member(arno, 'Anna')}/disable")
    assert "Roles that wait" not in (await arno.open(MEMBERS)).words
    site.clock.advance(DAY)
    assert not await granting.begin_due(site.desk)
    await two.sign_in("bob@evil.example", PUPPET)
    assert not await may(two, "/studio/queue/sign")
    assert await payments.moves(made) == []
    # Those forms were good: whoever may do so is let.
    sam = await site.at_the_pages("sam1@merchant.example")
    await arno.sign_in("arno1@merchant.example", PASSWORD)
    for path, fields in complete.items():
        done = await (sam if path.endswith("refund") else arno).send(path, fields)
        assert done.status == 200, (path, done.words)


async def test_a_second_administrator_agrees_and_the_role_holds(
    site: Site, anna: Visitor, arno: Visitor
) -> None:
    maya, path = await site.at_the_pages("maya1@merchant.example"), await member(anna, "Maya")
    mine = await anna.send(f"{path}/roles", {"role": ["finance", "signer"]})
    assert not await may(maya, "/studio/queue/sign")
    assert "2026-06-23 12:00 UTC" in mine.words
    assert f"{path}/roles/signer/agree" not in mine.text
    assert f"{path}/roles/signer/call-off" in mine.text
    refused = await anna.send(f"{path}/roles/signer/agree")
    assert (refused.status, "whoever asked for a role" in refused.words) == (403, True)
    assert "Roles to agree to" not in (await anna.open("/studio")).words
    assert "Roles to agree to 1" in (await arno.open("/studio")).words
    theirs = await arno.open(MEMBERS)
    assert "Maya Signer Anna 2026-06-22 12:00 UTC" in theirs.words
    assert f"{path}/roles/signer/agree" in theirs.text
    done = await arno.send(f"{path}/roles/signer/agree")
    assert "Agreed. The role holds" in done.words
    assert await may(maya, "/studio/queue/sign")
    assert "You were given" not in (await maya.open("/studio")).words
    assert (await arno.send(f"{path}/roles/signer/agree")).status == 404
    told = await events(of=site)
    assert [(event, who) for event, who, _ in told] == [
        ("roles_asked", "Anna"),
        ("role_agreed", "Arno"),
    ]
    assert told[0][2] == {"roles": ["signer"], "holds_at": "2026-06-23T12:00:00+00:00"}
    assert (await proving.verify_audit(site.desk)).holds


async def test_a_role_holds_when_its_time_has_come(site: Site, anna: Visitor) -> None:
    maya = await site.at_the_pages("maya1@merchant.example")
    path = await member(anna, "Maya")
    await anna.send(f"{path}/roles", {"role": ["finance", "reviewer", "auditor"]})
    assert await may(maya, MEMBERS)
    assert not await may(maya, "/studio/approvals")
    site.clock.advance(timedelta(minutes=20))
    # Whoever saves the form as it is changes nothing, and no time begins anew.
    fields = {"role": ["finance", "reviewer", "auditor"], "proof": PASSWORD}
    await anna.send(f"{path}/roles", fields)
    site.clock.advance(DAY - timedelta(minutes=21))
    assert not await granting.begin_due(site.desk)
    site.clock.advance(timedelta(minutes=1))
    assert not await granting.begin_due(site.desk)
    late = await site.at_the_pages("maya1@merchant.example")
    assert await may(late, "/studio/approvals")
    told = [(event, who) for event, who, _ in await events(of=site)]
    assert told == [
        ("roles_asked", "Anna"),
        ("member_roles_changed", "Anna"),
        ("role_waited", "system:roles"),
    ]
    assert not await granting.begin_due(site.desk)
    assert len(await events(of=site)) == len(told)


async def test_a_longer_waiting_reaches_roles_that_wait_and_a_shorter_one_does_not(
    site: Site, anna: Visitor
) -> None:
    def rules(hours: int) -> PayoutRules:
        return PayoutRules(wait_hours=hours)

    arno = Actor("user_arno", 1, frozenset({Permission.ADMINISTER}))
    await add(anna, "ann", "signer")
    await payout_addresses.change_rules(site.desk, rules(12), arno)
    (waits,) = await granting.waiting(site.desk, READER)
    assert waits.grant.holds_at == site.clock.now() + DAY
    await payout_addresses.change_rules(site.desk, rules(72), arno)
    site.clock.advance(2 * DAY)
    assert not await granting.begin_due(site.desk)
    (waits,) = await granting.waiting(site.desk, READER)
    assert waits.grant.holds_at == site.clock.now() + DAY
    site.clock.advance(DAY)
    await granting.begin_due(site.desk)
    assert await granting.waiting(site.desk, READER) == []
    told = [data["held_back"] for _, _, data in await events(of=site) if "held_back" in data]
    assert told == [1]


async def test_any_administrator_calls_it_off_and_what_is_taken_ends_at_once(
    site: Site, anna: Visitor, arno: Visitor
) -> None:
    sam, path = await site.at_the_pages("sam1@merchant.example"), await member(anna, "Sam")
    await anna.send(f"{path}/roles", {"role": ["signer", "reviewer", "compliance"]})
    off = await arno.send(f"{path}/roles/reviewer/call-off")
    assert "The role is called off" in off.words
    taken = await arno.send(f"{path}/roles", {"role": ["auditor"]})
    assert "Roles that wait" not in taken.words
    assert not await may(sam, "/studio/queue/sign")
    await anna.send(f"{path}/roles", {"role": ["auditor", "signer"]})
    assert not await may(sam, "/studio/queue/sign")
    # Who administers no more has nothing come to hold.
    await arno.send(f"{await member(arno, 'Anna')}/roles", {"role": ["auditor"]})
    site.clock.advance(DAY)
    await granting.begin_due(site.desk)
    late = await site.at_the_pages("sam1@merchant.example")
    assert await may(late, MEMBERS)
    assert not await may(late, "/studio/queue/sign")
    dropped = [told for event, _, told in await events(of=site) if event == "roles_called_off"]
    assert dropped == [{"roles": [role]} for role in ("reviewer", "compliance", "signer")]


async def test_no_way_round_it(site: Site, firm: Firm, anna: Visitor, arno: Visitor) -> None:
    """Who left and is let in again, whose link is new, and a checker who makes a maker."""
    sam, path = await site.at_the_pages("sam1@merchant.example"), await member(anna, "Sam")
    await anna.send(f"{path}/disable")
    await anna.send(f"{path}/enable")
    await sam.sign_in("sam1@merchant.example", PASSWORD)
    assert "You were given the role Signer" in (await sam.open("/studio")).words
    assert not await may(sam, "/studio/queue/sign")
    # Arno agreed to Nina, and Anna makes herself a link that is Nina's; or the other way round.
    invited = await add(anna, "nina", "signer")
    waits = "The role Signer does not hold yet: it waits for another administrator to agree"
    assert waits in invited.words
    shown = re.findall(r"/studio/invitation/[\w-]{43}", invited.text)[0]
    opened = await (await site.at_the_pages()).open(shown)
    assert "The role Signer waits: you have it from 2026-06-23 12:00 UTC on" in opened.words
    await add(arno, "nora", "signer")
    nina, nora = await member(anna, "nina@evil.example"), await member(anna, "nora@evil.example")
    await arno.send(f"{nina}/roles/signer/agree")
    for made in (nina, nora):
        await anna.send(f"{made}/invite")
        assert (await anna.send(f"{made}/roles/signer/agree")).status == 403
        assert (f"{made}/roles/signer/agree" in (await arno.open(MEMBERS)).text) == (made == nina)
        assert "Signer: waits" in (await anna.open(MEMBERS)).words
    # Who asked for Nora's role first is no second person to it, though Anna made the last link.
    assert (await arno.send(f"{nora}/roles/signer/agree")).status == 403
    # Rosa reviews and administers: who makes invoices for her waits, too.
    await site.person(firm.org_id, "rosa", "reviewer", "administrator")
    rosa = await site.at_the_pages("rosa1@merchant.example")
    await add(rosa, "mike", "finance")
    assert "Finance: waits" in (await rosa.open(MEMBERS)).words
