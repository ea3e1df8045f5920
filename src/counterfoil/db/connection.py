"""A connection that makes as few trips to the server as a transaction needs answers.

The driver waits for the answer to BEGIN, to each statement and to COMMIT. Here BEGIN goes out with
the first statement, a block of statements that nobody reads with whatever follows it, and COMMIT
with the last of them. The server is told the same, in the same order: it only hears it sooner.
"""

import select
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Self, TypeAlias

from psycopg import AsyncConnection, AsyncCursor, AsyncPipeline, AsyncTransaction, errors
from psycopg.abc import PQGen
from psycopg.generators import send
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

PendingResult: TypeAlias = tuple[Any, Any] | None
"""Whose answer is awaited: a cursor's, or that to a command by itself."""

_AT_ONCE: Final = 0
_ONE_BLOCK: Final = 1
_ONLY_THE_SYNC: Final = 1


class Trips(AsyncPipeline):
    """Keeps what was asked until an answer is wanted, and sends all of it at once.

    Each trip ends in a Sync, so that the server waits in a state in which it bounds how long a
    transaction may stand idle. Builds on the driver's own pipeline: tests/books/test_trips.py says
    what must stay true of it when the driver is replaced.
    """

    made: int = 0
    """How many trips there have been."""

    ended: str | None = None
    """What the server called the command that was queued last, once it has answered it."""

    def queue(self, command: bytes) -> None:
        """Have a command without parameters or answer sent with the next trip."""
        self.ended = None
        self.command_queue.append(partial(self.pgconn.send_query_params, command, None))
        self.result_queue.append(None)

    def forget(self) -> bool:
        """Drop what is queued where that is nothing but the BEGIN; True when it was."""
        unsent = self.made == 0 and len(self.command_queue) == len(self.result_queue) == 1
        if unsent:
            self.command_queue.clear()
            self.result_queue.clear()
        return unsent

    def _process_results(self, queued: PendingResult, results: list[PGresult]) -> None:
        try:
            super()._process_results(queued, results)
        except errors.Error as error:
            if queued is not None and isinstance(queued[0], Cursor):
                queued[0].refused = error
            raise
        if queued is None and len(self.result_queue) == _ONLY_THE_SYNC:
            self.ended = (results[0].command_status or b"").decode()

    def _enter_gen(self) -> PQGen[None]:
        if self.level == 0:
            yield from super()._enter_gen()
        else:
            self.level += 1

    def _exit_gen(self) -> PQGen[None]:
        # A block inside ends without a word: what it asked is sent with what comes next.
        if self.level == _ONE_BLOCK:
            yield from self._sync_gen()

    def _communicate_gen(self) -> PQGen[None]:
        yield from ()

    def _fetch_gen(self, *, flush: bool) -> PQGen[None]:
        del flush
        yield from self._sync_gen()

    def _sync_gen(self) -> PQGen[None]:
        if not self.result_queue:
            return
        self.made += 1
        self._enqueue_sync()
        while self.command_queue:
            self.command_queue.popleft()()
        yield from send(self.pgconn)
        yield from super()._fetch_gen(flush=False)


class Cursor(AsyncCursor[Any]):
    """Has its answer when `execute` returns, except within ``async with tx.pipeline()``."""

    refused: errors.Error | None = None
    """What the server said to this one, where others were asked in the same trip."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Self:  # noqa: ANN401 - as the parent has it
        """Ask, and wait for the answer."""
        self.refused = None
        if self._only_queues():
            _at_once(self._execute_gen(query, params, **options))
        else:
            await super().execute(query, params, **options)
        await self._answered()
        return self

    async def executemany(
        self,
        query: Any,  # noqa: ANN401 - as the parent has it
        params_seq: Iterable[Any],
        **options: Any,  # noqa: ANN401 - as the parent has it
    ) -> None:
        """Ask for each of many, and wait for all answers together."""
        if self._only_queues():
            _at_once(self._executemany_gen_pipeline(query, params_seq, returning=False))
        else:
            await super().executemany(query, params_seq, **options)
        await self._answered()

    async def fetchall(self) -> list[Any]:
        """Every row; raises what this statement was refused with."""
        if self.refused is not None:
            raise self.refused
        return await super().fetchall()

    @asynccontextmanager
    async def copy(self, *asked: Any, **options: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - as the parent has it
        """Copy; the rest of the transaction goes one statement a trip."""
        connection = self.connection
        if isinstance(connection, Connection):
            await connection.leave()
        async with super().copy(*asked, **options) as copying:
            yield copying

    async def _answered(self) -> None:
        connection = self.connection
        if isinstance(connection, Connection) and not is_gathering(connection):
            await connection.answered()

    def _only_queues(self) -> bool:
        """Whether to ask is to queue: then the driver's lock and its waiting are for nothing."""
        connection = self.connection
        return isinstance(connection, Connection) and connection.is_only_queueing()


def is_gathering(connection: AsyncConnection[Any]) -> bool:
    """Whether what is asked now goes out later, with more."""
    trips = connection._pipeline  # noqa: SLF001 - ours, put there by `Connection.begun`
    return trips is not None and (trips.level > _ONE_BLOCK or is_together(connection))


def is_together(connection: AsyncConnection[Any]) -> bool:
    """Whether several pieces of work ask by turns, and are answered all at once."""
    return isinstance(connection, Connection) and connection.together and connection.has_trips


def _at_once(steps: PQGen[None]) -> None:
    """Do what the driver would wait for, where it has nothing to wait for."""
    for _ in steps:
        msg = "the driver wants to wait where it only had to queue"
        raise errors.InternalError(msg)


class Connection(AsyncConnection[TupleRow]):
    """A connection in autocommit mode, whose transactions are begun and committed by `begun`."""

    standby_missed: bool = False
    """Whether the last commit went ahead without the standby."""

    together: bool = False
    """Set while several pieces of work ask by turns (`counterfoil.db.rows.together`)."""

    _trips: Trips | None = None

    @property
    def has_trips(self) -> bool:
        """Whether what is asked is queued until an answer is wanted."""
        return self._trips is not None

    @property
    def trips(self) -> int:
        """How many trips this transaction has made."""
        return 0 if self._trips is None else self._trips.made

    def is_only_queueing(self) -> bool:
        """Whether what is asked now is queued, and nobody is reading answers meanwhile."""
        return self._trips is not None and not self.lock.locked()

    def is_quiet(self) -> bool:
        """Whether the server has nothing to say; one that went away has: that it did."""
        readable = select.poll()
        readable.register(self.fileno(), select.POLLIN)
        return not readable.poll(_AT_ONCE)

    @asynccontextmanager
    async def begun(self, how: bytes) -> AsyncIterator[Self]:
        """A transaction that ``how`` begins. The caller ends it with `end`, or by an exception."""
        self.standby_missed = False
        self._pipeline = self._trips = trips = Trips(self)
        _at_once(trips._enter_gen())  # noqa: SLF001 - ours
        trips.queue(how)
        try:
            yield self
        except BaseException as error:
            trips.forget()
            await self.leave(error)
            raise
        await self.leave()

    async def commit(self) -> None:
        """Commit; nothing is said where no transaction stands open, as after `end`."""
        if self.pgconn.transaction_status != TransactionStatus.IDLE or self.lock.locked():
            await super().commit()

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[AsyncPipeline]:
        """What is asked within waits for what comes next, or for the first who needs an answer."""
        trips = self._trips
        if trips is None or self.lock.locked():
            async with super().pipeline() as pipeline:
                yield pipeline
            return
        trips.level += 1
        try:
            yield trips
        finally:
            trips.level -= 1

    async def end(self) -> None:
        """Commit; raises what the driver raises, also for what was queued before it.

        Raises ``InFailedSqlTransaction`` where the server rolled back instead. It says so in the
        name of what it did only, and the driver takes that for success.
        """
        if self._trips is None:
            await self.commit()
            return
        self._trips.queue(b"COMMIT")
        await self._trips.sync()
        if self._trips.ended != "COMMIT":
            msg = f"the server answered COMMIT with {self._trips.ended or 'nothing'}"
            failed = self._trips.ended == "ROLLBACK"
            raise errors.InFailedSqlTransaction(msg) if failed else errors.OperationalError(msg)

    async def answered(self) -> None:
        """Wait until everything asked so far is answered."""
        if self._trips is not None and self._trips.result_queue:
            await self._trips.sync()

    async def leave(self, error: BaseException | None = None) -> None:
        """Go on one statement a trip; no-op where that is so."""
        trips, self._trips = self._trips, None
        if trips is None:
            return
        if error is None and not trips.result_queue and not self.lock.locked():
            self._pipeline = None
            _at_once(trips._exit_gen())  # noqa: SLF001 - ours
            trips._exit(None)  # noqa: SLF001 - ours
            return
        kind, traceback = (type(error), error.__traceback__) if error else (None, None)
        try:
            await trips.__aexit__(kind, error, traceback)
        finally:
            self._pipeline = None

    @asynccontextmanager
    async def transaction(self, *asked: Any, **options: Any) -> AsyncIterator[AsyncTransaction]:  # noqa: ANN401 - as the parent has it
        """A savepoint: what fails inside is undone, and the transaction goes on."""
        # The driver must see that BEGIN went out, or it would begin another.
        await self.answered()
        async with super().transaction(*asked, **options) as inner:
            yield inner
            await self.answered()

    def notice(self, diagnostic: errors.Diagnostic) -> None:
        """Note a cancelled wait for the standby, told by its place in the server's source.

        The text is translated and carries no code of its own; the driver reports success
        although a failover may lose the commit (specs/reliability.md 4.1).
        """
        if (diagnostic.source_file or "").endswith("syncrep.c"):
            self.standby_missed = True
