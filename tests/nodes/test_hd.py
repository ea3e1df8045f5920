"""Deposit addresses with keys of their own: paid, fuelled, swept and paid out on a real chain."""

import asyncio
from datetime import timedelta
from typing import Final

import pytest

from counterfoil.core.events import ApproveRefund, Decline, OrderRefund
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.money import Asset
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.rows import all_values, execute
from counterfoil.desk import settings, stuck
from counterfoil.desk.act import act
from counterfoil.desk.moving import Batch, SignedBytes, Terms
from counterfoil.desk.provisioning import FuelLevels
from counterfoil.workers.children import ChildFueler
from counterfoil.workers.move import MoveWorker
from counterfoil.workers.reconcile import reconcile
from support.fake_clock import FakeClock
from support.house import House
from support.invoices import DUE, OFFICERS, SIGNER, USDC, USDT
from support.till import ETHER

REFUND_ADDRESS: Final = "0x" + "4f" * 20


@pytest.fixture
async def house(newcomer: House) -> House:
    await settings.choose_deposits(newcomer.desk, 1, "arb", "hd")
    return await newcomer.settled_in()


async def assert_every_unit_is_explained(house: House) -> None:
    compared = [found async for found in reconcile(house.desk, house.arb.chain)]
    assert compared
    assert [found.differences for found in compared] == [()] * len(compared)


async def fuellings(house: House) -> list[str]:
    """The status of every move that brought gas to a child, oldest first."""
    async with house.desk.database.reading() as tx:
        return await all_values(
            tx,
            str,
            """
            SELECT m.status FROM move m JOIN hd_address h ON h.address = m.destination
             WHERE m.purpose = 'fuel' ORDER BY m.created_at
            """,
            {},
        )


def clock(house: House) -> FakeClock:
    assert isinstance(house.desk.clock, FakeClock)
    return house.desk.clock


def child(bill: Invoice) -> str:
    assert bill.hd_address is not None
    return bill.hd_address


async def test_a_payment_goes_from_its_own_key_to_the_pool_and_to_the_merchant(
    house: House,
) -> None:
    bill = await house.signed_bill()
    assert await house.arb.balance(USDT, child(bill)) == DUE
    assert (await house.holds("child", USDT), await house.holds("deposit", USDT)) == (DUE, 0)

    await house.drive(rounds=4)

    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == DUE
    assert await house.arb.balance(USDT, child(bill)) == 0
    sweep = await house.move(bill, "sweep")
    assert (sweep.deposit_mode, sweep.wallet, sweep.nonce) == ("hd", child(bill), 0)
    assert sweep.moved_units == DUE
    dust_wei = await house.arb.balance(None, child(bill))
    assert 0 < dust_wei == await house.holds("child")
    assert await fuellings(house) == ["final"]
    await assert_every_unit_is_explained(house)


async def test_two_deposits_and_two_tokens_never_meet(house: House) -> None:
    first, second = await house.signed_bill(), await house.signed_bill(DUE + 1, USDC)
    await house.drive(rounds=4)

    assert child(first) != child(second)
    assert [await house.status(bill) for bill in (first, second)] == [Status.COMPLETED] * 2
    assert (await house.at_merchant(USDT), await house.at_merchant(USDC)) == (DUE, DUE + 1)
    sweeps = [await house.move(bill, "sweep") for bill in (first, second)]
    assert [(move.wallet, move.nonce) for move in sweeps] == [(child(first), 0), (child(second), 0)]
    assert await fuellings(house) == ["final", "final"]
    await assert_every_unit_is_explained(house)


async def paid_twice(house: House, once: Asset, again: Asset, to: str = "") -> Invoice:
    """An invoice over either token, paid half and half; the second half where ``to`` says."""
    bill = await house.bill(due_units=DUE, assets=(USDT, USDC), status=Status.SIGN_PENDING)
    await house.pay(bill, child(bill), DUE // 2, once)
    await house.pay(bill, {"": child(bill), "factory": bill.deposit_address}[to], DUE // 2, again)
    await house.finalize()
    await house.screened(bill)
    return await house.sign_off(bill)


async def test_one_address_sweeps_two_tokens_one_after_the_other(house: House) -> None:
    bill = await paid_twice(house, USDT, USDC)
    await house.drive(rounds=6)

    assert await house.status(bill) is Status.COMPLETED
    sweeps = await house.moves(bill, "sweep")
    assert sorted((m.wallet, m.nonce, m.moved_units) for m in sweeps) == [
        (child(bill), 0, DUE // 2),
        (child(bill), 1, DUE // 2),
    ]
    await assert_every_unit_is_explained(house)


async def test_both_addresses_of_an_invoice_are_swept_when_both_were_used(house: House) -> None:
    bill = await paid_twice(house, USDT, USDT, to="factory")
    await house.drive(rounds=5)

    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == DUE
    org = await house.org()
    sweeps = await house.moves(bill, "sweep")
    assert sorted((m.deposit_mode, m.wallet, m.moved_units) for m in sweeps) == [
        ("factory", org.operator_address, DUE // 2),
        ("hd", child(bill), DUE // 2),
    ]
    await assert_every_unit_is_explained(house)


async def refund(house: House, bill: Invoice) -> None:
    """One person orders it, another lets it go."""
    at = house.desk.clock.now()
    order = OrderRefund(
        at=at, by=SIGNER, address=REFUND_ADDRESS, reason="came late", attachment_file_ids=()
    )
    for event in (order, ApproveRefund(at=at, by=OFFICERS[0])):
        actor = Actor(event.by, 1, frozenset({Permission.SIGN}))
        await act(house.desk, 1, bill.invoice_id, event, actor)


async def test_money_that_comes_after_the_payout_is_swept_apart_and_sent_back(
    house: House,
) -> None:
    bill = await house.signed_bill()
    await house.drive(rounds=4)
    assert (await house.look(bill)).settled.swept == ((USDT.key, DUE),)
    await house.pay(bill, child(bill), 5_000_000)
    await house.finalize()
    await refund(house, bill)
    await house.drive(rounds=1)
    assert (await house.moves(bill, "sweep"))[-1].nonce is None, "nobody has screened it"
    await house.screened(bill)
    clock(house).advance(timedelta(minutes=1))
    await house.drive(rounds=5)

    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == DUE
    assert await house.arb.balance(USDT, REFUND_ADDRESS) == 5_000_000
    sweeps = await house.moves(bill, "sweep")
    assert [(move.nonce, move.moved_units) for move in sweeps] == [(0, DUE), (1, 5_000_000)]
    await assert_every_unit_is_explained(house)


async def test_an_invoice_of_before_keeps_the_factory(newcomer: House) -> None:
    await newcomer.settled_in()
    before = await newcomer.signed_bill()
    await settings.choose_deposits(newcomer.desk, 1, "arb", "hd")
    await newcomer.provision()
    after = await newcomer.signed_bill()
    await settings.choose_deposits(newcomer.desk, 1, "arb", "factory")
    last = await newcomer.signed_bill()
    await newcomer.drive(rounds=5)

    bills = (before, after, last)
    assert [bill.hd_address is not None for bill in bills] == [False, True, False]
    assert [await newcomer.status(bill) for bill in bills] == [Status.COMPLETED] * 3
    modes = [(await newcomer.move(bill, "sweep")).deposit_mode for bill in bills]
    assert modes == ["factory", "hd", "factory"]
    await assert_every_unit_is_explained(newcomer)


@pytest.mark.parametrize("dies", ["signed", "landed", "settled"])
async def test_a_crash_between_the_gas_and_the_sweep_gives_gas_once(
    house: House, dies: str
) -> None:
    bill = await house.signed_bill()
    at_once = (house.fuel_children() for _ in range(3))
    assert sorted(await asyncio.gather(*at_once)) == [False, False, True]
    worker = house.worker()
    await worker.reserve(house.arb.chain)
    if dies != "signed":
        await worker.broadcast(house.arb.chain)
    if dies in {"landed", "settled"}:
        await house.finalize()
    if dies == "settled":
        await worker.follow(house.arb.chain)
    assert not await house.fuel_children()
    assert (await house.move(bill, "sweep")).status == "ready"

    await house.drive(rounds=4)

    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == DUE
    assert await fuellings(house) == ["final"]
    await assert_every_unit_is_explained(house)


async def test_a_sweep_is_signed_only_with_gas_that_is_final(house: House) -> None:
    bill = await house.signed_bill()
    await house.fuel_children()
    worker = house.worker()
    for _ in range(4):
        await worker.step()
    assert await house.arb.balance(None, child(bill)) > 0
    assert (await house.move(bill, "sweep")).status == "ready"

    await house.finalize()
    await worker.step()
    assert (await house.move(bill, "sweep")).status == "signed"


async def test_a_crash_after_the_sweep_was_signed_sweeps_once(house: House) -> None:
    bill = await house.signed_bill()
    await house.fuel_children()
    worker = house.worker()
    await worker.step()
    await worker.step()
    await house.finalize()
    await worker.follow(house.arb.chain)
    await worker.reserve(house.arb.chain)
    kept = await house.move(bill, "sweep")
    assert kept.status == "signed"

    await house.drive(rounds=3)

    move = await house.move(bill, "sweep")
    assert (move.status, move.tx_hash) == ("final", kept.tx_hash)
    assert await house.at_merchant() == DUE
    await assert_every_unit_is_explained(house)


async def test_an_empty_station_says_so_and_goes_on_after_a_top_up(house: House) -> None:
    bill = await house.signed_bill()
    stingy = ChildFueler(
        house.desk, house.chains, house.signer, FuelLevels(low_wei=2 * ETHER, target_wei=2 * ETHER)
    )
    assert not await stingy.step()
    waits = await house.move(bill, "sweep")
    assert waits.status == "ready"
    assert str(waits.wait_reason).startswith("waiting for gas: the station")
    assert await fuellings(house) == []

    gas = (await house.org()).gas_address
    await house.arb.node.set_balance(gas, await house.arb.balance(None, gas) + 2 * ETHER)
    await house.finalize()
    await house.fuel()
    clock(house).advance(timedelta(minutes=1))
    assert await stingy.step()
    await house.drive(rounds=4)
    assert await house.status(bill) is Status.COMPLETED
    await assert_every_unit_is_explained(house)


async def test_money_that_is_held_in_time_is_not_swept(house: House) -> None:
    bill = await house.signed_bill()
    await house.fuel_children()
    await house.put(bill, Status.COMPLIANCE_HOLD)
    await house.drive(rounds=3)

    assert (await house.move(bill, "sweep")).status == "ready"
    assert await house.arb.balance(USDT, child(bill)) == DUE
    assert await house.holds("child", USDT) == DUE
    await assert_every_unit_is_explained(house)


async def test_an_address_that_the_issuer_froze_gets_no_gas_and_stops_nobody(
    house: House,
) -> None:
    good, bad = await house.signed_bill(), await house.signed_bill()
    await house.arb.as_issuer(USDT, "addBlackList(address)", child(bad))
    await house.drive(rounds=4)

    assert await house.status(good) is Status.COMPLETED
    stuck = await house.move(bad, "sweep")
    assert stuck.status == "ready"
    assert str(stuck.wait_reason).startswith("the chain would refuse it")
    assert await house.arb.balance(None, child(bad)) == 0
    assert await fuellings(house) == ["final"]


async def test_coin_that_was_there_before_counts_as_gas(house: House) -> None:
    bill = await house.signed_bill()
    await house.arb.node.set_balance(child(bill), ETHER)
    await house.finalize()
    await house.drive(rounds=3)

    assert await house.status(bill) is Status.COMPLETED
    assert await fuellings(house) == []
    assert await house.holds("child") == await house.arb.balance(None, child(bill))
    await assert_every_unit_is_explained(house)


async def test_an_address_that_somebody_wrote_into_the_database_is_left_alone(
    house: House,
) -> None:
    bill = await house.signed_bill()
    async with house.desk.database.transaction() as tx:
        await execute(
            tx,
            "UPDATE hd_address SET address = %(theirs)s WHERE address = %(ours)s",
            {"theirs": "0x" + "bad0" * 10, "ours": child(bill)},
        )
    await house.drive()

    parked = await house.move(bill, "sweep")
    assert parked.status == "parked"
    assert "is no deposit address of the signer's branch" in str(parked.park_reason)
    assert await fuellings(house) == []


async def test_money_that_the_books_do_not_know_stops_a_childs_sweep(house: House) -> None:
    bill = await house.signed_bill()
    await house.arb.pay(USDT, child(bill), 5)
    await house.finalize()
    await house.drive()

    parked = await house.move(bill, "sweep")
    assert parked.status == "parked"
    assert f"holds {DUE + 5} base units" in str(parked.park_reason)


async def test_the_stock_has_both_addresses_and_they_are_the_signers(
    house: House,
) -> None:
    derived = await house.signer.deposits(1)
    async with house.desk.database.reading() as tx:
        rows = await all_values(
            tx, str, "SELECT number || ' ' || address FROM hd_address ORDER BY number", {}
        )
    assert rows == [f"{n} {derived.address(n)}" for n in range(1, len(rows) + 1)]
    assert len(rows) == 20


class Dying(MoveWorker):
    """Dies after the signer answered and before anything of it is kept."""

    async def _sign(self, batch: Batch, nonce: int, terms: Terms) -> SignedBytes:
        await super()._sign(batch, nonce, terms)
        raise KeyboardInterrupt


async def test_a_childs_lost_signature_is_used_up_and_its_refund_goes_out_once(
    house: House,
) -> None:
    bill = await house.signed_bill()
    await house.fuel_children()
    worker = house.worker()
    await worker.step()
    await worker.step()
    await house.finalize()
    await worker.follow(house.arb.chain)
    with pytest.raises(KeyboardInterrupt):
        await Dying(house.desk, house.chains, house.signer).reserve(house.arb.chain)
    clock(house).advance(timedelta(minutes=1))
    await house.screened(bill, "aml_hold")
    for officer in OFFICERS:
        by = Actor(officer, 1, frozenset({Permission.REVIEW}))
        at = house.desk.clock.now()
        decline = Decline(at=at, by=officer, reason="stolen funds")
        await act(house.desk, 1, bill.invoice_id, decline, by)
    clock(house).advance(timedelta(minutes=1))
    await refund(house, bill)
    await house.drive(worker, rounds=2)
    (hole,) = await stuck.on_their_way(house.desk)
    assert (hole.hole, hole.role, hole.wallet, hole.nonce) == (True, "child", child(bill), 0)
    assert await house.arb.balance(USDT, REFUND_ADDRESS) == 0

    clock(house).advance(stuck.HOLE_PATIENCE)
    for _ in range(6):
        await house.drive(worker, rounds=1)
        clock(house).advance(timedelta(minutes=15))

    assert await house.status(bill) is Status.REFUNDED
    assert await house.arb.balance(USDT, REFUND_ADDRESS) == DUE
    given_up, sweep = await house.moves(bill, "sweep")
    assert (given_up.status, sweep.status, sweep.nonce) == ("failed", "final", 1)
    cancels = [row for row in await house.txs() if row.cancels]
    assert [(row.wallet, row.nonce, row.status) for row in cancels] == [(child(bill), 0, "final")]
    assert await stuck.on_their_way(house.desk) == []
    assert await house.holds("child") == await house.arb.balance(None, child(bill))
    await assert_every_unit_is_explained(house)
