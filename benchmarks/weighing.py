"""What the processes weigh after work: web, two workers with their watchers, and the signer."""

import asyncio
from dataclasses import dataclass
from typing import Final

import psutil

from counterfoil.sandbox.demo import Sandbox
from counterfoil.supervisor import Child, counterfoil

_SETTLING_SECONDS: Final = 5
_MEBIBYTE: Final = 2**20


@dataclass(frozen=True, slots=True)
class Weighed:
    """Mebibytes by process: its own pages, and its share of those it shares (PSS)."""

    mebibytes: dict[str, float]

    @property
    def sum(self) -> float:
        """All of them together."""
        return sum(self.mebibytes.values())


async def weighing(sandbox: Sandbox) -> Weighed:
    """Start a second worker beside those that have worked, and weigh all of them."""
    first = psutil.Process(sandbox.supervisor.pids()["work"])
    environment = await asyncio.to_thread(first.environ)
    await sandbox.supervisor.start(Child("second worker", counterfoil("work"), environment))
    await asyncio.sleep(_SETTLING_SECONDS)
    return await asyncio.to_thread(_weigh, sandbox.supervisor.pids())


def _weigh(pids: dict[str, int]) -> Weighed:
    return Weighed(
        {name: psutil.Process(p).memory_full_info().pss / _MEBIBYTE for name, p in pids.items()}
    )
