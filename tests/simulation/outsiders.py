"""Everybody outside: the signer, the merchants' receivers, screeners, rates. They survive us."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import msgspec

from counterfoil.core.ports import Clock
from counterfoil.core.risk_facts import AddressRisk, Severity
from counterfoil.providers.rates.port import RateUnavailable, RawRate
from counterfoil.providers.screening.port import AddressQuery, ScreeningUnavailable
from counterfoil.signer.client import SignerClient
from counterfoil.signer.keys import Keyring
from counterfoil.signer.memory import Memory, create_memory, open_memory
from counterfoil.signer.orders import Role
from counterfoil.signer.origin import Origin
from counterfoil.signer.policy import Limits
from counterfoil.signer.service import _Desk
from counterfoil.signer.signing import Signer
from counterfoil.signer.wire import Ask
from simulation.chaos import Dice, Life, Record
from simulation.database import Line
from support.fake_clock import FakeClock

APPROVAL_KEY: Final = b"k" * 32
MASTER_SECRET: Final = b"m" * 32
_SEED: Final = bytes(range(64))


class Ids:
    """UUIDv7 by the simulated clock; their tail says which process made them."""

    def __init__(self, clock: FakeClock, owner: int) -> None:
        self._clock = clock
        self._owner = owner
        self._count = 0

    def new(self) -> UUID:
        self._count += 1
        milliseconds = int(self._clock.now().timestamp() * 1000)
        tail = (self._count << 32) | self._owner
        value = (milliseconds << 80) | (7 << 76) | (0b10 << 62) | tail
        return UUID(int=value)

    @staticmethod
    def owner_of(made: UUID) -> int:
        return made.int & 0xFFFFFFFF


class _Keys(Keyring):
    """The real keyring; addresses are derived once for all runs."""

    known: Final[dict[tuple[int, str], str]] = {}

    def __init__(self) -> None:
        super().__init__(_SEED)

    def address(self, org_id: int, role: Role) -> str:
        found = self.known.get((org_id, role))
        if found is None:
            found = self.known[org_id, role] = super().address(org_id, role)
        return found


class SignerBox:
    """The signer's process without its socket. Only its memory file outlives a restart."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path = folder / "memory"
        self._clock = clock
        self._memory: Memory | None = None
        create_memory(self._path, Origin(seed=_Keys().fingerprint, at=clock.now()))
        self.restart()

    @property
    def signer(self) -> Signer:
        return self._signer

    def restart(self) -> None:
        self.stop()
        self._memory, _ = open_memory(self._path)
        self._signer = Signer(_Keys(), self._memory, APPROVAL_KEY, Limits(), self._clock)
        self._desk = _Desk(self._signer)

    def stop(self) -> None:
        if self._memory is not None:
            self._memory.close()

    def answer(self, asked: bytes) -> bytes:
        return msgspec.json.encode(self._desk._answer(asked))  # noqa: SLF001 - the socket's own way in


class SimulatedSigner(SignerClient):
    """The real client over a line that breaks."""

    def __init__(self, box: SignerBox, life: Life) -> None:
        super().__init__(Path("simulated"))
        self._box = box
        self._life = life

    async def _exchange(self, ask: Ask) -> bytes:
        await self._life.pass_point("port signer: asked")
        if self._life.hits("signer unreachable", type(ask).__name__):
            raise ConnectionRefusedError
        answer = self._box.answer(msgspec.json.encode(ask))
        if self._life.hits("signer killed", type(ask).__name__):
            self._box.restart()
            raise ConnectionResetError
        await self._life.pass_point("port signer: answered")
        if self._life.hits("signer answer lost", type(ask).__name__):
            raise TimeoutError
        return answer


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request at a receiver, and what it answered; None: the answer was never heard."""

    event_id: str
    at: datetime
    body: bytes
    status: int | None


@dataclass(slots=True)
class Receivers:
    """The merchants' servers, by host. One that is gone answers 410 for good."""

    got: list[Delivery] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)


class Post:
    """Stands where the callback session stands."""

    def __init__(self, receivers: Receivers, clock: Clock, life: Life) -> None:
        self._receivers = receivers
        self._clock = clock
        self._life = life

    def post(self, url: Any, *, data: bytes, headers: Mapping[str, str], **_: Any) -> "_Exchange":  # noqa: ANN401 - as aiohttp has it
        return _Exchange(self, str(url), data, headers["webhook-id"])

    async def exchange(self, url: str, data: bytes, event_id: str) -> "_Answer":
        life = self._life
        await life.pass_point("port receiver.post")
        host = urlsplit(url).hostname or ""
        if life.hits("receiver refuses", host):
            raise aiohttp.ClientOSError
        status = 200
        if host in self._receivers.gone or life.hits("receiver gone", host):
            status = 410
        elif life.hits("receiver hangs", host):
            raise TimeoutError
        elif life.hits("receiver busy", host):
            status = life.dice.random.choice((429, 500, 503, 302))
        now = self._clock.now()
        self._receivers.got.append(Delivery(event_id, now, data, status))
        await life.pass_point("port receiver.post: answered")
        if status == 200 and life.hits("receiver answer lost", host):
            raise aiohttp.ServerDisconnectedError
        return _Answer(status, {"Retry-After": "30"} if status == 429 else {})


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]

    def close(self) -> None:
        """Nothing is open."""


class _Exchange:
    def __init__(self, post: Post, url: str, data: bytes, event_id: str) -> None:
        self._post, self._url, self._data, self._event_id = post, url, data, event_id

    async def __aenter__(self) -> _Answer:
        return await self._post.exchange(self._url, self._data, self._event_id)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is open."""


class SimulatedScreener:
    """A provider of address risk: silent, slow, or with something to say."""

    code = "simulated"

    def __init__(self, clock: Clock, life: Life, risky: set[str], silent: set[str]) -> None:
        self._clock = clock
        self._life = life
        self._risky = risky
        self._silent = silent

    async def screen_address(self, query: AddressQuery) -> AddressRisk:
        await self._life.pass_point("port screener.screen_address")
        if query.address in self._silent or self._life.hits("screener silent", query.address):
            raise ScreeningUnavailable("no answer that can be trusted")
        if self._life.hits("screener slow", query.address):
            raise TimeoutError
        if self._life.hits("screener finds something", query.address):
            self._risky.add(query.address)
        severity = Severity.HIGH if query.address in self._risky else Severity.LOW
        return AddressRisk(self.code, severity, self._clock.now())


class SimulatedRates:
    """A source of rates that wanders, leaps and stays away."""

    code = "simulated"

    def __init__(self, clock: Clock, life: Life, values: dict[str, Decimal]) -> None:
        self._clock = clock
        self._life = life
        self._values = values

    async def quote(self, base: str, quote: str) -> RawRate:
        await self._life.pass_point("port rates.quote")
        pair = f"{base}/{quote}"
        if pair not in self._values or self._life.hits("rates away", pair):
            raise RateUnavailable("no answer")
        value = self._values[pair]
        if self._life.hits("rates leap", pair):
            value *= 3
        return RawRate(base, quote, value, self.code, self._clock.now(), {"value": str(value)})


@dataclass(slots=True)
class World:
    """What no crash of ours can touch."""

    clock: FakeClock
    dice: Dice
    record: Record
    signer: SignerBox
    receivers: Receivers = field(default_factory=Receivers)
    risky: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    """Addresses that no screener says anything about."""
    rates: dict[str, Decimal] = field(
        default_factory=lambda: {
            "USDT/TWD": Decimal("32.5"),
            "USDC/TWD": Decimal("32.5"),
            "USDT/USD": Decimal("1.0003"),
            "USDC/USD": Decimal("0.9998"),
            "USD/TWD": Decimal("32.4"),
            "ETH/TWD": Decimal(95_000),
            "ETH/USD": Decimal(2_950),
        }
    )

    acting: int = 0
    """Which incarnation of a process did the last step."""
    lines: list[Line] = field(default_factory=list)
    incarnations: Iterator[int] = field(default_factory=lambda: count(1))

    def commits(self) -> int:
        """How many transactions were committed so far."""
        return sum(line.commits for line in self.lines)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))
