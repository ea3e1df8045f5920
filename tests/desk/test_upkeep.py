"""What operators can do about money that stands still, and what they cannot."""

import sys
from datetime import timedelta
from uuid import UUID

import pytest
from psycopg.conninfo import conninfo_to_dict

from counterfoil.books import moves, notes
from counterfoil.books.notes import MoveNote
from counterfoil.core.errors import Invalid, NotFound, OutOfPlace
from counterfoil.core.invoice import Invoice, Status
from counterfoil.desk import moving, upkeep
from counterfoil.desk.moving import Reserved
from counterfoil.desk.objections import LONG
from support.fake_clock import FakeClock
from support.invoices import DUE, USDT
from support.journey import Ran, ran
from support.till import Till, reserve
from support.treasury import land

WHY = "asked the issuer, it was a mistake"


async def parked(till: Till, reason: str = "nobody likes it") -> tuple[Invoice, UUID]:
    """A bill whose sweep is parked."""
    bill = await till.signed_bill()
    move_id = (await till.move(bill, "sweep")).move_id
    await moving.park(till.desk, 1, {move_id: reason})
    return bill, move_id


async def retry(till: Till, move_id: UUID, reason: str = WHY) -> None:
    await upkeep.retry(till.desk, 1, move_id, by="operator:kim", reason=reason)


async def notes_of(till: Till, move_id: UUID) -> list[MoveNote]:
    async with till.desk.database.reading() as tx:
        return await notes.of_move(tx, 1, move_id)


async def test_everything_that_stands_still_is_listed_with_why_and_since_when(
    till: Till, clock: FakeClock
) -> None:
    _, parked_id = await parked(till)
    waiting = await till.signed_bill()
    await till.signed_bill()
    batch = await till.batch()
    clock.advance(timedelta(minutes=4))
    first = next(item for item in batch.items if item.move.invoice_id == waiting.invoice_id)
    await moving.wait(till.desk, moving.Batch(batch.wallet, (first,)), "dear", LONG)
    clock.advance(timedelta(minutes=1))
    minutes = timedelta(minutes=1)

    assert [
        (h.move_id, h.reason, h.amount_units, h.asset, h.age, h.wait_until)
        for h in await upkeep.held_up(till.desk)
    ] == [
        (parked_id, "nobody likes it", DUE, USDT, 5 * minutes, None),
        (first.move.move_id, "dear", DUE, USDT, 5 * minutes, clock.now() + 3 * minutes),
    ]


async def test_a_parked_move_goes_on_and_it_is_known_who_said_so(
    till: Till, clock: FakeClock
) -> None:
    bill, move_id = await parked(till)
    clock.advance(timedelta(hours=1))
    await retry(till, move_id)

    (note,) = await notes_of(till, move_id)
    assert (note.by, note.reason, note.at) == ("operator:kim", WHY, clock.now())
    assert note.what == "retried; it stood still because: nobody likes it"
    assert await upkeep.held_up(till.desk) == []
    assert await reserve(till) is Reserved.SIGNED
    assert (await till.move(bill, "sweep")).park_reason is None


async def test_a_note_cannot_be_changed_or_taken_back(till: Till) -> None:
    _, move_id = await parked(till)
    await retry(till, move_id)
    for change in ("UPDATE move_note SET reason = ''", "DELETE FROM move_note"):
        with pytest.raises(Exception, match="permission denied"):
            async with till.desk.database.transaction() as tx:
                await tx.execute(change)


async def test_a_waiting_move_is_tried_at_once(till: Till) -> None:
    bill = await till.signed_bill()
    await moving.wait(till.desk, await till.batch(), "dear", LONG)
    operator = await till.wallet("operator")
    assert await moving.next_batch(till.desk, operator) is None

    await retry(till, (await till.move(bill, "sweep")).move_id)
    assert await moving.next_batch(till.desk, operator) is not None


async def test_a_retry_says_why_and_is_about_something_that_stands_still(till: Till) -> None:
    _, move_id = await parked(till)
    with pytest.raises(Invalid, match="say what you found"):
        await retry(till, move_id, "  ")
    with pytest.raises(NotFound, match="has no move"):
        await retry(till, till.desk.ids.new())
    with pytest.raises(NotFound, match="has no move"):
        await upkeep.retry(till.desk, 2, move_id, by="operator:kim", reason=WHY)
    await retry(till, move_id)
    with pytest.raises(OutOfPlace, match="is ready and does not stand still"):
        await retry(till, move_id)
    await reserve(till)
    with pytest.raises(OutOfPlace, match="is signed and does not stand still"):
        await retry(till, move_id)


async def test_a_reverted_sweep_is_made_again_with_a_new_nonce(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till, ok=False)
    await retry(till, (await till.move(bill, "sweep")).move_id)

    fresh = await till.move(bill, "sweep")
    assert (fresh.status, fresh.nonce, fresh.tx_hash) == ("ready", None, None)
    assert await reserve(till) is Reserved.SIGNED
    assert (await till.move(bill, "sweep")).nonce == 1
    await land(till)
    assert await till.status(bill) is Status.PAYOUT_PROCESSING
    assert await till.deposited(bill) == 0


async def test_a_sweep_that_its_issuer_stopped_is_made_again(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till, units=0, problem="frozen by its issuer")
    await retry(till, (await till.move(bill, "sweep")).move_id)
    assert await reserve(till) is Reserved.SIGNED


async def test_a_sweep_that_moved_something_is_never_made_again(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till, units=DUE - 1, problem="a unit is missing")
    with pytest.raises(OutOfPlace, match=f"moved {DUE - 1} base units"):
        await retry(till, (await till.move(bill, "sweep")).move_id)


async def test_a_reverted_payment_is_never_signed_again(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till)
    await reserve(till, "pool")
    await land(till, ok=False)

    payout = await till.move(bill, "payout")
    with pytest.raises(OutOfPlace, match="no second nonce, unless a person"):
        await retry(till, payout.move_id)
    assert await till.move(bill, "payout") == payout
    assert await notes_of(till, payout.move_id) == []


async def test_what_may_still_land_is_not_made_again(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    sweep = await till.move(bill, "sweep")
    async with till.desk.database.transaction() as tx:
        await moves.park_signed(tx, 1, [sweep.move_id], "a hand in the database", sweep.updated_at)
    with pytest.raises(OutOfPlace, match="may still land"):
        await retry(till, sweep.move_id)


async def thaw(till: Till, nonce: int, *dead: str) -> list[UUID]:
    wallet = await till.wallet("operator")
    return await upkeep.thaw(
        till.desk,
        "arb",
        wallet.address,
        finalized_nonce=nonce,
        at_block=80,
        dead=dead,
        by="operator:kim",
        reason="our own test of the key",
    )


async def test_a_thawed_wallet_signs_behind_what_the_chain_counts(till: Till) -> None:
    wallet = await till.wallet("operator")
    reason = await moving.freeze_if_ahead(till.desk, wallet, 3)
    assert [w.address for w in await upkeep.frozen_wallets(till.desk)] == [wallet.address]
    assert await thaw(till, 3) == []

    assert await upkeep.frozen_wallets(till.desk) == []
    thawed = await till.wallet("operator")
    assert (thawed.frozen_reason, thawed.next_nonce) == (None, 3)
    assert await moving.freeze_if_ahead(till.desk, thawed, 3) is None
    async with till.desk.database.reading() as tx:
        (note,) = await notes.of_wallet(tx, "arb", wallet.address)
    assert note.what == f"thawed at nonce 3; it was frozen because: {reason}"


async def test_a_nonce_that_is_gone_parks_what_it_was_for(till: Till) -> None:
    gone = await till.signed_bill()
    await reserve(till)
    kept = await till.signed_bill()
    await reserve(till)
    dead = (await till.move(gone, "sweep")).tx_hash or ""
    still = (await till.move(kept, "sweep")).tx_hash or ""
    await till.freeze("operator", "nonce 0 was consumed")

    # The second one has no receipt either, but its nonce is still free: it may land yet.
    parked_ids = await thaw(till, 1, dead, still)
    sweep = await till.move(gone, "sweep")
    assert parked_ids == [sweep.move_id]
    assert sweep.park_reason == f"nonce 0 was consumed by a transaction that is not {dead}"
    assert (await till.move(kept, "sweep")).status == "signed"
    assert (await till.wallet("operator")).next_nonce == 2
    assert [row.tx_hash for row in await moving.due_txs(till.desk, "arb")] == [still]

    await retry(till, sweep.move_id)
    assert await reserve(till) is Reserved.SIGNED


async def test_only_a_frozen_wallet_of_ours_is_thawed(till: Till) -> None:
    with pytest.raises(OutOfPlace, match="is not frozen"):
        await thaw(till, 0)
    with pytest.raises(NotFound, match="no wallet of ours"):
        await upkeep.open_txs(till.desk, "arb", "0x" + "99" * 20)
    await till.freeze("operator", "somebody else used it")
    assert await till.wallet("operator") == (await upkeep.frozen_wallets(till.desk))[0]


async def command(url: str, *arguments: str) -> Ran:
    """Run one of our own commands on this database."""
    at = conninfo_to_dict(url)
    address = f"postgresql://{at['user']}:{at['password']}@{at['host']}:{at['port']}/{at['dbname']}"
    environment = {"COUNTERFOIL_DATABASE_URL": address}
    return await ran([sys.executable, "-m", "counterfoil", *arguments], environment)


async def test_the_command_line_shows_and_retries(till: Till, database_url: str) -> None:
    _, move_id = await parked(till)
    await till.freeze("pool", "somebody else used it")
    shown = await command(database_url, "move", "list")
    assert shown.status == 0
    # Nothing of its table is cut off, however narrow the terminal is.
    assert f"│ {move_id} │" in shown.text
    assert "…" not in shown.text
    for part in (str(move_id), " USDT", "nobody likes it", "parked", "somebody else used it"):
        assert part in shown.text

    done = await command(database_url, "move", "retry", str(move_id), "--reason", WHY)
    assert (done.status, "is ready again" in done.text) == (0, True)
    (note,) = await notes_of(till, move_id)
    assert note.by.startswith("operator:")
    again = await command(database_url, "move", "retry", str(move_id), "--reason", WHY)
    assert (again.status, "does not stand still" in again.text) == (2, True)
