"""Held money on a real chain: to the quarantine wallet, and both ways out of it."""

from typing import Final

import pytest

from counterfoil.core.assets import CHAINS
from counterfoil.core.events import ApproveRefund, Decline, OrderRefund, Quarantine
from counterfoil.core.invoice import Invoice, Status, pay_to
from counterfoil.core.money import Asset
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import settings
from counterfoil.desk.act import act
from counterfoil.workers.reconcile import reconcile
from support.house import House
from support.invoices import CHECKER, DUE, OFFICERS, SIGNER, USDT

REFUND_ADDRESS: Final = "0x" + "4f" * 20
ETHER: Final = CHAINS["arb"].native


async def told(house: House, bill: Invoice, event: object) -> None:
    by = Actor(event.by, house.org_id, frozenset(Permission))  # type: ignore[attr-defined]  # - any command
    await act(house.desk, bill.org_id, bill.invoice_id, event, by)  # type: ignore[arg-type]  # as above


async def quarantined(house: House, asset: Asset = USDT, units: int = DUE) -> Invoice:
    """A payment that was found dirty, and taken to the hold wallet."""
    bill = await house.bill(due_units=units, assets=(asset,), status=Status.SCREENING)
    await house.pay(bill, pay_to(bill, asset), units, asset)
    await house.finalize()
    await house.screened(bill, "aml_hold")
    now = house.desk.clock.now()
    await told(house, bill, Quarantine(at=now, by=OFFICERS[0], reason="stolen"))
    # A child has to be fuelled first.
    await house.drive(rounds=5)
    hold = (await house.org()).hold_address
    assert await house.arb.balance(None if asset.is_native else asset, hold) == units
    assert await house.status(bill) is Status.COMPLIANCE_HOLD
    return bill


async def declined_and_refunded(house: House, bill: Invoice) -> None:
    now = house.desk.clock.now()
    for officer in OFFICERS:
        await told(house, bill, Decline(at=now, by=officer, reason="stolen"))
    await told(
        house,
        bill,
        OrderRefund(
            at=now, by=SIGNER, address=REFUND_ADDRESS, reason="declined", attachment_file_ids=()
        ),
    )
    await told(house, bill, ApproveRefund(at=now, by=CHECKER))
    await from_hold(house)


async def from_hold(house: House) -> None:
    """The station fuels the hold wallet, which then sends what it has to."""
    await house.fuel()
    await house.drive(rounds=6)


async def assert_every_unit_is_explained(house: House) -> None:
    compared = [found async for found in reconcile(house.desk, house.arb.chain)]
    assert [found.differences for found in compared] == [()] * len(compared)


async def test_quarantined_declined_and_refunded_from_the_hold_wallet(house: House) -> None:
    bill = await quarantined(house)
    await assert_every_unit_is_explained(house)
    await declined_and_refunded(house, bill)

    refund = await house.move(bill, "refund")
    assert (refund.status, refund.wallet) == ("final", (await house.org()).hold_address)
    assert await house.status(bill) is Status.REFUNDED
    assert await house.arb.balance(USDT, REFUND_ADDRESS) == DUE
    await assert_every_unit_is_explained(house)


async def test_quarantined_released_and_paid_out_from_the_pool(house: House) -> None:
    bill = await quarantined(house)
    await house.released(bill)
    await house.sign_off(bill)
    await from_hold(house)

    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == DUE
    assert (await house.move(bill, "payout")).wallet == (await house.org()).pool_address
    await assert_every_unit_is_explained(house)


async def test_coin_goes_through_quarantine_apart_from_gas_money(house: House) -> None:
    bill = await quarantined(house, ETHER, 10**16)
    assert await house.holds("hold:coin") == 10**16
    await declined_and_refunded(house, bill)

    assert await house.status(bill) is Status.REFUNDED
    assert await house.arb.balance(None, REFUND_ADDRESS) == 10**16
    await assert_every_unit_is_explained(house)


@pytest.mark.parametrize("mode", ["hd"])
async def test_a_child_key_sends_to_quarantine_as_well(newcomer: House, mode: str) -> None:
    await settings.choose_deposits(newcomer.desk, 1, "arb", mode)
    house = await newcomer.settled_in()
    bill = await quarantined(house)
    assert bill.hd_address is not None
    await declined_and_refunded(house, bill)

    assert await house.status(bill) is Status.REFUNDED
    assert await house.arb.balance(USDT, REFUND_ADDRESS) == DUE
    await assert_every_unit_is_explained(house)
