"""What a node on a branch that leads nowhere holds is no difference: balances are asked by hash."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from counterfoil.chains.port import At, Block, ChainUnreachable
from counterfoil.core.invoice import Status
from counterfoil.db.pool import Database
from counterfoil.desk import comparing
from counterfoil.desk.comparing import Unexplained
from counterfoil.workers.before_sweeping import balance_differences
from counterfoil.workers.expire import Expirer
from counterfoil.workers.reconcile import reconcile
from support.fake_chain import FakeChain
from support.fake_clock import NOON, FakeClock
from support.invoices import CUSTOMER, DUE, USDT
from support.shop import desk_on
from support.till import ETHER, Till
from support.tower import Tower, left_behind

SOON = NOON + timedelta(seconds=60)


class Split(FakeChain):
    """Two nodes behind one client; the first that is asked for balances follows another branch."""

    first: FakeChain | None = None

    async def token_balances(
        self, contract: str, addresses: Sequence[str], block_hash: str
    ) -> list[int]:
        try:
            asked = self.first.token_balances if self.first else super().token_balances
            return await asked(contract, addresses, block_hash)
        except ChainUnreachable:
            return await super().token_balances(contract, addresses, block_hash)

    async def kept_balances(
        self, asked: Sequence[tuple[str, str]], block_hash: str
    ) -> list[int] | None:
        told = await self.first.kept_balances(asked, block_hash) if self.first else None
        return await super().kept_balances(asked, block_hash) if told is None else told


@pytest.fixture
async def split(database: Database) -> Tower:
    clock = FakeClock()
    tower = Tower(desk_on(database, clock), clock, Split(clock))
    await tower.shop.open()
    return tower


def branch_off(chain: FakeChain, contract: str, to: str, units: int) -> None:
    """The first node has a payment, and twenty blocks on it, of which nobody else hears."""
    assert isinstance(chain, Split)
    behind = left_behind(chain)
    behind.pool = []
    behind.pay(contract, to, units, CUSTOMER)
    behind.mine(20)
    chain.mine()
    chain.first = behind


async def test_nothing_is_missed_that_came_on_another_branch_only(split: Tower) -> None:
    bill = await split.shop.bill(deadline_at=SOON)
    split.mine(5)
    await split.watch()
    branch_off(split.chain, USDT.contract, bill.deposit_address, DUE)
    split.mine(9)
    await split.watch()
    split.clock.advance(timedelta(seconds=20))
    split.mine()
    await split.watch()
    assert await comparing.every(split.desk) == []

    # Nor at its deadline, as of the newest block.
    split.mine(40)
    await split.watch()
    await Expirer(split.desk, ["arb"]).step()
    assert await comparing.every(split.desk) == []
    assert await split.shop.status(bill) is Status.EXPIRED


async def test_coin_that_was_missed_is_explained_once_the_chain_says_so(split: Tower) -> None:
    bill = await split.shop.bill()
    split.mine(5)
    await split.watch()
    missed = Unexplained("arb", bill.deposit_address, "", 1, bill.invoice_id, 0, ETHER, 5, NOON)
    await comparing.keep(split.desk, 5, (), [missed])
    branch_off(split.chain, "", bill.deposit_address, ETHER)
    split.clock.advance(timedelta(seconds=20))
    split.mine(9)
    await split.watch()
    assert await comparing.every(split.desk) == []


async def test_what_is_missed_is_looked_for_in_one_chain(split: Tower) -> None:
    """The node that is asked for headers now may not be the one that told the balance."""
    bill = await split.shop.bill()
    split.chain.faults.omits_from_single_blocks = False
    paid = split.chain.pay(USDT.contract, bill.deposit_address, DUE, CUSTOMER)
    split.chain.faults.omitted.add(paid.tx_hash)
    split.mine(2)
    branch_off(split.chain, USDT.contract, bill.deposit_address, DUE)
    split.mine(20)
    await split.watch()
    split.clock.advance(timedelta(minutes=3))
    split.mine()
    await split.watch()
    (row,) = await split.shop.transfers(bill)
    assert (row.tx_hash, row.amount_units) == (paid.tx_hash, DUE)
    assert await comparing.every(split.desk) == []


async def test_what_is_missed_is_not_taken_from_another_branch(
    split: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One node told the balance; the blocks are told by another, which has a payment of its own."""
    bill = await split.shop.bill()
    split.mine(5)
    await split.watch()
    chain, behind = split.chain, left_behind(split.chain)
    behind.pool = []
    behind.pay(USDT.contract, bill.deposit_address, 5, CUSTOMER)
    behind.mine(5)
    chain.faults.omits_from_single_blocks = False
    paid = chain.pay(USDT.contract, bill.deposit_address, DUE, CUSTOMER)
    chain.faults.omitted.add(paid.tx_hash)
    chain.mine(5)
    await split.watch()
    assert (await split.position()).final_number == 6, "the first block in which they differ"

    own = chain.block

    async def by_height(at: At) -> Block | None:
        return await (behind.block if isinstance(at, int) else own)(at)

    with monkeypatch.context() as patched:
        patched.setattr(chain, "block", by_height)
        for name in ("headers", "transfers"):
            patched.setattr(chain, name, getattr(behind, name))
        split.clock.advance(timedelta(seconds=20))
        await split.watch()
    assert await split.shop.transfers(bill) == []
    (missed,) = await comparing.every(split.desk)
    assert missed.chain_units == DUE

    split.clock.advance(timedelta(minutes=3))
    await split.watch()
    (row,) = await split.shop.transfers(bill)
    assert (row.tx_hash, row.amount_units) == (paid.tx_hash, DUE)


async def test_a_sweep_is_compared_with_the_chain_that_is_in_the_books(
    till: Till, clock: FakeClock
) -> None:
    bill = await till.signed_bill()
    chain = Split(clock)
    chain.pay(USDT.contract, bill.deposit_address, DUE)
    chain.mine(95)
    branch_off(chain, USDT.contract, bill.deposit_address, 5)
    chain.mine(20)
    final = await chain.block(100)
    assert final is not None
    await till.watched_to(final.number, block_hash=final.hash)
    assert await balance_differences(till.desk, chain, await till.batch()) == {}
    odd = [
        one.address
        async for compared in reconcile(till.desk, chain)
        for one in compared.differences
        if one.account == "deposit"
    ]
    assert odd == []
