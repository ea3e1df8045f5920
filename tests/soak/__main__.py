"""``python -m soak``, or ``make soak``: minutes of trouble, and then the figures."""

import argparse
import asyncio
import logging
import secrets
import sys
from typing import Final

from rich.console import Console

from soak.run import Plan, soaked

_out: Final = Console(highlight=False, soft_wrap=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--kills", type=int, default=60, help="kills and pauses")
    parser.add_argument("--minutes", type=float, default=5, help="how long there is trouble")
    parser.add_argument("--at-once", type=int, default=8, help="invoices on their way")
    asked = parser.parse_args()
    plan = Plan(asked.seed, asked.kills, asked.minutes * 60, asked.at_once)
    # That no database answers is what this is about, and no news.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    _out.print(
        f"soak with seed {plan.seed}: {plan.kills} kills and pauses in {asked.minutes:g} minutes"
    )
    report = asyncio.run(soaked(plan))
    for line in report.lines():
        _out.print(line, markup=False)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
