"""Screens payments that are confirmed: claims them, has them examined, and concludes them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from counterfoil.core.risk import Decision
from counterfoil.desk import screening, verdicts
from counterfoil.desk.desk import Desk
from counterfoil.desk.screening import Case, Claim, Finding, Search
from counterfoil.workers.examine import Examiner
from counterfoil.workers.runner import quietly

_GATHERING_SECONDS: Final = 0.01
_log = structlog.get_logger(worker="screen")


_Answered = tuple[Case, asyncio.Task[Finding | None]]


class Screener:
    """Claims cases and concludes them, several at once."""

    def __init__(  # noqa: PLR0913 - what a process hands to this worker
        self,
        desk: Desk,
        examiner: Examiner,
        *,
        at_once: int = 64,
        lease_seconds: float = 120.0,
        patience_seconds: float = 300.0,
        concluded: Callable[[], None] = quietly,
    ) -> None:
        """Have ``examiner`` ask.

        Where answers are missing, all are asked again for ``patience_seconds`` before the
        money is held. ``concluded`` is called after each transaction that concluded any.
        """
        self._desk = desk
        self._examiner = examiner
        self._concluded = concluded
        self._at_once = at_once
        self._lease_seconds = lease_seconds
        self._patience_seconds = patience_seconds

    async def step(self) -> int:
        """Screen whatever is due; answers how many cases that were."""
        claims = await screening.claim(
            self._desk, limit=self._at_once, lease_seconds=self._lease_seconds
        )
        if not claims:
            return 0
        cases = await self._cases(claims)
        search = await self._examiner.search(cases)
        asking = {asyncio.create_task(self._found(case, search)): case for case in cases}
        waiting = set(asking)
        try:
            while waiting:
                # Whoever has an answer is concluded with those who have theirs by then, and waits
                # for nobody whose provider is slow.
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                answered, waiting = await asyncio.wait(waiting, timeout=_GATHERING_SECONDS)
                await self._finish([(asking[task], task) for task in answered])
        finally:
            for task in waiting:
                task.cancel()
        return len(claims)

    async def _cases(self, claims: Sequence[Claim]) -> list[Case]:
        """The cases that can be read: one that is broken must not stop the others."""
        try:
            return await screening.cases_of(self._desk, claims)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is kept to one case
            if len(claims) == 1:
                await self._broken(claims[0], error)
                return []
        return [case for claim in claims for case in await self._cases([claim])]

    async def _found(self, case: Case, search: Search) -> Finding | None:
        return await self._examiner.finding(case, search) if case.covers else None

    async def _finish(self, answered: Sequence[_Answered]) -> None:
        """Conclude what was found, and put off what was not to be found."""
        found: list[verdicts.Found] = []
        for case, task in answered:
            try:
                finding = task.result()
            except Exception as error:  # noqa: BLE001 - one case we cannot finish must not stop the others
                await self._broken(case.effect, error)
            else:
                if not await self._waits(case, finding):
                    found.append((case, finding))
        if not found:
            return
        outcomes: Sequence[verdicts.Outcome]
        try:
            outcomes = await verdicts.conclude_all(self._desk, found)
        except Exception as error:  # noqa: BLE001 - nobody's fault; each is tried again by itself
            outcomes = [error] * len(found)
        self._concluded()
        for (case, finding), outcome in zip(found, outcomes, strict=True):
            if isinstance(outcome, Exception):
                await self._broken(case.effect, outcome)
                continue
            # A clean one stands in the invoice's own log.
            log = _log.debug if outcome and _is_clear(finding) else _log.info
            log(
                "screened" if outcome else "screening_lease_lost",
                invoice_id=str(case.effect.invoice_id),
                decision=finding.decision if finding else None,
            )

    async def _waits(self, case: Case, finding: Finding | None) -> bool:
        """Ask again later where answers are missing and may still come."""
        if finding is None or not finding.missing:
            return False
        wait_seconds = screening.seconds_to_wait(case, self._patience_seconds)
        if wait_seconds is None:
            return False
        _log.warning(
            "screening_lacks_answers", invoice_id=str(case.effect.invoice_id), why=finding.missing
        )
        await screening.give_back(self._desk, case.effect, finding.missing, wait_seconds)
        return True

    async def _broken(self, claim: Claim, error: Exception) -> None:
        _log.error(
            "screening_failed",
            org_id=claim.org_id,
            invoice_id=str(claim.invoice_id),
            exc_info=error,
        )
        await screening.give_back(self._desk, claim, f"{type(error).__name__}: {error}")


def _is_clear(finding: Finding | None) -> bool:
    return finding is None or finding.decision == Decision.CLEAR.value
