"""Roles by which people decide about money: they hold once a second administrator agrees.

Or after the time of waiting that payout rules have, so that an organisation with one administrator
gets on, and everybody else can notice. One stolen account so makes nobody who could be a second
person to it. Roles that were taken away, and members who are kept out, are so at once.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from counterfoil.books import grants, members, orgs
from counterfoil.books.grants import Grant
from counterfoil.books.members import MemberRow
from counterfoil.core import ids
from counterfoil.core.errors import Forbidden, NotFound
from counterfoil.core.roles import Actor, Permission, roles_that_wait, system
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note
from counterfoil.desk.the_org import the_org

__all__ = ["Grant"]

_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Waiting:
    """A role that does not hold yet: whose, who asked for it, and who may agree."""

    grant: Grant
    member: str
    name: str
    asked_by: str
    may_agree: bool


async def waiting(desk: Desk, by: Actor) -> Sequence[Waiting]:
    """All that wait in the actor's organisation. Raises `Forbidden`."""
    by.require(Permission.AUDIT)
    async with desk.database.reading() as tx:
        found = await grants.of_org(tx, by.org_id)
        people = await orgs.everybody(tx, by.org_id)
    names = {ids.public("user", one.member_id): one.name for one in people}
    told = [(one, ids.public("user", one.member_id)) for one in found]
    return [
        Waiting(
            grant=one,
            member=uid,
            name=names.get(uid, uid),
            asked_by=names.get(one.asked_by, one.asked_by),
            may_agree=Permission.ADMINISTER in by.permissions and by.uid not in {uid, *one.askers},
        )
        for one, uid in told
    ]


async def to_agree(desk: Desk, by: Actor) -> int:
    """How many roles wait for the word of exactly this member."""
    if Permission.ADMINISTER not in by.permissions:
        return 0
    return sum(one.may_agree for one in await waiting(desk, by))


async def mine(desk: Desk, by: Actor) -> list[Grant]:
    """The roles that the actor waits for."""
    async with desk.database.reading() as tx:
        found = await grants.of_org(tx, by.org_id)
    return [one for one in found if ids.public("user", one.member_id) == by.uid]


async def agree(desk: Desk, member_id: UUID, role: str, by: Actor) -> None:
    """Have a role hold now that another administrator asked for.

    Raises `Forbidden` for whoever asked or had it begin again, and for the member, `NotFound` for
    what does not wait.
    """
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        found = await _one(tx, member_id, role, by)
        if by.uid in found.askers:
            raise Forbidden("whoever asked for a role does not agree to it; ask another person")
        if ids.public("user", member_id) == by.uid:
            raise Forbidden("nobody agrees to a role of their own; ask another person")
        await _begin(desk, tx, found, by, "role_agreed")

    await desk.database.run(work)


async def call_off(desk: Desk, member_id: UUID, role: str, by: Actor) -> None:
    """Have a role not come to hold. Raises `Forbidden`, `NotFound` for what does not wait."""
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        found = await _one(tx, member_id, role, by)
        await _drop(desk, tx, [found], by)

    await desk.database.run(work)


async def begin_due(desk: Desk) -> bool:
    """Have roles hold whose time of waiting is over; True when there may be more."""
    async with desk.database.reading() as tx:
        found = await grants.due(tx, desk.clock.now(), limit=_AT_ONCE)
    for one in found:
        await _begin_alone(desk, one)
    return len(found) == _AT_ONCE


async def give(  # noqa: PLR0913, PLR0917 - who gives whom what instead of what
    desk: Desk,
    tx: Tx,
    member_id: UUID,
    held: Collection[str],
    wanted: Collection[str],
    by: Actor,
) -> tuple[str, ...]:
    """The roles of those wanted that hold at once; the others are asked for.

    What is asked for already keeps its time, what is not wanted any more is called off. The
    caller holds the organisation, and writes down what is answered. The operator's word is
    enough for any role.
    """
    later = frozenset() if by.is_operator else roles_that_wait(held, wanted, by.permissions)
    present = [one for one in await grants.of_org(tx, by.org_id) if one.member_id == member_id]
    await _drop(desk, tx, [one for one in present if one.role not in later], by)
    await _ask(desk, tx, member_id, later.difference(one.role for one in present), by)
    return tuple(role for role in dict.fromkeys(wanted) if role not in later)


async def give_anew(desk: Desk, tx: Tx, member: MemberRow, by: Actor) -> None:
    """Have all that a member holds or waits for begin again, as if ``by`` gave it just now.

    Of what waits already, whoever asked first stays one who asked: neither they nor ``by``, who
    knows the new link, agree.
    """
    present = await grants.of_org(tx, by.org_id)
    roles = [*member.roles, *(one.role for one in present if one.member_id == member.member_id)]
    later = frozenset() if by.is_operator else roles_that_wait((), roles, by.permissions)
    await _ask(desk, tx, member.member_id, later, by)
    if later.intersection(member.roles):
        kept = tuple(role for role in member.roles if role not in later)
        await members.set_roles(tx, by.org_id, member.member_id, kept)


async def drop_of(desk: Desk, tx: Tx, member: MemberRow, by: Actor, *, asked: bool) -> None:
    """Call off what a member waits for; ``asked``: what they asked for, for others."""
    uid = ids.public("user", member.member_id)
    present = await grants.of_org(tx, by.org_id)
    chosen = (
        one
        for one in present
        if (uid in one.askers if asked else one.member_id == member.member_id)
    )
    await _drop(desk, tx, list(chosen), by)


async def _ask(desk: Desk, tx: Tx, member_id: UUID, roles: Collection[str], by: Actor) -> None:
    if not roles:
        return
    org = await the_org(tx, by.org_id)
    now = desk.clock.now()
    holds_at = now + org.policy.payouts.in_force(now).wait
    waiting_now = {
        one.role: one for one in await grants.of_org(tx, by.org_id) if one.member_id == member_id
    }
    for role in sorted(roles):
        before = waiting_now.get(role)
        first = by.uid if before is None else before.asked_by
        others = sorted({by.uid, *(() if before is None else before.renewed_by)} - {first})
        await grants.put(tx, Grant(by.org_id, member_id, role, first, now, holds_at, others))
    uid, at = ids.public("user", member_id), holds_at.isoformat()
    await note(desk, tx, by, "roles_asked", uid, roles=sorted(roles), holds_at=at)


async def _drop(desk: Desk, tx: Tx, found: Collection[Grant], by: Actor) -> None:
    for member_id in dict.fromkeys(one.member_id for one in found):
        roles = sorted(one.role for one in found if one.member_id == member_id)
        await grants.remove(tx, by.org_id, member_id, roles)
        await note(desk, tx, by, "roles_called_off", ids.public("user", member_id), roles=roles)


async def _begin_alone(desk: Desk, due: Grant) -> None:
    async def work(tx: Tx) -> None:
        await orgs.hold(tx, due.org_id)
        found = await grants.get(tx, due.org_id, due.member_id, due.role)
        # Meanwhile called off, agreed to, or asked for anew.
        if found is not None and found.holds_at <= desk.clock.now():
            await _begin(desk, tx, found, system("roles", due.org_id), "role_waited")

    await desk.database.run(work)


async def _begin(desk: Desk, tx: Tx, grant: Grant, by: Actor, event: str) -> None:
    member = await members.get(tx, grant.org_id, grant.member_id)
    if member is None:
        raise NotFound("there is no such member")
    await grants.remove(tx, grant.org_id, grant.member_id, [grant.role])
    roles = tuple(dict.fromkeys((*member.roles, grant.role)))
    await members.set_roles(tx, grant.org_id, grant.member_id, roles)
    uid = ids.public("user", grant.member_id)
    await note(desk, tx, by, event, uid, role=grant.role, asked_by=grant.asked_by)


async def _one(tx: Tx, member_id: UUID, role: str, by: Actor) -> Grant:
    found = await grants.get(tx, by.org_id, member_id, role)
    if found is None:
        raise NotFound("there is no such role that waits")
    return found
