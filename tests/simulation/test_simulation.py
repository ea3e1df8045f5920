import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.report import Report
from simulation.run import Lines, Result, simulate
from support.postgres import TestServer

SEEDS = [(3, 9), (4,)]
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
    for result in asyncio.run(run_seeds(urls, seeds, steps=40)):
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
