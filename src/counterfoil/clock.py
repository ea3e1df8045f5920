"""The real clock and the real source of ids: the only place that reads either."""

import secrets
import time
from datetime import UTC, datetime
from uuid import UUID


class SystemClock:
    """This machine's clock, in UTC."""

    def now(self) -> datetime:
        """The current instant."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class TimeSortedIds:
    """UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds, then 74 random bits."""

    def new(self) -> UUID:
        """A fresh id."""
        milliseconds = time.time_ns() // 1_000_000
        value = (milliseconds << 80) | secrets.randbits(80)
        value = value & ~(0xF << 76) | (7 << 76)
        return UUID(int=value & ~(0b11 << 62) | (0b10 << 62))
