"""A sweep of native coin that took what nodes did not agree on yet is booked once they do."""

import pytest

from counterfoil.core.invoice import Status
from counterfoil.desk import landing, moving
from counterfoil.desk.landing import Landed, LandedItem, Settled
from counterfoil.desk.moving import Reserved
from support.invoices import ETH
from support.till import ETHER, Till, reserve


async def swept(till: Till, more_wei: int) -> Landed:
    """A sweep that landed and took so much more than is on record."""
    assert await reserve(till) is Reserved.SIGNED
    (flying,) = await moving.open_txs(till.desk, "arb")
    items = tuple(LandedItem(i.move.move_id, i.move.amount_units + more_wei) for i in flying.items)
    return Landed("arb", flying.tx.tx_hash, 90, ok=True, fee_wei=1, items=items)


@pytest.mark.parametrize("more_wei", [0, 7])
async def test_it_waits_until_what_it_took_is_credited(till: Till, more_wei: int) -> None:
    bill = await till.signed_bill(ETHER, ETH)
    landed = await swept(till, more_wei)
    if more_wei:
        assert await landing.settle(till.desk, landed) is Settled.TOO_EARLY
        assert await till.holds("deposit") == ETHER
        await till.receive(bill, more_wei, ETH, block=95)

    assert await landing.settle(till.desk, landed) is Settled.BOOKED
    assert await till.holds("deposit") == 0
    assert await till.holds("pool:coin") == ETHER + more_wei
    assert await till.holds("outside:payer") == -ETHER - more_wei
    assert await till.status(bill) is Status.PAYOUT_PROCESSING
