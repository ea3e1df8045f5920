"""A second signer decides from the page: what goes back, where to, whose it was, and why."""

import re

import pytest

from support.invoices import STRANGER
from support.payments import CUSTOMER_WALLET, PDF, Payments, order_refund
from support.site import Firm, Site
from support.visitor import Page

SAM = "sam1@merchant.example"
SUE = "sue1@merchant.example"
QUEUE = "/studio/queue/refund"
THIEF = "0x" + "7e" * 20
TWENTY = {"refund_amount": "20", "refund_token": "USDT", "refund_chain": "arb"}
HOME = "The money came from this address."
IN_PART = "Money came from this address, but less than goes there now."
ELSEWHERE = "No money is known to have come from this address."


async def paid(firm: Firm, payments: Payments, percent: int = 100) -> str:
    made: str = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made, percent=percent)
    return made


def orders(page: Page) -> dict[str, str]:
    """What each order of the queue says, by the id of its invoice."""
    cards = page.text.split('<section class="card')[1:]
    named = [re.search(r'href="/studio/invoices/(inv_\w+)"', card) for card in cards]
    words = [Page(200, "", card, {}).words for card in cards]
    return {name[1]: told for name, told in zip(named, words, strict=True) if name}


async def test_sue_reads_in_the_queue_what_is_ordered_and_approves_it_there(
    site: Site, firm: Firm, payments: Payments
) -> None:
    part, away = [await paid(firm, payments) for _ in range(2)]
    named = ("box.pdf", "mail.pdf")
    papers = [(await firm.signer.upload(PDF, name)).data["file_id"] for name in named]
    why = {"refund_reason": "One box was broken.", "refund_attachments": papers}
    assert (await order_refund(firm, part, {**TWENTY, **why})).status == 200
    await order_refund(firm, away, {"refund_address": THIEF, "refund_reason": "They moved."})

    sue = await site.at_the_pages(SUE)
    queue = await sue.open(QUEUE)

    told = orders(queue)
    for words in (
        "3,000.00 TWD",
        f"To be sent back 20.00 USDT (650.00 TWD) on Arbitrum One To {CUSTOMER_WALLET} {HOME} Re",
        "Reason One box was broken. Attachments box.pdf mail.pdf Ordered by Sam · 2026-06-22",
    ):
        assert words in told[part]
    assert "92.307693" not in told[part]
    assert "It came from" not in told[part]
    for paper in papers:
        assert f'href="/studio/files/{paper}"' in queue.text
    gone = f"To be sent back 92.307693 USDT (3,000.00 TWD) on Arbitrum One To {THIEF} {ELSEWHERE}"
    assert f"{gone} It came from: {CUSTOMER_WALLET} Reason They moved." in told[away]

    sam = await site.at_the_pages(SAM)
    his = await sam.open(QUEUE)
    assert "approve_refund" not in his.text
    assert all("somebody else has to" in words for words in orders(his).values())

    seen = dict(
        re.findall(
            r'action="(\S+/approve_refund)"(?:.|\n)*?name="seen" value="([^"]+)"', queue.text
        )
    )
    path = f"/studio/invoices/{part}/approve_refund"
    wrong = await sue.send(path, {"seen": seen[f"/studio/invoices/{away}/approve_refund"]})
    assert wrong.status == 409
    done = await sue.send(path, {"seen": seen[path]})
    assert "The refund is approved;" in done.words
    assert (await payments.moves(part))[-1][1:] == (CUSTOMER_WALLET, 20_000_000)
    assert list(orders(await sue.open(QUEUE))) == [away]


@pytest.mark.parametrize(("back", "told"), [("30", HOME), ("80", IN_PART)])
async def test_an_address_gets_no_more_as_its_own_than_it_sent(
    site: Site, firm: Firm, payments: Payments, back: str, told: str
) -> None:
    made: str = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.arrives(made, percent=40, payer=STRANGER)
    await payments.arrives(made, percent=60)
    await payments.screened(made)
    wanted = {**TWENTY, "refund_amount": back, "refund_address": STRANGER}
    await order_refund(firm, made, wanted)
    sue = await site.at_the_pages(SUE)
    words = orders(await sue.open(QUEUE))[made]
    assert f"To {STRANGER} {told}" in words
    assert (f"It came from: {CUSTOMER_WALLET} , {STRANGER}" in words) == (told != HOME)
    page = (await sue.open(f"/studio/invoices/{made}")).words
    assert page.count(told) == 2


async def test_what_went_back_to_an_address_is_not_its_own_twice(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made = await paid(firm, payments, percent=60)
    other = 40 * 923_077
    await payments.arrives(made, units=other, payer=STRANGER)
    await payments.screened(made)
    await order_refund(firm, made, {**TWENTY, "refund_amount": "50"})
    await firm.second_signer.act("refund/approve", made)
    await payments.swept(made, more_to_move=True)
    await payments.refund_settled(made)
    await order_refund(firm, made, TWENTY)
    sue = await site.at_the_pages(SUE)
    assert IN_PART in orders(await sue.open(QUEUE))[made]
    # The first one, told of beside it, went home.
    assert HOME in (await sue.open(f"/studio/invoices/{made}")).words


async def test_a_surplus_for_elsewhere_shows_the_payout_that_happens_with_it(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made = await paid(firm, payments, percent=150)
    paper = (await firm.signer.upload(PDF)).data["file_id"]
    asked = {"refund_address": THIEF, "refund_reason": "Moved.", "refund_attachments": [paper]}
    assert (await firm.signer.act("sign", made, asked)).status == 200
    words = orders(await (await site.at_the_pages(SUE)).open(QUEUE))[made]
    assert f"To be sent back 46.153846 USDT (1,500.00 TWD) on Arbitrum One To {THIEF}" in words
    assert "To be paid out 92.307693 USDT 0x" in words
    assert "Sam has signed for the payment" in words
