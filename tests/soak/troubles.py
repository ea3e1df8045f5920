"""`Troubles`: whatever runs dies or freezes, wires go bad, and receivers have bad hours."""

import asyncio
import os
import random
import signal
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import psutil

from counterfoil.db.embedded import EmbeddedPostgres
from counterfoil.supervisor import Supervisor
from soak.line import CONDITIONS, Line
from soak.plan import BACKEND, PROCESSES, SERVER, Plan
from soak.worker_process import LONGEST_LEASE_SECONDS
from support.inbox import Inbox

STAGES: Final = ("payment", "sweep", "payout", "refund")
AIMING_SECONDS: Final = 4.0
AGAIN_SECONDS: Final = 0.3
PAUSE_SECONDS: Final = (LONGEST_LEASE_SECONDS + 0.5, LONGEST_LEASE_SECONDS + 2.5)
BAD_LINE_SECONDS: Final = (1.0, 6.0)
BAD_HOUR_SECONDS: Final = (2.0, 10.0)
MOODS: Final = ("refuses", "is busy", "hangs")

Frost = Callable[[str], Awaitable[None]]
"""Freezes the pool's wallet on a chain, and lets it sign again some seconds later."""


@dataclass
class Troubles:
    """Makes trouble at moments that a seed chooses, and counts it."""

    plan: Plan
    supervisor: Supervisor
    postgres: EmbeddedPostgres
    lines: Mapping[str, Line]
    moody: Inbox
    frost: Frost
    stages: Callable[[], Counter[str]]
    """How many invoices are in each stage just now."""
    tell: Callable[[str], None]
    made: Counter[tuple[str, str]] = field(default_factory=Counter)
    during: Counter[str] = field(default_factory=Counter)
    amid: Counter[str] = field(default_factory=Counter)
    _lasting: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = random.Random(self.plan.seed)  # noqa: S311 - a seed has to lead to the same troubles

    async def make(self) -> None:
        """All that is planned, spread over its time.

        What could not be done, as everybody was dead just then, is tried again until the longest
        time is over; the report says what is lacking then.
        """
        kinds = self._kinds()
        pause = self.plan.seconds / len(kinds)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.plan.most_seconds):
                while kinds:
                    await asyncio.sleep(self._random.uniform(0.1, 0.9) * pause)
                    await self._aim(self._random.choice(STAGES))
                    if await self._do(kinds[0]):
                        kinds.popleft()
                    else:
                        await asyncio.sleep(AGAIN_SECONDS)
        for task in self._lasting:
            # What lasts ends by itself; only what went wrong with it is of interest.
            await asyncio.shield(task)

    def _kinds(self) -> deque[str]:
        """What is asked for, and a fourth of it more of what befalls others, in a drawn order."""
        strikes = self.plan.kills + self.plan.pauses
        kinds = ["kill"] * self.plan.kills + ["pause"] * self.plan.pauses
        kinds += ["postgres"] * self.plan.postgres + ["backend"] * (self.plan.postgres // 2)
        kinds += ["line"] * (strikes // 4) + ["mood"] * (strikes // 5 + 1)
        kinds += ["frost"] * (strikes // 12 + 1)
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
            case _:
                self._begin(self._freeze(self._random.choice(sorted(self.lines))))
        return True

    def _strike(self, kind: str) -> bool:
        """Meet the drawn process, or the next one that lives."""
        alive = self.supervisor.alive()
        start = self._random.randrange(len(PROCESSES))
        turns = (*PROCESSES[start:], *PROCESSES[:start])
        name = next((one for one in turns if one in alive), None)
        if name is None:
            return False
        # It may have ended this very moment.
        with suppress(ProcessLookupError):
            os.kill(alive[name], signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
            self._happened(kind, name)
            if kind == "pause":
                self._begin(self._wake(name, alive[name]))
            return True
        return False

    async def _wake(self, name: str, pid: int) -> None:
        await asyncio.sleep(self._random.uniform(*PAUSE_SECONDS))
        if self.supervisor.alive().get(name) == pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def _spoil(self, chain: str) -> None:
        line = self.lines[chain]
        line.condition = self._random.choice(CONDITIONS)
        self._happened("line", line.condition)
        await asyncio.sleep(self._random.uniform(*BAD_LINE_SECONDS))
        line.condition = "good"

    async def _sulk(self, mood: str) -> None:
        """The receiver refuses, asks for patience, or takes everything and never answers."""
        match mood:
            case "refuses":
                self.moody.always_refuses(500)
            case "is busy":
                self.moody.always_refuses(429)
            case _:
                self.moody.hangs()
        self._happened("server", mood)
        await asyncio.sleep(self._random.uniform(*BAD_HOUR_SECONDS))
        self.moody.accepts()

    async def _freeze(self, chain: str) -> None:
        self._happened("wallet", "frozen")
        await self.frost(chain)
        self._happened("wallet", "thawed")

    async def _kill_postgres(self) -> None:
        """Kill the whole server, and start it again a moment later."""
        self._server().kill()
        self._happened("kill", SERVER)
        await asyncio.sleep(self._random.uniform(0, 2))
        await asyncio.to_thread(self.postgres.start)

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
        self._lasting.add(asyncio.create_task(trouble))
