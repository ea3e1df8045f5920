import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from counterfoil.core import reckoning
from counterfoil.core.invoice import Status
from counterfoil.db.pool import Database
from counterfoil.desk import landing, moving, provisioning
from counterfoil.desk.landing import Landed, LandedItem, Settled
from counterfoil.desk.moving import Batch, Reserved, SignedBytes, SigningRefused, Terms
from support.fake_clock import FakeClock
from support.invoices import DUE, USDC, gone
from support.patience import patiently, somebody_waits_for_a_lock
from support.shop import desk_on
from support.till import ETHER, TERMS, Books, Till, quick_sign, reserve

FEE = 7_000_000_000_000


async def land(
    till: Till, *, ok: bool = True, block: int = 90, problem: str | None = None, more: int = 0
) -> Settled:
    """The newest open transaction stands in a finalized block."""
    open_tx = (await moving.open_txs(till.desk, "arb"))[-1]
    items = tuple(
        LandedItem(item.move.move_id, item.move.amount_units + more, problem)
        for item in open_tx.items
    )
    return await landing.settle(till.desk, Landed("arb", open_tx.tx.tx_hash, block, ok, FEE, items))


async def test_a_signed_invoice_goes_through_pool_to_the_merchant(till: Till) -> None:
    bill = await till.signed_bill()

    assert await reserve(till) is Reserved.SIGNED
    assert await land(till) is Settled.BOOKED
    assert await till.status(bill) is Status.PAYOUT_PROCESSING
    assert await till.books() == Books(deposit=0, pool=DUE, merchant=0, payer=-DUE)

    assert await reserve(till, "pool") is Reserved.SIGNED
    assert await land(till) is Settled.BOOKED
    assert await till.status(bill) is Status.COMPLETED
    assert await till.books() == Books(deposit=0, pool=0, merchant=DUE, payer=-DUE)
    assert await till.holds("operator") == await till.holds("pool") == ETHER - FEE
    assert await till.holds("outside:network") == 2 * FEE


async def test_what_became_of_the_money_is_read_from_the_ledger(till: Till) -> None:
    bill = await till.signed_bill()
    assert (await till.look(bill)).settled == gone()
    await reserve(till)
    await land(till, more=5)
    assert (await till.look(bill)).settled == gone(DUE)
    assert reckoning.unswept(await till.look(bill)) == ()
    await reserve(till, "pool")
    await land(till)
    done = await till.look(bill)
    assert (done.settled, reckoning.holdings(done)) == (gone(DUE, DUE), ())


async def test_the_bytes_are_kept_before_anybody_sends_them(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)

    (row,) = await moving.due_txs(till.desk, "arb")
    move = await till.move(bill, "sweep")
    assert (row.status, row.nonce, row.sent_at) == ("signed", 0, None)
    assert (move.status, move.tx_hash, move.nonce) == ("signed", row.tx_hash, 0)
    assert (await till.wallet("operator")).next_nonce == 1


async def test_settling_twice_changes_nothing_more(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    move_id = open_tx.items[0].move.move_id
    told = Landed(
        "arb", open_tx.tx.tx_hash, 90, ok=True, fee_wei=FEE, items=(LandedItem(move_id, DUE),)
    )

    outcomes = await asyncio.gather(*(landing.settle(till.desk, told) for _ in range(5)))

    assert sorted(outcomes) == [Settled.BOOKED] + [Settled.KNOWN] * 4
    assert await till.books() == Books(deposit=0, pool=DUE, merchant=0, payer=-DUE)
    assert await till.holds("outside:network") == FEE
    assert (await till.history(bill)).count("swept") == 1


async def test_a_transaction_that_is_not_ours_is_never_settled(till: Till) -> None:
    with pytest.raises(LookupError, match="no transaction of ours"):
        await landing.settle(
            till.desk, Landed("arb", "0x" + "99" * 32, 90, ok=True, fee_wei=FEE, items=())
        )


async def test_two_workers_share_a_wallet_without_a_hole_or_a_double(till: Till) -> None:
    bills = [await till.signed_bill(DUE + n) for n in range(6)]
    await reserve(till)
    await land(till)
    pool = await till.wallet("pool")

    async def worker() -> int:
        signed = 0
        async with patiently("the end of the work"):
            while batch := await moving.next_batch(till.desk, pool):
                outcome = await moving.reserve(till.desk, batch, TERMS, quick_sign)
                signed += outcome is Reserved.SIGNED
        return signed

    counts = await asyncio.gather(*(worker() for _ in range(4)))

    payouts = [row for row in await till.txs() if row.wallet == pool.address]
    assert sum(counts) == 6
    assert [row.nonce for row in payouts] == list(range(6))
    hashes = {(await till.move(bill, "payout")).tx_hash for bill in bills}
    assert hashes == {row.tx_hash for row in payouts}


async def test_different_work_for_one_wallet_at_once_gets_different_nonces(till: Till) -> None:
    bills = [await till.signed_bill(DUE + n) for n in range(6)]
    await reserve(till)
    await land(till)
    pool = await till.wallet("pool")
    ids = [(await till.move(bill, "payout")).move_id for bill in bills]
    batches = [await moving.batch_of(till.desk, pool, [move_id]) for move_id in ids]

    outcomes = await asyncio.gather(
        *(moving.reserve(till.desk, b, TERMS, quick_sign) for b in batches if b is not None)
    )

    assert outcomes == [Reserved.SIGNED] * 6
    nonces = [(await till.move(bill, "payout")).nonce for bill in bills]
    assert sorted(nonce for nonce in nonces if nonce is not None) == list(range(6))


async def test_one_batch_tried_by_everybody_is_signed_once(till: Till) -> None:
    await till.signed_bill()
    batch = await till.batch()

    outcomes = await asyncio.gather(
        *(moving.reserve(till.desk, batch, TERMS, quick_sign) for _ in range(8))
    )

    assert sorted(outcomes) == [Reserved.CHANGED] * 7 + [Reserved.SIGNED]
    assert len(await till.txs()) == 1


@pytest.mark.parametrize("status", [Status.COMPLIANCE_HOLD, Status.PAYOUT_PROCESSING])
async def test_a_hold_placed_just_before_signing_wins(till: Till, status: Status) -> None:
    bill = await till.signed_bill()
    batch = await till.batch()
    await till.put(bill, status)

    assert await moving.reserve(till.desk, batch, TERMS, never_asked) is Reserved.CHANGED
    assert await till.txs() == []
    assert await moving.next_batch(till.desk, batch.wallet) is None


async def test_a_hold_that_is_just_being_placed_is_waited_for(till: Till) -> None:
    bill = await till.signed_bill()
    batch = await till.batch()
    async with till.desk.database.transaction() as tx:
        await tx.execute("UPDATE invoice SET status = 'compliance_hold'")
        racing = asyncio.create_task(moving.reserve(till.desk, batch, TERMS, never_asked))
        await somebody_waits_for_a_lock(till.desk.database)

    assert await racing is Reserved.CHANGED
    assert (await till.move(bill, "sweep")).status == "ready"


async def test_payouts_beyond_what_came_in_park(till: Till) -> None:
    bill = await till.signed_bill()
    other = await till.signed_bill()
    await reserve(till)
    await land(till)
    await till.extra_payout(bill, 1)

    outcomes = [await reserve(till, "pool") for _ in range(3)]
    assert sorted(outcomes) == [Reserved.PARKED, Reserved.PARKED, Reserved.SIGNED]
    assert (await till.move(other, "payout")).status == "signed"
    reason = (
        f"over budget: {DUE + 1} base units are to leave for this invoice, but only {DUE} of what"
        " came in for it are with us"
    )
    assert [move.park_reason for move in await till.moves(bill, "payout")] == [reason, reason]


async def test_a_frozen_wallet_signs_nothing(till: Till) -> None:
    await till.signed_bill()
    batch = await till.batch()
    await till.freeze("operator", "somebody else used it")

    assert await moving.reserve(till.desk, batch, TERMS, never_asked) is Reserved.FROZEN


async def test_a_foreign_nonce_freezes_with_both_numbers(till: Till) -> None:
    wallet = await till.wallet("pool")

    assert await moving.freeze_if_ahead(till.desk, wallet, 0) is None
    reason = await moving.freeze_if_ahead(till.desk, wallet, 3)
    assert reason is not None
    assert "counts 3 transactions" in reason
    assert (await till.wallet("pool")).frozen_reason == reason
    assert await moving.freeze_if_ahead(till.desk, wallet, 4) is None


async def test_a_refusal_parks_the_move_and_uses_no_nonce(till: Till) -> None:
    bill = await till.signed_bill()
    batch = await till.batch()

    assert await moving.reserve(till.desk, batch, TERMS, refuse) is Reserved.PARKED
    assert (await till.move(bill, "sweep")).park_reason == "the signer refused: not today"
    assert (await till.wallet("operator")).next_nonce == 0


async def test_a_signer_that_is_away_leaves_everything_as_it_was(till: Till) -> None:
    bill = await till.signed_bill()
    batch = await till.batch()

    with pytest.raises(ConnectionError):
        await moving.reserve(till.desk, batch, TERMS, away)
    assert (await till.move(bill, "sweep")).status == "ready"
    assert await till.txs() == []
    assert await reserve(till) is Reserved.SIGNED


async def test_bytes_that_were_kept_before_are_never_kept_for_another_move(till: Till) -> None:
    await till.signed_bill()
    await reserve(till)
    (known,) = await till.txs()
    second = await till.signed_bill()

    async def parrot(_batch: Batch, _nonce: int, _terms: Terms) -> SignedBytes:
        return SignedBytes(known.raw, known.tx_hash)

    batch = await till.batch()
    with pytest.raises(Exception, match="chain_tx_chain_tx_hash_key"):
        await moving.reserve(till.desk, batch, TERMS, parrot)
    assert (await till.move(second, "sweep")).status == "ready"


async def test_gas_that_the_books_do_not_know_is_not_spent(till: Till) -> None:
    bill = await till.signed_bill()
    batch = await till.batch()
    dear = replace(TERMS, max_fee_wei=ETHER // TERMS.gas_limit)

    for terms, outcome in (
        (replace(dear, max_fee_wei=dear.max_fee_wei + 1), Reserved.WAITING_FOR_GAS),
        (dear, Reserved.SIGNED),
    ):
        assert await moving.reserve(till.desk, batch, terms, quick_sign) is outcome
    other = await till.signed_bill()
    assert await reserve(till) is Reserved.WAITING_FOR_GAS
    assert (await till.move(bill, "sweep")).status == "signed"
    waits = await till.move(other, "sweep")
    operator = (await till.wallet("operator")).address
    promised = dear.cost_wei + TERMS.cost_wei
    assert waits.wait_reason == (
        f"waiting for gas: operator wallet {operator} has {ETHER} wei by the books"
        f" and needs {promised}"
    )


async def test_sweeps_of_one_token_share_a_transaction(till: Till) -> None:
    bills = [await till.signed_bill() for _ in range(3)]
    other = await till.signed_bill(DUE, USDC)

    batch = await till.batch()
    assert len(batch.items) == 3
    await moving.reserve(till.desk, batch, TERMS, quick_sign)
    assert {(await till.move(b, "sweep")).nonce for b in bills} == {0}
    assert (await till.batch()).items[0].move.invoice_id == other.invoice_id


async def test_one_failed_item_parks_alone(till: Till) -> None:
    good, bad = await till.signed_bill(), await till.signed_bill()
    await reserve(till)
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    items = tuple(
        LandedItem(i.move.move_id, DUE)
        if i.move.invoice_id == good.invoice_id
        else LandedItem(i.move.move_id, 0, "frozen by its issuer")
        for i in open_tx.items
    )
    await landing.settle(
        till.desk, Landed("arb", open_tx.tx.tx_hash, 90, ok=True, fee_wei=FEE, items=items)
    )

    assert await till.status(good) is Status.PAYOUT_PROCESSING
    assert await till.status(bad) is Status.SWEEPING
    assert (await till.move(bad, "sweep")).park_reason == "frozen by its issuer"
    assert await till.books() == Books(deposit=DUE, pool=DUE, merchant=0, payer=-2 * DUE)


async def test_a_reverted_payout_parks_and_pays_its_fee(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till)
    await reserve(till, "pool")
    assert await land(till, ok=False) is Settled.BOOKED

    move = await till.move(bill, "payout")
    assert move.status == "parked"
    assert move.park_reason == f"reverted on chain: {move.tx_hash}"
    assert await till.status(bill) is Status.PAYOUT_PROCESSING
    assert await till.books() == Books(deposit=0, pool=DUE, merchant=0, payer=-DUE)
    assert await till.holds("outside:network") == 2 * FEE
    assert await moving.next_batch(till.desk, await till.wallet("pool")) is None


async def test_a_sweep_waits_until_the_watcher_has_booked_its_block(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)

    assert await land(till, block=101) is Settled.TOO_EARLY
    assert (await till.move(bill, "sweep")).status == "signed"
    await till.watched_to(101)
    assert await land(till, block=101) is Settled.BOOKED


async def test_dust_that_was_swept_along_is_booked_but_not_as_the_invoices(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till, more=5)

    assert await till.deposited(bill) == 0
    assert await till.books() == Books(deposit=0, pool=DUE + 5, merchant=0, payer=-DUE - 5)
    await till.extra_payout(bill, 5)
    assert await reserve(till, "pool") is Reserved.PARKED


async def test_a_pause_between_offers_doubles(till: Till) -> None:
    clock = till.desk.clock
    assert isinstance(clock, FakeClock)
    await till.signed_bill()
    await reserve(till)
    offers = []
    for second in range(64):
        for row in await moving.due_txs(till.desk, "arb"):
            await moving.note_sent(till.desk, row, "refused: no")
            offers.append(second)
        clock.advance(timedelta(seconds=1))

    assert offers == [0, 5, 10, 20, 40]
    (row,) = await till.txs()
    assert (row.status, row.send_error) == ("signed", "refused: no")


async def test_sweeps_wait_for_the_factory(database: Database) -> None:
    till = Till(desk_on(database))
    await till.open()
    org = await till.org()
    await till.signed_bill()
    nonces = dict.fromkeys((org.operator_address, org.pool_address, org.gas_address), 0)
    await provisioning.ensure_wallets(till.desk, org, "arb", nonces)

    assert await moving.next_batch(till.desk, await till.wallet("operator")) is None
    await till.ready()
    assert await moving.next_batch(till.desk, await till.wallet("operator")) is not None


async def never_asked(_batch: Batch, _nonce: int, _terms: Terms) -> SignedBytes:
    raise AssertionError("nothing may be signed here")


async def refuse(_batch: Batch, _nonce: int, _terms: Terms) -> SignedBytes:
    raise SigningRefused("not today")


async def away(_batch: Batch, _nonce: int, _terms: Terms) -> SignedBytes:
    raise ConnectionError
