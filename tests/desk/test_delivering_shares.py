"""Nobody's callbacks wait for somebody else's slow receivers."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from counterfoil.db.pool import Database
from counterfoil.workers.notify import Limits
from support.bench import Bench, opened


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

    while not quick.received:
        await notifier.step()
        await asyncio.sleep(0)

    assert len(slow.received) <= 3


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

    while not quick.received:
        await notifier.step()
        await asyncio.sleep(0)

    assert len(slow.received) <= 2
