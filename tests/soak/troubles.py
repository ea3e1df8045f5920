"""`Troubles`: whatever runs dies or freezes, wires go bad, and receivers have bad hours."""

import asyncio
import os
import random
import signal
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import psutil
from psycopg import Error
from psycopg_pool import PoolTimeout

from counterfoil.db.embedded import EmbeddedPostgres
from counterfoil.supervisor import Supervisor, wholly
from soak.line import CONDITIONS, Line
from soak.plan import BACKEND, CALLBACK, LEASE, PAYMENT, PROCESSES, SERVER, Plan
from soak.witness import Witness
from soak.worker_process import LONGEST_LEASE_SECONDS
from support.inbox import Inbox

STAGES: Final = ("payment", "sweep", "payout", "refund")
AIMING_SECONDS: Final = 4.0
AGAIN_SECONDS: Final = 0.3
PAUSE_SECONDS: Final = (LONGEST_LEASE_SECONDS + 0.5, LONGEST_LEASE_SECONDS + 2.5)
BAD_LINE_SECONDS: Final = (1.0, 6.0)
BAD_HOUR_SECONDS: Final = (2.0, 10.0)
MOODS: Final = ("refuses", "is busy", "hangs")

MEETING_SECONDS: Final = 60.0
"""How long a receiver is in a mood at most before anything is told to it."""

READING_SECONDS: Final = 1.0
"""After which a slow node is waited for by whoever reads its chain."""

FINDING_OUT_SECONDS: Final = 3.0
"""Until a worker that woke up has found out what became of its leases."""

LONGEST_DOZE_SECONDS: Final = 20.0
"""How long one waits for another worker to take over."""

DOZES: Final = 5
"""How often it is tried to let a worker sleep through the end of its lease with work in hand."""

Frost = Callable[[], Awaitable[bool]]
"""Freezes a wallet that is to pay, and lets it sign again some seconds later. Answers whether a
payment stood at it meanwhile."""


@dataclass
class Troubles:
    """Makes trouble at moments that a seed chooses, and counts it."""

    plan: Plan
    supervisor: Supervisor
    postgres: EmbeddedPostgres
    lines: Mapping[str, Line]
    moody: Inbox
    witness: Witness
    frost: Frost
    stages: Callable[[], Counter[str]]
    """How many invoices are in each stage just now."""
    gone: Callable[[], int]
    """How often workers found that a lease of theirs was gone."""
    tell: Callable[[str], None]
    made: Counter[tuple[str, str]] = field(default_factory=Counter)
    during: Counter[str] = field(default_factory=Counter)
    amid: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    """What a trouble was meant for, and struck."""
    _lasting: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)
    _sulking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _asleep: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = random.Random(self.plan.seed)  # noqa: S311 - a seed has to lead to the same troubles

    async def make(self) -> None:
        """All that is planned, spread over its time.

        What could not be done, as everybody was dead just then, is tried again until the longest
        time is over; the report says what is lacking then.
        """
        kinds = self._kinds()
        pause = self.plan.seconds / len(kinds)
        async with self._lasting:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.plan.most_seconds):
                    while kinds:
                        await asyncio.sleep(self._random.uniform(0.1, 0.9) * pause)
                        await self._aim(self._random.choice(STAGES))
                        if await self._do(kinds[0]):
                            kinds.popleft()
                        else:
                            await asyncio.sleep(AGAIN_SECONDS)

    def _kinds(self) -> deque[str]:
        """What is asked for, and a fourth of it more of what befalls others, in a drawn order."""
        strikes = self.plan.kills + self.plan.pauses
        kinds = ["kill"] * self.plan.kills + ["pause"] * self.plan.pauses
        kinds += ["postgres"] * self.plan.postgres + ["backend"] * (self.plan.postgres // 2)
        kinds += ["line"] * (strikes // 4) + ["mood"] * (strikes // 5 + 1)
        kinds += ["frost"] * (strikes // 12 + 1)
        kinds += ["reads", "tells"] * (strikes // 24 + 1)
        self._random.shuffle(kinds)
        return deque(kinds)

    async def _aim(self, stage: str) -> None:
        """Wait until money is at this point of its way, if that comes soon, and a moment more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(AIMING_SECONDS):
                while not self.stages()[stage]:
                    await asyncio.sleep(0.02)
        await asyncio.sleep(self._random.uniform(0, 0.5))

    async def _do(self, kind: str) -> bool:
        """Whether it could be done."""
        match kind:
            case "kill" | "pause":
                return self._strike(kind)
            case "postgres":
                await self._kill_postgres()
            case "backend":
                return self._kill_backend()
            case "line":
                self._begin(self._spoil(self._random.choice(sorted(self.lines))))
            case "mood":
                self._begin(self._sulk(self._random.choice(MOODS)))
            case "frost":
                self._begin(self._freeze())
            case _:
                self._begin(self._until_gone(self._reads if kind == "reads" else self._tells))
        return True

    def _strike(self, kind: str) -> bool:
        """Meet the drawn process, or the next one that lives; nobody is stopped twice."""
        alive = self.supervisor.alive()
        start = self._random.randrange(len(PROCESSES))
        turns = (*PROCESSES[start:], *PROCESSES[:start])
        met = (n for n in turns if n in alive and (kind == "kill" or alive[n] not in self._asleep))
        name = next(met, None)
        if name is None:
            return False
        if kind == "pause":
            seconds = self._random.uniform(*PAUSE_SECONDS)
            return self._begin_pause(name, alive[name], partial(asyncio.sleep, seconds)) is not None
        # It may have ended this very moment.
        with suppress(ProcessLookupError):
            os.kill(alive[name], signal.SIGKILL)
            self._happened(kind, name)
            return True
        return False

    def _begin_pause(
        self, name: str, pid: int, lasts: Callable[[], Awaitable[None]]
    ) -> asyncio.Task[None] | None:
        """Stop a process for as long as is said; None where it has ended this very moment."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self._happened("pause", name)
            self._asleep.add(pid)
            return self._lasting.create_task(self._wake(name, pid, lasts))
        return None

    async def _wake(self, name: str, pid: int, lasts: Callable[[], Awaitable[None]]) -> None:
        try:
            await lasts()
        finally:
            # Also where all is called off: who is stopped does not hear that it shall end.
            self._asleep.discard(pid)
            if self.supervisor.alive().get(name) == pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    async def _until_gone(self, doze: Callable[[], Awaitable[None]]) -> None:
        """Stop a worker in the midst of something, until one finds that its lease is gone."""
        for _ in range(DOZES):
            before = self.gone()
            with suppress(Error, PoolTimeout):
                await doze()
            await asyncio.sleep(FINDING_OUT_SECONDS)
            if self.gone() > before:
                self.met[LEASE] += 1
                return

    async def _reads(self) -> None:
        """Stop whoever reads a chain, as long as its node is slow to answer."""
        chain = self._random.choice(sorted(self.lines))
        self.lines[chain].condition = "slow"
        try:
            await asyncio.sleep(READING_SECONDS)
            await self._doze(partial(self.witness.reader, chain))
        finally:
            self.lines[chain].condition = "good"

    async def _tells(self) -> None:
        """Stop whoever tells a receiver something that gives no answer."""
        async with self._sulking:
            self.moody.hangs()
            try:
                await self._told()
                event_id = await self.witness.told_to(self.moody.url)
                await self._doze(partial(self.witness.teller, event_id))
            finally:
                self.moody.accepts()

    async def _doze(self, holder: Callable[[], Awaitable[int | None]]) -> None:
        """Stop whoever holds something until another does, or it is done."""
        pid = await holder()
        name = next((n for n, p in self.supervisor.alive().items() if p == pid), None)
        if pid is None or name is None or pid in self._asleep:
            return

        async def passes_on() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_DOZE_SECONDS):
                    while await self._asked(holder, pid) == pid:
                        await asyncio.sleep(0.1)

        if pause := self._begin_pause(name, pid, passes_on):
            await pause

    async def _asked(self, holder: Callable[[], Awaitable[int | None]], last: int) -> int | None:
        """Who holds something; as before where nobody can tell just now."""
        with suppress(Error, PoolTimeout):
            return await holder()
        return last

    async def _spoil(self, chain: str) -> None:
        line = self.lines[chain]
        line.condition = self._random.choice(CONDITIONS)
        self._happened("line", line.condition)
        await asyncio.sleep(self._random.uniform(*BAD_LINE_SECONDS))
        line.condition = "good"

    async def _sulk(self, mood: str) -> None:
        """The receiver refuses, asks for patience, or takes everything and never answers.

        For some seconds from when it is first told something; one mood after the other.
        """
        async with self._sulking:
            before = len(self.moody.received)
            match mood:
                case "refuses":
                    self.moody.always_refuses(500)
                case "is busy":
                    self.moody.always_refuses(429)
                case _:
                    self.moody.hangs()
            self._happened("server", mood)
            await self._told()
            await asyncio.sleep(self._random.uniform(*BAD_HOUR_SECONDS))
            self.moody.accepts()
            self.met[CALLBACK] += len(self.moody.received) - before

    async def _told(self) -> None:
        """Wait until the receiver with bad hours is told something, if that comes soon."""
        before = len(self.moody.received)
        with suppress(TimeoutError):
            async with asyncio.timeout(MEETING_SECONDS):
                while len(self.moody.received) == before:
                    await asyncio.sleep(0.02)

    async def _freeze(self) -> None:
        self.met[PAYMENT] += await self.frost()
        self._happened("wallet", "frozen and thawed")

    async def _kill_postgres(self) -> None:
        """Kill the whole server, and start it again a moment later."""
        self._server().kill()
        self._happened("kill", SERVER)
        await asyncio.sleep(self._random.uniform(0, 2))
        await wholly(self.postgres.start)

    def _kill_backend(self) -> bool:
        """Kill one connection's process, which makes the server end all others and recover."""
        backends = [p for p in self._server().children() if "127.0.0.1" in " ".join(p.cmdline())]
        if not backends:
            return False
        with suppress(psutil.NoSuchProcess):
            self._random.choice(backends).kill()
            self._happened("kill", BACKEND)
            return True
        return False

    def _server(self) -> psutil.Process:
        pid_file = self.postgres.data_dir / "data" / "postmaster.pid"
        server = psutil.Process(int(pid_file.read_text(encoding="ascii").partition("\n")[0]))
        assert server.name().startswith("postgres")
        return server

    def _happened(self, what: str, whom: str) -> None:
        self.made[what, whom] += 1
        busy = +self.stages()
        if what in {"kill", "pause"}:
            self.during.update(busy.keys())
        if any(busy[stage] for stage in STAGES):
            self.amid[SERVER if whom == BACKEND else whom] += 1
        self.tell(f"{what} {whom} during {', '.join(sorted(busy)) or 'nothing'}")

    def _begin(self, trouble: Coroutine[Any, Any, None]) -> None:
        self._lasting.create_task(trouble)
