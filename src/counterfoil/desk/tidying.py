"""Keeping tables small and counts short; nothing here changes what anything means."""

from datetime import timedelta
from typing import Final

from counterfoil.books import lists, rates
from counterfoil.desk import after_end, jobs
from counterfoil.desk.desk import Desk
from counterfoil.desk.idempotency import forget_old

RATES_KEPT: Final = timedelta(days=90)
"""Invoices carry the rate they were priced with; older observations only explain to operators."""

FOLDED_FROM: Final = 100
"""Changes of an organisation's counts; fewer are summed up in no time."""

_AT_ONCE: Final = 1_000
_JOBS_AT_ONCE: Final = 10


async def tidy(desk: Desk) -> int:
    """Do a bounded part of it; answers how many rows went or were mended, 0 when all is tidy."""
    async with desk.database.transaction() as tx:
        folded = await lists.fold_counts(tx, at_least=FOLDED_FROM)
    async with desk.database.transaction() as tx:
        searchable = await lists.make_searchable(tx, limit=_AT_ONCE)
    async with desk.database.transaction() as tx:
        before = desk.clock.now() - RATES_KEPT
        forgotten = await rates.forget(tx, before, limit=_AT_ONCE)
    done = await jobs.forget_old(desk, limit=_JOBS_AT_ONCE)
    weighed = await after_end.weigh_some(desk)
    return folded + searchable + forgotten + done + weighed + await forget_old(desk)
