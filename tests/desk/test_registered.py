"""Payouts to registered addresses: to no others where these rule, to none that was removed."""

import asyncio
from datetime import timedelta

import pytest

from counterfoil.core.errors import OutOfPlace
from counterfoil.core.invoice import Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import approving, moving, payout_addresses, queries, redirecting
from counterfoil.desk.moving import Batch, Reserved, SignedBytes, Terms
from support.fake_clock import FakeClock
from support.invoices import DUE, SIGNER
from support.patience import somebody_waits_for_a_lock
from support.till import TERMS, Till, quick_sign, reserve
from support.treasury import land, register, registered_only, remove

SAM = Actor(SIGNER, 1, frozenset({Permission.SIGN, Permission.READ}))
ANNA = Actor("user_anna", 1, frozenset({Permission.ADMINISTER, Permission.READ}))


@pytest.mark.parametrize("only", [True, False])
async def test_a_payout_to_an_address_that_was_removed_stands_still_and_is_not_signed(
    till: Till, clock: FakeClock, *, only: bool
) -> None:
    bill = await till.signed_bill()
    destination = bill.payout_to["evm"]
    where = await register(till, destination)
    await registered_only(till, registered_only=only)
    await reserve(till)
    await land(till)
    await remove(till, where)

    assert await reserve(till, "pool") is Reserved.PARKED
    payout = await till.move(bill, "payout")
    assert (payout.status, payout.nonce) == ("parked", None)
    assert payout.park_reason == (
        f"the destination {destination}: it is no registered payout address, or not any more"
    )
    assert await till.status(bill) is Status.PAYOUT_PROCESSING

    why = "the thief's address is gone"
    for approve_again in (
        approving.approve_again(till.desk, payout.move_id, SAM, reason=why),
        approving.approve_payments_again(till.desk, bill.invoice_id, SAM, why),
    ):
        with pytest.raises(OutOfPlace, match=f"{destination}: it is no registered payout address"):
            await approve_again
    assert (await till.move(bill, "payout")).warrant == payout.warrant
    view = await queries.view(till.desk, bill.invoice_id, SAM)
    seen = await redirecting.standing(till.desk, view, SAM)
    assert seen is not None
    assert (seen.barred, seen.actions) == (payout.park_reason, frozenset())

    await register(till, destination)
    clock.advance(timedelta(minutes=1))
    await approving.approve_again(till.desk, payout.move_id, SAM, reason="registered again")
    assert await reserve(till, "pool") is Reserved.SIGNED
    await land(till)
    assert await till.status(bill) is Status.COMPLETED
    assert (await till.books()).merchant == DUE


async def test_sweeps_and_payouts_of_others_ask_nobody(till: Till) -> None:
    bill = await till.signed_bill()
    await registered_only(till)
    assert await reserve(till) is Reserved.SIGNED
    await land(till)
    await registered_only(till, registered_only=False)
    assert await reserve(till, "pool") is Reserved.SIGNED
    await land(till)
    assert await till.status(bill) is Status.COMPLETED


async def test_whoever_removes_an_address_waits_for_the_signature_under_way_and_none_comes_after(
    till: Till,
) -> None:
    bill, other = await till.signed_bill(), await till.signed_bill()
    where = await register(till, bill.payout_to["evm"])
    await reserve(till)
    await land(till)
    removing: list[asyncio.Task[None]] = []

    async def slowly(batch: Batch, nonce: int, terms: Terms) -> SignedBytes:
        removing.append(asyncio.create_task(payout_addresses.remove(till.desk, where, ANNA)))
        waiting = asyncio.create_task(somebody_waits_for_a_lock(till.desk.database))
        await asyncio.wait({*removing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert waiting.done()
        return await quick_sign(batch, nonce, terms)

    await moving.reserve(till.desk, await till.batch("pool"), TERMS, slowly)
    await removing[0]
    assert await reserve(till, "pool") is Reserved.PARKED
    payouts = [await till.move(one, "payout") for one in (bill, other)]
    assert sorted(payout.status for payout in payouts) == ["parked", "signed"]


async def test_payouts_wait_by_themselves_for_an_address_that_is_good_only_later(
    till: Till, clock: FakeClock
) -> None:
    bill = await till.signed_bill()
    destination = bill.payout_to["evm"]
    await register(till, destination, wait=timedelta(hours=24))
    await registered_only(till)
    await reserve(till)
    await land(till)
    good_at = clock.now() + timedelta(hours=24)
    assert await reserve(till, "pool") is Reserved.WAITING
    payout = await till.move(bill, "payout")
    assert (payout.status, payout.park_reason) == ("ready", None)
    assert payout.wait_reason == (
        f"the destination {destination}: it is registered as Treasury, but good only from"
        f" {good_at:%Y-%m-%d %H:%M} UTC on"
    )
    clock.advance(timedelta(hours=24, microseconds=-1))
    assert await moving.next_batch(till.desk, await till.wallet("pool")) is None
    clock.advance(timedelta(microseconds=1))
    assert await reserve(till, "pool") is Reserved.SIGNED
    await land(till)
    assert await till.status(bill) is Status.COMPLETED


async def test_a_payout_to_an_address_that_nobody_has_approved_stands_still(till: Till) -> None:
    bill = await till.signed_bill()
    await register(till, bill.payout_to["evm"], wait=None)
    await registered_only(till)
    await reserve(till)
    await land(till)
    assert await reserve(till, "pool") is Reserved.PARKED
    assert (await till.move(bill, "payout")).park_reason == (
        f"the destination {bill.payout_to['evm']}: it is registered as Treasury, but nobody has"
        " approved it yet"
    )
