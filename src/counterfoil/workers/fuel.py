"""Gas: book what comes from outside, and keep the wallets that sign supplied from one station."""

from collections.abc import Mapping
from typing import Final

import structlog

from counterfoil.chains.port import Chain, ChainError
from counterfoil.desk import moving, provisioning
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import WalletRow
from counterfoil.desk.provisioning import FuelLevels, Seen

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

    async def step(self) -> bool:
        """Look at every wallet once; answers whether anything was booked."""
        busy = False
        for chain in self._chains.values():
            try:
                busy |= await self._round(chain)
            except ChainError as error:
                _log.warning("fuel.chain_failed", chain=chain.key, reason=str(error))
        return busy

    async def _round(self, chain: Chain) -> bool:
        by_org: dict[int, list[WalletRow]] = {}
        for wallet in await moving.wallets_of(self._desk, chain.key):
            by_org.setdefault(wallet.org_id, []).append(wallet)
        booked = False
        for org_id, wallets in by_org.items():
            booked |= await self._book(chain, org_id, wallets)
            await self._plan(chain, org_id)
        return booked

    async def _book(self, chain: Chain, org_id: int, wallets: list[WalletRow]) -> bool:
        block = await chain.block("finalized")
        if block is None:
            return False
        addresses = [wallet.address for wallet in wallets]
        nonces = [await chain.nonce(address, "finalized") for address in addresses]
        balances = await chain.token_balances("", addresses, block.number)
        if await chain.block("finalized") != block:
            # The nonces may be those of a newer block than the balances.
            return False
        seen = [
            Seen(address, nonce, balance)
            for address, nonce, balance in zip(addresses, nonces, balances, strict=True)
        ]
        funded = await provisioning.book_funding(self._desk, org_id, chain.key, block.number, seen)
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
