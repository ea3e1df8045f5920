import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.chaos import Record
from simulation.parts import Violation
from simulation.report import Report
from simulation.result import Result
from simulation.run import Lines, simulate
from support.postgres import TestServer

SEEDS = [(3, 9), (4,)]
AT_ONCE = 40
"""Steps in each: what ``make test`` has time for."""
REPLAYED, STEPS = 2, 12
ROOT = Path(__file__).parents[2]


async def run_seeds(urls: tuple[str, str], seeds: tuple[int, ...], steps: int) -> list[Result]:
    lines = await Lines.open(*urls)
    try:
        return [await simulate(seed, lines, steps=steps) for seed in seeds]
    finally:
        await lines.close()


@pytest.fixture
def urls(postgres: TestServer, database_url: str) -> tuple[str, str]:
    return database_url, postgres.as_admin(database_url)


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_whatever_goes_wrong_nothing_is_lost_or_doubled(
    urls: tuple[str, str], seeds: tuple[int, ...]
) -> None:
    report = Report()
    for result in asyncio.run(run_seeds(urls, seeds, AT_ONCE)):
        if result.violation is not None:
            pytest.fail(report.violation(result))
        report.add(result)
    assert report.faults["crash"] > 0
    assert sum(result.checks for result in report.results) > 200


def test_a_seed_takes_the_same_way_again_here_and_in_another_process(
    urls: tuple[str, str],
) -> None:
    # Another seed in between leaves nothing behind that the next one could meet.
    first, _, again = asyncio.run(run_seeds(urls, (REPLAYED, 1, REPLAYED), STEPS))
    asked = ["--first", str(REPLAYED), "--seeds", "1", "--steps", str(STEPS), "--server", *urls]
    elsewhere = subprocess.run(
        [sys.executable, "-m", "simulation", *asked],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests"))),
            "PYTHONHASHSEED": "4711",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )

    assert again.record.digest == first.record.digest
    assert f"seed {REPLAYED} went the way {first.record.digest}" in elsewhere.stdout


def test_what_is_found_here_names_the_command_that_finds_it_again() -> None:
    result = Result(SEEDS[0][0], Record(), chosen=AT_ONCE)
    result.violation = Violation("I6", "too much")

    said = Report().violation(result).splitlines()[-1]
    command = said.partition("make ")[2].split()
    planned = subprocess.run(
        ["make", "--dry-run", "--old-file=setup", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert said.endswith(f"make simulate SEED={SEEDS[0][0]} STEPS={AT_ONCE}")
    assert f"--seed {SEEDS[0][0]} --steps {AT_ONCE}" in planned.stdout
    assert Result(17, Record()).replay == "make simulate SEED=17"
