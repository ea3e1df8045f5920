"""What many callbacks came to is written down together, and one's trouble stays its own."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import LiteralString

import pytest
from psycopg.errors import NumericValueOutOfRange
from structlog.testing import capture_logs

from counterfoil.db.pool import Database
from counterfoil.db.rows import execute, one_value
from counterfoil.desk import delivering
from counterfoil.workers.notify import Limits, Notifier
from support.bench import Bench, opened, work
from support.inbox import Inbox


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    async with opened(database) as bench:
        yield bench


async def known(bench: Bench, limits: Limits | None = None) -> tuple[Inbox, Notifier]:
    """A receiver that has answered a notifier once, and so has its full share."""
    inbox, notifier = await bench.inbox(), await bench.notifier(limits=limits)
    await bench.office.tells(inbox.url)
    await work(notifier)
    return inbox, notifier


async def test_many_attempts_are_kept_in_one_transaction_each_with_what_came_of_it(
    bench: Bench,
) -> None:
    inbox, notifier = await known(bench, Limits(per_endpoint=30))
    inbox.refuses(times=5)
    bills = [await bench.bill(number) for number in range(30)]
    for bill in bills:
        await bench.office.tells(inbox.url, invoice_id=bill.invoice_id)

    async with bench.desk.database.transaction() as tx:
        await execute(tx, "LOCK TABLE outbox_attempt IN EXCLUSIVE MODE", {})
        assert await notifier.step() == 30
        await inbox.has_received(31)
    await notifier.settle()

    async with bench.desk.database.looking() as tx:
        query = "SELECT count(DISTINCT xmin::text) FROM outbox_attempt"
        assert (await one_value(tx, int, query, {}) or 0) < 10
    told = [(await bench.log(bill))[0] for bill in bills]
    for one in told:
        (attempt,) = one.attempts
        wanted = "delivered" if attempt.status_code == 200 else "pending"
        assert one.event.status == wanted
    assert sum(one.event.status == "pending" for one in told) == 5


async def test_an_attempt_that_cannot_be_kept_takes_no_other_down(bench: Bench) -> None:
    inbox = await bench.inbox()
    bills = [await bench.bill(number) for number in range(3)]
    for bill in bills:
        await bench.office.tells(inbox.url, invoice_id=bill.invoice_id)
    claims = await bench.claims()
    attempts = [
        delivering.Attempt(one, b"{}", delivering.Reply(code, None, 1), jitter=0)
        for one, code in zip(claims, (200, 2**40, 204), strict=True)
    ]

    outcomes = await delivering.attempted(bench.desk, attempts)

    assert outcomes[::2] == [True, True]
    assert isinstance(outcomes[1], NumericValueOutOfRange)
    for one, wanted in zip(claims, ("delivered", "pending", "delivered"), strict=True):
        (bill,) = [bill for bill in bills if bill.invoice_id == one.invoice_id]
        (told,) = await bench.log(bill)
        assert (told.event.status, len(told.attempts)) == (wanted, int(wanted == "delivered"))


async def test_one_lost_lease_among_many_costs_only_that_one(bench: Bench) -> None:
    inbox = await bench.inbox()
    bills = [await bench.bill(number) for number in range(3)]
    for bill in bills:
        await bench.office.tells(inbox.url, invoice_id=bill.invoice_id)
    claims = await bench.claims()
    lost = replace(claims[1], lease_token=bench.desk.ids.new())
    attempts = [
        delivering.Attempt(one, b"{}", delivering.Reply(200, None, 1), jitter=0)
        for one in (claims[0], lost, claims[2])
    ]

    assert await delivering.attempted(bench.desk, attempts) == [True, False, True]

    statuses = {bill.invoice_id: (await bench.log(bill))[0].event.status for bill in bills}
    assert statuses[lost.invoice_id] == "pending"
    assert sorted(statuses.values()) == ["delivered", "delivered", "pending"]


async def test_a_lost_lease_is_told_of_the_one_that_lost_it(bench: Bench) -> None:
    inbox, notifier = await known(bench)
    sent = [await bench.office.tells(inbox.url) for _ in range(5)]
    taken = {"id": sent[-1], "token": bench.desk.ids.new()}

    with capture_logs() as log:
        async with bench.desk.database.transaction() as tx:
            await execute(tx, "LOCK TABLE outbox_attempt IN EXCLUSIVE MODE", {})
            assert await notifier.step() == 5
            await inbox.has_received(6)
            query = "UPDATE outbox SET lease_token = %(token)s WHERE event_id = %(id)s"
            await execute(tx, query, taken)
        await notifier.settle()

    lost = [one["event_id"] for one in log if one["event"] == "callback_lease_lost"]
    assert lost == [str(sent[-1])]
    kept = {one["event_id"] for one in log if one["event"] == "callback_attempted"}
    assert kept == set(map(str, sent[:-1]))
    async with bench.desk.database.looking() as tx:
        query = "SELECT event_id FROM outbox_attempt"
        tried = {row[0] for row in await (await tx.execute(query)).fetchall()}
    assert tried >= set(sent[:-1])
    assert sent[-1] not in tried, "whoever has the lease keeps its attempt"


async def test_attempts_that_the_database_did_not_take_are_made_again(bench: Bench) -> None:
    inbox, notifier = await known(bench)
    bills = [await bench.bill(number) for number in range(3)]
    for bill in bills:
        await bench.office.tells(inbox.url, invoice_id=bill.invoice_id)
    await _rename(bench, "outbox_attempt", "elsewhere")
    assert await notifier.step() == 3
    await notifier.settle()
    await _rename(bench, "elsewhere", "outbox_attempt")
    assert len(inbox.received) == 1 + 3
    assert await notifier.step() == 0

    bench.clock.advance(timedelta(seconds=61))
    await work(notifier)

    assert len(inbox.received) == 1 + 6
    assert len({one.webhook_id for one in inbox.received[1:]}) == 3
    assert [(await bench.log(bill))[0].event.status for bill in bills] == ["delivered"] * 3


async def _rename(bench: Bench, table: LiteralString, name: LiteralString) -> None:
    async with bench.desk.database.transaction() as tx:
        await execute(tx, f"ALTER TABLE {table} RENAME TO {name}", {})
