"""Creating invoices while many are open, and as it went before they were."""

import asyncio
from dataclasses import dataclass
from statistics import median
from typing import Final

import msgspec
import psycopg

from benchmarks.creating import fill_stock, over_http, request
from benchmarks.crowd import OPEN, crowd, settled_in
from counterfoil.sandbox.demo import ORG_ID, Sandbox
from counterfoil.sandbox.samples import example

OPEN_INVOICES: Final = 100_000
ROUNDS: Final = 3
ROUND_SECONDS: Final = 5

_STOCK: Final = 60_000
_LEARNING_SECONDS: Final = 5
"""Until the watchers have learnt the addresses."""


@dataclass(frozen=True, slots=True)
class Crowded:
    """Invoices a second, medians, with `OPEN_INVOICES` open and without."""

    per_second: float
    empty_per_second: float

    @property
    def ratio(self) -> float:
        """What is left of the pace."""
        return self.per_second / self.empty_per_second


async def crowded(sandbox: Sandbox) -> Crowded:
    """Create, let so many more be open, and create again."""
    await fill_stock(sandbox.database_url, _STOCK)
    empty = await _pace(sandbox)
    async with await psycopg.AsyncConnection.connect(sandbox.database_url) as connection:
        await crowd(connection, ORG_ID, ORG_ID, OPEN_INVOICES, OPEN)
    await settled_in(sandbox.database_url)
    await asyncio.sleep(_LEARNING_SECONDS)
    return Crowded(per_second=await _pace(sandbox), empty_per_second=empty)


async def _pace(sandbox: Sandbox) -> float:
    asked = request(sandbox, msgspec.json.encode(example(sandbox.facts)))
    base_url = sandbox.facts.base_url
    took = [await over_http(base_url, asked, ROUND_SECONDS) for _ in range(ROUNDS)]
    return median(len(of_round) for of_round in took) / ROUND_SECONDS
