"""Power cuts: the work process dies without a word, and nothing is lost or done twice."""

import asyncio
from collections.abc import Sequence

import pytest

from counterfoil.workers.runner import system_jitter
from support.journey import POLL_SECONDS, Bill, Chain, Journey
from support.patience import patiently

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_payment_made_while_nobody_watched_is_credited(journey: Journey) -> None:
    optimism = journey.chains["optimism"]
    usdc = optimism.token("USDC")
    bill = await journey.approved_bill(chain="optimism", pay_token="USDC")
    starts = journey.starts
    await journey.kill_workers()
    await journey.pay(bill, optimism, usdc)
    await optimism.node.mine(20)
    assert journey.starts == starts, "the workers came back before the payment was final"
    assert (await journey.until_signable(bill))["context"] == "exact"
    assert journey.starts == starts + 1
    await journey.settle(bill)
    assert await optimism.paid_to(usdc, bill.payout_address) == [bill.due_units(usdc)]


async def test_workers_that_meet_a_provider_of_another_chain_begin_nothing_until_it_is_right(
    journey: Journey,
) -> None:
    optimism = journey.chains["optimism"]
    usdc = optimism.token("USDC")
    bill = await journey.approved_bill(chain="optimism", pay_token="USDC")
    starts, misled = journey.starts, journey.providers[0]
    # Somebody's copy of the chain, for tests: the same blocks and tokens under another id.
    misled.answer("eth_chainId", "0xaa37dc")
    await journey.kill_workers()
    await journey.pay(bill, optimism, usdc)
    async with patiently("a worker that says why it does not begin"):
        while not any("serves chain 11155420, not 10" in line for line in journey.log):
            await asyncio.sleep(POLL_SECONDS)
    assert journey.starts == starts
    misled.recover()
    assert (await journey.until_signable(bill))["context"] == "exact"
    assert journey.starts == starts + 1


async def test_dying_at_any_moment_after_the_sign_off_pays_every_merchant_exactly_once(
    journey: Journey,
) -> None:
    places = [(c, c.token(s)) for c in journey.chains.values() for s in ("USDC", "USDT")]
    bills = await asyncio.gather(*(journey.signable_bill(*place) for place in places))
    starts = journey.starts
    await asyncio.gather(*map(journey.sign, bills))
    for cut in range(1, 4):
        await asyncio.sleep(system_jitter())
        await journey.kill_workers()
        await journey.until_workers_are_back(starts + cut)
    for bill, (chain, token) in zip(bills, places, strict=True):
        await journey.until(bill, "completed")
        assert await chain.paid_to(token, bill.payout_address) == [bill.due_units(token)]
    await everything_adds_up(journey, [chain for chain, _ in places], bills)


async def everything_adds_up(
    journey: Journey, chains: Sequence[Chain], bills: Sequence[Bill]
) -> None:
    for bill, chain in zip(bills, chains, strict=True):
        intent = (await journey.look(bill))["payment_intent"]
        assert await chain.holds(chain.token(intent["symbol"]), bill.address) == 0
    assert await journey.unexplained() == []
    assert (await journey.audit()).breaks == ()
