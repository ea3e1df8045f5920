"""What is called off, by Ctrl-C or otherwise, takes everything with it that it began."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
import pytest

from counterfoil.sandbox.demo import running
from counterfoil.sandbox.places import Places, passing_places
from support.patience import patiently

PATIENCE_SECONDS: Final = 240.0
"""A whole system has to start, on a machine that may be busy with other things."""

SOAK: Final = ("-m", "soak", "--seed", "1", "--kills", "1", "--minutes", "0.1", "--follow")


@dataclass
class Family:
    """A process with all that descends from it, also what was started and ended again."""

    process: Process
    members: set[psutil.Process] = field(default_factory=set)

    async def is_looked_at(self) -> None:
        while True:
            with suppress(psutil.NoSuchProcess):
                self.members.update(psutil.Process(self.process.pid).children(recursive=True))
            await asyncio.sleep(0.01)

    async def says(self, words: Collection[str]) -> None:
        """Wait until it has said all of them, in any order."""
        assert self.process.stdout is not None
        missing, heard = set(words), ""
        async with patiently(" and ".join(words), PATIENCE_SECONDS):
            while missing:
                line = (await self.process.stdout.readline()).decode()
                assert line, f"it has ended: {heard}"
                heard += line
                missing -= {word for word in missing if word in line}

    async def begins(self) -> None:
        async with patiently("a server that is being started"):
            while not any("postgres" in p.name() or "initdb" in p.name() for p in self.members):
                await asyncio.sleep(0.01)


def alive(processes: Collection[psutil.Process]) -> list[str]:
    """Those that live still. Who has ended may wait to be collected."""
    found = []
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(one.cmdline()))
    return found


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@asynccontextmanager
async def begun(*arguments: str, **environment: str) -> AsyncIterator[Family]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=DEVNULL,
        stdout=PIPE,
        env={**os.environ, "PYTHONPATH": "tests:src", **environment},
    )
    family = Family(process)
    looking = asyncio.create_task(family.is_looked_at())
    try:
        yield family
    finally:
        looking.cancel()
        for one in family.members:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.parametrize(
    ("amid", "asked"),
    [((), signal.SIGINT), (("pause ", "kill postgres"), signal.SIGTERM)],
    ids=["while PostgreSQL is started", "while one is paused and PostgreSQL dead"],
)
async def test_a_soak_that_is_called_off_leaves_nothing_behind(
    amid: Collection[str], asked: signal.Signals, tmp_path: Path
) -> None:
    async with begun(*SOAK, TMPDIR=str(tmp_path)) as family:
        await (family.says(amid) if amid else family.begins())
        family.process.send_signal(asked)
        async with patiently("its end", PATIENCE_SECONDS):
            heard, _ = await family.process.communicate()
        assert alive(family.members) == []
        assert names_in(tmp_path) == []
        assert heard.decode().endswith("called off: nothing is proved\n")
        assert family.process.returncode == 1


async def test_tests_that_are_called_off_leave_no_server_behind() -> None:
    async with begun(
        "-m", "pytest", "-p", "no:cacheprovider", "tests/books/test_pool.py"
    ) as family:
        await family.begins()
        family.process.send_signal(signal.SIGTERM)
        async with patiently("its end", PATIENCE_SECONDS):
            await family.process.communicate()
        assert alive(family.members) == []
        assert family.process.returncode == pytest.ExitCode.INTERRUPTED


async def test_a_sandbox_that_is_called_off_in_its_first_moment_leaves_no_server_behind() -> None:
    def children() -> set[psutil.Process]:
        return set(psutil.Process().children(recursive=True))

    async def up(places: Places) -> None:
        async with running(places, lambda _name, _line: None, lambda _step: None):
            raise AssertionError

    before = children()
    with passing_places() as places:
        starting = asyncio.create_task(up(places))
        async with patiently("a server that is being started"):
            while children() == before:
                await asyncio.sleep(0.01)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert alive(children() - before) == []
