"""The database's seam: real PostgreSQL behind connections that break where the dice say so.

Each process has one connection. When it is killed, what it had not committed is rolled back, as
the server does when a client vanishes; the socket itself is kept, since connecting costs most.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from counterfoil.db import pool
from counterfoil.db.connection import Connection, Cursor, is_gathering
from counterfoil.db.pool import Database
from simulation.chaos import LIVES, Life

T = TypeVar("T")

_WRITING: Final = b"BEGIN"
_BROKEN_ON_PURPOSE: Final = "SELECT 1 / 0"


class Line(Connection):
    """A connection whose every statement and commit is a point."""

    life: Life | None = None
    turn: asyncio.Lock | None = None
    broken: bool = False
    commits: int = 0
    _only_reads: bool = False

    async def wait(self, *asked: Any, **options: Any) -> Any:  # noqa: ANN401 - as psycopg has it
        """Ask the server once nobody else has anything to do; one asks at a time.

        Else who goes on first would depend on how soon the server answers.
        """
        assert self.turn is not None
        life = self.life or LIVES.get()
        with _busy(life):
            async with self.turn:
                ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # noqa: SLF001 - nothing else tells
                while ready:
                    await asyncio.sleep(0)
                return await super().wait(*asked, **options)

    @asynccontextmanager
    async def begun(self, how: bytes) -> AsyncIterator[Self]:
        self._only_reads = how != _WRITING
        async with super().begun(how):
            yield self

    async def end(self) -> None:
        life = self.life
        if life is None or self._only_reads:
            await super().end()
            return
        where = f"commit {place('counterfoil.desk.', 'counterfoil.workers.')}"
        await life.pass_point(f"{where}: before it is sent")
        if self.broken or life.hits("commit lost", where):
            raise psycopg.OperationalError("the connection was lost before the commit")
        await super().end()
        self.commits += 1
        await life.pass_point(f"{where}: after it succeeded")
        if life.hits("acknowledgement lost", where):
            raise psycopg.OperationalError("the connection was lost after the commit")

    async def before_statement(self) -> None:
        life = self.life
        if life is None:
            return
        where = f"statement {place('counterfoil.books.', 'counterfoil.desk.')}"
        await life.pass_point(where)
        if self.broken:
            raise psycopg.OperationalError("the connection is lost")
        if life.hits("database lost", where):
            self.broken = True
            raise psycopg.OperationalError("the connection was lost")
        if not is_gathering(self) and life.hits("serialization failure", where):
            await _spoil(self)
            raise errors.SerializationFailure("could not serialize access")


class _Cursor(Cursor):
    async def execute(self, query: Any, params: Any = None, **options: Any) -> Self:  # noqa: ANN401 - as psycopg has it
        line = self.connection
        assert isinstance(line, Line)
        await line.before_statement()
        return await super().execute(query, params, **options)

    async def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:  # noqa: ANN401 - as psycopg has it
        line = self.connection
        assert isinstance(line, Line)
        await line.before_statement()
        await super().executemany(query, params_seq, **options)


class _OneLine:
    """Stands where the pool stands: one connection, handed out in turn."""

    def __init__(self, line: Line, life: Life | None) -> None:
        self._line = line
        self._life = life
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Line]:
        line = self._line
        async with self._turn:
            if self._life is not None:
                await self._life.pass_point(f"begin {place('counterfoil.desk.')}")
                if self._life.hits("database lost", "begin"):
                    raise psycopg.OperationalError("the server cannot be reached")
            line.life, line.broken = self._life, False
            try:
                yield line
            finally:
                line.life = None
                if line.info.transaction_status != TransactionStatus.IDLE:
                    await line.rollback()


class SimulatedDatabase(Database):
    """`Database` over one connection; how transactions begin, commit and end is the real code.

    But for the pause before a transaction is tried again: after real seconds, whatever else the
    process does might have gone first, or not.
    """

    def __init__(self, line: Line, life: Life | None = None) -> None:
        self._pool = _OneLine(line, life)  # type: ignore[assignment]  # the seam of the harness

    async def run(self, work: Callable[[pool.Tx], Awaitable[T]]) -> T:
        for _ in range(1, pool.ATTEMPTS):
            try:
                return await self._run_once(work)
            except (errors.SerializationFailure, errors.DeadlockDetected):
                continue
        return await self._run_once(work)


async def connect(url: str, turn: asyncio.Lock) -> Line:
    """A connection, set up as the pool sets up its own. All in a run take turns in asking."""
    line = await Line.connect(url, autocommit=True, prepare_threshold=1, cursor_factory=_Cursor)
    line.turn = turn
    line.adapters.register_loader("numeric", pool._NumericLoader)  # noqa: SLF001 - as the pool does
    # Whoever is paused may hold a lock; nobody waits for it in earnest, as time stands still. No
    # statement is given up for being slow: how long it takes is the machine's affair.
    await line.execute(pool._session_settings(600, 0.03))  # noqa: SLF001 - as the pool does
    await line.execute("SET idle_in_transaction_session_timeout = 0")
    await line.execute("SET jit = off")
    await line.execute("SET plan_cache_mode = force_generic_plan")
    return line


def place(*packages: str) -> str:
    """The innermost function of ours on the way here, as ``module.function``."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - who asks is what is wanted
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(packages):
            name = frame.f_code.co_qualname.partition(".<locals>")[0]
            return f"{module.removeprefix('counterfoil.')}.{name}"
        frame = frame.f_back
    return "elsewhere"


@contextmanager
def _busy(life: Life | None) -> Iterator[None]:
    """The server is at work for this process."""
    if life is None:
        yield
        return
    life.busy += 1
    try:
        yield
    finally:
        life.busy -= 1
        life.answers += 1


async def _spoil(line: Line) -> None:
    """Leave the transaction as a failed statement does."""
    life, line.life = line.life, None
    try:
        await line.execute(_BROKEN_ON_PURPOSE)
    except errors.DivisionByZero:
        pass
    finally:
        line.life = life


async def empty(line: Line, tables: Sequence[str]) -> None:
    """Forget everything: the next run begins in an empty database."""
    await line.execute(f"TRUNCATE {', '.join(tables)}")


async def all_tables(line: Line) -> list[str]:
    rows = await line.execute(
        "SELECT schemaname || '.' || tablename FROM pg_tables"
        " WHERE schemaname IN ('public', 'ingest') AND tablename NOT LIKE '%migration%'"
    )
    return [row[0] for row in await rows.fetchall()]
