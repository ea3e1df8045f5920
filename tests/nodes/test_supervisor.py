"""Processes of ours on one machine: whatever they print, and whenever their end is asked for."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import pytest

from counterfoil.supervisor import Child, Supervisor, wholly

CHATTY = """
import time
print("x" * 3_000_000)
print("y" * 500_000, flush=True)
time.sleep(60)
"""

ASKED_AT_ONCE = """
import asyncio, os, signal
from counterfoil.supervisor import run_until, until_signalled

async def job():
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.01)
        print("everything is put away")

run_until(job(), until=until_signalled)
"""


@pytest.fixture
async def said() -> AsyncIterator["asyncio.Queue[str]"]:
    lines: asyncio.Queue[str] = asyncio.Queue()
    supervisor = Supervisor(lambda _, line: lines.put_nowait(line))
    await supervisor.start(Child("chatty", [sys.executable, "-c", CHATTY], dict(os.environ)))
    yield lines
    await supervisor.stop()


async def test_lines_of_any_length_are_read_and_none_stops_the_reading(
    said: "asyncio.Queue[str]",
) -> None:
    lines = [await asyncio.wait_for(said.get(), 20)]
    while not lines[-1].startswith("y"):
        lines.append(await asyncio.wait_for(said.get(), 20))

    assert lines[-1] == "y" * 500_000
    assert "(a line of more than 1048576 bytes)" in lines


def test_an_end_that_is_asked_for_in_the_first_moment_leaves_nothing_behind() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ASKED_AT_ONCE],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (ended.returncode, ended.stdout) == (0, "everything is put away\n")


async def test_whoever_is_called_off_waits_for_what_a_thread_has_begun() -> None:
    may_go_on, begun = threading.Event(), []

    def begin() -> None:
        may_go_on.wait(20)
        begun.append("a server")

    waiting = asyncio.create_task(wholly(begin))
    await asyncio.sleep(0)
    waiting.cancel()
    asyncio.get_running_loop().call_later(0.1, may_go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert begun == ["a server"]
