"""The sandbox's two organisations and who works there."""

import secrets
from dataclasses import dataclass
from typing import Final

from argon2 import PasswordHasher

from counterfoil.books.orgs import Member, Org
from counterfoil.core.roles import operator
from counterfoil.desk import bank_accounts, joining, members, membership
from counterfoil.desk.bank_accounts import BankDetails
from counterfoil.desk.desk import Desk
from counterfoil.desk.passwords import Passwords
from counterfoil.sandbox.places import DemoMember
from counterfoil.signer.orders import WalletAddresses

ORG_ID: Final = 1
ORG_NAME: Final = "Meridian Trading Co."
CLIENT_ID: Final = "client_demo"
NEIGHBOUR_ID: Final = 2
NEIGHBOUR_NAME: Final = "Orchid Design Studio 蘭花設計"

Joins = tuple[str, str, tuple[str, ...]]
"""E-mail, name and roles of somebody who joins."""

REVIEWER: Final[Joins] = ("reviewer@meridian.example", "Robert Lin", ("reviewer",))
"""Reviews for both organisations."""

TEAM: Final[tuple[Joins, ...]] = (
    ("finance@meridian.example", "Mei-Lin Chen", ("finance",)),
    REVIEWER,
    ("signer@meridian.example", "Sofia Wang", ("signer",)),
    ("treasurer@meridian.example", "Daniel Ho", ("signer",)),
    ("compliance@meridian.example", "Chia-Hao Hsu", ("compliance",)),
    ("officer@meridian.example", "Ya-Ting Wu", ("compliance",)),
    ("auditor@meridian.example", "Anna Keller", ("auditor",)),
    ("admin@meridian.example", "Adam Tsai", ("administrator",)),
    ("deputy@meridian.example", "Wei-Ling Kuo", ("administrator",)),
)
NEIGHBOUR: Final[Joins] = ("owner@orchid.example", "林蘭 Lena Lin", ("finance", "administrator"))


_BANK: Final = BankDetails(
    holder="Meridian Trading Co.",
    bank_name="Taipei Fubon Bank",
    branch="Demo branch",
    bank_code="012",
    bic="TPBKTWTP",
    account_number="00012345678901",
    reference="",
)


@dataclass(frozen=True, slots=True)
class Team:
    """Who works at the merchant, and who at the other organisation, where there is one."""

    members: tuple[DemoMember, ...]
    neighbours: tuple[DemoMember, ...] = ()


async def found(desk: Desk, wallets: WalletAddresses) -> tuple[DemoMember, ...]:
    """The merchant, with its team."""
    await members.create_org(desk, _org(ORG_ID, ORG_NAME, CLIENT_ID, wallets))
    await bank_accounts.set_up(
        desk, 123, _BANK, label="Taipei Fubon, TWD", currency="TWD", by=operator(ORG_ID)
    )
    return tuple([await _join(desk, ORG_ID, one) for one in TEAM])


async def found_neighbour(desk: Desk, wallets: WalletAddresses) -> tuple[DemoMember, ...]:
    """Another organisation, with an owner, and the merchant's reviewer, who accepts to join."""
    org = _org(NEIGHBOUR_ID, NEIGHBOUR_NAME, "client_orchid", wallets)
    await members.create_org(desk, org)
    owner = await _join(desk, NEIGHBOUR_ID, NEIGHBOUR)
    email, name, roles = REVIEWER
    by = operator(NEIGHBOUR_ID)
    invited = await membership.add(desk, Passwords(), by, email=email, name=name, roles=roles)
    offered = await joining.invitation(desk, invited.token)
    await joining.accept(desk, invited.token, offered.person_id)
    return (owner,)


def _org(org_id: int, name: str, client_id: str, wallets: WalletAddresses) -> Org:
    return Org(
        org_id=org_id,
        name=name,
        client_id=client_id,
        factory_address=wallets.factory,
        operator_address=wallets.operator,
        pool_address=wallets.pool,
        hold_address=wallets.hold,
        gas_address=wallets.gas,
        time_zone="Asia/Taipei",
    )


async def _join(desk: Desk, org_id: int, who: Joins) -> DemoMember:
    email, name, roles = who
    password = secrets.token_urlsafe(12)
    member: Member = await members.add_member(
        desk,
        org_id,
        email=email,
        name=name,
        roles=roles,
        password_hash=PasswordHasher().hash(password),
    )
    key = await members.issue_key(desk, member, "sandbox")
    return DemoMember(email=email, name=name, password=password, roles=roles, api_key=key)
