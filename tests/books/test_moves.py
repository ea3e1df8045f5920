import asyncio
from dataclasses import replace

import pytest
from psycopg.errors import UniqueViolation

from counterfoil.books import addresses, moves, wallets
from counterfoil.books.moves import NewMove
from counterfoil.books.wallets import NewTx
from counterfoil.core.invoice import Invoice
from counterfoil.db.pool import Database
from support.fake_clock import NOON
from support.invoices import DUE, MERCHANT_ADDRESS, USDT
from support.shop import Shop, desk_on


@pytest.fixture
async def shop(database: Database) -> Shop:
    return await Shop(desk_on(database)).open()


def payout(shop: Shop, bill: Invoice) -> NewMove:
    return NewMove(
        org_id=bill.org_id,
        move_id=shop.desk.ids.new(),
        purpose="payout",
        source_id=bill.invoice_id.hex,
        leg=1,
        invoice_id=bill.invoice_id,
        chain="arb",
        contract=USDT.contract,
        destination=MERCHANT_ADDRESS,
        amount_units=DUE,
        status="waiting",
        approved_by="user_signer",
        approved_at=NOON,
        warrant="00" * 32,
        created_at=NOON,
    )


async def test_the_same_movement_is_planned_once_whoever_asks(shop: Shop) -> None:
    bill = await shop.bill()
    first = payout(shop, bill)
    async with shop.desk.database.transaction() as tx:
        await moves.plan(tx, [first])

    again = replace(first, move_id=shop.desk.ids.new(), amount_units=1)
    with pytest.raises(UniqueViolation):
        async with shop.desk.database.transaction() as tx:
            await moves.plan(tx, [again])
    async with shop.desk.database.transaction() as tx:
        assert not await moves.plan_once(tx, again)
        assert await moves.plan_once(tx, replace(again, leg=2))
        found = await moves.of_invoices(tx, bill.org_id, [bill.invoice_id])
    assert [(move.leg, move.amount_units) for move in found] == [(1, DUE), (2, 1)]


async def test_a_release_starts_what_waits_and_nothing_else(shop: Shop) -> None:
    bill, other = await shop.bill(), await shop.bill()
    async with shop.desk.database.transaction() as tx:
        await moves.plan(tx, [payout(shop, bill), payout(shop, other)])
        assert await moves.release(tx, bill.org_id, bill.invoice_id, NOON) == 1
        assert await moves.release(tx, bill.org_id, bill.invoice_id, NOON) == 0
        found = await moves.of_invoices(tx, 1, [bill.invoice_id, other.invoice_id])
    assert {move.invoice_id: move.status for move in found} == {
        bill.invoice_id: "ready",
        other.invoice_id: "waiting",
    }


async def test_a_move_cannot_be_signed_a_second_time(shop: Shop) -> None:
    bill = await shop.bill()
    move = replace(payout(shop, bill), status="ready")
    async with shop.desk.database.transaction() as tx:
        await moves.plan(tx, [move])

        async def sign(nonce: int) -> None:
            await moves.mark_signed(
                tx, 1, [move.move_id], wallet="0x1", nonce=nonce, tx_hash="0x2", at=NOON
            )

        await sign(0)
        with pytest.raises(LookupError, match="0 of 1 moves were ready"):
            await sign(1)


async def test_one_nonce_has_one_lineage_and_one_hash_one_transaction(shop: Shop) -> None:
    first = NewTx("arb", "0x1", 0, 0, "0xaa", b"raw", 21_000, 10**9, 1, NOON)
    async with shop.desk.database.transaction() as tx:
        await wallets.add_tx(tx, first)
    for clash in (replace(first, tx_hash="0xbb"), replace(first, nonce=1)):
        with pytest.raises(UniqueViolation):
            async with shop.desk.database.transaction() as tx:
                await wallets.add_tx(tx, clash)


async def test_what_unfinished_transactions_can_cost_is_promised_with_what_is_beside_gas(
    shop: Shop,
) -> None:
    first = NewTx("arb", "0x1", 0, 0, "0xaa", b"raw", 21_000, 10, 1, NOON, data_fee_wei=500)
    dearer = replace(first, attempt=1, tx_hash="0xbb", max_fee_wei=11, data_fee_wei=7)
    other = replace(first, nonce=1, tx_hash="0xcc", data_fee_wei=0)
    async with shop.desk.database.transaction() as tx:
        for one in (first, dearer, other):
            await wallets.add_tx(tx, one)
        assert await wallets.promised_gas_wei(tx, "arb", "0x1") == 231_007 + 210_000
        newest = (await wallets.of_nonce(tx, "arb", "0x1", 0))[-1]
    assert newest.cost_wei == 231_007


async def test_invoices_created_at_once_never_share_an_address(shop: Shop) -> None:
    stock = await shop.stock(30)

    async def take() -> tuple[int, str] | None:
        async with shop.desk.database.transaction() as tx:
            return await addresses.take(tx, 1, "evm", shop.desk.ids.new())

    taken = await asyncio.gather(*(take() for _ in range(31)))

    given = [one for one in taken if one is not None]
    assert sorted(address for _, address in given) == sorted(stock)
    assert taken.count(None) == 1


async def test_an_address_given_back_by_a_rollback_is_given_out_again(shop: Shop) -> None:
    (address,) = await shop.stock(1)
    with pytest.raises(KeyboardInterrupt):
        async with shop.desk.database.transaction() as tx:
            await addresses.take(tx, 1, "evm", shop.desk.ids.new())
            raise KeyboardInterrupt
    async with shop.desk.database.transaction() as tx:
        taken = await addresses.take(tx, 1, "evm", shop.desk.ids.new())
    assert taken is not None
    assert taken[1] == address


async def test_addresses_belong_to_one_organisation(shop: Shop) -> None:
    await Shop(shop.desk, org_id=2).open()
    await shop.stock(1)
    async with shop.desk.database.transaction() as tx:
        assert await addresses.take(tx, 2, "evm", shop.desk.ids.new()) is None
