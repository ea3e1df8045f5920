"""Joining an organisation: what somebody who was invited does with the link they were handed.

An organisation invites by e-mail, and anybody may name any e-mail. So an invitation makes nobody a
member: the person accepts, with the link that this organisation gave them. A link sets a password
only for whoever has none, and whoever has one must prove that it is they, so that neither a link
alone nor a password that another organisation's link has set opens this one
(docs/decisions/0030).
"""

from collections.abc import Sequence
from uuid import UUID

from counterfoil.books import grants, members, orgs, sessions
from counterfoil.books.grants import Grant
from counterfoil.books.members import InvitationRow, Offer
from counterfoil.core import ids
from counterfoil.core.errors import Conflict, Forbidden, NotFound
from counterfoil.core.roles import Actor
from counterfoil.db.pool import Tx
from counterfoil.desk import granting
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note
from counterfoil.desk.passwords import Passwords
from counterfoil.desk.signing_in import Visitor, hash_of

__all__ = ["Offer", "accept", "accept_newly", "decline", "invitation", "offers"]


async def invitation(desk: Desk, token: str) -> InvitationRow:
    """Whom a link is for. Raises `NotFound` once it is used or too old."""
    async with desk.database.reading() as tx:
        found = await members.invitation(tx, hash_of(token), desk.clock.now())
    if found is None:
        raise _no_invitation()
    return found


async def awaited(desk: Desk, found: InvitationRow) -> Sequence[Grant]:
    """The roles that whoever is invited gets later."""
    async with desk.database.reading() as tx:
        waiting = await grants.of_org(tx, found.org_id)
    return [one for one in waiting if one.member_id == found.member_id]


async def accept_newly(desk: Desk, passwords: Passwords, token: str, password: str) -> None:
    """Choose one's first password with a link, and join; every other open link of theirs ends.

    Raises `NotFound`, `Conflict` for whoever has a password, and `Invalid` for the new one.
    """
    await invitation(desk, token)
    hashed = await passwords.hashed(password)

    async def work(tx: Tx) -> None:
        found = await _used(desk, tx, token)
        if not await sessions.set_first_password(tx, found.person_id, hashed, desk.clock.now()):
            raise Conflict("you have a password here already; accept with it")
        await members.end_invitations(tx, found.person_id)
        await _join(desk, tx, found, "invitation_used")

    await desk.database.run(work)


async def accept(desk: Desk, token: str, person_id: UUID) -> None:
    """Join with the organisation's own link, as somebody who has proved who they are.

    Raises `NotFound`, and `Forbidden` where the link is for somebody else.
    """

    async def work(tx: Tx) -> None:
        found = await _used(desk, tx, token)
        if found.person_id != person_id:
            raise Forbidden("this invitation is for somebody else; sign in as them to accept it")
        await _join(desk, tx, found, "invitation_accepted")

    await desk.database.run(work)


async def offers(desk: Desk, visitor: Visitor) -> Sequence[Offer]:
    """What the visitor is invited to, and has neither accepted nor declined."""
    async with desk.database.reading() as tx:
        return await members.offers(tx, visitor.session.person_id)


async def decline(desk: Desk, member_id: UUID | None, visitor: Visitor) -> None:
    """Refuse an invitation of one's own, whose link ends. Raises `NotFound` for any other."""
    person_id = visitor.session.person_id

    async def work(tx: Tx) -> None:
        found = await _offer(tx, person_id, member_id)
        await orgs.hold(tx, found.org_id)
        # It may have been accepted or withdrawn until we held the organisation.
        await _offer(tx, person_id, member_id)
        now = desk.clock.now()
        await members.set_disabled(tx, found.org_id, found.member_id, now)
        await members.end_invitation(tx, found.org_id, found.member_id)
        uid = ids.public("user", found.member_id)
        by = Actor(uid, found.org_id, frozenset(), request_id=visitor.actor.request_id)
        member = await members.get(tx, found.org_id, found.member_id)
        if member is not None:
            await granting.drop_of(desk, tx, member, by, asked=False)
        await note(desk, tx, by, "invitation_declined", uid)

    await desk.database.run(work)


async def _used(desk: Desk, tx: Tx, token: str) -> InvitationRow:
    """Use a link up, with its organisation held; raises `NotFound`."""
    now, key = desk.clock.now(), hash_of(token)
    found = await members.invitation(tx, key, now)
    if found is None:
        raise _no_invitation()
    await orgs.hold(tx, found.org_id)
    # Meanwhile the member may have been disabled, or the link used by another click.
    found = await members.invitation(tx, key, now)
    if found is None or not await members.use_invitation(tx, key, now):
        raise _no_invitation()
    return found


async def _join(desk: Desk, tx: Tx, found: InvitationRow, event: str) -> None:
    await members.accept(tx, found.org_id, found.member_id, desk.clock.now())
    uid = ids.public("user", found.member_id)
    await note(desk, tx, Actor(uid, found.org_id, frozenset()), event, uid)


async def _offer(tx: Tx, person_id: UUID, member_id: UUID | None) -> Offer:
    for one in await members.offers(tx, person_id):
        if one.member_id == member_id:
            return one
    raise NotFound("there is no such invitation")


def _no_invitation() -> NotFound:
    return NotFound("this invitation was used or is too old; ask for a new one")
