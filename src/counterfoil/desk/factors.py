"""Second factors: one-time codes (RFC 6238) and the recovery codes for a lost telephone."""

import hashlib
import hmac
import os
import re
import secrets
from datetime import datetime
from typing import Final
from uuid import UUID

import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from counterfoil.books import sessions
from counterfoil.core import numerals
from counterfoil.core.errors import Conflict, Invalid
from counterfoil.db.pool import Tx

STEP_SECONDS: Final = 30
RECOVERY_CODES: Final = 10

_ISSUER: Final = "Counterfoil"
_NONCE_BYTES: Final = 12
_SECRET: Final = re.compile(r"[A-Z2-7]{32}")
_DRIFT: Final = 1
"""Steps before and after the present one whose codes are taken: telephones are never exact."""


class Factors:
    """Keeps the shared secrets sealed under a key that the database never has."""

    def __init__(self, key: bytes) -> None:
        """Derive what is needed from the web process's own secret."""
        self._box = AESGCM(hmac.new(key, b"counterfoil.totp.1", hashlib.sha256).digest())

    def new_secret(self) -> str:
        """A new shared secret, in base 32 as telephones take it."""
        return pyotp.random_base32()

    def address(self, secret: str, email: str) -> str:
        """The ``otpauth:`` address that a telephone reads from the QR code."""
        return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=_ISSUER)

    async def enrol(
        self, tx: Tx, person_id: UUID, secret: str, code: str, now: datetime
    ) -> list[str]:
        """Begin to ask for codes, once one was shown; answers the recovery codes, seen only now.

        Raises `Invalid` for a code that does not fit, `Conflict` where codes are asked for already.
        """
        person = await sessions.lock_person(tx, person_id)
        if person is None or person.totp_sealed is not None:
            raise already_on()
        step = _step_of(secret, code, now)
        if step is None:
            sentence = "does not fit; check the clock of your telephone and take the next code"
            raise Invalid.field("code", sentence)
        codes = [_new_recovery_code() for _ in range(RECOVERY_CODES)]
        await sessions.set_totp(tx, person_id, self._seal(secret, person_id), step)
        await sessions.set_recovery_codes(tx, person_id, [_hash(c) for c in codes], now)
        return codes

    async def drop(self, tx: Tx, person_id: UUID, now: datetime) -> None:
        """Stop asking for codes."""
        await sessions.set_totp(tx, person_id, None, None)
        await sessions.set_recovery_codes(tx, person_id, [], now)

    async def use(self, tx: Tx, person_id: UUID, code: str, now: datetime) -> bool:
        """Use a code up: a one-time code whose step is newer than the last, or a recovery code."""
        person = await sessions.lock_person(tx, person_id)
        if person is None or person.totp_sealed is None:
            return False
        step = _step_of(self._open(person.totp_sealed, person_id), code, now)
        if step is not None:
            if person.totp_step is not None and step <= person.totp_step:
                return False
            await sessions.set_totp(tx, person_id, person.totp_sealed, step)
            return True
        return await sessions.use_recovery_code(tx, person_id, _hash(code), now)

    def _seal(self, secret: str, person_id: UUID) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._box.encrypt(nonce, secret.encode(), person_id.bytes)

    def _open(self, sealed: bytes, person_id: UUID) -> str:
        try:
            opened = self._box.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], person_id.bytes
            )
        except InvalidTag:
            msg = "a second factor was sealed with another secret than this process has"
            raise RuntimeError(msg) from None
        return opened.decode()


def already_on() -> Conflict:
    """The refusal of a second factor beside the one that somebody has."""
    return Conflict("you have a second factor already; remove it first to get a new one")


def read_secret(text: str) -> str:
    """A secret as `Factors.new_secret` makes them. Raises `Invalid` naming ``secret``."""
    if not _SECRET.fullmatch(text):
        raise Invalid.field("secret", "is not one that this page has shown; load the page again")
    return text


def _step_of(secret: str, code: str, now: datetime) -> int | None:
    """The step whose code this is, near now; every step is compared, in constant time."""
    tidy = re.sub(r"\s", "", numerals.narrow(code))
    totp = pyotp.TOTP(secret)
    present = int(now.timestamp()) // STEP_SECONDS
    found = None
    for step in range(present - _DRIFT, present + _DRIFT + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), tidy.encode("utf-8", "replace")):
            found = step
    return found


def _new_recovery_code() -> str:
    text = secrets.token_hex(10)
    return "-".join(text[i : i + 5] for i in range(0, 20, 5))


def _hash(code: str) -> bytes:
    tidy = re.sub(r"[\s-]", "", code).lower()
    return hashlib.sha256(tidy.encode("utf-8", "replace")).digest()
