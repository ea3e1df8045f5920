"""Tells invoices what they could not be told when it was found on a chain."""

from typing import Final

import structlog

from counterfoil.desk import telling
from counterfoil.desk.desk import Desk
from counterfoil.desk.telling import EffectRow

AT_ONCE: Final = 20


class Reteller:
    """Tries again, ever more seldom, until it succeeds. Any number may run at once."""

    def __init__(self, desk: Desk, *, lease_seconds: float = 60) -> None:
        """One that says nothing for ``lease_seconds`` is taken for dead."""
        self._desk = desk
        self._lease_seconds = lease_seconds
        self._log = structlog.get_logger(worker="retell")

    async def step(self) -> int:
        """Try those that are due; answers how many that were."""
        due = await telling.claim(self._desk, limit=AT_ONCE, lease_seconds=self._lease_seconds)
        for owed in due:
            await self._tell(owed)
        return len(due)

    async def _tell(self, owed: EffectRow) -> None:
        log = self._log.bind(org_id=owed.org_id, invoice_id=str(owed.invoice_id))
        try:
            await telling.tell_again(self._desk, owed)
        except Exception as error:
            log.exception("invoice_still_cannot_be_told", attempts=owed.attempts)
            await telling.put_off(self._desk, owed, error)
            return
        log.warning("invoice_told_at_last", attempts=owed.attempts)
