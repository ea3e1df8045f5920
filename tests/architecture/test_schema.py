import psycopg

from counterfoil.db.dump import dump_schema
from counterfoil.db.migrate import MIGRATIONS

SCHEMA = MIGRATIONS.with_name("schema.sql")


def test_schema_sql_shows_what_all_migrations_make(database_url: str) -> None:
    _, _, written = SCHEMA.read_text(encoding="utf-8").partition("\n\n")
    assert dump_schema(database_url) == written, "run `make schema`"


def test_a_database_made_from_schema_sql_is_the_same(
    database_url: str, blank_database_url: str
) -> None:
    with psycopg.connect(blank_database_url) as blank:
        blank.execute(SCHEMA.read_bytes())

    assert dump_schema(blank_database_url) == dump_schema(database_url)
