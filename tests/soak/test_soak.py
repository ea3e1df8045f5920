"""Real processes that die, freeze and lose each other, and invoices that all end right.

This one is short enough for every day; ``make soak`` is the long one.
"""

import os
import secrets

from soak.run import Plan, soaked


async def test_whatever_dies_every_invoice_ends_right_and_the_books_equal_the_chain() -> None:
    # Where a failure stops others' work the same troubles are drawn each time.
    seed = 1 if "CI" in os.environ else secrets.randbelow(10**6)
    plan = Plan(seed=seed, kills=10, seconds=24, at_once=7)
    report = await soaked(plan)
    shown = "\n".join(report.lines())
    assert report.violations == [], shown
    assert report.struck("kill") + report.struck("pause") >= 6, shown
    assert len(report.invoices) >= 5, shown
