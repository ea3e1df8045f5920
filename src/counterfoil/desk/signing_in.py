"""People at the pages: signing in, staying signed in, and proving themselves once more.

A session is a random cookie of which only the hash is stored, and its permissions are read anew
with every request, so that whoever loses a role loses it at once (specs/reliability.md T7, T8).
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from counterfoil.books import sessions
from counterfoil.books.sessions import Membership, NewSession, SessionRow, SessionShown
from counterfoil.core import ids
from counterfoil.core.errors import Forbidden, NotFound, Refusal
from counterfoil.core.roles import Actor, permissions_of
from counterfoil.core.text import MAX_EMAIL_LENGTH
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.factors import Factors
from counterfoil.desk.passwords import Passwords
from counterfoil.desk.tries import Place, Tries

IDLE: Final = timedelta(minutes=30)
LONGEST: Final = timedelta(hours=12)
CONFIRMED_FOR: Final = timedelta(minutes=10)
"""How long somebody who just proved themselves may move money without doing so again."""

_SEEN_EVERY: Final = timedelta(minutes=1)
_AGENT_LENGTH: Final = 200
_SALT_BYTES: Final = 16


class NotSignedIn(Refusal):
    """Wrong e-mail, password or code; never says which."""

    kind = "not_signed_in"


class ConfirmFirst(Refusal):
    """Money or keys are at stake: prove once more who you are."""

    kind = "confirm"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is at the page: a member, through a session."""

    actor: Actor
    session: SessionRow
    memberships: tuple[Membership, ...]

    def actor_in(self, org_id: int) -> Actor:
        """The same person as a member of another of their organisations.

        Raises `Forbidden` where they are none.
        """
        for one in self.memberships:
            if one.org_id == org_id:
                return replace(
                    self.actor,
                    uid=ids.public("user", one.member_id),
                    org_id=org_id,
                    permissions=permissions_of(tuple(one.roles)),
                )
        raise Forbidden("you are not a member of that organisation")

    @property
    def needs_factor(self) -> bool:
        """Whether the second factor is still to be shown; nothing else is possible before."""
        return self.session.factor_due

    def is_confirmed(self, now: datetime) -> bool:
        """Whether they proved themselves a moment ago."""
        at = self.session.confirmed_at
        return at is not None and now - at < CONFIRMED_FOR

    def just_confirmed(self, now: datetime) -> "Visitor":
        """The same person, who has proved themselves now."""
        return replace(self, session=replace(self.session, confirmed_at=now))


def hash_of(token: str) -> bytes:
    """What is stored of a session's cookie."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def form_token(key: bytes, cookie: str) -> str:
    """What a form must carry beside the cookie, so that no other site can fill it in (T9).

    It begins with a salt, so that no two pages carry the same: pages are compressed, and what stays
    the same could be guessed from their size, letter by letter (BREACH).
    """
    salt = secrets.token_hex(_SALT_BYTES)
    return salt + _form_seal(key, cookie, salt)


def is_form_token(key: bytes, cookie: str, given: str) -> bool:
    """Whether a form carries a token that we made for this cookie."""
    salt, seal = given[: 2 * _SALT_BYTES], given[2 * _SALT_BYTES :]
    expected = _form_seal(key, cookie, salt)
    return hmac.compare_digest(seal.encode("utf-8", "replace"), expected.encode())


def _form_seal(key: bytes, cookie: str, salt: str) -> str:
    sealed = f"form|{salt}|{cookie}".encode("utf-8", "replace")
    return hmac.new(key, sealed, hashlib.sha256).hexdigest()


class SigningIn:
    """The use cases, with what they need beside the desk."""

    def __init__(self, desk: Desk, passwords: Passwords, factors: Factors) -> None:
        """Keep the parts."""
        self._desk = desk
        self.passwords = passwords
        self._factors = factors
        self._tries = Tries(desk)

    async def sign_in(self, email: str, password: str, place: Place) -> tuple[str, bool]:
        """Begin a session: its cookie, and whether a second factor is still due.

        Raises `NotSignedIn` without saying why, and `TooManyTries`.
        """
        name = _name_of(email)
        subject = f"person:{name}"
        attempt = await self._tries.count(subject, place)
        async with self._desk.database.looking() as tx:
            person = await sessions.person_by_email(tx, name)
        right = await self.passwords.fit(person.password_hash if person else None, password)
        if person is None or not right:
            raise _not_signed_in()
        await self._tries.take_back(attempt)
        factor_due = person.totp_sealed is not None
        token = await self.begin_for(person.person_id, place, subject, factor_due=factor_due)
        if token is None:
            raise _not_signed_in()
        return token, factor_due

    async def begin_for(
        self, person_id: UUID, place: Place, subject: str, *, factor_due: bool
    ) -> str | None:
        """Begin a session for somebody who proved who they are: its cookie.

        Wrong tries of ``subject`` count no longer, unless a second factor is still due. None for
        whoever is a member nowhere, or disabled everywhere.
        """
        token = secrets.token_urlsafe(32)
        now = self._desk.clock.now()
        async with self._desk.database.transaction() as tx:
            places = await sessions.memberships(tx, person_id)
            if not places:
                return None
            session = NewSession(
                session_id=self._desk.ids.new(),
                token_hash=hash_of(token),
                person_id=person_id,
                org_id=places[0].org_id,
                expires_at=now + LONGEST,
                factor_due=factor_due,
                agent=_printable(place.agent),
                address=place.address,
            )
            await sessions.begin(tx, session, now)
            if not factor_due:
                await sessions.forget_failures(tx, subject)
        return token

    async def who(self, token: str, request_id: str) -> Visitor | None:
        """Who is behind a cookie; None for one that is not good, or no longer."""
        now = self._desk.clock.now()
        async with self._desk.database.reading() as tx:
            found = await sessions.find(tx, hash_of(token), now=now, seen_since=now - IDLE)
            if found is None:
                return None
            belongs = await sessions.memberships(tx, found.person_id)
        if now - found.seen_at > _SEEN_EVERY:
            async with self._desk.database.transaction() as tx:
                await sessions.seen(tx, found.session_id, now)
        actor = Actor(
            uid=ids.public("user", found.member_id),
            org_id=found.org_id,
            permissions=permissions_of(tuple(found.roles)),
            request_id=request_id,
        )
        return Visitor(actor, found, tuple(belongs))

    async def show_factor(self, visitor: Visitor, code: str, place: Place) -> str:
        """Finish signing in with a one-time or recovery code; answers the session's new cookie.

        Raises `NotSignedIn` for a code that is wrong or was used, and `TooManyTries`.
        """
        await self._prove(visitor, code, place)
        token = secrets.token_urlsafe(32)
        async with self._desk.database.transaction() as tx:
            await sessions.renew(tx, visitor.session.session_id, hash_of(token))
        return token

    async def confirm(self, visitor: Visitor, proof: str, place: Place) -> None:
        """Prove once more who is there: with a code where there is a second factor.

        With the password otherwise. Raises `NotSignedIn` and `TooManyTries`.
        """
        await self._prove(visitor, proof, place)

    async def _prove(self, visitor: Visitor, proof: str, place: Place) -> None:
        subject = f"person:{visitor.session.email.lower()}"
        attempt = await self._tries.count(subject, place)
        now = self._desk.clock.now()
        person_id = visitor.session.person_id
        if visitor.session.has_totp:
            async with self._desk.database.transaction() as tx:
                right = await self._factors.use(tx, person_id, proof, now)
        else:
            async with self._desk.database.looking() as tx:
                person = await sessions.person_by_email(tx, visitor.session.email)
            right = await self.passwords.fit(person.password_hash if person else None, proof)
        if not right:
            raise NotSignedIn("this is not right; nothing was changed")
        await self._tries.take_back(attempt)
        async with self._desk.database.transaction() as tx:
            await sessions.confirm(tx, visitor.session.session_id, now)
            await sessions.forget_failures(tx, subject)

    def must_be_confirmed(self, visitor: Visitor) -> None:
        """Raise `ConfirmFirst` unless the visitor proved themselves a moment ago."""
        if not visitor.is_confirmed(self._desk.clock.now()):
            raise ConfirmFirst("confirm first that it is you; nothing was changed")

    async def sign_out(self, visitor: Visitor) -> None:
        """End this session."""
        await self.revoke(visitor, visitor.session.session_id)

    async def revoke(self, visitor: Visitor, session_id: UUID) -> None:
        """End one of one's own sessions; `NotFound` where there is none."""
        async with self._desk.database.transaction() as tx:
            ended = await sessions.revoke(
                tx, visitor.session.person_id, session_id, self._desk.clock.now()
            )
        if not ended:
            raise NotFound("there is no such session")

    async def revoke_others(self, visitor: Visitor) -> int:
        """End all of one's own sessions but this; answers how many."""
        async with self._desk.database.transaction() as tx:
            return await sessions.revoke_all(
                tx,
                visitor.session.person_id,
                self._desk.clock.now(),
                but=visitor.session.session_id,
            )

    async def mine(self, visitor: Visitor) -> list[SessionShown]:
        """One's own sessions, the newest first."""
        async with self._desk.database.reading() as tx:
            return await sessions.of_person(tx, visitor.session.person_id, self._desk.clock.now())

    async def codes_left(self, visitor: Visitor) -> int:
        """How many of one's own recovery codes were not used yet."""
        async with self._desk.database.reading() as tx:
            return await sessions.recovery_codes_left(tx, visitor.session.person_id)

    async def look_at(self, visitor: Visitor, org_id: int) -> None:
        """Turn to another of one's organisations; `Forbidden` where one is no member."""
        if org_id not in {one.org_id for one in visitor.memberships}:
            raise Forbidden("you are not a member of that organisation")
        async with self._desk.database.transaction() as tx:
            await sessions.look_at(tx, visitor.session.session_id, org_id)

    async def enrol_factor(self, visitor: Visitor, secret: str, code: str) -> tuple[list[str], str]:
        """Begin to ask for codes: the recovery codes, and this session's new cookie.

        Every other session ends. Raises as `Factors.enrol`.
        """
        now = self._desk.clock.now()
        async with self._desk.database.transaction() as tx:
            person_id = visitor.session.person_id
            codes = await self._factors.enrol(tx, person_id, secret, code, now)
            return codes, await stay_alone(tx, visitor, now)

    async def drop_factor(self, visitor: Visitor, password: str, code: str, place: Place) -> str:
        """Stop asking for codes; every other session ends. Answers this session's new cookie.

        However short ago somebody proved themselves, it takes all that they are asked for here: the
        password and a code. Raises `NotSignedIn` without saying which is wrong, and `TooManyTries`.
        """
        subject = f"person:{visitor.session.email.lower()}"
        attempt = await self._tries.count(subject, place)
        async with self._desk.database.looking() as tx:
            person = await sessions.person_by_email(tx, visitor.session.email)
        knows = await self.passwords.fit(person.password_hash if person else None, password)
        now, person_id = self._desk.clock.now(), visitor.session.person_id
        async with self._desk.database.transaction() as tx:
            # A code is used up by being looked at, so only behind the right password.
            if not knows or not await self._factors.use(tx, person_id, code, now):
                raise NotSignedIn("password or code is not right; nothing was changed")
            await self._factors.drop(tx, person_id, now)
            token = await stay_alone(tx, visitor, now)
            await sessions.forget_failures(tx, subject)
        await self._tries.take_back(attempt)
        return token

    async def prove_all(self, visitor: Visitor, password: str, code: str, place: Place) -> None:
        """Prove it with all that they sign in with: password, and a code where codes are asked for.

        Raises as `drop_factor`.
        """
        await self.prove_person(visitor.session.email, password, code, place)

    async def prove_person(self, email: str, password: str, code: str, place: Place) -> None:
        """As `prove_all`, for somebody who is known by e-mail and need not be signed in."""
        subject = f"person:{email.lower()}"
        attempt = await self._tries.count(subject, place)
        async with self._desk.database.looking() as tx:
            person = await sessions.person_by_email(tx, email)
        right = await self.passwords.fit(person.password_hash if person else None, password)
        now = self._desk.clock.now()
        async with self._desk.database.transaction() as tx:
            if right and person is not None and person.totp_sealed is not None:
                right = await self._factors.use(tx, person.person_id, code, now)
            if not right:
                raise NotSignedIn("password or code is not right; nothing was changed")
            await sessions.forget_failures(tx, subject)
        await self._tries.take_back(attempt)

    async def change_password(self, visitor: Visitor, old: str, new: str, place: Place) -> str:
        """Replace one's password; every other session ends. Answers this session's new cookie.

        Raises as `confirm`, and `Invalid`.
        """
        subject = f"person:{visitor.session.email.lower()}"
        attempt = await self._tries.count(subject, place)
        async with self._desk.database.looking() as tx:
            person = await sessions.person_by_email(tx, visitor.session.email)
        if not await self.passwords.fit(person.password_hash if person else None, old):
            raise NotSignedIn("the present password is not right; nothing was changed")
        await self._tries.take_back(attempt)
        hashed = await self.passwords.hashed(new)
        now = self._desk.clock.now()
        async with self._desk.database.transaction() as tx:
            await sessions.set_password(tx, visitor.session.person_id, hashed, now)
            return await stay_alone(tx, visitor, now)

    async def appear(self, visitor: Visitor, language: str, theme: str) -> None:
        """Choose how pages look."""
        async with self._desk.database.transaction() as tx:
            await sessions.set_appearance(tx, visitor.session.person_id, language, theme)


async def stay_alone(tx: Tx, visitor: Visitor, now: datetime) -> str:
    """End a person's other sessions, and give this one a cookie that nobody can know yet."""
    session, token = visitor.session, secrets.token_urlsafe(32)
    await sessions.revoke_all(tx, session.person_id, now, but=session.session_id)
    await sessions.renew(tx, session.session_id, hash_of(token))
    return token


def _name_of(email: str) -> str:
    """An e-mail as it is looked for and counted; what can be nobody's is the empty text."""
    name = email.strip().lower()
    plain = name.isascii() and name.isprintable() and len(name) <= MAX_EMAIL_LENGTH
    return name if plain else ""


def _not_signed_in() -> NotSignedIn:
    return NotSignedIn("e-mail or password is not right")


def _printable(agent: str) -> str:
    return "".join(c for c in agent if c.isprintable())[:_AGENT_LENGTH]
