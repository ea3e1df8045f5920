"""Refunds on their way: budget, sanctions lists and withdrawal, in the real books."""

from datetime import timedelta

from counterfoil.books import screening
from counterfoil.core.events import ApproveRefund, Event, OrderRefund, WithdrawRefund
from counterfoil.core.invoice import Invoice, RefundStatus, Status
from counterfoil.core.money import Money
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import landing, moving
from counterfoil.desk.act import act
from counterfoil.desk.landing import Landed, LandedItem
from counterfoil.desk.moving import Reserved
from support.fake_clock import FakeClock
from support.invoices import CHECKER, DUE, SIGNER, STRANGER, USDT
from support.till import TERMS, Books, Till, quick_sign


async def tell(till: Till, bill: Invoice, *events: Event) -> Invoice:
    may = frozenset({Permission.SIGN})
    for event in events:
        actor = Actor(event.by, till.org_id, may)
        bill = await act(till.desk, bill.org_id, bill.invoice_id, event, actor)
    return bill


async def approved(till: Till, bill: Invoice, units: int) -> Invoice:
    """One person orders a refund of so much, another approves it."""
    at = till.desk.clock.now()
    order = OrderRefund(
        at=at,
        by=SIGNER,
        address=STRANGER,
        reason="too much",
        attachment_file_ids=(),
        amounts=(Money(units, USDT),),
    )
    return await tell(till, bill, order, ApproveRefund(at=at, by=CHECKER))


async def moves_on(till: Till, role: str) -> None:
    """What the wallet has to do is signed, and lands."""
    batch = await till.batch(role)  # type: ignore[arg-type]  # a role by its name
    assert await moving.reserve(till.desk, batch, TERMS, quick_sign) is Reserved.SIGNED
    (flying,) = await moving.open_txs(till.desk, "arb")
    items = tuple(LandedItem(i.move.move_id, i.move.amount_units) for i in flying.items)
    landed = Landed("arb", flying.tx.tx_hash, 90, ok=True, fee_wei=1, items=items)
    await landing.settle(till.desk, landed)


async def list_address(till: Till, address: str) -> None:
    now = till.desk.clock.now()
    row = screening.ListedRow("OFAC_SDN", "evm", address, "1", "ETH", "test", [], [])
    async with till.desk.database.transaction() as tx:
        known = screening.ListRow("OFAC_SDN", now.date(), now, "", 1, 1, 1, "test")
        await screening.put_list(tx, known)
        await screening.put_on_list(tx, [row], 1)


async def test_a_surplus_goes_back_first_and_the_rest_is_paid_out(till: Till) -> None:
    bill = await till.bill(status=Status.SIGN_PENDING)
    await till.receive(bill, DUE + 9)
    await till.screened(bill)

    await approved(till, bill, 9)
    await moves_on(till, "operator")
    await moves_on(till, "pool")

    back = await till.look(bill)
    assert (back.status, back.refunds[0].status) == (Status.SIGN_PENDING, RefundStatus.SETTLED)
    assert await till.books() == Books(deposit=0, pool=DUE, merchant=0, payer=-DUE)

    await till.sign_off(bill)
    await moves_on(till, "pool")

    assert await till.status(bill) is Status.COMPLETED
    assert await till.books() == Books(deposit=0, pool=0, merchant=DUE, payer=-DUE)


async def test_an_address_that_is_listed_after_the_approval_parks_and_can_be_withdrawn(
    till: Till,
) -> None:
    bill = await till.paid_bill()
    await approved(till, bill, DUE)
    await moves_on(till, "operator")
    await list_address(till, STRANGER)

    batch = await till.batch("pool")
    assert await moving.reserve(till.desk, batch, TERMS, quick_sign) is Reserved.PARKED
    parked = await till.move(bill, "refund")
    assert parked.park_reason == (f"the destination {STRANGER} is on the sanctions list OFAC_SDN")

    at = till.desk.clock.now()
    after = await tell(till, bill, WithdrawRefund(at=at, by=SIGNER))
    assert after.status is Status.SIGN_PENDING
    assert (await till.move(bill, "refund")).status == "failed"
    await till.sign_off(bill)
    await moves_on(till, "pool")
    assert await till.books() == Books(deposit=0, pool=0, merchant=DUE, payer=-DUE)


async def test_a_hit_after_the_approval_stops_the_sweep_until_the_refund_is_withdrawn(
    till: Till,
) -> None:
    bill = await till.paid_bill()
    await approved(till, bill, DUE)
    clock = till.desk.clock
    assert isinstance(clock, FakeClock)
    clock.advance(timedelta(seconds=1))
    await till.screened(bill, "aml_hold")

    batch = await till.batch()
    assert await moving.reserve(till.desk, batch, TERMS, quick_sign) is Reserved.WAITING
    assert "nobody has released it" in ((await till.move(bill, "sweep")).wait_reason or "")

    after = await tell(till, bill, WithdrawRefund(at=clock.now(), by=SIGNER))
    assert after.status is Status.COMPLIANCE_HOLD
    assert {m.status for m in await till.moves(bill, "sweep")} == {"failed"}
