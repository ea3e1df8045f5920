"""Where a till's money may go: registered addresses without the people who register them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from counterfoil.books import orgs, profiles
from counterfoil.core.payout_rules import PayoutPolicy, PayoutRules
from counterfoil.desk import landing, moving
from counterfoil.desk.landing import Landed, LandedItem
from support.till import Till


async def registered_only(till: Till, **rules: Any) -> None:  # noqa: ANN401 - any rule
    """The rule, in force."""
    org = await till.org()
    payouts = PayoutPolicy(rules=replace(PayoutRules(registered_only=True), **rules))
    async with till.desk.database.transaction() as tx:
        policy = msgspec.structs.replace(org.policy, payouts=payouts)
        await orgs.save_policy(tx, till.org_id, policy)


async def allow_one_person(till: Till) -> None:
    """One person is enough to send a payout elsewhere."""
    await registered_only(till, registered_only=False, two_people=False)


async def register(
    till: Till, address: str, label: str = "Treasury", wait: timedelta | None = timedelta()
) -> UUID:
    """An address that is good from now on, after some waiting, or (None) once it is approved."""
    now = till.desk.clock.now()
    since = None if wait is None else now + wait
    row = profiles.PayoutAddress(
        till.desk.ids.new(), "evm", address, label, "user_anna", now, None, None, since
    )
    async with till.desk.database.transaction() as tx:
        await profiles.insert_payout_address(tx, till.org_id, row)
    return row.payout_address_id


async def remove(till: Till, payout_address_id: UUID) -> None:
    async with till.desk.database.transaction() as tx:
        now = till.desk.clock.now()
        await profiles.remove_payout_address(tx, till.org_id, payout_address_id, now)


async def land(till: Till, *, ok: bool = True) -> None:
    """What is in flight becomes final, and moved what it was to; or it reverted."""
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    items = tuple(LandedItem(i.move.move_id, i.move.amount_units) for i in open_tx.items)
    told = Landed("arb", open_tx.tx.tx_hash, 90, ok, 1, items if ok else ())
    await landing.settle(till.desk, told)
