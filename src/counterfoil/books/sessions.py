"""People at the pages: their sessions, and what they prove themselves with."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_row, one_value


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person as they sign in."""

    person_id: UUID
    email: str
    name: str
    password_hash: str
    language: str | None
    theme: str
    totp_sealed: bytes | None
    totp_step: int | None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session that is good, with the member it acts as.

    ``has_passkey``: the person has one that was not blocked.
    """

    session_id: UUID
    person_id: UUID
    org_id: int
    org_name: str
    client_id: str
    member_id: UUID
    email: str
    name: str
    roles: list[str]
    language: str | None
    theme: str
    has_totp: bool
    has_passkey: bool
    factor_due: bool
    seen_at: datetime
    created_at: datetime
    confirmed_at: datetime | None
    logo_sha256: bytes | None
    time_zone: str

    @property
    def logo(self) -> str | None:
        """The hash of the organisation's logo in hex; None where it has none."""
        return None if self.logo_sha256 is None else self.logo_sha256.hex()


@dataclass(frozen=True, slots=True)
class NewSession:
    """What is kept of a session that begins; ``token_hash`` is all we ever know of its cookie."""

    session_id: UUID
    token_hash: bytes
    person_id: UUID
    org_id: int
    expires_at: datetime
    factor_due: bool
    agent: str
    address: str


@dataclass(frozen=True, slots=True)
class SessionShown:
    """A session in its owner's list."""

    session_id: UUID
    created_at: datetime
    seen_at: datetime
    agent: str
    address: str


@dataclass(frozen=True, slots=True)
class Membership:
    """An organisation that a person belongs to."""

    org_id: int
    org_name: str
    member_id: UUID
    roles: list[str]


async def person_by_email(tx: Tx, email: str) -> PersonRow | None:
    """Somebody by e-mail, in whichever letters it was written."""
    return await one_row(
        tx,
        PersonRow,
        """
        SELECT person_id, email, name, password_hash, language, theme, totp_sealed, totp_step
          FROM person WHERE lower(email) = lower(%(email)s)
         ORDER BY created_at LIMIT 1
        """,
        {"email": email},
    )


async def lock_person(tx: Tx, person_id: UUID) -> PersonRow | None:
    """A person, held until the transaction ends, so that a code is used once."""
    return await one_row(
        tx,
        PersonRow,
        """
        SELECT person_id, email, name, password_hash, language, theme, totp_sealed, totp_step
          FROM person WHERE person_id = %(person_id)s FOR UPDATE
        """,
        {"person_id": person_id},
    )


async def memberships(tx: Tx, person_id: UUID) -> list[Membership]:
    """The organisations that a person joined and is not disabled in, the oldest first."""
    return await all_rows(
        tx,
        Membership,
        """
        SELECT member.org_id, org.name AS org_name, member_id, roles
          FROM member JOIN org USING (org_id)
         WHERE person_id = %(person_id)s AND disabled_at IS NULL AND accepted_at IS NOT NULL
         ORDER BY member.created_at, member.org_id
        """,
        {"person_id": person_id},
    )


async def begin(tx: Tx, session: NewSession, now: datetime) -> None:
    """Write a new session."""
    await execute(
        tx,
        """
        INSERT INTO person_session (session_id, token_hash, person_id, org_id, created_at, seen_at,
            expires_at, factor_due, confirmed_at, agent, address)
        VALUES (%(session_id)s, %(token_hash)s, %(person_id)s, %(org_id)s, %(now)s, %(now)s,
            %(expires_at)s, %(factor_due)s,
            CASE WHEN %(factor_due)s THEN NULL ELSE %(now)s END, %(agent)s, %(address)s)
        """,
        {
            "session_id": session.session_id,
            "token_hash": session.token_hash,
            "person_id": session.person_id,
            "org_id": session.org_id,
            "now": now,
            "expires_at": session.expires_at,
            "factor_due": session.factor_due,
            "agent": session.agent,
            "address": session.address,
        },
    )


async def find(
    tx: Tx, token_hash: bytes, *, now: datetime, seen_since: datetime
) -> SessionRow | None:
    """The session behind a cookie, unless it ended or its member was disabled."""
    return await one_row(
        tx,
        SessionRow,
        """
        SELECT session_id, person_id, person_session.org_id, org.name AS org_name, client_id,
               member_id, person.email, person.name, roles, language, theme,
               totp_sealed IS NOT NULL AS has_totp,
               EXISTS (SELECT FROM passkey WHERE passkey.person_id = person_session.person_id
                          AND blocked_at IS NULL) AS has_passkey,
               factor_due, seen_at, person_session.created_at, confirmed_at,
               sha256 AS logo_sha256, time_zone
          FROM person_session
          JOIN person USING (person_id)
          JOIN org USING (org_id)
          JOIN member USING (org_id, person_id)
          LEFT JOIN org_profile USING (org_id)
          LEFT JOIN file ON (file.org_id, file_id) = (person_session.org_id, logo_file_id)
         WHERE token_hash = %(token_hash)s AND revoked_at IS NULL AND disabled_at IS NULL
           AND accepted_at IS NOT NULL AND expires_at > %(now)s AND seen_at > %(seen_since)s
        """,
        {"token_hash": token_hash, "now": now, "seen_since": seen_since},
    )


async def seen(tx: Tx, session_id: UUID, now: datetime) -> None:
    """Keep a session from going idle."""
    await execute(
        tx,
        "UPDATE person_session SET seen_at = %(now)s WHERE session_id = %(session_id)s",
        {"session_id": session_id, "now": now},
    )


async def confirm(tx: Tx, session_id: UUID, now: datetime) -> None:
    """The person proved themselves just now: with the second factor, or once more."""
    await execute(
        tx,
        """
        UPDATE person_session SET confirmed_at = %(now)s, factor_due = false
         WHERE session_id = %(session_id)s
        """,
        {"session_id": session_id, "now": now},
    )


async def renew(tx: Tx, session_id: UUID, token_hash: bytes) -> None:
    """Give a session another cookie, so that one known from before is worth nothing."""
    await execute(
        tx,
        "UPDATE person_session SET token_hash = %(token_hash)s WHERE session_id = %(session_id)s",
        {"session_id": session_id, "token_hash": token_hash},
    )


async def look_at(tx: Tx, session_id: UUID, org_id: int) -> None:
    """Turn a session to another of the person's organisations."""
    await execute(
        tx,
        "UPDATE person_session SET org_id = %(org_id)s WHERE session_id = %(session_id)s",
        {"session_id": session_id, "org_id": org_id},
    )


async def of_person(tx: Tx, person_id: UUID, now: datetime) -> list[SessionShown]:
    """A person's sessions that are still good, the newest first."""
    return await all_rows(
        tx,
        SessionShown,
        """
        SELECT session_id, created_at, seen_at, agent, address
          FROM person_session
         WHERE person_id = %(person_id)s AND revoked_at IS NULL AND expires_at > %(now)s
           AND NOT factor_due
         ORDER BY seen_at DESC
        """,
        {"person_id": person_id, "now": now},
    )


async def revoke(tx: Tx, person_id: UUID, session_id: UUID, now: datetime) -> int:
    """End one of a person's sessions; answers how many that were."""
    return await execute(
        tx,
        """
        UPDATE person_session SET revoked_at = %(now)s
         WHERE person_id = %(person_id)s AND session_id = %(session_id)s AND revoked_at IS NULL
        """,
        {"person_id": person_id, "session_id": session_id, "now": now},
    )


async def revoke_all(tx: Tx, person_id: UUID, now: datetime, *, but: UUID | None = None) -> int:
    """End all of a person's sessions, except perhaps the one they use; answers how many."""
    return await execute(
        tx,
        """
        UPDATE person_session SET revoked_at = %(now)s
         WHERE person_id = %(person_id)s AND revoked_at IS NULL
           AND session_id IS DISTINCT FROM %(but)s
        """,
        {"person_id": person_id, "but": but, "now": now},
    )


async def set_password(tx: Tx, person_id: UUID, password_hash: str, now: datetime) -> None:
    """Replace a person's password."""
    await execute(
        tx,
        """
        UPDATE person SET password_hash = %(password_hash)s, password_changed_at = %(now)s
         WHERE person_id = %(person_id)s
        """,
        {"person_id": person_id, "password_hash": password_hash, "now": now},
    )


async def set_first_password(tx: Tx, person_id: UUID, password_hash: str, now: datetime) -> bool:
    """Give a password to a person who has none; False where they have one."""
    return bool(
        await execute(
            tx,
            """
            UPDATE person SET password_hash = %(password_hash)s, password_changed_at = %(now)s,
                   has_password = true
             WHERE person_id = %(person_id)s AND NOT has_password
            """,
            {"person_id": person_id, "password_hash": password_hash, "now": now},
        )
    )


async def forget_password(tx: Tx, person_id: UUID, unknown_hash: str, now: datetime) -> None:
    """Have a person without a password again; the hash is of one that nobody knows."""
    await execute(
        tx,
        """
        UPDATE person SET password_hash = %(password_hash)s, password_changed_at = %(now)s,
               has_password = false
         WHERE person_id = %(person_id)s
        """,
        {"person_id": person_id, "password_hash": unknown_hash, "now": now},
    )


async def set_appearance(tx: Tx, person_id: UUID, language: str, theme: str) -> None:
    """How a person wants pages to look."""
    await execute(
        tx,
        """
        UPDATE person SET language = %(language)s, theme = %(theme)s
         WHERE person_id = %(person_id)s
        """,
        {"person_id": person_id, "language": language, "theme": theme},
    )


async def set_totp(tx: Tx, person_id: UUID, sealed: bytes | None, step: int | None) -> None:
    """Give a person a second factor, with the step of the code that proved it, or take it away."""
    await execute(
        tx,
        """
        UPDATE person SET totp_sealed = %(sealed)s, totp_step = %(step)s
         WHERE person_id = %(person_id)s
        """,
        {"person_id": person_id, "sealed": sealed, "step": step},
    )


async def set_recovery_codes(tx: Tx, person_id: UUID, hashes: list[bytes], now: datetime) -> None:
    """Replace a person's recovery codes by new ones."""
    await execute(
        tx,
        "DELETE FROM recovery_code WHERE person_id = %(person_id)s",
        {"person_id": person_id},
    )
    await execute(
        tx,
        """
        INSERT INTO recovery_code (person_id, code_hash, created_at)
        SELECT %(person_id)s, code_hash, %(now)s FROM unnest(%(hashes)s::bytea[]) AS code_hash
        """,
        {"person_id": person_id, "hashes": hashes, "now": now},
    )


async def use_recovery_code(tx: Tx, person_id: UUID, code_hash: bytes, now: datetime) -> bool:
    """Use a code up; False where it was never given or is used already."""
    return bool(
        await execute(
            tx,
            """
            UPDATE recovery_code SET used_at = %(now)s
             WHERE person_id = %(person_id)s AND code_hash = %(code_hash)s AND used_at IS NULL
            """,
            {"person_id": person_id, "code_hash": code_hash, "now": now},
        )
    )


async def recovery_codes_left(tx: Tx, person_id: UUID) -> int:
    """How many recovery codes were not used yet."""
    return (
        await one_value(
            tx,
            int,
            """
            SELECT count(*) FROM recovery_code
             WHERE person_id = %(person_id)s AND used_at IS NULL
            """,
            {"person_id": person_id},
        )
        or 0
    )


async def failures(tx: Tx, subject: str, since: datetime) -> int:
    """How often somebody failed in the name of a subject (an e-mail, an address) since then."""
    return (
        await one_value(
            tx,
            int,
            "SELECT count(*) FROM failed_attempt WHERE subject = %(subject)s AND at > %(since)s",
            {"subject": subject, "since": since},
        )
        or 0
    )


async def note_failure(tx: Tx, attempt_id: UUID, subject: str, now: datetime) -> None:
    """Remember one more failure, and forget those that no longer count."""
    await execute(
        tx,
        """
        INSERT INTO failed_attempt (attempt_id, subject, at)
        VALUES (%(attempt_id)s, %(subject)s, %(now)s)
        """,
        {"attempt_id": attempt_id, "subject": subject, "now": now},
    )
    await execute(
        tx,
        """
        DELETE FROM failed_attempt
         WHERE subject = %(subject)s AND at < %(now)s - interval '1 day'
        """,
        {"subject": subject, "now": now},
    )


async def take_back(tx: Tx, attempt_ids: list[UUID]) -> None:
    """Forget single failures, which were none."""
    await execute(
        tx,
        "DELETE FROM failed_attempt WHERE attempt_id = ANY(%(attempt_ids)s)",
        {"attempt_ids": attempt_ids},
    )


async def forget_failures(tx: Tx, subject: str) -> None:
    """Count from nothing again."""
    await execute(
        tx, "DELETE FROM failed_attempt WHERE subject = %(subject)s", {"subject": subject}
    )
