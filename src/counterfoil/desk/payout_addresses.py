"""Registered payout addresses: added by one, approved by another, good after a while.

Whoever takes over one account can so neither register an address nor use it at once
(specs/reliability.md T34). An address is screened when it is added and when it is approved. Where
the organisation pays out to registered addresses only, `desk.registered` refuses all others.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from psycopg.errors import LockNotAvailable, UniqueViolation

from counterfoil.books import bank_accounts, grants, orgs, profiles
from counterfoil.books.profiles import PayoutAddress
from counterfoil.core import ids
from counterfoil.core.errors import Conflict, Invalid, NotFound, Unavailable
from counterfoil.core.payout_rules import (
    LONGEST_HOURS,
    SHORTEST_HOURS,
    PayoutPolicy,
    PayoutRules,
)
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.text import clean_text
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.destinations import check_destination, sanctioning
from counterfoil.desk.org_log import note
from counterfoil.desk.registering import (
    Known,
    may_approve,
    must_be_another,
    must_look_like_no_other,
    rules_of,
)
from counterfoil.desk.the_org import the_org

LABEL_LENGTH: Final = 80


@dataclass(frozen=True, slots=True)
class Directory:
    """All registered addresses, what is asked of them, and people's names by uid.

    ``to_approve`` are those that wait for the approval of exactly who asks.
    """

    addresses: Sequence[PayoutAddress]
    policy: PayoutPolicy
    names: Mapping[str, str]
    to_approve: frozenset[UUID]


async def registered(desk: Desk, by: Actor) -> Directory:
    """The addresses of the actor's organisation, and its rules. Raises `Forbidden`."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        found = await profiles.payout_addresses(tx, by.org_id)
        people = await orgs.everybody(tx, by.org_id)
        org = await the_org(tx, by.org_id)
    names = {ids.public("user", one.member_id): one.name for one in people}
    return Directory(found, org.policy.payouts, names, _to_approve(found, by))


async def to_approve(desk: Desk, by: Actor) -> int:
    """How many addresses wait for the approval of exactly this member."""
    if Permission.ADMINISTER not in by.permissions:
        return 0
    async with desk.database.reading() as tx:
        found = await profiles.payout_addresses(tx, by.org_id)
    return len(_to_approve(found, by))


def _to_approve(found: Sequence[PayoutAddress], by: Actor) -> frozenset[UUID]:
    waiting = (one for one in found if one.usable_at is None)
    return frozenset(one.payout_address_id for one in waiting if may_approve(one.added_by, by))


async def add(desk: Desk, family: str, address: str, label: str, *, by: Actor) -> UUID:
    """Register an address; where two people are asked for, it waits for another one's approval.

    Raises `Forbidden`, `Invalid` naming the field, also for an address on a sanctions list or a
    name or an address that only looks like a registered one, and `Conflict` for one that is
    registered.
    """
    by.require(Permission.ADMINISTER)
    called = clean_text(label, "label", max_length=LABEL_LENGTH)
    if family not in desk.addresses:
        raise Invalid.field("family", f"must be one of {', '.join(sorted(desk.addresses))}")

    async def work(tx: Tx) -> UUID:
        await orgs.hold(tx, by.org_id)
        checked = await check_destination(desk, tx, family, address.strip(), "address")
        await _screen(tx, by.org_id, family, checked)
        known = await profiles.payout_addresses(tx, by.org_id)
        must_look_like_no_other(
            (Known(one.label, one.address, one.address) for one in known),
            Known(called, checked, checked),
            "address",
        )
        now = desk.clock.now()
        rules = await rules_of(tx, by.org_id, now)
        row = PayoutAddress(
            payout_address_id=desk.ids.new(),
            family=family,
            address=checked,
            label=called,
            added_by=by.uid,
            added_at=now,
            approved_by=None,
            approved_at=None,
            usable_at=rules.good_from(now),
        )
        await profiles.insert_payout_address(tx, by.org_id, row)
        await note(desk, tx, by, "payout_address_added", checked, family=family, label=called)
        return row.payout_address_id

    try:
        return await desk.database.run(work)
    except UniqueViolation:
        sentence = "is registered already"
        raise Conflict(f"address: {sentence}", fields={"address": sentence}) from None


async def approve(desk: Desk, payout_address_id: UUID, by: Actor) -> None:
    """Approve what somebody else added; it is good after the time of waiting.

    Raises `Forbidden`, also for whoever added it, `NotFound`, `Conflict` for one that needs no
    approval, and `Invalid` where it is on a sanctions list by now.
    """
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        found = await _one(tx, payout_address_id, by)
        must_be_another(found.added_by, by)
        if found.usable_at is not None:
            raise Conflict("this address is approved already")
        await _screen(tx, by.org_id, found.family, found.address)
        now = desk.clock.now()
        usable_at = now + (await rules_of(tx, by.org_id, now)).wait
        await profiles.approve_payout_address(
            tx, by.org_id, payout_address_id, by=by.uid, at=now, usable_at=usable_at
        )
        at = usable_at.isoformat()
        await note(desk, tx, by, "payout_address_approved", found.address, usable_at=at)

    await desk.database.run(work)


async def remove(desk: Desk, payout_address_id: UUID, by: Actor) -> None:
    """Take an address away: no payout is signed from then on that goes there, whatever the rules.

    It waits for a signature under way. Registered again, the address is good as any other, after
    its approval and the waiting. Raises `Forbidden`, `NotFound`, and `Unavailable` where the
    wait is too long; then nothing has changed.
    """
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        found = await _one(tx, payout_address_id, by)
        now = desk.clock.now()
        try:
            await profiles.remove_payout_address(tx, by.org_id, payout_address_id, now)
        except LockNotAvailable:
            raise Unavailable(
                "payments to this address are being signed just now, so it is not removed yet; do"
                " it again in a few seconds"
            ) from None
        await note(desk, tx, by, "payout_address_removed", found.address)

    await desk.database.run(work)


async def choose_default(desk: Desk, payout_address_id: UUID, by: Actor, *, on: bool) -> None:
    """Have the form of an invoice begin with an address, or with none again.

    Raises `Forbidden`, `NotFound`, and `Conflict` for an address that is not good yet.
    """
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        found = await _one(tx, payout_address_id, by)
        if on and not found.is_usable(desk.clock.now()):
            raise Conflict("this address is not good yet; make it the default once it is")
        org = await the_org(tx, by.org_id)
        defaults = {**org.policy.payouts.defaults}
        if on:
            defaults[found.family] = payout_address_id
        elif defaults.get(found.family) == payout_address_id:
            del defaults[found.family]
        payouts = replace(org.policy.payouts, defaults=defaults)
        await orgs.save_policy(tx, by.org_id, msgspec.structs.replace(org.policy, payouts=payouts))
        await note(desk, tx, by, "payout_default_chosen", found.address, family=found.family, on=on)

    await desk.database.run(work)


async def change_rules(
    desk: Desk, to: PayoutRules, by: Actor, take_back: Collection[str] = ()
) -> PayoutPolicy:
    """Ask for other rules: what is stricter holds at once, what is looser after the waiting.

    Of ``to`` counts what differs from the rules in force. What was announced before goes on
    waiting, but for a rule that is asked for anew or named in ``take_back``. What is stricter holds
    for addresses and bank accounts that are registered and not good yet as well: they wait for the
    second person, or longer. A longer waiting holds for roles that wait. Raises `Forbidden`, and
    `Invalid` naming the field.
    """
    by.require(Permission.ADMINISTER)
    if not SHORTEST_HOURS <= to.wait_hours <= LONGEST_HOURS:
        sentence = f"must be from {SHORTEST_HOURS} to {LONGEST_HOURS} hours"
        raise Invalid.field("wait_hours", sentence)

    async def work(tx: Tx) -> PayoutPolicy:
        await orgs.hold(tx, by.org_id)
        org = await the_org(tx, by.org_id)
        now = desk.clock.now()
        before = org.policy.payouts
        present = before.in_force(now)
        named = {
            one.name: getattr(to, one.name)
            for one in fields(to)
            if one.name in take_back or getattr(to, one.name) != getattr(present, one.name)
        }
        after = before.changed(replace(before.to_come(now), **named), now, by.uid)
        if (after.rules, after.next_rules) == (before.in_force(now), before.announced(now)):
            return before
        await orgs.save_policy(tx, by.org_id, msgspec.structs.replace(org.policy, payouts=after))
        told = {
            "before": msgspec.to_builtins(before.in_force(now)),
            "after": msgspec.to_builtins(after.rules),
        }
        if after.next_rules is not None and after.next_at is not None:
            told |= {"later": msgspec.to_builtins(after.next_rules)}
            told |= {"from": after.next_at.isoformat()}
        if held := await _hold_back(tx, by.org_id, after.rules, now):
            told |= {"held_back": held}
        await note(desk, tx, by, "payout_rules_changed", "", **told)
        return after

    return await desk.database.run(work)


async def _hold_back(tx: Tx, org_id: int, rules: PayoutRules, now: datetime) -> int:
    """Have what is not good yet keep to the rules as they are now; answers how many those are."""
    two, wait = rules.two_people, rules.wait
    held = await profiles.hold_payout_addresses_back(tx, org_id, now, two_people=two, wait=wait)
    held += await bank_accounts.hold_back(tx, org_id, now, two_people=two, wait=wait)
    return held + await grants.hold_back(tx, org_id, now, wait)


async def _one(tx: Tx, payout_address_id: UUID, by: Actor) -> PayoutAddress:
    for one in await profiles.payout_addresses(tx, by.org_id):
        if one.payout_address_id == payout_address_id:
            return one
    raise NotFound("there is no such payout address")


async def _screen(tx: Tx, org_id: int, family: str, address: str) -> None:
    lists = await sanctioning(tx, org_id, family, address)
    if lists:
        sentence = f"is on the sanctions list {' and '.join(lists)}; nothing may be sent there"
        raise Invalid.field("address", sentence)
