"""From rows to values: one helper per shape of answer, all over named parameters."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import LiteralString, TypeVar

from psycopg import errors
from psycopg.rows import BaseRowFactory, TupleRow, class_row, tuple_row

from counterfoil.db.connection import is_gathering
from counterfoil.db.pool import Tx

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

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
    async with tx.cursor() as cursor:
        await cursor.executemany(query, rows)


def array_text(numbers: Iterable[int]) -> str:
    """Whole numbers as PostgreSQL writes an array: quicker than a parameter for each of them."""
    return "{" + ",".join(map(str, numbers)) + "}"


async def together(
    tx: Tx, first: Awaitable[A], second: Awaitable[B], third: Awaitable[C]
) -> tuple[A, B, C]:
    """Three pieces of work in one transaction, whose first queries go out in one trip.

    None may need what another one finds out, and only the first may do things together in turn.
    All of them end before this does, and of several that fail the first one's error is raised.
    """
    async with tx.pipeline():
        found = await asyncio.gather(first, second, third, return_exceptions=True)
    _raise_first([one for one in found if isinstance(one, BaseException)])
    return tuple(found)  # type: ignore[return-value]  # none of them is an exception


def _raise_first(failures: Sequence[BaseException]) -> None:
    """The server does nothing of a trip after what it refused: that one says why."""
    for failure in sorted(failures, key=_is_aftermath):  # which leaves their order otherwise
        raise failure


def _is_aftermath(failure: BaseException) -> bool:
    """Whether it only says that another one's failure left it without an answer.

    Whoever waits for a trip is told the first failure in it, the others find no answer.
    """
    without_answer = isinstance(failure, errors.ProgrammingError) and failure.sqlstate is None
    return without_answer or isinstance(failure, errors.PipelineAborted)


async def _fetch(
    tx: Tx, factory: BaseRowFactory[T], query: LiteralString, params: Params
) -> list[T]:
    async with tx.cursor(row_factory=factory) as cursor:
        await cursor.execute(query, params)
        if is_gathering(tx):
            await asyncio.sleep(0)  # the others ask too, before somebody waits for an answer
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
