"""Invoices in ether, with every process real: from creation to the merchant's own address."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from counterfoil.sandbox.tokens import artifact
from support.chain import calldata
from support.journey import Journey, new_address

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


@contextmanager
def nobody_traces(journey: Journey) -> Iterator[None]:
    """No provider of Optimism tells what transactions do inside, as is usual."""
    for one in journey.providers:
        one.refuse("debug_traceBlockByHash", "the method does not exist", -32601)
    try:
        yield
    finally:
        for one in journey.providers:
            one.recover()


async def test_ether_whose_transaction_nobody_can_tell_goes_on_once_an_officer_names_it(
    journey: Journey,
) -> None:
    optimism = journey.chains["optimism"]
    ether, customer = optimism.token("ETH"), journey.customer
    bill = await journey.approved_bill(chain="optimism", pay_token="ETH")
    sender = await customer.deploys(optimism, artifact("CoinSender"))
    forward = calldata("forward(address)", bill.address)
    with nobody_traces(journey):
        inside = await customer.calls(optimism, sender, forward, bill.due_units(ether))
        held = await journey.until_final(bill, "compliance_freeze")
        (unknown,) = held["transfers"]
        assert (unknown["tx_hash"], unknown["from_address"]) == (None, None)
        assert held["payment_intent"]["received_crypto_amount"] == bill.amounts["optimism", "ETH"]
        elsewhere = await customer.pays(optimism, ether, new_address(), 1)
        await optimism.included(elsewhere)
        named = {"transfer": unknown["unattributed"], "reason": "The customer's wallet shows it."}
        refused = await journey.reviewer.act("attach", bill.id, {**named, "tx_hash": inside})
        assert refused.refusal == (403, 4003)
        for times, (tx_hash, objection) in enumerate(
            ((elsewhere, f"{elsewhere} is in another block than the payment"), (inside, "")), 1
        ):
            answer = await journey.officer.act("attach", bill.id, {**named, "tx_hash": tx_hash})
            assert answer.status == 200
            checked = await journey.until_logged(bill, "transaction_checked", times)
            assert checked["reason"] == objection
    (known,) = (await journey.look(bill))["transfers"]
    assert (known["tx_hash"], known["from_address"]) == (inside, customer.address)
    await journey.until_logged(bill, "screened", 2)
    for officer in (journey.officer, journey.second_officer):
        why = {"reason": "The payer is known now, and was screened."}
        assert (await officer.act("release", bill.id, why)).status == 200
    await journey.until_signable(bill)
    before = await optimism.holds(ether, bill.payout_address)
    await journey.settle(bill)
    assert await optimism.holds(ether, bill.payout_address) - before == bill.due_units(ether)
    assert await optimism.holds(ether, bill.address) == 0
