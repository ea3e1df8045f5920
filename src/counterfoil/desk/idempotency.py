"""Asking twice without doing twice: ``Idempotency-Key`` (specs/reliability.md 1.4).

The key is claimed, the work done and the answer kept in one transaction, so a crash at any point
leaves all of it or nothing. Refusals are not kept: they changed nothing, and asking again may
succeed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from psycopg.errors import LockNotAvailable

from counterfoil.books import idempotency as book
from counterfoil.core.errors import Conflict, Invalid
from counterfoil.core.roles import Actor
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk

T = TypeVar("T")

KEPT: Final = timedelta(days=30)
MAX_KEY_LENGTH: Final = 255
HEADER: Final = "Idempotency-Key"

_PATIENCE: Final = "1s"
_FORGET_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Idempotent:
    """A request that may be asked again.

    ``fingerprint`` is the SHA-256 of method, route and canonical body. ``render`` turns what the
    work returns into status code and body, inside the transaction, so that the very bytes of the
    first answer are kept.
    """

    member_id: UUID
    key: str
    fingerprint: bytes
    render: Callable[[Any], tuple[int, bytes]]


class Answered(Exception):  # noqa: N818 - not an error: the answer exists already
    """This request was made before; here is the answer it got. Nothing was done this time."""

    def __init__(self, status_code: int, body: bytes) -> None:
        """Keep the stored answer."""
        super().__init__("answered before")
        self.status_code = status_code
        self.body = body


def check_key(key: str) -> str:
    """Refuse a key that is not 1 to 255 visible ASCII characters, naming the header."""
    if not 1 <= len(key) <= MAX_KEY_LENGTH or not all("!" <= c <= "~" for c in key):
        raise Invalid.field(
            HEADER, f"must have 1 to {MAX_KEY_LENGTH} visible ASCII characters, without blanks"
        )
    return key


async def once(
    desk: Desk,
    tx: Tx,
    by: Actor,
    idempotent: Idempotent | None,
    do: Callable[[], Awaitable[T]],
) -> T:
    """Do the work of a request unless it was done before, within the caller's transaction.

    Raises `Answered` with the first answer when the same request was made before, `Invalid`
    naming the header when the key belongs to another request, and `Conflict` while the first
    one is still running. All three must leave the transaction, which is then rolled back.
    """
    if idempotent is None:
        return await do()
    await _claim(desk, tx, by.org_id, idempotent)
    result = await do()
    status_code, body = idempotent.render(result)
    await book.finish(
        tx,
        by.org_id,
        idempotent.member_id,
        idempotent.key,
        status_code=status_code,
        body=body,
    )
    return result


async def forget_old(desk: Desk) -> int:
    """Delete keys past their 30 days, a bounded number at a time; answers how many."""
    before = desk.clock.now() - KEPT
    async with desk.database.transaction() as tx:
        return await book.forget(tx, before, limit=_FORGET_AT_ONCE)


async def _claim(desk: Desk, tx: Tx, org_id: int, idempotent: Idempotent) -> None:
    now = desk.clock.now()
    try:
        mine = await book.claim(
            tx,
            org_id,
            idempotent.member_id,
            idempotent.key,
            fingerprint=idempotent.fingerprint,
            now=now,
            forgotten_before=now - KEPT,
            patience=_PATIENCE,
        )
    except LockNotAvailable:
        raise _still_running() from None
    if mine:
        return
    earlier = await book.answered(tx, org_id, idempotent.member_id, idempotent.key)
    if earlier is None:
        raise _still_running()
    if earlier.fingerprint != idempotent.fingerprint:
        raise Invalid.field(HEADER, "was used before with another request; take a new key")
    raise Answered(earlier.status_code, earlier.body)


def _still_running() -> Conflict:
    return Conflict(
        f"the first request with this {HEADER} is still running; ask again in a moment",
        data={"retry_after_seconds": 1},
    )
