"""How fast one caller is heard: a bucket of requests that refills with time.

Each web process counts for itself, so the bound on all of them together is their number times
this; it keeps one caller from crowding out the others, and needs no shared state for it.
"""

from collections import OrderedDict
from typing import Final

from counterfoil.core.ports import Clock

MAX_CALLERS: Final = 10_000
"""Whoever was heard longest ago is forgotten first, with a bucket that is full again by then."""


class Pace:
    """Lets each caller ask ``per_second`` times on average, and ``burst`` times at once."""

    def __init__(self, clock: Clock, *, per_second: float, burst: int) -> None:
        """Start with full buckets."""
        self._clock = clock
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, caller: str) -> float:
        """Take one from the caller's bucket: 0, or how long until there is one again."""
        now = self._clock.monotonic()
        left, filled_at = self._buckets.pop(caller, (float(self._burst), now))
        left = min(self._burst, left + (now - filled_at) * self._per_second)
        heard = left >= 1
        self._buckets[caller] = (left - 1 if heard else left, now)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        return 0 if heard else (1 - left) / self._per_second
