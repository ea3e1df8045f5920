"""A rate source that says what a test tells it to say."""

from decimal import Decimal

from counterfoil.core.ports import Clock
from counterfoil.providers.rates.port import RateUnavailable, RawRate


class FakeRates:
    """Answers from a table, dated now; remembers the pairs it was asked for."""

    code = "fake"

    def __init__(self, clock: Clock, **rates: str) -> None:
        """Rates by pair with an underscore, as in ``FakeRates(clock, USDT_TWD="32.41")``."""
        self._clock = clock
        self._rates = {pair.replace("_", "/"): Decimal(value) for pair, value in rates.items()}
        self._failure: Exception | None = None
        self.asked: list[str] = []

    def says(self, pair: str, value: str) -> None:
        self._rates[pair] = Decimal(value)
        self._failure = None

    def fails(self, failure: Exception) -> None:
        """Raise ``failure`` for every question until the next `says`."""
        self._failure = failure

    async def quote(self, base: str, quote: str) -> RawRate:
        pair = f"{base}/{quote}"
        self.asked.append(pair)
        if self._failure is not None:
            raise self._failure
        if pair not in self._rates:
            message = f"the fake source has no {pair}"
            raise RateUnavailable(message)
        value = self._rates[pair]
        return RawRate(base, quote, value, self.code, self._clock.now(), {"value": str(value)})
