"""Home: what waits for each of them, how the business goes, and what needs somebody."""

from datetime import timedelta

from support.payments import Payments
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
    assert "older: 3,000.00" in later.text


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
