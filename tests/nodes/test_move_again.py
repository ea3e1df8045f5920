"""Payments whose nonce is gone, and nonces whose signature is: approved again, and used up."""

from datetime import timedelta
from uuid import UUID

import pytest

from counterfoil.core import ids
from counterfoil.core.errors import Forbidden, OutOfPlace
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import approving, provisioning, redirecting, stuck
from counterfoil.desk.moving import Batch, SignedBytes, Terms
from counterfoil.desk.provisioning import FuelLevels, GasLow
from counterfoil.workers.move import MoveWorker
from support.fake_clock import FakeClock
from support.house import House
from support.invoices import CHECKER, DUE, MERCHANT_ADDRESS, USDC, USDT
from support.till import ETHER
from support.treasury import member, register

WHY = "looked at the chain: it was never paid"
PERSON = Actor(CHECKER, 1, frozenset({Permission.SIGN}))
ORDERER_ID = UUID(int=0x5A)
ORDERER = Actor(ids.public("user", ORDERER_ID), 1, frozenset({Permission.SIGN}))
SECOND = Actor("user_second", 1, frozenset({Permission.SIGN}))
TREASURY = "0x" + "7e" * 20


class DyingWorker(MoveWorker):
    """Is killed when the signer has answered, before the answer is kept."""

    async def _sign(self, batch: Batch, nonce: int, terms: Terms) -> SignedBytes:
        await super()._sign(batch, nonce, terms)
        raise KeyboardInterrupt


def clock(house: House) -> FakeClock:
    found = house.desk.clock
    assert isinstance(found, FakeClock)
    return found


async def swept_bills(house: House, count: int = 1) -> list[Invoice]:
    """Bills whose sweeps are settled and whose payouts nobody has looked at."""
    bills = [await house.signed_bill(DUE, USDC) for _ in range(count)]
    await house.drive(rounds=1)
    await house.worker().follow(house.arb.chain)
    for bill in bills:
        assert (await house.move(bill, "payout")).status == "ready"
    return bills


async def dies(house: House) -> None:
    with pytest.raises(KeyboardInterrupt):
        await DyingWorker(house.desk, house.chains, house.signer).reserve(house.arb.chain)


async def again(house: House, move_id: UUID, by: Actor = PERSON) -> int:
    return await approving.approve_again(house.desk, move_id, by, reason=WHY)


async def assert_books_equal_chain(house: House) -> None:
    org = await house.org()
    places = {"operator": org.operator_address, "pool": org.pool_address, "gas": org.gas_address}
    for role, address in places.items():
        for asset in (None, USDT, USDC):
            on_chain = await house.arb.balance(asset, address)
            assert await house.holds(role, asset) == on_chain, (role, asset)  # type: ignore[arg-type]  # - a role by its name


async def test_a_payout_that_reverted_is_approved_again_and_paid_once(house: House) -> None:
    (bill,) = await swept_bills(house)
    worker = house.worker()
    await worker.reserve(house.arb.chain)
    first = await house.move(bill, "payout")
    await house.arb.as_issuer(USDC, "blacklist(address)", MERCHANT_ADDRESS)
    with pytest.raises(OutOfPlace, match="is signed; only what is parked"):
        await again(house, first.move_id)
    await house.drive(worker, rounds=2)
    parked = await house.move(bill, "payout")
    assert parked.park_reason == f"reverted on chain: {first.tx_hash}"

    await house.arb.as_issuer(USDC, "unBlacklist(address)", MERCHANT_ADDRESS)
    assert await again(house, parked.move_id) == 1
    with pytest.raises(OutOfPlace, match="is ready; only what is parked"):
        await again(house, parked.move_id)
    await house.drive(worker)

    paid = await house.move(bill, "payout")
    assert (paid.status, paid.nonce, paid.generation, paid.replaces_nonce) == ("final", 1, 1, 0)
    assert (paid.move_id, paid.approved_by) == (first.move_id, CHECKER)
    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant(USDC) == DUE
    assert "approved_again" in await house.history(bill)
    await assert_books_equal_chain(house)


async def test_a_payout_to_a_frozen_address_goes_to_another_registered_one_and_once(
    house: House,
) -> None:
    await register(house, TREASURY)
    await member(house.desk, ORDERER_ID, "Sam", "signer")
    (bill,) = await swept_bills(house)
    await house.worker().reserve(house.arb.chain)
    await house.arb.as_issuer(USDC, "blacklist(address)", MERCHANT_ADDRESS)
    with pytest.raises(OutOfPlace, match="no payout of this invoice stands still"):
        await redirecting.redirect(
            house.desk, bill.invoice_id, ORDERER, address=TREASURY, reason=WHY
        )
    worker = house.worker()
    await house.drive(worker, rounds=2)
    assert (await house.move(bill, "payout")).status == "parked"
    await redirecting.redirect(house.desk, bill.invoice_id, ORDERER, address=TREASURY, reason=WHY)
    await redirecting.approve(house.desk, bill.invoice_id, SECOND)
    await house.arb.as_issuer(USDC, "unBlacklist(address)", MERCHANT_ADDRESS)
    await house.drive(worker)

    old, new = await house.moves(bill, "payout")
    assert (old.status, old.nonce) == ("failed", 0)
    assert (new.status, new.nonce, new.destination) == ("final", 1, TREASURY)
    assert await house.status(bill) is Status.COMPLETED
    assert await house.arb.balance(USDC, TREASURY) == DUE
    assert await house.at_merchant(USDC) == 0
    await assert_books_equal_chain(house)


async def test_a_payout_whose_nonce_somebody_else_used_is_approved_again(house: House) -> None:
    (bill,) = await swept_bills(house)
    await house.worker().reserve(house.arb.chain)
    pool = (await house.org()).pool_address
    await house.arb.send(pool, MERCHANT_ADDRESS, value_wei=1)
    await house.finalize()
    worker = house.worker()
    await house.drive(worker)
    payout = await house.move(bill, "payout")
    with pytest.raises(OutOfPlace, match="is signed"):
        await again(house, payout.move_id)

    with pytest.raises(OutOfPlace, match="they have to say so again, 2 minutes after"):
        await house.thaw(explained=[0])
    assert (await house.wallet("pool")).frozen_reason is not None
    clock(house).advance(stuck.GONE_PATIENCE)
    with pytest.raises(OutOfPlace, match="nonce 0 was used by a transaction that neither"):
        await house.thaw()
    assert (await house.wallet("pool")).frozen_reason is not None
    assert await house.thaw(explained=[0]) == [payout.move_id]
    await again(house, payout.move_id)
    await house.drive(worker)
    paid = await house.move(bill, "payout")
    assert (paid.status, paid.nonce, paid.replaces_nonce) == ("final", 1, 0)
    assert await house.at_merchant(USDC) == DUE
    assert await house.status(bill) is Status.COMPLETED


async def test_an_approval_that_is_too_old_is_given_again(house: House) -> None:
    (bill,) = await swept_bills(house)
    clock(house).advance(timedelta(days=7, seconds=1))
    await house.drive()
    parked = await house.move(bill, "payout")
    assert "more than 7 days ago; approve it again" in str(parked.park_reason)
    with pytest.raises(Forbidden):
        await again(house, parked.move_id, Actor(CHECKER, 1, frozenset({Permission.READ})))
    await again(house, parked.move_id)
    await house.drive()
    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant(USDC) == DUE


async def test_a_changed_row_is_not_approved_again(house: House) -> None:
    (bill,) = await swept_bills(house)
    thief = "0x" + "77" * 20
    async with house.desk.database.transaction() as tx:
        await tx.execute(
            "UPDATE move SET destination = %(thief)s WHERE purpose = 'payout'", {"thief": thief}
        )
    await house.drive()
    parked = await house.move(bill, "payout")
    with pytest.raises(OutOfPlace, match="treat it as an attack"):
        await again(house, parked.move_id)


async def test_a_lost_nonce_of_held_money_is_used_up_and_keeps_no_other_waiting(
    house: House,
) -> None:
    held, other = await swept_bills(house, 2)
    await dies(house)
    await house.put(held, Status.COMPLIANCE_HOLD)
    worker = house.worker()
    await worker.step()
    assert "was signed for something else" in str((await house.move(other, "payout")).wait_reason)
    lost_id = (await house.move(held, "payout")).move_id
    clock(house).advance(stuck.HOLE_PATIENCE - timedelta(seconds=1))
    await worker.step()
    (hole,) = await stuck.on_their_way(house.desk)
    assert (hole.hole, hole.nonce, hole.role) == (True, 0, "pool")
    assert hole.age == stuck.HOLE_PATIENCE - timedelta(seconds=1)
    assert str(lost_id) in hole.reason

    clock(house).advance(timedelta(seconds=1))
    await worker.step()
    (cancelled,) = [row for row in await house.txs() if row.cancels]
    assert (cancelled.nonce, cancelled.status) == (0, "signed")
    # It is let go on while the cancellation is on its way: it may not have a second nonce.
    await house.put(held, Status.PAYOUT_PROCESSING)
    clock(house).advance(timedelta(minutes=15))
    await worker.step()
    parked = await house.move(held, "payout")
    assert "was signed with nonce 0 before" in str(parked.park_reason)
    with pytest.raises(OutOfPlace, match="not known to be dead"):
        await again(house, parked.move_id)

    await house.drive(worker)
    assert (await house.move(other, "payout")).nonce == 1
    assert await house.status(other) is Status.COMPLETED
    await again(house, parked.move_id)
    await house.drive(worker)
    assert (await house.move(held, "payout")).replaces_nonce == 0
    assert await house.status(held) is Status.COMPLETED
    assert await house.at_merchant(USDC) == 2 * DUE
    assert await stuck.on_their_way(house.desk) == []
    await assert_books_equal_chain(house)


async def test_a_lost_batch_of_which_one_is_held_is_swept_without_it(house: House) -> None:
    held, other = [await house.signed_bill() for _ in range(2)]
    await dies(house)
    await house.put(held, Status.COMPLIANCE_HOLD)
    worker = house.worker()
    await worker.step()
    assert (await house.move(other, "sweep")).status == "ready"

    clock(house).advance(stuck.HOLE_PATIENCE)
    await house.drive(worker, rounds=4)
    assert await house.status(other) is Status.COMPLETED
    assert [row.cancels for row in await house.txs()].count(True) == 1
    await house.put(held, Status.SWEEPING)
    clock(house).advance(timedelta(minutes=15))
    await house.drive(worker, rounds=4)
    assert await house.status(held) is Status.COMPLETED
    assert await house.at_merchant() == 2 * DUE
    await assert_books_equal_chain(house)


async def test_a_payment_that_books_from_a_backup_forgot_is_taken_up_by_a_thaw(
    house: House,
) -> None:
    bill, other = await swept_bills(house, 2)
    await house.put(other, Status.COMPLIANCE_HOLD)
    worker = house.worker()
    await worker.reserve(house.arb.chain)
    await worker.broadcast(house.arb.chain)
    await house.finalize()
    async with house.desk.database.transaction() as tx:
        pool = (await house.org()).pool_address
        await tx.execute("DELETE FROM ingest.chain_tx WHERE wallet = %(pool)s", {"pool": pool})
        await tx.execute("UPDATE ingest.wallet SET next_nonce = 0 WHERE role = 'pool'")
        await tx.execute(
            "UPDATE move SET status = 'ready', nonce = NULL, wallet = NULL, tx_hash = NULL"
            " WHERE purpose = 'payout' AND nonce IS NOT NULL"
        )
    assert await house.at_merchant(USDC) == DUE
    await house.freeze("pool", "a worker of before thought that somebody used its key")
    assert await house.thaw() == []
    assert (await house.move(bill, "payout")).nonce == 0, "the signer says what became of it"
    await house.drive(worker, rounds=2)
    assert await house.status(bill) is Status.COMPLETED
    paid = await house.move(bill, "payout")
    assert (paid.status, paid.nonce) == ("final", 0)
    assert await house.at_merchant(USDC) == DUE


async def test_a_chain_without_gas_money_goes_on_after_a_top_up(newcomer: House) -> None:
    gas = (await newcomer.org()).gas_address
    little = 2 * 10**16
    await newcomer.arb.node.set_balance(gas, little)
    await newcomer.finalize()
    await newcomer.provision()
    await newcomer.fuel()
    await newcomer.drive()
    await newcomer.fuel()
    bill = await newcomer.signed_bill()
    await newcomer.drive()
    waits = await newcomer.move(bill, "sweep")
    assert str(waits.wait_reason).startswith("waiting for gas: operator wallet")
    short = await low_stations(newcomer)
    assert {one.wallet.role for one in short} == {"operator", "pool"}
    assert {one.gas_address for one in short} == {gas}
    assert short[0].has_wei <= little

    await newcomer.arb.node.set_balance(gas, await newcomer.arb.balance(None, gas) + ETHER)
    await newcomer.finalize()
    await newcomer.fuel()
    await newcomer.drive(rounds=6)
    assert await newcomer.status(bill) is Status.COMPLETED
    assert await low_stations(newcomer) == []
    await assert_books_equal_chain(newcomer)


async def low_stations(house: House) -> list[GasLow]:
    levels = FuelLevels()
    return await provisioning.low_stations(
        house.desk, low_wei=levels.low_wei, target_wei=levels.target_wei
    )
