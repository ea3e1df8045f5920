"""Connections and transactions: the only way to the database for running processes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from psycopg import AsyncConnection, Error, OperationalError, errors, sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from psycopg.types.array import ListDumper
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool

from counterfoil.db.connection import Connection, Cursor

T = TypeVar("T")

Tx: TypeAlias = AsyncConnection[TupleRow]
"""A connection with an open transaction: what every function in ``books`` takes first."""

ATTEMPTS: Final = 5
"""How often `Database.run` tries a transaction that others keep getting in the way of."""

_READING: Final = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_CERTAINLY_ROLLED_BACK: Final = ("23", "P0", "25P02", "40001", "40002", "40P01")


class CommitUnknown(Exception):  # noqa: N818 - says what is the case: nobody knows yet
    """The connection failed at COMMIT, so the transaction may or may not have happened.

    Whoever catches this looks the operation up by its own unique id before doing it again
    (specs/reliability.md 4.1 item 2).
    """


class OutOfService(OperationalError):  # noqa: N818 - a plight of the server, not of ours
    """The server takes no writes just now; the transaction certainly did not happen.

    It is read-only, as after a failover or while somebody repairs it. The driver takes that for a
    mistake in the program.
    """


class Database:
    """A pool of connections to one PostgreSQL, handing out transactions.

    ``url`` is a libpq address and may name several hosts: only one that accepts writes is used,
    so no decision is ever read from a replica. ``name`` is what the server's activity view shows.
    Whoever waits ``wait_seconds`` for one of the connections gets `psycopg_pool.PoolTimeout`.
    Set ``prepare=False`` behind a pooler that cannot carry prepared statements.
    """

    def __init__(  # noqa: PLR0913 - each is a knob of the deployment, all with sound defaults
        self,
        url: str,
        *,
        name: str = "counterfoil",
        max_connections: int = 10,
        statement_timeout_seconds: float = 30,
        lock_timeout_seconds: float = 10,
        wait_seconds: float = 10,
        prepare: bool = True,
    ) -> None:
        """Describe the pool; nothing is connected before `open`."""
        self._session = _session_settings(statement_timeout_seconds, lock_timeout_seconds)
        self._pool = AsyncConnectionPool(
            url,
            connection_class=Connection,
            kwargs=_libpq_settings(name)
            | {
                "autocommit": True,
                "prepare_threshold": 1 if prepare else None,
                "cursor_factory": Cursor,
            },
            min_size=1,
            max_size=max_connections,
            timeout=wait_seconds,
            configure=self._configure,
            check=_check,
            name=name,
            open=False,
        )

    async def open(self, *, timeout_seconds: float = 30) -> None:
        """Connect; raises `psycopg_pool.PoolTimeout` where no server answers in time."""
        await self._pool.open(wait=True, timeout=timeout_seconds)

    async def close(self) -> None:
        """Disconnect; transactions still open are rolled back."""
        await self._pool.close()

    async def ping(self) -> None:
        """Have one query answered; raises where the server does not, or takes no writes."""
        async with self.looking() as tx:
            cursor = await tx.execute("SHOW transaction_read_only")
            if await cursor.fetchone() != ("off",):
                msg = "the server takes no writes"
                raise OutOfService(msg)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """One read-committed transaction: committed at the end, rolled back on any exception.

        Raises `CommitUnknown` where the commit was sent and its outcome never learned, and
        `OutOfService` where the server does not let anybody write.
        """
        try:
            async with self._pool.connection() as connection, connection.begun(b"BEGIN"):
                yield connection
                await _commit(connection)
        except errors.ReadOnlySqlTransaction as error:
            raise OutOfService(str(error)) from error

    async def run(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """Do ``work`` in a transaction, again from the start where the server chose it as victim.

        ``work`` must have no effect outside the transaction. A serialization failure or a
        deadlock is tried `ATTEMPTS` times and then raised. `CommitUnknown` is never retried.
        """
        for attempt in range(1, ATTEMPTS):
            try:
                return await self._run_once(work)
            except (errors.SerializationFailure, errors.DeadlockDetected):
                await asyncio.sleep(0.01 * attempt)
        return await self._run_once(work)

    async def _run_once(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        async with self.transaction() as tx:
            return await work(tx)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Tx]:
        """A read-only transaction in which every query sees the same moment."""
        async with self._pool.connection() as connection, connection.begun(_READING):
            yield connection
            await connection.end()

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[Tx]:
        """For one statement by itself, which sees one moment anyway: half the trips of `reading`.

        Raises `OutOfService` as `transaction` does, where it is one that writes.
        """
        try:
            async with self._pool.connection() as connection:
                yield connection
        except errors.ReadOnlySqlTransaction as error:
            raise OutOfService(str(error)) from error

    async def _configure(self, connection: Connection) -> None:
        connection.adapters.register_loader("numeric", _NumericLoader)
        connection.adapters.register_dumper(list, _ListDumper)
        set_json_loads(msgspec.json.decode, connection)
        connection.add_notice_handler(connection.notice)
        await connection.execute(self._session)


class _NumericLoader(Loader):
    """Reads ``numeric`` without a fraction as int, with one as Decimal.

    Amounts are ``numeric(78,0)`` and become the integers that money is counted in. A column
    with a scale always shows its fraction and stays a Decimal.
    """

    def load(self, data: Buffer) -> int | Decimal:
        text = bytes(data).decode("ascii")
        return int(text) if text.lstrip("-").isdigit() else Decimal(text)


class _ListDumper(ListDumper):
    """Writes lists of ids without asking of each whether it needs quotes.

    They are what a batch of invoices is named by, in nearly every query.
    """

    def dump(self, obj: list[Any]) -> Buffer | None:
        if obj and all(type(one) is UUID for one in obj):
            return f"{{{','.join([one.hex for one in obj])}}}".encode()
        return super().dump(obj)


async def _check(connection: Connection) -> None:
    """Notice a server that went away while the connection was idle; the pool then replaces it."""
    if not connection.is_quiet():
        await connection.execute("SELECT 1")


async def _commit(connection: Connection) -> None:
    if connection.info.transaction_status == TransactionStatus.INERROR:
        # The way back to a savepoint may be queued, with nothing behind it that sent it.
        await connection.answered()
    if connection.info.transaction_status == TransactionStatus.INERROR:
        # The server would answer COMMIT with a silent rollback, and so would the driver.
        msg = "an error was caught inside the transaction, which can therefore not commit"
        raise errors.InFailedSqlTransaction(msg)
    try:
        await connection.end()
    except Error as error:
        if _is_rolled_back(connection, error):
            raise
        msg = f"the connection failed while committing: {error}"
        raise CommitUnknown(msg) from error
    if connection.standby_missed:
        msg = "the commit was cancelled while waiting for the standby"
        raise CommitUnknown(msg)


def _is_rolled_back(connection: Connection, error: Error) -> bool:
    """Whether a failed commit left nothing behind for certain.

    A statement that went out with it may have failed before: then the server, which is still
    there, never got to the COMMIT and says that the transaction stands in its error.
    """
    refused = (error.sqlstate or "").startswith(_CERTAINLY_ROLLED_BACK)
    return refused or connection.info.transaction_status == TransactionStatus.INERROR


def _libpq_settings(name: str) -> dict[str, object]:
    """Notice a dead primary within seconds, and never settle for a replica."""
    return {
        "application_name": name,
        "connect_timeout": 3,
        "target_session_attrs": "read-write",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
    }


def _session_settings(
    statement_timeout_seconds: float, lock_timeout_seconds: float
) -> sql.Composed:
    return sql.SQL(
        "SELECT set_config('TimeZone', 'UTC', false),"
        " set_config('statement_timeout', {statement}, false),"
        " set_config('lock_timeout', {lock}, false),"
        " set_config('idle_in_transaction_session_timeout', {statement}, false)"
    ).format(
        statement=f"{round(statement_timeout_seconds * 1000)}ms",
        lock=f"{round(lock_timeout_seconds * 1000)}ms",
    )
