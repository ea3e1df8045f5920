"""Several processes of ours on one machine.

They are started in order, restarted when they die, and stopped together.
"""

import asyncio
import contextlib
import ctypes
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

T = TypeVar("T")

READY_TIMEOUT_SECONDS: Final = 60.0
_STOP_TIMEOUT_SECONDS: Final = 15.0
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
_STEADY_SECONDS: Final = 30.0
_LONGEST_LINE_BYTES: Final = 2**20
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


class NotReady(Exception):  # noqa: N818 - says what is the case
    """A process ended, or did not become ready in time; its last lines are in the message."""


@dataclass(frozen=True, slots=True)
class Child:
    """One process: how it starts, and how to tell that it is ready for the next one.

    ``environment`` is the whole of it: a child is given only the secrets that are its business.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    ready: Callable[[], Awaitable[bool]] | None = None


Say = Callable[[str, str], None]
"""Takes a child's name and one line of its output."""


class Supervisor:
    """Keeps children running until told to stop."""

    def __init__(self, say: Say, *, longest_pause_seconds: float = _LONGEST_PAUSE_SECONDS) -> None:
        """``say`` receives every line that a child prints.

        A child that keeps dying is started again ever later, up to ``longest_pause_seconds``.
        """
        self._say = say
        self._longest_pause_seconds = longest_pause_seconds
        self._running: list[tuple[Child, asyncio.Task[None]]] = []
        self._processes: dict[str, Process] = {}
        self._last_lines: dict[str, str] = {}

    async def start(self, child: Child) -> None:
        """Start a child and wait until it is ready; `NotReady` when that does not come."""
        process = self._processes[child.name] = await self._spawn(child)
        try:
            await self._await_ready(child)
        except BaseException:
            # Also when somebody gives up waiting: `stop` does not know of this one yet.
            await self._end(process)
            raise
        self._running.append((child, asyncio.create_task(self._keep(child))))

    async def stop(self) -> None:
        """Stop all children, the last started first, each by its own pid."""
        for child, task in reversed(self._running):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self._end(self._processes[child.name])
        self._running.clear()

    def pids(self) -> dict[str, int]:
        """Which process each child is just now."""
        return {name: process.pid for name, process in self._processes.items()}

    def alive(self) -> dict[str, int]:
        """The same, without those that have died; nobody else can have one of these pids."""
        running = {n: p for n, p in self._processes.items() if p.returncode is None}
        return {name: process.pid for name, process in running.items()}

    async def _spawn(self, child: Child) -> Process:
        process = await asyncio.create_subprocess_exec(
            *child.arguments,
            stdout=PIPE,
            stderr=STDOUT,
            env=child.environment,
            limit=_LONGEST_LINE_BYTES,
            start_new_session=True,  # Ctrl-C reaches us alone, so that we stop them in order
            preexec_fn=end_with_parent,
        )
        asyncio.create_task(self._relay(child, process)).add_done_callback(_surface)
        return process

    async def _relay(self, child: Child, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - a PIPE was asked for
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                # Were nobody reading any more, the child would stand still at its next lines.
                line = f"(a line of more than {_LONGEST_LINE_BYTES} bytes)\n".encode()
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self._last_lines[child.name] = text
            self._say(child.name, text)

    async def _await_ready(self, child: Child) -> None:
        process = self._processes[child.name]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_TIMEOUT_SECONDS
        while child.ready is not None and not await child.ready():
            if process.returncode is not None or loop.time() > deadline:
                last = self._last_lines.get(child.name, "it printed nothing")
                message = f"{child.name} did not become ready: {last}"
                raise NotReady(message)
            await asyncio.sleep(0.05)

    async def _keep(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            started = loop.time()
            code = await self._processes[child.name].wait()
            if loop.time() - started > _STEADY_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            self._say(child.name, f"ended with status {code}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._longest_pause_seconds)
            self._processes[child.name] = await self._spawn(child)

    async def _end(self, process: Process) -> None:
        if process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


def counterfoil(*arguments: str) -> list[str]:
    """The command line of one of our own commands, under this very interpreter."""
    return [sys.executable, "-m", "counterfoil", *arguments]


def end_with_parent() -> None:
    """Have this process told to end when its parent dies, however that dies; for ``preexec_fn``.

    Linux only: elsewhere a child whose parent was killed outright has to be ended by hand.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def wholly(begin: Callable[[], T]) -> T:
    """Do in a thread what begins something that lasts, such as a server's process.

    A thread cannot be called off. Whoever is called off meanwhile waits for it, so that the one
    who puts everything away finds what was begun.
    """
    beginning = asyncio.ensure_future(asyncio.to_thread(begin))
    try:
        return await asyncio.shield(beginning)
    finally:
        await asyncio.wait({beginning})


def run_until(job: Coroutine[Any, Any, None], until: Callable[[], Awaitable[None]]) -> None:
    """Run a job that never ends by itself until somebody asks for its end."""

    async def both() -> None:
        # First, so that it is heard before the job has begun anything.
        asked = asyncio.ensure_future(until())
        running = asyncio.ensure_future(job)
        await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        running.cancel()
        await asyncio.wait({running})

    import uvloop  # noqa: PLC0415 - the signer, which has one caller, goes without

    uvloop.run(both())


async def until_signalled() -> None:
    """Wait for Ctrl-C or a polite request to end.

    Further ones are taken and ignored: an impatient second Ctrl-C must not cut off the stopping,
    which would leave processes behind. Begin to wait before anything is started: a request that
    comes meanwhile would end this process at once, and leave behind what was started.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def _surface(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
