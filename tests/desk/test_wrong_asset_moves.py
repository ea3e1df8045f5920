"""Another token that was taken as the payment, on its way while the right one comes after all."""

from datetime import timedelta

import pytest

from counterfoil.books import effects
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.money import Money
from counterfoil.core.reckoning import came_after, holdings
from counterfoil.db.migrate import read_migrations
from counterfoil.desk import landing, moving
from counterfoil.desk.landing import Landed, LandedItem
from counterfoil.desk.moving import Reserved
from support.fake_clock import FakeClock
from support.invoices import DUE, STRANGER, USDC, USDT
from support.till import Books, Till, reserve


async def taken(till: Till) -> Invoice:
    """USDT was asked for, as much USDC came, and the merchant signed for that."""
    bill = await till.bill(status=Status.SIGN_PENDING, assets=(USDT,), due_units=DUE)
    await till.receive(bill, DUE, USDC)
    await till.screened(bill)
    return await till.sign_off(bill)


async def lands(till: Till, units: int = DUE) -> None:
    (flying,) = await moving.open_txs(till.desk, "arb")
    items = tuple(LandedItem(i.move.move_id, units) for i in flying.items)
    landed = Landed("arb", flying.tx.tx_hash, 90, ok=True, fee_wei=1, items=items)
    await landing.settle(till.desk, landed)


def later(till: Till) -> None:
    """What waits is looked at again by then."""
    clock = till.desk.clock
    assert isinstance(clock, FakeClock)
    clock.advance(timedelta(minutes=2))


async def test_the_right_token_before_the_sweep_does_not_hold_up_what_was_signed_for(
    till: Till,
) -> None:
    bill = await taken(till)
    await till.receive(bill, DUE, USDT, payer=STRANGER)

    assert await reserve(till) is Reserved.WAITING
    assert "not wholly screened" in ((await till.move(bill, "sweep")).wait_reason or "")
    await till.screened(bill)
    later(till)
    for role in ("operator", "pool"):
        assert await reserve(till, role) is Reserved.SIGNED
        await lands(till)

    done = await till.look(bill)
    assert done.status is Status.COMPLETED
    assert holdings(done) == (Money(DUE, USDT),)
    assert await till.books(USDC) == Books(deposit=0, pool=0, merchant=DUE, payer=-DUE)
    assert await till.books() == Books(deposit=DUE, pool=0, merchant=0, payer=-DUE)


async def test_the_right_token_after_the_sweep_does_not_hold_up_the_payout(till: Till) -> None:
    bill = await taken(till)
    assert await reserve(till) is Reserved.SIGNED
    await lands(till)
    assert await till.status(bill) is Status.PAYOUT_PROCESSING
    await till.receive(bill, DUE, USDT, payer=STRANGER)

    assert await reserve(till, "pool") is Reserved.SIGNED
    await lands(till)
    assert await till.status(bill) is Status.COMPLETED
    assert await till.books(USDC) == Books(deposit=0, pool=0, merchant=DUE, payer=-DUE)


async def test_more_of_the_other_token_is_looked_at_and_then_taken_along(till: Till) -> None:
    bill = await taken(till)
    await till.receive(bill, DUE, USDT, payer=STRANGER)
    await till.receive(bill, 20_000, USDC, payer=STRANGER)

    assert await reserve(till) is Reserved.WAITING
    assert (await till.books(USDC)).deposit == DUE + 20_000
    await till.screened(bill)
    later(till)
    assert await reserve(till) is Reserved.SIGNED
    await lands(till, DUE + 20_000)
    assert await reserve(till, "pool") is Reserved.SIGNED
    await lands(till)

    done = await till.look(bill)
    assert done.status is Status.COMPLETED
    assert set(holdings(done)) == {Money(DUE, USDT), Money(20_000, USDC)}
    assert set(came_after(done)) == set(holdings(done))
    found = Books(deposit=0, pool=20_000, merchant=DUE, payer=-DUE - 20_000)
    assert await till.books(USDC) == found


async def test_what_is_found_about_the_right_token_holds_all_of_it(till: Till) -> None:
    bill = await taken(till)
    await till.receive(bill, DUE, USDT, payer=STRANGER)
    await till.screened(bill, "aml_hold")

    assert await till.status(bill) is Status.COMPLIANCE_HOLD
    assert await moving.next_batch(till.desk, await till.wallet("operator")) is None
    await till.released(bill)
    assert await reserve(till) is Reserved.SIGNED


async def test_what_was_signed_for_before_it_was_kept_is_known_from_what_was_planned(
    till: Till,
) -> None:
    bill, plain = await taken(till), await till.signed_bill()
    async with till.desk.database.transaction() as tx:
        await tx.execute("UPDATE invoice SET detail = detail - 'taken_assets'")
    assert (await till.look(bill)).tally.taken == ()

    await migrated(till, "0049")
    assert await till.look(bill) == bill
    assert (await till.look(plain)).taken_assets == ()


async def test_what_was_held_before_it_was_kept_is_looked_at_once_more(till: Till) -> None:
    """The program of before screened the right token alone, and nobody could release the two."""
    bill, plain = await taken(till), await till.signed_bill()
    async with till.desk.database.transaction() as tx:
        await tx.execute("UPDATE invoice SET detail = detail - 'taken_assets'")
    await till.receive(bill, DUE, USDT, payer=STRANGER)
    await till.screened(bill, "aml_hold")
    await till.receive(plain, DUE, USDT, payer=STRANGER)
    await till.screened(plain, "aml_hold")
    async with till.desk.database.transaction() as tx:
        await tx.execute("UPDATE effect SET done_at = now()")

    await migrated(till, "0049", "0050")

    with pytest.raises(OutOfPlace, match="being screened"):
        await till.released(bill)
    async with till.desk.database.reading() as tx:
        both = [bill.invoice_id, plain.invoice_id]
        assert await effects.waiting(tx, bill.org_id, "screen", both) == {bill.invoice_id}
    await till.screened(bill, "aml_hold")
    await till.released(bill)
    assert await till.status(bill) is Status.SWEEPING


async def migrated(till: Till, *numbers: str) -> None:
    """Run these migrations once more."""
    async with till.desk.database.transaction() as tx:
        for migration in read_migrations():
            if migration.name[:4] in numbers:
                for statement in migration.text.split(";\n")[:-1]:
                    await tx.execute(statement)
