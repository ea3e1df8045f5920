"""`House`: a merchant on a real chain, with a real signer and the workers that move its money."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import copyfile
from typing import Final
from uuid import UUID

from counterfoil.books import orgs
from counterfoil.chains.port import Chain
from counterfoil.core.invoice import DepositMode, Invoice, Status, pay_to
from counterfoil.core.money import Asset
from counterfoil.core.ports import Clock
from counterfoil.desk.desk import Desk
from counterfoil.desk.provisioning import Stock
from counterfoil.signer.client import SignerClient
from counterfoil.signer.memory import memory_beside
from counterfoil.signer.service import SignerConfig, serve
from counterfoil.workers.children import ChildFueler
from counterfoil.workers.fuel import FuelWorker
from counterfoil.workers.move import MoveWorker
from counterfoil.workers.provision import ProvisionWorker
from counterfoil.workers.thawing import thaw
from support.chain import LocalChain
from support.fake_clock import NOON
from support.invoices import DUE, MERCHANT_ADDRESS, USDT
from support.patience import patiently
from support.till import ETHER, Till

PASSPHRASE: Final = "correct horse battery"
APPROVAL_KEY: Final = b"k" * 32


@asynccontextmanager
async def running_signer(seed: Path, folder: Path, clock: Clock) -> AsyncIterator[SignerClient]:
    """A signer behind its socket, in this process."""
    config = SignerConfig(
        socket_path=folder / "signer" / "socket",
        seed_path=seed,
        memory_path=folder / "signer" / "memory",
        passphrase=PASSPHRASE,
        approval_key=APPROVAL_KEY,
    )
    if not config.memory_path.exists():
        config.memory_path.parent.mkdir(mode=0o700)
        copyfile(memory_beside(seed), config.memory_path)
    stop = asyncio.Event()
    process = asyncio.create_task(serve(config, clock, stop))
    try:
        async with patiently("the signer's socket"):
            while not config.socket_path.exists() and not process.done():
                await asyncio.sleep(0.01)
        yield SignerClient(config.socket_path)
    finally:
        stop.set()
        async with patiently("the signer's end"):
            await process


class House(Till):
    """A till whose wallets are the signer's and whose invoices are paid on the chain ``arb``."""

    def __init__(self, desk: Desk, arb: LocalChain, signer: SignerClient, org_id: int = 1) -> None:
        super().__init__(desk, org_id)
        self.arb = arb
        self.signer = signer
        self.chains = {"arb": arb.chain}

    async def open(self) -> "House":
        ours = await self.signer.addresses(self.org_id)
        org = orgs.Org(
            org_id=self.org_id,
            name="Merchant",
            client_id=f"client_{self.org_id}",
            factory_address=ours.factory,
            operator_address=ours.operator,
            pool_address=ours.pool,
            hold_address=ours.hold,
            gas_address=ours.gas,
            policy=orgs.OrgPolicy(),
            callback_secret_version=1,
        )
        async with self.desk.database.transaction() as tx:
            await orgs.insert(tx, org, NOON)
        return self

    def worker(self) -> MoveWorker:
        """A worker as a newly started process has it, with no memory of earlier ones."""
        return MoveWorker(self.desk, self.chains, self.signer)

    async def thaw(self, explained: Collection[int] = (), chain: Chain | None = None) -> list[UUID]:
        """Somebody lets the pool's wallet sign again, and names nonces that they have looked up."""
        pool = (await self.org()).pool_address
        return await thaw(
            self.desk,
            chain or self.arb.chain,
            self.signer,
            pool,
            by="operator:kim",
            reason="looked at the chain",
            explained=explained,
        )

    async def provide(self) -> None:
        """Addresses and a factory are wanted, and somebody sent the gas station an ether."""
        await self.arb.node.set_balance((await self.org()).gas_address, ETHER)
        await self.finalize()
        await self.provision()
        await self.fuel()

    async def fuel(self) -> None:
        await FuelWorker(self.desk, self.chains).step()

    async def settled_in(self) -> "House":
        """Everything is provided, deployed and fuelled, on the chain and in the books."""
        await self.provide()
        await self.drive()
        await self.provision()
        return self

    async def fuel_children(self) -> bool:
        return await ChildFueler(self.desk, self.chains, self.signer).step()

    async def provision(self) -> None:
        stock = Stock(low_water=5, target=20)
        await ProvisionWorker(self.desk, self.chains, self.signer, stock).step()

    async def finalize(self) -> None:
        """All that happened so far is final, and the watcher has read it."""
        await self.arb.finalize()
        block = await self.arb.chain.block("finalized")
        assert block is not None
        await self.watched_to(block.number, block_hash=block.hash)

    async def drive(self, worker: MoveWorker | None = None, rounds: int = 3) -> None:
        """Let a worker go on until what it can do is done."""
        worker = worker or self.worker()
        for _ in range(rounds):
            # One step has it signed, the next has it sent.
            await self.fuel_children()
            await worker.step()
            await worker.step()
            await self.finalize()

    async def stock(self, how_many: int) -> list[str]:
        """Nothing to do: the provision worker filled the stock."""
        return [""] * how_many

    async def paid_bill(self, units: int = DUE, asset: Asset = USDT) -> Invoice:
        """An invoice that a customer paid on the chain, found clean."""
        bill = await self.bill(due_units=units, assets=(asset,), status=Status.SIGN_PENDING)
        await self.pay(bill, pay_to(bill, asset), units, asset)
        await self.finalize()
        await self.screened(bill)
        return bill

    async def pay(self, bill: Invoice, to: str, units: int, asset: Asset = USDT) -> None:
        """A customer pays one of the invoice's addresses on the chain; the books hear of it."""
        receipt = await self.arb.pay(asset, to, units)
        mode: DepositMode = "hd" if to == bill.hd_address else "factory"
        await self.receive(bill, units, asset, block=receipt.block_number, mode=mode)

    async def at_merchant(self, asset: Asset = USDT) -> int:
        """What the merchant's own address holds on the chain."""
        return await self.arb.balance(asset, MERCHANT_ADDRESS)
