"""`Troubles`: processes die and freeze, the database dies, and the wires to the nodes go bad."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import psutil

from counterfoil.db.embedded import EmbeddedPostgres
from counterfoil.supervisor import Supervisor
from soak.line import CONDITIONS, Line
from soak.worker_process import LONGEST_LEASE_SECONDS

PROCESSES: Final = ("serve", "work", "work-2", "sign")
STAGES: Final = ("payment", "sweep", "payout", "refund")
AIMING_SECONDS: Final = 4.0
PAUSE_SECONDS: Final = (LONGEST_LEASE_SECONDS + 0.5, LONGEST_LEASE_SECONDS + 2.5)
BAD_LINE_SECONDS: Final = (1.0, 6.0)


@dataclass
class Troubles:
    """Makes trouble at moments that a seed chooses, and counts it."""

    seed: int
    supervisor: Supervisor
    postgres: EmbeddedPostgres
    lines: Mapping[str, Line]
    stages: Callable[[], Counter[str]]
    """How many invoices are in each stage just now."""
    tell: Callable[[str], None]
    made: Counter[str] = field(default_factory=Counter)
    during: Counter[str] = field(default_factory=Counter)
    _lasting: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - a seed has to lead to the same troubles

    @property
    def kills(self) -> int:
        """Kills of our own processes and of the database's, and pauses."""
        return sum(n for name, n in self.made.items() if not name.startswith("line "))

    async def make(self, kills: int, seconds: float) -> None:
        """So many kills and pauses, spread over so many seconds; the wires go bad between them."""
        kinds = self._plan(kills)
        for kind in kinds:
            await asyncio.sleep(self._random.uniform(0.2, 1.8) * seconds / len(kinds) / 2)
            await self._aim(self._random.choice(STAGES))
            await self._do(kind)
        await asyncio.gather(*self._lasting)

    def _plan(self, kills: int) -> Sequence[str]:
        """One in eight meets the database, one in four is a pause; a bad wire for each third."""
        plan = []
        for place in range(kills):
            if place % 8 == 3:
                plan.append("kill postgres")
            elif place % 4 == 1:
                plan.append("pause")
            else:
                plan.append("kill")
            if place % 3 == 0:
                plan.append("line")
        return plan

    async def _aim(self, stage: str) -> None:
        """Wait until money is at this point of its way, if that comes soon, and a moment more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(AIMING_SECONDS):
                while not self.stages()[stage]:
                    await asyncio.sleep(0.02)
        await asyncio.sleep(self._random.uniform(0, 0.5))

    async def _do(self, kind: str) -> None:
        process = self._random.choice(PROCESSES)
        match kind:
            case "kill":
                self._kill(process)
            case "pause":
                self._begin(self._pause(process))
            case "line":
                self._begin(self._spoil(self._random.choice(sorted(self.lines))))
            case _:
                await self._kill_postgres(whole=self._random.random() < 0.7)

    def _kill(self, name: str) -> None:
        pid = self.supervisor.alive().get(name)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self._happened(f"kill {name}")

    async def _pause(self, name: str) -> None:
        pid = self.supervisor.alive().get(name)
        if pid is None:
            return
        os.kill(pid, signal.SIGSTOP)
        self._happened(f"pause {name}")
        await asyncio.sleep(self._random.uniform(*PAUSE_SECONDS))
        if self.supervisor.alive().get(name) == pid:
            os.kill(pid, signal.SIGCONT)

    async def _spoil(self, chain: str) -> None:
        line = self.lines[chain]
        line.condition = self._random.choice(CONDITIONS)
        self._happened(f"line {line.condition}")
        await asyncio.sleep(self._random.uniform(*BAD_LINE_SECONDS))
        line.condition = "good"

    async def _kill_postgres(self, *, whole: bool) -> None:
        """Kill the whole server and start it again, or one backend, which makes it recover."""
        pid_file = self.postgres.data_dir / "data" / "postmaster.pid"
        server = psutil.Process(int(pid_file.read_text(encoding="ascii").partition("\n")[0]))
        assert server.name().startswith("postgres")
        if whole:
            server.kill()
            self._happened("kill postgres")
            await asyncio.sleep(self._random.uniform(0, 2))
            await asyncio.to_thread(self.postgres.start)
            return
        backends = [p for p in server.children() if "127.0.0.1" in " ".join(p.cmdline())]
        if backends:
            with suppress(psutil.NoSuchProcess):
                self._random.choice(backends).kill()
            self._happened("kill postgres backend")

    def _happened(self, what: str) -> None:
        self.made[what] += 1
        busy = +self.stages()
        self.during.update(busy.keys())
        self.tell(f"{what} during {', '.join(sorted(busy)) or 'nothing'}")

    def _begin(self, trouble: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(trouble)
        self._lasting.add(task)
        task.add_done_callback(self._lasting.discard)
