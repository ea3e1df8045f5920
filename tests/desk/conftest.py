"""A desk, a shop at it, and those who watch chains for both."""

from datetime import timedelta

import pytest

from counterfoil.db.pool import Database
from counterfoil.desk.desk import Desk
from support.fake_chain import FakeChain
from support.fake_clock import NOON, FakeClock
from support.shop import Shop, desk_on
from support.till import Till
from support.tower import Tower
from support.watcher import Watcher


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON + timedelta(minutes=1))


@pytest.fixture
def desk(database: Database, clock: FakeClock) -> Desk:
    return desk_on(database, clock)


@pytest.fixture
async def shop(desk: Desk) -> Shop:
    return await Shop(desk).open()


@pytest.fixture
async def till(desk: Desk) -> Till:
    """A shop whose wallets are ready to move money."""
    till = Till(desk)
    await till.open()
    return await till.ready()


@pytest.fixture
async def watcher(desk: Desk) -> Watcher:
    return await Watcher(desk).start()


@pytest.fixture
async def tower(database: Database) -> Tower:
    clock = FakeClock()
    tower = Tower(desk_on(database, clock), clock, FakeChain(clock))
    await tower.shop.open()
    await tower.watch()
    return tower
