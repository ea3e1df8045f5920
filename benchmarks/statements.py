"""The statements of one real create, recorded from the desk and written as a ``pgbench`` script.

The script is never kept, so it cannot fall behind the code: it is recorded anew in every run. What
the database computes stays as it is; what our process computes (ids, seals, prices) is handed to
``pgbench`` ready-made, except for what has to differ from one invoice to the next.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from counterfoil.api.kryptogo.callbacks import tells
from counterfoil.api.kryptogo.schema import create_fields, read_draft
from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.clock import SystemClock, TimeSortedIds
from counterfoil.core.strict_json import read_object
from counterfoil.db.connection import Connection, Cursor
from counterfoil.db.pool import Database, Tx
from counterfoil.desk import intake, members
from counterfoil.desk.desk import Desk

_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s|%%")
_COUNTED: Final = {"number": ":number", "deposit_address": ":address"}
"""What the transaction itself finds out: `pgbench` keeps it from the statement that returns it."""

_RETURNING: Final = re.compile(r"\bRETURNING\s+number, address\s*\Z")
_ID_DIGITS: Final = 31


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as the desk sent it; what has the same ``trip`` was sent in one go."""

    query: str
    parameters: Mapping[str, object]
    trip: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Script:
    """A ``pgbench`` script and the variables that it is given (``-D``)."""

    text: str
    variables: Mapping[str, str]
    statements: int


@dataclass(slots=True)
class _Recorder:
    """Everything that was sent, and every id that was handed out."""

    statements: list[Statement] = field(default_factory=list)
    ids: list[UUID] = field(default_factory=list)
    uses: int = 0
    """How often the database was turned to."""

    def new(self) -> UUID:
        """A fresh id, remembered."""
        self.ids.append(TimeSortedIds().new())
        return self.ids[-1]

    def keep(self, tx: Tx, query: object, parameters: object) -> None:
        """Remember a statement, with one set of parameters."""
        if not isinstance(query, str) or not isinstance(parameters, Mapping):
            msg = f"cannot write this for pgbench: {query!r}"
            raise TypeError(msg)
        made = tx.trips if isinstance(tx, Connection) else 0
        self.statements.append(Statement(query, parameters, (self.uses, made)))


class _RecordedDatabase(Database):
    """A database whose transactions tell a recorder what they send."""

    def __init__(self, url: str, recorder: _Recorder) -> None:
        super().__init__(url, name="counterfoil-recorder", max_connections=1)
        self._recorder = recorder

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        self._recorder.uses += 1
        async with super().transaction() as tx:
            self._recorder.keep(tx, "BEGIN", {})
            tx.cursor_factory = _recording(self._recorder)
            yield tx
            self._recorder.keep(tx, "COMMIT", {})

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[Tx]:
        self._recorder.uses += 1
        async with super().looking() as tx:
            tx.cursor_factory = _recording(self._recorder)
            yield tx


def _recording(recorder: _Recorder) -> type[Cursor]:
    class Recording(Cursor):
        async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:  # noqa: ANN401 - as the parent has it
            recorder.keep(self.connection, query, params)
            return await super().execute(query, params, **options)

        async def executemany(
            self,
            query: Any,  # noqa: ANN401 - as the parent has it
            params_seq: Iterable[Any],
            **options: Any,  # noqa: ANN401 - as the parent has it
        ) -> None:
            rows = list(params_seq)
            for row in rows:
                recorder.keep(self.connection, query, row)
            await super().executemany(query, rows, **options)

    return Recording


async def recorded_create(url: str, api_key: str, body: bytes) -> Script:
    """Create one invoice from a request's body, and write down how the database saw it."""
    recorder = _Recorder()
    database = _RecordedDatabase(url, recorder)
    await database.open()
    try:
        desk = Desk(
            database,
            SystemClock(),
            recorder,
            {"evm": parse_evm_address},
            tells={"kryptogo": tells},
        )
        # The first request of a minute also notes that the key is used; this is of any other.
        await members.authenticate(desk, api_key)
        recorder.statements.clear()
        principal = await members.authenticate(desk, api_key)
        if principal is None:
            msg = "the API key is not good"
            raise LookupError(msg)
        draft = read_draft(read_object(body), create_fields(allow_private_callbacks=True))
        await intake.create(desk, draft, principal.actor)
    finally:
        await database.close()
    return written(recorder.statements, recorder.ids)


def written(statements: Sequence[Statement], ids: Sequence[UUID]) -> Script:
    """What one request asks, for ``pgbench``; ``ids`` are made anew each time.

    What we send in one trip is a pipeline there, too, except for a statement whose answer the
    next ones need: ``pgbench`` can keep no answer within a pipeline, so that one goes after it.
    Raises ``TypeError`` for a parameter that could not be handed over as it is.
    """
    variables = {"n": "0"}
    lines = [r"\set n :n + 1", r"\set seed :base + :n * 100 + :client_id"]
    texts = [_sql(place, statement, ids, variables) for place, statement in enumerate(statements)]
    for _, trip in groupby(zip(statements, texts, strict=True), key=lambda pair: pair[0].trip):
        sent = [text for _, text in trip]
        piped = [f"{text};" for text in sent if not _RETURNING.search(text)]
        lines += [r"\startpipeline", *piped, r"\endpipeline"] if len(piped) > 1 else piped
        lines += [rf"{text} \gset" for text in sent if _RETURNING.search(text)]
    return Script("\n".join([*lines, ""]), variables, len(statements))


def _sql(place: int, statement: Statement, ids: Sequence[UUID], variables: dict[str, str]) -> str:
    def put(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "%"
        value = statement.parameters[name]
        if name in _COUNTED:
            return _COUNTED[name]
        if value is None:
            return "NULL"
        if value == "":
            return "''"
        if value in ids:
            return _made_anew(ids, value)
        variable = f"s{place}_{name}"
        variables[variable] = text = _text(value)
        written = f":{variable}"
        for one in ids:
            if str(one) in text:  # within rows that go as one parameter
                written = f"replace({written}, '{one}', {_made_anew(ids, one)}::text)"
        return written

    return _PLACEHOLDER.sub(put, statement.query).strip()


def _made_anew(ids: Sequence[UUID], value: Any) -> str:  # noqa: ANN401 - one of them
    """An id of this run's own, the same wherever the recorded one stands."""
    return f"('{ids.index(value)}' || lpad(:seed::text, {_ID_DIGITS}, '0'))::uuid"


def _text(value: object) -> str:
    match value:
        case bytes():
            return rf"\x{value.hex()}"
        case datetime():
            return value.isoformat()
        case Jsonb():
            return msgspec.json.encode(value.obj).decode()
        case str() | int() | Decimal() | UUID():
            return str(value)
        case _:
            msg = f"cannot hand {value!r} to pgbench"
            raise TypeError(msg)
