"""Invoices in ether, with every process real: from creation to the merchant's own address."""

import pytest

from counterfoil.sandbox.tokens import artifact
from support.chain import calldata
from support.journey import Journey

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_invoice_in_ether_is_paid_and_paid_out_to_the_last_wei(journey: Journey) -> None:
    base = journey.chains["base"]
    ether = base.token("ETH")
    bill = await journey.approved_bill(chain="base", pay_token="ETH")
    before = await base.holds(ether, bill.payout_address)
    await journey.pay(bill, base, ether)
    await journey.until_signable(bill)
    intent = (await journey.settle(bill))["payment_intent"]

    assert (intent["payment_chain_id"], intent["symbol"]) == ("base", "ETH")
    assert await base.holds(ether, bill.payout_address) - before == bill.due_units(ether)
    assert await base.holds(ether, bill.address) == 0
    (*_, success) = await journey.until_told(bill, "pending", "success")
    assert success.body["symbol"] == "ETH"
    assert await journey.unexplained() == []


async def test_a_payment_out_of_a_contract_is_found_with_its_transaction(journey: Journey) -> None:
    arb = journey.chains["arb"]
    ether = arb.token("ETH")
    bill = await journey.approved_bill(chain="arb", pay_token="ETH")
    sender = await journey.customer.deploys(arb, artifact("CoinSender"))
    forward = calldata("forward(address)", bill.address)
    tx_hash = await journey.customer.calls(arb, sender, forward, bill.due_units(ether))
    (transfer,) = (await journey.until_signable(bill))["transfers"]
    assert (transfer["tx_hash"], transfer["from_address"]) == (tx_hash, sender)
    assert transfer["internal_transfer"] is True
