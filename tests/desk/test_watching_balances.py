"""What every list of transfers leaves out, the balance tells: credited, or held and in sight."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from counterfoil.books import audit, unexplained
from counterfoil.chains.port import Attestation, ChainUnreachable
from counterfoil.cli_watch import needing_a_person
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid, NotFound
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database
from counterfoil.db.rows import all_values, execute
from counterfoil.desk import comparing, doubting, landing, moving, natives, proving
from counterfoil.desk.landing import Landed, LandedItem, Settled
from counterfoil.desk.moving import Reserved
from counterfoil.workers import witness
from counterfoil.workers.comparing import AT_ONCE, EVERY_SECONDS
from counterfoil.workers.expire import Expirer
from counterfoil.workers.watch import WatchLimits
from support.fake_chain import FakeChain
from support.fake_clock import NOON, FakeClock
from support.invoices import CUSTOMER, DUE, ETH, USDC, USDT
from support.shop import desk_on
from support.till import Till, reserve
from support.tower import Tower

SOON = NOON + timedelta(seconds=60)
LARGE = 10_000_000_000


class Asked(FakeChain):
    """Counts how many balances it was asked for at once."""

    balances: list[int]

    async def kept_balances(
        self, asked: Sequence[tuple[str, str]], block_hash: str
    ) -> list[int] | None:
        self.balances = [*getattr(self, "balances", []), len(asked)]
        return await super().kept_balances(asked, block_hash)


async def rounds(tower: Tower, times: int = 1) -> None:
    """Let enough time pass for every open address to be looked at again."""
    for _ in range(times):
        tower.clock.advance(timedelta(minutes=3))
        tower.mine(6)
        await tower.watch()


async def expire(tower: Tower) -> None:
    await Expirer(tower.desk, ["arb"]).step()


async def test_a_payment_that_no_list_ever_tells_is_in_sight_and_does_not_expire(
    tower: Tower,
) -> None:
    bill = await tower.shop.bill(deadline_at=SOON)
    unpaid = await tower.shop.bill(deadline_at=SOON)
    paid = tower.chain.pay(USDT.contract, bill.deposit_address, DUE, CUSTOMER)
    tower.chain.faults.omitted.add(paid.tx_hash)

    tower.mine(90)
    await tower.watch()
    await rounds(tower, 2)
    await expire(tower)

    assert await tower.shop.status(unpaid) is Status.EXPIRED, "only the one invoice is held"
    assert await tower.shop.status(bill) is Status.AWAITING_PAYMENT
    (missing,) = await comparing.every(tower.desk)
    assert (missing.invoice_id, missing.known_units, missing.chain_units) == (
        bill.invoice_id,
        0,
        DUE,
    )
    (sentence,) = needing_a_person([await tower.position()], [], [missing])
    assert sentence.startswith(f"not on record: 100.00 USDT at {bill.deposit_address} of inv_")

    tower.chain.faults.omitted.clear()
    await rounds(tower)
    assert await tower.shop.deposited(bill) == DUE
    assert await tower.shop.status(bill) is Status.SCREENING
    assert await comparing.every(tower.desk) == []


async def test_what_only_long_lists_leave_out_is_found_block_by_block(tower: Tower) -> None:
    bill = await tower.shop.bill()
    tower.chain.faults.omits_from_single_blocks = False
    for units, contract in ((DUE // 2, USDT.contract), (7, USDC.contract), (5, USDT.contract)):
        paid = tower.chain.pay(contract, bill.deposit_address, units, CUSTOMER)
        tower.chain.faults.omitted.add(paid.tx_hash)
        tower.mine(9)
    tower.chain.pay(USDT.contract, bill.deposit_address, 100, CUSTOMER)
    tower.mine(40)
    await tower.watch()
    await rounds(tower)

    rows = await tower.shop.transfers(bill)
    assert sorted(row.amount_units for row in rows) == [5, 7, 100, DUE // 2]
    assert {row.depth for row in rows} == {Depth.FINAL}
    assert await tower.shop.deposited(bill) == DUE // 2 + 105
    assert await tower.shop.deposited(bill, USDC) == 7
    assert await comparing.every(tower.desk) == []


async def test_a_payment_just_before_the_deadline_is_looked_for_before_it_passes(
    tower: Tower,
) -> None:
    tower.chain.final_lag = 1_000
    tower.chain.faults.omits_from_single_blocks = False
    bill = await tower.shop.bill(deadline_at=SOON)
    tower.mine(55)
    await tower.watch()
    paid = tower.chain.pay(USDT.contract, bill.deposit_address, DUE, CUSTOMER)
    tower.chain.faults.omitted.add(paid.tx_hash)
    tower.mine(30)
    await tower.watch()
    await expire(tower)
    assert await tower.shop.status(bill) is Status.AWAITING_PAYMENT

    tower.chain.final_lag = 4
    await rounds(tower, 2)
    await expire(tower)
    assert await tower.shop.status(bill) is Status.SCREENING
    assert (await tower.shop.transfers(bill))[0].arrived_at < SOON, "it was paid in time"


IN_PART = {
    Status.PAYMENT_DETECTED,
    Status.SCREENING,
    Status.COMPLIANCE_HOLD,
    Status.RESOLUTION_REQUIRED,
    Status.REFUND_PENDING,
    Status.REFUND_PROCESSING,
}
"""Where more money may still be expected, or may be again."""


async def test_the_second_part_is_looked_for_before_the_deadline_wherever_the_first_one_is(
    tower: Tower,
) -> None:
    tower.chain.final_lag = 1_000
    bills = {status: await tower.shop.bill(deadline_at=SOON) for status in IN_PART}
    other = await tower.shop.bill(deadline_at=SOON)
    for bill in (*bills.values(), other):
        tower.chain.pay(USDT.contract, bill.deposit_address, DUE // 2, CUSTOMER)
    tower.mine(40)
    await tower.watch()
    for status, bill in bills.items():
        await put(tower, bill, status)
        untold = tower.chain.pay(USDT.contract, bill.deposit_address, DUE // 2, CUSTOMER)
        tower.chain.faults.omitted.add(untold.tx_hash)
    tower.mine(40)
    await tower.watch()

    missing = {one.invoice_id: one for one in await comparing.every(tower.desk)}
    assert set(missing) == {bill.invoice_id for bill in bills.values()}
    assert {(one.known_units, one.chain_units) for one in missing.values()} == {(DUE // 2, DUE)}


async def test_what_is_due_is_found_in_an_index_however_many_invoices_are_open(
    tower: Tower,
) -> None:
    await tower.shop.bill()
    statuses = [*IN_PART, Status.AWAITING_PAYMENT]
    when = {"after": NOON, "upto": SOON}
    async with tower.desk.database.transaction() as tx:
        await execute(tx, "SET LOCAL enable_seqscan = off", {})
        plan = await all_values(tx, str, "EXPLAIN " + unexplained.DUE, when)
    used = {
        name for name in ("invoice_due", "invoice_due_in_part") for line in plan if name in line
    }
    assert used == {"invoice_due", "invoice_due_in_part"}, plan
    assert all(status in unexplained.DUE for status in statuses)


async def test_while_nothing_is_due_no_address_and_no_request_is_looked_at(tower: Tower) -> None:
    for _ in range(3):
        await tower.shop.bill(deadline_at=SOON)
    when = {"after": SOON, "upto": SOON + timedelta(minutes=5)}
    which = {"chain": "arb", "family": "evm", "contract": None}
    explain = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) "
    async with tower.desk.database.transaction() as tx:
        await execute(tx, "SET LOCAL enable_seqscan = off", {})
        plan = await all_values(tx, str, explain + unexplained.DUE_ADDRESSES, {**when, **which})
    for table in ("deposit_address", "hd_address", "payment_request"):
        scans = [line for line in plan if f" on {table}" in line]
        assert scans, plan
        assert all("never executed" in line for line in scans), plan


async def test_coin_in_part_is_looked_for_at_its_deadline_whoevers_turn_it_is(
    tower: Tower,
) -> None:
    bill = await tower.shop.bill(deadline_at=SOON, assets=(ETH,))
    await tower.shop.bill(deadline_at=SOON)
    for status in IN_PART:
        await put(tower, bill, status)
        found = await natives.pressing(
            tower.desk, "arb", after=0, upto=9, due=(NOON, SOON), settles=False
        )
        assert found == [bill.deposit_address], status


async def put(tower: Tower, bill: Invoice, status: Status) -> None:
    change = "UPDATE invoice SET status = %(status)s WHERE org_id = 1 AND invoice_id = %(id)s"
    async with tower.desk.database.transaction() as tx:
        await execute(tx, change, {"status": status, "id": bill.invoice_id})


async def test_what_a_broken_scan_has_written_hides_nothing_that_no_list_tells(
    tower: Tower,
) -> None:
    """Dust was read and written when the watcher died, before it moved the head over it."""
    tower.chain.final_lag = 1_000
    bill = await tower.shop.bill(deadline_at=NOON + timedelta(seconds=12))
    tower.mine(5)
    await tower.watch()
    async with tower.desk.database.transaction() as tx:
        cursor = "SELECT head_number, head_hash, head_at FROM ingest.chain_cursor"
        before = await (await tx.execute(cursor)).fetchone()
    tower.chain.pay(USDT.contract, bill.deposit_address, 7, CUSTOMER)
    tower.mine()
    untold = tower.chain.pay(USDT.contract, bill.deposit_address, 7, CUSTOMER)
    tower.mine()
    tower.chain.faults.omitted.add(untold.tx_hash)
    await tower.watch()
    assert before is not None
    async with tower.desk.database.transaction() as tx:
        await tx.execute(
            "UPDATE ingest.chain_cursor SET head_number = %s, head_hash = %s, head_at = %s", before
        )
    tower.mine(15)
    await tower.watch(tower.another())
    await expire(tower)
    (missing,) = await comparing.every(tower.desk)
    assert (missing.known_units, missing.chain_units) == (7, 14)
    assert await tower.shop.status(bill) is not Status.EXPIRED


async def test_nodes_without_old_state_hold_up_nothing_but_what_is_due(tower: Tower) -> None:
    bill, due = await tower.shop.bill(), await tower.shop.bill(deadline_at=SOON)
    tower.chain.faults.no_state = True
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE, CUSTOMER)
    tower.mine(40)
    await tower.watch()
    assert await tower.shop.deposited(bill) == DUE

    tower.mine(40)
    tower.chain.faults.no_balances = True
    with pytest.raises(ChainUnreachable):
        await tower.watch()
    await expire(tower)
    assert await tower.shop.status(due) is Status.AWAITING_PAYMENT

    tower.chain.faults.no_balances = False
    await tower.watch()
    await expire(tower)
    assert await tower.shop.status(due) is Status.EXPIRED


async def test_a_balance_that_was_wrong_holds_the_invoice_only_until_the_next_look(
    tower: Tower,
) -> None:
    bill = await tower.shop.bill(deadline_at=SOON)
    tower.mine(50)
    await tower.watch()
    lie = tower.chain.pay(USDT.contract, bill.deposit_address, DUE, CUSTOMER)
    tower.chain.faults.omitted.add(lie.tx_hash)
    tower.mine(30)
    tower.chain.final_lag = 60
    await tower.watch()
    await expire(tower)
    assert await tower.shop.status(bill) is Status.AWAITING_PAYMENT

    tower.chain.reorg(31, forget=True)
    tower.chain.final_lag = 4
    tower.mine(20)
    await rounds(tower, 2)
    await expire(tower)
    assert await comparing.every(tower.desk) == []
    assert await tower.shop.status(bill) is Status.EXPIRED


async def test_what_is_found_of_some_size_needs_two_nodes_as_well(tower: Tower) -> None:
    bill = await tower.shop.bill(due_units=LARGE)
    tower.chain.faults.omits_from_single_blocks = False
    paid = tower.chain.pay(USDT.contract, bill.deposit_address, LARGE, CUSTOMER)
    tower.chain.faults.omitted.add(paid.tx_hash)
    tower.chain.told[paid.tx_hash] = Attestation(confirms=("a",), denies=("b",))
    tower.mine(10)
    await tower.watch()
    await rounds(tower)

    assert await tower.shop.deposited(bill) == 0
    (doubt,) = await doubting.doubted(tower.desk)
    assert doubt.amount_units == LARGE
    tower.chain.told.clear()
    await rounds(tower)
    assert await tower.shop.deposited(bill) == LARGE
    assert await comparing.every(tower.desk) == []


async def test_open_addresses_are_looked_at_in_turns_a_bounded_number_at_once(
    database: Database,
) -> None:
    clock = FakeClock()
    tower = Tower(desk_on(database, clock), clock, Asked(clock))
    await tower.shop.open()
    for _ in range(AT_ONCE + 20):
        await tower.shop.bill()
    tower.mine(10)
    for _ in range(3):
        await tower.watch()
        tower.clock.advance(timedelta(seconds=10))

    asked = tower.chain.balances  # type: ignore[attr-defined]  # it counts
    assert asked == [3 * AT_ONCE, 3 * 20], "three tokens each; and then a pause"


async def test_missed_blocks_are_read_before_balances_are_compared_but_not_for_ever(
    database: Database,
) -> None:
    clock = FakeClock()
    tower = Tower(desk_on(database, clock), clock, Asked(clock))
    await tower.shop.open()
    watcher = tower.another(WatchLimits(start_block=0, widest_range=2, ranges_at_once=1))
    await watcher.step()
    for _ in range(AT_ONCE + 20):
        await tower.shop.bill()
    tower.mine(40)
    compared = []
    for _ in range(10):
        assert await watcher.step(), "there is more to read"
        compared.append(len(getattr(tower.chain, "balances", [])))
        clock.advance(timedelta(seconds=EVERY_SECONDS))

    assert compared == [0, 0, 1, 1, 1, 1, 1, 1, 2, 2], "every minute"
    await tower.watch(watcher)
    assert (await tower.position()).final_number > 30


async def test_reading_a_block_again_leaves_alone_what_else_is_in_it(tower: Tower) -> None:
    large, small = await tower.shop.bill(due_units=LARGE), await tower.shop.bill()
    tower.chain.faults.omits_from_single_blocks = False
    paid = tower.chain.pay(USDT.contract, large.deposit_address, LARGE, CUSTOMER)
    tower.chain.told[paid.tx_hash] = Attestation(confirms=("a",), silent=("b",))
    missing = tower.chain.pay(USDT.contract, small.deposit_address, DUE, CUSTOMER)
    tower.chain.faults.omitted.add(missing.tx_hash)
    tower.mine(10)
    await tower.watch()
    await rounds(tower)

    assert await tower.shop.deposited(small) == DUE
    assert [row.depth for row in await tower.shop.transfers(large)] == [Depth.SAFE]
    tower.chain.told.clear()
    await rounds(tower)
    assert await tower.shop.deposited(large) == LARGE


async def test_a_bridged_token_that_no_list_tells_is_missed_as_well(tower: Tower) -> None:
    (bridged,) = CHAINS["arb"].known_other
    bill = await tower.shop.bill()
    paid = tower.chain.pay(bridged.contract, bill.deposit_address, DUE, CUSTOMER)
    tower.chain.faults.omitted.add(paid.tx_hash)
    tower.mine(9)
    await tower.watch()
    await rounds(tower)
    (missing,) = await comparing.every(tower.desk)
    assert (missing.contract, missing.chain_units) == (bridged.contract, DUE)

    tower.chain.faults.omitted.clear()
    await rounds(tower)
    assert await comparing.every(tower.desk) == []
    assert [a.asset for a in (await tower.shop.look(bill)).tally.stray] == [bridged]


async def test_of_two_contents_only_what_two_nodes_confirm_is_taken(tower: Tower) -> None:
    bill = await tower.shop.bill()
    paid = tower.chain.pay(USDT.contract, bill.deposit_address, DUE, CUSTOMER)
    tower.mine()
    (true,) = await tower.chain.transfers(1, tower.chain.head.number, [USDT.contract], None)
    false = replace(true, amount_units=5)
    assert await witness.one_content(tower.chain, [false, true]) == [true]
    tower.chain.told[paid.tx_hash] = Attestation(confirms=("a",), denies=("b",))
    assert await witness.one_content(tower.chain, [false, true]) == []
    assert await witness.one_content(tower.chain, [true, true]) == [true]


async def test_a_person_dismisses_it_and_the_invoice_goes_on(tower: Tower) -> None:
    bill = await tower.shop.bill(deadline_at=SOON)
    paid = tower.chain.pay(USDT.contract, bill.deposit_address, 7, CUSTOMER)
    tower.chain.faults.omitted.add(paid.tx_hash)
    tower.mine(90)
    await tower.watch()
    await rounds(tower)
    assert len(await comparing.every(tower.desk)) == 1
    why = {"by": "operator:me", "reason": "a gift, said the sender"}
    with pytest.raises(Invalid, match="reason"):
        await comparing.dismiss(tower.desk, "arb", bill.deposit_address, by="me", reason=" ")
    assert await comparing.dismiss(tower.desk, "arb", bill.deposit_address, **why) == 1
    with pytest.raises(NotFound):
        await comparing.dismiss(tower.desk, "arb", bill.deposit_address, **why)

    await rounds(tower)
    assert await comparing.every(tower.desk) == []
    async with tower.desk.database.reading() as tx:
        (*_, (entry, _)) = await audit.of_invoice(tx, 1, bill.invoice_id)
    assert (entry.event, entry.operator_uid, entry.reason) == (
        "balance_dismissed",
        "operator:me",
        "a gift, said the sender",
    )
    assert entry.metadata["amount_units"] == "7"
    assert (await proving.verify_audit(tower.desk)).breaks == ()
    (place,) = [
        place
        for place in await proving.places(tower.desk, "arb", (await tower.position()).final_number)
        if place.address == bill.deposit_address
    ]
    assert place.units[USDT.contract] == 7
    await expire(tower)
    assert await tower.shop.status(bill) is Status.EXPIRED

    again = tower.chain.pay(USDT.contract, bill.deposit_address, 5, CUSTOMER)
    tower.chain.faults.omitted.add(again.tx_hash)
    await rounds(tower, 2)
    (missing,) = await comparing.every(tower.desk)
    assert (missing.known_units, missing.chain_units) == (7, 12), "later money is missed anew"


async def test_a_sweep_waits_while_its_address_holds_more_than_is_on_record(
    database: Database,
) -> None:
    till = Till(desk_on(database, FakeClock()))
    await till.open()
    await till.ready()
    bill = await till.signed_bill()
    more = comparing.Unexplained(
        "arb", bill.deposit_address, USDT.contract, 1, bill.invoice_id, DUE, DUE + 7, 99, NOON
    )
    await comparing.keep(till.desk, 99, (), [more])

    assert await reserve(till) is Reserved.WAITING
    assert "more than is on record" in ((await till.move(bill, "sweep")).wait_reason or "")
    await comparing.dismiss(till.desk, "arb", bill.deposit_address, by="me", reason="a gift")
    clock = till.desk.clock
    assert isinstance(clock, FakeClock)
    clock.advance(timedelta(minutes=1))
    assert await reserve(till) is Reserved.SIGNED

    # What the sweep takes along is no longer at the address.
    (flying,) = await moving.open_txs(till.desk, "arb")
    items = tuple(LandedItem(i.move.move_id, DUE + 7) for i in flying.items)
    landed = Landed("arb", flying.tx.tx_hash, 100, ok=True, fee_wei=1, items=items)
    assert await landing.settle(till.desk, landed) is Settled.BOOKED
    (at,) = await comparing.addresses(till.desk, "arb", [bill.deposit_address])
    known = await comparing.known_at(till.desk, "arb", [at], [USDT.contract], 100)
    assert known == {(bill.deposit_address, USDT.contract): 0}
