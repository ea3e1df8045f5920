"""Everything a database holds, to prove that something changed nothing."""

from psycopg import sql

from counterfoil.db.pool import Database


async def all_tables(database: Database) -> dict[str, list[str]]:
    """Every row of every table of ours as text, sorted."""
    async with database.reading() as tx:
        names = await (
            await tx.execute(
                "SELECT schemaname, tablename FROM pg_tables"
                " WHERE schemaname IN ('public', 'ingest') ORDER BY 1, 2"
            )
        ).fetchall()
        found = {}
        for schema, table in names:
            # When a key was last used is written down with every request, and changes nothing.
            query = sql.SQL(
                "SELECT (to_jsonb(t) - 'last_used_at')::text FROM {} AS t ORDER BY 1"
            ).format(sql.Identifier(schema, table))
            rows = await (await tx.execute(query)).fetchall()
            found[table] = [row[0] for row in rows]
    return found
