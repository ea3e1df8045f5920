"""What an organisation has decided in advance holds to the unit, and for new invoices only."""

from math import ceil

import pytest

from support.journey import COIN, Journey

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_half_a_per_cent_too_little_is_enough_by_policy_and_a_unit_less_is_not(
    journey: Journey,
) -> None:
    base = journey.chains["base"]
    usdt = base.token("USDT")
    item = {"name": "Consulting service", "quantity": 1, "unit_price": 3001, "tax": 0}
    asked = {"chain": "base", "pay_token": "USDT", "amount": "3001.00", "detail_items": [item]}
    async with journey.terms(underpay_ratio="0.995"):
        enough, short = [await journey.approved_bill(**asked) for _ in range(2)]
    strict = await journey.approved_bill(**asked)
    least = ceil(enough.due_units(usdt) * 995 / 1000)
    await journey.pay(enough, base, usdt, least)
    await journey.pay(short, base, usdt, least - 1)
    await journey.pay(strict, base, usdt, least)
    assert (await journey.until_signable(enough))["context"] == "exact"
    for bill in (short, strict):
        found = await journey.until(bill, "payment_insufficient")
        assert found["context"] == "underpaid"
    await journey.settle(enough)
    assert await base.paid_to(usdt, enough.payout_address) == [least]


async def test_a_rule_accepts_what_it_was_told_to_and_says_so_in_the_log(
    journey: Journey,
) -> None:
    optimism = journey.chains["optimism"]
    usdt = optimism.token("USDT")
    async with journey.terms(auto_accept_underpaid_from="0.99"):
        near, far = [await journey.hundred(optimism, usdt) for _ in range(2)]
    await journey.pay(near, optimism, usdt, 99 * COIN)
    await journey.pay(far, optimism, usdt, 99 * COIN - 1)
    taken = await journey.until_signable(near)
    assert taken["resolution"]["chosen"]["rule"] == "auto_accept_underpaid_from=0.99"
    assert taken["resolution"]["chosen"]["by"] == "system:policy"
    left = await journey.until(far, "payment_insufficient")
    assert left["resolution"]["chosen"] is None
    (entry,) = [e for e in (await journey.auditor.logs(near.id)).data if e["event"] == "accept"]
    assert entry["reason"] == "by rule: auto_accept_underpaid_from=0.99"
    await journey.settle(near)
    assert await optimism.paid_to(usdt, near.payout_address) == [99 * COIN]
