"""Rates that are kept fresh, refused when they leap, and never used when they are old."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from counterfoil.books import orgs
from counterfoil.core.errors import Unavailable
from counterfoil.core.invoice import Policy, Quote
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.slowly import Slowly
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
        assert (await rates.sources(desk, tx))["USDT/TWD"] == {"second"}


async def test_a_rate_from_the_future_is_not_taken(desk: Desk, clock: FakeClock) -> None:
    ahead = FakeClock(clock.now() + timedelta(hours=1))
    await Pricer(desk, [FakeRates(ahead, **MARKET)]).step()

    with pytest.raises(Unavailable):
        await current(desk)


async def test_the_same_observation_twice_is_one_that_was_said_again(
    desk: Desk, market: FakeRates, clock: FakeClock
) -> None:
    await Pricer(desk, [market]).step()
    first = await rates.last_of(desk, "fake", "USDT", "TWD")
    assert first is not None
    later = clock.now() + timedelta(minutes=1)
    await rates.store(desk, replace(first, stored_at=later))
    again = await rates.last_of(desk, "fake", "USDT", "TWD")
    assert again == replace(first, stored_at=later)


async def test_what_a_source_corrects_without_another_time_counts_and_is_not_silence(
    desk: Desk, clock: FakeClock
) -> None:
    typed = FakeRates(FakeClock(clock.now()), USDT_TWD="36.00")
    pricer = Pricer(desk, [typed, second_source(clock, USDT_TWD="32.00")])
    await pricer.step()
    typed.says("USDT/TWD", "32.10")
    await rounds(pricer, clock, 10)

    quote = await current(desk)
    assert (quote.source, quote.rate) == ("fake", Decimal("32.10"))
    assert quote.raw == {"value": "32.10"}


async def rounds(pricer: Pricer, clock: FakeClock, count: int) -> None:
    for _ in range(count):
        clock.advance(timedelta(seconds=20))
        await pricer.step()


def second_source(clock: FakeClock, **said: str) -> FakeRates:
    second = FakeRates(clock, **said)
    second.code = "second"
    return second


async def test_a_source_that_errs_first_does_not_shut_out_one_that_is_right(
    desk: Desk, market: FakeRates, clock: FakeClock
) -> None:
    pricer = Pricer(desk, [market, second := second_source(clock, USDT_TWD="32.00")])
    await pricer.step()
    for wrong in ("25.70", "21.00", "17.00"):
        second.says("USDT/TWD", wrong)
        await rounds(pricer, clock, 1)
    market.says("USDT/TWD", "32.50")
    await rounds(pricer, clock, 30)

    quote = await current(desk)
    assert (quote.source, quote.rate) == ("fake", Decimal("32.50"))
    assert clock.now() == quote.observed_at


async def test_a_new_source_far_off_what_all_others_say_prices_nothing(
    desk: Desk, market: FakeRates, clock: FakeClock
) -> None:
    """Its field or scale is wrong; preferred, it would ask every payer for a tenth."""
    market.code = "other"
    await Pricer(desk, [market]).step()
    new = FakeRates(clock, USDT_TWD="320.00")
    pricer = Pricer(desk, [new, market])
    await rounds(pricer, clock, 2)
    assert (await current(desk)).source == "other"
    new.says("USDT/TWD", "38.80")
    await rounds(pricer, clock, 1)
    assert (await current(desk)).source == "fake"


async def test_of_several_first_words_none_shuts_out_another(
    desk: Desk, market: FakeRates, clock: FakeClock
) -> None:
    second = second_source(clock, USDT_TWD="3.20")
    await Pricer(desk, [second, market]).step()
    async with desk.database.reading() as tx:
        assert (await rates.sources(desk, tx))["USDT/TWD"] == {"second", "fake"}


async def test_what_is_shown_as_in_use_goes_by_announced_rules_once_they_hold(
    desk: Desk, market: FakeRates, clock: FakeClock
) -> None:
    await Office(desk.database, clock).opens()
    await Pricer(desk, [market, second_source(clock, USDT_TWD="32.00")]).step()
    slowly = Slowly(Policy(), Policy(rate_sources="second"), clock.now() + timedelta(minutes=1))
    async with desk.database.transaction() as tx:
        await orgs.save_policy(tx, 1, orgs.OrgPolicy().with_invoices(slowly))
    reader = Actor("user_reader", 1, frozenset({Permission.READ}))
    seen = []
    for _ in range(2):
        usdt = next(one for one in await rates.in_use(desk, reader) if one.name == "USDT/TWD")
        seen.append(usdt.chosen and usdt.chosen.source)
        clock.advance(timedelta(minutes=1))
    assert seen == ["fake", "second"]


async def test_a_market_that_walks_away_from_a_file_still_prices(
    desk: Desk, market: FakeRates, clock: FakeClock
) -> None:
    file = second_source(clock, USDT_TWD="32.41")
    pricer = Pricer(desk, [market, file])
    for cents in range(3241, 2441, -100):
        market.says("USDT/TWD", f"{cents / 100:.2f}")
        await rounds(pricer, clock, 1)

    assert (await current(desk)).rate == Decimal("25.41")


async def test_a_preferred_source_that_fell_silent_is_passed_over(
    desk: Desk, market: FakeRates, clock: FakeClock
) -> None:
    pricer = Pricer(desk, [market, second_source(clock, USDT_TWD="30.00")])
    await pricer.step()
    market.fails(RateUnavailable("down"))
    await rounds(pricer, clock, 6)
    assert (await current(desk)).source == "fake", "a few rounds may fail"
    await rounds(pricer, clock, 1)

    quote = await current(desk)
    assert (quote.source, quote.rate) == ("second", Decimal("30.00"))


async def test_a_feed_that_seldom_changes_but_answers_is_not_silent(
    desk: Desk, clock: FakeClock
) -> None:
    daily = FakeRates(noon := FakeClock(clock.now()), USDT_TWD="32.10")
    pricer = Pricer(desk, [daily, second_source(clock, USDT_TWD="32.90")])
    await pricer.step()
    await rounds(pricer, clock, 12)

    quote = await current(desk)
    assert (quote.source, quote.observed_at) == ("fake", noon.now())


async def test_one_source_that_breaks_does_not_silence_those_after_it(
    desk: Desk, market: FakeRates, clock: FakeClock
) -> None:
    broken = second_source(clock)
    broken.fails(ZeroDivisionError("a fault of ours"))
    await Pricer(desk, [broken, market]).step()

    assert (await current(desk)).source == "fake"
