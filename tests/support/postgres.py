"""A real PostgreSQL for tests: one server a session, one fresh database a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from counterfoil.db.embedded import DATABASE, EmbeddedPostgres
from counterfoil.db.migrate import migrate

TEMPLATE: Final = "counterfoil_template"

QUICK: Final = {
    "autovacuum": "off",
    "deadlock_timeout": "100ms",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "synchronous_commit": "off",
}
"""Nothing here outlives the session, so nothing is written safely."""


class TestServer:
    """A server whose databases are copies of one that is migrated once."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self._embedded = EmbeddedPostgres(folder / "postgres", settings=QUICK)
        self._numbers = count(1)

    def start(self) -> None:
        self._embedded.start()
        self._admin("CREATE DATABASE {} OWNER {}", TEMPLATE, DATABASE)
        migrate(self._url(TEMPLATE))

    def destroy(self) -> None:
        self._embedded.destroy()

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """The address of a migrated, empty database that vanishes afterwards."""
        with self._new(
            "CREATE DATABASE {} OWNER {} TEMPLATE counterfoil_template STRATEGY file_copy"
        ) as url:
            yield url

    @contextmanager
    def blank_database(self) -> Iterator[str]:
        """The address of a database without any table that vanishes afterwards."""
        with self._new("CREATE DATABASE {} OWNER {} STRATEGY file_copy") as url:
            yield url

    def as_admin(self, url: str) -> str:
        """The same database for its owner's owner, who alone may empty the log."""
        return make_conninfo(self._embedded.admin_url, dbname=conninfo_to_dict(url)["dbname"])

    @contextmanager
    def setting(self, name: str, value: str) -> Iterator[None]:
        """Change one setting of the whole server for a while."""
        self._admin("ALTER SYSTEM SET {} = {}", name, value)
        self._admin("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            self._admin("ALTER SYSTEM RESET {}", name)
            self._admin("SELECT pg_reload_conf()")

    @contextmanager
    def _new(self, create: LiteralString) -> Iterator[str]:
        name = f"test_{next(self._numbers)}"
        self._admin(create, name, DATABASE)
        try:
            yield self._url(name)
        finally:
            self._admin("DROP DATABASE {} WITH (FORCE)", name)

    def _url(self, database: str) -> str:
        return make_conninfo(self._embedded.url, dbname=database)

    def _admin(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self._embedded.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
