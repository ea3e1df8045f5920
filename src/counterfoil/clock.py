"""The real clocks and the real source of ids: the only place that reads either."""

import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from counterfoil.core.ports import Clock

SLOWEST_ANSWER_SECONDS: Final = 1.0
"""A server that takes longer to say what time it is, or whom we let wait, says it too late."""

NOTABLE_SECONDS: Final = 1.0

_ELAPSED: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Where there is one that goes on while a machine sleeps, that."""


class SystemClock:
    """This machine's clock, in UTC."""

    def now(self) -> datetime:
        """The current instant."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class SharedClock:
    """What another clock said last, and how much time went by since: this host's is never asked.

    So all processes that listen to one server agree on the time, whatever their hosts show and
    whoever sets those (specs/reliability.md 1.5). Before anybody said anything it is the host's.
    """

    def __init__(self, host: Clock) -> None:
        """Unset; ``host`` is this machine's own clock."""
        self._host = host
        self._known: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """The current instant."""
        if self._known is None:
            return self._host.now()
        said, then = self._known
        return said + timedelta(seconds=self.elapsed() - then)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._host.monotonic()

    def elapsed(self) -> float:
        """Seconds that never go back nor stand still."""
        return time.clock_gettime(_ELAPSED)

    def told(self, at: datetime, *, asked: float, answered: float) -> float | None:
        """Take the word of the other clock, asked and answered at these times of `elapsed`.

        It read its time somewhere in between. Where ours lies in between as well nothing changes.
        Answers by how many seconds ours moved, where those are worth a line in the log.
        """
        took = answered - asked
        if self._known is None:
            self._known = at + timedelta(seconds=took / 2), answered
            return None
        said, then = self._known
        ours = said + timedelta(seconds=answered - then)
        moved = (at + timedelta(seconds=took / 2) - ours).total_seconds()
        if took > SLOWEST_ANSWER_SECONDS or abs(moved) <= took / 2:
            return None
        self._known = ours + timedelta(seconds=moved), answered
        return moved if abs(moved) >= NOTABLE_SECONDS else None


class TimeSortedIds:
    """UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds, then 74 random bits."""

    def new(self) -> UUID:
        """A fresh id."""
        milliseconds = time.time_ns() // 1_000_000
        value = (milliseconds << 80) | secrets.randbits(80)
        value = value & ~(0xF << 76) | (7 << 76)
        return UUID(int=value & ~(0b11 << 62) | (0b10 << 62))
