"""The schema as text: what a database looks like, however it came to look so."""

import re
import subprocess
from typing import Final

from counterfoil.db import postgres_binaries

_NOISE: Final = re.compile(r"--.*|SET .*|SELECT pg_catalog\..*|\\(un)?restrict .*")


def dump_schema(url: str) -> str:
    """Write a database's tables, constraints and indexes as SQL, without owners and settings.

    Two databases with the same schema give the same text. The migrator's own table is left out.
    Raises ``subprocess.CalledProcessError`` where ``pg_dump`` fails.
    """
    command = [
        str(postgres_binaries.installed() / "pg_dump"),
        "--schema-only",
        "--no-owner",
        "--no-privileges",
        "--exclude-table=schema_migration",
        f"--dbname={url}",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    kept = [line.rstrip() for line in done.stdout.splitlines() if not _NOISE.fullmatch(line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip() + "\n"
