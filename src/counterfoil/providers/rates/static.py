"""Rates from a JSON file that the operator keeps, for offline installs and the sandbox."""

import asyncio
from pathlib import Path
from typing import Final, NoReturn

from counterfoil.core.ports import Clock
from counterfoil.providers.rates.port import (
    RateRefused,
    RateUnavailable,
    RawRate,
    check_currency,
    parse_rate,
)
from counterfoil.providers.rates.reading import read_instant, read_json

_MAX_FILE_BYTES: Final = 64 * 1024


class StaticRates:
    """Reads the file anew for every quote, so an edit counts at once.

    Shape: ``{"source": "manual", "observed_at": "2026-06-22T12:00:00Z", "rates": {"USDT/TWD":
    "32.41"}}``. Rates are text. Without ``observed_at`` a rate is as fresh as its reading: the
    operator vouches for the file as it stands.
    """

    code = "static"

    def __init__(self, path: Path, clock: Clock) -> None:
        """Nothing is read before the first quote."""
        self._path = path
        self._clock = clock

    async def quote(self, base: str, quote: str) -> RawRate:
        """Look the pair up; raises `RateUnavailable` naming the pairs there are, `RateRefused`."""
        pair = f"{check_currency(base)}/{check_currency(quote)}"
        data = await asyncio.to_thread(self._read)
        document = read_json(data, str(self._path), number=_refuse_number)
        if not isinstance(document, dict):
            self._refuse_shape()
        source, rates = document.get("source"), document.get("rates")
        if not isinstance(source, str) or not isinstance(rates, dict):
            self._refuse_shape()
        if pair not in rates:
            message = f"{self._path} has no {pair}; it has {', '.join(sorted(rates)) or 'nothing'}"
            raise RateUnavailable(message)
        observed_at = self._clock.now()
        if "observed_at" in document:
            observed_at = read_instant(document["observed_at"], str(self._path))
        return RawRate(
            base=base,
            quote=quote,
            value=parse_rate(rates[pair], f"{pair} in {self._path}"),
            source=f"{self.code}:{source}",
            observed_at=observed_at,
            raw={"pair": pair, "value": rates[pair]},
        )

    def _refuse_shape(self) -> NoReturn:
        message = f'{self._path} must hold {{"source": "...", "rates": {{"USDT/TWD": "32.41"}}}}'
        raise RateRefused(message)

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES + 1)
        except OSError as error:
            message = f"{self._path} cannot be read: {error.strerror}"
            raise RateUnavailable(message) from error
        if len(data) > _MAX_FILE_BYTES:
            message = f"{self._path} is larger than {_MAX_FILE_BYTES} bytes"
            raise RateRefused(message)
        return data


def _refuse_number(text: str) -> NoReturn:
    # Whatever wrote a bare number may have rounded it already.
    message = f'write {text} as text, as in "32.41"'
    raise ValueError(message)
