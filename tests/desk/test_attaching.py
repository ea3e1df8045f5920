"""A payment whose transaction nobody knows: held, named by a reviewer, checked by the chain."""

from dataclasses import dataclass, replace

import pytest

from counterfoil.books import audit
from counterfoil.books.transfers import NOBODY
from counterfoil.core.errors import Conflict, Forbidden, Invalid, NotFound, OutOfPlace
from counterfoil.core.invoice import Context, Invoice, Status
from counterfoil.core.reckoning import Depth
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.desk import attaching, proving
from counterfoil.desk.queries import InvoiceView
from counterfoil.workers.attach import Attacher
from support.bureau import LISTED, Bureau, opened
from support.fake_chain import FakeChain, FakeTx, Moved
from support.invoices import CUSTOMER, ETH, STRANGER
from support.till import ETHER
from support.tower import Tower

OFFICER = Actor("user_officer", 1, frozenset({Permission.REVIEW, Permission.READ}))
READER = Actor("user_reader", 1, frozenset({Permission.READ}))
ROUTER = "0x" + "70" * 20
NO_SUCH = "0x" + "99" * 32
SMUGGLER = "0x" + "5e" * 20


@dataclass
class Case:
    """An invoice in ether, paid from inside a transaction that the node does not trace."""

    tower: Tower
    bureau: Bureau
    bill: Invoice
    tx: FakeTx

    @property
    def placeholder(self) -> str:
        return f"internal:{self.block}:{self.bill.deposit_address}"

    block: int = 0

    async def settle(self) -> None:
        self.tower.mine(8)
        await self.tower.watch()

    async def names(self, tx_hash: str, by: Actor = OFFICER, transfer: str = "") -> InvoiceView:
        return await attaching.attach(
            self.tower.desk,
            self.bill.invoice_id,
            by,
            transfer=transfer or self.placeholder,
            tx_hash=tx_hash,
            reason="their wallet shows it",
        )

    async def checks(self) -> int:
        return await Attacher(self.tower.desk, {"arb": self.tower.chain}).step()

    async def screens(self) -> Invoice:
        return await self.bureau.screens(self.bill)

    async def entries(self) -> list[tuple[str, str, str]]:
        """Event, who, and why, of what was said about transactions."""
        async with self.tower.desk.database.reading() as tx:
            found = await audit.of_invoice(tx, 1, self.bill.invoice_id)
        return [
            (e.event, e.operator_uid, e.reason) for e, _ in found if e.event.startswith("transact")
        ]


@pytest.fixture
async def case(database: Database) -> Case:
    return await paid_by(database, CUSTOMER)


async def paid_by(database: Database, sender: str, router: str = ROUTER) -> Case:
    bureau = await opened(database)
    await bureau.knows_the_rate("100000", "ETH")
    chain = FakeChain(bureau.clock)
    chain.faults.no_traces = True
    chain.codes[router] = b"\x60"
    tower = Tower(bureau.desk, bureau.clock, chain)
    await tower.watch()
    bill = await tower.shop.bill(assets=(ETH,), due_units=ETHER)
    inside = Moved("", router, bill.deposit_address, ETHER, how="call")
    tx = replace(chain.include(inside), sender=sender, to=router)
    chain.pool[-1] = tx
    tower.mine()
    case = Case(tower, bureau, bill, tx, block=chain.head.number)
    await tower.watch()
    return case


async def test_an_unknown_payer_is_a_matter_for_people(case: Case) -> None:
    await case.settle()
    held = await case.screens()
    assert (held.status, held.context) == (Status.COMPLIANCE_HOLD, Context.HIGH_RISK)
    assert held.tally.payers == (NOBODY,)
    run = await case.bureau.run(case.bill)
    assert run.decision == "manual_review"
    assert case.bureau.provider.asked == []


async def test_a_named_transaction_gives_the_payment_a_payer_who_is_screened(case: Case) -> None:
    await case.settle()
    await case.screens()
    await case.names(case.tx.tx_hash)
    assert (await case.tower.shop.look(case.bill)).tally.payers == (NOBODY,)
    assert await case.checks() == 1

    after = await case.screens()
    assert after.tally.payers == (CUSTOMER,)
    assert set(case.bureau.provider.asked) == {CUSTOMER, ROUTER}
    run = await case.bureau.run(case.bill)
    assert run.decision == "clear"
    assert after.screening is not None
    assert after.screening.covers_all(after.tally)
    # What held it was a finding, which only people lift.
    assert after.status is Status.COMPLIANCE_HOLD
    (row,) = await case.tower.shop.transfers(case.bill)
    assert (row.known_tx_hash, row.known_payer) == (case.tx.tx_hash, CUSTOMER)
    assert row.tx_hash == case.placeholder
    assert await case.tower.shop.deposited(case.bill, ETH) == ETHER
    assert await case.entries() == [
        ("transaction_named", "user_officer", "their wallet shows it"),
        ("transaction_checked", "system:attach", ""),
    ]
    assert (await proving.verify_audit(case.tower.desk)).breaks == ()
    assert await case.checks() == 0


@pytest.mark.parametrize("where", ["payer", "contract"])
async def test_a_sanctioned_origin_comes_to_light(database: Database, where: str) -> None:
    """Who sent the transaction and the contract that handed the money on are both asked about."""
    case = await paid_by(database, *((LISTED, ROUTER) if where == "payer" else (CUSTOMER, LISTED)))
    await case.settle()
    await case.screens()
    await case.names(case.tx.tx_hash)
    await case.checks()
    after = await case.screens()
    assert (after.status, after.context) == (Status.COMPLIANCE_HOLD, Context.SANCTIONED)


async def test_the_chain_refuses_what_cannot_be_it(case: Case) -> None:
    chain = case.tower.chain
    await case.settle()
    other = chain.include(Moved("", STRANGER, ROUTER, 1))
    failed = chain.include(Moved("", STRANGER, ROUTER, 1), reverts=True)
    await case.settle()
    for tx_hash, why in (
        (NO_SUCH, f"the chain does not know {NO_SUCH}"),
        (other.tx_hash, f"{other.tx_hash} is in another block than the payment"),
        (failed.tx_hash, f"{failed.tx_hash} failed, so nothing was paid with it"),
    ):
        await case.names(tx_hash)
        await case.checks()
        assert (await case.entries())[-1] == ("transaction_checked", "system:attach", why)
    assert (await case.tower.shop.look(case.bill)).tally.payers == (NOBODY,)

    # A refusal is not the end: the right one may still be named.
    await case.names(case.tx.tx_hash.upper().replace("0X", "0x"))
    await case.checks()
    assert (await case.tower.shop.look(case.bill)).tally.payers == (CUSTOMER,)


async def test_a_stranger_of_the_same_block_is_not_the_payer(database: Database) -> None:
    """Neither one who only paid somebody else, nor one whose trace shows nothing for us."""
    case = await paid_by(database, CUSTOMER)
    chain = case.tower.chain
    bill = await case.tower.shop.bill(assets=(ETH,), due_units=ETHER)
    plain = chain.include(Moved("", STRANGER, "0x" + "51" * 20, 1))
    plain = chain.pool[-1] = replace(plain, to="0x" + "51" * 20)
    called = chain.include(Moved("", ROUTER, "0x" + "52" * 20, 1, "call"))
    called = chain.pool[-1] = replace(called, sender=STRANGER, to=ROUTER)
    unknown = chain.include(Moved("", ROUTER, bill.deposit_address, ETHER, "forced"))
    unknown = chain.pool[-1] = replace(unknown, sender=SMUGGLER, to=ROUTER)
    case.tower.mine()
    here = Case(case.tower, case.bureau, bill, unknown, block=chain.head.number)
    await here.settle()

    await here.names(plain.tx_hash)
    await here.checks()
    assert (await here.entries())[-1][
        2
    ] == f"{plain.tx_hash} called no contract, so it handed nothing on"
    chain.faults.no_traces = False
    await here.names(called.tx_hash)
    await here.checks()
    assert (await here.entries())[-1][2].startswith(f"{called.tx_hash} paid 0 wei to this address")
    assert (await case.tower.shop.look(bill)).tally.payers == (NOBODY,)

    await here.names(unknown.tx_hash)
    await here.checks()
    assert (await case.tower.shop.look(bill)).tally.payers == (SMUGGLER,)


async def test_one_transaction_is_named_for_one_payment(case: Case) -> None:
    await case.settle()
    await case.names(case.tx.tx_hash)
    await case.checks()
    chain = case.tower.chain
    bill = await case.tower.shop.bill(assets=(ETH,), due_units=ETHER)
    chain.include(Moved("", ROUTER, bill.deposit_address, ETHER, "call"))
    case.tower.mine()
    other = Case(case.tower, case.bureau, bill, case.tx, block=chain.head.number)
    await other.settle()
    await other.names(case.tx.tx_hash)
    (claim,) = await attaching.to_check(case.tower.desk, "arb", 10)
    (row,) = await case.tower.shop.transfers(bill)
    same = attaching.Origin(row.block_hash, ok=True, sender=CUSTOMER, to=ROUTER)
    refused = await attaching.check(case.tower.desk, claim, same)
    assert refused == f"{case.tx.tx_hash} came with another payment already"
    assert (await case.tower.shop.look(bill)).tally.payers == (NOBODY,)


async def test_only_compliance_says_what_came_from_where_and_once(case: Case) -> None:
    await case.settle()
    with pytest.raises(Forbidden, match="compliance:review"):
        await case.names(case.tx.tx_hash, READER)
    with pytest.raises(NotFound):
        await case.names(case.tx.tx_hash, replace(OFFICER, org_id=2))
    with pytest.raises(Invalid, match="64 hex digits"):
        await case.names("0x12")
    with pytest.raises(Invalid, match=case.placeholder):
        await case.names(case.tx.tx_hash, transfer="internal:1:0x00")
    await case.names(case.tx.tx_hash)
    with pytest.raises(Conflict):
        await case.names(NO_SUCH)
    await case.checks()
    with pytest.raises(OutOfPlace, match=f"came with {case.tx.tx_hash}"):
        await case.names(NO_SUCH)


async def test_nothing_is_named_before_the_block_is_final(case: Case) -> None:
    with pytest.raises(OutOfPlace, match="not yet final"):
        await case.names(case.tx.tx_hash)


async def test_what_was_attached_stays_and_two_checkers_settle_it_once(case: Case) -> None:
    await case.settle()
    await case.names(case.tx.tx_hash)
    (claim,) = await attaching.to_check(case.tower.desk, "arb", 10)
    found = attaching.Origin(
        block_hash=(await case.tower.shop.transfers(case.bill))[0].block_hash,
        ok=True,
        sender=CUSTOMER,
        to=None,
    )
    for sender in (CUSTOMER, STRANGER):
        await attaching.check(case.tower.desk, claim, replace(found, sender=sender))
    await case.settle()
    (row,) = await case.tower.shop.transfers(case.bill)
    assert (row.attached_sender, row.depth) == (CUSTOMER, Depth.FINAL)
    assert len(await case.entries()) == 2


async def test_a_chain_that_is_away_is_asked_again(case: Case) -> None:
    await case.settle()
    await case.names(case.tx.tx_hash)
    case.tower.chain.faults.unreachable = True
    assert await case.checks() == 0
    case.tower.chain.faults.unreachable = False
    assert await case.checks() == 1
