from pathlib import Path

import pytest

from simulation.chaos import FAULTS
from simulation.planted import PATCHES, hunt, planted_source, seeds_for
from simulation.stories import STORIES
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


def test_every_fault_and_story_that_a_patch_names_is_there() -> None:
    options = [seeds_for(patch, "1", 1)[4:] for patch in PATCHES]
    named = {pair for one in options for pair in zip(one[::2], one[1::2], strict=True)}
    assert {option for option, _ in named} == {"--rife", "--telling"}
    for option, name in named:
        known = FAULTS if option == "--rife" else STORIES
        assert any(name in one for one in known), name


@pytest.mark.parametrize("patch", [p for p in PATCHES if p.name.startswith(AT_ONCE)], ids=str)
def test_the_simulation_finds_what_is_planted(
    postgres: TestServer, database_url: str, patch: Path
) -> None:
    servers = (database_url, postgres.as_admin(database_url))

    result = hunt(patch, [*seeds_for(patch, None, 8), "--server", *servers])

    assert result.found, result.said


def test_a_bug_that_was_missed_leaves_what_was_done_to_find_it(
    postgres: TestServer, database_url: str
) -> None:
    servers = (database_url, postgres.as_admin(database_url))
    (patch,) = [p for p in PATCHES if p.name.startswith("10-")]

    result = hunt(patch, ["--seeds", "1", "--steps", "1", "--server", *servers])

    first, *rest = (line.strip() for line in result.text().splitlines())
    assert first.split() == [patch.stem, "NOT", "FOUND"]
    assert rest[0].startswith("seed 1 went the way ")
    assert rest[0].endswith(": no story")
    assert "steps                       1" in rest
    assert any(line.startswith("crash points that were hit") for line in rest)
