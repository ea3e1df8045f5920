"""Movements that can never be made: what they were for goes on another way, once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from counterfoil.books import notes
from counterfoil.core.events import ApproveRefund, Decline, OrderRefund
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import landing, moving, progress, upkeep
from counterfoil.desk.act import act
from counterfoil.desk.landing import Landed, LandedItem
from counterfoil.desk.moving import Reserved
from support.fake_clock import FakeClock
from support.invoices import CHECKER, DUE, OFFICERS, SIGNER, STRANGER, USDC
from support.till import Till, reserve


async def land(till: Till, *, ok: bool = True, units: int | None = None) -> None:
    """What is in flight becomes final; each movement moved what it was to, or ``units``."""
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    moved = [
        (i.move.move_id, i.move.amount_units if units is None else units) for i in open_tx.items
    ]
    items = tuple(LandedItem(move_id, arrived) for move_id, arrived in moved)
    told = Landed("arb", open_tx.tx.tx_hash, 90, ok, 1, items if ok else ())
    await landing.settle(till.desk, told)


async def declined(till: Till, bill: Invoice) -> None:
    for officer in OFFICERS:
        by = Actor(officer, till.org_id, frozenset({Permission.REVIEW}))
        event = Decline(at=till.desk.clock.now(), by=officer, reason="stolen funds")
        await act(till.desk, bill.org_id, bill.invoice_id, event, by)


async def refund(till: Till, bill: Invoice) -> None:
    """One person orders all of it back, another lets it go."""
    at = till.desk.clock.now()
    order = OrderRefund(at=at, by=SIGNER, address=STRANGER, reason="", attachment_file_ids=())
    for event in (order, ApproveRefund(at=at, by=CHECKER)):
        by = Actor(event.by, till.org_id, frozenset({Permission.SIGN}))
        await act(till.desk, till.org_id, bill.invoice_id, event, by)


async def declined_with_a_reverted_sweep(till: Till, clock: FakeClock) -> Invoice:
    bill = await till.signed_bill()
    await reserve(till)
    clock.advance(timedelta(minutes=1))
    await till.screened(bill, "aml_hold")
    await declined(till, bill)
    await land(till, ok=False)
    assert (await till.move(bill, "sweep")).status == "parked"
    clock.advance(timedelta(minutes=1))
    return bill


async def test_a_parked_sweep_does_not_keep_a_refund_back_that_swept_the_money_itself(
    till: Till, clock: FakeClock
) -> None:
    bill = await declined_with_a_reverted_sweep(till, clock)
    await refund(till, bill)
    assert await reserve(till) is Reserved.SIGNED
    await land(till)

    first, second = await till.moves(bill, "sweep")
    assert (first.status, second.status) == ("failed", "final")
    async with till.desk.database.reading() as tx:
        (note,) = await notes.of_move(tx, 1, first.move_id)
    assert note.what.startswith("given up; it stood still because: reverted on chain")
    assert note.reason == "a later sweep emptied the address"
    assert await upkeep.held_up(till.desk) == []
    assert (await till.move(bill, "refund")).status == "ready"
    assert await reserve(till, "pool") is Reserved.SIGNED
    await land(till)
    assert await till.status(bill) is Status.REFUNDED
    books = await till.books()
    assert (books.deposit, books.pool, books.merchant, books.payer) == (0, 0, 0, 0)


@pytest.mark.parametrize("short_by", [1, DUE])
async def test_a_later_sweep_that_brought_less_leaves_the_earlier_one_standing(
    till: Till, clock: FakeClock, short_by: int
) -> None:
    bill = await declined_with_a_reverted_sweep(till, clock)
    await refund(till, bill)
    await reserve(till)
    await land(till, units=DUE - short_by)

    assert [move.status for move in await till.moves(bill, "sweep")] == ["parked", "final"]
    assert (await till.move(bill, "refund")).status == "waiting"
    assert await till.status(bill) is Status.REFUND_PROCESSING


async def test_only_the_same_address_and_token_emptied_later_counts(
    till: Till, clock: FakeClock
) -> None:
    bill = await declined_with_a_reverted_sweep(till, clock)
    parked = await till.move(bill, "sweep")
    later = replace(parked, move_id=till.desk.ids.new(), status="final", moved_units=DUE)
    assert progress.overtaken([parked, later]) == [parked]
    assert progress.overtaken([later, parked]) == []
    for other in (
        replace(later, deposit_mode="hd"),
        replace(later, contract=USDC.contract),
        replace(later, chain="base"),
        replace(later, purpose="restore"),
        replace(later, status="parked"),
    ):
        assert progress.overtaken([parked, other]) == []
