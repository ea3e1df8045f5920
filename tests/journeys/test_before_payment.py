"""What people may do with an invoice before anybody has paid it."""

import asyncio
import time
from typing import Final

import pytest

from support.journey import Journey

pytestmark = pytest.mark.asyncio(loop_scope="session")

GRACE_SECONDS: Final = 10
"""How far past a deadline the watcher must have seen a chain."""


async def test_what_was_edited_before_approval_is_what_gets_paid(journey: Journey) -> None:
    bill = await journey.bill(pay_token="USDT", chain="arb")
    before = (await journey.reviewer.look(bill.id)).data
    changed = await journey.merchant.update(bill.id, chain="base", pay_token="USDC")
    stale = {"content_hash": before["content_hash"]}
    refused = await journey.reviewer.act("approve", bill.id, stale)
    assert refused.refusal == (409, 4090)
    assert "was changed since you opened it" in refused.body["message"]
    fresh = {"content_hash": changed.data["content_hash"]}
    approved = (await journey.reviewer.act("approve", bill.id, fresh)).data
    assert [(o["chain"], o["token"]) for o in approved["payment_options"]] == [("base", "USDC")]


async def test_nobody_changes_an_invoice_after_its_approval(journey: Journey) -> None:
    bill = await journey.approved_bill()
    before = await journey.look(bill)
    refused = await journey.merchant.update(bill.id, recipient_name="Somebody Else")
    assert refused.refusal == (409, 4090)
    assert await journey.look(bill) == before


async def test_the_reason_of_a_rejection_stands_in_the_log(journey: Journey) -> None:
    bill = await journey.bill()
    reason = "The recipient does not match our records."
    assert (await journey.reviewer.reject(bill.id, reason)).status == 200
    entry = (await journey.auditor.logs(bill.id)).data[-1]
    assert (entry["to_status"], entry["reason"]) == ("approval_rejected", reason)
    (told,) = await journey.until_told(bill, "cancelled")
    assert told.is_genuine(journey.shown_secret)
    assert (await journey.reviewer.approve(bill.id)).refusal == (409, 4090)


async def test_a_cancelled_invoice_can_not_be_approved(journey: Journey) -> None:
    bill = await journey.bill()
    assert (await journey.merchant.cancel(bill.id, "Ordered twice")).data["status"] == "cancelled"
    refused = await journey.reviewer.approve(bill.id)
    assert refused.refusal == (409, 4090)
    assert refused.body["data"]["allowed"] == []
    await journey.until_told(bill, "cancelled")


async def test_the_maker_is_not_the_checker(journey: Journey) -> None:
    bill = await journey.bill()
    assert (await journey.merchant.approve(bill.id)).refusal == (403, 4003)
    created = (await journey.merchant.look(bill.id)).data
    assert "approve" not in created["available_actions"]
    assert (await journey.reviewer.approve(bill.id)).data["status"] == "pending_payment"


async def test_time_runs_out_only_behind_the_watcher(journey: Journey) -> None:
    deadline = int(time.time()) + 5
    paid = await journey.approved_bill(payment_deadline=deadline)
    unpaid = await journey.approved_bill(payment_deadline=deadline)
    arb = journey.chains["arb"]
    with journey.workers_asleep():
        await journey.pay(paid, arb, arb.token("USDT"))
        # Both deadlines pass while nobody reads the chain that the payment stands in.
        await asyncio.sleep(deadline + GRACE_SECONDS + 1 - time.time())
    assert (await journey.until_signable(paid))["context"] == "exact"
    await journey.until(unpaid, "expired")
    await journey.until_told(unpaid, "pending", "expired")
    assert "expired" not in await journey.statuses(paid)
    await journey.settle(paid)
