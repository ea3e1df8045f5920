"""Payments that do not go straight, and what the merchant's server hears about them."""

from typing import Final

import pytest

from counterfoil.sandbox.tokens import artifact
from support.chain import calldata
from support.journey import Journey, Payer

pytestmark = pytest.mark.asyncio(loop_scope="session")

SANCTIONED: Final = "0x5a9c7104ed000000000000000000000000000001"
"""On the list that the sandbox imports (sandbox/sanctions.csv)."""


async def test_an_invoice_open_to_every_chain_and_token_follows_the_one_that_was_paid(
    journey: Journey,
) -> None:
    bill = await journey.approved_bill(
        chain="arb", pay_token="USDT", allow_any_chain=True, allow_any_token=True
    )
    assert len(bill.amounts) == 6
    base = journey.chains["base"]
    usdc = base.token("USDC")
    await journey.pay(bill, base, usdc)
    await journey.until_signable(bill)
    intent = (await journey.settle(bill))["payment_intent"]
    assert (intent["payment_chain_id"], intent["symbol"]) == ("base", "USDC")
    assert await base.paid_to(usdc, bill.payout_address) == [bill.due_units(usdc)]
    (*_, success) = await journey.until_told(bill, "pending", "success")
    assert (success.body["payment_chain_id"], success.body["symbol"]) == ("base", "USDC")


async def test_a_sanctioned_payers_money_is_held_and_nobody_can_sign_for_it(
    journey: Journey,
) -> None:
    optimism = journey.chains["optimism"]
    usdt = optimism.token("USDT")
    bill = await journey.approved_bill(chain="optimism", pay_token="USDT")
    payer = Payer(SANCTIONED)
    await payer.owns(optimism, usdt, bill.due_units(usdt))
    await payer.pays(optimism, usdt, bill.address, bill.due_units(usdt))
    held = await journey.until(bill, "compliance_freeze")
    assert (held["payment_intent"]["status"], held["context"]) == ("aml_hold", "sanctioned")
    assert (await journey.signer.act("sign", bill.id)).refusal == (409, 4090)
    await journey.until_told(bill, "pending", "aml_hold")
    assert await optimism.holds(usdt, bill.address) == bill.due_units(usdt)
    assert await optimism.paid_to(usdt, bill.payout_address) == []


async def test_two_invoices_paid_in_one_transaction_are_swept_in_one(journey: Journey) -> None:
    arb = journey.chains["arb"]
    usdc = arb.token("USDC")
    one, other = [await journey.approved_bill(chain="arb", pay_token="USDC") for _ in range(2)]
    units = one.due_units(usdc)
    assert other.due_units(usdc) == units
    till = await journey.customer.deploys(arb, artifact("MultiSend"))
    await Payer(till).owns(arb, usdc, 2 * units)
    both = calldata(
        "pay(address,address[],uint256)", usdc.contract, [one.address, other.address], units
    )
    payment = await journey.customer.calls(arb, till, both)
    for bill in (one, other):
        intent = (await journey.until_signable(bill))["payment_intent"]
        assert intent["payment_tx_hash"] == payment
        assert intent["payer_address"] == till
    with journey.workers_asleep():
        await journey.sign(one)
        await journey.sign(other)
    done = [await journey.until(bill, "completed") for bill in (one, other)]
    assert len({invoice["payment_intent"]["aggregation_tx_hash"] for invoice in done}) == 1
    for bill in (one, other):
        assert await arb.paid_to(usdc, bill.payout_address) == [units]
