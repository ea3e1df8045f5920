"""A server in hardship: it takes no writes, its disk is full, or lost a part of what it held."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from counterfoil.db.pool import Database, OutOfService
from counterfoil.db.rows import execute
from support.patience import patiently
from support.postgres import TestServer

FULL = Path("/dev/full")
"""Linux's own: whoever writes there is told that no space is left."""


@asynccontextmanager
async def read_only(postgres: TestServer, database: Database) -> AsyncIterator[None]:
    """The server takes no writes from anybody, as after a failover."""
    with postgres.setting("default_transaction_read_only", "on"):
        await _wait_until(database, takes_writes=False)
        yield
    await _wait_until(database, takes_writes=True)


async def _wait_until(database: Database, *, takes_writes: bool) -> None:
    """The server takes up its setting in its own time."""
    taken = not takes_writes
    async with patiently("the server to take up its setting"):
        while taken is not takes_writes:
            try:
                async with database.transaction() as tx:
                    await execute(tx, "DELETE FROM failed_attempt WHERE false", {})
                taken = True
            except OutOfService:
                taken = False


@contextmanager
def disk_full(postgres: TestServer, url: str, *tables: str) -> Iterator[None]:
    """Empty these tables, and let the server find no room for a row of theirs, for a while."""
    with psycopg.connect(postgres.as_admin(url), autocommit=True) as admin:
        for file in _begun_anew(admin, postgres, tables):
            file.unlink()
            file.symlink_to(FULL)
        try:
            yield
        finally:
            _begun_anew(admin, postgres, tables)


def lose_a_piece(postgres: TestServer, url: str) -> None:
    """Let the disk forget a piece of the only stored file that is too long to be one."""
    with psycopg.connect(postgres.as_admin(url), autocommit=True) as admin:
        admin.execute("CREATE EXTENSION pg_surgery")
        (pieces,) = _one(
            admin, "SELECT reltoastrelid::regclass::text FROM pg_class WHERE relname = %s", "file"
        )
        second = "SELECT ctid FROM {} WHERE chunk_seq = 1"
        (place,) = _one(admin, second.format(pieces), None)
        admin.execute("SELECT heap_force_kill(%s::regclass, ARRAY[%s::tid])", [pieces, place])


def _begun_anew(
    admin: psycopg.Connection[tuple[object, ...]], postgres: TestServer, tables: tuple[str, ...]
) -> list[Path]:
    """Files without a byte that nobody opened yet, for rows and what is too long for them."""
    files = []
    for table in tables:
        admin.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.Identifier(table)))
        paths = _one(
            admin,
            "SELECT pg_relation_filepath(oid),"
            " CASE WHEN reltoastrelid <> 0 THEN pg_relation_filepath(reltoastrelid) END"
            " FROM pg_class WHERE oid = %s::regclass",
            table,
        )
        files += [postgres.data_folder / str(path) for path in paths if path is not None]
    return files


def _one(
    admin: psycopg.Connection[tuple[object, ...]], query: str, value: object
) -> tuple[object, ...]:
    found = admin.execute(query.encode(), None if value is None else [value]).fetchone()
    assert found is not None
    return found
