"""Rates from any web service that answers with JSON."""

import string
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import aiohttp
from yarl import URL

from counterfoil.core.errors import Invalid
from counterfoil.core.ports import Clock
from counterfoil.providers.rates.port import (
    RateRefused,
    RateUnavailable,
    RawRate,
    check_currency,
    parse_rate,
)
from counterfoil.providers.rates.reading import at_pointer, read_instant, read_json

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_PLACEHOLDERS: Final = frozenset({"base", "quote"})
_HTTP_OK: Final = 200


@dataclass(frozen=True, slots=True)
class HttpRateSettings:
    """Where to ask and where in the answer to look.

    ``url`` may hold ``{base}`` and ``{quote}`` in its path or query, never in its host, so no
    input can send us elsewhere; https, except to this very machine. ``value_at`` and
    ``time_at`` are JSON pointers (RFC 6901); without ``time_at`` the answer counts as of now.
    Raises `Invalid` naming the setting.
    """

    code: str
    url: str
    value_at: str
    time_at: str | None = None
    timeout_seconds: float = 5.0
    max_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        """Check the address and the pointers."""
        broken = {
            setting: sentence
            for setting, sentence in (
                ("url", _url_problem(self.url)),
                ("value_at", _pointer_problem(self.value_at)),
                ("time_at", _pointer_problem(self.time_at or "/")),
            )
            if sentence
        }
        if broken:
            message = "; ".join(f"{setting}: {sentence}" for setting, sentence in broken.items())
            raise Invalid(message, fields=broken)


class HttpRates:
    """Asks one service, without following it anywhere else."""

    def __init__(
        self, settings: HttpRateSettings, session: aiohttp.ClientSession, clock: Clock
    ) -> None:
        """The caller owns and closes ``session``."""
        self.code = settings.code
        self._settings = settings
        self._session = session
        self._clock = clock

    async def quote(self, base: str, quote: str) -> RawRate:
        """Ask for one pair; raises `RateUnavailable`, or `RateRefused` for a senseless answer."""
        url = self._settings.url.format(base=check_currency(base), quote=check_currency(quote))
        document = read_json(await self._get(URL(url)), self.code)
        said = {"value": at_pointer(document, self._settings.value_at, self.code)}
        if self._settings.time_at is not None:
            said["time"] = at_pointer(document, self._settings.time_at, self.code)
        return RawRate(
            base=base,
            quote=quote,
            value=parse_rate(said["value"], f"{self.code}: {base}/{quote}"),
            source=self.code,
            observed_at=self._observed_at(said),
            # The address is left out: many services want their key in it.
            raw=said,
        )

    def _observed_at(self, said: dict[str, object]) -> datetime:
        return read_instant(said["time"], self.code) if "time" in said else self._clock.now()

    async def _get(self, url: URL) -> bytes:
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_seconds)
        try:
            async with self._session.get(url, timeout=timeout, allow_redirects=False) as answer:
                if answer.status != _HTTP_OK:
                    message = f"{self.code} answered with status {answer.status}"
                    raise RateUnavailable(message)
                return await self._read(answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            message = f"{self.code} did not answer: {type(error).__name__}"
            raise RateUnavailable(message) from error

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        data = bytearray()
        async for chunk in answer.content.iter_any():
            data += chunk
            if len(data) > self._settings.max_bytes:
                message = f"{self.code} answered with more than {self._settings.max_bytes} bytes"
                raise RateRefused(message)
        return bytes(data)


def _url_problem(url: str) -> str | None:
    try:
        named = {name for _, name, _, _ in string.Formatter().parse(url) if name is not None}
        if named - _PLACEHOLDERS:
            return "must have no other placeholders than {base} and {quote}"
        example = URL(url.format(base="USDT", quote="TWD"))
        other = URL(url.format(base="USDC", quote="USD"))
    except ValueError as error:
        return f"is no address: {error}"
    if example.scheme != "https" and not (example.scheme == "http" and example.host in _LOOPBACK):
        return "must be https, unless it is on this machine"
    if not example.host or example.origin() != other.origin():
        return "must name a host of its own, without placeholders"
    if example.user is not None or example.password is not None:
        return "must not carry a user name or password"
    return None


def _pointer_problem(pointer: str) -> str | None:
    return None if pointer.startswith("/") else "must be a JSON pointer such as /data/price"
