"""An e-mail address that somebody took who is not its owner, freed by whoever runs this place.

Any administrator may name any e-mail, and who chooses its password first signs in with it
(docs/decisions/0030-a-person-accepts-to-join.md). The owner proves to the operator who they are.
"""

from uuid import UUID

from counterfoil.books import members, orgs, passkeys, sessions
from counterfoil.books.members import Belonging
from counterfoil.core import ids
from counterfoil.core.errors import Conflict, Invalid, NotFound
from counterfoil.core.roles import operator
from counterfoil.core.text import clean_email
from counterfoil.db.pool import Tx
from counterfoil.desk import disowning, granting
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note


async def free_email(
    desk: Desk, email: str, *, unknown_hash: str, reason: str, taken_by: int | None = None
) -> list[int]:
    """Take all that opens an account away, so that the next link handed out sets its password.

    What it announced and nobody holds yet is taken back too (`desk.disowning`).
    ``taken_by`` is the organisation through which it was taken, whose member it is no longer.
    Answers the organisations that named the address; what they offered still stands, for whoever
    proves to be its owner. ``unknown_hash`` is of a password that nobody knows. Raises `Invalid`
    without a reason, `NotFound` for an address that nobody has, and `Conflict` where its person
    has joined any other organisation.
    """
    address = clean_email(email.strip(), "email")
    if not reason.strip():
        raise Invalid.field("reason", "is required: say how you know whose address it is")

    async def work(tx: Tx) -> list[int]:
        person = await sessions.person_by_email(tx, address)
        if person is None:
            raise NotFound(f"nobody here has the e-mail {address}")
        for one in await members.anywhere(tx, person.person_id):
            await orgs.hold(tx, one.org_id)
        found = await members.anywhere(tx, person.person_id)
        joined = [str(one.org_id) for one in found if one.counts and one.org_id != taken_by]
        if joined:
            raise Conflict(
                f"{address} is a member of organisation {' and '.join(joined)}, which has let them"
                " in: have it disable that member first, or name it as the one that took it"
            )
        for one in found:
            await _put_out(desk, tx, one, address, reason)
        await _take_away(desk, tx, person.person_id, unknown_hash)
        return [one.org_id for one in found]

    return await desk.database.run(work)


async def _put_out(desk: Desk, tx: Tx, one: Belonging, address: str, reason: str) -> None:
    """End what the account may do in one organisation, and write it into its history."""
    by, now = operator(one.org_id), desk.clock.now()
    await members.revoke_keys(tx, one.org_id, one.member_id, now)
    member = await members.get(tx, one.org_id, one.member_id)
    if member is not None and one.accepted_at is not None:
        for asked in (False, True):
            await granting.drop_of(desk, tx, member, by, asked=asked)
        if one.disabled_at is None:
            await members.set_disabled(tx, one.org_id, one.member_id, now)
        await members.unaccept(tx, one.org_id, one.member_id)
    uid = ids.public("user", one.member_id)
    await disowning.take_back(desk, tx, uid, by)
    await note(desk, tx, by, "email_freed", uid, email=address, reason=reason)


async def _take_away(desk: Desk, tx: Tx, person_id: UUID, unknown_hash: str) -> None:
    now = desk.clock.now()
    await members.end_invitations(tx, person_id)
    await sessions.forget_password(tx, person_id, unknown_hash, now)
    await sessions.set_totp(tx, person_id, None, None)
    await sessions.set_recovery_codes(tx, person_id, [], now)
    await passkeys.forget(tx, person_id)
    await sessions.revoke_all(tx, person_id, now)
