"""Transactions that nobody mines: dearer siblings with the same nonce, of which one lands."""

from datetime import timedelta
from itertools import pairwise

import pytest

from counterfoil.core.invoice import Invoice, Status
from counterfoil.desk import moving, stuck
from counterfoil.desk.moving import OpenTx
from counterfoil.workers.move import MoveWorker
from support.fake_clock import FakeClock
from support.house import House
from support.invoices import DUE, MERCHANT_ADDRESS
from support.till import ETHER

GWEI = 10**9


def clock(house: House) -> FakeClock:
    found = house.desk.clock
    assert isinstance(found, FakeClock)
    return found


async def swept_bill(house: House) -> Invoice:
    """A bill whose sweep is settled and whose payout nobody has looked at."""
    bill = await house.signed_bill()
    await house.drive(rounds=1)
    await house.worker().follow(house.arb.chain)
    assert (await house.move(bill, "payout")).status == "ready"
    return bill


async def spike(house: House, gwei: int) -> None:
    """The newest block's base fee jumps; a cheap transaction is not mined any more."""
    await house.arb.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(gwei * GWEI))
    await house.arb.node.mine(1)
    await house.arb.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(gwei * GWEI))


async def hold_blocks(house: House, *, until_asked: bool = True) -> None:
    """Nothing is mined until somebody asks for a block."""
    await house.arb.node.rpc("evm_setAutomine", not until_asked)


async def siblings(house: House) -> OpenTx:
    (open_tx,) = await moving.open_txs(house.desk, "arb")
    return open_tx


async def stuck_payout(house: House) -> tuple[Invoice, MoveWorker]:
    """A payout that a node has and that is too cheap to be mined."""
    bill = await swept_bill(house)
    await hold_blocks(house)
    worker = house.worker()
    await worker.reserve(house.arb.chain)
    await worker.broadcast(house.arb.chain)
    await spike(house, 20)
    assert await house.at_merchant() == 0
    return bill, worker


async def test_a_stuck_payout_gets_a_dearer_sibling_that_pays_once(house: House) -> None:
    bill, worker = await stuck_payout(house)
    clock(house).advance(stuck.PATIENCE - timedelta(seconds=1))
    await worker.follow(house.arb.chain)
    assert len((await siblings(house)).txs) == 1
    clock(house).advance(timedelta(seconds=1))
    await worker.follow(house.arb.chain)

    first, second = (await siblings(house)).txs
    assert (first.nonce, second.nonce) == (0, 0)
    assert second.max_fee_wei >= 2 * 20 * GWEI > first.max_fee_wei
    assert second.tip_wei * 1000 >= first.tip_wei * 1125
    assert second.gas_limit == first.gas_limit
    assert second.status == "signed"
    await worker.broadcast(house.arb.chain)
    await spike(house, 20)
    await house.drive(worker, rounds=2)

    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == DUE
    payout = await house.move(bill, "payout")
    assert payout.tx_hash == second.tx_hash
    ends = {row.tx_hash: row.status for row in await house.txs()}
    assert (ends[first.tx_hash], ends[second.tx_hash]) == ("replaced", "final")
    assert (await house.wallet("pool")).frozen_reason is None
    pool = (await house.org()).pool_address
    assert await house.holds("pool") == await house.arb.balance(None, pool)


async def test_the_first_sibling_may_land_after_all(house: House) -> None:
    bill, worker = await stuck_payout(house)
    clock(house).advance(stuck.PATIENCE)
    await worker.follow(house.arb.chain)
    first, second = (await siblings(house)).txs
    await house.arb.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(1))
    # Some other node has kept it; anvil drops what a block could not take.
    await house.arb.chain.send(first.raw)
    await house.finalize()
    assert await house.at_merchant() == DUE

    await house.drive(worker)
    ends = {row.tx_hash: row.status for row in await house.txs()}
    assert (ends[first.tx_hash], ends[second.tx_hash]) == ("final", "replaced")
    assert (await house.move(bill, "payout")).tx_hash == first.tx_hash
    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == DUE
    assert (await house.wallet("pool")).frozen_reason is None


async def test_siblings_come_at_growing_intervals_and_never_leave_the_caps(house: House) -> None:
    _, worker = await stuck_payout(house)
    seen: list[int] = []
    for minute in range(1, 16):
        clock(house).advance(timedelta(minutes=1))
        await worker.follow(house.arb.chain)
        await worker.broadcast(house.arb.chain)
        if len((await siblings(house)).txs) > len(seen) + 1:
            seen.append(minute)
    assert seen == [2, 6, 14]
    fees = [row.max_fee_wei for row in (await siblings(house)).txs]
    for cheaper, dear in pairwise(fees):
        assert dear * 1000 >= cheaper * 1125

    await spike(house, 60)
    clock(house).advance(timedelta(hours=1))
    await worker.follow(house.arb.chain)
    newest = (await siblings(house)).tx
    assert newest.attempt == 3
    assert "the signer refused: a fee of" in str(newest.bump_error)
    (way,) = await stuck.on_their_way(house.desk)
    assert (way.attempts, way.nonce, way.role) == (4, 0, "pool")
    assert way.age == timedelta(minutes=75)
    assert way.reason == newest.bump_error


async def test_a_node_that_finds_it_underpriced_is_paid_more_soon(house: House) -> None:
    bill = await swept_bill(house)
    worker = house.worker()
    await worker.reserve(house.arb.chain)
    await spike(house, 20)
    await worker.broadcast(house.arb.chain)
    first = (await siblings(house)).tx
    assert (first.send_error or "").startswith("underpriced")
    clock(house).advance(stuck.UNDERPRICED_PATIENCE)
    await house.drive(worker)
    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == DUE


async def test_a_sibling_that_got_lost_with_its_worker_harms_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill, worker = await stuck_payout(house)
    clock(house).advance(stuck.PATIENCE)
    honest = house.signer.sign

    async def dies(order: object, terms: object) -> object:
        await honest(order, terms)  # type: ignore[arg-type]  # - handed through
        raise KeyboardInterrupt

    monkeypatch.setattr(house.signer, "sign", dies)
    with pytest.raises(KeyboardInterrupt):
        await worker.follow(house.arb.chain)
    monkeypatch.undo()
    assert len((await siblings(house)).txs) == 1

    await house.worker().follow(house.arb.chain)
    assert len((await siblings(house)).txs) == 2
    await house.drive(worker, rounds=3)
    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == DUE


async def test_a_transaction_that_every_node_forgot_is_offered_again(house: House) -> None:
    bill = await swept_bill(house)
    await hold_blocks(house)
    worker = house.worker()
    await worker.reserve(house.arb.chain)
    await worker.broadcast(house.arb.chain)
    row = (await siblings(house)).tx
    await house.arb.node.rpc("anvil_dropTransaction", row.tx_hash)
    await house.finalize()
    assert await house.at_merchant() == 0

    clock(house).advance(timedelta(seconds=5))
    await house.drive(worker)
    assert await house.status(bill) is Status.COMPLETED
    assert (await house.move(bill, "payout")).tx_hash == row.tx_hash


async def test_siblings_are_not_somebody_else_but_somebody_else_is(house: House) -> None:
    _, worker = await stuck_payout(house)
    clock(house).advance(stuck.PATIENCE)
    await worker.step()
    pool = (await house.org()).pool_address
    rows = (await siblings(house)).txs
    for row in rows:
        await house.arb.node.rpc("anvil_dropTransaction", row.tx_hash)
    await house.arb.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(1))
    await hold_blocks(house, until_asked=False)
    await house.arb.node.set_balance(pool, ETHER)
    await house.arb.send(pool, MERCHANT_ADDRESS, value_wei=1)
    await house.finalize()
    for _ in range(4):
        await worker.follow(house.arb.chain)
    reason = str((await house.wallet("pool")).frozen_reason)
    assert "nonce 0 was consumed by a transaction that is not" in reason
    assert all(row.tx_hash in reason for row in rows)
    assert await house.at_merchant() == 0
