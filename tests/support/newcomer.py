"""An organisation that joins a running journey, with wallets, people and deposits of its own."""

import asyncio
from copy import copy
from typing import Final

from counterfoil.books import addresses
from counterfoil.books.orgs import Org
from counterfoil.desk import members, settings
from counterfoil.signer.client import SignerClient
from counterfoil.signer.orders import WalletAddresses
from support.actors import Auditor, Merchant, Reviewer, Signer
from support.journey import POLL_SECONDS, Journey
from support.patience import patiently

_TEAM: Final = ("finance", "reviewer", "signer")


async def joins(
    journey: Journey, org_id: int, *, chain: str, mode: str
) -> tuple[Journey, WalletAddresses]:
    """Found an organisation that nobody has sent any money for gas.

    Answers the journey as its people see it, and its wallets. On ``chain`` it is paid by ``mode``.
    """
    wallets = await SignerClient(journey.places.socket).addresses(org_id)
    client_id = f"client_{org_id}"
    org = Org(
        org_id=org_id,
        name=f"Newcomer {org_id} Ltd.",
        client_id=client_id,
        factory_address=wallets.factory,
        operator_address=wallets.operator,
        pool_address=wallets.pool,
        hold_address=wallets.hold,
        gas_address=wallets.gas,
    )
    await members.create_org(journey.desk, org)
    await settings.choose_deposits(journey.desk, org_id, chain, mode)
    keys = {}
    for role in _TEAM:
        member = await members.add_member(
            journey.desk,
            org_id,
            email=f"{role}@newcomer-{org_id}.example",
            name=role,
            roles=(role,),
            password_hash="",
        )
        keys[role] = await members.issue_key(journey.desk, member, "journey")
    theirs = copy(journey)
    theirs.merchant = Merchant(journey.session, keys["finance"], client_id)
    theirs.reviewer = Reviewer(journey.session, keys["reviewer"], client_id)
    theirs.signer = Signer(journey.session, keys["signer"], client_id)
    theirs.auditor = Auditor(journey.session, keys["signer"], client_id)
    async with patiently("deposit addresses of an organisation that has just joined"):
        while not await _may_be_paid(journey, org_id):
            await asyncio.sleep(POLL_SECONDS)
    return theirs, wallets


async def _may_be_paid(journey: Journey, org_id: int) -> bool:
    """Whether there are addresses in stock, all of them with a key of their own beside."""
    async with journey.desk.database.reading() as tx:
        if await addresses.free_count(tx, org_id, "evm") == 0:
            return False
        return not await addresses.without_child(tx, org_id, "evm", 1)
