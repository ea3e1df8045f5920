"""What a sweep by its own key costs beside gas, or more than it was given: fuel comes again."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

import pytest

from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Invoice, Status
from counterfoil.db.rows import all_values
from counterfoil.desk import moving, settings, stuck, upkeep
from counterfoil.desk.moving import TxRow
from counterfoil.desk.provisioning import FuelLevels
from counterfoil.workers.children import ChildFueler
from counterfoil.workers.move import MoveWorker
from counterfoil.workers.reconcile import reconcile
from support.fake_clock import FakeClock
from support.house import House
from support.invoices import DUE, USDT
from support.rollup import Rollup
from support.till import ETHER

GWEI: Final = 10**9
FULL_MINUTES: Final = timedelta(minutes=6)
"""Longer than the pause after which refused bytes are offered again."""


@pytest.fixture
async def rollup(newcomer: House) -> AsyncIterator[Rollup]:
    """The house's node takes for every byte of data about as much as a sweep's gas costs."""
    taken = Rollup(CHAINS["arb"], newcomer.arb.node)
    newcomer.arb.chain = taken
    newcomer.chains = {"arb": taken}
    await taken.set_wei_per_byte(1_000 * GWEI)
    yield taken
    await taken.close()


@pytest.fixture
async def house(newcomer: House, rollup: Rollup) -> House:
    assert rollup is newcomer.arb.chain
    await settings.choose_deposits(newcomer.desk, 1, "arb", "hd")
    return await newcomer.settled_in()


def clock(house: House) -> FakeClock:
    assert isinstance(house.desk.clock, FakeClock)
    return house.desk.clock


def child(bill: Invoice) -> str:
    assert bill.hd_address is not None
    return bill.hd_address


async def assert_all_is_explained(house: House) -> None:
    await house.finalize()
    found = [compared.differences async for compared in reconcile(house.desk, house.arb.chain)]
    assert found
    assert found == [()] * len(found)


async def fuel_wei(house: House, bill: Invoice) -> list[int]:
    """What was brought to the bill's child, oldest first."""
    async with house.desk.database.reading() as tx:
        return await all_values(
            tx,
            int,
            """
            SELECT amount_units FROM move
             WHERE purpose = 'fuel' AND destination = %(child)s AND status = 'final'
             ORDER BY created_at, source_id
            """,
            {"child": child(bill)},
        )


async def siblings(house: House, bill: Invoice) -> tuple[TxRow, ...]:
    """What was signed for the bill's sweep and has not ended, oldest first."""
    open_txs = await moving.open_txs(house.desk, "arb")
    (found,) = (one.txs for one in open_txs if one.wallet.address == child(bill))
    return found


async def rounds(house: House, worker: MoveWorker, how_many: int) -> None:
    for _ in range(how_many):
        await house.drive(worker, rounds=1)
        clock(house).advance(FULL_MINUTES)


async def signed_sweep(house: House) -> tuple[Invoice, MoveWorker]:
    """A bill whose child is fuelled and whose sweep is signed, which no node has heard of."""
    bill = await house.signed_bill()
    worker = house.worker()
    assert await house.fuel_children()
    await worker.step()
    await worker.step()
    await house.finalize()
    await worker.follow(house.arb.chain)
    await worker.reserve(house.arb.chain)
    clock(house).advance(timedelta(seconds=1))
    assert (await house.move(bill, "sweep")).status == "signed"
    return bill, worker


async def test_a_child_is_given_what_the_chain_takes_for_data_though_no_node_keeps_old_state(
    house: House, rollup: Rollup
) -> None:
    bill = await house.signed_bill()
    rollup.forgets = True
    fueler = ChildFueler(house.desk, house.chains, house.signer)
    assert not await fueler.step()
    (waits,) = await upkeep.held_up(house.desk)
    assert waits.purpose == "sweep"
    assert waits.reason.startswith("no node tells what its address had at a final block")
    await house.finalize()
    clock(house).advance(timedelta(minutes=1))
    assert await fueler.step(), "what it had in a block that is final by now"
    rollup.forgets = False
    await house.drive(rounds=4)

    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == DUE
    assert rollup.refused == []
    assert len(await fuel_wei(house, bill)) == 1
    sweep = await house.move(bill, "sweep")
    assert rollup.took_wei[sweep.tx_hash or ""] > 0
    assert await house.holds("child") == await house.arb.balance(None, child(bill))
    await assert_all_is_explained(house)


async def test_a_fee_for_data_that_rose_since_the_fuel_asks_for_more_before_signing(
    house: House, rollup: Rollup
) -> None:
    bill = await house.signed_bill()
    assert await house.fuel_children()
    await rollup.set_wei_per_byte(20_000 * GWEI)
    await house.drive(rounds=6)

    assert await house.status(bill) is Status.COMPLETED
    assert rollup.refused == []
    first, second = await fuel_wei(house, bill)
    assert second > 3 * first
    await assert_all_is_explained(house)


async def test_a_signed_sweep_that_a_node_refuses_for_funds_is_fuelled_again(
    house: House, rollup: Rollup
) -> None:
    bill, worker = await signed_sweep(house)
    kept = await house.move(bill, "sweep")
    await rollup.set_wei_per_byte(20_000 * GWEI)
    await worker.broadcast(house.arb.chain)
    assert rollup.refused == [child(bill)]
    await rounds(house, worker, 3)

    sweep = await house.move(bill, "sweep")
    assert (sweep.status, sweep.tx_hash, sweep.nonce) == ("final", kept.tx_hash, 0)
    assert len(await fuel_wei(house, bill)) == 2
    await rounds(house, worker, 1)
    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == DUE
    await assert_all_is_explained(house)


async def test_a_node_that_takes_more_than_it_says_is_given_more_each_time(
    house: House, rollup: Rollup
) -> None:
    rollup.really = 6
    bill, worker = await signed_sweep(house)
    await worker.broadcast(house.arb.chain)
    assert rollup.refused == [child(bill)]
    assert await house.fuel_children()
    assert not await house.fuel_children(), "one fuelling is on its way"
    await worker.reserve(house.arb.chain)
    await worker.broadcast(house.arb.chain)
    await house.finalize()
    clock(house).advance(timedelta(seconds=1))
    await worker.follow(house.arb.chain)
    assert not await house.fuel_children(), "nobody has offered the bytes since"
    await rounds(house, worker, 6)

    assert await house.status(bill) is Status.COMPLETED
    assert len(await fuel_wei(house, bill)) > 2
    await assert_all_is_explained(house)


async def test_a_childs_stuck_sweep_gets_a_dearer_sibling_once_it_has_the_gas(
    house: House,
) -> None:
    node = house.arb.node
    bill, worker = await signed_sweep(house)
    await node.automine(on=False)
    await worker.broadcast(house.arb.chain)
    await node.rpc("anvil_setNextBlockBaseFeePerGas", hex(20 * GWEI))
    await node.mine(1)
    assert (await house.move(bill, "sweep")).status == "signed"
    clock(house).advance(stuck.PATIENCE)
    await worker.follow(house.arb.chain)
    (waits,) = await siblings(house, bill)
    assert str(waits.bump_error).startswith("waiting for gas: child wallet")
    assert await house.fuel_children()
    await worker.reserve(house.arb.chain)
    await worker.broadcast(house.arb.chain)
    await node.mine(1)
    await house.finalize()
    await worker.follow(house.arb.chain)
    clock(house).advance(stuck.BUMP_PAUSE)
    await worker.follow(house.arb.chain)

    first, second = await siblings(house, bill)
    assert (first.nonce, second.nonce) == (0, 0)
    assert second.max_fee_wei > first.max_fee_wei
    await worker.broadcast(house.arb.chain)
    await node.mine(1)
    await node.automine(on=True)
    await house.drive(worker, rounds=4)
    assert await house.status(bill) is Status.COMPLETED
    assert (await house.move(bill, "sweep")).tx_hash == second.tx_hash
    assert await house.at_merchant() == DUE
    await assert_all_is_explained(house)


async def test_a_station_that_cannot_help_a_signed_sweep_says_so_and_does_after_a_top_up(
    house: House, rollup: Rollup
) -> None:
    bill, worker = await signed_sweep(house)
    await rollup.set_wei_per_byte(20_000 * GWEI)
    await worker.broadcast(house.arb.chain)
    stingy = ChildFueler(house.desk, house.chains, house.signer, FuelLevels(low_wei=2 * ETHER))
    assert not await stingy.step()
    (waits,) = await stuck.on_their_way(house.desk)
    assert waits.reason.startswith("waiting for gas: the station")
    assert len(await fuel_wei(house, bill)) == 1

    await rounds(house, worker, 4)
    assert await house.status(bill) is Status.COMPLETED


async def test_what_a_wallet_has_must_pay_for_data_as_well(house: House, rollup: Rollup) -> None:
    bill = await house.signed_bill()
    assert await house.fuel_children()
    await rollup.set_wei_per_byte(10**16)
    await house.drive(rounds=1)

    (waits,) = await upkeep.held_up(house.desk)
    assert waits.purpose == "fuel"
    assert waits.reason.startswith("waiting for gas: gas wallet")
    assert rollup.refused == []
    assert await house.arb.balance(USDT, child(bill)) == DUE


async def test_a_days_fuel_is_bounded_and_the_rest_waits_for_midnight(house: House) -> None:
    bill = await house.signed_bill()
    spent = 2 * FuelLevels().target_wei
    little = ChildFueler(house.desk, house.chains, house.signer, FuelLevels(day_wei=spent + 10**12))
    assert not await little.step()
    waits = await house.move(bill, "sweep")
    assert waits.status == "ready"
    assert "may hand out 1000000000000 wei more today" in str(waits.wait_reason)
    assert await fuel_wei(house, bill) == []

    clock(house).advance(timedelta(hours=12))
    assert await ChildFueler(
        house.desk, house.chains, house.signer, FuelLevels(day_wei=10**17)
    ).step()
    await house.drive(rounds=4)
    assert await house.status(bill) is Status.COMPLETED
