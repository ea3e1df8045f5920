"""Too little, too much, in parts, by several people, in something else: it always adds up."""

import pytest

from counterfoil.core.assets import CHAINS
from counterfoil.core.money import Asset
from counterfoil.sandbox.tokens import artifact
from support.chain import calldata
from support.journey import COIN, Chain, Journey, Payer, new_address
from support.side_by_side import SideBySide

pytestmark = pytest.mark.asyncio(loop_scope="session")

side_by_side = SideBySide()


def place(journey: Journey, key: str, symbol: str) -> tuple[Chain, Asset]:
    chain = journey.chains[key]
    return chain, chain.token(symbol)


def named_other(key: str, symbol: str) -> Asset:
    return next(token for token in CHAINS[key].known_other if token.symbol == symbol)


@side_by_side
async def test_an_underpaid_invoice_waits_for_the_rest_and_is_paid_out_whole(
    journey: Journey,
) -> None:
    arb, usdc = place(journey, "arb", "USDC")
    bill = await journey.hundred(arb, usdc)
    await journey.pay(bill, arb, usdc, 90 * COIN)
    short = await journey.until(bill, "payment_insufficient")
    assert short["context"] == "underpaid"
    (wait,) = [c for c in short["resolution"]["choices"] if c["choice"] == "wait"]
    assert [m["amount"] for m in wait["missing"]] == ["10.00"]
    assert (await journey.signer.act("sign", bill.id)).refusal == (409, 4090)
    await journey.pay(bill, arb, usdc, 10 * COIN)
    topped_up = await journey.until_signable(bill)
    assert topped_up["context"] == "exact"
    assert topped_up["payment_intent"]["received_crypto_amount"] == "100.00"
    await journey.settle(bill)
    assert await arb.paid_to(usdc, bill.payout_address) == [100 * COIN]
    assert await arb.holds(usdc, bill.address) == 0
    await journey.until_told(bill, "pending", "insufficient_not_refunded", "pending", "success")


@side_by_side
async def test_a_surplus_goes_back_and_the_rest_is_paid_out_under_one_signature(
    journey: Journey,
) -> None:
    base, usdt = place(journey, "base", "USDT")
    customer = Payer(new_address())
    home, paid = customer.address, 150 * COIN + 1
    bill = await journey.hundred(base, usdt)
    await customer.owns(base, usdt, paid)
    await customer.pays(base, usdt, bill.address, paid)
    over = await journey.until_signable(bill)
    assert over["context"] == "overpaid"
    assert "refund_address" in (await journey.signer.act("sign", bill.id)).fields
    assert (await journey.look(bill))["status"] == "sign_pending"
    signed = await journey.signer.act("sign", bill.id, {"refund_address": home})
    assert signed.status == 200
    intent = (await journey.until(bill, "completed"))["payment_intent"]
    assert await base.paid_to(usdt, bill.payout_address) == [100 * COIN]
    assert await base.paid_to(usdt, home) == [50 * COIN + 1]
    assert await base.holds(usdt, bill.address) == 0
    assert (intent["partial_refund_amount"], intent["partial_refund_address"]) == (
        "50.000001",
        home,
    )
    assert intent["refund_crypto_amount"] is None


@side_by_side
async def test_what_two_people_paid_together_is_shown_as_such_and_paid_out_once(
    journey: Journey,
) -> None:
    optimism, usdc = place(journey, "optimism", "USDC")
    bill = await journey.hundred(optimism, usdc)
    friends = [Payer(new_address()) for _ in range(2)]
    for friend in friends:
        await friend.owns(optimism, usdc, 50 * COIN)
        await friend.pays(optimism, usdc, bill.address, 50 * COIN)
    split = await journey.until_signable(bill)
    assert split["context"] == "multiple_payers"
    assert {t["from_address"] for t in split["transfers"]} == {f.address for f in friends}
    await journey.settle(bill)
    assert await optimism.paid_to(usdc, bill.payout_address) == [100 * COIN]


@side_by_side
async def test_who_pays_twice_gets_the_second_payment_back_under_the_signature_for_the_first(
    journey: Journey,
) -> None:
    base, usdc = place(journey, "base", "USDC")
    customer = Payer(new_address())
    bill = await journey.hundred(base, usdc)
    await customer.owns(base, usdc, 200 * COIN)
    for _ in range(2):
        await base.included(await customer.pays(base, usdc, bill.address, 100 * COIN))
    twice = await journey.until_final(bill, "sign_pending", transfers=2)
    assert twice["context"] == "overpaid"
    assert [t["amount"] for t in twice["transfers"]] == ["100.00"] * 2
    home = {"refund_address": customer.address}
    assert (await journey.signer.act("sign", bill.id, home)).status == 200
    intent = (await journey.until(bill, "completed"))["payment_intent"]
    assert intent["partial_refund_amount"] == "100.00"
    assert await base.paid_to(usdc, bill.payout_address) == [100 * COIN]
    assert await base.paid_to(usdc, customer.address) == [100 * COIN]
    assert await base.holds(usdc, bill.address) == 0


@side_by_side
async def test_two_transfers_in_one_transaction_are_two_payments(journey: Journey) -> None:
    arb, usdt = place(journey, "arb", "USDT")
    bill = await journey.hundred(arb, usdt)
    till = await journey.customer.deploys(arb, artifact("MultiSend"))
    await Payer(till).owns(arb, usdt, 100 * COIN)
    twice = calldata("pay(address,address[],uint256)", usdt.contract, [bill.address] * 2, 50 * COIN)
    tx_hash = await journey.customer.calls(arb, till, twice)
    both = await journey.until_signable(bill)
    assert both["context"] == "exact"
    assert [t["tx_hash"] for t in both["transfers"]] == [tx_hash] * 2
    assert [t["amount"] for t in both["transfers"]] == ["50.00"] * 2
    await journey.settle(bill)
    assert await arb.paid_to(usdt, bill.payout_address) == [100 * COIN]


@side_by_side
async def test_the_right_token_on_another_chain_goes_back_there_to_the_unit(
    journey: Journey,
) -> None:
    arb, usdc = place(journey, "arb", "USDC")
    base, elsewhere = place(journey, "base", "USDC")
    home = new_address()
    bill = await journey.hundred(arb, usdc)
    await journey.pay(bill, base, elsewhere, 100 * COIN)
    astray = await journey.until_final(bill, "payment_insufficient")
    assert astray["context"] == "wrong_asset"
    assert [(s["chain"], s["token"], s["final"]) for s in astray["stray"]] == [
        ("base", "USDC", "100.00")
    ]
    assert (await journey.refund(bill, home))["status"] == "refunded"
    assert await base.paid_to(elsewhere, home) == [100 * COIN]
    assert await base.holds(elsewhere, bill.address) == 0


@side_by_side
async def test_a_bridged_token_is_never_taken_for_the_real_one_and_goes_back(
    journey: Journey,
) -> None:
    optimism, usdc = place(journey, "optimism", "USDC")
    bridged = named_other("optimism", "USDC.e")
    home = new_address()
    bill = await journey.hundred(optimism, usdc)
    payer = Payer(new_address())
    await payer.owns(optimism, bridged, 100 * COIN)
    await payer.pays(optimism, bridged, bill.address, 100 * COIN)
    astray = await journey.until_final(bill, "payment_insufficient")
    assert astray["context"] == "wrong_asset"
    assert astray["payment_intent"]["received_crypto_amount"] is None
    assert (await journey.signer.act("accept", bill.id)).refusal == (409, 4090)
    assert (await journey.refund(bill, home))["status"] == "refunded"
    assert await optimism.paid_to(bridged, home) == [100 * COIN]


@side_by_side
async def test_a_token_that_nobody_knows_pays_for_nothing(journey: Journey) -> None:
    base, usdc = place(journey, "base", "USDC")
    bill = await journey.hundred(base, usdc)
    forged = await journey.customer.deploys(base, artifact("UsdcLike"))
    false = Asset("USDC", "base", forged, 6)
    await journey.customer.owns(base, false, 100 * COIN)
    sent = await journey.customer.pays(base, false, bill.address, 100 * COIN)
    await base.included(sent)
    # A real payment that comes after it is seen, so the false one was passed by.
    await journey.pay(bill, base, usdc, 100 * COIN)
    paid = await journey.until_signable(bill)
    assert [t["amount"] for t in paid["transfers"]] == ["100.00"]
    assert sent not in {t["tx_hash"] for t in paid["transfers"]}
