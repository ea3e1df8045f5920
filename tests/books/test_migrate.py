import threading
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from counterfoil.db.migrate import (
    MigrationError,
    check_current,
    migrate,
    pending,
    read_migrations,
)
from support.patience import PATIENCE_SECONDS

FIRST = "CREATE TABLE shelf (id int PRIMARY KEY);"
SECOND = "ALTER TABLE shelf ADD width int; INSERT INTO shelf VALUES (1, 2);"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_shelf.sql").write_text(FIRST)
    (tmp_path / "0002_width.sql").write_text(SECOND)
    return tmp_path


def shelves(url: str) -> list[tuple[int, int]]:
    with psycopg.connect(url) as connection:
        return [(row[0], row[1]) for row in connection.execute("SELECT id, width FROM shelf")]


def test_a_fresh_database_gets_every_file_once(blank_database_url: str, folder: Path) -> None:
    assert pending(blank_database_url, folder) == ["0001_shelf.sql", "0002_width.sql"]
    with pytest.raises(MigrationError, match=r"lacks 0001_shelf.sql, 0002_width.sql: run"):
        check_current(blank_database_url, folder)

    assert migrate(blank_database_url, folder) == ["0001_shelf.sql", "0002_width.sql"]
    assert migrate(blank_database_url, folder) == []

    check_current(blank_database_url, folder)
    assert shelves(blank_database_url) == [(1, 2)]


def test_a_file_that_fails_leaves_the_ones_before_it(blank_database_url: str, folder: Path) -> None:
    (folder / "0003_broken.sql").write_text("INSERT INTO shelf VALUES (2, 2); SELECT 1/0;")

    with pytest.raises(errors.DivisionByZero):
        migrate(blank_database_url, folder)

    assert shelves(blank_database_url) == [(1, 2)]
    assert pending(blank_database_url, folder) == ["0003_broken.sql"]


def test_an_applied_file_may_not_change(blank_database_url: str, folder: Path) -> None:
    migrate(blank_database_url, folder)
    (folder / "0001_shelf.sql").write_text(FIRST + " -- better")

    for verb in (migrate, check_current):
        with pytest.raises(MigrationError, match=r"0001_shelf.sql was changed after"):
            verb(blank_database_url, folder)


def test_an_older_program_refuses_a_newer_database(blank_database_url: str, folder: Path) -> None:
    migrate(blank_database_url, folder)
    (folder / "0002_width.sql").unlink()

    with pytest.raises(MigrationError, match=r"has 0002_width.sql, which this version does not"):
        migrate(blank_database_url, folder)


def test_files_are_numbered_without_gaps_and_named_alike(folder: Path) -> None:
    (folder / "0004_late.sql").write_text("")
    with pytest.raises(MigrationError, match=r"0004_late.sql should carry the number 0003"):
        read_migrations(folder)

    (folder / "0004_late.sql").rename(folder / "Third.sql")
    with pytest.raises(MigrationError, match=r"Third.sql is no migration's name"):
        read_migrations(folder)


def test_two_migrators_at_once_apply_each_file_once(blank_database_url: str, folder: Path) -> None:
    applied: list[list[str]] = []
    migrators = [
        threading.Thread(target=lambda: applied.append(migrate(blank_database_url, folder)))
        for _ in range(2)
    ]
    for migrator in migrators:
        migrator.start()
    for migrator in migrators:
        migrator.join(PATIENCE_SECONDS)

    assert sorted(applied) == [[], ["0001_shelf.sql", "0002_width.sql"]]
    assert shelves(blank_database_url) == [(1, 2)]


def test_a_busy_table_is_not_queued_behind_for_long(blank_database_url: str, folder: Path) -> None:
    migrate(blank_database_url, folder)
    (folder / "0003_depth.sql").write_text("ALTER TABLE shelf ADD depth int;")

    with psycopg.connect(blank_database_url) as reader:
        reader.execute("SELECT * FROM shelf")
        with pytest.raises(errors.LockNotAvailable):
            migrate(blank_database_url, folder, lock_timeout_seconds=0.1)

    assert migrate(blank_database_url, folder) == ["0003_depth.sql"]


def test_our_own_migrations_apply_to_a_blank_database(blank_database_url: str) -> None:
    assert migrate(blank_database_url) == [file.name for file in read_migrations()]
    check_current(blank_database_url)


def test_whoever_has_a_password_stays_a_member_and_whoever_has_none_is_asked(
    blank_database_url: str, tmp_path: Path
) -> None:
    """Of two organisations that named the same new person, only the first gave a link."""
    (joining,) = [file for file in read_migrations() if file.name.endswith("_joining.sql")]
    for file in read_migrations():
        if file.number < joining.number:
            (tmp_path / file.name).write_text(file.text)
    migrate(blank_database_url, tmp_path)
    with psycopg.connect(blank_database_url) as before:
        before.execute(
            "INSERT INTO org (org_id, name, client_id, factory_address, operator_address,"
            " pool_address, hold_address, gas_address, policy, created_at)"
            " SELECT n, n, n, n, n, n, n, n, '{}', now() FROM generate_series(1, 2) AS n"
        )
        before.execute(
            "INSERT INTO person (person_id, email, name, password_hash, created_at)"
            " SELECT gen_random_uuid(), email, '', '', now()"
            " FROM unnest('{by_link,by_operator,never}'::text[]) AS email"
        )
        before.execute(
            "INSERT INTO member (org_id, member_id, person_id, roles, created_at)"
            " SELECT org_id, gen_random_uuid(), person_id, '{}', now() FROM org, person"
        )
        before.execute(
            "INSERT INTO invitation (token_hash, org_id, member_id, created_at, expires_at,"
            " used_at) SELECT convert_to(email, 'UTF8'), org_id, member_id, now(), now(),"
            " CASE email WHEN 'by_link' THEN now() END FROM member JOIN person USING (person_id)"
            " WHERE org_id = 1 AND email <> 'by_operator'"
        )
    migrate(blank_database_url)
    with psycopg.connect(blank_database_url) as after:
        found = after.execute(
            "SELECT email, has_password, accepted_at IS NOT NULL, count(*)"
            " FROM member JOIN person USING (person_id) GROUP BY 1, 2, 3 ORDER BY 1"
        ).fetchall()
    assert [row[1:] for row in found] == [(True, True, 2), (True, True, 2), (False, False, 2)]
