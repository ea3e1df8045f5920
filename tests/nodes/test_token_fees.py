"""A token that begins to keep a part of every transfer: booked to the unit, and nobody is stuck."""

from typing import Final

import pytest

from counterfoil.core import reckoning
from counterfoil.core.errors import Forbidden, OutOfPlace
from counterfoil.core.events import ApproveRefund, Decline, OrderRefund, Quarantine
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.money import Money
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import approving, proving, refunding, settings, token_fees
from counterfoil.desk.act import act
from counterfoil.workers.reconcile import reconcile
from support.house import House
from support.invoices import CHECKER, DUE, MAKER, OFFICERS, SIGNER, USDT

REFUND_ADDRESS: Final = "0x" + "4f" * 20
WHY: Final = "Tether keeps one per cent since today; we bear it"
ONCE: Final = DUE * 99 // 100
"""What is left of the money after the token kept one per cent of it."""
TWICE: Final = ONCE * 99 // 100


async def takes_a_fee(house: House, basis_points: int = 100) -> None:
    await house.arb.as_issuer(USDT, "setParams(uint256,uint256)", basis_points, 10**9)


async def accept(house: House, bill: Invoice, by: str = CHECKER) -> None:
    person = Actor(by, house.org_id, frozenset({Permission.READ, Permission.SIGN}))
    await token_fees.accept(house.desk, bill.invoice_id, person, WHY)


async def told(house: House, bill: Invoice, *events: object) -> None:
    for event in events:
        by = Actor(event.by, house.org_id, frozenset(Permission))  # type: ignore[attr-defined]  # - any command
        await act(house.desk, bill.org_id, bill.invoice_id, event, by)  # type: ignore[arg-type]  # as above


async def assert_every_unit_is_explained(house: House) -> None:
    compared = [found async for found in reconcile(house.desk, house.arb.chain)]
    assert [found.differences for found in compared] == [()] * len(compared)
    assert (await proving.verify_audit(house.desk)).breaks == ()


async def assert_all_is_gone(house: House, bill: Invoice, fee_units: int) -> None:
    """Nothing of the invoice is left anywhere, and what the token kept stands in the books."""
    seen = await house.look(bill)
    assert reckoning.holdings(seen) == ()
    assert reckoning.token_fees(seen) == (Money(fee_units, USDT),)
    assert await house.holds("outside:token", USDT) == fee_units
    await assert_every_unit_is_explained(house)


async def test_a_fee_that_begins_after_sign_off_is_borne_by_whoever_accepts_it(
    house: House,
) -> None:
    bill, other = await house.signed_bill(), await house.signed_bill(DUE // 2)
    await takes_a_fee(house)
    await house.drive()

    assert (await house.move(bill, "sweep")).status == "final"
    parked = await house.move(bill, "payout")
    assert parked.park_reason == (
        f"less is here, as its token kept {DUE - ONCE} on the way: {DUE} base units are to leave"
        f" for this invoice, but only {ONCE} of what came in for it are with us"
    )
    assert await house.status(bill) is Status.PAYOUT_PROCESSING
    assert await house.at_merchant() == 0
    await assert_every_unit_is_explained(house)
    with pytest.raises(Forbidden, match="you made this invoice"):
        await accept(house, bill, by=MAKER)

    # The token stops it again; both payouts go out with what is here, and no more.
    await takes_a_fee(house, 0)
    await accept(house, bill)
    await accept(house, other)
    with pytest.raises(OutOfPlace, match="no payment of this invoice is short"):
        await accept(house, bill)
    await house.drive()

    paid = await house.move(bill, "payout")
    assert (paid.status, paid.amount_units, paid.moved_units) == ("final", ONCE, ONCE)
    assert (paid.move_id, paid.generation, paid.approved_by) == (parked.move_id, 1, CHECKER)
    assert await house.at_merchant() == ONCE + ONCE // 2
    assert await house.status(bill) is await house.status(other) is Status.COMPLETED
    assert await house.holds("outside:token", USDT) == (DUE - ONCE) * 3 // 2
    await assert_every_unit_is_explained(house)


async def test_a_fee_that_begins_between_sweep_and_payout_is_seen_before_it_is_done(
    house: House,
) -> None:
    bill = await house.signed_bill()
    await house.drive(rounds=1)
    await house.worker().follow(house.arb.chain)
    await takes_a_fee(house)
    await house.drive()

    short = await house.move(bill, "payout")
    assert (short.status, short.moved_units, short.token_fee_units) == ("parked", ONCE, DUE - ONCE)
    assert f"{ONCE} arrived at {short.destination}, as its token kept" in str(short.park_reason)
    assert await house.status(bill) is Status.PAYOUT_PROCESSING
    await assert_every_unit_is_explained(house)
    person = Actor(CHECKER, house.org_id, frozenset({Permission.SIGN}))
    with pytest.raises(OutOfPlace, match="its token kept a part of it; accept that instead"):
        await approving.approve_again(house.desk, short.move_id, person, reason=WHY)

    await accept(house, bill)
    await house.drive()

    assert await house.status(bill) is Status.COMPLETED
    assert len(await house.moves(bill, "payout")) == 1
    assert await house.at_merchant() == ONCE
    assert (await house.history(bill))[-2:] == ["token_fee_accepted", "paid_out"]
    await assert_all_is_gone(house, bill, DUE - ONCE)


@pytest.mark.parametrize("mode", ["factory", "hd"])
async def test_a_fee_all_the_way_of_a_refund_leaves_nobody_waiting(
    newcomer: House, mode: str
) -> None:
    await settings.choose_deposits(newcomer.desk, 1, "arb", mode)
    house = await newcomer.settled_in()
    bill = await house.paid_bill()
    now = house.desk.clock.now()
    order = OrderRefund(
        at=now, by=SIGNER, address=REFUND_ADDRESS, reason="wrong goods", attachment_file_ids=()
    )
    await told(house, bill, order, ApproveRefund(at=now, by=CHECKER))
    await takes_a_fee(house)
    await house.drive(rounds=5)
    assert (await house.move(bill, "refund")).status == "parked"
    with pytest.raises(Forbidden, match="you ordered this refund"):
        await accept(house, bill, by=SIGNER)

    await accept(house, bill)
    await house.drive()
    assert (await house.move(bill, "refund")).moved_units == TWICE
    assert await house.status(bill) is Status.REFUND_PROCESSING
    await accept(house, bill)
    await house.drive()

    assert await house.status(bill) is Status.REFUNDED
    assert await house.arb.balance(USDT, REFUND_ADDRESS) == TWICE
    seen = await house.look(bill)
    (refund,) = seen.refunds
    legs = await house.moves(bill, "refund")
    assert refunding.returned(refund, legs) == reckoning.returned(seen) == (Money(TWICE, USDT),)
    assert refunding.progress_of(refund, legs) is refunding.RefundProgress.PARTLY_SETTLED
    await assert_all_is_gone(house, bill, DUE - TWICE)


async def test_held_money_of_such_a_token_leaves_the_hold_wallet_as_well(house: House) -> None:
    bill = await house.bill(assets=(USDT,), status=Status.SCREENING)
    await house.pay(bill, bill.deposit_address, DUE)
    await house.finalize()
    await house.screened(bill, "aml_hold")
    await takes_a_fee(house)
    now = house.desk.clock.now()
    await told(house, bill, Quarantine(at=now, by=OFFICERS[0], reason="stolen"))
    await house.drive()
    assert await house.holds("hold", USDT) == ONCE

    order = OrderRefund(
        at=now, by=SIGNER, address=REFUND_ADDRESS, reason="declined", attachment_file_ids=()
    )
    decisions = [Decline(at=now, by=officer, reason="stolen") for officer in OFFICERS]
    await told(house, bill, *decisions, order, ApproveRefund(at=now, by=CHECKER))
    await house.fuel()
    await house.drive(rounds=6)
    await accept(house, bill)

    assert await house.status(bill) is Status.REFUNDED
    assert await house.arb.balance(USDT, REFUND_ADDRESS) == TWICE
    await assert_all_is_gone(house, bill, DUE - TWICE)
