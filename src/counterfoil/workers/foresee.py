"""Looks at payments that are merely seen, so that their screening is done when they count."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from counterfoil.desk import foreseeing
from counterfoil.desk.desk import Desk
from counterfoil.desk.foreseeing import LOOK_LASTS_SECONDS, Look, Told
from counterfoil.desk.questions import Question
from counterfoil.desk.screening import Search
from counterfoil.workers.examine import Examiner
from counterfoil.workers.runner import quietly

AT_MOST: Final = 2_000
"""Of payments waited for and of looks kept, each: whoever sends dust must not fill the memory."""

_log = structlog.get_logger(worker="foresee")


class Foreseer:
    """Looks at what the watchers of this process have seen, and keeps what it found for them.

    Nothing depends on it: what it never comes to is screened once it counts.
    """

    def __init__(
        self,
        desk: Desk,
        examiner: Examiner,
        *,
        at_once: int = 64,
        expected: Callable[[], None] = quietly,
    ) -> None:
        """Begin with nothing. ``expected`` is called when there is something to look at."""
        self.looks: dict[UUID, Look] = {}
        self._desk = desk
        self._examiner = examiner
        self._at_once = at_once
        self._expected = expected
        self._coming: deque[Told] = deque(maxlen=AT_MOST)

    def expect(self, told: Iterable[Told]) -> None:
        """Have these looked at soon, as their money is to be confirmed."""
        self._coming.extend(told)
        self._expected()

    async def step(self) -> int:
        """Look at what came first; answers at how much of it."""
        self._forget()
        told = [self._coming.popleft() for _ in range(min(self._at_once, len(self._coming)))]
        if not told:
            return 0
        questions = await foreseeing.questions(self._desk, told)
        search = await self._examiner.search(question for _, question in questions)
        await asyncio.gather(*(self._look(*question, search) for question in questions))
        return len(told)

    async def _look(self, invoice_id: UUID, question: Question, search: Search) -> None:
        at = self._desk.clock.now()
        try:
            finding = await self._examiner.finding(question, search)
        except Exception as error:  # noqa: BLE001 - it is tried again, and told, once it counts
            _log.info("look_failed", invoice_id=str(invoice_id), reason=repr(error))
        else:
            self.looks.pop(invoice_id, None)  # so that the oldest are always the first
            self.looks[invoice_id] = Look(question, finding, search.lists, at)

    def _forget(self) -> None:
        """Let go of what is too old, and of the oldest where there are too many."""
        earliest = self._desk.clock.now() - timedelta(seconds=LOOK_LASTS_SECONDS)
        for invoice_id, look in list(self.looks.items()):
            if look.at >= earliest and len(self.looks) <= AT_MOST:
                break
            del self.looks[invoice_id]
