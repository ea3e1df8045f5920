"""From rows to values: one helper per shape of answer, all over named parameters."""

from collections.abc import Coroutine, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import coroutine
from typing import Any, Final, LiteralString, TypeAlias, TypeVar, overload

import msgspec
from psycopg import Error, errors
from psycopg.rows import BaseRowFactory, TupleRow, class_row, tuple_row

from counterfoil.db.connection import Connection, is_together
from counterfoil.db.pool import Tx

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

_Asking: TypeAlias = Coroutine[Any, Any, T]

Params = Mapping[str, object]


async def all_rows(tx: Tx, shape: type[T], query: LiteralString, params: Params) -> list[T]:
    """Every row, as the (frozen) dataclass whose fields the columns are named after."""
    return await _fetch(tx, class_row(shape), query, params)


async def one_row(tx: Tx, shape: type[T], query: LiteralString, params: Params) -> T | None:
    """The only row as a dataclass, None without one; two rows are a ``LookupError``."""
    return _at_most_one(await all_rows(tx, shape, query, params))


async def all_values(tx: Tx, kind: type[T], query: LiteralString, params: Params) -> list[T]:
    """The single column of every row; ``kind`` is checked, so a type lie surfaces here."""
    rows: list[TupleRow] = await _fetch(tx, tuple_row, query, params)
    return [_of_kind(kind, row[0]) for row in rows]


async def one_value(tx: Tx, kind: type[T], query: LiteralString, params: Params) -> T | None:
    """The single value of the only row; None without a row or where it is NULL."""
    rows: list[TupleRow] = await _fetch(tx, tuple_row, query, params)
    row = _at_most_one(rows)
    return None if row is None or row[0] is None else _of_kind(kind, row[0])


async def execute(tx: Tx, query: LiteralString, params: Params) -> int:
    """Run a statement; answers how many rows it touched."""
    return (await tx.execute(query, params)).rowcount


async def execute_many(tx: Tx, query: LiteralString, rows: Sequence[Params]) -> None:
    """Run one statement for each row of parameters, in one round trip."""
    await tx.cursor().executemany(query, rows)


def as_records(rows: Sequence[object]) -> str:
    """Rows as one parameter for ``json_to_recordset``: quicker than one for each of their values.

    Each is a mapping or a dataclass, whose fields are named after columns. Whole numbers that may
    need more than 64 bits are given as text, bytes in hexadecimal.
    """
    return msgspec.json.encode(rows).decode()


def array_text(numbers: Iterable[int]) -> str:
    """Whole numbers as PostgreSQL writes an array: quicker than a parameter for each of them."""
    return "{" + ",".join(map(str, numbers)) + "}"


@overload
async def together(tx: Tx, first: _Asking[A], second: _Asking[B], /) -> tuple[A, B]: ...


@overload
async def together(
    tx: Tx, first: _Asking[A], second: _Asking[B], third: _Asking[C], /
) -> tuple[A, B, C]: ...


@overload
async def together(
    tx: Tx, first: _Asking[A], second: _Asking[B], third: _Asking[C], fourth: _Asking[D], /
) -> tuple[A, B, C, D]: ...


async def together(tx: Tx, *asking: _Asking[Any]) -> tuple[Any, ...]:
    """Several pieces of work in one transaction, whose first queries go out in one trip.

    None may need what another one finds out. Each goes on until it needs an answer; once all of
    them do, they are answered together. All of them end before this does, and of several that
    fail the first one's error is raised.
    """
    works = [_Work(one) for one in asking]
    was = is_together(tx)
    _set_together(tx, is_so=True)
    try:
        await _ended(tx, works, within_another=was)
    finally:
        for work in works:
            work.steps.close()
        _set_together(tx, is_so=was)
    return tuple(work.result for work in works)


def _set_together(tx: Tx, *, is_so: bool) -> None:
    if isinstance(tx, Connection):
        tx.together = is_so


@dataclass(slots=True, eq=False)
class _Work:
    """A piece of work: where it has got to, and what it came to."""

    steps: Coroutine[Any, Any, Any]
    is_open: bool = True
    result: Any = None
    failure: Exception | None = None


_ANSWER: Final = object()
"""What a piece of work says that goes on as soon as it is answered."""


@coroutine
def _answer() -> Generator[object, None, None]:
    yield _ANSWER


@coroutine
def _ended(tx: Tx, works: Sequence[_Work], *, within_another: bool) -> Generator[Any, Any, None]:
    """Take each as far as it comes without an answer, have all answered, and so on.

    Without tasks: making and waking one costs as much as asking the database.
    """
    connection = tx if isinstance(tx, Connection) else None
    lost: Exception | None = None
    while True:
        for work in works:
            if work.is_open:
                yield from _as_far_as_it_comes(work)
        if not any(work.is_open for work in works):
            break
        if within_another:
            yield _ANSWER
        elif connection is not None:
            try:
                yield from connection.answered().__await__()
            except Error as error:
                # Whose it is finds out by itself; only a lost connection is everybody's.
                lost = lost or error
    _raise_first([work.failure for work in works if work.failure], lost)


def _as_far_as_it_comes(work: _Work) -> Generator[Any, Any, None]:
    """Until it has ended, or waits for an answer; what else it waits for, all wait for."""
    go_on = partial(work.steps.send, None)
    try:
        while (wanted := go_on()) is not _ANSWER:
            try:
                go_on = partial(work.steps.send, (yield wanted))
            except BaseException as error:  # noqa: BLE001 - handed on to whom it is meant for
                go_on = partial(work.steps.throw, error)
    except StopIteration as ended:
        work.is_open, work.result = False, ended.value
    except Exception as error:  # noqa: BLE001 - raised once all have ended
        work.is_open, work.failure = False, error


def _raise_first(failures: Sequence[Exception], lost: Exception | None) -> None:
    """The server does nothing of a trip after what it refused: that one says why."""
    if not failures:
        return
    causes = [failure for failure in failures if not _is_aftermath(failure)]
    raise (causes or [lost or failures[0]])[0]


def _is_aftermath(failure: Exception) -> bool:
    """Whether it only says that another one's failure left it without an answer."""
    without_answer = isinstance(failure, errors.ProgrammingError) and failure.sqlstate is None
    return without_answer or isinstance(failure, errors.PipelineAborted)


async def _fetch(
    tx: Tx, factory: BaseRowFactory[T], query: LiteralString, params: Params
) -> list[T]:
    cursor = tx.cursor(row_factory=factory)
    await cursor.execute(query, params)
    if is_together(tx):
        await _answer()
    return await cursor.fetchall()


def _at_most_one(rows: list[T]) -> T | None:
    if len(rows) > 1:
        msg = f"expected at most one row, found {len(rows)}"
        raise LookupError(msg)
    return rows[0] if rows else None


def _of_kind(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        msg = f"expected {kind.__name__}, the database answered {type(value).__name__}"
        raise TypeError(msg)
    return value
