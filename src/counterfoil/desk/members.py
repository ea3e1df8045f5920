"""Organisations, their members, and the keys that act for them."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from psycopg.errors import UniqueViolation

from counterfoil.books import keys, orgs
from counterfoil.books.orgs import KeyRow, Member, Org
from counterfoil.core import ids
from counterfoil.core.errors import Conflict, Invalid
from counterfoil.core.roles import ROLES, Actor, Permission, operator, permissions_of
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note

USE_NOTED_EVERY: Final = timedelta(minutes=1)

_KEY_PREFIX: Final = "cfk"
_NOBODY: Final = hashlib.sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who stands behind a request. ``client_ids`` are those that may be sent with it."""

    actor: Actor
    client_ids: tuple[str, ...]
    member_id: UUID
    email: str


async def authenticate(desk: Desk, presented_key: str) -> Principal | None:
    """The member whose API key this is; None for any key that is not good, without saying why.

    A key is ``cfk_<public id>_<secret>``. It is found by its public id and its secret compared by
    hash in constant time, against a dummy where the id is unknown, so that neither answer nor
    time tells which part was wrong (specs/reliability.md T18).
    """
    prefix, _, rest = presented_key.partition("_")
    key_id, _, secret = rest.partition("_")
    async with desk.database.looking() as tx:
        row = await orgs.usable_key(tx, key_id, desk.clock.now())
    stored = _NOBODY if row is None else row.secret_hash
    right = hmac.compare_digest(stored, hash_of_key(secret))
    if row is None or not right or prefix != _KEY_PREFIX:
        return None
    await _note_use(desk, row)
    return Principal(
        actor=Actor(
            uid=ids.public("user", row.member_id),
            org_id=row.org_id,
            permissions=_narrowed(row),
            auto_approve=row.auto_approve,
            client_id=row.bound_to,
        ),
        client_ids=tuple(row.client_ids),
        member_id=row.member_id,
        email=row.email,
    )


async def _note_use(desk: Desk, row: KeyRow) -> None:
    """Write down that a key is used, once in `USE_NOTED_EVERY`."""
    now = desk.clock.now()
    if row.last_used_at is None or now - row.last_used_at >= USE_NOTED_EVERY:
        async with desk.database.looking() as tx:
            await keys.used(tx, row.key_id, now, USE_NOTED_EVERY)


def _narrowed(row: KeyRow) -> frozenset[Permission]:
    held = permissions_of(tuple(row.roles))
    return held if row.scopes is None else held.intersection(row.scopes)


def with_request_id(principal: Principal, request_id: str) -> Principal:
    """The same principal, for one request; its id goes into every log entry it causes."""
    return replace(principal, actor=replace(principal.actor, request_id=request_id))


async def create_org(desk: Desk, org: Org) -> None:
    """Open an organisation, as the operator; its wallet addresses come from the signer.

    Raises `Conflict` when the id or the client id is taken.
    """
    try:
        async with desk.database.transaction() as tx:
            await orgs.insert(tx, org, desk.clock.now())
            by = operator(org.org_id)
            await note(desk, tx, by, "org_created", "", name=org.name, client_id=org.client_id)
    except UniqueViolation:
        message = f"organisation {org.org_id} or the client id {org.client_id} exists already"
        raise Conflict(message) from None


async def add_member(  # noqa: PLR0913 - a person and a membership at once
    desk: Desk, org_id: int, *, email: str, name: str, roles: tuple[str, ...], password_hash: str
) -> Member:
    """Add a person to an organisation, as the operator.

    Raises `Invalid` for a role that does not exist, `Conflict` for an e-mail that is taken,
    `NotFound` where there is no such organisation.
    """
    check_roles(roles)
    member = Member(
        org_id=org_id,
        member_id=desk.ids.new(),
        person_id=desk.ids.new(),
        email=email,
        name=name,
        roles=roles,
    )
    try:
        async with desk.database.transaction() as tx:
            by, uid = operator(org_id), ids.public("user", member.member_id)
            await note(desk, tx, by, "member_added", uid, email=email, roles=sorted(roles))
            await orgs.insert_member(tx, member, password_hash, desk.clock.now())
    except UniqueViolation:
        raise Conflict(f"{email} is already somebody's e-mail here") from None
    return member


def check_roles(roles: tuple[str, ...]) -> None:
    """Raise `Invalid` for a role that does not exist, naming those that do."""
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise Invalid.field("roles", f"{unknown[0]} is not one of {', '.join(ROLES)}")


async def issue_key(
    desk: Desk,
    member: Member,
    label: str,
    *,
    auto_approve: bool = False,
) -> str:
    """Make an API key that acts as the member, as the operator.

    It may do all that the member may, without end; this answer is the only time it is seen.
    """
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    row = KeyRow(
        key_id=key_id,
        secret_hash=hash_of_key(secret),
        org_id=member.org_id,
        client_ids=[],
        member_id=member.member_id,
        email=member.email,
        roles=list(member.roles),
        auto_approve=auto_approve,
    )
    told = {"label": label, "member": ids.public("user", member.member_id)}
    async with desk.database.transaction() as tx:
        await note(desk, tx, operator(member.org_id), "key_made", f"key_{key_id}", **told)
        await orgs.insert_key(tx, row, label, desk.clock.now())
    return written_key(key_id, secret)


def written_key(key_id: str, secret: str) -> str:
    """A key as programs send it."""
    return f"{_KEY_PREFIX}_{key_id}_{secret}"


def hash_of_key(secret: str) -> bytes:
    """What is stored of a key's secret."""
    return hashlib.sha256(secret.encode()).digest()
