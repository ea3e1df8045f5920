"""What goes wrong with one organisation or one row keeps no other waiting."""

from dataclasses import replace

import pytest

from counterfoil.chains.evm.hd import HdAddresses
from counterfoil.chains.port import ChainError, ChainUnreachable, Receipt
from counterfoil.core.invoice import Invoice
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.db.rows import all_values
from counterfoil.desk import attaching, settings
from counterfoil.desk.desk import Desk
from counterfoil.desk.provisioning import Stock
from counterfoil.signer.client import SignerUnreachable
from counterfoil.signer.orders import WalletAddresses
from counterfoil.workers import attach
from counterfoil.workers.attach import Attacher
from counterfoil.workers.fuel import FuelWorker
from counterfoil.workers.provision import ProvisionWorker
from support.fake_chain import FakeChain, FakeTx, Moved
from support.fake_clock import FakeClock
from support.invoices import CUSTOMER, ETH, STRANGER
from support.pen import Pen
from support.shop import desk_on
from support.till import ETHER, Till
from support.tower import Tower

OFFICER = Actor("user_officer", 1, frozenset({Permission.REVIEW, Permission.READ}))
ROUTER = "0x" + "70" * 20


@pytest.fixture
async def merchants(database: Database) -> list[Till]:
    desk = desk_on(database)
    return [await Till(desk, org_id).open() for org_id in (1, 2)]


class Forgetful(Pen):
    """Something is wrong with what it tells of the first organisation."""

    def __init__(self, desk: Desk, *, branch: Exception, wallets: Exception | None = None) -> None:
        super().__init__(desk)
        self._wrong = {"branch": branch, "wallets": wallets}

    async def addresses(self, org_id: int) -> WalletAddresses:
        wrong = self._wrong["wallets"]
        if org_id == 1 and wrong is not None:
            raise wrong
        return await super().addresses(org_id)

    async def deposits(self, org_id: int) -> HdAddresses:
        del org_id
        assert self._wrong["branch"] is not None
        raise self._wrong["branch"]


async def in_stock(merchant: Till) -> int:
    query = "SELECT number FROM ingest.address_owner WHERE org_id = %(org_id)s"
    async with merchant.desk.database.reading() as tx:
        return len(await all_values(tx, int, query, {"org_id": merchant.org_id}))


@pytest.mark.parametrize("wrong", [SignerUnreachable("no answer"), RuntimeError("what is this?")])
async def test_addresses_are_kept_ready_for_all_whatever_is_wrong_with_one(
    merchants: list[Till], wrong: Exception
) -> None:
    first, second = merchants
    chain = FakeChain(FakeClock())
    await settings.choose_deposits(first.desk, 1, "arb", "hd")
    signer = Forgetful(first.desk, branch=wrong)
    await ProvisionWorker(first.desk, {"arb": chain}, signer, Stock(5, 20)).step()
    assert [await in_stock(first), await in_stock(second)] == [20, 20]
    assert (await first.wallet("pool")).chain == "arb", "the rest of what it needs is provided"

    third = await Till(first.desk, 3).open()
    signer = Forgetful(first.desk, branch=wrong, wallets=wrong)
    assert await ProvisionWorker(first.desk, {"arb": chain}, signer, Stock(5, 20)).step()
    assert await in_stock(third) == 20


class Picky(FakeChain):
    """A node that does not tell how much one wallet has sent."""

    wrong: Exception
    about: str = ""
    asked: frozenset[str] = frozenset()

    async def nonce(self, address: str, at: str) -> int:
        self.asked |= {address}
        if address == self.about:
            raise self.wrong
        return await super().nonce(address, at)


async def test_gas_money_of_all_is_booked_whatever_is_wrong_with_one(
    merchants: list[Till],
) -> None:
    first, second = [await one.ready(gas_wei=1) for one in merchants]
    chain = Picky(FakeClock())
    chain.about = (await first.org()).operator_address
    for merchant in merchants:
        chain.include(Moved("", CUSTOMER, (await merchant.org()).gas_address, ETHER))
    chain.mine(10)
    for wrong in (RuntimeError("what is this?"), ChainError("refused")):
        chain.wrong = wrong
        await FuelWorker(first.desk, {"arb": chain}).step()
        assert [await first.holds("gas"), await second.holds("gas")] == [1, ETHER]

    # A chain that is away is not asked about everybody in vain.
    chain.wrong, chain.asked = ChainUnreachable("away"), frozenset()
    await FuelWorker(first.desk, {"arb": chain}).step()
    assert (await second.org()).operator_address not in chain.asked


class Torn(FakeChain):
    """A node whose receipts name a block that it does not have any more."""

    about: str = ""

    async def receipt(self, tx_hash: str) -> Receipt | None:
        found = await super().receipt(tx_hash)
        if found is None or tx_hash != self.about:
            return found
        return replace(found, block_hash="0x" + "0d" * 32)


async def test_claims_are_checked_whatever_is_wrong_with_the_first_of_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "AT_ONCE", 1)
    clock = FakeClock()
    tower = Tower(desk_on(database, clock), clock, Torn(clock))
    await tower.shop.open()
    await tower.watch()
    chain = tower.chain
    assert isinstance(chain, Torn)
    chain.faults.no_traces = True
    chain.codes[ROUTER] = b"\x60"
    first, second = [await paid_from_inside(tower, by) for by in (CUSTOMER, STRANGER)]
    tower.mine(8)
    await tower.watch()
    chain.about = first[1].tx_hash
    for bill, tx in (first, second):
        await named(tower, bill, tx)

    attacher = Attacher(tower.desk, {"arb": chain})
    assert [await attacher.step() for _ in range(3)] == [0, 1, 0]
    assert (await tower.shop.look(second[0])).tally.payers == (STRANGER,)
    chain.about = ""
    clock.advance(attach.ASK_AGAIN)
    assert await attacher.step() == 1
    assert (await tower.shop.look(first[0])).tally.payers == (CUSTOMER,)


async def paid_from_inside(tower: Tower, by: str) -> tuple[Invoice, FakeTx]:
    """An invoice in ether, and the transaction inside which a contract paid it unseen."""
    bill = await tower.shop.bill(assets=(ETH,), due_units=ETHER)
    inside = tower.chain.include(Moved("", ROUTER, bill.deposit_address, ETHER, "call"))
    tx = tower.chain.pool[-1] = replace(inside, sender=by, to=ROUTER)
    tower.mine()
    return bill, tx


async def named(tower: Tower, bill: Invoice, tx: FakeTx) -> None:
    """Compliance names a transaction, long enough after any other to come behind it."""
    (row,) = await tower.shop.transfers(bill)
    await attaching.attach(
        tower.desk,
        bill.invoice_id,
        OFFICER,
        transfer=row.tx_hash,
        tx_hash=tx.tx_hash,
        reason="their wallet shows it",
    )
    tower.clock.advance(attach.ASK_AGAIN)
