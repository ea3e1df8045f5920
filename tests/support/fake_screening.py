"""A screener that says what a test tells it to say, token contracts that freeze, and payments."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from counterfoil.core.ports import Clock
from counterfoil.core.risk_facts import (
    AddressRisk,
    Exposure,
    Factors,
    Hit,
    ListState,
    Severity,
    Stage,
    Subject,
)
from counterfoil.providers.screening.port import AddressQuery
from support.fake_clock import NOON

PAYER: Final = Subject("address", "0x4a1c00000000000000000000000000000000077b", "arb", "evm")
UNKNOWN_PAYER: Final = Subject("address", None, "arb", None)
BANK_TRANSFER: Final = Subject("fiat")
ON_OFAC: Final = Hit("OFAC_SDN", "exact_address", "Digital Currency Address - ETH", "idList", "42")


class FakeScreener:
    """Answers from a table of addresses, else LOW; remembers the addresses it was asked for."""

    def __init__(self, clock: Clock, code: str = "fake") -> None:
        self.code = code
        self._clock = clock
        self._answers: dict[str, AddressRisk | Exception] = {}
        self.asked: list[str] = []

    def says(
        self,
        address: str,
        severity: Severity,
        *,
        hits: tuple[Hit, ...] = (),
        exposures: tuple[Exposure, ...] | None = None,
    ) -> None:
        self._answers[address] = AddressRisk(
            self.code, severity, self._clock.now(), hits, exposures
        )

    def fails(self, address: str, failure: Exception) -> None:
        self._answers[address] = failure

    async def screen_address(self, query: AddressQuery) -> AddressRisk:
        self.asked.append(query.address)
        answer = self._answers.get(query.address)
        if isinstance(answer, Exception):
            raise answer
        return answer or AddressRisk(self.code, Severity.LOW, self._clock.now())


class FakeTokens:
    """Token contracts by address: the freeze question each understands, and whom it froze."""

    def __init__(self, questions: dict[str, bytes]) -> None:
        self._questions = questions
        self._frozen: set[tuple[str, str]] = set()
        self._failure: Exception | None = None

    def freeze(self, contract: str, address: str) -> None:
        self._frozen.add((contract, address.removeprefix("0x").rjust(64, "0")))

    def fails(self, failure: Exception) -> None:
        self._failure = failure

    async def call(self, contract: str, data: bytes) -> bytes | None:
        """Return the word a contract would, or None where it would revert."""
        if self._failure is not None:
            raise self._failure
        if data[:4] != self._questions.get(contract):
            return None
        return int((contract, data[4:].hex()) in self._frozen).to_bytes(32, "big")


def a_list(code: str = "OFAC_SDN", *, age: timedelta = timedelta(hours=31)) -> ListState:
    """A list as last confirmed ``age`` before noon."""
    return ListState(code, date(2026, 6, 20), "ab" * 32, 19680, 1012, NOON - age)


def a_provider(
    severity: Severity = Severity.LOW,
    *,
    code: str = "mock",
    hits: tuple[Hit, ...] = (),
    exposures: tuple[Exposure, ...] | None = None,
) -> AddressRisk:
    return AddressRisk(code, severity, NOON, hits, exposures)


def a_payment(  # noqa: PLR0913 - one argument per fact a story may change
    amount_twd: str | None = "3000",
    *,
    subject: Subject = PAYER,
    provider: AddressRisk | None = None,
    hits: tuple[Hit, ...] = (),
    lists: tuple[ListState, ...] | None = None,
    expected_max_single_twd: str | None = None,
    stage: Stage = "payment_confirmed",
    at: datetime = NOON,
) -> Factors:
    """A payment at noon, screened against a fresh list and by one provider that says LOW."""
    heard = () if subject.kind == "fiat" else (provider or a_provider(),)
    return Factors(
        run_id="scr_1",
        stage=stage,
        subject=subject,
        evaluated_at=at,
        amount_twd=None if amount_twd is None else Decimal(amount_twd),
        lists=(a_list(),) if lists is None else lists,
        hits=hits,
        screenings=heard,
        expected_max_single_twd=(
            None if expected_max_single_twd is None else Decimal(expected_max_single_twd)
        ),
    )
