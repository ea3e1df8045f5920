"""A reorg takes a payment away after somebody has acted on it: no invoice is left paid."""

import pytest

from counterfoil.core.invoice import Status
from counterfoil.core.reckoning import Depth
from support.invoices import CUSTOMER, DUE, USDT
from support.till import Till, Verdict
from support.tower import Tower

CASES: dict[Status, tuple[int, Verdict | None]] = {
    Status.SCREENING: (DUE, None),
    Status.SIGN_PENDING: (DUE, "clear"),
    Status.COMPLIANCE_HOLD: (DUE, "aml_hold"),
    Status.RESOLUTION_REQUIRED: (DUE // 2, "clear"),
}
"""What was paid and what screening said of it, by the status that this leads to."""


@pytest.mark.parametrize("status", CASES, ids=[status.value for status in CASES])
async def test_a_payment_that_a_reorg_removed_sends_its_invoice_back(
    tower: Tower, status: Status
) -> None:
    units, verdict = CASES[status]
    till, bill = Till(tower.desk), await tower.shop.bill()
    tower.mine(5)
    await tower.watch()
    tower.chain.pay(USDT.contract, bill.deposit_address, units, CUSTOMER)
    tower.mine(3)
    await tower.watch()
    if verdict is not None:
        await till.screened(bill, verdict)
    assert await till.status(bill) is status

    (payment,) = [tx for tx in tower.chain.reorg(3) if tx.moves]
    tower.chain.pool.remove(payment)
    tower.mine(2)
    await tower.watch()

    after = await till.look(bill)
    assert after.status is Status.AWAITING_PAYMENT
    assert not after.tally.seen_any
    assert [row.depth for row in await till.transfers(bill)] == [Depth.ORPHANED]

    tower.chain.pay(USDT.contract, CUSTOMER, 1)
    tower.chain.pool.append(payment)
    tower.mine(6)
    await tower.watch()

    assert await till.status(bill) is Status.SCREENING, "it is looked at anew"
    assert await till.deposited(bill) == units
    depths = sorted(row.depth for row in await till.transfers(bill))
    assert depths == [Depth.ORPHANED, Depth.FINAL], "once under each log index"


async def test_a_replaced_payment_counts_as_what_replaced_it(tower: Tower) -> None:
    bill = await tower.shop.bill()
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE, CUSTOMER)
    tower.mine()
    await tower.watch()

    tower.chain.reorg(1, forget=True)
    tower.chain.pay(USDT.contract, bill.deposit_address, DUE - 1, CUSTOMER)
    tower.mine(8)
    await tower.watch()

    assert await tower.shop.deposited(bill) == DUE - 1
    assert (await tower.shop.look(bill)).tally.assets[0].seen_units == DUE - 1
