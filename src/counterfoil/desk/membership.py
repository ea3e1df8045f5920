"""Who belongs to an organisation: bringing people in, changing what they may, keeping them out.

Whoever is brought in joins by accepting (`desk.joining`); until then they are nobody here. Nobody
changes what they may do themselves, and one administrator always stays. Roles by which people
decide about money wait for a second administrator, or for time (`desk.granting`). People sign in
with one password wherever they belong, so their second factor is taken away only by the
organisation that is their only one.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar
from uuid import UUID

from psycopg.errors import UniqueViolation

from counterfoil.books import members, orgs, passkeys, sessions
from counterfoil.books.members import MemberRow
from counterfoil.books.orgs import Member
from counterfoil.core import ids
from counterfoil.core.errors import Conflict, Forbidden, Invalid, NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.text import clean_email, clean_text
from counterfoil.db.pool import Tx
from counterfoil.desk import disowning, granting
from counterfoil.desk.desk import Desk
from counterfoil.desk.members import check_roles
from counterfoil.desk.org_log import note
from counterfoil.desk.passwords import Passwords
from counterfoil.desk.signing_in import hash_of

T = TypeVar("T")

INVITED_FOR: Final = timedelta(days=7)
NAME_LENGTH: Final = 100


@dataclass(frozen=True, slots=True)
class Invited:
    """A member who was added. ``token`` belongs into the link with which they accept."""

    member_id: UUID
    token: str


async def everybody(desk: Desk, by: Actor) -> list[MemberRow]:
    """All members, disabled ones too. Raises `Forbidden`."""
    by.require(Permission.AUDIT)
    async with desk.database.reading() as tx:
        return await members.of_org(tx, by.org_id)


async def one(desk: Desk, member_id: UUID, by: Actor) -> MemberRow:
    """A member. Raises `Forbidden`, and `NotFound` also for those of other organisations."""
    by.require(Permission.AUDIT)
    async with desk.database.reading() as tx:
        return await _member(tx, member_id, by)


async def add(  # noqa: PLR0913 - what a person and a membership have
    desk: Desk,
    passwords: Passwords,
    by: Actor,
    *,
    email: str,
    name: str,
    roles: tuple[str, ...],
) -> Invited:
    """Invite somebody to be a member; whoever is a person here already stays the same person.

    Of the roles those hold at once that do not wait (`desk.granting`). Raises `Forbidden`,
    `Invalid` naming the field, and `Conflict` for somebody who is a member.
    """
    by.require(Permission.ADMINISTER)
    address = clean_email(email.strip(), "email")
    called = clean_text(name, "name", max_length=NAME_LENGTH)
    wanted = _roles(roles)
    token = secrets.token_urlsafe(32)
    # A password that nobody knows, so that signing in takes as long as for anybody else.
    unknown = await passwords.hashed(secrets.token_urlsafe(32))

    async def work(tx: Tx) -> Invited:
        now = desk.clock.now()
        member_id = desk.ids.new()
        person = await sessions.person_by_email(tx, address)
        person_id = desk.ids.new() if person is None else person.person_id
        uid = ids.public("user", member_id)
        await orgs.hold(tx, by.org_id)
        await note(desk, tx, by, "member_added", uid, email=address, roles=sorted(wanted))
        at_once = await granting.give(desk, tx, member_id, (), wanted, by)
        if person is None:
            row = Member(by.org_id, member_id, person_id, address, called, at_once)
            await orgs.insert_member(tx, row, unknown, now, invited=True)
        else:
            await members.insert(
                tx,
                by.org_id,
                member_id=member_id,
                person_id=person_id,
                roles=at_once,
                created_at=now,
            )
        await members.invite(
            tx, by.org_id, member_id, hash_of(token), now=now, expires_at=now + INVITED_FOR
        )
        return Invited(member_id, token)

    try:
        return await desk.database.run(work)
    except UniqueViolation:
        sentence = "is a member here already; a disabled member is let in again on their page"
        raise Conflict(f"email: {sentence}", fields={"email": sentence}) from None


async def change_roles(desk: Desk, member_id: UUID, roles: tuple[str, ...], by: Actor) -> None:
    """Give a member these roles and no others; what decides about money waits (`desk.granting`).

    Whoever administers no longer asks for nothing any more: what they asked for is called off, and
    what they announced taken back (`desk.disowning`).
    Raises `Forbidden` for oneself, `Invalid` for unknown roles or none, `Conflict` where no
    administrator would be left.
    """
    wanted = _roles(roles)

    async def change(tx: Tx, member: MemberRow) -> None:
        if "administrator" not in wanted:
            await _one_stays(tx, member, by)
            await granting.drop_of(desk, tx, member, by, asked=True)
            await disowning.take_back(desk, tx, _uid(member), by)
        at_once = await granting.give(desk, tx, member_id, member.roles, wanted, by)
        before, after = sorted(member.roles), sorted(at_once)
        if after != before:
            uid = _uid(member)
            await note(desk, tx, by, "member_roles_changed", uid, before=before, after=after)
            await members.set_roles(tx, by.org_id, member_id, at_once)

    await _with_other(desk, member_id, by, change)


async def disable(desk: Desk, member_id: UUID, by: Actor) -> None:
    """Keep a member out: their sessions here and their keys end at once.

    So does what they wait for, and what they asked for or announced and does not hold yet.
    Raises as `change_roles`, and `Conflict` for one who is disabled.
    """

    async def change(tx: Tx, member: MemberRow) -> None:
        if member.disabled_at is not None:
            raise Conflict("this member is disabled already")
        await _one_stays(tx, member, by)
        now = desk.clock.now()
        await members.set_disabled(tx, by.org_id, member_id, now)
        ended = await members.end_sessions_here(tx, by.org_id, member.person_id, now)
        keys = await members.revoke_keys(tx, by.org_id, member_id, now)
        for asked in (False, True):
            await granting.drop_of(desk, tx, member, by, asked=asked)
        await disowning.take_back(desk, tx, _uid(member), by)
        await note(
            desk,
            tx,
            by,
            "member_disabled",
            _uid(member),
            sessions_ended=ended,
            keys_revoked=keys,
        )

    await _with_other(desk, member_id, by, change)


async def enable(desk: Desk, member_id: UUID, by: Actor) -> None:
    """Let a member in again, with the roles they had; some of them wait, as if given now.

    Raises as `disable`.
    """

    async def change(tx: Tx, member: MemberRow) -> None:
        if member.disabled_at is None:
            raise Conflict("this member is not disabled")
        await members.set_disabled(tx, by.org_id, member_id, None)
        await note(desk, tx, by, "member_enabled", _uid(member), roles=sorted(member.roles))
        await granting.give_anew(desk, tx, member, by)

    await _with_other(desk, member_id, by, change)


async def reset_factor(desk: Desk, member_id: UUID, by: Actor) -> None:
    """Take a member's second factor and passkeys away; they are signed out everywhere.

    Raises `Forbidden` for oneself, `Conflict` for whoever works in other organisations too, and for
    whoever has not joined.
    """

    async def change(tx: Tx, member: MemberRow) -> None:
        if member.accepted_at is None:
            raise Conflict("this person has not joined; their sign-in is their own")
        _only_ours(member)
        now = desk.clock.now()
        await sessions.set_totp(tx, member.person_id, None, None)
        await sessions.set_recovery_codes(tx, member.person_id, [], now)
        await passkeys.forget(tx, member.person_id)
        await sessions.revoke_all(tx, member.person_id, now)
        await note(desk, tx, by, "factor_reset", _uid(member))

    await _with_other(desk, member_id, by, change)


async def invite_again(desk: Desk, member_id: UUID, by: Actor) -> str:
    """A new link for somebody who has not joined yet; the one before ends.

    Whoever has the link may be that member, so their roles wait as if given now. Raises `Forbidden`
    for oneself, `Conflict` for whoever is a member or disabled.
    """
    token = secrets.token_urlsafe(32)

    async def change(tx: Tx, member: MemberRow) -> str:
        if member.accepted_at is not None:
            raise Conflict("this member has joined already")
        if member.disabled_at is not None:
            raise Conflict("this member is disabled; let them in again first")
        now = desk.clock.now()
        await members.invite(
            tx, by.org_id, member_id, hash_of(token), now=now, expires_at=now + INVITED_FOR
        )
        await note(desk, tx, by, "invitation_renewed", _uid(member))
        await granting.give_anew(desk, tx, member, by)
        return token

    return await _with_other(desk, member_id, by, change)


async def _with_other(
    desk: Desk, member_id: UUID, by: Actor, change: Callable[[Tx, MemberRow], Awaitable[T]]
) -> T:
    """Change a member other than oneself, with the organisation held so that all see the same."""
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> T:
        await orgs.hold(tx, by.org_id)
        member = await _member(tx, member_id, by)
        if _uid(member) == by.uid:
            raise Forbidden("nobody changes their own membership; ask another administrator")
        return await change(tx, member)

    return await desk.database.run(work)


async def _member(tx: Tx, member_id: UUID, by: Actor) -> MemberRow:
    found = await members.get(tx, by.org_id, member_id)
    if found is None:
        raise NotFound("there is no such member")
    return found


async def _one_stays(tx: Tx, member: MemberRow, by: Actor) -> None:
    if "administrator" not in member.roles or member.disabled_at is not None:
        return
    if not await members.other_administrators(tx, by.org_id, member.member_id):
        raise Conflict("this is the last administrator; make another one first")


def _only_ours(member: MemberRow) -> None:
    if member.elsewhere:
        sentence = (
            "this person belongs to other organisations too, whose money the same sign-in opens;"
            " they have to use a recovery code, or whoever runs this installation helps"
        )
        raise Conflict(sentence)


def _roles(roles: tuple[str, ...]) -> tuple[str, ...]:
    check_roles(roles)
    if not roles:
        raise Invalid.field("roles", "must be at least one")
    return tuple(dict.fromkeys(roles))


def _uid(member: MemberRow) -> str:
    return ids.public("user", member.member_id)
