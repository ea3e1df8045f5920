"""How often somebody may be wrong: counted by whom it is about, and by where it comes from."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from counterfoil.books import sessions
from counterfoil.core.errors import Refusal
from counterfoil.desk.desk import Desk

PATIENCE: Final = timedelta(minutes=15)
TRIES: Final = 10
"""Wrong passwords or codes for one person in `PATIENCE`; further ones are not even looked at."""
TRIES_FROM_ONE_PLACE: Final = 100


class TooManyTries(Refusal):
    """So many wrong ones that not even a right one counts for a while."""

    kind = "too_many"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request comes from, as far as we can know: shown in the list of sessions.

    Tries are counted by ``neighbourhood``, the address or the network that one household has.
    """

    agent: str
    address: str
    neighbourhood: str


class Tries:
    """Counts tries, whatever is tried."""

    def __init__(self, desk: Desk) -> None:
        """Keep the desk."""
        self._desk = desk

    async def count(self, subject: str, place: Place) -> list[UUID]:
        """Count a try as wrong before anybody looks at it; a right one is taken back.

        So a thousand tries at once are no more than one after the other. Raises `TooManyTries`,
        and those do not count: whoever keeps on locks nobody out for longer.
        """
        now, where = self._desk.clock.now(), f"place:{place.neighbourhood}"
        attempt = [self._desk.ids.new(), self._desk.ids.new()]
        await self._check(subject, where, now, more=1)
        async with self._desk.database.transaction() as tx:
            await sessions.note_failure(tx, attempt[0], subject, now)
            await sessions.note_failure(tx, attempt[1], where, now)
        try:
            await self._check(subject, where, now)
        except TooManyTries:
            await self.take_back(attempt)
            raise
        return attempt

    async def take_back(self, attempt: list[UUID]) -> None:
        """Count a try no longer: it was right."""
        async with self._desk.database.transaction() as tx:
            await sessions.take_back(tx, attempt)

    async def _check(self, subject: str, where: str, now: datetime, *, more: int = 0) -> None:
        async with self._desk.database.reading() as tx:
            mine = await sessions.failures(tx, subject, now - PATIENCE)
            theirs = await sessions.failures(tx, where, now - PATIENCE)
        if mine + more > TRIES or theirs + more > TRIES_FROM_ONE_PLACE:
            raise TooManyTries("too many wrong tries; wait a quarter of an hour and try again")
