"""`Backup`: all rows of a database as they stood, to be put back as an operator would."""

from typing import Final

import psycopg
from psycopg import sql

_TABLES: Final = """
    SELECT nspname, relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
     WHERE relkind = 'r' AND c.oid >= 16384
"""


class Backup:
    """A copy of every row, taken now. ``admin_url`` is that of the server's owner."""

    def __init__(self, admin_url: str) -> None:
        self._url = admin_url
        self._rows: dict[tuple[str, str], bytes] = {}
        with self._connected() as admin:
            for schema, table in admin.execute(_TABLES).fetchall():
                query = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(schema, table))
                with admin.cursor().copy(query) as copy:
                    self._rows[schema, table] = b"".join(bytes(part) for part in copy)

    def restore(self) -> None:
        """Put all rows back, and drop all others, in one transaction."""
        with self._connected() as admin, admin.transaction():
            for name, rows in self._rows.items():
                admin.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(*name)))
                query = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(*name))
                with admin.cursor().copy(query) as copy:
                    copy.write(rows)

    def _connected(self) -> psycopg.Connection[tuple[str, str]]:
        # Rows go in any order, whatever refers to them.
        options = "-c session_replication_role=replica"
        return psycopg.connect(self._url, autocommit=True, options=options)
