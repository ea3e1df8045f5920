"""Keeping ready what payments need: deposit addresses in stock, wallets known, factories built."""

from collections.abc import Mapping
from typing import Final

import structlog

from counterfoil.chains.evm.addresses import DepositAddresses
from counterfoil.chains.port import Chain
from counterfoil.desk import provisioning
from counterfoil.desk.desk import Desk
from counterfoil.desk.provisioning import Org, Stock
from counterfoil.signer.client import SignerClient
from counterfoil.workers.runner import alone
from counterfoil.workers.stuck import contradicted

_log: Final = structlog.get_logger("counterfoil.provision")


class ProvisionWorker:
    """Provides for all organisations on the chains it is given."""

    def __init__(
        self,
        desk: Desk,
        chains: Mapping[str, Chain],
        signer: SignerClient,
        stock: Stock | None = None,
    ) -> None:
        """Hold what to work with."""
        self._desk = desk
        self._chains = chains
        self._signer = signer
        self._stock = stock or Stock()

    async def step(self) -> bool:
        """Look after every organisation once; answers whether addresses were added."""
        added = 0
        for org in await provisioning.all_orgs(self._desk):
            with alone(_log, "provision.failed", org_id=org.org_id):
                added += await self._provide(org)
        return bool(added)

    async def _provide(self, org: Org) -> int:
        if not await self._is_the_signers(org):
            return 0
        added = await self._fill(org)
        if org.policy.chains_in("hd"):
            # Whose branch the signer does not tell needs wallets and a factory all the same.
            with alone(_log, "provision.children_failed", org_id=org.org_id):
                added += await self._fill_children(org)
        for chain in self._chains.values():
            with alone(_log, "provision.chain_failed", org_id=org.org_id, chain=chain.key):
                await self._prepare(chain, org)
        return added

    async def _is_the_signers(self, org: Org) -> bool:
        """Whether the signer derives this very factory.

        Whoever can write to the database could otherwise put a factory of their own there, and
        every address given out from then on would pay them.
        """
        wallets = await self._signer.addresses(org.org_id)
        theirs = (wallets.factory, wallets.operator, wallets.pool, wallets.hold, wallets.gas)
        ours = (
            org.factory_address,
            org.operator_address,
            org.pool_address,
            org.hold_address,
            org.gas_address,
        )
        if theirs != ours:
            _log.error("provision.other_wallets", org_id=org.org_id, books=ours, signer=theirs)
        return theirs == ours

    async def _fill(self, org: Org) -> int:
        addresses = DepositAddresses(org.factory_address)
        added = await provisioning.fill(
            self._desk,
            org.org_id,
            addresses.family,
            self._stock,
            addresses.address,
        )
        if added:
            _log.info("provision.addresses", org_id=org.org_id, added=added)
        return added

    async def _fill_children(self, org: Org) -> int:
        children = await self._signer.deposits(org.org_id)
        added = await provisioning.fill_children(
            self._desk, org.org_id, children.family, children.address
        )
        if added:
            _log.info("provision.children", org_id=org.org_id, added=added)
        return added

    async def _stands(self, chain: Chain, factory: str) -> bool:
        """Whether two nodes show a factory's code: once it is taken for there, it stays so."""
        return bool(await chain.code(factory)) and bool(await chain.second_view.code(factory))

    async def _prepare(self, chain: Chain, org: Org) -> None:
        held = await provisioning.knows_wallet(self._desk, chain.key, org.hold_address)
        if held and await provisioning.factory_known(self._desk, org, chain.key):
            return
        wallets = (org.operator_address, org.pool_address, org.hold_address, org.gas_address)
        nonces = {address: await chain.nonce(address, "finalized") for address in wallets}
        for address in (one for one, count in nonces.items() if count):
            # Where a wallet begins is never asked again: behind a gap nothing is ever mined.
            if against := await contradicted(chain, (address, nonces[address] - 1)):
                _log.error("provision.doubted", chain=chain.key, wallet=address, reason=against)
                return
        for wallet in await provisioning.ensure_wallets(self._desk, org, chain.key, nonces):
            _log.info("provision.wallet", chain=chain.key, role=wallet.role, wallet=wallet.address)
        if await self._stands(chain, org.factory_address):
            await provisioning.factory_stands(self._desk, org, chain.key)
        elif await provisioning.plan_factory(self._desk, org, chain.key):
            _log.info("provision.factory_planned", chain=chain.key, factory=org.factory_address)
