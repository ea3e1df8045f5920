"""Hosts whose clocks differ or jump by an hour, at one database."""

import asyncio
from datetime import timedelta
from typing import Final

import pytest

from counterfoil.clock import SystemClock
from counterfoil.db.pool import Database
from counterfoil.db.timekeeping import shared_clock
from counterfoil.desk import watching
from counterfoil.desk.watching import Lease
from support.fake_clock import FakeClock
from support.patience import patiently
from support.shop import desk_on
from support.watcher import mark

HOUR: Final = timedelta(hours=1)


@pytest.mark.parametrize("off", [HOUR, -HOUR])
async def test_a_lease_lasts_by_the_databases_time_whatever_the_hosts_show(
    database: Database, off: timedelta
) -> None:
    right, wrong = FakeClock(SystemClock().now()), FakeClock(SystemClock().now() + off)
    async with shared_clock(database, right) as here, shared_clock(database, wrong) as there:
        one, other = desk_on(database, here), desk_on(database, there)
        assert abs(here.now() - there.now()) < timedelta(minutes=1)
        await watching.start(one, "arb", mark(7))
        held, wanted = Lease("arb", one.ids.new()), Lease("arb", other.ids.new())

        assert await watching.take(one, held, 1800) is not None
        assert await watching.take(other, wanted, 1800) is None
        wrong.advance(off)
        assert await watching.take(other, wanted, 1800) is None
        assert await watching.take(one, held, 1800) is not None


async def test_the_server_is_asked_again_and_followed(database: Database) -> None:
    """As after a failover to a server with another clock."""
    host = FakeClock()
    async with shared_clock(database, host, every_seconds=0.01) as clock:
        now = clock.now()
        moved = clock.told(now + HOUR, asked=clock.elapsed(), answered=clock.elapsed())
        assert moved is not None
        assert 3_590 < moved < 3_610
        async with patiently("the next look at the server's clock"):
            while clock.now() > now + HOUR / 2:
                await asyncio.sleep(0.01)


async def test_while_the_server_is_away_time_goes_on(database: Database) -> None:
    async with shared_clock(database, FakeClock(), every_seconds=0.01) as clock:
        await database.close()
        before = clock.now()
        async with patiently("a later moment"):
            while clock.now() <= before:
                await asyncio.sleep(0.01)
