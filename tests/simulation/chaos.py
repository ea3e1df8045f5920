"""What can go wrong, how often, and where: the dice of one run, and the points that it passes."""

import asyncio
import hashlib
import random
from collections import Counter, deque
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Literal


class Crash(BaseException):
    """The process is gone. No `except Exception` of ours may stand in its way."""


FAULTS: Final[Mapping[str, float]] = {
    "crash": 0.004,
    "pause": 0.003,
    "database lost": 0.004,
    "commit lost": 0.006,
    "acknowledgement lost": 0.012,
    "serialization failure": 0.006,
    "node unreachable": 0.02,
    "node lags": 0.10,
    "node omits a log": 0.15,
    "node takes short ranges": 0.05,
    "broadcast refused": 0.08,
    "broadcast answer lost": 0.10,
    "broadcast swallowed": 0.10,
    "reorg": 0.25,
    "dropped from the pool": 0.15,
    "replaced by its payer": 0.20,
    "mined and reverted": 0.10,
    "address blacklisted": 0.03,
    "foreign nonce": 0.015,
    "signer unreachable": 0.06,
    "signer answer lost": 0.08,
    "signer killed": 0.05,
    "receiver refuses": 0.10,
    "receiver hangs": 0.06,
    "receiver gone": 0.02,
    "receiver busy": 0.06,
    "receiver answer lost": 0.10,
    "screener silent": 0.10,
    "screener slow": 0.06,
    "screener finds something": 0.10,
    "rates away": 0.15,
    "rates leap": 0.10,
    "outage": 0.05,
    "nodes disagree": 0.20,
}
"""Every kind of fault and its rate at the places where it can happen, before the swarm."""

_BY_ITSELF: Final = frozenset({"nodes disagree"})
"""Kinds that were added later: drawn apart, so that a seed without them goes the way it went."""

_FIRST_PASSES: Final = 0.03
"""How likely a crash is where a run has never been before; rare places would never be hit."""


class Dice:
    """All chance of one run; the same seed falls the same way."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - chance that must be repeatable
        self._rates: dict[str, float] = {}
        for kind, rate in FAULTS.items():
            apart = random.Random(f"{seed}, {kind}")  # noqa: S311 - as above
            chance = apart if kind in _BY_ITSELF else self.random
            if chance.random() < 0.5:
                self._rates[kind] = rate * chance.choice((0.3, 1.0, 2.5))
        self.calm = False

    @property
    def kinds(self) -> list[str]:
        """The kinds of faults that are on in this run."""
        return sorted(self._rates)

    def on(self, kind: str) -> bool:
        return not self.calm and kind in self._rates

    def rife(self, kind: str) -> bool:
        """Whether this kind of fault falls more often in this run than in most."""
        return self._rates.get(kind, 0) > FAULTS[kind]

    def falls(self, kind: str) -> bool:
        """Whether this fault happens here and now; never once the run is calm."""
        return self.on(kind) and self.random.random() < self._rates[kind]

    def falls_at_first(self, passes: int) -> bool:
        """Whether a crash happens at a place that was passed so often before."""
        likely = max(self._rates.get("crash", 0), _FIRST_PASSES / (1 + passes))
        return self.on("crash") and self.random.random() < likely


@dataclass(slots=True)
class Record:
    """What happened in a run: the last lines in words, all of them as a hash, and counts."""

    faults: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    crashed: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=400))
    loud: bool = False
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def say(self, line: str) -> None:
        self._hash.update(line.encode())
        self.lines.append(line)
        if self.loud:
            print(line)

    def fault(self, kind: str, where: str) -> None:
        self.faults[kind] += 1
        self.say(f"      ! {kind}: {where}")

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()[:16]


LIVES: Final[ContextVar["Life | None"]] = ContextVar("life", default=None)
"""Whose task this is; tasks that it makes inherit it."""


class Life:
    """One process from its start to its end: it passes points, pauses, and may be killed."""

    def __init__(self, name: str, dice: Dice, record: Record) -> None:
        self.name = name
        self.dice = dice
        self.record = record
        self.dead = False
        self.busy = 0
        self.answers = 0
        self.fate: tuple[Literal["dies", "stops"], str] | None = None
        self.tasks: set[asyncio.Task[object]] = set()
        self.paused = asyncio.Event()
        self._going = asyncio.Event()
        self._going.set()

    async def pass_point(self, point: str) -> None:
        """Go past a place where the process may be killed or stopped for a while."""
        if self.dead:
            raise Crash
        await self._going.wait()
        passes = self.record.passed[point]
        self.record.passed[point] += 1
        fate = self._fated(point)
        if fate == "dies" or self.dice.falls_at_first(passes):
            self._die(point)
        if fate == "stops" or self.dice.falls("pause"):
            self.record.fault("pause", f"{self.name} at {point}")
            self._going.clear()
            self.paused.set()
            await self._going.wait()
        if self.dead:
            raise Crash

    def hits(self, kind: str, where: str) -> bool:
        """Whether a fault happens to this process here."""
        if self.dead or not self.dice.falls(kind):
            return False
        self.record.fault(kind, f"{self.name} at {where}")
        return True

    @property
    def progress(self) -> tuple[int, int]:
        """What changes as long as it gets anywhere: points that anybody passed, its answers."""
        return self.record.passed.total(), self.answers

    async def rest(self) -> None:
        """Wait until all that the process has begun stands at a point as well."""
        quiet = 0
        while quiet < 20:
            await asyncio.sleep(0 if not self.busy else 0.0005)
            quiet = 0 if self.busy else quiet + 1

    def ended(self, task: "asyncio.Task[object]") -> None:
        """One of its tasks is over; how it did concerns whoever waits for it."""
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()

    def resume(self) -> None:
        self.paused.clear()
        self._going.set()

    def kill(self, why: str) -> None:
        self.record.say(f"      ! killed from outside: {self.name}, {why}")
        self.dead = True
        self.resume()

    def _fated(self, point: str) -> str:
        """What a story has ordered to happen where a point's name begins like this, once."""
        if self.fate is None or not point.startswith(self.fate[1]):
            return ""
        what, self.fate = self.fate[0], None
        return what

    def _die(self, point: str) -> None:
        self.dead = True
        self.record.crashed[point] += 1
        self.record.fault("crash", f"{self.name} at {point}")
        raise Crash
