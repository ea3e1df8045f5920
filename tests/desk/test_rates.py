"""Rates that are kept fresh, refused when they leap, and never used when they are old."""

from datetime import timedelta
from decimal import Decimal

import pytest

from counterfoil.core.errors import Unavailable
from counterfoil.core.invoice import Quote
from counterfoil.db.pool import Database
from counterfoil.desk import rates
from counterfoil.desk.desk import Desk
from counterfoil.providers.rates.port import RateUnavailable
from counterfoil.workers.price import Pricer
from support.fake_clock import FakeClock
from support.fake_rates import FakeRates
from support.office import Office

MARKET = {
    "USDT_TWD": "32.41",
    "USDC_TWD": "32.40",
    "USDT_USD": "0.9998",
    "USDC_USD": "1.0001",
    "USD_TWD": "32.405",
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(database: Database, clock: FakeClock) -> Desk:
    return Office(database, clock).desk


@pytest.fixture
def market(clock: FakeClock) -> FakeRates:
    return FakeRates(clock, **MARKET)


async def current(desk: Desk, pair: str = "USDT/TWD") -> Quote:
    base, _, quote = pair.partition("/")
    async with desk.database.reading() as tx:
        return await rates.current(tx, base, quote, now=desk.clock.now(), max_age_seconds=900)


async def test_every_pair_is_kept_with_its_evidence(desk: Desk, market: FakeRates) -> None:
    await Pricer(desk, [market]).step()

    for pair, value in MARKET.items():
        assert (await current(desk, pair.replace("_", "/"))).rate == Decimal(value)
    quote = await current(desk)
    assert (quote.source, quote.raw) == ("fake", {"value": "32.41"})
    assert quote.observed_at == quote.locked_at == desk.clock.now()


async def test_the_newest_rate_counts(desk: Desk, market: FakeRates, clock: FakeClock) -> None:
    pricer = Pricer(desk, [market])
    await pricer.step()
    clock.advance(timedelta(minutes=1))
    market.says("USDT/TWD", "32.50")
    await pricer.step()

    assert (await current(desk)).rate == Decimal("32.50")


async def test_a_missing_rate_prices_nothing(desk: Desk) -> None:
    with pytest.raises(Unavailable, match="no USDT/TWD rate yet"):
        await current(desk)


async def test_a_stale_rate_prices_nothing_and_says_how_old_it_is(
    desk: Desk, market: FakeRates, clock: FakeClock
) -> None:
    await Pricer(desk, [market]).step()
    clock.advance(timedelta(seconds=900))
    await current(desk)
    clock.advance(timedelta(seconds=1))

    with pytest.raises(Unavailable, match="newest USDT/TWD rate is 901 s old") as refusal:
        await current(desk)
    assert refusal.value.data["age_seconds"] == 901


async def test_a_leap_is_refused_and_the_last_rate_ages(
    desk: Desk, market: FakeRates, clock: FakeClock
) -> None:
    pricer = Pricer(desk, [market])
    await pricer.step()
    clock.advance(timedelta(minutes=1))
    market.says("USDT/TWD", "3.241")
    await pricer.step()

    quote = await current(desk)
    assert quote.rate == Decimal("32.41")
    assert clock.now() - quote.observed_at == timedelta(minutes=1)


async def test_where_one_source_fails_the_next_is_asked(
    desk: Desk, market: FakeRates, clock: FakeClock
) -> None:
    broken, wild = FakeRates(clock), FakeRates(clock, USDT_TWD="99")
    await Pricer(desk, [market]).step()
    clock.advance(timedelta(minutes=1))
    broken.fails(RateUnavailable("down"))
    await Pricer(desk, [broken, wild, market]).step()

    quote = await current(desk)
    assert (quote.rate, quote.observed_at) == (Decimal("32.41"), clock.now())


async def test_every_source_is_kept_and_the_preferred_one_counts(
    desk: Desk, market: FakeRates, clock: FakeClock
) -> None:
    second = FakeRates(clock, USDT_TWD="32.60")
    second.code = "second"
    await Pricer(desk, [market, second]).step()
    assert (await current(desk)).source == "fake"
    market.fails(RateUnavailable("down"))
    clock.advance(timedelta(seconds=901))
    await Pricer(desk, [market, second]).step()
    assert (await current(desk)).source == "second"
    async with desk.database.reading() as tx:
        assert await rates.sources(tx, clock.now()) == {"fake", "second"}


async def test_a_rate_from_the_future_is_not_taken(desk: Desk, clock: FakeClock) -> None:
    ahead = FakeClock(clock.now() + timedelta(hours=1))
    await Pricer(desk, [FakeRates(ahead, **MARKET)]).step()

    with pytest.raises(Unavailable):
        await current(desk)


async def test_the_same_observation_twice_is_one(desk: Desk, market: FakeRates) -> None:
    pricer = Pricer(desk, [market])
    await pricer.step()
    await pricer.step()
    newest = await rates.newest(desk, "USDT", "TWD")
    assert newest is not None
    assert not await rates.store(desk, newest)
