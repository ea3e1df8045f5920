"""`Shop`: a merchant with deposit addresses and invoices to be paid, in the real books."""

from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Final, Self

from counterfoil.books import addresses, audit, invoices, ledger, orgs, transfers
from counterfoil.books.addresses import DepositAddress
from counterfoil.books.transfers import TransferRow
from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.clock import TimeSortedIds
from counterfoil.core.content import content_hash
from counterfoil.core.invoice import Invoice, PaymentRequest, Policy, Status
from counterfoil.core.money import Asset
from counterfoil.core.ports import Clock
from counterfoil.core.roles import Actor
from counterfoil.db.pool import Database
from counterfoil.desk.desk import Desk
from counterfoil.desk.record import opened
from support.fake_clock import NOON, FakeClock
from support.invoices import DEADLINE, DUE, USDT, invoice

POOL: Final = "0x" + "b0" * 20

_ADDRESSES: Final = count(1)


def desk_on(database: Database, clock: Clock | None = None) -> Desk:
    """A desk whose clock is in the hands of the test, unless it brings another."""
    return Desk(
        database=database,
        clock=clock or FakeClock(),
        ids=TimeSortedIds(),
        addresses={"evm": parse_evm_address},
        approval_key=b"k" * 32,
    )


class Shop:
    """One organisation. Its invoices are over 100 USDT on Arbitrum unless told otherwise."""

    def __init__(self, desk: Desk, org_id: int = 1) -> None:
        self.desk = desk
        self.org_id = org_id

    async def open(self) -> Self:
        org = orgs.Org(
            org_id=self.org_id,
            name=f"Merchant {self.org_id}",
            client_id=f"client_{self.org_id}",
            factory_address=f"0xfac{self.org_id:037x}",
            operator_address=f"0x0e{self.org_id:038x}",
            pool_address=POOL if self.org_id == 1 else f"0xb0{self.org_id:038x}",
            hold_address=f"0xc0{self.org_id:038x}",
            gas_address=f"0x9a{self.org_id:038x}",
            policy=orgs.OrgPolicy(),
            callback_secret_version=1,
        )
        async with self.desk.database.transaction() as tx:
            await orgs.insert(tx, org, NOON)
        return self

    async def stock(self, how_many: int) -> list[str]:
        """Deposit addresses that no invoice has taken yet."""
        async with self.desk.database.transaction() as tx:
            numbers = await addresses.claim_numbers(tx, self.org_id, how_many)
            stock = [DepositAddress(n, f"0xdd{next(_ADDRESSES):038x}") for n in numbers]
            await addresses.add(tx, self.org_id, "evm", stock)
        return [new.address for new in stock]

    async def bill(  # noqa: PLR0913 - what a test may care about, all with defaults
        self,
        *,
        due_units: int = DUE,
        assets: tuple[Asset, ...] = (USDT,),
        deadline_at: datetime = DEADLINE,
        policy: Policy | None = None,
        status: Status = Status.AWAITING_PAYMENT,
        callback_url: str | None = None,
    ) -> Invoice:
        """An invoice with a deposit address of its own, ready to be paid."""
        await self.stock(1)
        invoice_id = self.desk.ids.new()
        by = Actor(uid="user_maker", org_id=self.org_id, permissions=frozenset())

        async with self.desk.database.transaction() as tx:
            taken = await addresses.take(tx, self.org_id, "evm", invoice_id)
            assert taken is not None
            number, address = taken
            org = await orgs.get(tx, self.org_id)
            assert org is not None
            hd_chains = org.policy.chains_in("hd")
            child = await addresses.child_of(tx, self.org_id, "evm", number)
            made = replace(
                invoice(status),
                org_id=self.org_id,
                invoice_id=invoice_id,
                number=number,
                deposit_address=address,
                hd_address=child if hd_chains else None,
                hd_chains=hd_chains,
                requests=tuple(PaymentRequest(asset, due_units, None) for asset in assets),
                deadline_at=deadline_at,
                policy=policy or Policy(),
                callback_url=callback_url,
            )
            if status is not Status.APPROVAL_PENDING:
                made = replace(made, approved_hash=content_hash(made))
            return await opened(self.desk, tx, made, by)

    async def look(self, bill: Invoice) -> Invoice:
        """The invoice as it is now."""
        async with self.desk.database.reading() as tx:
            found = await invoices.get(tx, bill.org_id, bill.invoice_id)
        assert found is not None
        return found

    async def status(self, bill: Invoice) -> Status:
        return (await self.look(bill)).status

    async def transfers(self, bill: Invoice) -> list[TransferRow]:
        async with self.desk.database.reading() as tx:
            return await transfers.of_invoices(tx, bill.org_id, [bill.invoice_id])

    async def deposited(self, bill: Invoice, asset: Asset = USDT) -> int:
        """What the ledger says lies at the invoice's deposit address."""
        async with self.desk.database.reading() as tx:
            return await ledger.balance(
                tx,
                bill.org_id,
                "deposit",
                asset.chain,
                asset.contract,
                invoice_id=bill.invoice_id,
            )

    async def history(self, bill: Invoice) -> list[str]:
        """The names of the events that happened to the invoice, oldest first."""
        async with self.desk.database.reading() as tx:
            entries = await audit.of_invoice(tx, bill.org_id, bill.invoice_id)
        return [entry.event for entry, _ in entries]
