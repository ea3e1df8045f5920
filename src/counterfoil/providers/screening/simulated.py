"""A screener that reads its answer off the address, for the sandbox and for tests.

The endings are those of the ``mock`` adapter in specs/aml.md 9, an idea shared with the public
sandboxes of other vendors. It knows nothing about the world: never use it with real money.
"""

from decimal import Decimal
from typing import Final

from counterfoil.core.ports import Clock
from counterfoil.core.risk_facts import AddressRisk, Exposure, Hit, Severity
from counterfoil.providers.screening.port import AddressQuery, ScreeningUnavailable

_TIMEOUT_ENDING: Final = "5555"
_SEVERITIES: Final = {
    "9999": Severity.SEVERE,
    "8888": Severity.SEVERE,
    "7777": Severity.HIGH,
    "6666": Severity.MEDIUM,
}
_HITS: Final = {
    "9999": Hit("SIMULATED_SANCTIONS", "provider", label="ends with 9999", source="mock"),
    "8888": Hit("ISSUER_FREEZE", "issuer_freeze", label="ends with 8888", source="mock"),
}
_EXPOSURES: Final = {"6666": (Exposure("mixer", Decimal("0.4")),)}


class SimulatedScreener:
    """Answers by the last four characters: sanctioned, frozen, high, medium, silent, or low."""

    code = "mock"

    def __init__(self, clock: Clock) -> None:
        """Answers carry the time of ``clock``."""
        self._clock = clock

    async def screen_address(self, query: AddressQuery) -> AddressRisk:
        """Answer at once; an address ending in 5555 raises `ScreeningUnavailable`."""
        ending = query.address[-4:]
        if ending == _TIMEOUT_ENDING:
            message = "the simulated provider does not answer for addresses ending in 5555"
            raise ScreeningUnavailable(message)
        return AddressRisk(
            provider=self.code,
            severity=_SEVERITIES.get(ending, Severity.LOW),
            fetched_at=self._clock.now(),
            hits=tuple(hit for key, hit in _HITS.items() if key == ending),
            exposures=_EXPOSURES.get(ending),
            raw={"ending": ending},
        )
