"""Members as those see them who administer an organisation."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_row, one_value


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member, disabled or not.

    ``accepted_at`` is when the person joined; None while they are only invited, and then nothing
    is told of them but their e-mail, which is their ``name`` here, too. ``passkeys`` is how many
    the person has, blocked ones too. ``seen_at`` is when a session last looked at this
    organisation. ``elsewhere``: the person works in other organisations too. ``invited_until`` is
    the end of a link that was not used.
    """

    member_id: UUID
    person_id: UUID
    email: str
    name: str
    roles: list[str]
    created_at: datetime
    accepted_at: datetime | None
    disabled_at: datetime | None
    has_factor: bool
    passkeys: int
    elsewhere: bool
    seen_at: datetime | None
    invited_until: datetime | None


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An invitation that was not used yet, with whom it is for and as what.

    ``roles`` include those that do not hold yet.
    """

    org_id: int
    org_name: str
    member_id: UUID
    person_id: UUID
    email: str
    name: str
    roles: list[str]
    has_password: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Offer:
    """A membership that its person has not accepted yet; ``roles`` as in an invitation."""

    org_id: int
    org_name: str
    member_id: UUID
    roles: list[str]


@dataclass(frozen=True, slots=True)
class Belonging:
    """A membership as it stands, in whichever organisation."""

    org_id: int
    member_id: UUID
    accepted_at: datetime | None
    disabled_at: datetime | None

    @property
    def counts(self) -> bool:
        """Whether its person is a member there."""
        return self.accepted_at is not None and self.disabled_at is None


_MEMBERS: Final[LiteralString] = """
    SELECT member_id, person_id, email,
           CASE WHEN accepted_at IS NULL THEN email ELSE name END AS name,
           roles, member.created_at, accepted_at, disabled_at,
           accepted_at IS NOT NULL AND totp_sealed IS NOT NULL AS has_factor,
           (SELECT count(*) FROM passkey
             WHERE passkey.person_id = member.person_id AND accepted_at IS NOT NULL) AS passkeys,
           member.accepted_at IS NOT NULL AND
           EXISTS (SELECT FROM member AS other
                    WHERE other.person_id = member.person_id
                      AND other.org_id <> member.org_id
                      AND other.accepted_at IS NOT NULL AND other.disabled_at IS NULL) AS elsewhere,
           (SELECT max(seen_at) FROM person_session AS session
             WHERE session.person_id = member.person_id
               AND session.org_id = member.org_id) AS seen_at,
           (SELECT max(expires_at) FROM invitation
             WHERE invitation.org_id = member.org_id
               AND invitation.member_id = member.member_id
               AND used_at IS NULL) AS invited_until
      FROM member JOIN person USING (person_id)
     WHERE org_id = %(org_id)s
"""


async def of_org(tx: Tx, org_id: int) -> list[MemberRow]:
    """Every member, disabled ones last, then by name."""
    return await all_rows(
        tx,
        MemberRow,
        _MEMBERS + " ORDER BY disabled_at IS NOT NULL, lower(name), member_id",
        {"org_id": org_id},
    )


async def get(tx: Tx, org_id: int, member_id: UUID) -> MemberRow | None:
    """One member; None where this organisation has none such."""
    return await one_row(
        tx,
        MemberRow,
        _MEMBERS + " AND member_id = %(member_id)s",
        {"org_id": org_id, "member_id": member_id},
    )


async def insert(  # noqa: PLR0913 - the columns of the row
    tx: Tx,
    org_id: int,
    *,
    member_id: UUID,
    person_id: UUID,
    roles: tuple[str, ...],
    created_at: datetime,
) -> None:
    """Offer a membership to a person who is known already; whoever has one is an error."""
    await execute(
        tx,
        """
        INSERT INTO member (org_id, member_id, person_id, roles, created_at)
        VALUES (%(org_id)s, %(member_id)s, %(person_id)s, %(roles)s, %(created_at)s)
        """,
        {
            "org_id": org_id,
            "member_id": member_id,
            "person_id": person_id,
            "roles": list(roles),
            "created_at": created_at,
        },
    )


async def set_roles(tx: Tx, org_id: int, member_id: UUID, roles: tuple[str, ...]) -> None:
    """Give a member these roles and no others."""
    await execute(
        tx,
        """
        UPDATE member SET roles = %(roles)s
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s
        """,
        {"org_id": org_id, "member_id": member_id, "roles": list(roles)},
    )


async def set_disabled(tx: Tx, org_id: int, member_id: UUID, at: datetime | None) -> None:
    """Keep a member out from a moment on; None lets them in again."""
    await execute(
        tx,
        """
        UPDATE member SET disabled_at = %(at)s
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s
        """,
        {"org_id": org_id, "member_id": member_id, "at": at},
    )


async def end_sessions_here(tx: Tx, org_id: int, person_id: UUID, now: datetime) -> int:
    """End a person's sessions that look at this organisation; answers how many."""
    return await execute(
        tx,
        """
        UPDATE person_session SET revoked_at = %(now)s
         WHERE person_id = %(person_id)s AND org_id = %(org_id)s AND revoked_at IS NULL
        """,
        {"org_id": org_id, "person_id": person_id, "now": now},
    )


async def revoke_keys(tx: Tx, org_id: int, member_id: UUID, now: datetime) -> int:
    """End all of a member's API keys; answers how many."""
    return await execute(
        tx,
        """
        UPDATE api_key SET revoked_at = %(now)s
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s AND revoked_at IS NULL
        """,
        {"org_id": org_id, "member_id": member_id, "now": now},
    )


async def other_administrators(tx: Tx, org_id: int, member_id: UUID) -> int:
    """How many administrators there are beside this member. The caller holds the organisation."""
    return (
        await one_value(
            tx,
            int,
            """
            SELECT count(*) FROM member
             WHERE org_id = %(org_id)s AND member_id <> %(member_id)s AND disabled_at IS NULL
               AND accepted_at IS NOT NULL AND 'administrator' = ANY(roles)
            """,
            {"org_id": org_id, "member_id": member_id},
        )
        or 0
    )


async def invite(  # noqa: PLR0913 - the columns of the row
    tx: Tx,
    org_id: int,
    member_id: UUID,
    token_hash: bytes,
    *,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Keep an invitation; the member's earlier ones are good no longer."""
    await end_invitation(tx, org_id, member_id)
    await execute(
        tx,
        """
        INSERT INTO invitation (token_hash, org_id, member_id, created_at, expires_at)
        VALUES (%(token_hash)s, %(org_id)s, %(member_id)s, %(now)s, %(expires_at)s)
        """,
        {
            "token_hash": token_hash,
            "org_id": org_id,
            "member_id": member_id,
            "now": now,
            "expires_at": expires_at,
        },
    )


async def invitation(tx: Tx, token_hash: bytes, now: datetime) -> InvitationRow | None:
    """The invitation behind a link, unless used, too old, or of a member disabled or joined."""
    return await one_row(
        tx,
        InvitationRow,
        """
        SELECT invitation.org_id, org.name AS org_name, member_id, person_id, email, person.name,
               roles || ARRAY(SELECT role FROM role_grant
                               WHERE role_grant.org_id = member.org_id
                                 AND role_grant.member_id = member.member_id
                               ORDER BY role) AS roles,
               has_password, expires_at
          FROM invitation
          JOIN org USING (org_id)
          JOIN member USING (org_id, member_id)
          JOIN person USING (person_id)
         WHERE token_hash = %(token_hash)s AND used_at IS NULL AND expires_at > %(now)s
           AND disabled_at IS NULL AND accepted_at IS NULL
        """,
        {"token_hash": token_hash, "now": now},
    )


async def use_invitation(tx: Tx, token_hash: bytes, now: datetime) -> bool:
    """Use an invitation up; False where somebody did so meanwhile."""
    return bool(
        await execute(
            tx,
            """
            UPDATE invitation SET used_at = %(now)s
             WHERE token_hash = %(token_hash)s AND used_at IS NULL AND expires_at > %(now)s
            """,
            {"token_hash": token_hash, "now": now},
        )
    )


async def end_invitation(tx: Tx, org_id: int, member_id: UUID) -> None:
    """Have no link of a member open any more."""
    await execute(
        tx,
        """
        DELETE FROM invitation
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s AND used_at IS NULL
        """,
        {"org_id": org_id, "member_id": member_id},
    )


async def end_invitations(tx: Tx, person_id: UUID) -> None:
    """Have no link of a person's open any more, whichever organisation gave it."""
    await execute(
        tx,
        """
        DELETE FROM invitation USING member
         WHERE (member.org_id, member.member_id) = (invitation.org_id, invitation.member_id)
           AND person_id = %(person_id)s AND used_at IS NULL
        """,
        {"person_id": person_id},
    )


async def accept(tx: Tx, org_id: int, member_id: UUID, now: datetime) -> None:
    """Let a membership count from now on."""
    await execute(
        tx,
        """
        UPDATE member SET accepted_at = %(now)s
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s AND accepted_at IS NULL
        """,
        {"org_id": org_id, "member_id": member_id, "now": now},
    )


async def offers(tx: Tx, person_id: UUID) -> list[Offer]:
    """What a person was invited to and neither accepted nor declined, the oldest first."""
    return await all_rows(
        tx,
        Offer,
        """
        SELECT org_id, org.name AS org_name, member_id,
               roles || ARRAY(SELECT role FROM role_grant
                               WHERE role_grant.org_id = member.org_id
                                 AND role_grant.member_id = member.member_id
                               ORDER BY role) AS roles
          FROM member JOIN org USING (org_id)
         WHERE person_id = %(person_id)s AND accepted_at IS NULL AND disabled_at IS NULL
         ORDER BY member.created_at, org_id
        """,
        {"person_id": person_id},
    )


async def anywhere(tx: Tx, person_id: UUID) -> list[Belonging]:
    """Every membership of a person, joined or not, by organisation."""
    return await all_rows(
        tx,
        Belonging,
        """
        SELECT org_id, member_id, accepted_at, disabled_at FROM member
         WHERE person_id = %(person_id)s ORDER BY org_id
        """,
        {"person_id": person_id},
    )


async def unaccept(tx: Tx, org_id: int, member_id: UUID) -> None:
    """Have a membership wait to be accepted again."""
    await execute(
        tx,
        """
        UPDATE member SET accepted_at = NULL
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s
        """,
        {"org_id": org_id, "member_id": member_id},
    )
