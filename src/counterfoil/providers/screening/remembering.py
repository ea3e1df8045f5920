"""A screener that asks another one once about an address that pays many bills in a minute.

An exchange pays for all of its customers from a few addresses, so of two hundred payments in a
block many have the same payer.
"""

from datetime import datetime, timedelta
from typing import Final

from counterfoil.core.ports import Clock
from counterfoil.core.risk_facts import AddressRisk, Severity
from counterfoil.providers.screening.port import AddressQuery, AddressScreener

KEPT: Final = timedelta(minutes=1)
"""Less than specs/aml.md 9 allows, which is 24 hours for a clear answer."""

_CLEAR: Final = frozenset({Severity.NONE, Severity.LOW})

AT_MOST: Final = 2_000


class RememberingScreener:
    """Keeps clear answers for a minute in memory; whatever else is said is asked again."""

    def __init__(self, inner: AddressScreener, clock: Clock) -> None:
        """Know nothing, and ask ``inner``."""
        self.code = inner.code
        self._inner = inner
        self._clock = clock
        self._kept: dict[AddressQuery, tuple[datetime, AddressRisk]] = {}

    async def screen_address(self, query: AddressQuery) -> AddressRisk:
        """Answer as ``inner`` did within the last minute, if that was clear, or does now.

        Raises what it raises.
        """
        asked_at = self._clock.now()
        kept = self._kept.get(query)
        if kept is not None and asked_at - kept[0] < KEPT:
            return kept[1]
        answer = await self._inner.screen_address(query)
        self._kept.pop(query, None)  # so that the oldest is always the first
        if answer.severity in _CLEAR and not answer.hits:
            self._kept[query] = asked_at, answer
        if len(self._kept) > AT_MOST:
            del self._kept[next(iter(self._kept))]
        return answer
