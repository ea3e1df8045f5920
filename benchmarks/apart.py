"""A database of its own on the same server, so that nobody there pays for what others fill."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import Jsonb

from counterfoil.db.embedded import EmbeddedPostgres
from counterfoil.db.migrate import migrate

_NAME: Final = "apart"
_OF_ORG: Final = {
    "org": "SELECT to_jsonb(org) FROM org WHERE org_id = %(org_id)s",
    "invoice": """
        SELECT to_jsonb(invoice) FROM invoice WHERE org_id = %(org_id)s
         ORDER BY created_at DESC LIMIT 1""",
    "payment_request": """
        SELECT to_jsonb(payment_request) FROM payment_request
         WHERE org_id = %(org_id)s AND invoice_id = (
            SELECT invoice_id FROM invoice WHERE org_id = %(org_id)s
             ORDER BY created_at DESC LIMIT 1)""",
}


@contextmanager
def apart(server: EmbeddedPostgres, org_id: int) -> Iterator[str]:
    """The address of a database that has an organisation and its newest invoice, nothing else."""
    owner = conninfo_to_dict(server.url)["user"]
    name = sql.Identifier(_NAME)
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(name, sql.Identifier(str(owner)))
        )
        try:
            url = make_conninfo(server.url, dbname=_NAME)
            migrate(url)
            _copy(server.url, url, org_id)
            yield url
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def _copy(source: str, target: str, org_id: int) -> None:
    with psycopg.connect(source) as there, psycopg.connect(target) as here:
        for table, query in _OF_ORG.items():
            rows = there.execute(sql.SQL(query), {"org_id": org_id}).fetchall()
            put = sql.SQL("INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, %s)).*")
            for (row,) in rows:
                here.execute(put.format(table=sql.Identifier(table)), [Jsonb(row)])
