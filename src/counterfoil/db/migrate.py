"""Migrations: numbered SQL files, each applied once, in order, in its own transaction."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

MIGRATIONS: Final = Path(__file__).parent / "migrations"

_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LOCK: Final = 0x636F756E746572
"""Any fixed number: two migrators on one database must pick the same one."""


class MigrationError(Exception):
    """The database and the migration files do not fit; says which file and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of SQL, known for ever by its number, its name and the hash of its text."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """The hex hash of the file's text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrate(url: str, folder: Path = MIGRATIONS, *, lock_timeout_seconds: float = 5) -> list[str]:
    """Apply what is missing; answers the names of the files applied, oldest first.

    A statement that waits longer than ``lock_timeout_seconds`` for a table in use gives up
    (`psycopg.errors.LockNotAvailable`); run it again. How long it holds a table that it got is not
    bounded: a file that rewrites one keeps everybody from it until it is done. Raises
    `MigrationError` where an applied file has changed or vanished.
    """
    with _connect(url) as connection, _only_migrator(connection, lock_timeout_seconds):
        connection.execute(_TABLE)
        missing = _missing(read_migrations(folder), _applied(connection))
        for migration in missing:
            _apply(connection, migration)
    return [migration.name for migration in missing]


def pending(url: str, folder: Path = MIGRATIONS) -> list[str]:
    """Name the files that `migrate` would apply; raises `MigrationError` as it would."""
    with _connect(url) as connection:
        missing = _missing(read_migrations(folder), _applied(connection))
    return [migration.name for migration in missing]


def check_current(url: str, folder: Path = MIGRATIONS) -> None:
    """Raise `MigrationError` unless every file is applied and none has changed since."""
    missing = pending(url, folder)
    if missing:
        msg = f"the database lacks {', '.join(missing)}: run `counterfoil migrate` before starting"
        raise MigrationError(msg)


def read_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """Read the files in order; raises `MigrationError` for a bad name or a gap in the numbers."""
    migrations = [_read(path) for path in sorted(folder.glob("*.sql"))]
    for expected, migration in enumerate(migrations, start=1):
        if migration.number != expected:
            msg = f"{migration.name} should carry the number {expected:04}: none may be left out"
            raise MigrationError(msg)
    return migrations


def _read(path: Path) -> Migration:
    match = _NAME.fullmatch(path.name)
    if not match:
        msg = f"{path.name} is no migration's name: 0001_lower_case_words.sql is"
        raise MigrationError(msg)
    return Migration(int(match[1]), path.name, path.read_text(encoding="utf-8"))


_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migration (
    number     integer PRIMARY KEY,
    name       text COLLATE "C" NOT NULL,
    sha256     text COLLATE "C" NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


def _connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(
        url, autocommit=True, connect_timeout=10, application_name="counterfoil migrate"
    )


@contextmanager
def _only_migrator(
    connection: psycopg.Connection[tuple[Any, ...]], lock_timeout_seconds: float
) -> Iterator[None]:
    connection.execute(
        "SELECT set_config('lock_timeout', %s, false),"
        " set_config('client_min_messages', 'warning', false)",
        [f"{round(lock_timeout_seconds * 1000)}ms"],
    )
    connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _applied(connection: psycopg.Connection[tuple[Any, ...]]) -> Mapping[str, str]:
    exists = connection.execute("SELECT to_regclass('schema_migration') IS NOT NULL").fetchone()
    if exists != (True,):
        return {}
    return dict(connection.execute("SELECT name, sha256 FROM schema_migration").fetchall())


def _missing(files: list[Migration], applied: Mapping[str, str]) -> list[Migration]:
    for name in applied.keys() - {file.name for file in files}:
        msg = f"the database has {name}, which this version does not know: install a newer one"
        raise MigrationError(msg)
    for file in files:
        if applied.get(file.name, file.sha256) != file.sha256:
            msg = f"{file.name} was changed after it was applied: restore it and add a new file"
            raise MigrationError(msg)
    missing = [file for file in files if file.name not in applied]
    if missing != files[len(applied) :]:
        msg = f"{missing[0].name} comes before files already applied: give it a later number"
        raise MigrationError(msg)
    return missing


def _apply(connection: psycopg.Connection[tuple[Any, ...]], migration: Migration) -> None:
    with connection.transaction():
        connection.execute(migration.text.encode())
        connection.execute(
            "INSERT INTO schema_migration (number, name, sha256) VALUES (%s, %s, %s)",
            [migration.number, migration.name, migration.sha256],
        )
