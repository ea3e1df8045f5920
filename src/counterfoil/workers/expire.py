"""Expires invoices that nobody paid, behind the watcher."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from counterfoil.desk import expiring
from counterfoil.desk.desk import Desk

GRACE_SECONDS: Final = 10
"""How far past a deadline a chain must be: block times of neighbours may lie close together."""

FIRST_RETRY_SECONDS: Final = 30
LONGEST_RETRY_SECONDS: Final = 3_600


@dataclass(frozen=True, slots=True)
class _Failed:
    times: int
    again_at: datetime


class Expirer:
    """Tells invoices that their time is over. Any number may run at once.

    One that cannot be told is tried again, ever more seldom, and holds up no other.
    """

    def __init__(
        self, desk: Desk, chains: Collection[str], *, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        """``chains`` are those that are watched; one switched off holds its invoices open."""
        self._desk = desk
        self._chains = frozenset(chains)
        self._grace_seconds = grace_seconds
        # In memory: that its time is over stands in the books, and a restart just tries at once.
        self._failed: dict[UUID, _Failed] = {}
        self._log = structlog.get_logger(worker="expire")

    async def step(self) -> bool:
        """End some invoices' time; True when there may be more of them."""
        now = self._desk.clock.now()
        waiting = [one for one, failed in self._failed.items() if failed.again_at > now]
        expired = await expiring.expire_overdue(
            self._desk, self._chains, grace_seconds=self._grace_seconds, passing_over=waiting
        )
        closed = await expiring.close_expired(self._desk, self._chains, passing_over=waiting)
        self._remember(waiting, (*expired.untold, *closed.untold), now)
        if expired.ended or closed.ended:
            self._log.info("time_over", expired=expired.ended, closed=closed.ended)
        return any(e.ended + len(e.untold) == expiring.BATCH for e in (expired, closed))

    def _remember(
        self, waiting: Collection[UUID], untold: Collection[expiring.Untold], now: datetime
    ) -> None:
        failed = {one: self._failed[one] for one in waiting}
        for one in untold:
            times = self._failed[one.invoice_id].times + 1 if one.invoice_id in self._failed else 1
            wait = min(FIRST_RETRY_SECONDS * 2 ** min(times - 1, 16), LONGEST_RETRY_SECONDS)
            failed[one.invoice_id] = _Failed(times, now + timedelta(seconds=wait))
            self._log.error(
                "invoice_cannot_be_told",
                org_id=one.org_id,
                invoice_id=str(one.invoice_id),
                attempts=times,
                exc_info=one.error,
            )
        self._failed = failed
