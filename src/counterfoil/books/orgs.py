"""Organisations, the people in them, and the keys that act for those people."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec

from counterfoil.books import clients
from counterfoil.core import zones
from counterfoil.core.invoice import DepositMode, Policy
from counterfoil.core.payout_rules import PayoutPolicy
from counterfoil.core.returning import ReturnRules
from counterfoil.core.slowly import Slowly
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, all_values, execute, one_row, one_value


class OrgPolicy(msgspec.Struct, frozen=True):
    """An organisation's own rules: what its invoices start with, and how it screens.

    ``invoice`` are the rules of invoices until ``next_invoice_at``, ``next_invoice`` from then on,
    as ``next_invoice_by`` asked.
    ``screening`` overrides parts of the screening policy (specs/aml.md 4.2). ``deposits`` says by
    chain how new invoices are to be paid; ``factory`` where nothing is said. ``payouts`` says where
    money may go, ``returns`` where customers are led back to. ``callback_url`` is told of invoices
    that name no address of their own.
    """

    invoice: Policy = msgspec.field(default_factory=Policy)
    next_invoice: Policy | None = None
    next_invoice_at: datetime | None = None
    next_invoice_by: frozenset[str] = frozenset()
    screening: dict[str, object] = msgspec.field(default_factory=dict)
    deposits: dict[str, DepositMode] = msgspec.field(default_factory=dict)
    payouts: PayoutPolicy = msgspec.field(default_factory=PayoutPolicy)
    returns: Slowly[ReturnRules] = msgspec.field(default_factory=lambda: Slowly(ReturnRules()))
    callback_url: str | None = None

    @property
    def invoices(self) -> Slowly[Policy]:
        """The rules that new invoices start with."""
        return Slowly(self.invoice, self.next_invoice, self.next_invoice_at, self.next_invoice_by)

    def with_invoices(self, rules: Slowly[Policy]) -> "OrgPolicy":
        """The same with other rules for new invoices."""
        return msgspec.structs.replace(
            self,
            invoice=rules.rules,
            next_invoice=rules.next_rules,
            next_invoice_at=rules.next_at,
            next_invoice_by=rules.asked_by,
        )

    def chains_in(self, mode: DepositMode) -> tuple[str, ...]:
        """The chains that were set to a mode, sorted."""
        return tuple(sorted(chain for chain, found in self.deposits.items() if found == mode))


@dataclass(frozen=True, slots=True)
class Org:
    """An organisation and the addresses that belong to it."""

    org_id: int
    name: str
    client_id: str
    factory_address: str
    operator_address: str
    pool_address: str
    hold_address: str
    gas_address: str
    policy: OrgPolicy = field(default_factory=OrgPolicy)
    callback_secret_version: int = 1
    time_zone: str = zones.DEFAULT


@dataclass(frozen=True, slots=True)
class Member:
    """A person in an organisation, with the roles held there."""

    org_id: int
    member_id: UUID
    person_id: UUID
    email: str
    name: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key that is neither revoked nor expired, and the member it acts as.

    ``scopes`` are the permissions that it is narrowed to; None for all that the member has.
    ``client_ids`` are those that it may be used with: the enabled ones of the organisation, or of
    them the one that it is ``bound_to``.
    """

    key_id: str
    secret_hash: bytes
    org_id: int
    client_ids: list[str]
    member_id: UUID
    email: str
    roles: list[str]
    auto_approve: bool
    scopes: list[str] | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    bound_to: str | None = None


@dataclass(frozen=True, slots=True)
class _OrgRow:
    org_id: int
    name: str
    client_id: str
    factory_address: str
    operator_address: str
    pool_address: str
    hold_address: str
    gas_address: str
    policy: str
    callback_secret_version: int
    time_zone: str


@dataclass(frozen=True, slots=True)
class _MemberRow:
    org_id: int
    member_id: UUID
    person_id: UUID
    email: str
    name: str
    roles: list[str]


_decode_policy = msgspec.json.Decoder(OrgPolicy).decode


async def insert(tx: Tx, org: Org, created_at: datetime) -> None:
    """Write a new organisation with its first client id; a taken id or client id is an error."""
    await execute(
        tx,
        """
        INSERT INTO org (org_id, name, client_id, factory_address, operator_address, pool_address,
            hold_address, gas_address, policy, callback_secret_version, time_zone, created_at)
        VALUES (%(org_id)s, %(name)s, %(client_id)s, %(factory_address)s, %(operator_address)s,
            %(pool_address)s, %(hold_address)s, %(gas_address)s, %(policy)s,
            %(callback_secret_version)s, %(time_zone)s, %(created_at)s)
        """,
        {
            "org_id": org.org_id,
            "name": org.name,
            "client_id": org.client_id,
            "factory_address": org.factory_address,
            "operator_address": org.operator_address,
            "pool_address": org.pool_address,
            "hold_address": org.hold_address,
            "gas_address": org.gas_address,
            "policy": msgspec.json.encode(org.policy).decode(),
            "callback_secret_version": org.callback_secret_version,
            "time_zone": org.time_zone,
            "created_at": created_at,
        },
    )
    first = clients.Client(org.client_id, org.client_id, created_at, None)
    await clients.insert(tx, org.org_id, first)


async def get(tx: Tx, org_id: int) -> Org | None:
    """The organisation, or None."""
    row = await one_row(
        tx,
        _OrgRow,
        """
        SELECT org_id, name, client_id, factory_address, operator_address, pool_address,
               hold_address, gas_address, policy::text AS policy, callback_secret_version, time_zone
          FROM org WHERE org_id = %(org_id)s
        """,
        {"org_id": org_id},
    )
    return None if row is None else _org(row)


async def all_orgs(tx: Tx) -> list[Org]:
    """Every organisation, by id."""
    rows = await all_rows(
        tx,
        _OrgRow,
        """
        SELECT org_id, name, client_id, factory_address, operator_address, pool_address,
               hold_address, gas_address, policy::text AS policy, callback_secret_version, time_zone
          FROM org ORDER BY org_id
        """,
        {},
    )
    return [_org(row) for row in rows]


async def hold(tx: Tx, org_id: int) -> None:
    """Keep others from changing an organisation until the transaction ends."""
    await execute(
        tx,
        "SELECT FROM org WHERE org_id = %(org_id)s FOR NO KEY UPDATE",
        {"org_id": org_id},
    )


async def next_callback_secret(tx: Tx, org_id: int) -> int | None:
    """Retire an organisation's callback secret; answers the version of the new one."""
    return await one_value(
        tx,
        int,
        """
        UPDATE org SET callback_secret_version = callback_secret_version + 1
         WHERE org_id = %(org_id)s RETURNING callback_secret_version
        """,
        {"org_id": org_id},
    )


async def save_policy(tx: Tx, org_id: int, policy: OrgPolicy) -> None:
    """Replace an organisation's rules."""
    await execute(
        tx,
        "UPDATE org SET policy = %(policy)s WHERE org_id = %(org_id)s",
        {"org_id": org_id, "policy": msgspec.json.encode(policy).decode()},
    )


async def owns_address(tx: Tx, family: str, address: str) -> bool:
    """Whether an address is one of ours: a wallet, a factory, or any deposit address."""
    return bool(
        await one_value(
            tx,
            bool,
            """
            SELECT EXISTS (SELECT FROM ingest.address_owner
                            WHERE family = %(family)s AND address = %(address)s)
                OR EXISTS (SELECT FROM org
                            WHERE %(address)s IN (factory_address, operator_address,
                                                  pool_address, hold_address, gas_address))
            """,
            {"family": family, "address": address},
        )
    )


async def insert_member(
    tx: Tx, member: Member, password_hash: str, created_at: datetime, *, invited: bool = False
) -> None:
    """Write a person and their membership; a taken e-mail is an error.

    Whoever is only ``invited`` has no password yet, and has not accepted.
    """
    await execute(
        tx,
        """
        INSERT INTO person (person_id, email, name, password_hash, has_password, created_at)
        VALUES (%(person_id)s, %(email)s, %(name)s, %(password_hash)s, %(has_password)s,
            %(created_at)s)
        """,
        {
            "person_id": member.person_id,
            "email": member.email,
            "name": member.name,
            "password_hash": password_hash,
            "has_password": not invited,
            "created_at": created_at,
        },
    )
    await execute(
        tx,
        """
        INSERT INTO member (org_id, member_id, person_id, roles, created_at, accepted_at)
        VALUES (%(org_id)s, %(member_id)s, %(person_id)s, %(roles)s, %(created_at)s,
            %(accepted_at)s)
        """,
        {
            "org_id": member.org_id,
            "member_id": member.member_id,
            "person_id": member.person_id,
            "roles": list(member.roles),
            "created_at": created_at,
            "accepted_at": None if invited else created_at,
        },
    )


async def members(tx: Tx, org_id: int) -> list[Member]:
    """The members that joined and are not disabled, oldest first."""
    rows = await all_rows(
        tx,
        _MemberRow,
        """
        SELECT org_id, member_id, person_id, email, name, roles
          FROM member JOIN person USING (person_id)
         WHERE org_id = %(org_id)s AND disabled_at IS NULL AND accepted_at IS NOT NULL
         ORDER BY member.created_at, member_id
        """,
        {"org_id": org_id},
    )
    return [
        Member(
            org_id=row.org_id,
            member_id=row.member_id,
            person_id=row.person_id,
            email=row.email,
            name=row.name,
            roles=tuple(row.roles),
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Named:
    """A member by name, whether still here or not."""

    member_id: UUID
    name: str


async def everybody(tx: Tx, org_id: int) -> list[Named]:
    """Whoever was ever a member, for old log entries; by e-mail who has not accepted."""
    return await all_rows(
        tx,
        Named,
        """
        SELECT member_id, CASE WHEN accepted_at IS NULL THEN email ELSE name END AS name
          FROM member JOIN person USING (person_id)
         WHERE org_id = %(org_id)s
        """,
        {"org_id": org_id},
    )


async def roles_of(tx: Tx, org_id: int, member_id: UUID) -> list[str]:
    """The roles that a member has just now; none for who is disabled or has not joined."""
    return await all_values(
        tx,
        str,
        """
        SELECT unnest(roles) FROM member
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s AND disabled_at IS NULL
           AND accepted_at IS NOT NULL
        """,
        {"org_id": org_id, "member_id": member_id},
    )


async def insert_key(
    tx: Tx, key: KeyRow, label: str, created_at: datetime, *, client_id: str | None = None
) -> None:
    """Write a new API key, bound to a client id or to none; its secret is stored as a hash only."""
    await execute(
        tx,
        """
        INSERT INTO api_key (key_id, secret_hash, org_id, member_id, label, auto_approve,
            created_at, scopes, expires_at, client_id)
        VALUES (%(key_id)s, %(secret_hash)s, %(org_id)s, %(member_id)s, %(label)s,
            %(auto_approve)s, %(created_at)s, %(scopes)s, %(expires_at)s, %(client_id)s)
        """,
        {
            "key_id": key.key_id,
            "secret_hash": key.secret_hash,
            "org_id": key.org_id,
            "member_id": key.member_id,
            "label": label,
            "auto_approve": key.auto_approve,
            "scopes": key.scopes,
            "expires_at": key.expires_at,
            "created_at": created_at,
            "client_id": client_id,
        },
    )


async def usable_key(tx: Tx, key_id: str, now: datetime) -> KeyRow | None:
    """The key under this public id, unless revoked, expired, or of somebody who is no member."""
    return await one_row(
        tx,
        KeyRow,
        """
        SELECT key_id, secret_hash, api_key.org_id, member_id, email, roles,
               auto_approve, scopes, expires_at, last_used_at, api_key.client_id AS bound_to,
               ARRAY(SELECT client.client_id FROM client
                      WHERE client.org_id = api_key.org_id AND client.disabled_at IS NULL
                        AND coalesce(api_key.client_id = client.client_id, true)) AS client_ids
          FROM api_key
          JOIN member USING (org_id, member_id)
          JOIN person USING (person_id)
         WHERE key_id = %(key_id)s AND revoked_at IS NULL AND member.disabled_at IS NULL
           AND accepted_at IS NOT NULL AND (expires_at IS NULL OR expires_at > %(now)s)
        """,
        {"key_id": key_id, "now": now},
    )


def _org(row: _OrgRow) -> Org:
    return Org(
        org_id=row.org_id,
        name=row.name,
        client_id=row.client_id,
        factory_address=row.factory_address,
        operator_address=row.operator_address,
        pool_address=row.pool_address,
        hold_address=row.hold_address,
        gas_address=row.gas_address,
        policy=_decode_policy(row.policy),
        callback_secret_version=row.callback_secret_version,
        time_zone=row.time_zone,
    )
