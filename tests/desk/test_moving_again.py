"""Sweeps that are made again, and payments that a person approves again: what the books allow."""

import re
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg.conninfo import conninfo_to_dict

from counterfoil.books import lost, moves
from counterfoil.chains.port import NonceSeen
from counterfoil.core.errors import Forbidden, Invalid, NotFound, OutOfPlace
from counterfoil.core.events import ApproveRefund, OrderRefund
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.desk import approving, members, moving, proving, stuck, upkeep
from counterfoil.desk.act import act
from counterfoil.desk.moving import Reserved, SignedBytes, SigningRefused, Terms
from counterfoil.signer.client import SignerClient
from counterfoil.workers.stuck import Unblocker
from support.fake_chain import FakeChain, FakeTx
from support.fake_clock import FakeClock
from support.invoices import CHECKER, DUE, MAKER, SIGNER, STRANGER
from support.journey import Ran, ran
from support.patience import patiently
from support.shop import desk_on
from support.till import ETHER, TERMS, Till, fresh_hash, quick_sign, reserve
from support.treasury import FEE_WEI, land

WHY = "looked at the chain: it was never paid"
LOST = "0x" + "1057" * 16
PERSON = Actor(CHECKER, 1, frozenset({Permission.SIGN}))


async def sign(nonce: int, _terms: Terms) -> SignedBytes:
    tx_hash = fresh_hash()
    return SignedBytes(f"{nonce}:{tx_hash}".encode(), tx_hash)


async def parked_payout(till: Till) -> tuple[Invoice, UUID]:
    """A payout that reverted."""
    bill = await till.signed_bill()
    await reserve(till)
    await land(till)
    await reserve(till, "pool")
    await land(till, ok=False)
    return bill, (await till.move(bill, "payout")).move_id


async def again(till: Till, move_id: UUID, by: Actor = PERSON, reason: str = WHY) -> int:
    return await approving.approve_again(till.desk, move_id, by, reason=reason)


async def test_a_batch_that_reverted_is_made_in_ever_smaller_ones(till: Till) -> None:
    bills = [await till.signed_bill() for _ in range(5)]
    sizes: list[int] = []
    for _ in range(3):
        batch = await till.batch()
        sizes.append(len(batch.items))
        await moving.reserve(till.desk, batch, TERMS, quick_sign)
        await land(till, ok=False)

    assert sizes == [5, 2, 1]
    statuses = [(await till.move(bill, "sweep")).status for bill in bills]
    assert statuses.count("parked") == 1
    assert statuses.count("ready") == 4
    async with patiently("the end of the work"):
        while rest := await moving.next_batch(till.desk, await till.wallet("operator")):
            await moving.reserve(till.desk, rest, TERMS, quick_sign)
            await land(till)
    done = [await till.status(bill) for bill in bills]
    assert done.count(Status.PAYOUT_PROCESSING) == 4
    assert await till.holds("outside:network") == FEE_WEI * len(await till.txs())


async def test_a_batch_that_a_node_refuses_is_split_without_being_sent(till: Till) -> None:
    for _ in range(4):
        await till.signed_bill()
    sizes = []
    for _ in range(3):
        batch = await till.batch()
        sizes.append(len(batch.items))
        await moving.split(till.desk, batch)
    assert sizes == [4, 2, 1]


async def test_a_reverted_payment_is_approved_again_by_somebody_who_may(till: Till) -> None:
    bill, move_id = await parked_payout(till)
    with pytest.raises(Forbidden, match="transfer:sign"):
        await again(till, move_id, Actor(CHECKER, 1, frozenset({Permission.REVIEW})))
    with pytest.raises(Forbidden, match="you made this invoice"):
        await again(till, move_id, Actor(MAKER, 1, frozenset({Permission.SIGN})))
    with pytest.raises(Invalid, match="say what you found"):
        await again(till, move_id, reason=" ")
    with pytest.raises(NotFound):
        await again(till, move_id, Actor(CHECKER, 2, frozenset({Permission.SIGN})))
    with pytest.raises(OutOfPlace, match="needs nobody's approval"):
        await again(till, (await till.move(bill, "sweep")).move_id)
    before = await till.move(bill, "payout")
    assert (before.status, before.generation) == ("parked", 0)

    assert await again(till, move_id) == 1
    after = await till.move(bill, "payout")
    assert (after.status, after.nonce, after.replaces_nonce) == ("ready", None, 0)
    assert (after.destination, after.amount_units) == (before.destination, before.amount_units)
    assert after.warrant != before.warrant
    assert (await till.history(bill))[-1] == "approved_again"
    assert (await proving.verify_audit(till.desk)).breaks == ()
    assert await reserve(till, "pool") is Reserved.SIGNED
    assert (await till.move(bill, "payout")).nonce == 1
    await land(till)
    assert await till.status(bill) is Status.COMPLETED
    assert (await till.books()).merchant == DUE


async def test_who_ordered_a_refund_does_not_approve_it_again_alone(till: Till) -> None:
    bill = await till.paid_bill()
    at = till.desk.clock.now()
    order = OrderRefund(at=at, by=SIGNER, address=STRANGER, reason="", attachment_file_ids=())
    for event in (order, ApproveRefund(at=at, by=CHECKER)):
        by = Actor(event.by, 1, frozenset({Permission.SIGN}))
        await act(till.desk, 1, bill.invoice_id, event, by)
    await reserve(till)
    await land(till)
    await reserve(till, "pool")
    await land(till, ok=False)
    move_id = (await till.move(bill, "refund")).move_id

    with pytest.raises(Forbidden, match="you ordered this refund"):
        await again(till, move_id, Actor(SIGNER, 1, frozenset({Permission.SIGN})))
    assert await again(till, move_id) == 1
    assert await reserve(till, "pool") is Reserved.SIGNED


async def test_all_parked_payments_of_an_invoice_are_approved_again_or_none(till: Till) -> None:
    bill, move_id = await parked_payout(till)
    view = await approving.approve_payments_again(till.desk, bill.invoice_id, PERSON, WHY)
    assert view.invoice.status is Status.PAYOUT_PROCESSING
    assert (await till.move(bill, "payout")).generation == 1
    with pytest.raises(OutOfPlace, match="no payment of this invoice is parked"):
        await approving.approve_payments_again(till.desk, bill.invoice_id, PERSON, WHY)

    await moving.park(till.desk, 1, {move_id: "too old"})
    await till.extra_payout(bill, 1)
    extra = (await till.moves(bill, "payout"))[-1].move_id
    await moving.park(till.desk, 1, {extra: "a hand in the database"})
    with pytest.raises(OutOfPlace):
        await approving.approve_payments_again(till.desk, bill.invoice_id, PERSON, WHY)
    assert {move.generation for move in await till.moves(bill, "payout")} == {0, 1}


async def test_what_was_approved_again_and_not_signed_still_replaces_its_old_nonce(
    till: Till, clock: FakeClock
) -> None:
    bill, move_id = await parked_payout(till)
    await again(till, move_id)
    await moving.park(till.desk, 1, {move_id: "approved more than 7 days ago"})
    clock.advance(timedelta(days=8))
    assert await again(till, move_id) == 2
    after = await till.move(bill, "payout")
    assert (after.generation, after.replaces_nonce) == (2, 0)


async def test_a_payment_beyond_the_budget_is_not_approved_again(till: Till) -> None:
    bill, move_id = await parked_payout(till)
    await till.extra_payout(bill, 1)
    with pytest.raises(OutOfPlace, match="over budget"):
        await again(till, move_id)


async def test_money_on_hold_is_not_approved_again(till: Till) -> None:
    bill, move_id = await parked_payout(till)
    await till.put(bill, Status.COMPLIANCE_HOLD)
    with pytest.raises(OutOfPlace, match="its invoice is compliance_hold"):
        await again(till, move_id)


@pytest.mark.parametrize("status", ["signed", "sent", "final", "replaced"])
async def test_a_nonce_is_dead_only_when_the_chain_said_so(till: Till, status: str) -> None:
    _, move_id = await parked_payout(till)
    async with till.desk.database.transaction() as tx:
        await tx.execute(
            "UPDATE ingest.chain_tx SET status = %(status)s WHERE status = 'reverted'",
            {"status": status},
        )
    with pytest.raises(OutOfPlace, match="nonce 0, which is not known to be dead"):
        await again(till, move_id)


@pytest.mark.parametrize("ended", [None, "landed"])
async def test_a_lost_nonce_that_may_still_pay_allows_no_other(
    till: Till, ended: lost.Ending | None
) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till)
    move_id = (await till.move(bill, "payout")).move_id
    pool = await till.wallet("pool")
    assert await stuck.found_lost(till.desk, pool, 0, [move_id], [fresh_hash()])
    assert not await stuck.found_lost(till.desk, pool, 0, [move_id], [fresh_hash()])
    await moving.park(till.desk, 1, {move_id: "signed with nonce 0 before"})
    if ended is not None:
        async with till.desk.database.transaction() as tx:
            await lost.end(tx, "arb", pool.address, 0, ended, till.desk.clock.now(), 90)
    sentence = "not known to be dead" if ended is None else "the money has left and is not booked"
    with pytest.raises(OutOfPlace, match=sentence):
        await again(till, move_id)


async def test_a_cancellation_that_lost_to_somebody_proves_nothing_about_what_was_lost(
    till: Till,
) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till)
    move_id = (await till.move(bill, "payout")).move_id
    pool = await till.wallet("pool")
    await stuck.found_lost(till.desk, pool, 0, [move_id], [fresh_hash()])
    async with till.desk.database.reading() as tx:
        hole = await lost.get(tx, "arb", pool.address, 0)
    assert hole is not None
    assert await stuck.cancel(till.desk, hole, TERMS, sign) is Reserved.SIGNED
    await moving.park(till.desk, 1, {move_id: "signed with nonce 0 before"})
    (cancelling,) = await moving.open_txs(till.desk, "arb")
    await till.freeze("pool", "nonce 0 was consumed")
    why = {"by": "operator:kim", "reason": "it was not the cancellation"}
    dead = cancelling.hashes
    await upkeep.thaw(
        till.desk, "arb", pool.address, finalized_nonce=1, at_block=80, dead=dead, **why
    )
    with pytest.raises(OutOfPlace, match="not known to be dead"):
        await again(till, move_id)

    assert await stuck.settle_lost(till.desk, hole, "gone", 81)
    await again(till, move_id)
    assert (await till.move(bill, "payout")).replaces_nonce == 0


async def lost_payout(till: Till, clock: FakeClock) -> FakeChain:
    """A payout whose signature got lost, on a chain that counts its nonce as consumed."""
    bill = await till.signed_bill()
    pool = await till.wallet("pool")
    move_id = (await till.move(bill, "payout")).move_id
    await stuck.found_lost(till.desk, pool, 0, [move_id], [LOST])
    chain = FakeChain(clock)
    chain.pool.append(FakeTx(fresh_hash(), pool.address, 0))
    chain.mine(10)
    return chain


async def is_open(till: Till, chain: FakeChain) -> bool:
    """Look once more; answers whether the nonce's end is still unknown."""
    await Unblocker(till.desk, SignerClient(Path("nobody"))).settle_lost(chain)
    return len(await stuck.unsettled(till.desk, "arb")) == 1


async def test_a_lost_nonce_is_gone_when_every_node_said_so_twice_minutes_apart(
    till: Till, clock: FakeClock
) -> None:
    chain = await lost_payout(till, clock)
    for _ in range(5):
        assert await is_open(till, chain)
    clock.advance(stuck.GONE_PATIENCE - timedelta(seconds=1))
    assert await is_open(till, chain)
    clock.advance(timedelta(seconds=1))
    assert not await is_open(till, chain)


def seen(chain: FakeChain, **changes: Any) -> NonceSeen:  # noqa: ANN401 - any field of it
    """What a node says that knows of a stranger's transaction with the nonce."""
    block = chain.finalized_block()
    return replace(NonceSeen(block.hash, 1), **changes)


@pytest.mark.parametrize(
    "changes",
    [
        None,
        {"count": 0},
        {"landed": (LOST,)},
        {"reverted": (LOST,)},
        {"block_hash": "0x" + "77" * 32},
    ],
)
async def test_a_node_that_lags_fails_or_says_otherwise_keeps_a_lost_nonce_open(
    till: Till, clock: FakeClock, changes: dict[str, Any] | None
) -> None:
    chain = await lost_payout(till, clock)
    assert await is_open(till, chain)
    chain.says = {"c": None if changes is None else seen(chain, **changes)}
    for _ in range(3):
        clock.advance(stuck.GONE_PATIENCE)
        assert await is_open(till, chain)
    chain.says = {}
    if changes is not None:
        assert await is_open(till, chain), "what was seen before the contradiction counts no more"
        clock.advance(stuck.GONE_PATIENCE)
    assert not await is_open(till, chain)


async def test_a_lost_transaction_that_reverted_is_as_good_as_gone(
    till: Till, clock: FakeClock
) -> None:
    chain = await lost_payout(till, clock)
    chain.says = {name: seen(chain, reverted=(LOST,)) for name in ("a", "b")}
    assert await is_open(till, chain)
    clock.advance(stuck.GONE_PATIENCE)
    assert not await is_open(till, chain)


async def stuck_payout(till: Till) -> Invoice:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till)
    await reserve(till, "pool")
    return bill


async def test_siblings_are_signed_once_by_however_many_workers(till: Till) -> None:
    await stuck_payout(till)
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    terms = stuck.dearer(open_tx.tx, 0, 0)
    assert (terms.max_fee_wei, terms.tip_wei) == (1_125_000_000, 1_125_000)
    outcomes = [await stuck.bump(till.desk, open_tx, terms, sign) for _ in range(2)]
    assert outcomes == [Reserved.SIGNED, Reserved.CHANGED]
    await land(till)
    (settled,) = await moving.open_txs(till.desk, "arb") or [open_tx]
    assert await stuck.bump(till.desk, settled, terms, sign) is Reserved.CHANGED


async def test_a_nonce_of_which_one_sibling_is_mined_is_nobody_elses(till: Till) -> None:
    await stuck_payout(till)
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    await stuck.bump(till.desk, open_tx, stuck.dearer(open_tx.tx, 0, 0), sign)
    (both,) = await moving.open_txs(till.desk, "arb")
    await till.freeze("pool", "somebody else used it")
    why = {"by": "operator:kim", "reason": "it was us"}
    pool = (await till.wallet("pool")).address
    for dead, parks in (({both.txs[1].tx_hash}, 0), (both.hashes, 1)):
        parked = await upkeep.thaw(
            till.desk, "arb", pool, finalized_nonce=1, at_block=80, dead=dead, **why
        )
        assert len(parked) == parks
        await till.freeze("pool", "somebody else used it")
    ended = [row for row in await till.txs() if row.wallet == pool]
    assert [(row.status, row.gone_at_block) for row in ended] == [("replaced", 80)] * 2


async def test_a_sibling_offers_at_least_an_eighth_more(till: Till) -> None:
    await stuck_payout(till)
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    row = replace(open_tx.tx, gas_limit=9, max_fee_wei=100, tip_wei=8)
    assert stuck.dearer(row, 50, 1) == Terms(9, 113, 9)
    assert stuck.dearer(row, 500, 40) == Terms(9, 500, 40)
    assert stuck.dearer(row, 500, 600) == Terms(9, 600, 600)


async def test_a_sibling_that_gas_money_does_not_pay_for_is_not_signed(till: Till) -> None:
    await stuck_payout(till)
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    dear = Terms(100_000, ETHER // 100_000 + 1, 1)

    async def never_asked(_nonce: int, _terms: Terms) -> SignedBytes:
        raise AssertionError("nothing may be signed here")

    outcome = await stuck.bump(till.desk, open_tx, dear, never_asked)
    assert outcome is Reserved.WAITING_FOR_GAS
    (way,) = await stuck.on_their_way(till.desk)
    assert way.reason.startswith("waiting for gas: pool wallet")


async def test_a_refused_sibling_is_asked_for_again_after_a_pause(
    till: Till, clock: FakeClock
) -> None:
    await stuck_payout(till)
    (row,) = await moving.due_txs(till.desk, "arb")
    await moving.note_sent(till.desk, row, None)
    clock.advance(stuck.PATIENCE)
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    assert stuck.is_stuck(open_tx, clock.now())

    async def refuse(_nonce: int, _terms: Terms) -> SignedBytes:
        raise SigningRefused("too dear")

    assert await stuck.bump(till.desk, open_tx, TERMS, refuse) is Reserved.WAITING
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    assert not stuck.is_stuck(open_tx, clock.now())
    clock.advance(stuck.BUMP_PAUSE)
    assert stuck.is_stuck(open_tx, clock.now())


async def test_a_frozen_wallet_gets_neither_siblings_nor_cancellations(till: Till) -> None:
    bill = await stuck_payout(till)
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    move_id = (await till.move(bill, "payout")).move_id
    pool = await till.wallet("pool")
    await stuck.found_lost(till.desk, pool, 1, [move_id], [])
    await till.freeze("pool", "somebody else used it")
    assert await stuck.bump(till.desk, open_tx, TERMS, sign) is Reserved.FROZEN
    async with till.desk.database.reading() as tx:
        hole = await lost.get(tx, "arb", pool.address, 1)
    assert hole is not None
    assert await stuck.cancel(till.desk, hole, TERMS, sign) is Reserved.FROZEN


async def test_a_nonce_that_was_used_after_all_is_not_cancelled(
    till: Till, clock: FakeClock
) -> None:
    bill = await till.signed_bill()
    move_id = (await till.move(bill, "sweep")).move_id
    operator = await till.wallet("operator")
    await stuck.found_lost(till.desk, operator, 0, [move_id], [])
    assert await stuck.hole_of(till.desk, operator) is None
    clock.advance(stuck.HOLE_PATIENCE)
    hole = await stuck.hole_of(till.desk, operator)
    assert hole is not None

    await reserve(till)
    assert await stuck.cancel(till.desk, hole, TERMS, sign) is Reserved.CHANGED
    assert await stuck.hole_of(till.desk, await till.wallet("operator")) is None
    async with till.desk.database.reading() as tx:
        (found,) = await lost.of_move(tx, 1, move_id)
        assert (await moves.by_ids(tx, 1, [move_id]))[0].status == "signed"
    assert found.ended == "kept"


async def test_the_command_line_approves_again_and_shows_what_is_stuck(
    database: Database, database_url: str
) -> None:
    secret = "d3JpdHRlbi1ieS1oYW5kLWZvci10aGlzLXRlc3Q"
    shop = Till(replace(desk_on(database, FakeClock()), approval_key=secret.encode()))
    await shop.open()
    till = await shop.ready(gas_wei=10**15)
    at = conninfo_to_dict(database_url)
    environment = {
        "COUNTERFOIL_DATABASE_URL": (
            f"postgresql://{at['user']}:{at['password']}@{at['host']}:{at['port']}/{at['dbname']}"
        ),
        "COUNTERFOIL_APPROVAL_SECRET": secret,
    }
    keys = {}
    for role in ("signer", "auditor"):
        member = await members.add_member(
            till.desk, 1, email=f"{role}@example.com", name=role, roles=(role,), password_hash="-"
        )
        keys[role] = await members.issue_key(till.desk, member, "test")
    bill, move_id = await parked_payout(till)
    asked = ["move", "approve-again", str(move_id), "--reason", WHY]

    async def command(key: str, *arguments: str) -> Ran:
        return await ran(
            [sys.executable, "-m", "counterfoil", *arguments],
            {**environment, "COUNTERFOIL_API_KEY": key},
        )

    bad = await command("cfk_0_0", *asked)
    assert (bad.status, "this API key is not good" in bad.text) == (2, True)
    barred = await command(keys["auditor"], *asked)
    assert (barred.status, "transfer:sign" in barred.text) == (2, True)
    assert (await till.move(bill, "payout")).status == "parked"
    done = await command(keys["signer"], *asked)
    assert done.status == 0, done.text
    assert re.search("is approved again by user_[0-9a-z-]+, and ready", done.text)
    assert (await till.move(bill, "payout")).generation == 1

    await stuck.found_lost(till.desk, await till.wallet("pool"), 1, [move_id], [])
    shown = await command("", "status")
    for part in ("lost", str(move_id), "gas station", "its pool wallet needs"):
        assert part in shown.text
