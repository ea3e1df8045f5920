"""Held money in the quarantine wallet: how it gets there, and both ways out."""

from datetime import timedelta
from uuid import UUID

import pytest

from counterfoil.books.moves import MoveRow
from counterfoil.core import ids
from counterfoil.core.errors import Forbidden, OutOfPlace
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.warrant import Warrant, check_warrant
from counterfoil.db.pool import Database
from counterfoil.desk import commands, files, landing, moving, proving, provisioning, stuck
from counterfoil.desk.landing import Landed, LandedItem
from counterfoil.desk.moving import Reserved
from support.fake_clock import FakeClock
from support.invoices import CHECKER, DUE, OFFICERS, SIGNER, STRANGER, USDT
from support.shop import desk_on
from support.till import ETHER, Till, fresh_hash, reserve

S = Status
MORE = 70_000
PDF = b"%PDF-1.7\nstartxref\n0\n%%EOF\n"
WHY = "stolen funds reported"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def till(database: Database, clock: FakeClock) -> Till:
    shop = Till(desk_on(database, clock))
    await shop.open()
    await shop.ready()
    await shop.fund("hold", ETHER)
    return shop


def officer(till: Till, number: int = 0) -> Actor:
    return Actor(OFFICERS[number], till.org_id, frozenset({Permission.REVIEW}))


def signer(till: Till, uid: str = SIGNER) -> Actor:
    return Actor(uid, till.org_id, frozenset({Permission.SIGN}))


async def held_bill(till: Till) -> Invoice:
    bill = await till.bill(status=S.SCREENING)
    await till.receive(bill, DUE)
    await till.screened(bill, "aml_hold")
    return bill


async def quarantined(till: Till, bill: Invoice) -> None:
    await commands.quarantine(till.desk, bill.invoice_id, officer(till), WHY)


async def declined(till: Till, bill: Invoice) -> None:
    for number in (0, 1):
        await commands.decline(till.desk, bill.invoice_id, officer(till, number), WHY)


async def idle(till: Till, *roles: str) -> bool:
    wallets = [await till.wallet(role) for role in roles]  # type: ignore[arg-type]  # as above
    return not any([await moving.next_batch(till.desk, wallet) for wallet in wallets])


async def lands(till: Till, units: int = DUE) -> None:
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    items = tuple(LandedItem(item.move.move_id, units) for item in open_tx.items)
    told = Landed("arb", open_tx.tx.tx_hash, 90, ok=True, fee_wei=1, items=items)
    await landing.settle(till.desk, told)


async def in_quarantine(till: Till) -> Invoice:
    bill = await held_bill(till)
    await quarantined(till, bill)
    assert await reserve(till, "operator") is Reserved.SIGNED
    await lands(till)
    return bill


async def refund_ordered(till: Till, bill: Invoice) -> None:
    uid = ids.public("user", UUID(int=5))
    may = Actor(uid, till.org_id, frozenset(Permission))
    stored = await files.store(till.desk, PDF, "why.pdf", may)
    await commands.order_refund(
        till.desk,
        bill.invoice_id,
        signer(till),
        address=STRANGER,
        reason="declined",
        attachments=(stored.file_id,),
    )


async def refund_approved(till: Till, bill: Invoice) -> None:
    await refund_ordered(till, bill)
    await commands.approve_refund(till.desk, bill.invoice_id, signer(till, CHECKER))


async def places(till: Till) -> tuple[int, int, int, int]:
    """What lies at deposit addresses, in the hold wallet, in the pool, and what is outside."""
    books = await till.books()
    return books.deposit, await till.holds("hold", USDT), books.pool, books.merchant + books.payer


async def test_held_money_goes_to_the_hold_wallet_and_nothing_else_does(till: Till) -> None:
    bill = await held_bill(till)
    assert await idle(till, "operator", "pool", "hold")
    await quarantined(till, bill)

    assert await reserve(till, "operator") is Reserved.SIGNED
    assert await idle(till, "pool", "hold")
    await lands(till)

    assert await till.status(bill) is S.COMPLIANCE_HOLD
    assert await places(till) == (0, DUE, 0, -DUE)
    seen = await till.look(bill)
    assert seen.settled.in_hold_units(USDT) == seen.settled.swept_units(USDT) == DUE
    assert seen.quarantined_by == OFFICERS[0]
    assert await idle(till, "operator", "pool", "hold")
    hold = (await till.org()).hold_address
    (place,) = [p for p in await proving.places(till.desk, "arb", 90) if p.address == hold]
    assert place.units[USDT.contract] == DUE
    assert (await proving.verify_audit(till.desk)).breaks == ()


async def test_released_it_goes_to_the_pool_and_is_paid_out(till: Till) -> None:
    bill = await in_quarantine(till)
    await till.released(bill)
    assert await till.status(bill) is S.SIGN_PENDING
    assert (await till.look(bill)).quarantined_at is None
    await till.sign_off(bill)

    assert await idle(till, "operator", "pool")
    assert await reserve(till, "hold") is Reserved.SIGNED
    await lands(till)
    assert await places(till) == (0, 0, DUE, -DUE)
    assert await till.status(bill) is S.PAYOUT_PROCESSING
    assert await reserve(till, "pool") is Reserved.SIGNED
    await lands(till)

    assert await till.status(bill) is S.COMPLETED
    assert await places(till) == (0, 0, 0, 0)
    assert await till.holds("hold") == ETHER - 1


async def test_declined_it_goes_back_from_the_hold_wallet_under_its_warrant(till: Till) -> None:
    bill = await in_quarantine(till)
    await declined(till, bill)
    await refund_approved(till, bill)

    refund = await till.move(bill, "refund")
    assert sealed(till, refund, from_hold=True)
    assert not sealed(till, refund, from_hold=False)
    assert await till.moves(bill, "sweep") == []
    assert await idle(till, "operator", "pool")
    assert await reserve(till, "hold") is Reserved.SIGNED
    await lands(till)

    assert await till.status(bill) is S.REFUNDED
    assert await places(till) == (0, 0, 0, 0)
    assert (await till.move(bill, "refund")).wallet == (await till.org()).hold_address


async def test_declined_money_may_go_to_the_hold_wallet_as_well(till: Till) -> None:
    bill = await held_bill(till)
    await declined(till, bill)
    await quarantined(till, bill)
    assert await reserve(till, "operator") is Reserved.SIGNED
    with pytest.raises(OutOfPlace, match="on its way"):
        await refund_ordered(till, bill)
    await lands(till)
    await refund_approved(till, bill)
    assert await reserve(till, "hold") is Reserved.SIGNED
    await lands(till)
    assert await till.status(bill) is S.REFUNDED


async def test_what_was_not_taken_yet_goes_back_from_its_address(till: Till) -> None:
    bill = await held_bill(till)
    await declined(till, bill)
    await quarantined(till, bill)
    await refund_approved(till, bill)

    assert (await till.move(bill, "quarantine")).status == "failed"
    assert await reserve(till, "operator") is Reserved.SIGNED
    await lands(till)
    assert await idle(till, "hold")
    assert await reserve(till, "pool") is Reserved.SIGNED
    await lands(till)
    assert await till.status(bill) is S.REFUNDED


async def test_money_that_lies_in_two_places_goes_back_from_both(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till, "operator")
    await lands(till)
    assert await till.status(bill) is S.PAYOUT_PROCESSING
    await till.receive(bill, MORE, block=60)
    await till.screened(bill, "aml_hold")
    await quarantined(till, bill)
    assert await reserve(till, "operator") is Reserved.SIGNED
    await lands(till, MORE)
    assert await places(till) == (0, MORE, DUE, -DUE - MORE)

    await declined(till, bill)
    await refund_approved(till, bill)
    legs = [(leg.amount_units, leg.from_hold) for leg in await till.moves(bill, "refund")]
    assert sorted(legs) == [(MORE, True), (DUE, False)]
    assert await reserve(till, "hold") is Reserved.SIGNED
    await lands(till, MORE)
    assert await till.status(bill) is S.REFUND_PROCESSING
    assert await reserve(till, "pool") is Reserved.SIGNED
    await lands(till)
    assert await till.status(bill) is S.REFUNDED
    assert await places(till) == (0, 0, 0, 0)


async def test_held_after_the_signature_it_goes_on_by_the_hold_wallet(till: Till) -> None:
    bill = await till.signed_bill()
    await till.screened(bill, "aml_hold")
    await quarantined(till, bill)
    assert (await till.move(bill, "sweep")).status == "failed"
    assert await reserve(till, "operator") is Reserved.SIGNED
    with pytest.raises(OutOfPlace, match="on its way"):
        await commands.release(till.desk, bill.invoice_id, officer(till), WHY)
    await lands(till)

    await till.released(bill)
    assert await till.status(bill) is S.SWEEPING
    assert await reserve(till, "hold") is Reserved.SIGNED
    await lands(till)
    assert await till.status(bill) is S.PAYOUT_PROCESSING
    assert await reserve(till, "pool") is Reserved.SIGNED
    await lands(till)
    assert await till.status(bill) is S.COMPLETED
    assert await places(till) == (0, 0, 0, 0)


async def test_released_before_it_was_taken_it_goes_its_old_way(till: Till) -> None:
    bill = await till.signed_bill()
    await till.screened(bill, "aml_hold")
    await quarantined(till, bill)
    await till.released(bill)

    assert (await till.move(bill, "quarantine")).status == "failed"
    assert [move.status for move in await till.moves(bill, "sweep")] == ["failed", "ready"]
    assert await reserve(till, "operator") is Reserved.SIGNED
    await lands(till)
    assert await till.status(bill) is S.PAYOUT_PROCESSING


async def test_one_officer_with_a_reason_is_enough_and_nobody_else(till: Till) -> None:
    bill = await held_bill(till)
    with pytest.raises(Forbidden, match="compliance:review"):
        await commands.quarantine(till.desk, bill.invoice_id, signer(till), WHY)
    assert await till.moves(bill, "quarantine") == []
    await quarantined(till, bill)
    assert (await till.history(bill))[-1] == "quarantine"
    assert (await till.move(bill, "quarantine")).approved_by == OFFICERS[0]


async def test_money_that_may_still_vanish_is_not_taken(till: Till) -> None:
    bill = await held_bill(till)
    async with till.desk.database.transaction() as tx:
        await tx.execute("UPDATE transfer SET depth = 2")
    with pytest.raises(OutOfPlace, match="not yet final"):
        await quarantined(till, bill)


async def test_there_is_nothing_to_take_twice(till: Till) -> None:
    bill = await in_quarantine(till)
    with pytest.raises(OutOfPlace, match="nothing lies at the deposit address"):
        await quarantined(till, bill)


async def test_the_hold_wallet_never_pays_with_what_others_have_in_it(till: Till) -> None:
    bill = await in_quarantine(till)
    await in_quarantine(till)
    await declined(till, bill)
    await refund_approved(till, bill)
    async with till.desk.database.transaction() as tx:
        await tx.execute("UPDATE move SET amount_units = amount_units + 1 WHERE purpose = 'refund'")
    assert await reserve(till, "hold") is Reserved.PARKED


async def test_a_lost_signature_of_the_hold_wallet_is_waited_for(
    till: Till, clock: FakeClock
) -> None:
    bill = await in_quarantine(till)
    await till.released(bill)
    await till.sign_off(bill)
    restore, hold = await till.move(bill, "restore"), await till.wallet("hold")
    await stuck.found_lost(till.desk, hold, 0, [restore.move_id], [fresh_hash()])
    assert await reserve(till, "hold") is Reserved.WAITING
    assert "may still land" in str((await till.move(bill, "restore")).wait_reason)

    hole = (await stuck.unsettled(till.desk, "arb"))[0][0]
    assert await stuck.settle_lost(till.desk, hole, "gone", 95)
    clock.advance(timedelta(minutes=1))
    assert await reserve(till, "hold") is Reserved.SIGNED


async def test_gas_goes_to_the_hold_wallet_only_where_it_has_something_to_send(
    database: Database, clock: FakeClock
) -> None:
    till = Till(desk_on(database, clock))
    await till.open()
    await till.ready()
    levels = {"low_wei": 10, "target_wei": 100}
    await provisioning.plan_fuel(till.desk, till.org_id, "arb", **levels)
    assert await idle(till, "gas")

    bill = await in_quarantine(till)
    await declined(till, bill)
    await refund_approved(till, bill)
    await provisioning.plan_fuel(till.desk, till.org_id, "arb", **levels)
    batch = await till.batch("gas")
    assert batch.destination_role == "hold"


def sealed(till: Till, move: MoveRow, *, from_hold: bool) -> bool:
    """Whether the movement's warrant says where it leaves from."""
    assert move.approved_by is not None
    assert move.approved_at is not None
    warrant = Warrant(
        org_id=move.org_id,
        move_id=str(move.move_id),
        purpose="refund",
        chain=move.chain,
        contract=move.contract,
        destination=move.destination,
        amount_units=move.amount_units,
        approved_by=move.approved_by,
        approved_at=move.approved_at,
        from_hold=from_hold,
    )
    return check_warrant(warrant, move.warrant or "", till.desk.approval_key or b"")
