"""Money that comes too early or too late, and after everything is over: it is never lost."""

import asyncio
import time
from datetime import timedelta
from decimal import Decimal

import pytest

from support.journey import (
    COIN,
    PATIENCE_SECONDS,
    POLL_SECONDS,
    Bill,
    Chain,
    Journey,
    new_address,
)
from support.old_times import bill_from
from support.onchain import Wallet
from support.patience import patiently
from support.side_by_side import SideBySide

pytestmark = pytest.mark.asyncio(loop_scope="session")

side_by_side = SideBySide()


async def late_by_a_second(journey: Journey, key: str, symbol: str) -> Bill:
    """An invoice whose whole amount came one second after its deadline."""
    chain = journey.chains[key]
    deadline = int(time.time()) + 2
    bill = await journey.approved_bill(chain=key, pay_token=symbol, payment_deadline=deadline)
    await passed(chain, deadline)
    await journey.pay(bill, chain, chain.token(symbol))
    return bill


async def passed(chain: Chain, deadline: int) -> None:
    """Wait until a deadline is over by a second."""
    # A node's clock lags behind ours for a while after a reorg.
    async with patiently("the end of a deadline", PATIENCE_SECONDS):
        while min(time.time(), await chain.time()) < deadline + 1:
            await asyncio.sleep(POLL_SECONDS)


async def goes_back_whole(journey: Journey, bill: Bill, key: str, symbol: str) -> None:
    """40 coins come to an invoice that is over; all of them, and no more, go home."""
    chain = journey.chains[key]
    token, home = chain.token(symbol), new_address()
    over = await journey.look(bill)
    known = len(over["transfers"])
    await journey.pay(bill, chain, token, 40 * COIN)
    late = await journey.until_final(bill, over["status"], transfers=known + 1)
    assert late["transfers"][-1]["amount"] == "40.00"
    await journey.until_offered(bill, "refund")
    refunded = await journey.refund(bill, home)
    (refund,) = refunded["refunds"]
    assert [a["amount"] for a in refund["amounts"]] == ["40.00"]
    assert await chain.paid_to(token, home) == [40 * COIN]
    assert await chain.holds(token, bill.address) == 0


@side_by_side
async def test_a_payment_late_by_a_second_is_judged_again_at_the_rate_of_the_day(
    journey: Journey,
) -> None:
    arb = journey.chains["arb"]
    usdc = arb.token("USDC")
    bill = await late_by_a_second(journey, "arb", "USDC")
    late = await journey.until_signable(bill)
    assert (late["context"], late["resolution"]["suggested"]) == ("paid_late", "recalculate")
    await journey.rate_becomes("USDC/TWD", "32.00")
    short = (await journey.signer.act("resolve", bill.id, {"choice": "recalculate"})).data
    assert short["status"] == "payment_insufficient"
    assert Decimal(short["payment_intent"]["crypto_price"]) == 32
    assert short["payment_intent"]["crypto_amount"] == "93.75"
    home = new_address()
    assert (await journey.refund(bill, home))["status"] == "refunded"
    assert await arb.paid_to(usdc, home) == [bill.due_units(usdc)]


@side_by_side
async def test_a_late_payment_is_taken_at_the_old_rate_only_by_somebody_who_signs_for_it(
    journey: Journey,
) -> None:
    base = journey.chains["base"]
    usdt = base.token("USDT")
    bill = await late_by_a_second(journey, "base", "USDT")
    assert (await journey.until_signable(bill))["context"] == "paid_late"
    await journey.settle(bill)
    accepted, signed = (await journey.auditor.logs(bill.id)).data[-4:-2]
    assert (accepted["event"], signed["event"]) == ("accept", "sign_off")
    assert await base.paid_to(usdt, bill.payout_address) == [bill.due_units(usdt)]


@side_by_side
async def test_what_was_sent_in_time_and_mined_after_it_is_late_and_waits_for_somebody_who_decides(
    journey: Journey,
) -> None:
    optimism, payer = journey.chains["optimism"], Wallet()
    usdc = optimism.token("USDC")
    deadline = int(time.time()) + 6
    bill = await journey.approved_bill(
        chain="optimism", pay_token="USDC", payment_deadline=deadline
    )
    units = bill.due_units(usdc)
    await payer.owns(optimism, usdc, units)
    # No block takes it before what its sender has to send first.
    sent = await optimism.takes(await payer.signed(optimism, usdc, bill.address, units, nonce=1))
    assert time.time() < deadline
    await passed(optimism, deadline)
    await optimism.takes(await payer.signed(optimism, usdc, payer.address, 0))
    late = await journey.until_signable(bill)
    assert (late["context"], late["resolution"]["suggested"]) == ("paid_late", "recalculate")
    (transfer,) = late["transfers"]
    assert transfer["tx_hash"] == sent
    assert transfer["block_timestamp"] > deadline
    await journey.settle(bill)
    accepted, signed = (await journey.auditor.logs(bill.id)).data[-4:-2]
    assert (accepted["event"], signed["event"]) == ("accept", "sign_off")
    assert await optimism.paid_to(usdc, bill.payout_address) == [units]


@side_by_side
async def test_money_for_a_cancelled_invoice_is_attributed_and_goes_back(
    journey: Journey,
) -> None:
    optimism = journey.chains["optimism"]
    bill = await journey.hundred(optimism, optimism.token("USDC"))
    assert (await journey.merchant.cancel(bill.id)).status == 200
    await goes_back_whole(journey, bill, "optimism", "USDC")


@side_by_side
async def test_money_for_a_rejected_invoice_is_attributed_and_goes_back(
    journey: Journey,
) -> None:
    bill = await journey.bill(chain="arb", pay_token="USDT")
    assert (await journey.reviewer.reject(bill.id, "Wrong recipient.")).status == 200
    await goes_back_whole(journey, bill, "arb", "USDT")


@side_by_side
async def test_money_for_an_archived_invoice_is_attributed_and_goes_back(
    journey: Journey,
) -> None:
    base = journey.chains["base"]
    bill = await journey.hundred(base, base.token("USDC"))
    await journey.merchant.cancel(bill.id)
    assert (await journey.merchant.act("archive", bill.id)).status == 200
    await goes_back_whole(journey, bill, "base", "USDC")
    assert (await journey.look(bill))["archived_at"] is not None


@side_by_side
async def test_money_for_a_completed_invoice_is_attributed_and_goes_back_by_itself(
    journey: Journey,
) -> None:
    optimism = journey.chains["optimism"]
    usdt = optimism.token("USDT")
    bill = await journey.hundred(optimism, usdt)
    await journey.pay(bill, optimism, usdt)
    await journey.until_signable(bill)
    await journey.settle(bill)
    await goes_back_whole(journey, bill, "optimism", "USDT")
    done = await journey.look(bill)
    assert (done["status"], done["payment_intent"]["status"]) == ("completed", "success")
    assert await optimism.paid_to(usdt, bill.payout_address) == [100 * COIN]


@side_by_side
async def test_money_that_comes_a_year_late_is_attributed_and_goes_back(journey: Journey) -> None:
    arb = journey.chains["arb"]
    bill = await bill_from(journey, timedelta(days=365), arb.token("USDC"))
    over = await journey.until(bill, "cancelled")
    assert over["payment_intent"]["received_crypto_amount"] is None
    await goes_back_whole(journey, bill, "arb", "USDC")
    assert (await journey.audit()).breaks == ()
