"""Before a sweep balances are compared with the books, also where no node keeps old ones."""

import pytest

from counterfoil.core.reckoning import Depth
from counterfoil.db.rows import execute
from counterfoil.desk import moving
from counterfoil.workers.before_sweeping import NotComparable, balance_differences
from support.fake_chain import FakeChain
from support.fake_clock import FakeClock
from support.invoices import DUE, STRANGER, USDT
from support.till import Till


async def read_to_the_end(till: Till, chain: FakeChain) -> int:
    """Say that the watcher has read up to the newest block, and booked what is final."""
    final = await chain.block(100)
    assert final is not None
    async with till.desk.database.transaction() as tx:
        await execute(
            tx,
            """
            UPDATE ingest.chain_cursor SET head_number = %(head)s, head_hash = %(head_hash)s,
                final_hash = %(final_hash)s
             WHERE chain = 'arb'
            """,
            {
                "head": chain.head.number,
                "head_hash": chain.head.hash,
                "final_hash": final.hash,
            },
        )
    return chain.head.number


@pytest.fixture
async def chain(clock: FakeClock) -> FakeChain:
    """Nodes that keep nothing but the newest balances."""
    chain = FakeChain(clock)
    chain.faults.no_state = True
    return chain


async def test_a_sweep_goes_on_where_what_is_there_is_what_was_seen(
    till: Till, chain: FakeChain
) -> None:
    paid, more = [await till.signed_bill() for _ in range(2)]
    for bill in (paid, more):
        chain.pay(USDT.contract, bill.deposit_address, DUE)
    chain.mine(120)
    await read_to_the_end(till, chain)
    batch = await till.batch()
    assert await balance_differences(till.desk, chain, batch) == {}

    chain.pay(USDT.contract, more.deposit_address, 5)
    chain.mine()
    await read_to_the_end(till, chain)
    with pytest.raises(
        NotComparable, match="no node that answers keeps the balances of block 100"
    ) as unsure:
        await balance_differences(till.desk, chain, batch)
    assert unsure.value.move_ids == {(await till.move(more, "sweep")).move_id}
    assert len(await moving.open_txs(till.desk, "arb")) == 0


async def test_a_unit_now_and_then_holds_no_sweep_up(till: Till, chain: FakeChain) -> None:
    bill = await till.signed_bill()
    chain.pay(USDT.contract, bill.deposit_address, DUE)
    chain.mine(120)
    batch, head = await till.batch(), chain.head.number
    for depth in (Depth.SEEN, Depth.SAFE, Depth.SEEN):
        chain.pay(USDT.contract, bill.deposit_address, 1, STRANGER)
        chain.mine(10)
        head = await read_to_the_end(till, chain)
        await till.receive(bill, 1, block=head, payer=STRANGER, depth=depth)
        assert await balance_differences(till.desk, chain, batch) == {}

    # A reorg took one unit away: less is there than was seen, until that is undone here too.
    await till.receive(bill, 1, block=head, payer=STRANGER, depth=Depth.SEEN)
    with pytest.raises(NotComparable, match="not what was seen"):
        await balance_differences(till.desk, chain, batch)
