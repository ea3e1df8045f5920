"""Keeps the exchange rates fresh. A rate that cannot be true is refused, and the last one ages."""

import asyncio
from collections.abc import Sequence

import structlog

from counterfoil.core.ports import Clock
from counterfoil.desk import rates
from counterfoil.desk.desk import Desk
from counterfoil.providers.rates.port import (
    RateGuard,
    RateRefused,
    RateSource,
    RateUnavailable,
    RawRate,
)

_log = structlog.get_logger(worker="price")


class Pricer:
    """Asks every source for every pair, and keeps what can be believed after its last answer."""

    def __init__(
        self,
        desk: Desk,
        sources: Sequence[RateSource],
        *,
        pairs: Sequence[tuple[str, str]] = rates.PAIRS,
        guard: RateGuard | None = None,
    ) -> None:
        """``sources``: the preferred one first."""
        self._desk = desk
        self._sources = sources
        self._pairs = pairs
        self._guard = guard or RateGuard()

    async def step(self) -> None:
        """Ask for every pair once. Answers None, so that the loop pauses in between."""
        await asyncio.gather(*(self._refresh(base, quote) for base, quote in self._pairs))

    async def _refresh(self, base: str, quote: str) -> None:
        # Those that spoke before this round: of several first words in one, none judges another.
        others = [_raw(row) for row in await rates.speaking(self._desk, base, quote)]
        for rank, source in enumerate(self._sources):
            pair = {"pair": f"{base}/{quote}", "source": source.code}
            try:
                rate = await source.quote(base, quote)
                # By what it said itself: judged by another's word, whoever errs first would shut
                # out those who do not.
                last = await rates.last_of(self._desk, rate.source, base, quote)
                before = None if last is None else _raw(last)
                self._guard.check(rate, before, self._desk.clock.now(), others)
            except (RateUnavailable, RateRefused) as problem:
                _log.warning("rate_not_taken", **pair, why=str(problem))
                continue
            except Exception:  # noqa: BLE001 - one source's fault must not silence those after it
                _log.exception("rate_not_asked", **pair)
                continue
            await rates.store(self._desk, _snapshot(rate, self._desk.clock, rank))


def _raw(row: rates.Snapshot) -> RawRate:
    return RawRate(row.base, row.quote, row.rate, row.source, row.observed_at)


def _snapshot(rate: RawRate, clock: Clock, rank: int) -> rates.Snapshot:
    return rates.Snapshot(
        base=rate.base,
        quote=rate.quote,
        observed_at=rate.observed_at,
        source=rate.source,
        rate=rate.value,
        raw=rate.raw,
        stored_at=clock.now(),
        rank=rank,
    )
