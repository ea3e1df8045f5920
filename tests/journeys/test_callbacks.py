"""Merchants' servers in their bad hours: each hears everything, in order, and costs nobody else."""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from support.inbox import Inbox
from support.journey import POLL_SECONDS, Bill, Chain, Journey
from support.patience import patiently
from support.side_by_side import SideBySide

pytestmark = pytest.mark.asyncio(loop_scope="session")

side_by_side = SideBySide()

MOST_THAT_WAITS_UNREAD: Final = 50 * 2**20
"""Between two machines, in the buffers of either, before who sends has to wait."""


async def bill_told_at(journey: Journey, server: Inbox, chain: Chain) -> Bill:
    return await journey.approved_bill(chain=chain.key, pay_token="USDC", callback_url=server.url)


async def paid(journey: Journey, bill: Bill, chain: Chain) -> None:
    await journey.pay(bill, chain, chain.token("USDC"))
    await journey.until_signable(bill)


def heard(server: Inbox) -> list[str]:
    return [received.body["status"] for received in server.received]


def codes(event: dict[str, Any]) -> list[int | None]:
    return [attempt["status_code"] for attempt in event["attempts"]]


@side_by_side
async def test_a_callback_that_was_refused_comes_again_and_once_more_when_asked(
    journey: Journey,
) -> None:
    async with Inbox().open() as server:
        server.refuses()
        bill = await journey.approved_bill(callback_url=server.url)
        await server.has_received(2)
        refused, again = server.received
        assert refused.webhook_id == again.webhook_id
        assert (refused.body["status"], again.body["status"]) == ("pending", "pending")
        (event,) = await journey.until_called(bill, "delivered")
        assert codes(event) == [500, 200]

        await ask_again(journey, bill, event)
        await server.has_received(3)
        assert server.received[2].webhook_id == again.webhook_id
        assert all(r.is_genuine(journey.shown_secret) for r in server.received)


async def ask_again(journey: Journey, bill: Bill, event: dict[str, Any]) -> None:
    path = f"/invoice/intent/{bill.id}/callbacks/{event['event_id']}/redeliver"
    assert (await journey.merchant.post(path)).status == 200


@side_by_side
async def test_a_server_that_hangs_keeps_nobody_waiting_and_hears_all_in_order_later(
    journey: Journey,
) -> None:
    arb = journey.chains["arb"]
    async with Inbox().open() as server, Inbox().open() as neighbour:
        server.hangs()
        bill = await bill_told_at(journey, server, arb)
        await server.has_received(1)
        server.accepts()
        other = await bill_told_at(journey, neighbour, arb)
        await paid(journey, bill, arb)
        await paid(journey, other, arb)
        await neighbour.has_received(2)
        assert heard(neighbour) == ["pending", "success"]
        waiting = await journey.callbacks(bill)
        assert [(e["status"], e["attempts"]) for e in waiting] == [("pending", [])] * 2
        assert heard(server) == ["pending"], "what came later waits for what came first"

        first, second = await journey.until_called(bill, "delivered", "delivered")
        assert heard(server) == ["pending", "pending", "success"]
        assert (codes(first), codes(second)) == ([None, 200], [200])
        assert "no answer within" in first["attempts"][0]["error"]
        assert server.received[1].body["sequence"] < server.received[2].body["sequence"]


@side_by_side
async def test_a_redirect_is_not_followed_wherever_it_leads(journey: Journey) -> None:
    async with Inbox().open() as server, Inbox().open() as elsewhere:
        server.redirects_to(elsewhere.url)
        bill = await journey.approved_bill(callback_url=server.url)
        await server.has_received(1)
        server.accepts()
        (event,) = await journey.until_called(bill, "delivered")
        assert codes(event) == [302, 200]
        assert elsewhere.received == []


@side_by_side
async def test_who_says_gone_is_not_asked_again_until_somebody_asks_for_it(
    journey: Journey,
) -> None:
    base = journey.chains["base"]
    async with Inbox().open() as server:
        server.refuses(status=410)
        bill = await bill_told_at(journey, server, base)
        (gone,) = await journey.until_called(bill, "parked")
        assert codes(gone) == [410]
        await paid(journey, bill, base)
        _, success = await journey.until_called(bill, "parked", "delivered")
        assert (heard(server), codes(success)) == (["pending", "success"], [200])

        await ask_again(journey, bill, gone)
        again, _ = await journey.until_called(bill, "delivered", "delivered")
        assert codes(again) == [410, 200]
        assert server.received[2].webhook_id == server.received[0].webhook_id


@side_by_side
async def test_who_is_busy_is_asked_again_when_they_said_and_not_before(journey: Journey) -> None:
    asked_to_wait = timedelta(seconds=8)
    async with Inbox().open() as server:
        server.refuses(status=429, Retry_After="8")
        bill = await journey.approved_bill(callback_url=server.url)
        (event,) = await journey.until_called(bill, "delivered")
        assert codes(event) == [429, 200]
        busy, again = [datetime.fromisoformat(attempt["at"]) for attempt in event["attempts"]]
        assert again - busy >= asked_to_wait


@side_by_side
async def test_an_answer_without_end_is_read_no_further_than_its_status_while_others_are_told(
    journey: Journey,
) -> None:
    optimism = journey.chains["optimism"]
    async with Inbox().open() as server, Inbox().open() as neighbour:
        server.answers_without_end()
        bill = await bill_told_at(journey, server, optimism)
        other = await bill_told_at(journey, neighbour, optimism)
        await paid(journey, bill, optimism)
        await paid(journey, other, optimism)
        for each, its in ((neighbour, other), (server, bill)):
            told = await journey.until_called(its, "delivered", "delivered")
            assert [codes(event) for event in told] == [[200], [200]]
            assert heard(each) == ["pending", "success"]
        assert server.flooded_bytes < MOST_THAT_WAITS_UNREAD


@side_by_side
async def test_a_name_that_leads_to_a_private_address_the_second_time_is_not_called_there(
    journey: Journey,
) -> None:
    base, name = journey.chains["base"], "hooks.merchant.example"
    async with Inbox().open() as server:
        # Each connection is closed, so the next message needs another, and another look-up.
        server.refuses(times=3, status=200, Connection="close")
        # Whoever connects to 0.0.0.0 reaches this very machine, so the server would hear of it.
        journey.names.leads(name, ["127.0.0.1"], ["0.0.0.0"])  # noqa: S104 - not bound to
        bill = await journey.approved_bill(
            chain="base", pay_token="USDC", callback_url=server.at("/callback", host=name)
        )
        await journey.until_called(bill, "delivered")
        assert journey.names.asked == [name], "who was checked is who is called"
        await paid(journey, bill, base)
        async with patiently("a second message that was refused"):
            while not (await journey.callbacks(bill))[-1]["attempts"]:
                await asyncio.sleep(POLL_SECONDS)
        assert heard(server) == ["pending"]

        journey.names.leads(name, ["127.0.0.1"])
        _, success = await journey.until_called(bill, "delivered", "delivered")
        assert codes(success) == [None, 200]
        (refused, _) = success["attempts"]
        assert refused["error"] == "the host does not lead to public addresses"
        assert heard(server) == ["pending", "success"]
