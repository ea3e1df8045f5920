"""Passwords: argon2, computed beside the event loop, and what a new one must be like."""

import asyncio
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from counterfoil.core.errors import Invalid

LEAST_CHARACTERS: Final = 12
MOST_CHARACTERS: Final = 256

_hasher: Final = PasswordHasher()
_AT_ONCE: Final = 2
_NOBODY: Final = _hasher.hash("nobody's password, so that an unknown name takes as long")


class Passwords:
    """Checks and makes hashes, few at a time: each takes 64 MiB and a core."""

    def __init__(self) -> None:
        """Bound how many are computed at once."""
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def fit(self, stored: str | None, password: str) -> bool:
        """Whether a password is the one whose hash is stored; None takes as long and never fits."""
        if len(password) > MOST_CHARACTERS:
            return False
        async with self._turn:
            right = await asyncio.to_thread(_fits, stored or _NOBODY, password)
        return right and stored is not None

    async def hashed(self, password: str) -> str:
        """The hash of a new password. Raises `Invalid` for one that is too short or too long."""
        if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
            sentence = f"must have {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters"
            raise Invalid.field("password", sentence)
        async with self._turn:
            return await asyncio.to_thread(_hasher.hash, password)


def must_agree(password: str, again: str) -> None:
    """Raise `Invalid` where a new password was not written the same way twice."""
    if password != again:
        raise Invalid.field("again", "is not the same as the new password")


def _fits(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False
