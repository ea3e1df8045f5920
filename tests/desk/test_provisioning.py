import asyncio
from datetime import timedelta

import pytest

from counterfoil.books.fuel import last_fuel
from counterfoil.books.moves import MoveRow
from counterfoil.chains.evm.addresses import DepositAddresses
from counterfoil.db.pool import Database
from counterfoil.db.rows import all_rows, all_values
from counterfoil.desk import landing, moving, provisioning
from counterfoil.desk.landing import Landed, LandedItem
from counterfoil.desk.moving import Reserved
from counterfoil.desk.provisioning import Seen, Stock
from counterfoil.workers.fuel import FuelWorker
from support.fake_chain import FakeChain, FakeTx, Moved
from support.fake_clock import FakeClock
from support.shop import desk_on
from support.till import ETHER, TERMS, Till, quick_sign

FACTORY = DepositAddresses("0x" + "fa" * 20)
LOW, FULL = ETHER // 100, ETHER // 20
FEE = 21_000 * 10**9


@pytest.fixture
async def till(database: Database) -> Till:
    shop = Till(desk_on(database))
    await shop.open()
    return shop


async def fill(till: Till, low_water: int, target: int) -> int:
    stock = Stock(low_water, target)
    return await provisioning.fill(till.desk, 1, "evm", stock, FACTORY.address)


async def owned(till: Till) -> dict[int, str]:
    """Number to address, as the watcher will look it up."""
    query = "SELECT number::text || ' ' || address FROM ingest.address_owner WHERE org_id = 1"
    async with till.desk.database.reading() as tx:
        rows = await all_values(tx, str, query, {})
    return {int(row.split()[0]): row.split()[1] for row in rows}


async def test_the_stock_is_filled_only_when_it_is_low(till: Till) -> None:
    assert await fill(till, low_water=10, target=25) == 25
    assert await fill(till, low_water=25, target=50) == 0
    assert await fill(till, low_water=26, target=50) == 25
    assert await owned(till) == {n: FACTORY.address(n) for n in range(1, 51)}


async def test_a_stock_larger_than_one_transaction(till: Till) -> None:
    assert await fill(till, low_water=1, target=2_345) == 2_345
    assert sorted(await owned(till)) == list(range(1, 2_346))


async def test_two_that_fill_at_once_never_use_a_number_twice(till: Till) -> None:
    await asyncio.gather(*(fill(till, low_water=1, target=50) for _ in range(4)))

    numbers = await owned(till)
    assert len(set(numbers.values())) == len(numbers) >= 50
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


async def test_the_nonces_of_known_wallets_are_left_alone(till: Till) -> None:
    org = await till.org()
    wallets = (org.operator_address, org.pool_address, org.gas_address)
    new = await provisioning.ensure_wallets(till.desk, org, "arb", dict.fromkeys(wallets, 7))
    again = await provisioning.ensure_wallets(till.desk, org, "arb", dict.fromkeys(wallets, 9))

    assert (len(new), again) == (3, [])
    assert (await till.wallet("pool")).next_nonce == 7


async def deployments(till: Till) -> list[str]:
    query = "SELECT status FROM move WHERE purpose = 'deploy'"
    async with till.desk.database.reading() as tx:
        return await all_values(tx, str, query, {})


async def test_a_factory_is_planned_once(till: Till) -> None:
    org = await till.org()
    assert await provisioning.plan_factory(till.desk, org, "arb")
    assert not await provisioning.plan_factory(till.desk, org, "arb")
    assert await provisioning.plan_factory(till.desk, org, "base")
    assert await deployments(till) == ["ready", "ready"]
    assert not await provisioning.factory_known(till.desk, org, "arb")


async def test_a_factory_that_a_stranger_deployed_is_as_good(till: Till) -> None:
    org = await till.org()
    await provisioning.plan_factory(till.desk, org, "arb")
    await provisioning.factory_stands(till.desk, org, "arb")

    assert await provisioning.factory_known(till.desk, org, "arb")
    assert await deployments(till) == ["final"]


async def seen(till: Till, *, nonce: int = 0, **wei: int) -> list[Seen]:
    """The three wallets as a chain would show them; ``nonce`` is the gas station's."""
    found = []
    for role in ("operator", "pool", "gas"):
        wallet = await till.wallet(role)
        used = nonce if role == "gas" else 0
        found.append(Seen(wallet.address, used, wei.get(role, 0)))
    return found


async def book(till: Till, block: int, found: list[Seen]) -> list[int]:
    funded = await provisioning.book_funding(till.desk, 1, "arb", block, found)
    return [one.amount_wei for one in funded]


async def test_only_increases_are_booked_and_only_once(till: Till) -> None:
    await till.ready(gas_wei=1)

    assert await book(till, 10, await seen(till, operator=1, pool=1, gas=ETHER)) == [ETHER - 1]
    assert await book(till, 10, await seen(till, operator=1, pool=1, gas=ETHER)) == []
    assert await book(till, 11, await seen(till, operator=0, pool=1, gas=5)) == []
    assert await till.holds("gas") == ETHER
    assert await till.holds("outside:funding") == -ETHER - 2


async def test_our_own_fuel_is_never_taken_for_a_gift(till: Till) -> None:
    await till.ready(gas_wei=ETHER)
    await till.fund("gas", 2 * ETHER)
    await plan(till, low_wei=ETHER + 1, target_wei=ETHER + FULL)
    batch = await till.batch("gas")
    assert await moving.reserve(till.desk, batch, TERMS, quick_sign) is Reserved.SIGNED
    given = batch.items[0].move.amount_units
    role = batch.destination_role
    assert role is not None
    after = {"operator": ETHER, "pool": ETHER, "gas": 3 * ETHER - given - FEE}
    after[role] += given

    # On chain and final, but not settled here: the wallet holds more than the books say.
    assert await book(till, 20, await seen(till, nonce=1, **after)) == []
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    item = LandedItem(batch.items[0].move.move_id, given)
    told = Landed("arb", open_tx.tx.tx_hash, 20, ok=True, fee_wei=FEE, items=(item,))
    await landing.settle(till.desk, told)
    assert await till.holds(role) == ETHER + given

    # Settled here, while this node still shows the block before it: the station holds more.
    before = {"operator": ETHER, "pool": ETHER, "gas": 3 * ETHER}
    assert await book(till, 19, await seen(till, nonce=0, **before)) == []
    assert await book(till, 20, await seen(till, nonce=1, **after)) == []


class OneLags(FakeChain):
    """Of two nodes the one that is asked about tags has not heard of anybody's transactions yet."""

    async def nonce(self, address: str, at: str) -> int:
        return await super().nonce(address, at) if at.startswith("0x") else 0


async def test_our_own_fuel_is_no_gift_where_one_node_counts_at_an_older_block(till: Till) -> None:
    await till.ready(gas_wei=ETHER)
    await till.fund("gas", 2 * ETHER)
    chain = OneLags(FakeClock())
    has = {role: (await till.wallet(role)).address for role in ("operator", "pool", "gas")}
    for name, address in has.items():
        chain.pay("", address, 3 * ETHER if name == "gas" else ETHER)
    await plan(till, low_wei=ETHER + 1, target_wei=ETHER + FULL)
    batch = await till.batch("gas")
    assert await moving.reserve(till.desk, batch, TERMS, quick_sign) is Reserved.SIGNED
    role = batch.destination_role
    assert role is not None

    # Mined and final, and not settled here yet.
    chain.mine()
    fuel = Moved("", has["gas"], has[role], batch.items[0].move.amount_units)
    chain.pool.append(FakeTx("0x" + "f1" * 32, has["gas"], 0, (fuel,)))
    chain.mine(5)
    await FuelWorker(till.desk, {"arb": chain}).step()
    assert await till.holds(role) == ETHER


async def test_money_for_gas_is_noticed_once_it_is_final_though_no_node_keeps_old_state(
    till: Till,
) -> None:
    await till.ready(gas_wei=1)
    chain = FakeChain(FakeClock())
    chain.faults.no_state = True
    station = (await till.wallet("gas")).address
    worker = FuelWorker(till.desk, {"arb": chain})
    chain.pay("", station, ETHER)
    chain.mine()
    for _ in range(chain.final_lag):
        assert not await worker.step()
        chain.mine()
    assert await till.holds("gas") == 1, "until then a reorg may take it back"
    assert await worker.step()
    assert await till.holds("gas") == ETHER

    chain.pay("", station, ETHER)
    chain.mine()
    assert not await worker.step()
    chain.reorg(1, forget=True)
    for _ in range(3 * chain.final_lag):
        chain.mine()
        assert not await worker.step(), "what a reorg took is not booked, and nothing twice"
    assert await till.holds("gas") == ETHER

    chain.pay("", station, ETHER)
    chain.mine()
    for _ in range(2 * chain.final_lag):
        await worker.step()
        chain.mine()
    assert await till.holds("gas") == 2 * ETHER


async def plan(till: Till, low_wei: int = LOW, target_wei: int = FULL) -> list[int]:
    short = await provisioning.plan_fuel(
        till.desk, 1, "arb", low_wei=low_wei, target_wei=target_wei
    )
    return [one.needs_wei for one in short]


async def fuel(till: Till) -> list[MoveRow]:
    query = """
        SELECT org_id, move_id, purpose, source_id, leg, invoice_id, chain, contract, destination,
            amount_units, moved_units, status, park_reason, wallet, nonce, tx_hash, approved_by,
            approved_at, warrant, created_at, updated_at, final_at, wait_reason, wait_until
        FROM move WHERE purpose = 'fuel' ORDER BY source_id
        """
    async with till.desk.database.reading() as tx:
        return await all_rows(tx, MoveRow, query, {})


async def test_low_wallets_are_filled_up_from_the_station_once(till: Till) -> None:
    await till.ready(gas_wei=LOW - 1)
    await till.fund("gas", ETHER)

    await asyncio.gather(*(plan(till) for _ in range(3)))

    operator, pool = await till.wallet("operator"), await till.wallet("pool")
    assert {(m.destination, m.amount_units) for m in await fuel(till)} == {
        (operator.address, FULL - LOW + 1),
        (pool.address, FULL - LOW + 1),
    }
    assert len(await fuel(till)) == 2


async def test_wallets_that_have_enough_are_left_alone(till: Till) -> None:
    await till.ready(gas_wei=LOW)
    assert await plan(till) == []
    assert await fuel(till) == []


async def test_an_empty_station_is_reported(till: Till) -> None:
    await till.ready(gas_wei=1)
    # Enough for one wallet, were nothing to be kept for the station's own fees.
    await till.fund("gas", FULL)

    assert await plan(till) == [FULL - 1, FULL - 1]
    assert await fuel(till) == []


async def test_a_second_round_follows_a_finished_one(till: Till) -> None:
    await till.ready(gas_wei=1)
    await till.fund("gas", ETHER)
    await plan(till)
    for _ in range(2):
        batch = await till.batch("gas")
        await moving.reserve(till.desk, batch, TERMS, quick_sign)
        (open_tx,) = await moving.open_txs(till.desk, "arb")
        # It arrives, but next to nothing of it: the wallet is still low.
        item = LandedItem(batch.items[0].move.move_id, 1)
        told = Landed("arb", open_tx.tx.tx_hash, 20, ok=True, fee_wei=FEE, items=(item,))
        await landing.settle(till.desk, told)
    await plan(till)

    rounds = sorted(move.source_id.rpartition(":")[2] for move in await fuel(till))
    assert rounds == ["1", "1", "2", "2"]
    async with till.desk.database.reading() as tx:
        last = await last_fuel(tx, 1, "arb", (await till.wallet("pool")).address)
    assert last is not None
    assert last.source_id.endswith(":2")


async def test_a_parked_fuelling_gives_way_to_a_new_one_after_a_while(till: Till) -> None:
    clock = till.desk.clock
    assert isinstance(clock, FakeClock)
    await till.ready(gas_wei=1)
    await till.fund("gas", 3 * FULL)
    await plan(till)
    parked = {m.move_id: "the signer refused: too much" for m in await fuel(till)}
    await moving.park(till.desk, 1, parked)

    clock.advance(provisioning.PARKED_REST - timedelta(seconds=1))
    assert await plan(till) == []
    assert {move.status for move in await fuel(till)} == {"parked"}

    clock.advance(timedelta(seconds=1))
    # What is given up no longer counts: the station has enough for one more of each, and no more.
    assert await plan(till) == []
    assert [move.status for move in await fuel(till)].count("ready") == 2
    assert {m.status for m in await fuel(till) if m.move_id in parked} == {"failed"}


async def test_a_station_hands_out_only_so_much_in_a_day(till: Till) -> None:
    levels = {"low_wei": 2 * ETHER, "target_wei": 3 * ETHER, "day_wei": 3 * ETHER}
    await till.ready()
    await till.fund("gas", 20 * ETHER)
    (capped,) = await provisioning.plan_fuel(till.desk, 1, "arb", **levels)
    assert (capped.day_wei, capped.has_wei, capped.needs_wei) == (3 * ETHER, ETHER, 2 * ETHER)

    assert isinstance(till.desk.clock, FakeClock)
    till.desk.clock.advance(timedelta(hours=12))
    assert await provisioning.plan_fuel(till.desk, 1, "arb", **levels) == []
