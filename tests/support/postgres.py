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
    "checkpoint_timeout": "1d",
    "deadlock_timeout": "100ms",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "scram_iterations": "1",
    "synchronous_commit": "off",
    "wal_compression": "off",
}
"""Nothing here outlives the session, so nothing is written safely."""


FINGERPRINT: Final = """
    SELECT (SELECT (count(*), max(xmin::text::bigint))::text FROM pg_class WHERE oid >= 16384),
           (SELECT (count(*), max(xmin::text::bigint))::text FROM pg_attribute
             WHERE attrelid >= 16384),
           (SELECT (count(*), max(xmin::text::bigint))::text FROM pg_constraint),
           (SELECT (count(*), max(xmin::text::bigint))::text FROM pg_trigger),
           (SELECT (count(*), max(xmin::text::bigint))::text FROM pg_proc WHERE oid >= 16384),
           (SELECT (count(*), max(xmin::text::bigint))::text FROM pg_namespace),
           (SELECT count(*)::text FROM pg_db_role_setting AS s JOIN pg_database AS d
                ON d.oid = s.setdatabase AND d.datname = current_database())
"""
"""Something else as soon as anything was made, changed or dropped, and not for any row."""

USED: Final = """
    SELECT nspname, relname, pg_relation_size(c.oid)
      FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
     WHERE relkind = 'r' AND c.oid >= 16384 AND pg_relation_size(c.oid) > 0
"""

MOST_BYTES: Final = 4 * 2**20
"""What was deleted still takes room. A database with more of it is dropped."""


class _Database:
    """A migrated database, and a connection that empties it again.

    To empty one costs a tenth of what a new one does, which also forgets what it had in memory.
    """

    def __init__(self, url: str, admin_url: str) -> None:
        self.url = url
        self._admin = psycopg.connect(
            admin_url,
            autocommit=True,
            connect_timeout=20,
            # Rows are deleted in any order, whatever refers to them.
            options="-c session_replication_role=replica -c lock_timeout=20s",
        )
        self._kept = {tuple(name) for *name, _ in self._admin.execute(USED)}
        self._as_new = self._fingerprint()

    def empty(self) -> bool:
        """Delete every row; false when the database can never again pass for a new one."""
        try:
            self._let_go()
            used = self._admin.execute(USED).fetchall()
            if sum(size for *_, size in used) > MOST_BYTES or self._fingerprint() != self._as_new:
                return False
            names = {tuple(name) for *name, _ in used} - self._kept
            # In one piece, as statements without parameters may go.
            self._admin.execute(
                sql.SQL("; ").join(
                    sql.SQL("DELETE FROM {}").format(sql.Identifier(*name)) for name in names
                )
            )
        except psycopg.OperationalError:
            return False
        return True

    def close(self) -> None:
        self._admin.close()

    def _let_go(self) -> None:
        """End whoever is still connected; wait for those who are in the middle of something."""
        self._admin.execute(
            "SELECT pg_terminate_backend(pid, CASE state WHEN 'idle' THEN 0 ELSE 5000 END)"
            " FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )

    def _fingerprint(self) -> list[object]:
        """What nothing but rows may change, with the rows that a new database has."""
        found: list[object] = [self._admin.execute(FINGERPRINT).fetchone()]
        for name in self._kept:
            rows = sql.SQL("SELECT (count(*), max(xmin::text::bigint))::text FROM {}")
            found.append(self._admin.execute(rows.format(sql.Identifier(*name))).fetchone())
        return found


class TestServer:
    """A server whose databases are copies of one that is migrated once."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self._embedded = EmbeddedPostgres(folder / "postgres", settings=QUICK)
        self._numbers = count(1)
        self._empty: list[_Database] = []

    def start(self) -> None:
        self._embedded.start()
        self._admin("CREATE DATABASE {} OWNER {}", TEMPLATE, DATABASE)
        migrate(self._url(TEMPLATE))

    def destroy(self) -> None:
        for database in self._empty:
            database.close()
        self._embedded.destroy()

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """The address of a migrated, empty database, which another test may have emptied."""
        database = self._empty.pop() if self._empty else self._copy()
        try:
            yield database.url
        finally:
            if database.empty():
                self._empty.append(database)
            else:
                database.close()
                self._drop(database.url)

    @contextmanager
    def blank_database(self) -> Iterator[str]:
        """The address of a database without any table that vanishes afterwards."""
        url = self._new("CREATE DATABASE {} OWNER {} STRATEGY file_copy")
        try:
            yield url
        finally:
            self._drop(url)

    def as_admin(self, url: str) -> str:
        """The same database for its owner's owner, who alone may empty the log."""
        return make_conninfo(self._embedded.admin_url, dbname=conninfo_to_dict(url)["dbname"])

    @property
    def data_folder(self) -> Path:
        """Where the server keeps its files."""
        return self._embedded.data_dir / "data"

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

    def _copy(self) -> _Database:
        url = self._new(
            "CREATE DATABASE {} OWNER {} TEMPLATE counterfoil_template STRATEGY file_copy"
        )
        return _Database(url, self.as_admin(url))

    def _new(self, create: LiteralString) -> str:
        name = f"test_{next(self._numbers)}"
        self._admin(create, name, DATABASE)
        return self._url(name)

    def _drop(self, url: str) -> None:
        name = str(conninfo_to_dict(url)["dbname"])
        self._admin("DROP DATABASE {} WITH (FORCE)", name)

    def _url(self, database: str) -> str:
        return make_conninfo(self._embedded.url, dbname=database)

    def _admin(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self._embedded.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
