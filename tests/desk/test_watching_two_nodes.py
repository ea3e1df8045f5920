"""Large payments are final only when two nodes agree; what happens while they do not."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from counterfoil.chains.port import At, Attestation, Block, ChainUnreachable, Receipt
from counterfoil.cli_watch import needing_a_person
from counterfoil.core import reckoning
from counterfoil.core.invoice import Status, pay_to
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database
from counterfoil.desk import doubting, landing, moving, provisioning, settings
from counterfoil.desk.landing import Landed, LandedItem, Settled
from counterfoil.workers.branch import FinalityBroken
from counterfoil.workers.watch import NOT_AGREED_AFTER
from support.fake_chain import FakeChain
from support.fake_clock import FakeClock
from support.invoices import CUSTOMER, DUE, USDT
from support.shop import desk_on
from support.till import TERMS, Books, Till, quick_sign
from support.tower import Tower, left_behind

LARGE = 10_000_000_000
"""Ten thousand dollars of USDT."""

ALONE = Attestation(confirms=("a",), silent=("b",))
DISPUTED = Attestation(confirms=("a",), denies=("b",))


class OneStaysBehind(FakeChain):
    """Of two nodes the second hears of nothing since a moment, and answers for receipts."""

    behind: FakeChain | None = None
    silent: tuple[str, ...] = ()

    def falls_behind(self) -> None:
        self.behind = copy(self)
        self.behind.behind, self.behind._chain = None, list(self._chain)  # noqa: SLF001 - its own

    async def receipt(self, tx_hash: str) -> Receipt | None:
        if self.behind is not None:
            return await self.behind.receipt(tx_hash)
        return await super().receipt(tx_hash)

    async def receipt_attestations(self, receipts: Sequence[Receipt]) -> list[Attestation]:
        # What the second has is not final to it.
        said = Attestation(denies=("a",), silent=("b",))
        return [Attestation(silent=self.silent) if self.silent else said for _ in receipts]


class TwoHeads(FakeChain):
    """Of two nodes one shows a head of its own, and the other answers for every height."""

    shown: Block | None = None

    async def block(self, at: At) -> Block | None:
        return self.shown if at == "latest" and self.shown else await super().block(at)


async def later(tower: Tower) -> None:
    tower.clock.advance(timedelta(seconds=30))
    tower.mine(2)
    await tower.watch()


@pytest.mark.parametrize("told", [ALONE, DISPUTED], ids=["one is silent", "one denies it"])
async def test_a_large_payment_waits_for_two_nodes_and_goes_on_by_itself(
    tower: Tower, told: Attestation
) -> None:
    bill, other = await tower.shop.bill(due_units=LARGE), await tower.shop.bill()
    paid = tower.chain.pay(USDT.contract, bill.deposit_address, LARGE, CUSTOMER)
    tower.chain.pay(USDT.contract, other.deposit_address, DUE, CUSTOMER)
    tower.chain.told[paid.tx_hash] = told
    with capture_logs() as logs:
        tower.mine(10)
        await tower.watch()
        await later(tower)

    assert await tower.shop.deposited(bill) == 0
    assert await tower.shop.status(bill) is Status.PAYMENT_DETECTED
    assert await tower.shop.deposited(other) == DUE, "others go on"
    (doubt,) = await doubting.doubted(tower.desk)
    assert (doubt.invoice_id, doubt.amount_units) == (bill.invoice_id, LARGE)
    assert doubt.reason.startswith("a confirms it; b ")
    (sentence,) = needing_a_person([await tower.position()], [doubt])
    assert sentence.startswith("not confirmed: 10000.00 USDT for inv_")
    assert [log["event"] for log in logs].count("nodes_do_not_agree_on_a_payment") == 1

    tower.chain.told.clear()
    await later(tower)

    assert await tower.shop.deposited(bill) == LARGE
    assert await tower.shop.status(bill) is Status.SCREENING
    assert await doubting.doubted(tower.desk) == []


async def test_a_large_payment_that_nodes_agree_is_not_there_is_taken_back(tower: Tower) -> None:
    bill = await tower.shop.bill(due_units=LARGE)
    paid = tower.chain.pay(USDT.contract, bill.deposit_address, LARGE, CUSTOMER)
    tower.chain.told[paid.tx_hash] = DISPUTED
    tower.mine(10)
    await tower.watch()

    tower.chain.told[paid.tx_hash] = Attestation(denies=("a", "b"))
    await later(tower)

    assert await tower.shop.status(bill) is Status.AWAITING_PAYMENT
    assert [row.depth for row in await tower.shop.transfers(bill)] == [Depth.ORPHANED]
    assert await tower.shop.deposited(bill) == 0
    assert await doubting.doubted(tower.desk) == []


async def test_a_large_payment_to_an_address_with_a_key_of_its_own_goes_on_the_same_way(
    tower: Tower,
) -> None:
    """The nodes are asked about the address that was paid, not about the invoice's other one."""
    await settings.choose_deposits(tower.desk, 1, "arb", "hd")
    await tower.shop.stock(1)
    await provisioning.fill_children(tower.desk, 1, "evm", lambda n: f"0xcd{n:038x}")
    bill = await tower.shop.bill(due_units=LARGE)
    child = pay_to(bill, USDT)
    assert child != bill.deposit_address
    tower.chain.pay(USDT.contract, bill.deposit_address, LARGE // 2, CUSTOMER)
    tower.mine(10)
    await tower.watch()
    paid = tower.chain.pay(USDT.contract, child, LARGE // 2, CUSTOMER)
    tower.chain.told[paid.tx_hash] = ALONE
    tower.mine(10)
    await tower.watch()
    (doubt,) = await doubting.doubted(tower.desk)
    assert (doubt.tx_hash, await tower.shop.deposited(bill)) == (paid.tx_hash, LARGE // 2)

    tower.chain.told.clear()
    await later(tower)

    assert [row.depth for row in await tower.shop.transfers(bill)] == [Depth.FINAL] * 2
    assert await tower.shop.status(bill) is Status.SCREENING
    assert await doubting.doubted(tower.desk) == []


async def test_a_sweep_that_took_a_doubted_payment_along_is_booked_once_nodes_agree(
    database: Database,
) -> None:
    """Booked before, the payment would be nobody's in the pool, and later the invoice's as well."""
    till = Till(desk_on(database, FakeClock()))
    await till.open()
    await till.ready()
    bill = await till.signed_bill()
    assert await moving.reserve(till.desk, await till.batch(), TERMS, quick_sign) == "signed"
    await till.receive(bill, LARGE, block=80, depth=Depth.SAFE)

    (flying,) = await moving.open_txs(till.desk, "arb")
    items = tuple(LandedItem(item.move.move_id, DUE + LARGE) for item in flying.items)
    landed = Landed("arb", flying.tx.tx_hash, 90, ok=True, fee_wei=1, items=items)
    assert await landing.settle(till.desk, landed) is Settled.TOO_EARLY
    assert await till.books() == Books(deposit=DUE, pool=0, merchant=0, payer=-DUE)

    await till.settles(bill)
    assert await landing.settle(till.desk, landed) is Settled.BOOKED
    paid = DUE + LARGE
    assert await till.books() == Books(deposit=0, pool=paid, merchant=0, payer=-paid)
    (money,) = reckoning.holdings(await till.look(bill))
    assert money.units == paid


@pytest.mark.parametrize(
    ("blocks_between", "believed"), [(0, 0), (1, 0), (10, 2)], ids=["one", "together", "apart"]
)
async def test_a_large_payment_is_one_however_many_transfers_and_ranges_it_is_split_over(
    tower: Tower, blocks_between: int, believed: int
) -> None:
    """One node alone is believed up to the limit and never beyond it, whenever it tells."""
    part = LARGE * 2 // 5
    bill, other = await tower.shop.bill(due_units=4 * part), await tower.shop.bill()
    for _ in range(4):
        paid = tower.chain.pay(USDT.contract, bill.deposit_address, part, CUSTOMER)
        tower.chain.told[paid.tx_hash] = DISPUTED
        tower.mine(blocks_between)
        await tower.watch()
    small = tower.chain.pay(USDT.contract, bill.deposit_address, 1, CUSTOMER)
    tower.chain.told[small.tx_hash] = DISPUTED
    beside = tower.chain.pay(USDT.contract, other.deposit_address, DUE, CUSTOMER)
    tower.chain.told[beside.tx_hash] = DISPUTED
    tower.mine(10)
    await tower.watch()
    await later(tower)

    assert await tower.shop.deposited(bill) == believed * part
    assert len(await doubting.doubted(tower.desk)) == 5 - believed
    assert await tower.shop.deposited(other) == DUE, "others are not added to it"

    tower.chain.told.clear()
    await later(tower)
    assert await tower.shop.deposited(bill) == 4 * part + 1
    assert await doubting.doubted(tower.desk) == []


async def test_a_payment_below_the_limit_needs_one_node_whatever_was_denied_before(
    tower: Tower,
) -> None:
    bill = await tower.shop.bill(due_units=LARGE - 1)
    gone = tower.chain.pay(USDT.contract, bill.deposit_address, LARGE, CUSTOMER)
    tower.chain.told[gone.tx_hash] = Attestation(denies=("a", "b"))
    tower.mine(10)
    await tower.watch()
    await later(tower)
    paid = tower.chain.pay(USDT.contract, bill.deposit_address, LARGE - 1, CUSTOMER)
    tower.chain.told[paid.tx_hash] = DISPUTED
    tower.mine()
    await tower.watch()
    tower.mine(10)
    await tower.watch()

    assert await tower.shop.deposited(bill) == LARGE - 1


async def test_the_only_node_there_is_suffices(tower: Tower) -> None:
    bill = await tower.shop.bill(due_units=LARGE)
    paid = tower.chain.pay(USDT.contract, bill.deposit_address, LARGE, CUSTOMER)
    tower.chain.told[paid.tx_hash] = Attestation(confirms=("a",))
    tower.mine(10)
    await tower.watch()

    assert await tower.shop.deposited(bill) == LARGE


async def test_a_doubted_payment_survives_a_crash_before_anybody_asks_again(tower: Tower) -> None:
    bill = await tower.shop.bill(due_units=LARGE)
    paid = tower.chain.pay(USDT.contract, bill.deposit_address, LARGE, CUSTOMER)
    tower.chain.told[paid.tx_hash] = ALONE
    tower.mine(10)
    await tower.watch()
    await tower.watcher.stop()

    tower.chain.told.clear()
    reborn = tower.another()
    await tower.watch(reborn)

    assert await tower.shop.deposited(bill) == LARGE


async def test_a_chain_that_stands_still_says_so_and_goes_on_when_its_node_is_right_again(
    tower: Tower,
) -> None:
    bill = await tower.shop.bill()
    tower.mine(10)
    await tower.watch()
    truth = list(tower.chain._chain)  # noqa: SLF001 - what the honest node has

    tower.chain.reorg(9, forget=True)
    tower.mine(5)
    with pytest.raises(FinalityBroken):
        await tower.watch()
    at = await tower.position()
    assert at.halted_reason is not None
    assert "finalized block 6" in at.halted_reason
    (sentence,) = needing_a_person([at], [])
    assert sentence.startswith("stands still: arb: finalized block 6")
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine(10)
    with pytest.raises(FinalityBroken):
        await tower.watch()
    assert await tower.shop.transfers(bill) == [], "nothing is read while it stands still"

    tower.chain._chain[:] = truth  # noqa: SLF001 - the node was replaced
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine(10)
    await tower.watch()

    assert (await tower.position()).halted_reason is None
    assert await tower.shop.deposited(bill) == DUE


class TestTwoStories:
    """The final list says of a log what the list before did not say."""

    @pytest.mark.parametrize("units", [5, DUE, LARGE])
    async def test_nobody_is_believed_alone_and_status_names_it(
        self, tower: Tower, units: int
    ) -> None:
        bill, other = await tower.shop.bill(due_units=LARGE), await tower.shop.bill()
        paid = tower.chain.pay(USDT.contract, bill.deposit_address, LARGE, CUSTOMER)
        tower.mine()
        await tower.watch()
        to = bill.deposit_address if units != LARGE else other.deposit_address
        tower.chain.faults.altered[paid.tx_hash] = (units, to)
        tower.chain.told[paid.tx_hash] = DISPUTED
        tower.mine(10)
        await tower.watch()
        await later(tower)

        assert await tower.shop.deposited(bill) == await tower.shop.deposited(other) == 0
        assert [row.depth for row in await tower.shop.transfers(other)] == []
        (row,) = await tower.shop.transfers(bill)
        assert (row.amount_units, row.depth < Depth.FINAL) == (LARGE, True)
        (doubt,) = await doubting.doubted(tower.desk)
        assert doubt.reason.startswith(("one list has", "a confirms it; b denies it"))
        (sentence,) = needing_a_person([await tower.position()], [doubt])
        assert sentence.startswith("not confirmed: 10000.00 USDT")

        tower.chain.told.clear()
        await later(tower)
        assert await tower.shop.deposited(bill) == LARGE
        assert await doubting.doubted(tower.desk) == []

    async def test_what_two_nodes_confirm_is_credited_whoever_told_it_first(
        self, tower: Tower
    ) -> None:
        bill, other = await tower.shop.bill(), await tower.shop.bill()
        first = tower.chain.pay(USDT.contract, bill.deposit_address, DUE, CUSTOMER)
        second = tower.chain.pay(USDT.contract, other.deposit_address, DUE, CUSTOMER)
        tower.chain.faults.altered[first.tx_hash] = (DUE // 2, bill.deposit_address)
        tower.mine()
        await tower.watch()
        tower.chain.faults.altered.clear()
        tower.chain.faults.altered[second.tx_hash] = (DUE // 2, other.deposit_address)
        tower.mine(10)
        await tower.watch()

        assert await tower.shop.deposited(bill) == DUE
        assert await tower.shop.deposited(other) == DUE


async def test_what_a_node_shows_that_stayed_on_another_branch_is_never_final(
    database: Database,
) -> None:
    clock = FakeClock()
    chain = OneStaysBehind(clock)
    tower = Tower(desk_on(database, clock), clock, chain)
    await tower.shop.open()
    await tower.watch()
    bill = await tower.shop.bill()
    chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine(2)
    await tower.watch()
    assert await tower.shop.status(bill) is Status.PAYMENT_DETECTED

    # A reorg takes it back while nobody of ours watches, for longer than until all is final.
    chain.falls_behind()
    chain.reorg(2, forget=True)
    tower.mine(12)
    chain.silent = ("a", "b")
    with pytest.raises(ChainUnreachable, match="no node says whether"):
        await tower.watch()
    assert await tower.shop.status(bill) is Status.PAYMENT_DETECTED

    chain.silent = ()
    await tower.watch()
    assert await tower.shop.deposited(bill) == 0
    assert await tower.shop.status(bill) is Status.AWAITING_PAYMENT


async def test_another_head_at_the_same_height_is_waited_for_while_a_node_stands_by_ours(
    database: Database,
) -> None:
    clock = FakeClock()
    chain = TwoHeads(clock)
    tower = Tower(desk_on(database, clock), clock, chain)
    await tower.shop.open()
    bill = await tower.shop.bill()
    await tower.watch()
    tower.mine(3)
    await tower.watch()
    before = await tower.position()

    chain.shown = replace(chain.head, hash="0x" + "b2" * 32)
    with capture_logs() as logs:
        await tower.watch()
    assert await tower.position() == before
    assert "reorg" not in {line["event"] for line in logs}

    chain.shown = None
    chain.pay(USDT.contract, bill.deposit_address, DUE)
    tower.mine(6)
    await tower.watch()
    assert await tower.shop.deposited(bill) == DUE


class Disputed(FakeChain):
    """Two nodes on different branches, both of which go on."""

    other: FakeChain | None = None

    @property
    def second_view(self) -> FakeChain:
        return self.other or self


async def test_operators_are_told_where_nodes_stay_on_different_branches(
    database: Database,
) -> None:
    """Nothing becomes final meanwhile, as nobody knows which of them is wrong."""
    clock = FakeClock()
    chain = Disputed(clock)
    tower = Tower(desk_on(database, clock), clock, chain)
    await tower.shop.open()
    bill = await tower.shop.bill()
    tower.mine(6)
    await tower.watch()
    await tower.watcher.stop()
    chain.other, parted_at = left_behind(chain), clock.now()
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE, CUSTOMER)
    watcher = tower.another()
    for _ in range(80):
        chain.other.mine()
        tower.mine()
        await tower.watch(watcher)
        if clock.now() - parted_at < NOT_AGREED_AFTER:
            assert (await tower.position()).lacking is None
    assert await tower.shop.deposited(bill) == 0
    (sentence,) = needing_a_person([await tower.position()], [])
    assert sentence.startswith("arb: nodes do not agree on the chain, so nothing becomes final")

    await watcher.stop()
    chain.other = None
    tower.mine()
    await tower.watch(tower.another())
    assert await tower.shop.deposited(bill) == DUE
    assert (await tower.position()).lacking is None


async def test_nodes_that_differ_for_a_moment_now_and_then_are_told_to_nobody(
    database: Database,
) -> None:
    clock = FakeClock()
    chain = Disputed(clock)
    tower = Tower(desk_on(database, clock), clock, chain)
    await tower.shop.open()
    tower.mine(6)
    chain.other = other = left_behind(chain)
    watcher = tower.another()
    for _ in range(3):
        for _ in range(NOT_AGREED_AFTER.seconds // 2):
            other.mine()
            tower.mine()
            await tower.watch(watcher)
            assert (await tower.position()).lacking is None
        # They agree again.
        other._chain = list(chain._chain)  # noqa: SLF001 - a node that has caught up
        await tower.watch(watcher)
        final = chain.finalized_block().number
        assert (await tower.position()).final_number == final
