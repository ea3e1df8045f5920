"""Money of doubtful origin stays where it is until two people have said what becomes of it."""

import asyncio

import pytest

from support.journey import (
    COIN,
    PATIENCE_SECONDS,
    POLL_SECONDS,
    Bill,
    Chain,
    Journey,
    Payer,
    new_address,
)
from support.patience import patiently
from support.side_by_side import SideBySide

pytestmark = pytest.mark.asyncio(loop_scope="session")

side_by_side = SideBySide()

WHY = "Source of funds documented; see case 2026-17."
SANCTIONED = "0x5a9c7104ed000000000000000000000000000001"
"""On the list that the sandbox imports (sandbox/sanctions.csv)."""


def doubtful() -> Payer:
    """Somebody whom the simulated provider finds risky, though on no list."""
    return Payer(new_address()[:-4] + "7777")


async def held(journey: Journey, chain: Chain, payer: Payer) -> Bill:
    """An invoice whose whole amount came from somebody, and which is held."""
    usdc = chain.token("USDC")
    bill = await journey.hundred(chain, usdc)
    await payer.owns(chain, usdc, 100 * COIN)
    await payer.pays(chain, usdc, bill.address, 100 * COIN)
    await journey.until_final(bill, "compliance_freeze")
    assert (await journey.signer.act("sign", bill.id)).refusal == (409, 4090)
    return bill


@side_by_side
async def test_held_money_goes_on_once_two_officers_release_it(journey: Journey) -> None:
    arb = journey.chains["arb"]
    bill = await held(journey, arb, doubtful())
    frozen = await journey.look(bill)
    assert (frozen["context"], frozen["payment_intent"]["status"]) == ("high_risk", "aml_hold")
    assert (await journey.officer.act("note", bill.id, {"text": "Asked for papers."})).status == 200
    assert (await journey.look(bill))["compliance_notes"] is None
    one = (await journey.officer.act("release", bill.id, {"reason": WHY})).data
    assert (one["status"], one["people_needed"]["release"]) == ("compliance_freeze", 1)
    assert (await journey.officer.act("release", bill.id, {"reason": WHY})).refusal == (403, 4003)
    two = (await journey.second_officer.act("release", bill.id, {"reason": WHY})).data
    assert two["status"] == "sign_pending"
    await journey.settle(bill)
    assert await arb.paid_to(arb.token("USDC"), bill.payout_address) == [100 * COIN]
    await journey.until_told(bill, "pending", "aml_hold", "success")


@side_by_side
async def test_money_that_two_officers_decline_goes_back_and_nowhere_else(
    journey: Journey,
) -> None:
    base = journey.chains["base"]
    bill = await held(journey, base, doubtful())
    for officer in (journey.officer, journey.second_officer):
        assert (await officer.act("decline", bill.id, {"reason": WHY})).status == 200
    home = new_address()
    assert (await journey.refund(bill, home))["status"] == "refunded"
    usdc = base.token("USDC")
    assert await base.paid_to(usdc, home) == [100 * COIN]
    assert await base.paid_to(usdc, bill.payout_address) == []
    assert await base.holds(usdc, bill.address) == 0


@side_by_side
async def test_nobody_can_release_sanctioned_money_nor_send_it_to_a_listed_address(
    journey: Journey,
) -> None:
    optimism = journey.chains["optimism"]
    bill = await held(journey, optimism, Payer(SANCTIONED))
    refused = await journey.officer.act("release", bill.id, {"reason": WHY})
    assert refused.body["data"]["rule"] == "sanctions_hit"
    for officer in (journey.officer, journey.second_officer):
        assert (await officer.act("decline", bill.id, {"reason": WHY})).status == 200
    listed = await journey.order_refund(bill, refund_address=SANCTIONED)
    assert "sanctions list" in listed.fields["refund_address"]
    assert await optimism.holds(optimism.token("USDC"), bill.address) == 100 * COIN


@side_by_side
async def test_a_finding_a_moment_before_the_signature_wins(journey: Journey) -> None:
    arb, payer = journey.chains["arb"], doubtful()
    usdt = arb.token("USDT")
    bill = await journey.hundred(arb, usdt)
    await journey.pay(bill, arb, usdt)
    await journey.until_signable(bill)
    assert "sign" in (await journey.signer.look(bill.id)).data["available_actions"]
    await payer.owns(arb, usdt, 5 * COIN)
    await payer.pays(arb, usdt, bill.address, 5 * COIN)
    await journey.until(bill, "compliance_freeze")
    assert (await journey.signer.act("sign", bill.id)).refusal == (409, 4090)
    assert await arb.paid_to(usdt, bill.payout_address) == []
    assert await arb.holds(usdt, bill.address) == 105 * COIN
    await journey.until_told(bill, "pending", "success", "pending", "aml_hold")


@side_by_side
async def test_held_money_goes_to_quarantine_and_back_from_there_when_that_is_ordered(
    journey: Journey,
) -> None:
    optimism, home = journey.chains["optimism"], new_address()
    usdc = optimism.token("USDC")
    bill = await held(journey, optimism, doubtful())
    apart = await journey.officer.act("quarantine", bill.id, {"reason": WHY})
    assert apart.data["status"] == "compliance_freeze"
    async with patiently("money in quarantine", PATIENCE_SECONDS):
        while await optimism.holds(usdc, bill.address):
            await asyncio.sleep(POLL_SECONDS)
    for officer in (journey.officer, journey.second_officer):
        assert (await officer.act("decline", bill.id, {"reason": WHY})).status == 200
    await journey.until_offered(bill, "refund")
    assert (await journey.refund(bill, home))["status"] == "refunded"
    assert await optimism.paid_to(usdc, home) == [100 * COIN]
    assert await optimism.paid_to(usdc, bill.payout_address) == []
