"""Home: what waits for each of them, how the business goes, and what needs somebody."""

import re
from datetime import timedelta

import pytest

from counterfoil.core.invoice import Status
from counterfoil.core.reckoning import Depth
from counterfoil.studio import queues
from support.payments import Payments, order_refund
from support.site import Firm, Site


async def test_home_counts_what_waits_and_draws_what_came_and_what_is_owed(
    site: Site, firm: Firm, payments: Payments
) -> None:
    paid, open_one, _waiting = [(await firm.merchant.create()).data["id"] for _ in range(3)]
    for one in (paid, open_one):
        await firm.reviewer.approve(one)
    await payments.paid(paid)
    rita = await site.at_the_pages("rita1@merchant.example")
    home = await rita.open("/studio")
    assert "To approve 1" in home.words
    now = await rita.open("/studio/now")
    due = (await payments.look(paid)).requests[0].due_units / 10**6
    assert f"{due:,.2f}" in now.words
    assert "TWD" in now.words
    assert "3,000.00" in now.words

    site.clock.advance(timedelta(days=100))
    rita = await site.at_the_pages("rita1@merchant.example")
    later = await rita.open("/studio/now")
    assert f"{due:,.2f}" not in later.words
    assert "older 3,000.00" in later.words


async def test_what_is_owed_is_what_is_still_to_come_of_each(
    site: Site, firm: Firm, payments: Payments
) -> None:
    rita = await site.at_the_pages("rita1@merchant.example")

    async def owed() -> str:
        return (await rita.open("/studio/now")).words.partition("What customers owe, by age ")[2]

    short, seen, given_back, untouched = [(await firm.merchant.create()).data["id"] for _ in "1234"]
    for one in (short, seen, given_back, untouched):
        await firm.reviewer.approve(one)
    assert (await owed()).startswith("12,000.00 TWD")

    # Of one 40 in 100 came, of one a quarter is merely seen, and of one a part goes back.
    await payments.paid(short, percent=40)
    await payments.arrives(seen, percent=25, depth=Depth.SEEN)
    await payments.paid(given_back, percent=60)
    assert (await owed()).startswith("8,250.00 TWD")
    part = {"refund_amount": "20", "refund_token": "USDT", "refund_chain": "arb"}
    await order_refund(firm, given_back, part)
    await firm.second_signer.act("refund/approve", given_back)
    await payments.swept(given_back, more_to_move=True)
    await payments.refund_settled(given_back)
    assert (await owed()).startswith("7,050.00 TWD")

    # All of it is late a day after the deadline, and what is accepted is owed no more.
    deadline = (await payments.look(short)).deadline_at
    site.clock.advance(deadline - site.clock.now() + timedelta(days=1))
    rita = await site.at_the_pages("rita1@merchant.example")
    assert "1-30 days late 7,050.00" in await owed()
    await firm.signer.act("accept", short)
    assert (await owed()).startswith("5,250.00 TWD")
    await payments.arrives(seen, percent=75, depth=Depth.SEEN)
    assert (await owed()).startswith("3,000.00 TWD")


async def test_another_organisations_numbers_stay_theirs(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made)
    await site.firm(2)
    stranger = await site.at_the_pages("rita2@merchant.example")
    assert "To approve 0" in (await stranger.open("/studio")).words
    assert "Nobody owes anything" in (await stranger.open("/studio/now")).words


async def test_whoever_may_write_invoices_finds_where_on_the_first_day(
    site: Site, firm: Firm
) -> None:
    assert firm.org_id == 1
    maya, rita = [await site.at_the_pages(f"{one}1@merchant.example") for one in ("maya", "rita")]
    for path in ("/studio", "/studio/invoices"):
        hers, his = await maya.open(path), await rita.open(path)
        assert "No invoices yet" in hers.words
        # In the menu, at the top of the page, and where there is nothing yet.
        assert hers.text.count('href="/studio/invoices/new"') == 3
        assert "No invoices yet" in his.words
        assert "/studio/invoices/new" not in his.text
    assert "None came in these weeks." in (await rita.open("/studio/now")).words
    assert "Export the list" not in (await maya.open("/studio/invoices")).words
    await site.person(1, "anna", "administrator")
    anna = await site.at_the_pages("anna1@merchant.example")
    first = re.findall(r'list-group-item-action" href="([^"]+)"', (await anna.open("/studio")).text)
    assert len(first) == 4
    for step in first:
        assert (await anna.open(step)).status == 200
    assert "First steps" not in (await maya.open("/studio")).words
    assert "Nothing waits for you just now." in (await rita.open("/studio")).words
    searched = await maya.open("/studio/invoices?q=nothing")
    assert "Try another search or filter." in searched.words


async def test_one_reviewer_of_two_organisations_sees_and_decides_what_waits_in_both(
    site: Site, firm: Firm
) -> None:
    other = await site.firm(2)
    await site.joins("rita1@merchant.example", 2, "reviewer", "signer")
    made = [
        (one, (await one.merchant.create(recipient_name=name)).data)
        for one, name in ((firm, "Acme"), (other, "Orchid"), (other, "Lotus"))
    ]
    rita = await site.at_the_pages("rita1@merchant.example")
    home = await rita.open("/studio")
    assert "To approve 1" in home.words
    assert "What waits for you in your other organisations Merchant 2 To approve: 2" in home.words
    turned = await rita.send("/studio/organisation", {"org_id": "2"}, token=home.form_token)
    assert "To approve 2 To sign 0" in turned.words
    assert "Merchant 1 To approve: 1" in turned.words

    page = await rita.open("/studio/approvals")
    assert "3 invoices wait for you, in all your organisations" in page.words
    assert "organisations 9,000.00 TWD" in page.words
    # What another organisation asks for is looked at there.
    there = {"org_id": "1", "next": f"/studio/invoices/{made[0][1]['id']}"}
    assert f'form="turn-1" name="next" value="{there["next"]}"' in page.text
    opened = await rita.send("/studio/organisation", there, token=page.form_token)
    assert "Acme" in opened.words
    chosen = [f"{one.org_id}:{bill['id']}:{bill['content_hash']}" for one, bill in made[:2]]
    # What an approval binds to is there to be read, with what it is.
    assert all(f"every change to the invoice: {b['content_hash']}" in page.words for _, b in made)
    await other.merchant.update(made[1][1]["id"], recipient_name="Somebody Else")
    after = await rita.send(
        "/studio/approvals", {"decision": "approve", "invoice": chosen}, token=page.form_token
    )
    assert after.words.count(": approved") == 1
    assert "the invoice was changed since you opened it" in after.words
    look = [(await one.auditor.look(bill["id"])).data["status"] for one, bill in made]
    assert look == ["pending_payment", "approval_pending", "approval_pending"]


async def test_nothing_is_told_of_an_organisation_in_which_somebody_has_no_role(
    site: Site, firm: Firm
) -> None:
    assert firm.org_id == 1
    other = await site.firm(2)
    await other.merchant.create()
    await site.joins("rita1@merchant.example", 2)
    rita = await site.at_the_pages("rita1@merchant.example")
    home = await rita.open("/studio")
    assert "What waits for you in your other organisations" not in home.words
    # There, nothing but the way back is for her.
    there = await rita.send("/studio/organisation", {"org_id": "2"}, token=home.form_token)
    assert "You have no role in this organisation just now." in there.words
    assert "in your other organisations Merchant 1 nothing" in there.words
    assert "/studio/invoices" not in there.text


async def test_a_queue_goes_on_for_as_many_pages_as_it_takes(
    site: Site, firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "AT_ONCE", 2)
    bills = [await firm.shop.bill(status=Status.SIGN_PENDING) for _ in range(3)]
    sam = await site.at_the_pages("sam1@merchant.example")
    first = await sam.open("/studio/queue/sign")
    second = await sam.open("/studio/queue/sign?page=2")
    for page, numbers in ((first, bills[1:]), (second, bills[:1])):
        assert [b for b in bills if f"INV-2026-{b.number:06}" in page.words] == list(numbers)
    assert "3 invoices Back 1 / 2 Next" in first.words
    assert 'href="/studio/queue/sign?page=2"' in first.text
    # The one on the last page was signed for meanwhile, and whoever looked at it goes back.
    beyond = await sam.open("/studio/queue/sign?page=3")
    assert "3 invoices Back 2 / 2 Next" in beyond.words
    assert f"INV-2026-{bills[0].number:06}" in beyond.words
    for wrong in ("0", "-1", "x", "100000", "²"):
        refused = await sam.open(f"/studio/queue/sign?page={wrong}")
        assert refused.status == 422
        assert "must be a whole number from 1 to 1000" in refused.words
