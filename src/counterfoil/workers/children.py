"""Gas for deposit addresses that have keys of their own, as soon as they have tokens to sweep."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Final

import structlog

from counterfoil.chains.evm.transactions import transfer_calldata
from counterfoil.chains.port import Chain
from counterfoil.desk import children, moving, stuck
from counterfoil.desk.children import WAITING_FOR_GAS, ChildSweep, Levels
from counterfoil.desk.desk import Desk
from counterfoil.desk.provisioning import FuelLevels
from counterfoil.desk.stuck import TxRow
from counterfoil.signer.client import SignerClient
from counterfoil.workers.evm_moves import (
    gas_limit,
    least_data_fee_wei,
    least_fee_wei,
    most_data_fee_wei,
)
from counterfoil.workers.final_looks import FinalLooks
from counterfoil.workers.runner import alone
from counterfoil.workers.stuck import contradicted

_log: Final = structlog.get_logger("counterfoil.children")

_NO_OLD_STATE: Final = (
    "no node tells what its address had at a final block; it goes on once a block of just now is"
    " final"
)


class ChildFueler:
    """Looks for sweeps that cannot pay what the chain takes, on the chains it is given."""

    def __init__(
        self,
        desk: Desk,
        chains: Mapping[str, Chain],
        signer: SignerClient,
        levels: FuelLevels | None = None,
    ) -> None:
        """Hold what to work with; the station keeps the lower level for its own fees."""
        self._desk = desk
        self._chains = chains
        self._signer = signer
        self._levels = levels or FuelLevels()
        self._turns = children.Turns(desk)
        self._looks = FinalLooks()

    async def step(self) -> bool:
        """Look at every sweep that may start or lacks gas; answers whether fuel was planned."""
        busy = False
        for chain in self._chains.values():
            seen: set[str] = set()
            for sweep, signed in await children.short_of_gas(self._desk, chain.key):
                seen.add(sweep.address)
                with self._alone(chain, sweep):
                    busy |= await self._look_again(chain, sweep, signed)
            for sweep in await self._turns.sweeps(chain.key):
                # One at a time from each address: the next is reckoned when this one is paid for.
                if sweep.address in seen:
                    continue
                seen.add(sweep.address)
                with self._alone(chain, sweep):
                    busy |= await self._look(chain, sweep)
        return busy

    @staticmethod
    def _alone(chain: Chain, sweep: ChildSweep) -> AbstractContextManager[None]:
        return alone(_log, "children.failed", chain=chain.key, child=sweep.address)

    async def _look(self, chain: Chain, sweep: ChildSweep) -> bool:
        derived = await self._signer.deposits(sweep.org_id)
        if derived.address(sweep.number) != sweep.address:
            reason = f"{sweep.address} is no deposit address of the signer's branch"
            _log.error("children.stranger", chain=chain.key, child=sweep.address)
            await moving.park(self._desk, sweep.org_id, {sweep.move_id: reason})
            return False
        known = await children.is_known(self._desk, chain.key, sweep.address)
        if not known and not await self._meet(chain, sweep):
            return False
        return await self._plan(chain, sweep, await self._cost(chain, sweep))

    async def _look_again(self, chain: Chain, sweep: ChildSweep, signed: TxRow) -> bool:
        """Bring what a sweep lacks that is signed already, or its dearer sibling."""
        return await self._plan(chain, sweep, await self._cost_of(chain, sweep, signed), signed)

    async def _plan(
        self, chain: Chain, sweep: ChildSweep, levels: Levels, signed: TxRow | None = None
    ) -> bool:
        purse = await children.plan_fuel(self._desk, chain.key, sweep, levels, signed)
        if purse.short is not None:
            _log.warning("children.station_low", chain=chain.key, reason=purse.short)
        return purse.fuelled

    async def _meet(self, chain: Chain, sweep: ChildSweep) -> bool:
        """Learn an address's nonce and coin before it signs for the first time."""
        look = await self._looks.look(chain, sweep.address, [sweep.address])
        if look is None:
            if self._looks.waits(chain, sweep.address):
                await children.wait(self._desk, sweep, _NO_OLD_STATE)
            return False
        (seen,) = (await self._looks.agreed(chain, look)).seen
        if seen.nonce and (against := await contradicted(chain, (seen.address, seen.nonce - 1))):
            why = f"a node counts {seen.nonce} transactions of its address, and another: {against}"
            await children.wait(self._desk, sweep, why)
            return False
        await children.ensure(self._desk, chain.key, sweep, seen, look.block.number)
        return True

    async def _cost(self, chain: Chain, sweep: ChildSweep) -> Levels:
        """What the sweep costs at least and at most, reckoned as when it is signed."""
        data = await self._calldata(sweep)
        gas = await chain.estimate_gas(sweep.address, sweep.contract, data)
        fees = await chain.fees()
        limit = gas_limit(gas, "child")
        data_fee_wei = await chain.data_fee_wei(data)
        return Levels(
            limit * least_fee_wei(fees) + least_data_fee_wei(data_fee_wei),
            limit * fees.max_fee_wei + most_data_fee_wei(data_fee_wei),
            self._levels.low_wei,
            self._levels.day_on(chain.key),
        )

    async def _cost_of(self, chain: Chain, sweep: ChildSweep, signed: TxRow) -> Levels:
        """What a sweep costs that is signed; of one that is not mined, its next sibling."""
        data_fee_wei = await chain.data_fee_wei(await self._calldata(sweep))
        if signed.send_error == WAITING_FOR_GAS:
            gas_wei = signed.gas_limit * signed.max_fee_wei
            most_gas_wei = gas_wei
        else:
            fees = await chain.fees()
            terms = stuck.dearer(signed, fees.max_fee_wei, fees.tip_wei)
            gas_wei, most_gas_wei = terms.cost_wei, terms.cost_wei * 5 // 4
        return Levels(
            gas_wei + least_data_fee_wei(data_fee_wei),
            most_gas_wei + most_data_fee_wei(data_fee_wei),
            self._levels.low_wei,
            self._levels.day_on(chain.key),
        )

    async def _calldata(self, sweep: ChildSweep) -> bytes:
        wallets = await self._signer.addresses(sweep.org_id)
        to = wallets.hold if sweep.purpose == "quarantine" else wallets.pool
        return transfer_calldata(to, sweep.amount_units)
