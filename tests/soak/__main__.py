"""``python -m soak``, or ``make soak``: minutes of trouble, and then the figures."""

import argparse
import logging
import secrets
import sys
from datetime import UTC, datetime
from typing import Final

from rich.console import Console

from counterfoil.supervisor import run_until, until_signalled
from soak.plan import Plan, Report
from soak.run import soaked
from soak.tales import TALES

_out: Final = Console(highlight=False, soft_wrap=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--kills", type=int, default=50, help="kill -9 of our processes")
    parser.add_argument("--minutes", type=float, default=5, help="over how long trouble is spread")
    parser.add_argument("--most-minutes", type=float, default=30, help="when it ends at the latest")
    parser.add_argument("--at-once", type=int, default=len(TALES), help="invoices on their way")
    parser.add_argument("--follow", action="store_true", help="say what happens as it happens")
    asked = parser.parse_args()
    plan = Plan(
        seed=asked.seed,
        kills=asked.kills,
        pauses=-(-asked.kills // 4),
        postgres=-(-asked.kills // 8),
        seconds=asked.minutes * 60,
        most_seconds=max(asked.minutes, asked.most_minutes) * 60,
        at_once=asked.at_once,
        follow=_follow if asked.follow else None,
    )
    # That no database answers is what this is about, and no news.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    _out.print(
        f"soak with seed {plan.seed}: {plan.kills} kills and {plan.pauses} pauses of our processes,"
        f" {plan.postgres} kills of PostgreSQL, in about {asked.minutes:g} minutes"
    )
    reports: list[Report] = []

    async def soak() -> None:
        reports.append(await soaked(plan))

    # Also where it is called off, by Ctrl-C or otherwise, everything is stopped that it began.
    run_until(soak(), until=until_signalled)
    for report in reports:
        for line in report.lines():
            _out.print(line, markup=False)
    if not reports:
        _out.print("called off: nothing is proved")
    return 1 if not reports or reports[0].failed else 0


def _follow(what: str) -> None:
    _out.print(f"{datetime.now(UTC):%H:%M:%S} {what}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
