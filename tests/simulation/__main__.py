"""Run seeds and say what came of them: ``make simulate SEEDS=200``, ``make simulate SEED=17``."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from itertools import count, islice

from simulation import server, stories
from simulation.chaos import Dice
from simulation.report import Report
from simulation.result import STEPS, Result
from simulation.run import Lines, simulate


def main() -> int:
    """Exit 1 where a violation was found."""
    parser = argparse.ArgumentParser(prog="make simulate")
    parser.add_argument("--seeds", type=int, default=20, help="how many, counted from --first")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", type=int, help="this one only, with every step")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rife", help="only seeds in which this fault is frequent")
    parser.add_argument("--telling", help="only seeds that tell a story with this in its name")
    parser.add_argument("--until-found", action="store_true", help="stop at the first violation")
    parser.add_argument("--server", nargs=2, metavar=("URL", "ADMIN_URL"), help="one that runs")
    asked = parser.parse_args()
    if asked.telling and not any(asked.telling in name for name in stories.STORIES):
        parser.error(f"no story has {asked.telling} in its name")
    if asked.telling and asked.steps < stories.STEPS_BETWEEN:
        parser.error(f"a seed tells a story for every {stories.STEPS_BETWEEN} steps")
    if asked.server:
        url, admin_url = asked.server
        return asyncio.run(_run(url, admin_url, asked))
    with server.standing() as (url, admin_url):
        return asyncio.run(_run(url, admin_url, asked))


async def _run(url: str, admin_url: str, asked: argparse.Namespace) -> int:
    lines = await Lines.open(url, admin_url)
    report = Report()
    one = asked.seed is not None
    seeds = [asked.seed] if one else islice(filter(_fits(asked), count(asked.first)), asked.seeds)
    enough = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        # Once more ends it at once.
        loop.remove_signal_handler(signal.SIGINT)
        enough.set()

    loop.add_signal_handler(signal.SIGINT, stop)
    for seed in seeds:
        if enough.is_set():
            break
        result = await simulate(seed, lines, steps=asked.steps, loud=one)
        report.add(result)
        print(f"seed {seed} went the way {result.record.digest}: {_told(result)}", flush=True)
        if result.violation is not None:
            print(report.violation(result))
            if asked.until_found:
                print(f"found: seed {seed}, {result.steps} steps, {result.violation}"[:200])
                break
    await lines.close()
    print(report.text())
    return 1 if report.violations else 0


def _fits(asked: argparse.Namespace) -> Callable[[int], bool]:
    """Whether a seed has much of the fault and tells the story that were asked for, if any."""

    def fits(seed: int) -> bool:
        told = stories.of_seed(seed, asked.steps)
        tells = not asked.telling or any(asked.telling in name for name in told)
        return tells and (not asked.rife or Dice(seed).rife(asked.rife))

    return fits


def _told(result: Result) -> str:
    """The stories of a seed, with those marked that went another way."""
    lost = result.record.lost
    told = (f"{name} (lost)" if lost[name] else name for name in result.record.told)
    return ", ".join(told) or "no story"


if __name__ == "__main__":
    sys.exit(main())
