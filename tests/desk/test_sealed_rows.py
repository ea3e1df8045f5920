"""Rows that somebody changed by hand, beside a log whose seals all hold."""

import pytest

from counterfoil.core.events import ApproveRefund, OrderRefund
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.money import Money
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.rows import execute
from counterfoil.desk import landing, moving, proving
from counterfoil.desk.act import act
from counterfoil.desk.landing import Landed, LandedItem
from counterfoil.desk.moving import Reserved
from support.invoices import CHECKER, DUE, SIGNER, STRANGER, USDT
from support.life import surplus_to
from support.till import Till, reserve
from support.treasury import land


async def refunded_in_part_and_signed(till: Till) -> Invoice:
    """Nine units went back, and the rest is on its way to the merchant."""
    bill = await till.bill(status=Status.SIGN_PENDING)
    await till.receive(bill, DUE + 9)
    await till.screened(bill)
    at, may = till.desk.clock.now(), frozenset({Permission.SIGN})
    order = OrderRefund(
        at=at,
        by=SIGNER,
        address=STRANGER,
        reason="too much",
        attachment_file_ids=(),
        amounts=(Money(9, USDT),),
    )
    for event in (order, ApproveRefund(at=at, by=CHECKER)):
        await act(till.desk, 1, bill.invoice_id, event, Actor(event.by, 1, may))
    for role in ("operator", "pool"):
        assert await reserve(till, role) is Reserved.SIGNED
        (flying,) = await moving.open_txs(till.desk, "arb")
        items = tuple(LandedItem(i.move.move_id, i.move.amount_units) for i in flying.items)
        landed = Landed("arb", flying.tx.tx_hash, 90, ok=True, fee_wei=1, items=items)
        await landing.settle(till.desk, landed)
    return await till.sign_off(bill)


@pytest.mark.parametrize(
    ("by_hand", "finding"),
    [
        ("UPDATE refund SET address = '0xthief'", "has another address than is sealed here"),
        ("UPDATE refund SET ordered_by = 'user_else'", "has another orderer"),
        ("UPDATE refund SET approved_by = 'user_else'", "has another approval"),
        ("UPDATE refund SET status = 'withdrawn'", "has another status"),
        ("UPDATE refund SET with_sign_off = true", "has another sign-off"),
        ("UPDATE refund SET reason = 'gift'", "has another reason"),
        ("UPDATE refund_amount SET amount_units = 10", "has another amounts"),
        ("UPDATE refund SET refund_id = gen_random_uuid()", None),
        (
            "UPDATE move SET destination = '0xthief' WHERE purpose = 'partial_refund'",
            "goes elsewhere than its refund",
        ),
        (
            "UPDATE move SET destination = '0xthief' WHERE purpose = 'payout'",
            "goes elsewhere than the invoice says",
        ),
        (
            "UPDATE move SET amount_units = 10 WHERE purpose = 'partial_refund'",
            "are not its amounts",
        ),
        (
            "UPDATE move SET approved_by = 'user_else' WHERE purpose = 'payout'",
            "that the log does not know",
        ),
        (
            "UPDATE invoice SET detail = jsonb_set(detail, '{releases}', '[\"user_else\"]')",
            "user_else has decided nothing of the kind",
        ),
    ],
)
async def test_it_is_found_and_named(till: Till, by_hand: str, finding: str | None) -> None:
    await refunded_in_part_and_signed(till)
    assert (await proving.verify_audit(till.desk)).breaks == ()
    async with till.desk.database.transaction() as tx:
        if finding is None:
            await execute(tx, "DELETE FROM refund_amount", {})
            await execute(tx, "DELETE FROM refund", {})
        else:
            await execute(tx, by_hand, {})
    (broken,) = (await proving.verify_audit(till.desk)).breaks
    assert (finding or "is missing") in broken.finding


async def test_a_sign_off_that_waited_pays_each_once_and_what_it_waited_for_is_sealed(
    till: Till,
) -> None:
    bill = await till.bill(status=Status.SIGN_PENDING)
    await till.receive(bill, DUE + 9)
    await till.screened(bill)
    at, may = till.desk.clock.now(), frozenset({Permission.SIGN})
    elsewhere = surplus_to(STRANGER, goes_home=False, at=at)
    for event in (elsewhere, ApproveRefund(at=at, by=CHECKER)):
        assert await moving.next_batch(till.desk, await till.wallet("operator")) is None
        await act(till.desk, 1, bill.invoice_id, event, Actor(event.by, 1, may))
    for role in ("operator", "pool", "pool"):
        assert await reserve(till, role) is Reserved.SIGNED
        await land(till)
    assert await till.status(bill) is Status.COMPLETED
    books = await till.books()
    assert (books.deposit, books.pool, books.merchant, books.payer) == (0, 0, DUE, -DUE)
    assert (await proving.verify_audit(till.desk)).breaks == ()
    async with till.desk.database.transaction() as tx:
        await execute(tx, "UPDATE refund SET with_sign_off = false", {})
    (broken,) = (await proving.verify_audit(till.desk)).breaks
    assert "has another sign-off than is sealed here" in broken.finding


async def test_counts_that_are_kept_are_compared_with_what_there_is(till: Till) -> None:
    await till.bill()
    await till.bill()
    assert await proving.miscounted(till.desk) == []
    async with till.desk.database.transaction() as tx:
        await execute(
            tx, "DELETE FROM invoice_count WHERE ctid IN (SELECT min(ctid) FROM invoice_count)", {}
        )
    (sentence,) = await proving.miscounted(till.desk)
    assert sentence.startswith("organisation 1 counts 1 invoices that are awaiting_payment")
    assert sentence.endswith("there are 2")
