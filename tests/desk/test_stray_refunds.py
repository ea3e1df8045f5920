"""What strayed in beside a payment on its way back, and money that nobody has looked at yet."""

from datetime import timedelta

from counterfoil.core.assets import CHAINS
from counterfoil.core.events import ApproveRefund, Event, OrderRefund, WithdrawRefund
from counterfoil.core.invoice import Invoice, RefundStatus, Status
from counterfoil.core.money import Money
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.rows import execute
from counterfoil.desk import landing, moving
from counterfoil.desk.act import act
from counterfoil.desk.landing import Landed, LandedItem
from counterfoil.desk.moving import Reserved
from support.fake_clock import FakeClock
from support.invoices import CHECKER, DUE, SIGNER, STRANGER, USDT
from support.till import Books, Till, reserve

(USDC_E,) = CHAINS["arb"].known_other
HOME = "0x" + "4e" * 20


async def tell(till: Till, bill: Invoice, *events: Event) -> Invoice:
    may = frozenset({Permission.SIGN})
    for event in events:
        actor = Actor(event.by, till.org_id, may)
        bill = await act(till.desk, bill.org_id, bill.invoice_id, event, actor)
    return bill


async def approved(till: Till, bill: Invoice, money: Money) -> Invoice:
    at = till.desk.clock.now()
    order = OrderRefund(
        at=at, by=SIGNER, address=HOME, reason="back", attachment_file_ids=(), amounts=(money,)
    )
    return await tell(till, bill, order, ApproveRefund(at=at, by=CHECKER))


async def lands(till: Till, more_units: int = 0) -> None:
    (flying,) = await moving.open_txs(till.desk, "arb")
    items = tuple(
        LandedItem(i.move.move_id, i.move.amount_units + more_units) for i in flying.items
    )
    landed = Landed("arb", flying.tx.tx_hash, 90, ok=True, fee_wei=1, items=items)
    await landing.settle(till.desk, landed)


def later(till: Till, minutes: int) -> None:
    clock = till.desk.clock
    assert isinstance(clock, FakeClock)
    clock.advance(timedelta(minutes=minutes))


async def completed(till: Till) -> Invoice:
    """A payment that the merchant has, and as much of a bridged token beside it."""
    bill = await till.signed_bill()
    await till.receive(bill, DUE, USDC_E, payer=STRANGER)
    for role in ("operator", "pool"):
        assert await reserve(till, role) is Reserved.SIGNED
        await lands(till)
    assert await till.status(bill) is Status.COMPLETED
    return bill


async def test_it_is_screened_by_itself_and_moved_once_and_nothing_else_is(till: Till) -> None:
    bill = await completed(till)
    going = await approved(till, bill, Money(7, USDC_E))
    assert going.status is Status.REFUND_PROCESSING

    assert await reserve(till) is Reserved.WAITING
    await till.stray_screened(bill)

    seen = await till.look(bill)
    assert seen.screening is not None
    assert seen.screening.covers == ((USDT.key, DUE),)
    assert seen.stray_screening is not None
    assert seen.stray_screening.covers == ((USDC_E.key, DUE),)
    assert seen.stray_screening.payers == (STRANGER,)
    later(till, 2)
    for role in ("operator", "pool"):
        assert await reserve(till, role) is Reserved.SIGNED
        await lands(till)

    done = await till.look(bill)
    assert (done.status, done.refunds[0].status) == (Status.COMPLETED, RefundStatus.SETTLED)
    assert await till.books(USDC_E) == Books(deposit=0, pool=DUE - 7, merchant=0, payer=7 - DUE)
    assert await till.books() == Books(deposit=0, pool=0, merchant=DUE, payer=-DUE)
    rest = await approved(till, bill, Money(DUE - 7, USDC_E))
    assert [len(await till.moves(rest, purpose)) for purpose in ("sweep", "partial_refund")] == [
        2,
        2,
    ]


async def test_late_money_that_a_sweep_took_along_is_screened_before_it_is_refunded(
    till: Till,
) -> None:
    bill = await till.signed_bill()
    assert await reserve(till) is Reserved.SIGNED
    await till.put(bill, Status.COMPLIANCE_DECLINED)
    await till.receive(bill, 20_000, payer=STRANGER)
    await lands(till, 20_000)

    await approved(till, bill, Money(DUE + 20_000, USDT))
    async with till.desk.database.transaction() as tx:
        await execute(tx, "DELETE FROM effect", {})  # Nobody may rely on its having been asked.
    assert await reserve(till, "pool") is Reserved.WAITING
    refund = await till.move(bill, "refund")
    assert refund.wait_reason == "what has come in is not wholly screened yet"


async def test_what_is_found_after_the_approval_stops_the_refund_that_is_in_the_pool(
    till: Till,
) -> None:
    bill = await till.paid_bill()
    await approved(till, bill, Money(DUE, USDT))
    assert await reserve(till) is Reserved.SIGNED
    await till.receive(bill, 20_000, payer=STRANGER)
    await lands(till, 20_000)
    later(till, 1)
    await till.screened(bill, "aml_hold")

    assert await reserve(till, "pool") is Reserved.WAITING
    assert "nobody has released it" in ((await till.move(bill, "refund")).wait_reason or "")
    after = await tell(till, bill, WithdrawRefund(at=till.desk.clock.now(), by=SIGNER))
    assert after.status is Status.COMPLIANCE_HOLD
    assert await till.books() == Books(
        deposit=0, pool=DUE + 20_000, merchant=0, payer=-DUE - 20_000
    )
