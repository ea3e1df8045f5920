"""What the screeners say about an address (specs/aml.md 9)."""

from datetime import timedelta
from typing import Final

import pytest

from counterfoil.core.assets import CHAINS
from counterfoil.core.risk import Decision, assess
from counterfoil.core.risk_facts import AddressRisk, Severity
from counterfoil.core.risk_rules import Policy
from counterfoil.providers.screening import remembering as remembering_module
from counterfoil.providers.screening.issuer_freeze import (
    FREEZABLE,
    IS_BLACK_LISTED,
    IS_BLACKLISTED,
    IS_BLOCKED,
    IssuerFreezeScreener,
)
from counterfoil.providers.screening.port import (
    AddressQuery,
    AddressScreener,
    ScreeningUnavailable,
)
from counterfoil.providers.screening.remembering import RememberingScreener
from counterfoil.providers.screening.simulated import SimulatedScreener
from support.fake_clock import NOON, FakeClock
from support.fake_screening import FakeScreener, FakeTokens, a_payment

PAYER: Final = "0x" + "ab" * 20
USDC: Final = {chain.key: chain.accepted[0].contract for chain in CHAINS.values()}
USDT: Final = {chain.key: chain.accepted[1].contract for chain in CHAINS.values()}


def asking(address: str = PAYER, chain: str = "arb", family: str = "evm") -> AddressQuery:
    return AddressQuery(chain, family, address)


class TestSimulated:
    """The sandbox's provider reads its answer off the address."""

    @staticmethod
    async def ask(ending: str) -> AddressRisk:
        screener: AddressScreener = SimulatedScreener(FakeClock())
        return await screener.screen_address(asking(f"0x{ending:0>40}"))

    @pytest.mark.parametrize(
        ("ending", "severity", "total", "decision"),
        [
            ("9999", Severity.SEVERE, "100.00", Decision.AML_HOLD),
            ("8888", Severity.SEVERE, "100.00", Decision.AML_HOLD),
            ("7777", Severity.HIGH, "76.00", Decision.AML_HOLD),
            ("6666", Severity.MEDIUM, "71.25", Decision.MANUAL_REVIEW),
            ("1234", Severity.LOW, "9.50", Decision.CLEAR),
        ],
    )
    async def test_each_ending_has_its_outcome(
        self, ending: str, severity: Severity, total: str, decision: Decision
    ) -> None:
        answer = await self.ask(ending)
        assessment = assess(a_payment(provider=answer), Policy(version=1))

        assert answer.severity is severity
        assert (f"{assessment.total:.2f}", assessment.decision) == (total, decision)

    async def test_one_ending_never_answers(self) -> None:
        with pytest.raises(ScreeningUnavailable):
            await self.ask("5555")


class TestIssuerFreeze:
    """The token contracts themselves know whom their issuer froze."""

    def setup_method(self) -> None:
        self.tokens = FakeTokens(
            {USDC["arb"]: IS_BLACKLISTED, USDT["arb"]: IS_BLOCKED, USDC["base"]: IS_BLACKLISTED}
        )

    def screener(self) -> IssuerFreezeScreener:
        return IssuerFreezeScreener(
            {"arb": self.tokens.call, "base": self.tokens.call}, FakeClock()
        )

    async def test_nobody_froze_the_payer(self) -> None:
        answer = await self.screener().screen_address(asking())

        assert (answer.severity, answer.hits) == (Severity.NONE, ())
        assert answer.fetched_at == NOON

    @pytest.mark.parametrize("symbol", ["USDC", "USDT"])
    async def test_f22_one_frozen_token_is_a_hard_hit(self, symbol: str) -> None:
        contract = {"USDC": USDC, "USDT": USDT}[symbol]["arb"]
        self.tokens.freeze(contract, PAYER)

        answer = await self.screener().screen_address(asking())

        (hit,) = answer.hits
        assert (hit.match, hit.label, hit.source, hit.hard) == (
            "issuer_freeze",
            symbol,
            contract,
            True,
        )

    async def test_someone_else_is_frozen(self) -> None:
        self.tokens.freeze(USDC["arb"], "0x" + "cd" * 20)

        assert (await self.screener().screen_address(asking())).severity is Severity.NONE

    async def test_the_first_usdt_asks_another_question(self) -> None:
        self.tokens = FakeTokens({USDC["arb"]: IS_BLACKLISTED, USDT["arb"]: IS_BLACK_LISTED})
        self.tokens.freeze(USDT["arb"], PAYER)

        assert (await self.screener().screen_address(asking())).severity is Severity.SEVERE

    async def test_bridged_usdt_cannot_freeze_anyone(self) -> None:
        answer = await self.screener().screen_address(asking(chain="base"))

        assert answer.severity is Severity.NONE

    async def test_silence_from_a_token_that_can_freeze_is_no_answer(self) -> None:
        self.tokens = FakeTokens({USDT["arb"]: IS_BLOCKED})

        with pytest.raises(ScreeningUnavailable, match=r"USDC at .* answers no freeze question"):
            await self.screener().screen_address(asking())

    async def test_a_broken_node_is_no_answer(self) -> None:
        self.tokens.fails(ConnectionError("all endpoints failed"))

        with pytest.raises(ScreeningUnavailable, match="all endpoints failed"):
            await self.screener().screen_address(asking())

    async def test_nonsense_is_no_answer(self) -> None:
        async def nonsense(_contract: str, _data: bytes) -> bytes:
            return b"\x02".rjust(32, b"\0")

        with pytest.raises(ScreeningUnavailable, match="not yes or no"):
            await IssuerFreezeScreener({"arb": nonsense}, FakeClock()).screen_address(asking())

    @pytest.mark.parametrize(("chain", "family"), [("optimism", "evm"), ("arb", "tron")])
    async def test_a_chain_without_a_node_is_no_answer(self, chain: str, family: str) -> None:
        with pytest.raises(ScreeningUnavailable, match="no way to ask"):
            await self.screener().screen_address(asking(chain=chain, family=family))

    def test_every_accepted_token_is_asked(self) -> None:
        for chain in CHAINS.values():
            asked = [token.contract for token in FREEZABLE[chain.key]]
            assert asked == [asset.contract for asset in chain.accepted]


async def test_the_fake_screener_says_what_it_is_told() -> None:
    clock = FakeClock()
    clock.advance(timedelta(hours=1))
    fake = FakeScreener(clock)
    fake.says(PAYER, Severity.HIGH)
    fake.fails("0xdead", ScreeningUnavailable("timeout"))

    assert (await fake.screen_address(asking())).severity is Severity.HIGH
    assert (await fake.screen_address(asking("0x01"))).fetched_at == NOON + timedelta(hours=1)
    with pytest.raises(ScreeningUnavailable):
        await fake.screen_address(asking("0xdead"))
    assert fake.asked == [PAYER, "0x01", "0xdead"]


async def test_an_address_that_pays_many_bills_is_asked_about_once_a_minute() -> None:
    clock = FakeClock()
    fake = FakeScreener(clock)
    remembering: AddressScreener = RememberingScreener(fake, clock)

    for _ in range(3):
        assert (await remembering.screen_address(asking())).severity is Severity.LOW
    assert (await remembering.screen_address(asking(chain="base"))).severity is Severity.LOW
    assert fake.asked == [PAYER, PAYER], "what is known of it on one chain says nothing of another"

    fake.says(PAYER, Severity.SEVERE)
    clock.advance(timedelta(seconds=59))
    assert (await remembering.screen_address(asking())).severity is Severity.LOW
    clock.advance(timedelta(seconds=1))
    assert (await remembering.screen_address(asking())).severity is Severity.SEVERE
    fake.says(PAYER, Severity.LOW)
    assert (await remembering.screen_address(asking())).severity is Severity.LOW, "asked again"


async def test_silence_is_not_remembered() -> None:
    fake = FakeScreener(FakeClock())
    fake.fails(PAYER, ScreeningUnavailable("away"))
    remembering = RememberingScreener(fake, FakeClock())
    for _ in range(2):
        with pytest.raises(ScreeningUnavailable):
            await remembering.screen_address(asking())
    assert len(fake.asked) == 2


async def test_whoever_pays_from_ever_new_addresses_fills_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remembering_module, "AT_MOST", 2)
    fake = FakeScreener(FakeClock())
    remembering = RememberingScreener(fake, FakeClock())
    for address in ("0x01", "0x02", "0x03", "0x01", "0x03"):
        await remembering.screen_address(asking(address))
    assert fake.asked == ["0x01", "0x02", "0x03", "0x01"], "the oldest was forgotten"
