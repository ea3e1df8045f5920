"""Money that goes back: in parts, with two people, to where it may go, and never twice."""

import asyncio

import pytest

from counterfoil.core.money import Asset
from support.journey import COIN, Bill, Chain, Journey, new_address
from support.side_by_side import SideBySide

pytestmark = pytest.mark.asyncio(loop_scope="session")

side_by_side = SideBySide()

SANCTIONED = "0x5a9c7104ed000000000000000000000000000001"
"""On the list that the sandbox imports (sandbox/sanctions.csv)."""


async def paid_hundred(
    journey: Journey, key: str, symbol: str, **changes: object
) -> tuple[Bill, Chain, Asset]:
    """An invoice over 100 coins that was paid, and waits for the merchant's signature."""
    chain = journey.chains[key]
    token = chain.token(symbol)
    bill = await journey.hundred(chain, token, **changes)
    await journey.pay(bill, chain, token)
    await journey.until_signable(bill)
    return bill, chain, token


@side_by_side
async def test_a_settled_invoice_is_refunded_in_parts_up_to_what_was_received(
    journey: Journey,
) -> None:
    bill, arb, usdc = await paid_hundred(journey, "arb", "USDC", payout_addresses=None)
    await journey.settle(bill)
    home, other = new_address(), new_address()
    first = await journey.refund(bill, home, refund_amount="10.50")
    assert (first["status"], first["payment_intent"]["status"]) == ("completed", "success")
    second = await journey.refund(bill, other, refund_amount="0.000001")
    assert second["payment_intent"]["partial_refund_amount"] == "10.500001"
    too_much = await journey.order_refund(bill, refund_address=home, refund_amount="89.50")
    assert "what is left is 89.499999 USDC" in too_much.fields["refund_amount"]
    last = await journey.refund(bill, home)
    assert last["status"] == "refunded"
    assert last["payment_intent"]["refund_crypto_amount"] == "89.499999"
    assert last["payment_intent"]["refund_tx_hash"] == last["refund"]["amounts"][0]["tx_hash"]
    assert await arb.paid_to(usdc, home) == [10_500_000, 89_499_999]
    assert await arb.paid_to(usdc, other) == [1]


@side_by_side
async def test_a_refund_needs_a_reason_a_letter_and_a_second_person_and_goes_once(
    journey: Journey,
) -> None:
    bill, base, usdt = await paid_hundred(journey, "base", "USDT")
    home = new_address()
    bare = await journey.signer.act("refund", bill.id, {"refund_address": home})
    assert {"refund_reason", "refund_attachments"} <= set(bare.fields)
    assert (await journey.order_refund(bill, refund_address=home)).status == 200
    own = await journey.signer.act("refund/approve", bill.id)
    assert own.body["data"]["rule"] == "maker_is_not_checker"
    together = [journey.treasurer.act("refund/approve", bill.id) for _ in range(5)]
    answers = sorted(answer.status for answer in await asyncio.gather(*together))
    assert answers == [200, 409, 409, 409, 409]
    refunded = await journey.until(bill, "refunded")
    intent = refunded["payment_intent"]
    assert (intent["status"], intent["refund_crypto_amount"]) == ("refunded", "100.00")
    (refund,) = refunded["refunds"]
    assert refund["is_partial"] is False
    assert await base.paid_to(usdt, home) == [100 * COIN]
    assert await base.paid_to(usdt, bill.payout_address) == []
    (*_, told) = await journey.until_told(bill, "pending", "success", "manual_review", "refunded")
    assert told.body["refund_tx_hash"] == intent["refund_tx_hash"]


@side_by_side
async def test_a_withdrawn_refund_sends_nothing_and_the_invoice_goes_on(
    journey: Journey,
) -> None:
    bill, optimism, usdc = await paid_hundred(journey, "optimism", "USDC")
    home = new_address()
    await journey.order_refund(bill, refund_address=home)
    withdrawn = await journey.treasurer.act("refund/withdraw", bill.id, {"reason": "Solved."})
    assert withdrawn.data["status"] == "sign_pending"
    await journey.settle(bill)
    assert await optimism.paid_to(usdc, home) == []
    assert await optimism.paid_to(usdc, bill.payout_address) == [100 * COIN]


@side_by_side
async def test_no_refund_goes_to_a_sanctioned_address_or_to_ourselves(journey: Journey) -> None:
    bill, _, usdt = await paid_hundred(journey, "arb", "USDT")
    before = await journey.look(bill)
    for address in (SANCTIONED, bill.address, usdt.contract, "0x" + "00" * 20):
        refused = await journey.order_refund(bill, refund_address=address)
        assert list(refused.fields) == ["refund_address"]
    assert await journey.look(bill) == before
