"""Where exchange rates come from, and which of them nobody may price by."""

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.config import WorkConfig
from counterfoil.core.errors import Invalid
from counterfoil.providers.rates.http import HttpRates, HttpRateSettings
from counterfoil.providers.rates.port import (
    RateGuard,
    RateRefused,
    RateSource,
    RateUnavailable,
    RawRate,
    parse_rate,
)
from counterfoil.providers.rates.reading import at_pointer, read_instant, read_json
from counterfoil.providers.rates.static import StaticRates
from counterfoil.worker import rate_sources
from support.fake_clock import NOON, FakeClock
from support.fake_rates import FakeRates

NASTY_VALUES = [
    "0",
    "0.0",
    "-32.41",
    "+32.41",
    "NaN",
    "Infinity",
    "1e3",
    "3.2E1",
    "32,41",
    "1_000",
    "032.41",
    ".5",
    "32.",
    " 32.41",
    "32.41\n",
    "",
    "\uff13\uff12",
    "1" * 13,
    "0." + "1" * 19,
    None,
    True,
    32.41,
    ["32.41"],
    {"value": "32.41"},
]


@pytest.mark.parametrize("value", NASTY_VALUES)
def test_only_a_plain_number_above_zero_is_a_rate(value: object) -> None:
    with pytest.raises(RateRefused, match="the rate is"):
        parse_rate(value, "the rate")


@given(st.decimals(min_value="0.000001", max_value=10**11, places=6, allow_nan=False))
def test_every_plain_number_is_read_exactly(value: Decimal) -> None:
    assert parse_rate(f"{value:f}", "the rate") == value


class TestGuard:
    """A rate may be well formed and still cannot be true."""

    guard = RateGuard()

    @staticmethod
    def rate(value: str, at: datetime = NOON) -> RawRate:
        return RawRate("USDT", "TWD", Decimal(value), "desk", at)

    @pytest.mark.parametrize("value", ["32", "38.4", "25.6"])
    def test_lets_a_believable_change_pass(self, value: str) -> None:
        self.guard.check(self.rate(value), self.rate("32"), NOON)

    @pytest.mark.parametrize("value", ["38.41", "25.59", "3.2", "320"])
    def test_refuses_a_leap(self, value: str) -> None:
        with pytest.raises(RateRefused, match=r"USDT/TWD leaps from 32 to .*, by more than 20%"):
            self.guard.check(self.rate(value), self.rate("32"), NOON)

    def test_the_first_rate_has_nothing_to_leap_from(self) -> None:
        self.guard.check(self.rate("999"), None, NOON)

    def test_the_operator_sets_the_band(self) -> None:
        with pytest.raises(RateRefused, match="more than 1%"):
            RateGuard(max_jump=Decimal("0.01")).check(self.rate("33"), self.rate("32"), NOON)

    def test_refuses_a_rate_from_the_future(self) -> None:
        self.guard.check(self.rate("32", NOON + timedelta(minutes=2)), None, NOON)
        with pytest.raises(RateRefused, match="ahead of our clock"):
            self.guard.check(self.rate("32", NOON + timedelta(minutes=3)), None, NOON)


class TestStaticFile:
    """An operator keeps the rates in a file."""

    @pytest.fixture(autouse=True)
    def _in_a_folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "rates.json"
        self.source: RateSource = StaticRates(self.path, FakeClock())

    def holds(self, **document: object) -> None:
        content = {"source": "manual", "rates": {"USDT/TWD": "32.41"}} | document
        self.path.write_text(json.dumps(content))

    async def test_answers_with_source_time_and_the_raw_text(self) -> None:
        self.holds(observed_at="2026-06-22T19:30:00+08:00")

        rate = await self.source.quote("USDT", "TWD")

        assert (rate.pair, rate.value, rate.source) == (
            "USDT/TWD",
            Decimal("32.41"),
            "static:manual",
        )
        assert rate.observed_at == datetime(2026, 6, 22, 11, 30, tzinfo=UTC)
        assert rate.raw == {"pair": "USDT/TWD", "value": "32.41"}

    async def test_without_a_time_it_is_as_fresh_as_its_reading(self) -> None:
        self.holds()

        assert (await self.source.quote("USDT", "TWD")).observed_at == NOON

    async def test_an_edit_counts_at_once(self) -> None:
        self.holds()
        await self.source.quote("USDT", "TWD")
        self.holds(rates={"USDT/TWD": "32.50"})

        assert (await self.source.quote("USDT", "TWD")).value == Decimal("32.50")

    async def test_names_the_pairs_it_has(self) -> None:
        self.holds(rates={"USDT/TWD": "1", "USD/TWD": "1"})

        with pytest.raises(RateUnavailable, match="has no USDC/TWD; it has USD/TWD, USDT/TWD"):
            await self.source.quote("USDC", "TWD")

    async def test_never_turns_a_pair_round(self) -> None:
        self.holds()

        with pytest.raises(RateUnavailable):
            await self.source.quote("TWD", "USDT")

    async def test_the_file_is_not_there(self) -> None:
        with pytest.raises(RateUnavailable, match="cannot be read"):
            await self.source.quote("USDT", "TWD")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"\xff\xfe",
            b'{"source": "manual"}',
            b'{"source": 1, "rates": {"USDT/TWD": "32.41"}}',
            b'{"source": "manual", "rates": []}',
            b'{"source": "manual", "rates": {"USDT/TWD": "32.41", "USDT/TWD": "1"}}',
            b'{"source": "manual", "rates": {"USDT/TWD": 32.41}}',
            b'{"source": "manual", "rates": {"USDT/TWD": "3.2e1"}}',
            b'{"source": "manual", "rates": {"USDT/TWD": NaN}}',
            b'{"source": "manual", "rates": {"USDT/TWD": "-1"}}',
            b'{"source": "m", "observed_at": "noon", "rates": {"USDT/TWD": "32.41"}}',
            b'{"source": "m", "observed_at": null, "rates": {"USDT/TWD": "32.41"}}',
            b"[" * 60_000,
            b" " * 70_000,
        ],
    )
    async def test_a_senseless_file_is_refused(self, content: bytes) -> None:
        self.path.write_bytes(content)

        with pytest.raises(RateRefused):
            await self.source.quote("USDT", "TWD")


class Exchange:
    """A real web service on a Unix socket, which answers whatever a test wants."""

    def __init__(self) -> None:
        self.body = json.dumps({"data": {"price": 32.41, "at": "2026-06-22T11:59:00Z"}}).encode()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        return web.Response(body=self.body, status=self.status, headers=self.headers)


class TestHttp:
    """A web service answers with JSON."""

    settings = HttpRateSettings(
        code="exchange",
        url="http://localhost/v1/{base}-{quote}?key=secret",
        value_at="/data/price",
        time_at="/data/at",
    )

    @classmethod
    @asynccontextmanager
    async def asking(
        cls, exchange: Exchange, settings: HttpRateSettings = settings
    ) -> AsyncIterator[HttpRates]:
        async with cls.session(exchange) as session:
            yield HttpRates(settings, session, FakeClock())

    @staticmethod
    @asynccontextmanager
    async def session(exchange: Exchange) -> AsyncIterator[aiohttp.ClientSession]:
        app = web.Application()
        app.router.add_get("/{anything:.*}", exchange.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        # pytest's own folders are too deep for the 107 bytes of a socket's path.
        with tempfile.TemporaryDirectory(prefix="cf-") as folder:
            path = f"{folder}/s"
            await web.UnixSite(runner, path).start()
            connector = aiohttp.UnixConnector(path)
            async with aiohttp.ClientSession(connector=connector) as session:
                yield session
            await runner.cleanup()

    async def test_reads_the_number_as_it_was_written(self) -> None:
        exchange = Exchange()
        async with self.asking(exchange) as source:
            rate = await source.quote("USDT", "TWD")

        assert exchange.asked == ["/v1/USDT-TWD?key=secret"]
        assert (rate.value, rate.source) == (Decimal("32.41"), "exchange")
        assert rate.observed_at == datetime(2026, 6, 22, 11, 59, tzinfo=UTC)
        assert rate.raw == {"value": "32.41", "time": "2026-06-22T11:59:00Z"}
        assert "secret" not in repr(rate)

    async def test_the_workers_read_number_and_time_where_the_settings_say(self) -> None:
        node, secret = "http://127.0.0.1:8545", "k3Jx9vQ2mZ8rT5wY1nB7cL4hF6gD0sA+"
        config = WorkConfig.from_env(
            {
                "COUNTERFOIL_RPC_ARB": node,
                "COUNTERFOIL_SECRET": secret,
                "COUNTERFOIL_RATE_URL": "http://localhost/v1/{base}-{quote}?key=secret",
                "COUNTERFOIL_RATE_VALUE_AT": "/data/price",
                "COUNTERFOIL_RATE_TIME_AT": "/data/at",
            }
        )
        async with self.session(Exchange()) as session:
            (source,) = rate_sources(config, FakeClock(), session)
            rate = await source.quote("USDT", "TWD")

        assert rate.value == Decimal("32.41")
        assert rate.observed_at == datetime(2026, 6, 22, 11, 59, tzinfo=UTC)

    async def test_without_a_time_the_answer_counts_as_of_now(self) -> None:
        settings = HttpRateSettings("exchange", "http://localhost/p", "/data/price")
        async with self.asking(Exchange(), settings) as source:
            assert (await source.quote("USDT", "TWD")).observed_at == NOON

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b'{"data": {}}',
            b'{"data": {"price": null, "at": "2026-06-22T11:59:00Z"}}',
            b'{"data": {"price": 0, "at": "2026-06-22T11:59:00Z"}}',
            b'{"data": {"price": -1, "at": "2026-06-22T11:59:00Z"}}',
            b'{"data": {"price": NaN, "at": "2026-06-22T11:59:00Z"}}',
            b'{"data": {"price": Infinity, "at": "2026-06-22T11:59:00Z"}}',
            b'{"data": {"price": 1e5, "at": "2026-06-22T11:59:00Z"}}',
            b'{"data": {"price": 32.41, "at": "2026-06-22T11:59:00"}}',
            b'{"data": {"price": 32.41, "price": 99, "at": "2026-06-22T11:59:00Z"}}',
            b'{"data": {"price": 32.41}}',
            b" " * 70_000 + b'{"data": {"price": 32.41, "at": "2026-06-22T11:59:00Z"}}',
        ],
    )
    async def test_a_senseless_answer_is_refused(self, body: bytes) -> None:
        exchange = Exchange()
        exchange.body = body
        async with self.asking(exchange) as source:
            with pytest.raises(RateRefused):
                await source.quote("USDT", "TWD")

    @pytest.mark.parametrize("status", [204, 302, 401, 404, 429, 500])
    async def test_any_other_status_is_no_answer(self, status: int) -> None:
        exchange = Exchange()
        exchange.status = status
        exchange.headers = {"Location": "http://localhost/elsewhere"}
        async with self.asking(exchange) as source:
            with pytest.raises(RateUnavailable, match=f"status {status}"):
                await source.quote("USDT", "TWD")

        assert len(exchange.asked) == 1

    async def test_nobody_is_there(self) -> None:
        connector = aiohttp.UnixConnector("/nonexistent/socket")
        async with aiohttp.ClientSession(connector=connector) as session:
            source = HttpRates(self.settings, session, FakeClock())
            with pytest.raises(RateUnavailable, match="did not answer"):
                await source.quote("USDT", "TWD")

    @pytest.mark.parametrize("code", ["usdt", "U", "USDT/../x", "USDT?x=1", "\uff35SDT", "A" * 13])
    async def test_only_a_currency_code_enters_the_address(self, code: str) -> None:
        exchange = Exchange()
        async with self.asking(exchange) as source:
            with pytest.raises(RateUnavailable, match="no currency code"):
                await source.quote(code, "TWD")

        assert exchange.asked == []

    @pytest.mark.parametrize(
        ("setting", "values"),
        [
            ("url", {"url": "http://rates.example.com/{base}"}),
            ("url", {"url": "https://{base}.example.com/"}),
            ("url", {"url": "https://example.com{quote}/"}),
            ("url", {"url": "https://user:pass@example.com/"}),
            ("url", {"url": "https://example.com/{symbol}"}),
            ("url", {"url": "https://example.com/{base.__class__}"}),
            ("url", {"url": "https://example.com/{"}),
            ("url", {"url": "https:///path"}),
            ("url", {"url": "file:///etc/passwd"}),
            ("url", {"url": "https://example.com:99999/"}),
            ("value_at", {"value_at": "data.price"}),
            ("time_at", {"time_at": "at"}),
        ],
    )
    def test_an_unsafe_setting_is_named(self, setting: str, values: dict[str, Any]) -> None:
        safe = {"code": "x", "url": "https://example.com/", "value_at": "/p"}
        with pytest.raises(Invalid) as refusal:
            HttpRateSettings(**(safe | values))

        assert set(refusal.value.fields) == {setting}


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-06-22T12:00:00Z", NOON),
        ("2026-06-22T20:00:00+08:00", NOON),
        ("1782129600", NOON),
        ("1782129600123", NOON),
    ],
)
def test_times_are_read_in_every_common_form(text: str, instant: datetime) -> None:
    assert read_instant(text, "x") == instant


@pytest.mark.parametrize("text", ["", "12", "2026-06-22", "0001-01-01T00:00:00+23:00", 5, None])
def test_other_times_are_refused(text: object) -> None:
    with pytest.raises(RateRefused, match="has the time"):
        read_instant(text, "x")


@pytest.mark.parametrize(
    ("pointer", "value"), [("/a/0", "1"), ("/b~1c", "2"), ("/d~0e", "3"), ("/", "4")]
)
def test_a_pointer_finds_its_value(pointer: str, value: str) -> None:
    document = read_json(b'{"a": [1], "b/c": 2, "d~e": 3, "": 4}', "x")

    assert at_pointer(document, pointer, "x") == value


@pytest.mark.parametrize("pointer", ["/a/1", "/a/-", "/a/x", "/z", "/a/0/0"])
def test_a_pointer_to_nothing_is_refused(pointer: str) -> None:
    with pytest.raises(RateRefused, match="nothing at"):
        at_pointer({"a": ["1"]}, pointer, "x")


async def test_the_fake_source_says_what_it_is_told() -> None:
    fake: FakeRates = FakeRates(FakeClock(), USDT_TWD="32.41")

    assert (await fake.quote("USDT", "TWD")).value == Decimal("32.41")
    fake.fails(RateUnavailable("down"))
    with pytest.raises(RateUnavailable):
        await fake.quote("USDT", "TWD")
    fake.says("USDT/TWD", "32.50")
    assert (await fake.quote("USDT", "TWD")).value == Decimal("32.50")
    assert fake.asked == ["USDT/TWD"] * 3
