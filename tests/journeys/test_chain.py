"""A chain that changes its mind, providers that lie about it: what is not there never counts."""

import asyncio
from collections.abc import Callable
from typing import Final

import pytest

from counterfoil.chains.evm.transfers import address_topic
from counterfoil.desk import doubting
from support.journey import COIN, PATIENCE_SECONDS, POLL_SECONDS, Bill, Chain, Journey
from support.onchain import Wallet, hash_of
from support.patience import patiently
from support.provider import Json, Provider, another_chain, another_chain_that_pays, in_logs
from support.side_by_side import SideBySide

pytestmark = pytest.mark.asyncio(loop_scope="session")

first_on_its_chain, second_on_its_chain = SideBySide(), SideBySide()
"""A story that holds a chain, or takes its blocks back, has the chain to itself."""


@first_on_its_chain
async def test_a_payment_that_a_reorg_removed_is_not_paid_any_more(journey: Journey) -> None:
    arb = journey.chains["arb"]
    usdc = arb.token("USDC")
    bill = await journey.hundred(arb, usdc)
    async with arb.held():
        await journey.customer.pays(arb, usdc, bill.address, 100 * COIN)
        await arb.node.mine()
        await journey.until(bill, "transaction_detected")
        await arb.node.reorg(1)
        # While no other block comes: this is not left to the pass over final blocks.
        gone = await journey.until(bill, "pending_payment")
    assert gone["payment_intent"]["received_crypto_amount"] is None
    assert await arb.holds(usdc, bill.address) == 0
    again = await journey.pay(bill, arb, usdc)
    paid = await journey.until_signable(bill)
    assert (paid["context"], paid["payment_intent"]["payment_tx_hash"]) == ("exact", again)
    await journey.settle(bill)
    assert await arb.paid_to(usdc, bill.payout_address) == [100 * COIN]
    await journey.until_told(bill, "pending", "success")


async def place_of(chain: Chain, tx_hash: str) -> tuple[str, int, int]:
    """A transaction's hash, with the height and log index of its only log."""
    (log,) = (await chain.included(tx_hash))["logs"]
    return tx_hash, int(log["blockNumber"], 16), int(log["logIndex"], 16)


@first_on_its_chain
async def test_a_confirmed_payment_that_a_deeper_reorg_removed_is_taken_back_and_told(
    journey: Journey,
) -> None:
    base = journey.chains["base"]
    usdc = base.token("USDC")
    bill = await journey.hundred(base, usdc)
    async with base.held():
        await journey.customer.pays(base, usdc, bill.address, 100 * COIN)
        await base.node.mine(2)
        await journey.until(bill, "sign_pending")
        await journey.until_told(bill, "pending", "success")
        await base.node.reorg(2)
        gone = await journey.until(bill, "pending_payment")
        assert gone["payment_intent"]["received_crypto_amount"] is None
        assert (await journey.signer.act("sign", bill.id)).refusal == (409, 4090)
        await journey.until_told(bill, "pending", "success", "pending")
    await journey.pay(bill, base, usdc)
    await journey.until_signable(bill)
    await journey.settle(bill)
    assert await base.paid_to(usdc, bill.payout_address) == [100 * COIN]
    await journey.until_told(bill, "pending", "success", "pending", "success")


@second_on_its_chain
async def test_a_payment_that_comes_back_at_another_height_and_place_counts_once(
    journey: Journey,
) -> None:
    arb = journey.chains["arb"]
    usdt = arb.token("USDT")
    bill = await journey.hundred(arb, usdt)
    payer, passer_by = Wallet(), Wallet()
    for each in (payer, passer_by):
        await each.owns(arb, usdt, 100 * COIN)
    payment = await payer.signed(arb, usdt, bill.address, 100 * COIN)
    before_it = await passer_by.signed(arb, usdt, payer.address, COIN, tip_gwei=9)
    async with arb.held():
        tx_hash = await arb.takes(payment)
        await arb.node.mine(2)
        await journey.until(bill, "sign_pending")
        _, height, log_index = await place_of(arb, tx_hash)
        await arb.node.reorg(2, [(before_it, 1), (payment, 1)])
        moved = await place_of(arb, tx_hash)
        assert moved == (tx_hash, height + 1, log_index + 1)
        await journey.until_standing(bill, moved)
    paid = await journey.until_signable(bill)
    assert (paid["context"], paid["payment_intent"]["payment_tx_hash"]) == ("exact", tx_hash)
    assert paid["payment_intent"]["received_crypto_amount"] == "100.00"
    assert len([t for t in paid["transfers"] if t["depth"] == "final"]) == 1
    await journey.settle(bill)
    assert await arb.paid_to(usdt, bill.payout_address) == [100 * COIN]


@second_on_its_chain
async def test_a_payment_that_its_sender_replaced_after_a_reorg_counts_as_what_replaced_it(
    journey: Journey,
) -> None:
    base, payer = journey.chains["base"], Wallet()
    usdc = base.token("USDC")
    bill = await journey.hundred(base, usdc)
    await payer.owns(base, usdc, 100 * COIN)
    whole = await payer.signed(base, usdc, bill.address, 100 * COIN)
    part = await payer.signed(base, usdc, bill.address, 40 * COIN, tip_gwei=9)
    async with base.held():
        await base.takes(whole)
        await base.node.mine()
        await journey.until(bill, "transaction_detected")
        await base.node.reorg(1, [(part, 0)])
        await journey.until_standing(bill, await place_of(base, hash_of(part)))
    short = await journey.until_final(bill, "payment_insufficient")
    assert short["context"] == "underpaid"
    assert short["payment_intent"]["received_crypto_amount"] == "40.00"
    await journey.pay(bill, base, usdc, 60 * COIN)
    await journey.until_final(bill, "sign_pending", transfers=2)
    await journey.settle(bill)
    assert await base.paid_to(usdc, bill.payout_address) == [100 * COIN]


@second_on_its_chain
async def test_a_payment_replaced_before_a_block_took_it_counts_as_what_replaced_it_and_once(
    journey: Journey,
) -> None:
    optimism, payer, forgotten = journey.chains["optimism"], Wallet(), Wallet()
    usdc = optimism.token("USDC")
    dearer, taken_back, dropped = [await journey.hundred(optimism, usdc) for _ in range(3)]

    async def sends(by: Wallet, nonce: int, to: str, tip_gwei: int = 1) -> str:
        raw = await by.signed(optimism, usdc, to, 100 * COIN, nonce=nonce, tip_gwei=tip_gwei)
        return await optimism.takes(raw)

    # As the first in their sender's line is missing, these wait, and no block takes them.
    await payer.owns(optimism, usdc, 300 * COIN)
    await forgotten.owns(optimism, usdc, 200 * COIN)
    waiting = [
        await sends(payer, 1, dearer.address),
        await sends(payer, 2, taken_back.address),
        await sends(forgotten, 1, dropped.address),
    ]
    await journey.until_read(optimism)
    again = await sends(payer, 1, dearer.address, tip_gwei=9)
    to_itself = await sends(payer, 2, payer.address, tip_gwei=9)
    await optimism.node.forget(forgotten.address)
    await journey.until_read(optimism)
    for one in (payer, forgotten):
        await optimism.included(await sends(one, 0, one.address))
    await optimism.included(to_itself)

    (transfer,) = (await journey.until_signable(dearer))["transfers"]
    assert (transfer["tx_hash"], transfer["amount"]) == (again, "100.00")
    for bill in (taken_back, dropped):
        unpaid = await journey.look(bill)
        assert (unpaid["status"], unpaid["transfers"]) == ("pending_payment", [])
    assert not any([await optimism.has(tx_hash) for tx_hash in waiting])
    afresh = await journey.pay(dropped, optimism, usdc)
    (transfer,) = (await journey.until_signable(dropped))["transfers"]
    assert transfer["tx_hash"] == afresh
    for bill in (dearer, dropped):
        await journey.settle(bill)
        assert await optimism.paid_to(usdc, bill.payout_address) == [100 * COIN]
        await journey.until_told(bill, "pending", "success")
    await journey.until_told(taken_back, "pending")


Fault = Callable[[Provider], None]


FAULTS: Final[dict[str, Fault]] = {
    "answers empty": in_logs(lambda _logs: []),
    "leaves out the newest log": in_logs(lambda logs: logs[:-1]),
    "lists logs twice": in_logs(lambda logs: logs * 2),
    "answers with another chain's data": another_chain,
    "knows nothing but the beginning": lambda provider: provider.lag_behind(0),
    # Last, as a provider that fails is left to rest for a while.
    "cuts its JSON off": lambda provider: provider.cut_off(60),
}

WAITED_FOR: Final = {"answers with another chain's data", "knows nothing but the beginning"}
"""Nothing on such a chain goes on while it lasts; for all others the other provider makes up."""


@first_on_its_chain
async def test_whatever_one_of_two_providers_does_each_payment_counts_once_and_none_is_lost(
    journey: Journey,
) -> None:
    optimism = journey.chains["optimism"]
    usdc = optimism.token("USDC")
    bills: dict[str, Bill] = {}
    for number, (name, fault) in enumerate(FAULTS.items()):
        liar = journey.providers[number % 2]
        bills[name] = await journey.hundred(optimism, usdc)
        fault(liar)
        asked = len(liar.asked)
        await journey.pay(bills[name], optimism, usdc)
        await asked_for(liar, asked + 5, name)
        if name not in WAITED_FOR:
            await journey.until_signable(bills[name])
        liar.recover()
    for name, bill in bills.items():
        paid = await journey.until_signable(bill)
        assert (paid["context"], len(paid["transfers"])) == ("exact", 1), name
        passed = await journey.statuses(bill)
        assert len(passed) == len(set(passed)), f"{name}: it was gone meanwhile"
        await journey.sign(bill)
    for bill in bills.values():
        await journey.until(bill, "completed")
        assert await optimism.paid_to(usdc, bill.payout_address) == [100 * COIN]
        await journey.until_told(bill, "pending", "success")


async def asked_for(liar: Provider, times: int, name: str) -> None:
    """Wait until a provider, which may rest after it failed, was asked so often in all."""
    async with patiently(f"questions to a provider that {name}", PATIENCE_SECONDS):
        while len(liar.asked) < times:
            await asyncio.sleep(POLL_SECONDS)


async def test_what_a_provider_tells_of_another_chain_pays_nobody_and_hides_nothing(
    journey: Journey,
) -> None:
    optimism = journey.chains["optimism"]
    usdc = optimism.token("USDC")
    # First the one that is asked for the newest block, then the one that lists what is final.
    for liar in journey.providers:
        paid_here, paid_there = [await journey.hundred(optimism, usdc) for _ in range(2)]
        another_chain_that_pays(address_topic(paid_there.address))(liar)
        tx_hash = await journey.pay(paid_here, optimism, usdc)
        async with patiently("a final block with the payment", PATIENCE_SECONDS):
            while not await optimism.is_final(tx_hash):
                await asyncio.sleep(POLL_SECONDS)
        await asked_for(liar, len(liar.asked) + 10, "tells of another chain")
        liar.recover()
        (transfer,) = (await journey.until_signable(paid_here))["transfers"]
        assert (transfer["tx_hash"], transfer["amount"]) == (tx_hash, "100.00")
        await journey.settle(paid_here)
        assert await optimism.paid_to(usdc, paid_here.payout_address) == [100 * COIN]
        await journey.until_told(paid_here, "pending", "success")
        assert (await journey.look(paid_there))["transfers"] == []
        assert (await journey.statuses(paid_there))[-1] == "pending_payment"
        await journey.until_told(paid_there, "pending")


def shows_besides(paid: Bill, invented: Bill, units: int) -> Fault:
    """With each payment to one bill a provider shows one to another, which is not there."""

    def with_more(logs: list[Json]) -> list[Json]:
        amount = "0x" + units.to_bytes(32, "big").hex()
        genuine = [log for log in logs if log["topics"][2:] == [address_topic(paid.address)]]
        to = address_topic(invented.address)
        return logs + [
            {**log, "topics": [*log["topics"][:2], to], "data": amount, "logIndex": "0x63"}
            for log in genuine
        ]

    def changed(call: Json, answer: Json) -> Json:
        found = answer.get("result")
        if call["method"] == "eth_getLogs" and found:
            return {**answer, "result": with_more(found)}
        if call["method"] == "eth_getTransactionReceipt" and found:
            return {**answer, "result": {**found, "logs": with_more(found["logs"])}}
        return answer

    def lie(provider: Provider) -> None:
        provider.change = changed

    return lie


async def test_a_large_payment_that_one_provider_shows_and_the_other_denies_pays_nothing(
    journey: Journey,
) -> None:
    optimism, liar = journey.chains["optimism"], journey.providers[0]
    usdc = optimism.token("USDC")
    small, large = [await journey.hundred(optimism, usdc) for _ in range(2)]
    shows_besides(small, large, 20_000 * COIN)(liar)
    await asked_for(liar, len(liar.asked) + 1, "shows what is not there")
    await journey.pay(small, optimism, usdc)
    await journey.until_signable(small)
    async with patiently("a payment about which the providers do not agree"):
        while not (told := await doubting.doubted(journey.desk)):
            await asyncio.sleep(POLL_SECONDS)
    assert [(doubt.chain, doubt.amount_units) for doubt in told] == [("optimism", 20_000 * COIN)]
    assert (await journey.signer.act("sign", large.id)).refusal == (409, 4090)
    await journey.until_read(optimism)
    (transfer,) = (await journey.look(large))["transfers"]
    assert (transfer["amount"], transfer["depth"]) == ("20000.00", "safe")
    liar.recover()
    await journey.until(large, "pending_payment")
    assert await journey.statuses(large) == [
        "approval_pending",
        "approved",
        "pending_payment",
        "transaction_detected",
        "pending_payment",
    ]
    await journey.until_told(large, "pending")


async def test_after_all_of_it_every_unit_is_where_the_books_say(journey: Journey) -> None:
    await journey.until_explained()
    assert (await journey.audit()).breaks == ()
