"""Connections to receivers are kept for a moment, and cost nobody a message or an attempt."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

import pytest

from counterfoil.db.pool import Database
from counterfoil.workers.notify import Limits
from support.bench import Bench, opened, work
from support.patience import patiently
from support.ruin import Behave, Ruin, asked

THANKS: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UNASKED: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
BUFFERED_BYTES: Final = 16 * 2**20
"""More than the sockets of both sides hold."""


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    async with opened(database) as bench:
        yield bench


class Talk:
    """How a receiver treats its connections, and how many messages came on each."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.lost = 0

    def answers(self, times: int, then: Behave) -> Behave:
        """Thank for so many messages on each connection, and then do something else."""

        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            place = len(self.heard)
            self.heard.append(0)
            for _ in range(times):
                await asked(reader)
                self.heard[place] += 1
                writer.write(THANKS)
            await then(reader, writer)

        return behave

    async def loses_one(self, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        """Read one more message and hang up over it."""
        await asked(reader)
        self.lost += 1


async def waits_for_the_end(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def tell(bench: Bench, ruin: Ruin, sequence: int = 2) -> UUID:
    """Leave a message about an invoice of its own; answers the invoice."""
    bill = await bench.bill(sequence)
    await bench.office.tells(ruin.url, invoice_id=bill.invoice_id)
    return bill.invoice_id


async def attempts(bench: Bench) -> list[tuple[str, int, str | None]]:
    """Of each message how it stands, how often it was tried, and what its last attempt met."""
    query = """
        SELECT status, attempts, (SELECT error FROM outbox_attempt AS a
                                   WHERE a.org_id = o.org_id AND a.event_id = o.event_id
                                   ORDER BY attempt DESC LIMIT 1)
          FROM outbox AS o ORDER BY event_id
    """
    async with bench.desk.database.looking() as tx:
        return [(row[0], row[1], row[2]) for row in await (await tx.execute(query)).fetchall()]


async def test_messages_one_after_the_other_share_a_connection(bench: Bench) -> None:
    talk = Talk()
    async with Ruin(talk.answers(3, waits_for_the_end)).open() as ruin:
        notifier = await bench.notifier(kept_seconds=60)
        for number in range(3):
            await tell(bench, ruin, number)
            await work(notifier)

    assert talk.heard == [3]
    assert await attempts(bench) == [("delivered", 1, None)] * 3


async def test_a_connection_closed_over_a_message_costs_no_attempt(bench: Bench) -> None:
    talk = Talk()
    async with Ruin(talk.answers(1, talk.loses_one)).open() as ruin:
        notifier = await bench.notifier(kept_seconds=60)
        for number in range(3):
            await tell(bench, ruin, number)
            await work(notifier)

    assert talk.heard == [1, 1, 1], "each was heard, and answered on a new connection"
    assert talk.lost == 2, "two were lost on connections that had been kept"
    assert await attempts(bench) == [("delivered", 1, None)] * 3


async def test_it_is_sent_once_more_and_not_again(bench: Bench) -> None:
    talk, connections = Talk(), 0

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        times = 1 if connections == 1 else 0
        await talk.answers(times, talk.loses_one)(reader, writer)

    async with Ruin(behave).open() as ruin:
        notifier = await bench.notifier(kept_seconds=60)
        for number in range(2):
            await tell(bench, ruin, number)
            await work(notifier)

    assert connections == 2
    assert await attempts(bench) == [
        ("delivered", 1, None),
        ("pending", 1, "no proper HTTP answer"),
    ]


async def test_a_connection_that_the_receiver_closed_is_not_used_again(bench: Bench) -> None:
    talk, closed, late = Talk(), asyncio.Event(), asyncio.Queue[bytes]()

    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        closed.set()
        late.put_nowait(await reader.read())

    async with Ruin(talk.answers(1, hangs_up)).open() as ruin:
        notifier = await bench.notifier(kept_seconds=60)
        for number in range(2):
            await tell(bench, ruin, number)
            await work(notifier)
            async with patiently("the receiver's hanging up"):
                await closed.wait()
        async with patiently("the end of the connection"):
            assert await late.get() == b"", "nothing was sent after it had hung up"

    assert talk.heard == [1, 1]
    assert await attempts(bench) == [("delivered", 1, None)] * 2


@pytest.mark.parametrize(
    ("says", "upto"),
    [(UNASKED, 1), (UNASKED * 2_000, 4 * BUFFERED_BYTES)],
    ids=["once", "on and on"],
)
async def test_what_a_receiver_says_unasked_is_neither_read_nor_taken_for_an_answer(
    bench: Bench, says: bytes, upto: int
) -> None:
    sent, connections, rests = 0, 0, asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent, connections
        connections += 1
        await asked(reader)
        if connections > 1:
            writer.write(b"HTTP/1.1 500 Sorry\r\nContent-Length: 0\r\n\r\n")
            await reader.read()
            return
        writer.write(THANKS)
        await rests.wait()
        while sent < upto:
            writer.write(says)
            await writer.drain()
            sent += len(says)
        await reader.read()

    async with Ruin(behave).open() as ruin:
        notifier = await bench.notifier(kept_seconds=60)
        await tell(bench, ruin, 1)
        await work(notifier)
        rests.set()
        before = -1
        async with patiently("a connection that takes nothing more"):
            while sent != before:
                before = sent
                await asyncio.sleep(0.05)
        await tell(bench, ruin, 2)
        await work(notifier)

    assert 0 < sent < BUFFERED_BYTES
    assert await attempts(bench) == [("delivered", 1, None), ("pending", 1, None)]


async def test_a_connection_rests_for_a_moment_only(bench: Bench) -> None:
    ended = asyncio.Event()

    async def until_the_end(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        assert await reader.read() == b""
        ended.set()

    async with Ruin(Talk().answers(1, until_the_end)).open() as ruin:
        await tell(bench, ruin)
        await work(await bench.notifier(kept_seconds=0.05))
        async with patiently("the end of the connection"):
            await ended.wait()


async def test_a_kept_connection_over_which_no_answer_comes_is_one_attempt(bench: Bench) -> None:
    talk = Talk()

    async def says_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with Ruin(talk.answers(1, says_nothing)).open() as ruin:
        notifier = await bench.notifier(limits=Limits(timeout_seconds=0.3), kept_seconds=60)
        for number in range(2):
            await tell(bench, ruin, number)
            await work(notifier)

    assert talk.heard == [1]
    assert await attempts(bench) == [
        ("delivered", 1, None),
        ("pending", 1, "no answer within 0.3 s"),
    ]
