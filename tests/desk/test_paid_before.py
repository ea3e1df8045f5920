"""The last look before a payment gets another nonce: what was held for dead may have paid it."""

import pytest

from counterfoil.books import lost, notes
from counterfoil.chains.port import Attestation, NonceSeen
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.rows import execute
from counterfoil.desk import adopting, approving, moving, stuck, upkeep
from counterfoil.desk.adopting import EarlierNonce
from counterfoil.desk.objections import LONG
from counterfoil.workers.move import MoveWorker
from support.fake_chain import FakeChain, FakeTx, Moved
from support.fake_clock import FakeClock
from support.invoices import CHECKER, STRANGER, USDT
from support.pen import Remembering
from support.till import Till, fresh_hash, reserve
from support.treasury import land

PERSON = Actor(CHECKER, 1, frozenset({Permission.SIGN}))
WHY = "every node says that it was never paid"


@pytest.fixture
def chain(clock: FakeClock) -> FakeChain:
    return FakeChain(clock)


@pytest.fixture
def signer(till: Till) -> Remembering:
    return Remembering(till.desk)


async def swept_bill(till: Till) -> Invoice:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till)
    return bill


async def used_up(till: Till, bill: Invoice) -> str:
    """The payout is signed, all say that its nonce was used by nothing of ours; a person thaws."""
    await reserve(till, "pool")
    payout = await till.move(bill, "payout")
    assert payout.nonce is not None
    assert payout.tx_hash is not None
    await till.freeze("pool", "its nonce was consumed")
    await upkeep.thaw(
        till.desk,
        "arb",
        (await till.wallet("pool")).address,
        finalized_nonce=payout.nonce + 1,
        at_block=80,
        dead={payout.tx_hash},
        by="operator:kim",
        reason=WHY,
    )
    return payout.tx_hash


async def again(till: Till, bill: Invoice) -> None:
    move_id = (await till.move(bill, "payout")).move_id
    await approving.approve_again(till.desk, move_id, PERSON, reason=WHY)


async def lost_and_gone(till: Till, bill: Invoice) -> str:
    """The payout was signed, then the books were put back; it was called gone, a person thaws."""
    tx_hash, pool = fresh_hash(), await till.wallet("pool")
    move_id = (await till.move(bill, "payout")).move_id
    await stuck.found_lost(till.desk, pool, 0, [move_id], [tx_hash])
    (hole, _), *_ = await stuck.unsettled(till.desk, "arb")
    await stuck.settle_lost(till.desk, hole, "gone", 80)
    await till.freeze("pool", "behind the chain")
    await upkeep.thaw(
        till.desk,
        "arb",
        pool.address,
        finalized_nonce=1,
        at_block=80,
        dead=(),
        by="operator:kim",
        reason=WHY,
    )
    return tx_hash


async def put_in_its_place(till: Till, bill: Invoice) -> None:
    """The payout is given up, and another of as much stands in its place."""
    old = await till.move(bill, "payout")
    await till.extra_payout(bill, old.amount_units)
    async with till.desk.database.transaction() as tx:
        await execute(
            tx, "UPDATE move SET status = 'failed' WHERE move_id = %(id)s", {"id": old.move_id}
        )


async def mined(till: Till, chain: FakeChain, *tx_hashes: str) -> None:
    """These took the pool's nonces, moved its token, and are final."""
    pool = (await till.wallet("pool")).address
    paid = (Moved(USDT.contract, pool, STRANGER, 1),)
    chain.pool += [FakeTx(tx_hash, pool, place, paid) for place, tx_hash in enumerate(tx_hashes)]
    chain.mine(10)


async def works(till: Till, chain: FakeChain, signer: Remembering) -> None:
    await MoveWorker(till.desk, {"arb": chain}, signer).reserve(chain)


async def stays_parked(till: Till, bill: Invoice, tx_hash: str, because: str) -> None:
    """Its first transaction has made it, and nobody pays it again."""
    parked = await till.move(bill, "payout")
    assert parked.status == "parked"
    assert f"with nonce 0 as {tx_hash}, which is proven mined" in str(parked.park_reason)
    assert because in str(parked.park_reason)
    with pytest.raises(OutOfPlace, match="the money has left and is not booked"):
        await again(till, bill)


@pytest.mark.parametrize("held_for", ["replaced", "reverted"])
@pytest.mark.parametrize("remembers", [True, False])
async def test_a_payment_whose_dead_sibling_is_mined_parks_for_good(
    till: Till, chain: FakeChain, signer: Remembering, held_for: str, *, remembers: bool
) -> None:
    bill = await swept_bill(till)
    tx_hash = await used_up(till, bill)
    await again(till, bill)
    payout = await till.move(bill, "payout")
    if remembers:
        signer.signed_before(0, payout.move_id, tx_hash)
    async with till.desk.database.transaction() as tx:
        change = "UPDATE ingest.chain_tx SET status = %(status)s WHERE tx_hash = %(tx_hash)s"
        await execute(tx, change, {"status": held_for, "tx_hash": tx_hash})
    await mined(till, chain, tx_hash)

    await works(till, chain, signer)
    await stays_parked(till, bill, tx_hash, "its bytes are not what the books want to be moved")
    assert signer.signed == []


async def test_a_sibling_that_only_one_node_has_keeps_a_payment_waiting_with_a_word(
    till: Till, chain: FakeChain, signer: Remembering, clock: FakeClock
) -> None:
    bill = await swept_bill(till)
    tx_hash = await used_up(till, bill)
    await again(till, bill)
    await mined(till, chain, tx_hash)
    chain.ends[tx_hash] = Attestation(("a",), denies=("b",))

    await works(till, chain, signer)
    waits = await till.move(bill, "payout")
    assert waits.status == "ready"
    assert tx_hash in str(waits.wait_reason)
    assert waits.wait_until is not None
    assert waits.wait_until > clock.now()

    chain.ends.clear()
    clock.advance(waits.wait_until - clock.now())
    await works(till, chain, signer)
    assert (await till.move(bill, "payout")).status == "parked"
    assert signer.signed == []


@pytest.mark.parametrize(
    "answer",
    [
        (None, "b gave no answer"),
        (NonceSeen("", 1), "different blocks"),
        (NonceSeen("own", 0), "does not count it as consumed"),
        (NonceSeen("own", 1, landed=("0xabc",)), "a node has 0xabc, which is ours"),
    ],
)
async def test_a_node_that_does_not_know_has_not_said_no(
    till: Till,
    chain: FakeChain,
    signer: Remembering,
    answer: tuple[NonceSeen | None, str],
) -> None:
    (says, word), clock = answer, till.desk.clock
    assert isinstance(clock, FakeClock)
    bill = await swept_bill(till)
    await used_up(till, bill)
    await again(till, bill)
    await mined(till, chain, fresh_hash())
    if says is not None and says.block_hash == "own":
        block = chain.finalized_block()
        says = NonceSeen(block.hash, says.count, says.landed)
    chain.says["b"] = says

    await works(till, chain, signer)
    waits = await till.move(bill, "payout")
    assert word in str(waits.wait_reason)
    assert signer.signed == []

    chain.says.clear()
    assert waits.wait_until is not None
    clock.advance(waits.wait_until - clock.now())
    await works(till, chain, signer)
    assert (await till.move(bill, "payout")).nonce == 1
    assert signer.signed == [1]


async def test_the_first_of_two_dead_nonces_is_looked_at_too(
    till: Till, chain: FakeChain, signer: Remembering
) -> None:
    bill = await swept_bill(till)
    first = await used_up(till, bill)
    await again(till, bill)
    await used_up(till, bill)
    await again(till, bill)
    assert (await till.move(bill, "payout")).replaces_nonce == 1
    await mined(till, chain, first, fresh_hash())

    await works(till, chain, signer)
    assert first in str((await till.move(bill, "payout")).park_reason)
    assert signer.signed == []


async def test_a_payment_that_was_given_up_is_looked_at_before_the_one_in_its_place(
    till: Till, chain: FakeChain, signer: Remembering
) -> None:
    bill = await swept_bill(till)
    tx_hash = await used_up(till, bill)
    await put_in_its_place(till, bill)
    await mined(till, chain, tx_hash)

    await works(till, chain, signer)
    other = (await till.moves(bill, "payout"))[-1]
    assert other.status == "parked"
    assert tx_hash in str(other.park_reason)
    assert signer.signed == []


async def test_a_signature_that_was_lost_and_called_gone_is_looked_at(
    till: Till, chain: FakeChain, signer: Remembering
) -> None:
    bill = await swept_bill(till)
    pool, move_id = await till.wallet("pool"), (await till.move(bill, "payout")).move_id
    tx_hash = await lost_and_gone(till, bill)
    await moving.park(till.desk, 1, {move_id: "its signature was lost"})
    await put_in_its_place(till, bill)
    await mined(till, chain, tx_hash)

    await works(till, chain, signer)
    other = (await till.moves(bill, "payout"))[-1]
    assert tx_hash in str(other.park_reason)
    async with till.desk.database.reading() as tx:
        known = await lost.get(tx, "arb", pool.address, 0)
    assert known is not None
    assert (known.ended, known.move_ids) == ("landed", [move_id, other.move_id])
    assert signer.signed == []


async def test_a_payment_of_which_nobody_has_the_bytes_any_more_parks_for_good(
    till: Till, chain: FakeChain, signer: Remembering
) -> None:
    bill = await swept_bill(till)
    tx_hash = await lost_and_gone(till, bill)
    await mined(till, chain, tx_hash)

    await works(till, chain, signer)
    await stays_parked(
        till, bill, tx_hash, "neither the books nor the signer have its bytes any more"
    )
    assert signer.signed == []


async def test_what_parked_as_made_is_booked_once_the_signer_gives_its_bytes_again(
    till: Till, chain: FakeChain, signer: Remembering, clock: FakeClock
) -> None:
    bill = await swept_bill(till)
    payout, pool = await till.move(bill, "payout"), await till.wallet("pool")
    tx_hash = await lost_and_gone(till, bill)
    signer.signed_before(0, payout.move_id, tx_hash)
    paid = Moved(payout.contract, pool.address, payout.destination, payout.amount_units)
    chain.pool.append(FakeTx(tx_hash, pool.address, 0, (paid,)))
    chain.mine(10)
    worker = MoveWorker(till.desk, {"arb": chain}, signer)

    await worker.step()
    parked = await till.move(bill, "payout")
    assert parked.status == "parked"
    assert "does not sign it again on its old terms: that is more than may be" in str(
        parked.park_reason
    )
    assert "docs/operations/runbook.md" in str(parked.park_reason)
    signer.willing = True
    await worker.step()
    assert (await till.move(bill, "payout")).status == "parked", "it was looked at just now"

    clock.advance(LONG)
    for _ in range(3):
        await worker.step()
    booked = await till.move(bill, "payout")
    assert (booked.status, booked.nonce, booked.tx_hash) == ("final", 0, tx_hash)
    assert await till.status(bill) is Status.COMPLETED
    assert (await till.books()).merchant == payout.amount_units
    assert signer.signed == []
    assert (await till.wallet("pool")).next_nonce == 1
    async with till.desk.database.reading() as tx:
        known = await lost.get(tx, "arb", pool.address, 0)
        (note,) = await notes.of_move(tx, 1, payout.move_id)
    assert known is not None
    assert known.ended == "kept"
    assert note.what == f"found on the chain as {tx_hash}, signed with nonce 0"


async def test_what_every_node_called_dead_takes_every_node_and_its_own_bytes_to_be_booked(
    till: Till, chain: FakeChain, signer: Remembering, clock: FakeClock
) -> None:
    bill = await swept_bill(till)
    tx_hash = await used_up(till, bill)
    await again(till, bill)
    signer.signed_before(0, (await till.move(bill, "payout")).move_id, tx_hash)
    signer.willing = True
    await mined(till, chain, tx_hash)
    chain.ends[tx_hash] = Attestation(("a", "b"), silent=("c",))

    worker = MoveWorker(till.desk, {"arb": chain}, signer)
    await worker.step()
    parked = await till.move(bill, "payout")
    assert "not every node has it" in str(parked.park_reason)
    chain.ends.clear()
    clock.advance(LONG)
    await worker.step()
    parked = await till.move(bill, "payout")
    assert "its bytes are not what the books want to be moved" in str(parked.park_reason)
    assert parked.status == "parked"
    assert signer.signed == []


async def test_what_stands_in_the_place_of_a_payment_that_was_made_stays_parked(
    till: Till, chain: FakeChain, signer: Remembering, clock: FakeClock
) -> None:
    """The older one was given up for it: which of them is owed, only a person knows."""
    bill = await swept_bill(till)
    tx_hash = await used_up(till, bill)
    first = await till.move(bill, "payout")
    await put_in_its_place(till, bill)
    signer.signed_before(0, first.move_id, tx_hash)
    signer.willing = True
    await mined(till, chain, tx_hash)

    worker = MoveWorker(till.desk, {"arb": chain}, signer)
    for _ in range(3):
        await worker.step()
        clock.advance(LONG)
    old, other = await till.moves(bill, "payout")
    pool = await till.wallet("pool")
    assert await adopting.earlier_nonces(till.desk, pool, other) == [EarlierNonce(0, is_own=False)]
    assert (old.status, other.status) == ("failed", "parked")
    assert f"movement {old.move_id}, for which it was signed, as failed" in str(other.park_reason)
    assert signer.signed == []
