"""The last look, once more: at books from before an approval, and at what goes back to the pool."""

from dataclasses import replace

import pytest

from counterfoil.books.moves import MoveRow
from counterfoil.books.wallets import WalletRole
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.events import Quarantine
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.rows import execute
from counterfoil.desk import adopting, upkeep
from counterfoil.desk.act import act
from counterfoil.desk.objections import LONG
from counterfoil.workers.move import MoveWorker
from counterfoil.workers.thawing import thaw
from support.fake_chain import FakeChain, FakeTx, Moved
from support.fake_clock import FakeClock
from support.invoices import DUE, OFFICERS
from support.pen import Remembering
from support.till import ETHER, Till, fresh_hash, reserve
from support.treasury import land

WHY = "every node says that it was never paid"


@pytest.fixture
def chain(clock: FakeClock) -> FakeChain:
    return FakeChain(clock)


@pytest.fixture
def signer(till: Till) -> Remembering:
    return Remembering(till.desk)


async def dead(till: Till, role: WalletRole, bill: Invoice, purpose: str) -> MoveRow:
    """All say that the nonce of a movement was used by nothing of ours; a person thaws."""
    move = await till.move(bill, purpose)
    await till.freeze(role, "its nonce was consumed")
    await upkeep.thaw(
        till.desk,
        "arb",
        (await till.wallet(role)).address,
        finalized_nonce=(move.nonce or 0) + 1,
        at_block=80,
        dead={move.tx_hash or ""},
        by="operator:kim",
        reason=WHY,
    )
    return move


async def works(till: Till, chain: FakeChain, signer: Remembering) -> None:
    await MoveWorker(till.desk, {"arb": chain}, signer).reserve(chain)


async def before_it_was_approved_again(
    till: Till, chain: FakeChain, signer: Remembering
) -> tuple[Invoice, str]:
    """Books that know a payment as parked, which was approved again and paid since."""
    bill = await till.signed_bill()
    await reserve(till)
    await land(till)
    await reserve(till, "pool")
    payout, pool = await dead(till, "pool", bill, "payout"), (await till.wallet("pool")).address
    tx_hash = fresh_hash()
    signer.signed_before(0, payout.move_id, payout.tx_hash or "")
    signer.signed_before(1, payout.move_id, tx_hash)
    signer.willing = True
    paid = Moved(payout.contract, pool, payout.destination, payout.amount_units)
    chain.pool += [FakeTx(fresh_hash(), pool, 0), FakeTx(tx_hash, pool, 1, (paid,))]
    chain.mine(110)
    return bill, tx_hash


async def is_booked_once(till: Till, bill: Invoice, tx_hash: str) -> bool:
    paid = await till.move(bill, "payout")
    booked = (paid.status, paid.nonce, paid.tx_hash) == ("final", 1, tx_hash)
    return booked and (await till.books()).merchant == paid.amount_units


async def test_books_from_before_a_payment_was_approved_again_find_what_was_paid(
    till: Till, chain: FakeChain, signer: Remembering
) -> None:
    bill, tx_hash = await before_it_was_approved_again(till, chain, signer)
    pool = (await till.wallet("pool")).address
    await till.freeze("pool", "the chain counts more than we signed")
    assert await thaw(till.desk, chain, signer, pool, by="operator:kim", reason=WHY) == []
    worker = MoveWorker(till.desk, {"arb": chain}, signer)
    for _ in range(3):
        await worker.step()
    assert await is_booked_once(till, bill, tx_hash)
    assert await till.status(bill) is Status.COMPLETED
    assert (await till.wallet("pool")).next_nonce == 2
    assert signer.signed == []


async def test_what_parked_after_an_explained_thaw_is_booked_by_itself(
    till: Till, chain: FakeChain, signer: Remembering
) -> None:
    """An earlier version had a person name the nonce, and the payment stood still for good."""
    bill, tx_hash = await before_it_was_approved_again(till, chain, signer)
    payout, pool = await till.move(bill, "payout"), await till.wallet("pool")
    await adopting.landed_after_all(till.desk, pool, 1, [payout.move_id], (tx_hash, 5))
    await till.freeze("pool", "the chain counts more than we signed")
    await upkeep.thaw(
        till.desk,
        "arb",
        pool.address,
        finalized_nonce=2,
        at_block=5,
        dead=(),
        by="operator:kim",
        reason=WHY,
    )
    worker = MoveWorker(till.desk, {"arb": chain}, signer)
    for _ in range(3):
        await worker.step()
    assert await is_booked_once(till, bill, tx_hash)
    assert signer.signed == []


async def test_a_payment_is_not_taken_for_a_later_nonce_while_its_own_may_land(
    till: Till, chain: FakeChain, signer: Remembering
) -> None:
    bill, _ = await before_it_was_approved_again(till, chain, signer)
    async with till.desk.database.transaction() as tx:
        change = "UPDATE ingest.chain_tx SET gone_at_block = NULL WHERE status = 'replaced'"
        await execute(tx, change, {})
    pool = (await till.wallet("pool")).address
    await till.freeze("pool", "the chain counts more than we signed")
    with pytest.raises(OutOfPlace, match="was signed with nonce 0 since"):
        await thaw(till.desk, chain, signer, pool, by="operator:kim", reason=WHY)
    assert (await till.move(bill, "payout")).status == "parked"


async def restoring(till: Till) -> Invoice:
    """Money that was held and let go is about to go back to the pool."""
    await till.fund("hold", ETHER)
    bill = await till.bill(status=Status.SCREENING)
    await till.receive(bill, DUE)
    await till.screened(bill, "aml_hold")
    now = till.desk.clock.now()
    officer = Actor(OFFICERS[0], 1, frozenset({Permission.REVIEW}))
    event = Quarantine(at=now, by=officer.uid, reason=WHY)
    await act(till.desk, 1, bill.invoice_id, event, officer)
    await reserve(till)
    await land(till)
    await till.released(bill)
    await till.sign_off(bill)
    await reserve(till, "hold")
    return bill


async def hold_used_up(till: Till, bill: Invoice) -> MoveRow:
    """All say that the nonce of what goes back was used by nothing of ours; it is retried."""
    restore = await dead(till, "hold", bill, "restore")
    await upkeep.retry(till.desk, 1, restore.move_id, by="operator:kim", reason=WHY)
    return restore


async def test_what_goes_back_to_the_pool_is_looked_at_before_it_gets_another_nonce(
    till: Till, chain: FakeChain, signer: Remembering
) -> None:
    """Twice it would take from the hold wallet what others have there."""
    bill = await restoring(till)
    first = await hold_used_up(till, bill)
    hold = (await till.wallet("hold")).address
    second = fresh_hash()
    chain.pool.append(FakeTx(second, hold, 0))
    chain.mine(10)
    chain.says["b"] = None
    await works(till, chain, signer)
    assert "b gave no answer" in str((await till.move(bill, "restore")).wait_reason)
    assert signer.signed == []

    chain.says.clear()
    clock = till.desk.clock
    assert isinstance(clock, FakeClock)
    clock.advance(LONG)
    await works(till, chain, signer)
    assert (await till.move(bill, "restore")).nonce == 1
    again = await hold_used_up(till, bill)
    assert again.nonce == 1

    # The very first was mined after all: only one of two nodes had ever said so.
    pool = (await till.wallet("pool")).address
    moved = Moved(first.contract, hold, pool, first.amount_units)
    landed = replace(chain, _chain=[], pool=[FakeTx(first.tx_hash or "", hold, 0, (moved,))])
    landed.mine(10)
    signer.signed_before(0, first.move_id, first.tx_hash or "")
    clock.advance(LONG)
    await works(till, landed, signer)
    stands = await till.move(bill, "restore")
    assert stands.status == "parked"
    assert f"with nonce 0 as {first.tx_hash}, which is proven mined" in str(stands.park_reason)
    assert signer.signed == [1]
