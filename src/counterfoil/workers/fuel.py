"""Gas: book what comes from outside, and keep the wallets that sign supplied from one station."""

from collections.abc import Mapping
from typing import Final

import structlog

from counterfoil.chains.port import Chain, ChainUnreachable
from counterfoil.desk import moving, provisioning
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import WalletRow
from counterfoil.desk.provisioning import FuelLevels
from counterfoil.workers.final_looks import FinalLooks
from counterfoil.workers.runner import alone

_log: Final = structlog.get_logger("counterfoil.fuel")


class FuelWorker:
    """The gas station of all organisations on the chains it is given."""

    def __init__(
        self, desk: Desk, chains: Mapping[str, Chain], levels: FuelLevels | None = None
    ) -> None:
        """Hold what to work with."""
        self._desk = desk
        self._chains = chains
        self._levels = levels or FuelLevels()
        self._looks = FinalLooks()

    async def step(self) -> bool:
        """Look at every wallet once; answers whether anything was booked."""
        busy = False
        for chain in self._chains.values():
            with alone(_log, "fuel.chain_failed", chain=chain.key):
                busy |= await self._round(chain)
        return busy

    async def _round(self, chain: Chain) -> bool:
        by_org: dict[int, list[WalletRow]] = {}
        for wallet in await moving.wallets_of(self._desk, chain.key):
            by_org.setdefault(wallet.org_id, []).append(wallet)
        booked = False
        for org_id, wallets in by_org.items():
            # A chain that is away is away for all: each would wait for it in vain.
            with alone(
                _log, "fuel.failed", but=(ChainUnreachable,), chain=chain.key, org_id=org_id
            ):
                booked |= await self._book(chain, org_id, wallets)
                await self._plan(chain, org_id)
        return booked

    async def _book(self, chain: Chain, org_id: int, wallets: list[WalletRow]) -> bool:
        addresses = [wallet.address for wallet in wallets]
        look = await self._looks.look(chain, org_id, addresses)
        if look is None or not await provisioning.gifts(self._desk, org_id, chain.key, look.seen):
            return False
        look = await self._looks.agreed(chain, look)
        funded = await provisioning.book_funding(
            self._desk, org_id, chain.key, look.block.number, look.seen
        )
        for one in funded:
            _log.info(
                "fuel.funded",
                chain=chain.key,
                role=one.wallet.role,
                wallet=one.wallet.address,
                amount_wei=one.amount_wei,
            )
        return bool(funded)

    async def _plan(self, chain: Chain, org_id: int) -> None:
        short = await provisioning.plan_fuel(
            self._desk,
            org_id,
            chain.key,
            low_wei=self._levels.low_wei,
            target_wei=self._levels.target_wei,
            day_wei=self._levels.day_on(chain.key),
        )
        for one in short:
            _log.warning(
                "fuel.station_low" if one.day_wei is None else "fuel.day_used_up",
                chain=chain.key,
                station=one.gas_address,
                has_wei=one.has_wei,
                needs_wei=one.needs_wei,
                role=one.wallet.role,
            )
