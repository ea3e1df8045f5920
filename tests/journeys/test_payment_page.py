"""A customer at the payment page of the whole running system, down to the chain and back."""

import asyncio

import pytest

from counterfoil.core.money import format_units
from support.journey import PATIENCE_SECONDS, Journey
from support.payer import Payer, stage, to_copy
from support.visitor import Page, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def until(payer: Payer, *stages: str) -> Page:
    """Load the page whenever it says that there is news, until it has come so far."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while stage(page := await payer.look()) not in stages:
            async with payer.listening(page) as live:
                assert await live.event() == "changed"
    return page


async def test_a_customer_pays_in_two_parts_on_the_page_and_gets_a_receipt(
    journey: Journey,
) -> None:
    bill = await journey.approved_bill(chain="base", pay_token="USDC")
    chain = journey.chains["base"]
    token = chain.token("USDC")
    due = bill.due_units(token)
    address = (await journey.look(bill))["payment_page_url"]
    facts = journey.sandbox.facts
    assert address.startswith(f"{facts.public_url}/pay/")
    visitor = Visitor(facts.base_url)
    try:
        payer = Payer(visitor, address.removeprefix(facts.public_url))
        assert stage(await payer.look()) == "open"
        done = await payer.send("/demo", {"share": "half", "pay": "base-USDC"})
        assert done.status == 303
        # Not earlier: while the first part is being checked the page asks for nothing.
        half = await until(payer, "missing")
        assert to_copy(half) == (format_units(due - due // 2, 6), bill.address)
        assert (await payer.send("/demo", {"share": "exact"})).status == 303
        await until(payer, "received")
        await journey.until_signable(bill)
        await journey.settle(bill)
        await until(payer, "paid")
        receipt = await payer.look(below="/receipt")
        assert f"Received {format_units(due, 6)} USDC" in receipt.words
        assert await chain.paid_to(token, bill.address) == [due // 2, due - due // 2]
        assert await chain.holds(token, bill.payout_address) == due
    finally:
        await visitor.leave()
