"""A chain that changes its mind: what it took back is not paid, and counts once when it returns."""

import pytest

from support.journey import COIN, Journey

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_payment_that_a_reorg_removed_is_not_paid_any_more(journey: Journey) -> None:
    arb = journey.chains["arb"]
    usdc = arb.token("USDC")
    bill = await journey.hundred(arb, usdc)
    with arb.held():
        await journey.customer.pays(arb, usdc, bill.address, 100 * COIN)
        await arb.node.mine()
        await journey.until(bill, "transaction_detected")
        await arb.node.reorg(1)
    gone = await journey.until(bill, "pending_payment")
    assert gone["payment_intent"]["received_crypto_amount"] is None
    assert await arb.holds(usdc, bill.address) == 0
    again = await journey.pay(bill, arb, usdc)
    paid = await journey.until_signable(bill)
    assert (paid["context"], paid["payment_intent"]["payment_tx_hash"]) == ("exact", again)
    await journey.settle(bill)
    assert await arb.paid_to(usdc, bill.payout_address) == [100 * COIN]
    await journey.until_told(bill, "pending", "success")
    assert await journey.unexplained() == []
