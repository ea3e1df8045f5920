"""Time that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta
from typing import Final

NOON: Final = datetime(2026, 6, 22, 12, 0, tzinfo=UTC)


class FakeClock:
    """A `counterfoil.core.ports.Clock` in the hands of a test."""

    def __init__(self, now: datetime = NOON) -> None:
        self._start = now
        self._passed = timedelta()

    def now(self) -> datetime:
        return self._start + self._passed

    def monotonic(self) -> float:
        return self._passed.total_seconds()

    def advance(self, span: timedelta) -> None:
        self._passed += span
