from dataclasses import replace
from datetime import timedelta

import pytest
from psycopg.errors import CheckViolation

from counterfoil.books import cursors, transfers
from counterfoil.books.cursors import WatchedAddress
from counterfoil.books.transfers import TransferRow
from counterfoil.core.invoice import Invoice
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database
from support.fake_clock import NOON
from support.invoices import CUSTOMER, USDT
from support.shop import Shop, desk_on


@pytest.fixture
async def shop(database: Database) -> Shop:
    return await Shop(desk_on(database)).open()


def row(bill: Invoice, **changes: object) -> TransferRow:
    made = TransferRow(
        org_id=bill.org_id,
        chain="arb",
        tx_hash="0x" + "1" * 64,
        log_index=0,
        invoice_id=bill.invoice_id,
        contract=USDT.contract,
        from_address=CUSTOMER,
        amount_units=5,
        block_number=7,
        block_hash="0x" + "7" * 64,
        block_at=NOON,
        first_seen_at=NOON,
        depth=Depth.SEEN,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # - any field may be changed


async def save(shop: Shop, *rows: TransferRow) -> None:
    async with shop.desk.database.transaction() as tx:
        await transfers.save(tx, rows)


async def test_a_row_comes_back_as_it_was_written(shop: Shop) -> None:
    bill = await shop.bill()
    written = row(bill, amount_units=10**60 - 1, depth=Depth.SAFE)

    await save(shop, written)

    assert await shop.transfers(bill) == [written]
    assert (await shop.transfers(bill))[0].depth is Depth.SAFE


async def test_a_row_follows_its_transfer_until_it_is_final(shop: Shop) -> None:
    bill = await shop.bill()
    final = row(bill, block_number=9, amount_units=6, depth=Depth.FINAL)
    await save(shop, row(bill))
    await save(shop, final)

    await save(shop, row(bill, block_number=11, amount_units=7, depth=Depth.ORPHANED))

    assert await shop.transfers(bill) == [final]


async def test_zero_and_absurd_amounts_cannot_be_stored(shop: Shop) -> None:
    bill = await shop.bill()
    for units in (0, -1, 10**60):
        with pytest.raises(CheckViolation):
            await save(shop, row(bill, amount_units=units))


async def test_no_rows_are_no_trouble(shop: Shop) -> None:
    await save(shop)
    async with shop.desk.database.transaction() as tx:
        await transfers.quarantine(tx, [])


async def test_a_transfer_arrived_when_first_seen_or_mined_whichever_was_earlier(
    shop: Shop,
) -> None:
    bill = await shop.bill()
    hour = timedelta(hours=1)

    assert row(bill, block_at=NOON + hour).arrived_at == NOON
    assert row(bill, first_seen_at=NOON + hour).arrived_at == NOON


async def test_unsettled_means_seen_or_safe_in_the_range_of_one_chain(shop: Shop) -> None:
    bill = await shop.bill()
    rows = [
        row(bill, log_index=index, block_number=number, depth=depth)
        for index, (number, depth) in enumerate(
            [
                (5, Depth.SEEN),
                (6, Depth.SEEN),
                (7, Depth.SAFE),
                (7, Depth.ORPHANED),
                (7, Depth.FINAL),
                (8, Depth.SEEN),
            ]
        )
    ]
    await save(shop, *rows, row(bill, chain="base"))

    async with shop.desk.database.reading() as tx:
        found = await transfers.unsettled(tx, "arb", after=5, upto=7)
        blocks = await transfers.seen_blocks(tx, "arb", upto=7)

    assert found == [rows[1], rows[2]]
    assert [block.block_number for block in blocks] == [5, 6]


async def test_new_addresses_are_read_in_pages_and_each_only_once(shop: Shop) -> None:
    neighbour = await Shop(shop.desk, org_id=2).open()
    ours, theirs = await shop.stock(5), await neighbour.stock(2)
    known: dict[int, int] = {}
    pages: list[list[WatchedAddress]] = []
    while not pages or pages[-1]:
        async with shop.desk.database.reading() as tx:
            pages.append(await cursors.watched_since(tx, "evm", known, limit=3))
        known.update((found.org_id, found.number) for found in pages[-1])

    assert [len(page) for page in pages] == [5, 2, 0]
    assert sorted(found.address for page in pages for found in page) == sorted([*ours, *theirs])

    (late,) = await neighbour.stock(1)
    async with shop.desk.database.reading() as tx:
        (found,) = await cursors.watched_since(tx, "evm", known, limit=3)
    assert (found.org_id, found.address) == (2, late)
