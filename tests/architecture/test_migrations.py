"""Migrations that programs of the version before can live with."""

import re
from typing import Final

import pytest

from counterfoil.db.migrate import read_migrations

SINCE: Final = 46
"""The first of which programs that run on are promised this; those before were made stopped."""

TAKES_AWAY: Final = re.compile(
    r"(?i)\bDROP\s+(COLUMN|TABLE|SCHEMA|VIEW)\b"
    r"|\bRENAME\b"
    r"|\bSET\s+NOT\s+NULL\b"
    r"|\bALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE\b"
    r"|\bADD\s+COLUMN\s+(?:(?!,|;|\bDEFAULT\b).)*\bNOT\s+NULL(?:(?!,|;|\bDEFAULT\b).)*(,|;|$)",
    re.DOTALL,
)
"""What an older program reads, or a row as it writes one, would not be there or be refused."""


def takes_away(text: str) -> str:
    """What of this an older program would miss; empty where there is nothing."""
    bare = re.sub(r"\([^()]*\)", "", re.sub(r"--[^\n]*", "", text))
    hit = TAKES_AWAY.search(bare)
    return "" if hit is None else " ".join(hit[0].split())


def test_a_migration_takes_nothing_away_that_an_older_program_uses() -> None:
    found = [
        f"{file.name}: {missed}"
        for file in read_migrations()
        if file.number >= SINCE and (missed := takes_away(file.text))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("ALTER TABLE a ADD COLUMN b text;", False),
        ("ALTER TABLE a ADD COLUMN b bigint NOT NULL DEFAULT 0, ADD COLUMN c text;", False),
        ("ALTER TABLE a ADD COLUMN b bigint DEFAULT 0 NOT NULL;", False),
        ("ALTER TABLE a ADD COLUMN b bigint NOT NULL, ADD COLUMN c text DEFAULT '';", True),
        ("CREATE TABLE a (b bigint NOT NULL);", False),
        ("ALTER TABLE a DROP COLUMN b;", True),
        ("ALTER TABLE a ADD COLUMN b numeric(78,0) NOT NULL;", True),
        ("DROP TABLE a; -- as it was", True),
        ("ALTER TABLE a ADD COLUMN b text; -- the rename of c comes later", False),
        ("DROP INDEX a;", False),
        ("ALTER TABLE a RENAME COLUMN b TO c;", True),
        ("ALTER TABLE a ALTER COLUMN b SET NOT NULL;", True),
        ("ALTER TABLE a ALTER COLUMN b TYPE text;", True),
    ],
)
def test_what_takes_away_is_told_apart(text: str, does: bool) -> None:  # noqa: FBT001 - a column of the table
    assert bool(takes_away(text)) is does
