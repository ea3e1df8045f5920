"""`Frost`: somebody doubts a wallet, stops it in the midst of payments, and finds nothing."""

import asyncio
import random
from dataclasses import dataclass
from typing import Final

from psycopg import Error
from psycopg_pool import PoolTimeout

from counterfoil.chains.evm.chain import EvmChain
from counterfoil.chains.port import ChainError
from counterfoil.clock import SystemClock
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import OutOfPlace
from counterfoil.db.pool import CommitUnknown
from counterfoil.desk import moving
from counterfoil.signer.client import SignerClient
from counterfoil.workers.thawing import thaw
from support.journey import Journey

FROST_SECONDS: Final = (1.0, 4.0)
AGAIN_SECONDS: Final = 1.0
ATTEMPTS: Final = 120


@dataclass
class Frost:
    """Freezes the wallet that pays merchants, and thaws it as the operator's command does."""

    journey: Journey
    seed: int

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - a seed has to lead to the same troubles

    async def passes_over(self, chain: str) -> None:
        """Freeze and thaw, however often that has to be tried: database and signer may be dead.

        Raises AssertionError where nothing thaws it.
        """
        frozen = ""
        for _ in range(ATTEMPTS):
            try:
                frozen = frozen or await self._freezes(chain)
                await self._thaws(chain, frozen)
            except (Error, PoolTimeout, CommitUnknown, OutOfPlace, ChainError):
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return
        raise AssertionError(f"the pool's wallet on {chain} stays frozen")

    async def _freezes(self, chain: str) -> str:
        found = await moving.wallets_of(self.journey.desk, chain)
        pool = next(wallet for wallet in found if wallet.role == "pool")
        await moving.freeze(self.journey.desk, pool, "somebody doubts it")
        await asyncio.sleep(self._random.uniform(*FROST_SECONDS))
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
