"""Expires invoices that nobody paid, behind the watcher."""

from collections.abc import Collection
from typing import Final

import structlog

from counterfoil.desk import expiring
from counterfoil.desk.desk import Desk

GRACE_SECONDS: Final = 10
"""How far past a deadline a chain must be: block times of neighbours may lie close together."""


class Expirer:
    """Tells invoices that their time is over. Any number may run at once."""

    def __init__(
        self, desk: Desk, chains: Collection[str], *, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        """``chains`` are those that are watched; one switched off holds its invoices open."""
        self._desk = desk
        self._chains = frozenset(chains)
        self._grace_seconds = grace_seconds
        self._log = structlog.get_logger(worker="expire")

    async def step(self) -> bool:
        """End some invoices' time; True when there may be more of them."""
        expired = await expiring.expire_overdue(
            self._desk, self._chains, grace_seconds=self._grace_seconds
        )
        closed = await expiring.close_expired(self._desk, self._chains)
        if expired or closed:
            self._log.info("time_over", expired=expired, closed=closed)
        return expiring.BATCH in (expired, closed)
