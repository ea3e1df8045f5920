"""What happens to a till's money outside: it lands, and where it may go without people."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from counterfoil.books import orgs, profiles, screening
from counterfoil.core.events import ApproveRefund, Decline, OrderRefund
from counterfoil.core.invoice import Invoice
from counterfoil.core.payout_rules import PayoutPolicy, PayoutRules
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import landing, moving
from counterfoil.desk.act import act
from counterfoil.desk.desk import Desk
from counterfoil.desk.landing import Landed, LandedItem
from support.invoices import CHECKER, OFFICERS, SIGNER, STRANGER
from support.till import Till

FEE_WEI: Final = 7_000


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


async def member(desk: Desk, member_id: UUID, name: str, *roles: str) -> None:
    """Somebody who belongs to the first organisation."""
    now = desk.clock.now()
    row = orgs.Member(1, member_id, member_id, f"{name.lower()}@merchant.example", name, roles)
    async with desk.database.transaction() as tx:
        await orgs.insert_member(tx, row, "", now)


async def remove(till: Till, payout_address_id: UUID) -> None:
    async with till.desk.database.transaction() as tx:
        now = till.desk.clock.now()
        await profiles.remove_payout_address(tx, till.org_id, payout_address_id, now)


async def listed(till: Till, address: str) -> None:
    """A sanctions list names an address from now on."""
    now = till.desk.clock.now()
    row = screening.ListedRow("OFAC_SDN", "evm", address, "1", "ETH", "test", [], [])
    known = screening.ListRow("OFAC_SDN", now.date(), now, "", 1, 1, 1, "test")
    async with till.desk.database.transaction() as tx:
        await screening.put_list(tx, known)
        await screening.put_on_list(tx, [row], 1)


async def declined(till: Till, bill: Invoice) -> None:
    """Two officers refuse held money for good."""
    for officer in OFFICERS:
        by = Actor(officer, till.org_id, frozenset({Permission.REVIEW}))
        event = Decline(at=till.desk.clock.now(), by=officer, reason="stolen funds")
        await act(till.desk, bill.org_id, bill.invoice_id, event, by)


async def refund(till: Till, bill: Invoice, address: str = STRANGER) -> None:
    """One person orders all of it back, another lets it go."""
    at = till.desk.clock.now()
    order = OrderRefund(at=at, by=SIGNER, address=address, reason="", attachment_file_ids=())
    for event in (order, ApproveRefund(at=at, by=CHECKER)):
        by = Actor(event.by, till.org_id, frozenset({Permission.SIGN}))
        await act(till.desk, till.org_id, bill.invoice_id, event, by)


async def land(
    till: Till,
    *,
    ok: bool = True,
    units: int | None = None,
    problem: str | None = None,
    gone_units: int = 0,
) -> None:
    """What is in flight becomes final; each movement moved what it was to, or ``units``.

    As many as ``gone_units`` left as well and did not arrive. Or it reverted. It cost `FEE_WEI`.
    """
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    items = tuple(
        LandedItem(
            i.move.move_id,
            i.move.amount_units if units is None else units,
            problem,
            token_fee_units=gone_units,
        )
        for i in open_tx.items
    )
    told = Landed("arb", open_tx.tx.tx_hash, 90, ok, FEE_WEI, items if ok else ())
    await landing.settle(till.desk, told)
