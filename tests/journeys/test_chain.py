"""A chain that changes its mind, providers that lie about it: what is not there never counts."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from counterfoil.chains.evm.transactions import transfer_calldata
from counterfoil.core.money import Asset
from support.journey import COIN, POLL_SECONDS, Bill, Chain, Journey, Payer
from support.patience import patiently
from support.provider import Provider, another_chain, in_logs
from support.side_by_side import SideBySide

pytestmark = pytest.mark.asyncio(loop_scope="session")

first_on_its_chain, second_on_its_chain = SideBySide(), SideBySide()
"""A story that holds a chain, or takes its blocks back, has the chain to itself."""

GWEI: Final = 10**9


@first_on_its_chain
async def test_a_payment_that_a_reorg_removed_is_not_paid_any_more(journey: Journey) -> None:
    arb = journey.chains["arb"]
    usdc = arb.token("USDC")
    bill = await journey.hundred(arb, usdc)
    with arb.held():
        await journey.customer.pays(arb, usdc, bill.address, 100 * COIN)
        await arb.node.mine()
        await journey.until(bill, "transaction_detected")
        await arb.node.reorg(1)
    gone = await journey.until(bill, "pending_payment")
    assert gone["payment_intent"]["received_crypto_amount"] is None
    assert await arb.holds(usdc, bill.address) == 0
    again = await journey.pay(bill, arb, usdc)
    paid = await journey.until_signable(bill)
    assert (paid["context"], paid["payment_intent"]["payment_tx_hash"]) == ("exact", again)
    await journey.settle(bill)
    assert await arb.paid_to(usdc, bill.payout_address) == [100 * COIN]
    await journey.until_told(bill, "pending", "success")


class Wallet:
    """Somebody with a key, who can send the very same bytes to a chain again."""

    def __init__(self) -> None:
        self.account: LocalAccount = Account.create()

    async def signed(  # noqa: PLR0913 - a payment and its place
        self, chain: Chain, token: Asset, to: str, units: int, *, tip_gwei: int = 1, nonce: int = 0
    ) -> bytes:
        """A payment that nobody has sent yet."""
        order: dict[str, Any] = {
            "chainId": int(await chain.node.rpc("eth_chainId"), 16),
            "nonce": nonce,
            "to": bytes.fromhex(token.contract[2:]),
            "data": transfer_calldata(to, units),
            "value": 0,
            "gas": 200_000,
            "maxFeePerGas": 100 * GWEI,
            "maxPriorityFeePerGas": tip_gwei * GWEI,
        }
        return bytes(self.account.sign_transaction(order).raw_transaction)

    async def owns(self, chain: Chain, token: Asset, units: int) -> None:
        await Payer(self.account.address.lower()).owns(chain, token, units)
        # What was given enters the chain with a block, which no reorg of the story takes back.
        await chain.node.mine()


async def sent(chain: Chain, raw: bytes) -> str:
    return str(await chain.node.rpc("eth_sendRawTransaction", "0x" + raw.hex()))


async def place_of(chain: Chain, tx_hash: str) -> tuple[int, int]:
    """The height and log index of a transaction's only log."""
    (log,) = (await chain.included(tx_hash))["logs"]
    return int(log["blockNumber"], 16), int(log["logIndex"], 16)


@first_on_its_chain
async def test_a_confirmed_payment_that_a_deeper_reorg_removed_is_taken_back_and_told(
    journey: Journey,
) -> None:
    base = journey.chains["base"]
    usdc = base.token("USDC")
    bill = await journey.hundred(base, usdc)
    with base.held():
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
    before_it = await passer_by.signed(arb, usdt, payer.account.address, COIN, tip_gwei=9)
    with arb.held():
        tx_hash = await sent(arb, payment)
        await arb.node.mine(2)
        await journey.until(bill, "sign_pending")
        was = await place_of(arb, tx_hash)
        await arb.node.reorg(2, [(before_it, 1), (payment, 1)])
        assert await place_of(arb, tx_hash) == (was[0] + 1, was[1] + 1)
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
    with base.held():
        await sent(base, whole)
        await base.node.mine()
        await journey.until(bill, "transaction_detected")
        await base.node.reorg(1, [(part, 0)])
    short = await journey.until_final(bill, "payment_insufficient")
    assert short["context"] == "underpaid"
    assert short["payment_intent"]["received_crypto_amount"] == "40.00"
    await journey.pay(bill, base, usdc, 60 * COIN)
    await journey.until_final(bill, "sign_pending", transfers=2)
    await journey.settle(bill)
    assert await base.paid_to(usdc, bill.payout_address) == [100 * COIN]


Fault = Callable[[Provider], None]


FAULTS: Final[dict[str, Fault]] = {
    "answers empty": in_logs(lambda _logs: []),
    "leaves out the newest log": in_logs(lambda logs: logs[:-1]),
    "lists logs twice": in_logs(lambda logs: logs * 2),
    "knows nothing but the beginning": lambda provider: provider.lag_behind(0),
    "answers with another chain's data": another_chain,
    "cuts its JSON off": lambda provider: provider.cut_off(60),
}


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
        async with patiently(f"questions to a provider that {name}"):
            while len(liar.asked) < asked + 5:
                await asyncio.sleep(POLL_SECONDS)
        liar.recover()
    for name, bill in bills.items():
        paid = await journey.until_signable(bill)
        assert (paid["context"], len(paid["transfers"])) == ("exact", 1), name
        await journey.sign(bill)
    for bill in bills.values():
        await journey.until(bill, "completed")
        assert await optimism.paid_to(usdc, bill.payout_address) == [100 * COIN]
        await journey.until_told(bill, "pending", "success")


async def test_after_all_of_it_every_unit_is_where_the_books_say(journey: Journey) -> None:
    await journey.until_explained()
    assert (await journey.audit()).breaks == ()
