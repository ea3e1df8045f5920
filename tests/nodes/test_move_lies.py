"""Nodes that lie about what became of money we sent: it is not paid again, nor called paid."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from counterfoil.chains.evm.abi import word
from counterfoil.chains.evm.chain import EvmChain
from counterfoil.chains.evm.rpc import JsonRpc
from counterfoil.chains.evm.transfers import TRANSFER_TOPIC, address_topic
from counterfoil.chains.port import Attestation
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import approving, stuck
from counterfoil.desk.objections import LONG
from counterfoil.workers.move import HIDDEN_AFTER, MoveWorker
from counterfoil.workers.proven import ASK_AGAIN
from counterfoil.workers.stuck import SIGHTINGS
from support.chain import QUICK
from support.fake_clock import FakeClock
from support.house import House
from support.invoices import CHECKER, DUE, MERCHANT_ADDRESS, USDC
from support.provider import Json, Provider, provider

PERSON = Actor(CHECKER, 1, frozenset({Permission.SIGN}))
LARGE_DOLLARS = 100
"""A hundred dollars are large here, which is what an invoice of the house is about."""


@dataclass
class TwoNodes:
    """A house whose chain is reached through two providers; the first one is preferred."""

    house: House
    chain: EvmChain
    first: Provider
    second: Provider

    def worker(self, from_dollars: int = LARGE_DOLLARS) -> MoveWorker:
        house = self.house
        return MoveWorker(house.desk, house.chains, house.signer, from_dollars)

    async def reasons(self) -> str:
        return "; ".join(one.reason for one in await stuck.on_their_way(self.house.desk))

    def later(self, pause: timedelta = ASK_AGAIN) -> None:
        clock = self.house.desk.clock
        assert isinstance(clock, FakeClock)
        clock.advance(pause)


@pytest.fixture
async def two(house: House) -> AsyncIterator[TwoNodes]:
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(provider(house.arb.node.url)) for _ in range(2)
        ]
        limits = replace(QUICK, breaker_seconds=0)
        rpc = JsonRpc([first.url, second.url], 42161, house.desk.clock, limits=limits)
        chain = EvmChain(CHAINS["arb"], rpc)
        stack.push_async_callback(chain.close)
        house.chains = {"arb": chain}
        yield TwoNodes(house, chain, first, second)


async def payouts_mined(
    two: TwoNodes, *units: int, revert: bool = False
) -> list[tuple[Invoice, str]]:
    """Payouts in finalized blocks that nobody has looked up yet, and their hashes."""
    house, worker = two.house, two.worker()
    bills = [await house.signed_bill(one, USDC) for one in units]
    await house.drive(worker, rounds=1)
    await worker.follow(two.chain)
    await worker.reserve(two.chain)
    if revert:
        await house.arb.as_issuer(USDC, "blacklist(address)", MERCHANT_ADDRESS)
    await worker.broadcast(two.chain)
    await house.finalize()
    return [(bill, (await house.move(bill, "payout")).tx_hash or "") for bill in bills]


def lie_about(node: Provider, tx_hash: str, **changes: object) -> None:
    """Answer for a receipt with something else in it."""

    def change(call: Json, answer: Json) -> Json:
        if call["method"] != "eth_getTransactionReceipt" or call["params"][0] != tx_hash:
            return answer
        return {**answer, "result": {**answer["result"], **changes}}

    node.change = change


async def test_a_revert_that_one_node_makes_up_frees_no_payment(two: TwoNodes) -> None:
    ((bill, tx_hash),) = await payouts_mined(two, DUE)
    lie_about(two.first, tx_hash, status="0x0", logs=[])
    worker = two.worker()
    assert await worker.follow(two.chain) is False

    payout = await two.house.move(bill, "payout")
    assert (payout.status, payout.park_reason) == ("signed", None)
    assert f"nodes do not agree that {tx_hash} reverted" in await two.reasons()
    assert "denies it" in await two.reasons()
    with pytest.raises(OutOfPlace, match="is signed; only what is parked"):
        await approving.approve_again(two.house.desk, payout.move_id, PERSON, reason="it reverted")

    two.first.recover()
    two.later()
    assert await worker.follow(two.chain)
    assert await two.house.status(bill) is Status.COMPLETED
    assert await two.house.at_merchant(USDC) == DUE
    assert await two.reasons() == ""


async def test_a_real_revert_frees_its_payment_once_every_node_says_so(two: TwoNodes) -> None:
    ((bill, tx_hash),) = await payouts_mined(two, DUE // 2, revert=True)
    two.second.fail_with(status=503)
    worker = two.worker()
    assert await worker.follow(two.chain) is False
    assert "gives no answer" in await two.reasons()

    two.second.recover()
    assert await worker.follow(two.chain) is False  # They are not asked all the time.
    two.later()
    assert await worker.follow(two.chain)
    parked = await two.house.move(bill, "payout")
    assert (parked.status, parked.park_reason) == ("parked", f"reverted on chain: {tx_hash}")


async def test_a_large_payment_that_one_node_makes_up_is_not_called_paid(two: TwoNodes) -> None:
    ((bill, tx_hash),) = await payouts_mined(two, DUE, revert=True)
    pool = (await two.house.org()).pool_address
    log = {
        "address": USDC.contract,
        "topics": [TRANSFER_TOPIC, address_topic(pool), address_topic(MERCHANT_ADDRESS)],
        "data": "0x" + word(DUE).hex(),
        "logIndex": "0x0",
    }
    lie_about(two.first, tx_hash, status="0x1", logs=[log])
    worker = two.worker()
    assert await worker.follow(two.chain) is False
    assert await two.house.status(bill) is Status.PAYOUT_PROCESSING
    assert await two.house.holds("outside:merchant", USDC) == 0
    assert f"nodes do not agree that {tx_hash} landed" in await two.reasons()

    two.first.recover()
    two.later()
    assert await worker.follow(two.chain)
    assert (await two.house.move(bill, "payout")).status == "parked"


async def test_only_large_payments_wait_for_a_node_that_is_away(two: TwoNodes) -> None:
    (small, _), (large, _) = await payouts_mined(two, DUE - 1, DUE)
    two.second.fail_with(status=503)
    worker = two.worker()
    await worker.follow(two.chain)
    assert await two.house.status(small) is Status.COMPLETED
    assert await two.house.status(large) is Status.PAYOUT_PROCESSING

    two.second.recover()
    two.later()
    await worker.follow(two.chain)
    assert await two.house.status(large) is Status.COMPLETED


async def test_each_node_tells_of_a_receipt_by_itself(two: TwoNodes) -> None:
    ((_, tx_hash),) = await payouts_mined(two, DUE)
    receipt = await two.chain.receipt(tx_hash)
    final = await two.chain.block("finalized")
    assert receipt is not None
    assert final is not None
    first, second = (f"127.0.0.1:{node.port}" for node in (two.first, two.second))

    async def told() -> Attestation:
        (attestation,) = await two.chain.receipt_attestations([receipt])
        return attestation

    assert await told() == Attestation((first, second))
    # What is billed beside gas is not every node's to tell.
    lie_about(two.second, tx_hash, l1Fee="0x5")
    assert await told() == Attestation((first, second))
    lie_about(two.second, tx_hash, gasUsed="0x1")
    assert await told() == Attestation((first,), denies=(second,))
    two.second.answer("eth_getTransactionReceipt", None)
    assert await told() == Attestation((first,), denies=(second,))
    header = {"number": hex(receipt.block_number - 1)}

    def behind(call: Json, answer: Json) -> Json:
        lags = call["method"] == "eth_getBlockByNumber" and call["params"][0] == "finalized"
        return {**answer, "result": {**answer["result"], **header}} if lags else answer

    two.second.change = behind
    assert await told() == Attestation((first,), silent=(second,))


def hide(node: Provider, tx_hash: str) -> None:
    """Know nothing of a receipt."""

    def change(call: Json, answer: Json) -> Json:
        asked = call["method"] == "eth_getTransactionReceipt" and call["params"][0] == tx_hash
        return {**answer, "result": None} if asked else answer

    node.change = change


async def test_a_payment_that_one_node_never_shows_is_found_at_the_other(two: TwoNodes) -> None:
    """Nodes lose the index that receipts are found by, and answer as if nothing were mined."""
    ((bill, _),) = await payouts_mined(two, DUE // 2)
    two.first.answer("eth_getTransactionReceipt", None)
    worker = two.worker()
    assert await worker.follow(two.chain) is False
    two.later(HIDDEN_AFTER)
    assert await worker.follow(two.chain)
    assert await two.house.status(bill) is Status.COMPLETED


async def test_a_payment_that_one_node_takes_and_tells_nobody_of_is_made(two: TwoNodes) -> None:
    """Else nothing would ever be mined that it was the first to be offered."""
    house, worker = two.house, two.worker()
    bill = await house.signed_bill(DUE, USDC)
    await worker.reserve(two.chain)
    two.first.swallows = True
    assert await worker.broadcast(two.chain)
    tx_hash = (await house.move(bill, "sweep")).tx_hash or ""
    assert await two.chain.receipt(tx_hash) is None

    two.later()
    assert await worker.broadcast(two.chain)
    assert (await house.arb.receipt(tx_hash)).ok


async def test_a_fee_that_can_not_be_is_asked_of_the_next_node(two: TwoNodes) -> None:
    """The books can not keep it, and would fail at the same payment for ever."""
    ((bill, tx_hash),) = await payouts_mined(two, DUE // 2)
    lie_about(two.first, tx_hash, effectiveGasPrice="0x" + "ff" * 32)
    assert await two.worker().follow(two.chain)
    assert await two.house.status(bill) is Status.COMPLETED
    assert await two.house.holds("pool") > 0


async def test_a_balance_that_one_node_makes_up_parks_no_sweep(two: TwoNodes) -> None:
    """Parked it would stand still until a person looked, and with it every other sweep."""
    house, worker = two.house, two.worker()
    bill = await house.signed_bill(DUE, USDC)

    def more(call: Json, answer: Json) -> Json:
        asked_by_hash = call["method"] == "eth_call" and isinstance(call["params"][1], dict)
        return {**answer, "result": "0x" + word(DUE + 5).hex()} if asked_by_hash else answer

    two.first.change = more
    assert await worker.reserve(two.chain) is False
    sweep = await house.move(bill, "sweep")
    assert (sweep.status, sweep.park_reason) == ("ready", None)
    assert "nodes do not agree on what is there at block" in str(sweep.wait_reason)

    two.second.change = more
    two.later(LONG)
    assert await worker.reserve(two.chain) is False
    assert (await house.move(bill, "sweep")).status == "parked", "both say so"


async def test_transactions_that_one_node_makes_up_freeze_no_wallet(two: TwoNodes) -> None:
    """Else whoever runs it could stop all payments until a person looked."""
    house, worker = two.house, two.worker()
    bill = await house.signed_bill(DUE, USDC)
    two.first.answer("eth_getTransactionCount", "0x5")
    assert await worker.reserve(two.chain) is False
    sweep = await house.move(bill, "sweep")
    assert (sweep.status, (await house.wallet("operator")).frozen_reason) == ("ready", None)
    assert "a node counts 5 transactions of" in str(sweep.wait_reason)
    assert "a node does not count it as consumed" in str(sweep.wait_reason)

    two.first.recover()
    two.later()
    assert await worker.reserve(two.chain)
    two.first.answer("eth_getTransactionCount", "0x5")
    for _ in range(SIGHTINGS + 1):
        await worker.follow(two.chain)
    assert (await house.wallet("operator")).frozen_reason is None

    two.first.recover()
    await house.drive(worker, rounds=4)
    assert await house.status(bill) is Status.COMPLETED


async def test_a_payment_that_all_nodes_denied_in_a_bad_hour_is_booked_and_not_made_again(
    two: TwoNodes,
) -> None:
    house, worker = two.house, two.worker()
    ((bill, tx_hash),) = await payouts_mined(two, DUE)
    for node in (two.first, two.second):
        hide(node, tx_hash)
    for _ in range(SIGHTINGS):
        await worker.follow(two.chain)
    two.later(stuck.GONE_PATIENCE)
    await house.thaw(explained=[0], chain=two.chain)
    move_id = (await house.move(bill, "payout")).move_id
    await approving.approve_again(house.desk, move_id, PERSON, reason="it was never paid")

    two.first.recover()
    await worker.reserve(two.chain)
    waits = await house.move(bill, "payout")
    assert (waits.status, waits.nonce) == ("ready", None)
    assert tx_hash in str(waits.wait_reason)
    two.second.recover()
    two.later(timedelta(hours=1))
    await house.drive(worker)

    paid = await house.move(bill, "payout")
    assert (paid.status, paid.nonce, paid.tx_hash) == ("final", 0, tx_hash)
    assert (paid.moved_units, paid.generation) == (DUE, 1)
    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant(USDC) == await house.holds("outside:merchant", USDC) == DUE
    assert (await house.wallet("pool")).next_nonce == 1
    with pytest.raises(OutOfPlace, match="is final; only what is parked"):
        await approving.approve_again(house.desk, move_id, PERSON, reason="once more")
