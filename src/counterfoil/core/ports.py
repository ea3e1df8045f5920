"""What the processes hand in from outside: time and identity."""

from datetime import datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """The one source of time; business meaning never comes from anywhere else."""

    def now(self) -> datetime:
        """The current instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; for durations only."""
        ...


class Ids(Protocol):
    """The one source of new identifiers."""

    def new(self) -> UUID:
        """A fresh UUIDv7 (RFC 9562): unguessable, and sorted by the clock's time."""
        ...
