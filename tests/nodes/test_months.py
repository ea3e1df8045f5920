"""The sandbox's past: every story is told to its end on real chains, and the books are true."""

from dataclasses import replace
from typing import Final

from counterfoil.clock import SystemClock
from counterfoil.core.invoice import Status
from counterfoil.desk import proving, queries
from counterfoil.desk.members import authenticate
from counterfoil.desk.queries import Filters
from counterfoil.sandbox.demo import found_both
from counterfoil.sandbox.months import Months
from counterfoil.sandbox.past import opened_past
from counterfoil.sandbox.places import passing_places
from counterfoil.sandbox.stories import CAST
from counterfoil.workers.reconcile import reconcile

DAYS: Final = 30
PASSING: Final = {
    Status.PAYMENT_DETECTED,
    Status.SCREENING,
    Status.SWEEPING,
    Status.PAYOUT_PROCESSING,
    Status.REFUND_PROCESSING,
}
"""Where no invoice stays: machines take it on."""


async def test_months_go_by_with_an_invoice_in_every_status_and_every_unit_explained(
    database_url: str,
) -> None:
    cast = [replace(one, times=1) for one in CAST]
    months = Months(SystemClock().now(), DAYS, cast)
    told: list[str] = []
    with passing_places() as places:
        async with opened_past(places, database_url, months.began_at) as past:
            team = await found_both(past)
            assert await months.live(past, team, None, told.append) == []
            auditor = await authenticate(past.desk, team.members[-2].api_key)
            assert auditor is not None
            page = await queries.page(past.desk, Filters(), auditor.actor, number=1, size=100)
            proved = await proving.verify_audit(past.desk)
            compared = [
                (found.asset.symbol, found.differences)
                for chain in past.chains.values()
                async for found in reconcile(past.desk, chain)
            ]
            present = past.clock.now()
    assert page.total == len(cast)
    assert {count.status for count in page.counts} == set(Status) - PASSING
    created = [view.invoice.created_at for view in page.views]
    assert max(created) < present
    assert (max(created) - min(created)).days > DAYS // 2
    assert proved.breaks == ()
    assert proved.invoices == len(cast) + 2
    assert compared
    assert all(differences == () for _, differences in compared)
    assert told[-1].endswith(f": {len(cast)} invoices so far")
