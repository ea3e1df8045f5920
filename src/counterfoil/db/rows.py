"""From rows to values: one helper per shape of answer, all over named parameters."""

from collections.abc import Iterable, Mapping, Sequence
from typing import LiteralString, TypeVar

from psycopg.rows import BaseRowFactory, TupleRow, class_row, tuple_row

from counterfoil.db.pool import Tx

T = TypeVar("T")

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


async def _fetch(
    tx: Tx, factory: BaseRowFactory[T], query: LiteralString, params: Params
) -> list[T]:
    async with tx.cursor(row_factory=factory) as cursor:
        await cursor.execute(query, params)
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
