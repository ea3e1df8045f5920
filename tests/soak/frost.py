"""`Frost`: somebody doubts a wallet just when it is to pay, stops it, and finds nothing."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

from psycopg import Error
from psycopg_pool import PoolTimeout

from counterfoil.chains.evm.chain import EvmChain
from counterfoil.chains.port import ChainError
from counterfoil.clock import SystemClock
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import OutOfPlace
from counterfoil.db.pool import CommitUnknown
from counterfoil.db.rows import all_values
from counterfoil.desk import moving
from counterfoil.signer.client import SignerClient
from counterfoil.workers.thawing import thaw
from support.journey import Journey

T = TypeVar("T")

FROST_SECONDS: Final = (1.0, 4.0)
"""How long a wallet stays frozen once a payment stands at it."""

AGAIN_SECONDS: Final = 1.0
ATTEMPTS: Final = 120
LOOK_SECONDS: Final = 0.01
"""How often one looks for a payment: what is ready is signed within some hundredths of a second."""

AIMING_SECONDS: Final = 90.0
MEETING_SECONDS: Final = 30.0
FROSTS: Final = 5
"""How often it is tried to meet a payment."""

MOMENTS: Final = ("waiting", "ready")
"""In which a payment is when its wallet is frozen: signed for by the merchant and not in the pool
yet, so that it will find the wallet frozen; or about to be signed, while a worker is at it."""

_PAYING: Final = """
    SELECT DISTINCT chain FROM move
     WHERE purpose IN ('payout', 'refund', 'partial_refund') AND NOT from_hold
       AND status = %(status)s
     ORDER BY chain
"""


@dataclass
class Frost:
    """Freezes the wallet that pays, and thaws it as the operator's command does."""

    journey: Journey
    seed: int
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - a seed has to lead to the same troubles

    async def passes_over(self) -> bool:
        """Freeze a wallet that is to pay and thaw it; whether a payment stood at it meanwhile.

        However often that has to be tried, as database and signer may be dead; raises what it
        came to at last.
        """
        async with self._alone:
            for _ in range(FROSTS):
                if await self._once():
                    return True
        return False

    async def _once(self) -> bool:
        chain = await self._aims(self._random.choice(MOMENTS))
        address = await _stubbornly(lambda: self._freezes(chain))
        met = await self._meets(chain)
        await asyncio.sleep(self._random.uniform(*FROST_SECONDS))
        await _stubbornly(lambda: self._thaws(chain, address))
        return met

    async def _aims(self, status: str) -> str:
        """The chain on which a payment is so just now; any one where none is for long."""
        try:
            async with asyncio.timeout(AIMING_SECONDS):
                while not (chains := await _stubbornly(lambda: self._paying(status))):
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            chains = sorted(self.journey.chains)
        return self._random.choice(chains)

    async def _meets(self, chain: str) -> bool:
        """Wait until a payment on the chain is ready to be signed, which its wallet is not."""
        try:
            async with asyncio.timeout(MEETING_SECONDS):
                while chain not in await _stubbornly(lambda: self._paying("ready")):
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            return False
        return True

    async def _paying(self, status: str) -> list[str]:
        async with self.journey.desk.database.reading() as tx:
            return await all_values(tx, str, _PAYING, {"status": status})

    async def _freezes(self, chain: str) -> str:
        found = await moving.wallets_of(self.journey.desk, chain)
        pool = next(wallet for wallet in found if wallet.role == "pool")
        await moving.freeze(self.journey.desk, pool, "somebody doubts it")
        return pool.address

    async def _thaws(self, chain: str, address: str) -> None:
        found = await moving.wallets_of(self.journey.desk, chain)
        if any(w.address == address and w.frozen_reason is None for w in found):
            return
        node = EvmChain.over(CHAINS[chain], [self.journey.chains[chain].node.url], SystemClock())
        try:
            await thaw(
                self.journey.desk,
                node,
                SignerClient(self.journey.places.socket),
                address,
                by="operator:soak",
                reason="Nothing was wrong.",
            )
        finally:
            await node.close()


async def _stubbornly(ask: Callable[[], Awaitable[T]]) -> T:
    for _ in range(ATTEMPTS):
        with suppress(Error, PoolTimeout, CommitUnknown, OutOfPlace, ChainError):
            return await ask()
        await asyncio.sleep(AGAIN_SECONDS)
    return await ask()
