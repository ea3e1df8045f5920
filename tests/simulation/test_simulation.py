import asyncio

import pytest

from simulation.report import Report
from simulation.run import Lines, Result, simulate
from support.postgres import TestServer

SEEDS = [(1, 2), (3,)]


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
    for result in asyncio.run(run_seeds(urls, seeds, steps=60)):
        if result.violation is not None:
            pytest.fail(report.violation(result))
        report.add(result)
    assert report.faults["crash"] > 0
    assert sum(result.checks for result in report.results) > 200
