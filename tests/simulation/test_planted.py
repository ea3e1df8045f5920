from pathlib import Path

import pytest

from simulation.planted import PATCHES, hunt, planted_source, seeds_for
from support.postgres import TestServer

AT_ONCE = ("01-", "04-", "17-")
"""Found within seconds; the others by ``make simulate-planted``."""


def test_every_planted_bug_still_fits_the_source(tmp_path: Path) -> None:
    assert len(PATCHES) >= 12
    for number, patch in enumerate(PATCHES):
        folder = tmp_path / str(number)
        folder.mkdir()
        source = planted_source(patch, folder)
        changed = [
            line.removeprefix("+++ b/src/")
            for line in patch.read_text().splitlines()
            if line.startswith("+++ ")
        ]
        for name in changed:
            compile((source / name).read_text(), name, "exec")


@pytest.mark.parametrize("patch", [p for p in PATCHES if p.name.startswith(AT_ONCE)], ids=str)
def test_the_simulation_finds_what_is_planted(
    postgres: TestServer, database_url: str, patch: Path
) -> None:
    servers = (database_url, postgres.as_admin(database_url))

    result = hunt(patch, [*seeds_for(patch, None, 8), "--server", *servers])

    assert result.found, result.said
