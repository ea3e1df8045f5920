"""Nobody's callbacks wait for somebody else's slow receivers."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from threading import Event

import pytest

from counterfoil.db.pool import Database
from counterfoil.db.rows import one_value
from counterfoil.workers.notify import Limits, Notifier
from counterfoil.workers.outward import SystemLookup, on_behalf_of
from counterfoil.workers.runner import LONGEST_WAY_SECONDS, RightOfWay
from support.bench import Bench, opened, work
from support.inbox import Inbox
from support.patience import PATIENCE_SECONDS, patiently


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    async with opened(database) as bench:
        yield bench


async def test_a_receiver_that_hangs_delays_nobody_else(bench: Bench) -> None:
    slow, quick = await bench.inbox(), await bench.inbox()
    slow.hangs()
    for number in range(40):
        await bench.office.tells(slow.at(f"/{number}"))
    await bench.office.tells(quick.url)
    notifier = await bench.notifier(limits=Limits(concurrency=8, per_endpoint=3))

    async with patiently("the quick one's message"):
        while not quick.received:
            await notifier.step()
            await asyncio.sleep(0)

    assert len(slow.received) <= 3


async def test_what_can_wait_makes_way_while_a_quick_receiver_is_told_and_for_no_stranger(
    bench: Bench,
) -> None:
    class Way(RightOfWay):
        """Remembers who went first."""

        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float | None] = []

        @contextmanager
        def taken(self, seconds: float | None = None) -> Iterator[None]:
            self.seconds.append(seconds)
            with super().taken(seconds):
                yield

    inbox, way = await bench.inbox(), Way()
    notifier = await bench.notifier(way=way)

    await bench.office.tells(inbox.url)
    await work(notifier)
    assert (len(inbox.received), way.seconds) == (1, []), "a stranger may keep us waiting"

    await bench.office.tells(inbox.url)
    await work(notifier)
    assert len(inbox.received) == 2
    [seconds] = way.seconds
    assert seconds is not None
    assert 0 < seconds <= LONGEST_WAY_SECONDS


async def local(_host: str) -> Sequence[str]:
    return ["127.0.0.1"]


async def test_an_organisation_with_many_hosts_that_hang_delays_no_other(bench: Bench) -> None:
    slow, quick = await bench.inbox(), await bench.inbox()
    slow.hangs()
    await bench.office.opens(2)
    for host in range(8):
        for number in range(4):
            await bench.office.tells(slow.at(f"/{number}", host=f"host{host}.example"))
    notifier = await bench.notifier(limits=Limits(concurrency=8, per_endpoint=4), lookup=local)

    assert await notifier.step() == 4, "half of the hands"
    assert await notifier.step() == 0
    await bench.office.tells(quick.url, org_id=2)
    assert await notifier.step() == 1
    await quick.has_received(1)
    await slow.has_received(4)


async def test_a_flood_of_one_organisation_hides_nobody(bench: Bench) -> None:
    slow, quick = await bench.inbox(), await bench.inbox()
    slow.hangs()
    await bench.office.opens(2)
    for host in range(40):
        await bench.office.tells(slow.at("/", host=f"host{host}.example"))
    await bench.office.tells(quick.url, org_id=2)
    notifier = await bench.notifier(limits=Limits(concurrency=4), lookup=local)

    async with patiently("the quick one's message"):
        while not quick.received:
            await notifier.step()
            await asyncio.sleep(0)

    assert len(slow.received) <= 2


async def until_received(
    bench: Bench, notifier: Notifier, slow: Inbox, quick: Inbox, count: int
) -> None:
    """Let the quick one hear so much; time passes when everybody who was asked hangs."""
    begun = len(slow.received) + len(quick.received)
    async with patiently("the quick one's messages"):
        while len(quick.received) < count:
            heard = len(slow.received) + len(quick.received)
            only_hanging = begun == heard and await delivered(bench) == len(quick.received)
            started = await notifier.step()
            begun += started
            await asyncio.sleep(0.001)
            if only_hanging and not started:
                bench.clock.advance(timedelta(seconds=1))


async def delivered(bench: Bench) -> int:
    """How many messages are done with."""
    query = "SELECT count(*) FROM outbox WHERE status = 'delivered'"
    async with bench.desk.database.looking() as tx:
        return await one_value(tx, int, query, {}) or 0


async def test_hundreds_that_hang_take_some_seconds_from_the_others_once(bench: Bench) -> None:
    slow, quick = await bench.inbox(), await bench.inbox()
    slow.hangs()
    for host in range(100):
        for _ in range(2 if host < 20 else 1):
            await bench.office.tells(slow.at("/", host=f"host{host}.example"))
    for _ in range(50):
        await bench.office.tells(quick.url)
    notifier = await bench.notifier(lookup=local)
    began = bench.clock.now()

    await until_received(bench, notifier, slow, quick, 50)

    assert bench.clock.now() - began <= timedelta(seconds=10)
    assert len(slow.received) <= 100, "a second message only after an answer to the first"
    known = bench.clock.now()
    for _ in range(100):
        await bench.office.tells(quick.url)
    await until_received(bench, notifier, slow, quick, 150)
    assert bench.clock.now() == known, "and then none"


async def test_a_receiver_has_its_full_share_again_once_it_answers_quickly(bench: Bench) -> None:
    inbox = await bench.inbox()
    inbox.hangs()
    for number in range(9):
        await bench.office.tells(inbox.at(f"/{number}"))
    limits = Limits(concurrency=8, per_endpoint=4, timeout_seconds=0.2)
    notifier = await bench.notifier(limits=limits)

    assert await notifier.step() == 1, "a stranger gets one"
    await inbox.has_received(1)
    bench.clock.advance(timedelta(seconds=1))
    await notifier.settle()
    assert [await notifier.step(), await notifier.step()] == [1, 0], "so does a slow one"
    await inbox.has_received(2)
    await notifier.settle()
    inbox.accepts()
    bench.clock.advance(timedelta(seconds=1))
    assert await notifier.step() == 1
    await notifier.settle()
    assert await notifier.step() == 4


async def test_names_that_hang_delay_nobody_elses_names() -> None:
    over, asked = Event(), []

    def resolve(host: str) -> list[str]:
        asked.append(host)
        if host != "honest.example":
            over.wait(PATIENCE_SECONDS)
        return ["127.0.0.1"]

    lookup = SystemLookup(resolve)

    async def look_up(org_id: int, host: str) -> Sequence[str]:
        on_behalf_of.set(org_id)
        return await lookup(host)

    async with patiently("an honest name"):
        hanging = [asyncio.create_task(look_up(1, f"a{n}.example")) for n in range(150)]
        try:
            while len(asked) < 8:
                await asyncio.sleep(0.01)
            for task in hanging[:8]:
                task.cancel()  # whoever gives up leaves a thread behind that still waits
            await asyncio.wait(hanging[:8])
            assert await asyncio.create_task(look_up(2, "honest.example")) == ["127.0.0.1"]
            assert len(asked) == 9, "eight at once of the first one's, and the second one's"
        finally:
            over.set()
        assert await asyncio.gather(*hanging[8:]) == [["127.0.0.1"]] * 142


async def test_a_name_is_looked_up_on_behalf_of_who_gave_it(bench: Bench) -> None:
    inbox, whose = await bench.inbox(), []

    async def lookup(host: str) -> Sequence[str]:
        whose.append((host, on_behalf_of.get()))
        return ["127.0.0.1"]

    await bench.office.opens(2)
    await bench.office.tells(inbox.at("/", host="a.example"))
    await bench.office.tells(inbox.at("/", host="b.example"), org_id=2)
    await (await bench.notifier(lookup=lookup)).step()
    await inbox.has_received(2)
    assert sorted(whose) == [("a.example", 1), ("b.example", 2)]
