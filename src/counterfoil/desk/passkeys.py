"""Passkeys (WebAuthn level 3): signing in and proving oneself without anything to type.

A passkey asks its owner for a finger, a face or a code of their own before it signs, so it is two
factors by itself. It signs for our public address alone, which is what phishing cannot get around.
What it signs is a challenge that we sealed to the browser's cookie and to what it is for; each is
good for one answer, within `LASTS`.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from psycopg.errors import UniqueViolation
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from counterfoil.books import passkeys, sessions
from counterfoil.books.passkeys import PasskeyRow
from counterfoil.core import ids
from counterfoil.core.errors import Conflict, NotFound
from counterfoil.core.roles import Actor
from counterfoil.core.text import clean_text
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note
from counterfoil.desk.signing_in import NotSignedIn, SigningIn, Visitor, stay_alone
from counterfoil.desk.tries import Place, Tries

T = TypeVar("T")

LASTS: Final = timedelta(minutes=5)
MOST: Final = 20
"""Passkeys of one person."""
NAME_LENGTH: Final = 60

ADDING: Final = "add"
SIGNING_IN: Final = "sign in"
CONFIRMING: Final = "confirm"

_OUR_NAME: Final = "Counterfoil"
_ALGORITHMS: Final = (
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
)
_ANSWER_LENGTH: Final = 64 * 1024
_ID_BYTES: Final = 1023
_SECONDS_BYTES: Final = 8
_BEGUN_BYTES: Final = _SECONDS_BYTES + 16
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
# A last label that begins with a digit makes an address of numbers of it (URL, 4.4.1).
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]){_LABEL}")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Party:
    """Whom passkeys are made for (WebAuthn 4, relying party): our domain and our origin."""

    rp_id: str
    origin: str


def party_of(public_url: str) -> Party | None:
    """The party behind our public address.

    None where browsers offer no passkeys: by plain http, except on this machine by the name
    localhost, and at addresses of numbers.
    """
    try:
        parts = urlsplit(public_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    is_safe = parts.scheme == "https" or (
        parts.scheme == "http" and (host == "localhost" or host.endswith(".localhost"))
    )
    if not is_safe or not _DOMAIN.fullmatch(host):
        return None
    origin = f"{parts.scheme}://{host}"
    is_usual = port in {None, _DEFAULT_PORTS[parts.scheme]}
    return Party(host, origin if is_usual else f"{origin}:{port}")


class Passkeys:
    """The use cases, with what they need beside the desk."""

    def __init__(self, desk: Desk, signing_in: SigningIn, key: bytes, public_url: str) -> None:
        """``key`` is the web process's own secret; ``public_url`` is where people reach us."""
        self._desk = desk
        self._signing_in = signing_in
        self._tries = Tries(desk)
        self._key = hmac.new(key, b"counterfoil.passkeys.1", hashlib.sha256).digest()
        self.public_url = public_url
        self.party = party_of(public_url)

    async def mine(self, visitor: Visitor) -> list[PasskeyRow]:
        """One's own passkeys, the oldest first."""
        async with self._desk.database.reading() as tx:
            return await passkeys.of_person(tx, visitor.session.person_id)

    def ask_anybody(self, cookie: str) -> str:
        """What a browser is asked for signing in, with whichever passkey it has; JSON.

        Raises `Conflict` where passkeys are not offered.
        """
        return self._question(SIGNING_IN, cookie, [])

    async def ask(self, visitor: Visitor, cookie: str) -> str:
        """What a browser is asked for proving that it is the visitor, with a passkey of theirs.

        JSON. Raises `Conflict` where passkeys are not offered, or the visitor has none.
        """
        good = [one for one in await self.mine(visitor) if one.blocked_at is None]
        if not good:
            raise Conflict("you have no passkey that could prove it")
        return self._question(CONFIRMING, cookie, good)

    async def ask_for_new(self, visitor: Visitor, cookie: str) -> str:
        """What a browser is asked for making a passkey; JSON.

        Only for who has just proved themselves: whoever answers it in time is asked no more.
        Raises `Conflict` where passkeys are not offered, or the visitor has enough of them.
        """
        party = self.must_be_offered()
        mine = await self.mine(visitor)
        _leave_room(mine)
        options = generate_registration_options(
            rp_id=party.rp_id,
            rp_name=_OUR_NAME,
            user_id=visitor.session.person_id.bytes,
            user_name=visitor.session.email,
            user_display_name=visitor.session.name,
            challenge=self._challenge(ADDING, cookie),
            timeout=_milliseconds(LASTS),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=_described(mine),
            supported_pub_key_algs=list(_ALGORITHMS),
        )
        return options_to_json(options)

    async def add(self, visitor: Visitor, cookie: str, label: str, answer: str) -> None:
        """Keep the passkey that a browser has made.

        Raises `Invalid` naming ``name``, `NotSignedIn` for an answer that is not good, and
        `Conflict` for a passkey that is known already or one too many.
        """
        party = self.must_be_offered()
        name = clean_text(label, "name", max_length=NAME_LENGTH)
        given = _understood(lambda: parse_registration_credential_json(_bounded(answer)))
        challenge, expires_at = self._opened(ADDING, cookie, given.response.client_data_json)
        made = _understood(
            lambda: verify_registration_response(
                credential=given,
                expected_challenge=challenge,
                expected_rp_id=party.rp_id,
                expected_origin=party.origin,
                require_user_verification=True,
                supported_pub_key_algs=list(_ALGORITHMS),
            )
        )
        if len(made.credential_id) > _ID_BYTES:
            raise _not_taken()
        person_id = visitor.session.person_id

        async def work(tx: Tx) -> None:
            now = self._desk.clock.now()
            await self._note(tx, person_id, "passkey_added", name, visitor.actor.request_id)
            await sessions.lock_person(tx, person_id)
            await self._use(tx, challenge, expires_at)
            _leave_room(await passkeys.of_person(tx, person_id))
            row = PasskeyRow(
                passkey_id=self._desk.ids.new(),
                person_id=person_id,
                credential_id=made.credential_id,
                public_key=made.credential_public_key,
                sign_count=made.sign_count,
                label=name,
                created_at=now,
                used_at=None,
                blocked_at=None,
            )
            await passkeys.insert(tx, row)

        try:
            await self._desk.database.run(work)
        except UniqueViolation:
            raise Conflict("this passkey is registered already") from None

    async def one_of_mine(self, visitor: Visitor, passkey_id: UUID | None) -> PasskeyRow:
        """One's own passkey. Raises `NotFound`, also for those of others."""
        for one in await self.mine(visitor):
            if one.passkey_id == passkey_id:
                return one
        raise NotFound("you have no such passkey")

    async def remove(self, visitor: Visitor, one: PasskeyRow) -> str:
        """Take one's own passkey no longer; every other session ends.

        Answers this session's new cookie.
        """

        async def work(tx: Tx) -> str:
            request_id = visitor.actor.request_id
            # The organisations first, as `_block` does.
            await self._note(tx, one.person_id, "passkey_removed", one.label, request_id)
            if not await passkeys.forget(tx, visitor.session.person_id, one.passkey_id):
                raise NotFound("you have no such passkey any more")
            return await stay_alone(tx, visitor, self._desk.clock.now())

        return await self._desk.database.run(work)

    async def sign_in(self, cookie: str, answer: str, place: Place) -> str:
        """Begin a session for whoever's passkey has answered: its cookie.

        Raises `NotSignedIn`, which tells of a person only to who has their passkey, and
        `TooManyTries`.
        """
        given = _read(answer)
        subject = f"passkey:{hashlib.sha256(given.raw_id).hexdigest()}"
        attempt = await self._tries.count(subject, place)
        person_id = await self._prove(SIGNING_IN, cookie, given)
        await self._tries.take_back(attempt)
        token = await self._signing_in.begin_for(person_id, place, subject, factor_due=False)
        if token is None:
            raise _not_taken()
        return token

    async def confirm(self, visitor: Visitor, cookie: str, answer: str, place: Place) -> None:
        """Prove once more who is there. Raises as `sign_in`."""
        given = _read(answer)
        subject = f"passkey:{visitor.session.person_id}"
        attempt = await self._tries.count(subject, place)
        await self._prove(CONFIRMING, cookie, given, visitor)
        await self._tries.take_back(attempt)
        async with self._desk.database.transaction() as tx:
            await sessions.confirm(tx, visitor.session.session_id, self._desk.clock.now())
            await sessions.forget_failures(tx, subject)

    async def _prove(
        self,
        purpose: str,
        cookie: str,
        given: AuthenticationCredential,
        visitor: Visitor | None = None,
    ) -> UUID:
        """Whose passkey it is that answered, rightly and for the first time."""
        party = self.must_be_offered()
        challenge, expires_at = self._opened(purpose, cookie, given.response.client_data_json)
        async with self._desk.database.transaction() as tx:
            await self._use(tx, challenge, expires_at)
        async with self._desk.database.transaction() as tx:
            known = await passkeys.lock(tx, given.raw_id)
            if known is None or not _is_whose(known, given.response.user_handle, visitor):
                raise _not_taken()
            count = _counted(given, challenge, party, known)
            was_copied = known.blocked_at is not None or _went_back(known.sign_count, count)
            if not was_copied:
                await passkeys.used(tx, known.passkey_id, count, self._desk.clock.now())
        if was_copied:
            await self._block(known, visitor.actor.request_id if visitor else None)
            raise NotSignedIn(
                "this passkey may have been copied, since it counts backwards; it is blocked."
                " Prove who you are in another way, remove it and end your other sessions"
            )
        return known.person_id

    async def _block(self, known: PasskeyRow, request_id: str | None) -> None:
        async def work(tx: Tx) -> None:
            # The organisations first: whoever takes factors away holds them first as well.
            await self._note(tx, known.person_id, "passkey_blocked", known.label, request_id)
            await passkeys.block(tx, known.passkey_id, self._desk.clock.now())

        if known.blocked_at is None:
            await self._desk.database.run(work)

    async def _note(
        self, tx: Tx, person_id: UUID, event: str, label: str, request_id: str | None
    ) -> None:
        """Write it down wherever the person belongs: a passkey opens all of it."""
        for one in sorted(await sessions.memberships(tx, person_id), key=lambda one: one.org_id):
            uid = ids.public("user", one.member_id)
            by = Actor(uid, one.org_id, frozenset(), request_id=request_id)
            await note(self._desk, tx, by, event, uid, name=label)

    def _question(self, purpose: str, cookie: str, allowed: list[PasskeyRow]) -> str:
        options = generate_authentication_options(
            rp_id=self.must_be_offered().rp_id,
            challenge=self._challenge(purpose, cookie),
            timeout=_milliseconds(LASTS),
            allow_credentials=_described(allowed),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json(options)

    def must_be_offered(self) -> Party:
        """The party that passkeys are made for. Raises `Conflict` where there is none."""
        if self.party is None:
            raise Conflict("passkeys are not offered at this address")
        return self.party

    def _challenge(self, purpose: str, cookie: str) -> bytes:
        """When it was made, something nobody can guess, and our seal."""
        seconds = int(self._desk.clock.now().timestamp())
        begun = seconds.to_bytes(_SECONDS_BYTES) + secrets.token_bytes(
            _BEGUN_BYTES - _SECONDS_BYTES
        )
        return begun + self._seal(purpose, cookie, begun)

    def _opened(self, purpose: str, cookie: str, client_data: bytes) -> tuple[bytes, datetime]:
        """The challenge that was answered, and how long it lasts.

        Raises `NotSignedIn` for one that is too old, or was made for another browser or purpose.
        """
        client = _understood(lambda: parse_client_data_json(client_data))
        challenge = client.challenge
        begun, seal = challenge[:_BEGUN_BYTES], challenge[_BEGUN_BYTES:]
        if client.cross_origin or not hmac.compare_digest(seal, self._seal(purpose, cookie, begun)):
            raise _too_late()
        seconds = int.from_bytes(begun[:_SECONDS_BYTES])
        expires_at = datetime.fromtimestamp(seconds, UTC) + LASTS
        if self._desk.clock.now() >= expires_at:
            raise _too_late()
        return challenge, expires_at

    async def _use(self, tx: Tx, challenge: bytes, expires_at: datetime) -> None:
        hashed, now = hashlib.sha256(challenge).digest(), self._desk.clock.now()
        if not await passkeys.use_challenge(tx, hashed, now=now, expires_at=expires_at):
            raise _too_late()

    def _seal(self, purpose: str, cookie: str, begun: bytes) -> bytes:
        sealed = f"{purpose}|{cookie}|".encode("utf-8", "replace") + begun
        return hmac.new(self._key, sealed, hashlib.sha256).digest()


def _is_whose(known: PasskeyRow, handle: bytes | None, visitor: Visitor | None) -> bool:
    """Whether a passkey is the visitor's; without one, whether it says itself whose it is."""
    if visitor is not None and known.person_id != visitor.session.person_id:
        return False
    return handle == known.person_id.bytes or (handle is None and visitor is not None)


def _counted(
    given: AuthenticationCredential, challenge: bytes, party: Party, known: PasskeyRow
) -> int:
    """How far a passkey has counted, if it is what has signed."""
    verified = _understood(
        lambda: verify_authentication_response(
            credential=given,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=party.origin,
            credential_public_key=known.public_key,
            # We look at it ourselves, once we know that the passkey itself has counted.
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    )
    return verified.new_sign_count


def _went_back(before: int, now: int) -> bool:
    """Whether a copy must be about (WebAuthn 6.1.1); those that never count stay at nought."""
    return (before > 0 or now > 0) and now <= before


def _read(answer: str) -> AuthenticationCredential:
    return _understood(lambda: parse_authentication_credential_json(_bounded(answer)))


def _bounded(answer: str) -> str:
    if len(answer) > _ANSWER_LENGTH:
        raise _not_taken()
    return answer


def _understood(read: Callable[[], T]) -> T:
    """What the library makes of an answer; whatever it stumbles over is no good answer."""
    try:
        return read()
    except Exception:  # noqa: BLE001 - strangers write it, and it breaks in more ways than are named
        raise _not_taken() from None


def _leave_room(rows: list[PasskeyRow]) -> None:
    if len(rows) >= MOST:
        raise Conflict(f"{MOST} passkeys are the most; remove one first")


def _described(rows: list[PasskeyRow]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=one.credential_id) for one in rows]


def _milliseconds(length: timedelta) -> int:
    return length // timedelta(milliseconds=1)


def _not_taken() -> NotSignedIn:
    return NotSignedIn("this passkey was not taken; try again, or prove who you are in another way")


def _too_late() -> NotSignedIn:
    return NotSignedIn("this took too long, or was answered already; try again with the passkey")
