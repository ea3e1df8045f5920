"""A token that says yes and moves nothing, or hardly anything: nobody is paid twice, nor stuck."""

from typing import Final

import pytest

from counterfoil.core.errors import OutOfPlace
from counterfoil.core.invoice import Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import approving, proving, token_fees
from counterfoil.sandbox.tokens import artifact
from counterfoil.workers.reconcile import reconcile
from support.house import House
from support.invoices import CHECKER, DUE, USDT

SAYS_YES: Final = "0x600160005260206000f3"
"""Answers one to everything, and does nothing."""
WHY: Final = "the token said yes and moved nothing"


async def assert_every_unit_is_explained(house: House) -> None:
    compared = [found async for found in reconcile(house.desk, house.arb.chain)]
    assert [found.differences for found in compared] == [()] * len(compared)
    assert (await proving.verify_audit(house.desk)).breaks == ()


async def test_a_payout_that_moved_nothing_is_approved_again_and_paid_once(house: House) -> None:
    bill = await house.signed_bill()
    await house.drive(rounds=1)
    worker = house.worker()
    await worker.follow(house.arb.chain)
    await house.arb.node.set_code(USDT.contract, SAYS_YES)
    await worker.reserve(house.arb.chain)
    await worker.broadcast(house.arb.chain)
    await house.finalize()
    await house.arb.node.set_code(USDT.contract, artifact("UsdtLike").runtime)
    await house.finalize()
    await worker.follow(house.arb.chain)

    parked = await house.move(bill, "payout")
    assert (parked.status, parked.nonce, parked.left_units) == ("parked", 0, 0)
    assert f"{parked.tx_hash} landed and its token moved nothing" in str(parked.park_reason)
    assert await house.at_merchant() == 0
    await assert_every_unit_is_explained(house)

    person = Actor(CHECKER, house.org_id, frozenset({Permission.SIGN}))
    assert await approving.approve_again(house.desk, parked.move_id, person, reason=WHY) == 1
    await house.drive(worker)
    paid = await house.move(bill, "payout")
    assert (paid.status, paid.nonce, paid.moved_units) == ("final", 1, DUE)
    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == DUE
    assert (await house.wallet("pool")).frozen_reason is None
    await assert_every_unit_is_explained(house)


async def test_a_payout_of_which_most_was_kept_ends_with_what_arrived(house: House) -> None:
    bill = await house.signed_bill()
    await house.drive(rounds=1)
    await house.worker().follow(house.arb.chain)
    await house.arb.as_issuer(USDT, "setParams(uint256,uint256)", 9_000, 10**12)
    await house.drive()
    arrived = DUE // 10
    short = await house.move(bill, "payout")
    assert (short.status, short.moved_units, short.rest_units) == ("parked", arrived, 0)
    assert short.token_fee_units == DUE - arrived
    await assert_every_unit_is_explained(house)
    person = Actor(CHECKER, house.org_id, frozenset({Permission.READ, Permission.SIGN}))
    with pytest.raises(OutOfPlace, match="accept that instead"):
        await approving.approve_again(house.desk, short.move_id, person, reason=WHY)

    await token_fees.accept(house.desk, bill.invoice_id, person, WHY)
    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant() == arrived
    await assert_every_unit_is_explained(house)
