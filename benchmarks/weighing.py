"""What the processes weigh after work: web, two workers with their watchers, and the signer."""

import asyncio
from dataclasses import dataclass
from typing import Final

import psutil

from counterfoil.sandbox.demo import Sandbox
from counterfoil.supervisor import Child, Supervisor, counterfoil

_PAUSE_SECONDS: Final = 5
_MOST_LOOKS: Final = 24
_AT_REST: Final = 1.0
"""Megabytes more or less than at the look before: nobody is still starting."""

_MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Weighed:
    """Megabytes by process: its own pages, and its share of those it shares (PSS)."""

    megabytes: dict[str, float]

    @property
    def sum(self) -> float:
        """All of them together."""
        return sum(self.megabytes.values())


async def weighing(sandbox: Sandbox) -> Weighed:
    """Start a second worker beside those that have worked, and weigh all of them."""
    first = psutil.Process(sandbox.supervisor.pids()["work"])
    environment = await asyncio.to_thread(first.environ)
    await sandbox.supervisor.start(Child("second worker", counterfoil("work"), environment))
    weighed = await _looked(sandbox.supervisor)
    for _ in range(_MOST_LOOKS):
        before, weighed = weighed, await _looked(sandbox.supervisor)
        if abs(weighed.sum - before.sum) < _AT_REST:
            break
    return weighed


async def _looked(supervisor: Supervisor) -> Weighed:
    """Weigh after a pause; ``RuntimeError`` where a process died, which would weigh nothing."""
    await asyncio.sleep(_PAUSE_SECONDS)
    alive = supervisor.alive()
    dead = supervisor.pids().keys() - alive.keys()
    if dead:
        msg = f"cannot weigh what died: {', '.join(sorted(dead))}"
        raise RuntimeError(msg)
    return await asyncio.to_thread(_weigh, alive)


def _weigh(pids: dict[str, int]) -> Weighed:
    return Weighed(
        {name: psutil.Process(p).memory_full_info().pss / _MEGABYTE for name, p in pids.items()}
    )
