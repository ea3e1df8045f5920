"""API keys, made by those as whom they act: narrower than the member, and with an end.

Nobody makes a key for somebody else: it would act in that person's name, also where two people
are asked for. Administrators see all keys and may end any.
"""

import secrets
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from counterfoil.books import clients, keys, orgs
from counterfoil.books.clients import Client
from counterfoil.books.keys import KeyShown
from counterfoil.books.orgs import KeyRow
from counterfoil.core import ids
from counterfoil.core.errors import Conflict, Invalid, NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.text import clean_text
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.members import hash_of_key, written_key
from counterfoil.desk.org_log import note

LABEL_LENGTH: Final = 80
LONGEST_DAYS: Final = 400
MOST_KEYS: Final = 20
"""Good keys that a member may have at once."""


async def shown(desk: Desk, by: Actor) -> list[KeyShown]:
    """One's own keys; for those who administer or audit, all of the organisation's."""
    everybodys = {Permission.ADMINISTER, Permission.AUDIT} & by.permissions
    async with desk.database.reading() as tx:
        return await keys.of_org(tx, by.org_id, None if everybodys else _member(by))


def may_revoke(member_id: UUID, by: Actor) -> bool:
    """Whether somebody may end a key of this member: their own, and administrators any."""
    return Permission.ADMINISTER in by.permissions or member_id == _member(by)


async def make(  # noqa: PLR0913 - what a key has
    desk: Desk,
    by: Actor,
    *,
    label: str,
    permissions: Collection[str],
    last_day: date | None,
    client_id: str | None = None,
) -> str:
    """Make a key that acts as oneself; this answer is the only time it is seen.

    ``permissions`` are some of one's own, ``last_day`` (in UTC) is the last on which it is good.
    It may be used with ``client_id`` alone, or with any of the organisation's where that is None.
    Raises `Invalid` naming the field, and `Conflict` at `MOST_KEYS`.
    """
    called = clean_text(label, "label", max_length=LABEL_LENGTH)
    scopes = _scopes(by, permissions)
    now = desk.clock.now()
    expires_at = _end(last_day, now)
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    member_id = _member(by)
    row = KeyRow(
        key_id=key_id,
        secret_hash=hash_of_key(secret),
        org_id=by.org_id,
        client_ids=[],
        member_id=member_id,
        email="",
        roles=[],
        auto_approve=False,
        scopes=scopes,
        expires_at=expires_at,
    )

    async def work(tx: Tx) -> None:
        await note(
            desk,
            tx,
            by,
            "key_made",
            f"key_{key_id}",
            label=called,
            permissions=scopes,
            expires_at=expires_at.isoformat(),
            client_id=client_id,
        )
        if client_id is not None:
            _check_client(await clients.of_org(tx, by.org_id), client_id)
        if await keys.usable(tx, by.org_id, member_id, now) >= MOST_KEYS:
            raise Conflict(f"you have {MOST_KEYS} keys already; revoke one that is not used")
        await orgs.insert_key(tx, row, called, now, client_id=client_id)

    await desk.database.run(work)
    return written_key(key_id, secret)


async def revoke(desk: Desk, key_id: str, by: Actor) -> None:
    """End a key for good: one's own, or for administrators any.

    Raises `NotFound` for what is none, or none of one's own.
    """
    member_id = None if Permission.ADMINISTER in by.permissions else _member(by)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        label = await keys.revoke(tx, by.org_id, key_id, member_id, desk.clock.now())
        if label is None:
            raise NotFound("there is no such key")
        await note(desk, tx, by, "key_revoked", f"key_{key_id}", label=label)

    await desk.database.run(work)


def _check_client(there: Collection[Client], client_id: str) -> None:
    if client_id not in {one.client_id for one in there if one.disabled_at is None}:
        raise Invalid.field("client_id", "names no client id of your organisation that is enabled")


def _scopes(by: Actor, permissions: Collection[str]) -> list[str]:
    if not permissions:
        raise Invalid.field("permissions", "must be at least one")
    own = {permission.value for permission in by.permissions}
    beyond = sorted(set(permissions) - own)
    if beyond:
        sentence = f"{beyond[0]} is none that you have; you have {', '.join(sorted(own))}"
        raise Invalid.field("permissions", sentence)
    return sorted(set(permissions))


def _end(last_day: date | None, now: datetime) -> datetime:
    latest = (now + timedelta(days=LONGEST_DAYS)).date()
    if last_day is None or not now.date() <= last_day <= latest:
        sentence = f"must be a day from {now.date()} to {latest}"
        raise Invalid.field("last_day", sentence)
    return datetime.combine(last_day + timedelta(days=1), time(), UTC)


def _member(by: Actor) -> UUID:
    member_id = ids.parse("user", by.uid)
    if member_id is None:
        msg = f"{by.uid} is no member, and only members have keys"
        raise ValueError(msg)
    return member_id
