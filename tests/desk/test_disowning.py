"""What an administrator announced does not come to hold once they are thrown out."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from counterfoil.books import orgs
from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.core import ids
from counterfoil.core.payout_rules import PayoutPolicy, PayoutRules
from counterfoil.core.returning import ReturnRules
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.slowly import Slowly
from counterfoil.db.pool import Database
from counterfoil.desk import (
    bank_accounts,
    freeing,
    membership,
    org_log,
    payout_addresses,
    returning,
    settings,
)
from counterfoil.desk.desk import Desk
from counterfoil.desk.the_org import the_org
from support.banks import FUBON
from support.fake_clock import FakeClock
from support.office import Office
from support.treasury import member

ANN_ID, BEN_ID = UUID(int=0xA1), UUID(int=0xB2)
ADMINISTERS = frozenset({Permission.ADMINISTER, Permission.READ, Permission.AUDIT})
ANN, BEN = (Actor(ids.public("user", one), 1, ADMINISTERS) for one in (ANN_ID, BEN_ID))
THEFT, SAFE, SHARED = ("0x" + byte * 20 for byte in ("7e", "5a", "c3"))
DAY = timedelta(days=1)
RULES = PayoutRules(registered_only=True, two_people=False)
ORIGINS = ReturnRules(("https://shop.example",))


@pytest.fixture
async def desk(database: Database) -> Desk:
    """Two administrators, one of whom is enough; rules that could be looser."""
    office = Office(database, FakeClock())
    await office.opens()
    await member(office.desk, ANN_ID, "Ann", "administrator")
    await member(office.desk, BEN_ID, "Ben", "administrator")
    policy = orgs.OrgPolicy(payouts=PayoutPolicy(RULES), returns=Slowly(ORIGINS))
    async with database.transaction() as tx:
        await orgs.save_policy(tx, 1, policy)
    return replace(office.desk, addresses={"evm": parse_evm_address})


async def policy_of(desk: Desk) -> orgs.OrgPolicy:
    async with desk.database.reading() as tx:
        return (await the_org(tx, 1)).policy


async def disabled(desk: Desk) -> None:
    await membership.disable(desk, ANN_ID, BEN)


async def made_an_auditor(desk: Desk) -> None:
    await membership.change_roles(desk, ANN_ID, ("auditor",), BEN)


async def found_to_be_somebody_else(desk: Desk) -> None:
    told = {"unknown_hash": "-", "reason": "her passport, case 7"}
    await freeing.free_email(desk, "ann@merchant.example", taken_by=1, **told)


@pytest.mark.parametrize("thrown_out", [disabled, made_an_auditor, found_to_be_somebody_else])
async def test_what_a_thief_announced_does_not_come_to_hold_once_they_are_thrown_out(
    desk: Desk, thrown_out: Callable[[Desk], Awaitable[None]]
) -> None:
    before = await policy_of(desk)
    await settings.change_policy(desk, 1, {"auto_accept_underpaid_from": "0.5"}, by=ANN)
    await payout_addresses.change_rules(desk, PayoutRules(two_people=False), ANN)
    await returning.change_rules(desk, "", ANN)
    await payout_addresses.add(desk, "evm", THEFT, "Theft", by=ANN)
    await bank_accounts.add(desk, FUBON, label="Theft", currency="TWD", by=ANN)
    safe = await payout_addresses.add(desk, "evm", SAFE, "Safe", by=BEN)

    await thrown_out(desk)
    assert isinstance(desk.clock, FakeClock)
    desk.clock.advance(2 * DAY)

    now, policy = desk.clock.now(), await policy_of(desk)
    assert policy.invoices.in_force(now) == before.invoice
    assert policy.payouts.in_force(now) == RULES
    assert policy.returns.in_force(now) == ORIGINS
    known = (await payout_addresses.registered(desk, BEN)).addresses
    assert [one.payout_address_id for one in known if one.is_usable(now)] == [safe]
    (account,) = (await bank_accounts.registered(desk, BEN)).accounts
    assert not account.is_told
    last = [e for e, _ in (await org_log.history(desk, BEN)).entries if e.operator_uid != ANN.uid]
    assert {
        "rules": ["invoices", "payouts", "returns"],
        "payout_addresses": 1,
        "bank_accounts": 1,
    } in [one.metadata for one in last if one.event == "announced_taken_back"]
    # Somebody else may find that it was meant well.
    await bank_accounts.approve(desk, account.bank_account_id, BEN)


async def test_what_others_announced_and_approved_goes_on_waiting(desk: Desk) -> None:
    await payout_addresses.change_rules(desk, PayoutRules(registered_only=True), BEN)
    shared = await payout_addresses.add(desk, "evm", SHARED, "Shared", by=ANN)
    await payout_addresses.approve(desk, shared, BEN)
    await settings.change_policy(desk, 1, {"auto_accept_underpaid_from": "0.9"}, by=BEN)
    await disabled(desk)
    assert isinstance(desk.clock, FakeClock)
    desk.clock.advance(2 * DAY)

    now, policy = desk.clock.now(), await policy_of(desk)
    assert policy.invoices.in_force(now).auto_accept_underpaid_from is not None
    (known,) = (await payout_addresses.registered(desk, BEN)).addresses
    assert known.is_usable(now)


async def test_what_two_asked_for_together_is_taken_back_with_either(desk: Desk) -> None:
    await settings.change_policy(desk, 1, {"auto_accept_underpaid_from": "0.5"}, by=ANN)
    await settings.change_policy(desk, 1, {"auto_accept_late_minutes": "15"}, by=BEN)
    await disabled(desk)
    policy = await policy_of(desk)
    assert policy.invoices.to_come(desk.clock.now()) == policy.invoice
    assert policy.invoice.auto_accept_late_minutes is None
