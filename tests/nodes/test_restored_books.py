"""Books put back from a backup: what was paid meanwhile is found, booked once, never paid again."""

from collections.abc import Callable

import pytest

from counterfoil.core.errors import OutOfPlace
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.rows import all_values, execute
from counterfoil.desk import moving, stuck
from support.backup import Backup
from support.fake_clock import FakeClock
from support.house import House
from support.invoices import CHECKER, DUE, STRANGER, USDC, USDT
from support.postgres import TestServer

WHY = "the books are a backup"
PERSON = Actor(CHECKER, 1, frozenset({Permission.SIGN}))

BackUp = Callable[[], Backup]


@pytest.fixture
def back_up(postgres: TestServer, database_url: str) -> BackUp:
    return lambda: Backup(postgres.as_admin(database_url))


def clock(house: House) -> FakeClock:
    found = house.desk.clock
    assert isinstance(found, FakeClock)
    return found


async def told_bill(house: House) -> Invoice:
    """An invoice that is paid and signed for, whose callbacks somebody waits for."""
    bill = await house.bill(
        assets=(USDC,), status=Status.SIGN_PENDING, callback_url="https://shop.example/hook"
    )
    await house.pay(bill, bill.deposit_address or "", DUE, USDC)
    await house.finalize()
    await house.screened(bill)
    await house.sign_off(bill)
    return bill


async def callbacks(house: House) -> list[str]:
    query = "SELECT to_status FROM outbox WHERE org_id = 1 ORDER BY invoice_id, sequence"
    async with house.desk.database.reading() as tx:
        return await all_values(tx, str, query, {})


async def ready_payout(house: House) -> Invoice:
    """A bill whose sweep is settled and whose payout nobody has signed."""
    bill = await house.signed_bill()
    await house.drive(rounds=1)
    await house.worker().follow(house.arb.chain)
    assert (await house.move(bill, "payout")).status == "ready"
    return bill


async def assert_books_equal_chain(house: House) -> None:
    org = await house.org()
    for role, address in (("operator", org.operator_address), ("pool", org.pool_address)):
        for asset in (None, USDT, USDC):
            on_chain = await house.arb.balance(asset, address)
            assert await house.holds(role, asset) == on_chain, (role, asset)  # type: ignore[arg-type]  # - a role by its name


async def test_what_left_after_the_backup_is_found_and_booked_once(
    house: House, back_up: BackUp
) -> None:
    bill = await told_bill(house)
    before = back_up()
    await house.drive()
    assert await house.status(bill) is Status.COMPLETED
    ended = {row.tx_hash: row.status for row in await house.txs()}
    told = await callbacks(house)

    before.restore()
    assert (await house.move(bill, "sweep")).status == "ready"
    await house.drive(rounds=6)

    assert await house.status(bill) is Status.COMPLETED
    assert {row.tx_hash: row.status for row in await house.txs()} == ended
    assert await callbacks(house) == told
    assert told.count("completed") == 1
    payout = await house.move(bill, "payout")
    assert (payout.status, payout.nonce, payout.moved_units) == ("final", 0, DUE)
    assert await house.at_merchant(USDC) == DUE
    assert (await house.wallet("pool")).frozen_reason is None
    assert (await house.wallet("pool")).next_nonce == 1
    await assert_books_equal_chain(house)
    query = "SELECT what FROM move_note WHERE org_id = 1 ORDER BY at, note_id"
    async with house.desk.database.reading() as tx:
        notes = await all_values(tx, str, query, {})
    assert [note.split(",")[0] for note in notes] == [
        f"found on the chain as {(await house.move(bill, 'sweep')).tx_hash}",
        f"found on the chain as {payout.tx_hash}",
    ]


async def test_a_dearer_sibling_that_the_books_forgot_is_no_strangers(
    house: House, back_up: BackUp
) -> None:
    """All nodes would say that something else used the nonce: then it could be paid once more."""
    bill = await ready_payout(house)
    worker = house.worker()
    await house.arb.node.automine(on=False)
    await worker.reserve(house.arb.chain)
    before = back_up()
    clock(house).advance(stuck.PATIENCE)
    await worker.broadcast(house.arb.chain)
    await worker.follow(house.arb.chain)
    (both,) = await moving.open_txs(house.desk, "arb")
    first, second = both.txs
    await house.arb.node.drop(first.tx_hash)
    await house.arb.node.automine(on=True)
    await house.arb.chain.send(second.raw)
    await house.finalize()
    assert await house.at_merchant() == DUE

    before.restore()
    assert [row.tx_hash for row in (await moving.open_txs(house.desk, "arb"))[0].txs] == [
        first.tx_hash
    ]
    await house.drive(rounds=4)
    assert (await house.wallet("pool")).frozen_reason is None
    assert await house.status(bill) is Status.COMPLETED
    assert (await house.move(bill, "payout")).tx_hash == second.tx_hash
    ends = {row.tx_hash: row.status for row in await house.txs()}
    assert (ends[first.tx_hash], ends[second.tx_hash]) == ("replaced", "final")
    assert await house.at_merchant() == DUE
    await assert_books_equal_chain(house)

    # Nor where nobody worked, and a person thawed the wallet: the signer knows the sibling.
    before.restore()
    await house.freeze("pool", "nobody knows any more")
    assert await house.thaw() == []
    assert (await house.move(bill, "payout")).tx_hash == second.tx_hash
    await house.drive(rounds=4)
    assert await house.status(bill) is Status.COMPLETED
    assert (await house.move(bill, "payout")).tx_hash == second.tx_hash
    assert await house.at_merchant() == DUE
    await assert_books_equal_chain(house)


FORGERIES = {
    "another receiver": f"destination = '{STRANGER}'",
    "another amount": "amount_units = amount_units - 1",
    "another token": f"contract = '{USDT.contract}'",
    "another number": "status = 'parked', park_reason = '', nonce = 7, wallet = '0x'",
    "it was given up": "status = 'failed'",
}
"""What may have been written into the books; ``USDC`` was paid."""


async def test_only_what_the_books_want_is_adopted_and_a_reorg_afterwards_pays_once(
    house: House, back_up: BackUp
) -> None:
    bill, other = [await told_bill(house) for _ in range(2)]
    await house.drive(rounds=1)
    await house.worker().follow(house.arb.chain)
    await house.put(other, Status.COMPLIANCE_HOLD)
    before = back_up()
    worker = house.worker()
    await worker.reserve(house.arb.chain)
    await worker.broadcast(house.arb.chain)
    await house.finalize()
    assert await house.at_merchant(USDC) == DUE
    for forged in FORGERIES.values():
        before.restore()
        await house.put(other, Status.PAYOUT_PROCESSING)
        move_id = (await house.move(bill, "payout")).move_id
        async with house.desk.database.transaction() as tx:
            await execute(
                tx,
                f"UPDATE move SET {forged} WHERE org_id = 1 AND move_id = %(id)s",  # noqa: S608 - a constant above
                {"id": move_id},
            )
        await house.worker().step()
        pool = await house.wallet("pool")
        assert "somebody else uses its key" in str(pool.frozen_reason), forged
        assert pool.next_nonce == 0
        with pytest.raises(OutOfPlace, match="which the signer signed and the books do not take"):
            await house.thaw()
        assert pool.address not in {row.wallet for row in await house.txs()}
        await house.put(other, Status.COMPLIANCE_HOLD)
        assert await house.thaw(explained=[0]) == []
        await house.worker().step()
        assert (await house.move(bill, "payout")).status in {"parked", "failed"}, forged
        assert (await house.wallet("pool")).next_nonce == 1, "nothing more was signed"
        assert await house.at_merchant(USDC) == DUE

    before.restore()
    await house.worker().reserve(house.arb.chain)
    assert (await house.move(bill, "payout")).status == "signed"
    await house.arb.node.reorg(10)
    assert await house.at_merchant(USDC) == 0
    await house.drive(rounds=4)
    await house.put(other, Status.PAYOUT_PROCESSING)
    await house.drive()
    assert await house.status(bill) is await house.status(other) is Status.COMPLETED
    assert await house.at_merchant(USDC) == 2 * DUE
    await assert_books_equal_chain(house)
