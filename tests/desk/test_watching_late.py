"""Money that comes a year after an invoice ended: the watcher finds it, whatever it is."""

from datetime import timedelta

import pytest

from counterfoil.core.events import OrderRefund
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.money import Asset, Money
from counterfoil.core.reckoning import Depth
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.rows import execute
from counterfoil.desk.act import act
from counterfoil.workers.native import SlowTurn
from support.fake_chain import Moved
from support.invoices import CUSTOMER, DUE, ETH, SIGNER, STRANGER, USDT
from support.shop import POOL
from support.till import ETHER
from support.tower import Tower

YEAR = timedelta(days=365)
FACTORY = f"0xfac{1:037x}"
UNITS = {USDT: DUE, ETH: ETHER}


async def bill_for(tower: Tower, asset: Asset, status: Status = Status.COMPLETED) -> Invoice:
    return await tower.shop.bill(assets=(asset,), due_units=UNITS[asset], status=status)


def pay(tower: Tower, bill: Invoice, asset: Asset = ETH, sender: str = STRANGER) -> str:
    moved = Moved(asset.contract, sender, bill.deposit_address, UNITS[asset])
    return tower.chain.include(moved).tx_hash


async def a_day_of_turns(tower: Tower) -> None:
    """Let a day pass with a block in the morning and enough of them to make it final at night."""
    tower.mine()
    await tower.watch()
    tower.clock.advance(timedelta(days=1))
    tower.mine(10)
    await tower.watch()
    tower.mine(10)
    await tower.watch()


@pytest.mark.parametrize("asset", [USDT, ETH], ids=["tokens", "ether"])
@pytest.mark.parametrize(
    "status", [Status.COMPLETED, Status.REFUNDED, Status.CANCELLED, Status.APPROVAL_REJECTED]
)
async def test_what_comes_a_year_after_the_end_is_found_with_its_payer_and_goes_back(
    tower: Tower, asset: Asset, status: Status
) -> None:
    bill = await bill_for(tower, asset, status)
    tower.mine()
    await tower.watch()
    tower.clock.advance(YEAR)
    tx_hash = pay(tower, bill, asset)
    await a_day_of_turns(tower)

    (row,) = await tower.shop.transfers(bill)
    assert (row.tx_hash, row.from_address, row.amount_units) == (tx_hash, STRANGER, UNITS[asset])
    assert (row.depth, row.is_unattributed) == (Depth.FINAL, False)
    assert await tower.shop.deposited(bill, asset) == UNITS[asset]

    await goes_back(tower, bill, asset)


async def goes_back(tower: Tower, bill: Invoice, asset: Asset) -> None:
    """A refund of all that was found is ordered, and waits for its second person."""
    order = OrderRefund(
        at=tower.clock.now(),
        by=SIGNER,
        address=STRANGER,
        reason="a year too late",
        attachment_file_ids=(),
    )
    finance = Actor(SIGNER, bill.org_id, frozenset({Permission.SIGN}))
    ordered = await act(tower.desk, bill.org_id, bill.invoice_id, order, finance)
    assert ordered.status is Status.REFUND_PENDING
    assert [refund.amounts for refund in ordered.refunds] == [(Money(UNITS[asset], asset),)]


async def test_ether_that_comes_once_more_after_its_address_was_swept_is_told_with_its_payer(
    tower: Tower,
) -> None:
    """It came hours before anybody looked, and the address has been empty in between."""
    bill = await bill_for(tower, ETH)
    pay(tower, bill, sender=CUSTOMER)
    tower.mine(10)
    await tower.watch()
    tower.chain.sweep_coin(FACTORY, bill.deposit_address, POOL, ETHER)
    await moves(tower, bill, "signed")
    tower.mine(10)
    await tower.watch()
    await moves(tower, bill, "final")
    tower.clock.advance(YEAR)
    tower.mine()
    await tower.watch()

    again = pay(tower, bill)
    tower.mine(500)
    await a_day_of_turns(tower)

    first, second = sorted(await tower.shop.transfers(bill), key=lambda row: row.block_number)
    assert (first.from_address, first.amount_units) == (CUSTOMER, ETHER)
    assert (second.tx_hash, second.from_address) == (again, STRANGER)
    assert (second.depth, second.amount_units) == (Depth.FINAL, ETHER)


async def moves(tower: Tower, bill: Invoice, status: str) -> None:
    """The sweep of an invoice, as far as it has come."""
    async with tower.desk.database.transaction() as tx:
        await execute(
            tx,
            """
            INSERT INTO move (org_id, move_id, purpose, source_id, leg, invoice_id, chain, contract,
                destination, amount_units, status, created_at, updated_at)
            VALUES (1, %(id)s, 'sweep', 'x', 0, %(id)s, 'arb', '', '', 1, %(status)s, %(at)s,
                %(at)s)
            ON CONFLICT (org_id, move_id) DO UPDATE SET status = EXCLUDED.status
            """,
            {"id": bill.invoice_id, "at": tower.clock.now(), "status": status},
        )


async def test_what_ended_long_ago_is_looked_at_once_a_day_and_a_few_at_a_time(
    tower: Tower,
) -> None:
    bills = [await bill_for(tower, ETH) for _ in range(5)]
    recent = await bill_for(tower, ETH, Status.AWAITING_PAYMENT)
    await bill_for(tower, USDT)
    async with tower.desk.database.transaction() as tx:
        await execute(
            tx,
            "UPDATE invoice SET updated_at = updated_at - interval '91 days'"
            " WHERE invoice_id <> %(recent)s",
            {"recent": recent.invoice_id},
        )
    turn = SlowTurn(tower.desk, at_once=2)
    seen: list[str] = []
    lots = []
    for _ in range(2 * 24 * 60):
        lot = await turn.next()
        lots += [len(lot)] if lot else []
        assert not lot or await turn.next() == []
        seen += lot
        tower.clock.advance(timedelta(minutes=1))

    assert lots == [2, 2, 1] * 2
    assert sorted(seen) == sorted(bill.deposit_address for bill in bills * 2)
