"""Write ``db/schema.sql``: the schema after all migrations, for people to read."""

import tempfile
from pathlib import Path

from counterfoil.db.dump import dump_schema
from counterfoil.db.embedded import EmbeddedPostgres
from counterfoil.db.migrate import MIGRATIONS, migrate

HEADER = "-- What all migrations together make. Written by `make schema`; do not edit.\n\n"


def main() -> None:
    """Migrate a throw-away server and write what it holds."""
    with tempfile.TemporaryDirectory(prefix="counterfoil-schema-") as folder:
        # The user whom root's server runs as must get through.
        Path(folder).chmod(0o711)
        server = EmbeddedPostgres(Path(folder) / "postgres", settings={"fsync": "off"})
        try:
            url = server.start()
            migrate(url)
            target = MIGRATIONS.with_name("schema.sql")
            target.write_text(HEADER + dump_schema(url), encoding="utf-8")
        finally:
            server.destroy()
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
