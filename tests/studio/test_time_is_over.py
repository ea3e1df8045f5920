"""A short payment whose time is over: signer, program and customer hear the same about it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from support.payer import Payer, invited, stage, to_copy
from support.payments import Payments, order_refund
from support.site import Firm, Site
from support.visitor import Visitor

IN_TOKENS: dict[str, Any] = {
    "pricing_mode": "crypto",
    "amount": "100.00",
    "currency": None,
    "detail_items": [{"name": "Consulting", "quantity": 1, "unit_price": 100, "tax": 0}],
}
WHY = {"reason": "The customer asked us."}


@dataclass
class Half:
    """An invoice of which 60 in 100 came, and all who look at it."""

    site: Site
    firm: Firm
    bill: str
    payer: Payer

    async def at(self, email: str = "sam1@merchant.example") -> Visitor:
        return await self.site.at_the_pages(email)

    async def told(self) -> tuple[str, str, list[str]]:
        """What a program is told is best, where the customer's page stands, and what is open."""
        found = (await self.firm.signer.look(self.bill)).data["resolution"]
        open_to_all = [c["choice"] for c in found["choices"]]
        return found["suggested"], stage(await self.payer.look()), open_to_all

    async def read(self) -> tuple[str, str]:
        """The invoice's page, and the queue, as a signer reads them."""
        sam = await self.at()
        page = await sam.open(f"/studio/invoices/{self.bill}")
        return page.words, (await sam.open("/studio/queue/resolve")).words

    async def time_passes(self, payments: Payments) -> None:
        deadline = (await payments.look(self.bill)).deadline_at
        self.site.clock.advance(deadline - self.site.clock.now() + timedelta(minutes=10))


@pytest.fixture
async def half(site: Site, firm: Firm, payments: Payments) -> Half:
    bill, payer = await invited(site, firm, **IN_TOKENS)
    await payments.paid(bill, percent=60)
    return Half(site, firm, bill, payer)


async def test_all_say_wait_until_the_deadline_and_nobody_does_from_then_on(
    half: Half, payments: Payments
) -> None:
    assert await half.told() == ("wait", "missing", ["accept", "refund_all", "wait"])
    page, queue = await half.read()
    assert "Suggested: Wait for the customer to pay the rest : 40.00 USDT" in page
    assert "Give more time" not in page
    assert "Wait for the customer to pay the rest" in queue

    await half.time_passes(payments)

    open_now = ["accept", "recalculate", "refund_all"]
    assert await half.told() == ("recalculate", "missing_late", open_now)
    page, queue = await half.read()
    assert "Suggested: Give more time to pay the rest : 40.00 USDT" in page
    assert "they may give you more time, take it as it is, or send it back" in (
        (await half.payer.look()).words
    )
    for words in (page, queue):
        assert "Wait for the customer" not in words
    assert "Give more time to pay the rest" in queue
    assert "Accept as it is" in page
    assert "Order a refund (up to 60.00 USDT)" in page


async def test_sam_gives_a_day_more_and_the_customer_pays_the_rest(
    half: Half, payments: Payments
) -> None:
    await half.time_passes(payments)
    sam = await half.at()
    path = f"/studio/invoices/{half.bill}/recalculate"
    token = (await sam.open(f"/studio/invoices/{half.bill}")).form_token
    before = await payments.look(half.bill)
    refused = await sam.send(path, {**WHY, "hours": "0"}, token=token)
    assert refused.status == 409
    assert "say how many hours the customer has for the rest" in refused.words
    assert await payments.look(half.bill) == before

    done = await sam.send(path, {**WHY, "hours": "24"}, token=token)

    assert "The customer has more time; their page asks for the rest again." in done.words
    assert (await payments.look(half.bill)).deadline_at == (
        half.site.clock.now() + timedelta(hours=24)
    )
    assert await half.told() == ("wait", "missing", ["accept", "refund_all", "wait"])
    page = await half.payer.look()
    assert to_copy(page)[0] == "40.00"
    await payments.arrives(half.bill, percent=40)
    await payments.screened(half.bill)
    assert stage(await half.payer.look()) == "received"
    assert (await half.firm.signer.look(half.bill)).data["status"] == "sign_pending"


async def test_a_program_gives_time_by_the_hour(half: Half, payments: Payments) -> None:
    act = half.firm.signer.act
    await half.time_passes(payments)
    anew = {"choice": "recalculate", **WHY}

    found = (await half.firm.signer.look(half.bill)).data["resolution"]["choices"][1]
    assert (found["choice"], found["paid_share"]) == ("recalculate", "0.60")
    assert [d["amount"] for d in found["due"]] == ["100.00"]
    assert [m["amount"] for m in found["missing"]] == ["40.00"]
    same = await act("resolve", half.bill, anew)
    assert same.refusal == (409, 4090)
    assert same.body["data"]["rule"] == "no_time"
    assert "hours" in (await act("resolve", half.bill, {**anew, "hours": 169})).fields
    beside = {"choice": "accept", "hours": 5}
    assert "hours" in (await act("resolve", half.bill, beside)).fields

    done = (await act("resolve", half.bill, {**anew, "hours": 5})).data

    assert done["status"] == "payment_insufficient"
    assert await half.told() == ("wait", "missing", ["accept", "refund_all", "wait"])
    half.site.clock.advance(timedelta(hours=5))
    assert (await half.told())[:2] == ("recalculate", "missing_late")


async def test_a_price_by_rate_is_asked_for_anew_with_time(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)
    short = Half(site, firm, bill, payer)
    await payments.paid(bill, percent=60)
    await short.time_passes(payments)
    await site.publish_rates()
    open_now = ["accept", "recalculate", "refund_all"]
    assert await short.told() == ("recalculate", "missing_late", open_now)
    words = "Price it anew at the current rate, with more time to pay the rest"
    page, queue = await short.read()
    assert f"Suggested: {words} : 92.307693 USDT" in page
    assert words in queue


async def test_whoever_got_a_part_back_is_asked_for_nothing_whenever_it_is(
    half: Half, payments: Payments
) -> None:
    part = {"refund_amount": "20", "refund_token": "USDT", "refund_chain": "arb"}
    await order_refund(half.firm, half.bill, part)
    await half.firm.second_signer.act("refund/approve", half.bill)
    await payments.swept(half.bill, more_to_move=True)
    await payments.refund_settled(half.bill)
    for _ in range(2):
        assert await half.told() == (
            "refund_all",
            "partly_refunded",
            ["accept", "refund_all"],
        )
        page, queue = await half.read()
        assert "Suggested: Send everything back : 40.00 USDT" in page
        assert "60.00 USDT sent back 20.00 USDT missing 60.00 USDT Send everything back" in queue
        await half.time_passes(payments)
