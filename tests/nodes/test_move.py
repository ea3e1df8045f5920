import asyncio
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

import pytest

from counterfoil.chains.port import Block
from counterfoil.core.invoice import Invoice, Status
from counterfoil.desk import moving, upkeep
from counterfoil.desk.moving import Batch, SignedBytes, Terms
from counterfoil.workers.move import MoveWorker
from support.fake_clock import FakeClock
from support.house import House
from support.invoices import DUE, MERCHANT_ADDRESS, USDC, USDT
from support.till import ETHER


async def assert_books_equal_chain(house: House) -> None:
    org = await house.org()
    places = {"operator": org.operator_address, "pool": org.pool_address, "gas": org.gas_address}
    for role, address in places.items():
        for asset in (None, USDT, USDC):
            on_chain = await house.arb.balance(asset, address)
            assert await house.holds(role, asset) == on_chain, (role, asset)  # type: ignore[arg-type]  # - a role by its name


async def test_from_an_empty_chain_to_a_paid_merchant(newcomer: House) -> None:
    await newcomer.provide()
    bill = await newcomer.signed_bill()
    other = await newcomer.signed_bill(DUE + 1, USDC)
    await newcomer.drive()
    await newcomer.fuel()
    await newcomer.drive(rounds=6)

    assert await newcomer.status(bill) is Status.COMPLETED
    assert await newcomer.status(other) is Status.COMPLETED
    assert (await newcomer.at_merchant(USDT), await newcomer.at_merchant(USDC)) == (DUE, DUE + 1)
    assert await newcomer.arb.chain.code((await newcomer.org()).factory_address)
    assert {row.status for row in await newcomer.txs()} == {"final"}
    await assert_books_equal_chain(newcomer)
    assert await newcomer.holds("outside:funding") == -ETHER


async def swept_bill(house: House) -> Invoice:
    """A bill whose sweep is settled and whose payout nobody has looked at."""
    bill = await house.signed_bill()
    worker = house.worker()
    await worker.reserve(house.arb.chain)
    await worker.broadcast(house.arb.chain)
    await house.finalize()
    await worker.follow(house.arb.chain)
    assert (await house.move(bill, "payout")).status == "ready"
    return bill


async def test_a_crash_between_commit_and_broadcast_pays_once(house: House) -> None:
    bill = await swept_bill(house)
    await house.worker().reserve(house.arb.chain)
    kept = (await house.move(bill, "payout")).tx_hash
    assert await house.at_merchant() == 0

    await house.drive()

    move = await house.move(bill, "payout")
    assert (move.status, move.tx_hash) == ("final", kept)
    assert await house.at_merchant() == DUE


async def test_a_crash_between_broadcast_and_its_note_pays_once(house: House) -> None:
    bill = await swept_bill(house)
    await house.worker().reserve(house.arb.chain)
    (row,) = await moving.due_txs(house.desk, "arb")
    await house.arb.chain.send(row.raw)

    await house.drive()

    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == DUE
    await assert_books_equal_chain(house)


class DyingWorker(MoveWorker):
    """Is killed when the signer has answered, before the answer is kept."""

    async def _sign(self, batch: Batch, nonce: int, terms: Terms) -> SignedBytes:
        await super()._sign(batch, nonce, terms)
        raise KeyboardInterrupt


async def test_a_nonce_that_was_signed_and_lost_goes_to_the_same_moves_again(
    house: House,
) -> None:
    first = await house.signed_bill()
    dying = DyingWorker(house.desk, house.chains, house.signer)
    with pytest.raises(KeyboardInterrupt):
        await dying.reserve(house.arb.chain)
    assert (await house.move(first, "sweep")).status == "ready"
    second = await house.signed_bill()

    await house.worker().reserve(house.arb.chain)

    sweeps = [await house.move(bill, "sweep") for bill in (first, second)]
    assert [move.status for move in sweeps] == ["signed", "signed"]
    assert [move.nonce for move in sweeps] == [0, 1]
    await house.drive(rounds=4)
    assert await house.at_merchant() == 2 * DUE


async def test_two_workers_at_once_pay_everybody_once(house: House) -> None:
    bills = [await house.signed_bill() for _ in range(4)]
    workers = [house.worker(), house.worker()]
    for _ in range(5):
        await asyncio.gather(*(worker.step() for worker in workers))
        await house.finalize()

    assert [await house.status(bill) for bill in bills] == [Status.COMPLETED] * 4
    assert await house.at_merchant() == 4 * DUE
    pool = (await house.org()).pool_address
    nonces = [row.nonce for row in await house.txs() if row.wallet == pool]
    assert nonces == list(range(4))
    await assert_books_equal_chain(house)


async def test_an_address_that_the_issuer_froze_waits_alone_and_is_tried_again(
    house: House,
) -> None:
    good, bad = await house.signed_bill(), await house.signed_bill()
    await house.arb.as_issuer(USDT, "addBlackList(address)", bad.deposit_address)
    await house.drive(rounds=4)

    assert await house.status(good) is Status.COMPLETED
    assert await house.status(bad) is Status.SWEEPING
    waits = await house.move(bad, "sweep")
    assert (waits.status, waits.failures) == ("ready", 1)
    assert f"would not move out of {bad.deposit_address}" in str(waits.wait_reason)
    assert await house.deposited(bad) == DUE == await house.arb.balance(USDT, bad.deposit_address)
    (held,) = await upkeep.held_up(house.desk)
    assert (held.invoice_id, held.failures, held.reason) == (
        bad.invoice_id,
        1,
        waits.wait_reason,
    )

    pauses = []
    for _ in range(3):
        waits = await house.move(bad, "sweep")
        assert waits.wait_until is not None
        pauses.append(waits.wait_until - waits.updated_at)
        clock(house).advance(pauses[-1])
        await house.drive(rounds=1)
        await house.worker().follow(house.arb.chain)
    assert pauses == [timedelta(minutes=m) for m in (15, 30, 60)]

    await house.arb.as_issuer(USDT, "removeBlackList(address)", bad.deposit_address)
    clock(house).advance(timedelta(hours=2))
    await house.drive(rounds=3)
    assert await house.status(bad) is Status.COMPLETED
    assert await house.at_merchant() == 2 * DUE
    await assert_books_equal_chain(house)


async def test_a_payout_to_a_frozen_merchant_waits_an_hour_and_parks(house: House) -> None:
    await house.arb.as_issuer(USDC, "blacklist(address)", MERCHANT_ADDRESS)
    bill, other = await house.signed_bill(DUE, USDC), await house.signed_bill()
    await house.drive()
    waits = await house.move(bill, "payout")
    assert waits.status == "ready"
    assert str(waits.wait_reason).startswith("the chain would refuse it")
    await house.drive()
    assert await house.status(other) is Status.COMPLETED

    clock(house).advance(timedelta(hours=1))
    await house.drive()
    parked = await house.move(bill, "payout")
    assert (parked.status, parked.nonce) == ("parked", None)
    assert str(parked.park_reason).startswith("the chain would refuse it")

    await house.arb.as_issuer(USDC, "unBlacklist(address)", MERCHANT_ADDRESS)
    assert await house.at_merchant(USDC) == 0
    await upkeep.retry(house.desk, 1, parked.move_id, by="operator:kim", reason="it was lifted")
    await house.drive()
    assert await house.at_merchant(USDC) == DUE


async def test_somebody_elses_transaction_freezes_the_wallet(house: House) -> None:
    bill = await swept_bill(house)
    pool = (await house.org()).pool_address
    await house.arb.send(pool, MERCHANT_ADDRESS, value_wei=1)
    await house.finalize()

    await house.drive()

    reason = (await house.wallet("pool")).frozen_reason
    assert reason is not None
    assert "somebody else uses its key" in reason
    assert (await house.move(bill, "payout")).status == "ready"
    assert await house.at_merchant() == 0


async def test_a_nonce_consumed_by_something_else_freezes_and_signs_no_second_time(
    house: House,
) -> None:
    bill = await swept_bill(house)
    worker = house.worker()
    await worker.reserve(house.arb.chain)
    pool = (await house.org()).pool_address
    await house.arb.send(pool, MERCHANT_ADDRESS, value_wei=1)
    await house.finalize()

    await worker.step()
    assert (await house.wallet("pool")).frozen_reason is None
    await house.drive(worker)

    reason = (await house.wallet("pool")).frozen_reason
    assert reason is not None
    assert "nonce 0 was consumed" in reason
    assert (await house.move(bill, "payout")).status == "signed"
    assert await house.at_merchant() == 0


async def test_money_on_chain_that_the_books_do_not_know_stops_the_sweep(house: House) -> None:
    bill = await house.signed_bill()
    await house.arb.pay(USDT, bill.deposit_address, 5)
    await house.finalize()
    await house.drive()

    parked = await house.move(bill, "sweep")
    assert parked.status == "parked"
    assert parked.park_reason is not None
    assert f"holds {DUE + 5} base units" in parked.park_reason
    assert f"the books say {DUE}" in parked.park_reason


async def test_balances_are_compared_at_exactly_the_block_that_the_watcher_has_booked(
    house: House,
) -> None:
    bill = await house.bill(status=Status.SIGN_PENDING)
    paid = await house.arb.pay(USDT, bill.deposit_address, DUE)
    await house.arb.pay(USDT, bill.deposit_address, 5)
    await house.receive(bill, DUE, block=paid.block_number)
    await house.screened(bill)
    await house.sign_off(bill)
    await house.arb.finalize()
    # One block earlier the address was empty; one block later it holds what nobody has booked.
    await house.watched_to(paid.block_number, block_hash=paid.block_hash)

    assert await house.worker().reserve(house.arb.chain)
    assert (await house.move(bill, "sweep")).status == "signed"


async def test_money_in_the_last_booked_block_is_compared(house: House) -> None:
    bill = await house.signed_bill()
    stray = await house.arb.pay(USDT, bill.deposit_address, 5)
    await house.arb.finalize()
    await house.watched_to(stray.block_number, block_hash=stray.block_hash)

    assert not await house.worker().reserve(house.arb.chain)
    parked = await house.move(bill, "sweep")
    assert f"holds {DUE + 5} base units" in str(parked.park_reason)
    assert f"at block {stray.block_number}," in str(parked.park_reason)


async def test_a_reorganised_payout_is_sent_again_and_counts_once(house: House) -> None:
    bill = await swept_bill(house)
    worker = house.worker()
    await worker.reserve(house.arb.chain)
    await worker.broadcast(house.arb.chain)
    (open_tx,) = await moving.open_txs(house.desk, "arb")
    await house.arb.receipt(open_tx.tx.tx_hash)
    await house.arb.node.rollback(1)
    assert await house.at_merchant() == 0

    clock(house).advance(timedelta(seconds=5))
    await house.drive(worker)

    assert (await house.move(bill, "payout")).status == "final"
    assert (await house.move(bill, "payout")).tx_hash == open_tx.tx.tx_hash
    assert await house.at_merchant() == DUE
    await assert_books_equal_chain(house)


async def test_nothing_is_final_before_the_chain_says_so(house: House) -> None:
    bill = await swept_bill(house)
    worker = house.worker()
    await worker.step()
    await worker.step()
    assert await house.at_merchant() == DUE
    assert not await worker.follow(house.arb.chain)
    assert (await house.move(bill, "payout")).status == "signed"


async def test_a_receipt_from_a_fork_settles_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill = await swept_bill(house)
    worker = house.worker()
    await worker.reserve(house.arb.chain)
    await worker.broadcast(house.arb.chain)
    await house.finalize()
    honest = house.arb.chain.headers

    async def other_branch(numbers: Collection[int], *, below: Block) -> dict[int, Block | None]:
        there = await honest(numbers, below=below)
        return {n: block and replace(block, hash="0x" + "f0" * 32) for n, block in there.items()}

    monkeypatch.setattr(house.arb.chain, "headers", other_branch)
    assert not await worker.follow(house.arb.chain)
    assert (await house.move(bill, "payout")).status == "signed"
    monkeypatch.undo()
    assert await worker.follow(house.arb.chain)


async def test_a_wallet_without_gas_money_says_so_and_goes_on_later(house: House) -> None:
    bill = await swept_bill(house)
    pool = (await house.org()).pool_address
    worker = house.worker()
    await worker.reserve(house.arb.chain)
    before = await house.arb.balance(None, pool)
    await house.arb.node.set_balance(pool, 0)
    await worker.broadcast(house.arb.chain)
    (row,) = [row for row in await house.txs() if row.status == "signed"]
    assert row.send_error == "waiting for gas"

    await house.arb.node.set_balance(pool, before)
    clock(house).advance(timedelta(seconds=5))
    await house.drive(worker)
    assert await house.status(bill) is Status.COMPLETED
    await assert_books_equal_chain(house)


async def test_an_address_swapped_in_the_database_is_not_swept_and_stops_no_other(
    house: House,
) -> None:
    bill, other = await house.signed_bill(), await house.signed_bill()
    async with house.desk.database.transaction() as tx:
        await tx.execute(
            "UPDATE deposit_address SET number = 5000 WHERE number = %(n)s", {"n": bill.number}
        )
        await tx.execute(
            "UPDATE invoice SET number = 5000 WHERE number = %(n)s", {"n": bill.number}
        )
    await house.drive()

    parked = await house.move(bill, "sweep")
    assert parked.park_reason is not None
    assert "is no deposit address of factory" in parked.park_reason
    assert await house.status(other) is not Status.SWEEPING


async def test_a_payout_changed_in_the_database_is_refused_by_the_signer(house: House) -> None:
    bill = await swept_bill(house)
    async with house.desk.database.transaction() as tx:
        await tx.execute(
            "UPDATE move SET destination = %(thief)s WHERE purpose = 'payout'",
            {"thief": "0x" + "77" * 20},
        )
    await house.drive()

    parked = await house.move(bill, "payout")
    assert parked.park_reason is not None
    assert "nobody approved this" in parked.park_reason
    assert await house.arb.balance(USDT, "0x" + "77" * 20) == 0


async def test_gas_from_outside_is_booked_once_and_never_a_loss(house: House) -> None:
    gas = (await house.org()).gas_address
    before = await house.arb.balance(None, gas)
    await house.arb.node.set_balance(gas, before + ETHER)
    await house.finalize()
    for _ in range(3):
        await house.fuel()
    assert await house.holds("outside:funding") == -2 * ETHER
    await assert_books_equal_chain(house)

    await house.arb.node.set_balance(gas, before)
    await house.finalize()
    await house.fuel()
    assert await house.holds("outside:funding") == -2 * ETHER


async def test_a_wallet_is_fuelled_again_only_when_it_is_low(house: House) -> None:
    fuelled = len(await house.txs())
    await house.fuel()
    await house.drive()
    assert len(await house.txs()) == fuelled


def clock(house: House) -> FakeClock:
    found = house.desk.clock
    assert isinstance(found, FakeClock)
    return found
