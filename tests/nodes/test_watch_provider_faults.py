"""The watcher behind an RPC provider in its bad hours: no wrong credit, no lost credit."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from counterfoil.chains.evm.chain import EvmChain
from counterfoil.chains.evm.rpc import JsonRpc
from counterfoil.chains.port import ChainError
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Invoice
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database
from counterfoil.desk import comparing, doubting
from counterfoil.desk.desk import Desk
from counterfoil.workers.branch import FinalityBroken
from counterfoil.workers.going_on import STANDS_STILL_AFTER
from counterfoil.workers.watch import ChainWatcher, WatchedAddresses
from support.chain import QUICK, LocalChain
from support.fake_clock import FakeClock
from support.invoices import DUE
from support.provider import Json, Provider, another_chain, in_logs, provider
from support.shop import Shop, desk_on

LIMITS = replace(QUICK, timeout_seconds=0.1, rounds=1, breaker_seconds=0)

OTHER = "0x" + "ee" * 20


WITHOUT_TRANSACTIONS = (False,)


async def no_pause(_seconds: float) -> None:
    """Waiting is not what these tests are about."""


class Post:
    """A watcher that reaches its node through providers only."""

    def __init__(self, database: Database, arb: LocalChain, *providers: Provider) -> None:
        self.arb = arb
        self.clock = FakeClock()
        self.desk: Desk = desk_on(database, self.clock)
        self.shop = Shop(self.desk)
        rpc = JsonRpc(
            [one.url for one in providers], 42161, self.clock, limits=LIMITS, sleep=no_pause
        )
        self.chain = EvmChain(CHAINS["arb"], rpc)
        self.watcher = ChainWatcher(self.desk, self.chain, WatchedAddresses(self.desk, "evm"))

    async def begin(self) -> None:
        """Open the shop, on a chain of some blocks that are read."""
        await self.shop.open()
        await self.arb.node.mine(12)
        await self.watch()

    async def watch(self) -> None:
        """Go on through whatever is wrong, as the worker's loop does."""
        for _ in range(5):
            try:
                await self.watcher.step()
            except (ChainError, FinalityBroken):
                continue

    async def paid(self, bill: Invoice, units: int = DUE) -> None:
        await self.arb.pay(self.arb.usdt, bill.deposit_address, units)
        await self.watch()
        await self.arb.finalize()
        await self.watch()

    async def credited(self, bill: Invoice) -> tuple[int, int]:
        """What the books hold for the invoice, and by how many transfers."""
        rows = await self.shop.transfers(bill)
        live = [row for row in rows if row.depth is not Depth.ORPHANED]
        return await self.shop.deposited(bill, self.arb.usdt), len(live)


@pytest.fixture
async def two(arb: LocalChain) -> AsyncIterator[tuple[Provider, Provider]]:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(provider(arb.node.url))
        second = await stack.enter_async_context(provider(arb.node.url))
        yield first, second


def besides(**changes: object) -> Callable[[Provider], None]:
    """Each log once as it is and once more, under another log index, with these changes."""
    return in_logs(lambda logs: [*logs, *({**log, "logIndex": "0x63", **changes} for log in logs)])


def heads(number: str) -> Callable[[Provider], None]:
    """The newest block, and each one of a tag, has this number."""

    def lie(one: Provider) -> None:
        def change(call: Json, answer: Json) -> Json:
            tagged = call["method"] == "eth_getBlockByNumber" and call["params"][0].isalpha()
            return (
                {**answer, "result": {**answer["result"], "number": number}} if tagged else answer
            )

        one.change = change

    return lie


FAULTS: dict[str, Callable[[Provider], None]] = {
    "answers empty": in_logs(lambda _logs: []),
    "leaves out a log": in_logs(lambda logs: logs[:-1]),
    "lists logs twice": in_logs(lambda logs: logs * 2),
    "lists another contract's log": besides(address=OTHER),
    "lists a log outside the range": besides(blockNumber="0xffffff"),
    "lists a log of four topics": in_logs(
        lambda logs: [*logs, *({**g, "topics": [*g["topics"], g["topics"][1]]} for g in logs)]
    ),
    "lists a log with malformed data": besides(data="0x12"),
    "lists more money than there is": besides(data="0x" + "ff" * 32),
    "lists a log at a place that no block has": besides(logIndex="0xfffffffffffffff"),
    "has a head that nobody can reach": heads("0x" + "f" * 30),
    "has a head far beyond": heads("0x7fffffffffffffff"),
    "lists another block's log": besides(blockHash="0x" + "0f" * 32),
    "answers with another chain's data": another_chain,
    "is another chain": lambda p: p.answer("eth_chainId", "0x1"),
    "truncates its JSON": lambda p: p.cut_off(60),
    "is stale": lambda p: p.lag_behind(12),
    "went back to the beginning": lambda p: p.lag_behind(0),
    "429": lambda p: p.fail_with(429),
    "hangs": lambda p: p.hang(),
}


async def stand_still(one: Provider, arb: LocalChain, *, knows_newest: bool) -> None:
    """Hear of no block any more, and show the last one as the newest, or nothing."""
    last = await arb.node.rpc("eth_getBlockByNumber", "latest", *WITHOUT_TRANSACTIONS)
    one.lag_behind(int(last["number"], 16))
    above = one.change

    def change(call: Json, answer: Json) -> Json:
        asks_newest = call["method"] == "eth_getBlockByNumber" and call["params"][0] == "latest"
        return {**answer, "result": last} if knows_newest and asks_newest else above(call, answer)

    one.change = change


@pytest.mark.parametrize("knows_newest", [True, False], ids=["an old block", "none"])
async def test_a_provider_that_stands_still_is_left_for_one_that_goes_on(
    database: Database, arb: LocalChain, two: tuple[Provider, Provider], *, knows_newest: bool
) -> None:
    first, second = two
    post = Post(database, arb, first, second)
    await post.begin()
    bill = await post.shop.bill()
    await stand_still(first, arb, knows_newest=knows_newest)

    await arb.pay(arb.usdt, bill.deposit_address, DUE)
    await post.watch()
    assert await post.credited(bill) == (0, 0), "for a moment it may be a quiet chain"

    post.clock.advance(STANDS_STILL_AFTER)
    await post.watch()
    _, seen = await post.credited(bill)
    await arb.finalize()
    await post.watch()

    assert seen == 1, "it was seen by the one that goes on"
    assert await post.credited(bill) == (DUE, 1)
    await post.chain.close()


async def test_a_chain_that_is_quiet_at_every_provider_stays_with_the_first(
    database: Database, arb: LocalChain, two: tuple[Provider, Provider]
) -> None:
    first, second = two
    post = Post(database, arb, first, second)
    await post.watch()
    post.clock.advance(STANDS_STILL_AFTER)
    await post.watch()
    asked = len(second.asked)

    await post.watch()

    assert len(second.asked) == asked, "the second was asked whether it knows more, and no more"
    await post.chain.close()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_of_the_provider_credits_nothing_wrong_and_loses_nothing(
    database: Database,
    arb: LocalChain,
    two: tuple[Provider, Provider],
    fault: Callable[[Provider], None],
) -> None:
    first, second = two
    post = Post(database, arb, first, second)
    await post.begin()
    beside, alone = await post.shop.bill(), await post.shop.bill()

    fault(first)
    await post.paid(beside)
    held, transfers = await post.credited(beside)
    assert held in {0, DUE}
    assert transfers <= 1

    fault(second)
    await post.paid(alone)
    held, transfers = await post.credited(alone)
    assert held in {0, DUE}
    assert transfers <= 1

    for one in (first, second):
        one.recover()
    await post.paid(await post.shop.bill())
    assert await post.credited(beside) == (DUE, 1)
    # What both left out of every list shows in the balance the next time that is looked at.
    post.clock.advance(timedelta(minutes=3))
    await post.watch()
    assert await post.credited(alone) == (DUE, 1)
    assert await comparing.every(post.desk) == []
    await post.chain.close()


async def test_what_every_provider_leaves_out_for_ever_is_in_sight(
    database: Database, arb: LocalChain, two: tuple[Provider, Provider]
) -> None:
    first, _ = two
    post = Post(database, arb, first)
    await post.begin()
    bill = await post.shop.bill()
    FAULTS["answers empty"](first)

    await post.paid(bill)
    post.clock.advance(timedelta(minutes=3))
    await post.watch()

    assert await post.credited(bill) == (0, 0)
    (missing,) = await comparing.every(post.desk)
    assert (missing.address, missing.chain_units) == (bill.deposit_address, DUE)
    await post.chain.close()


async def test_what_one_provider_leaves_out_the_other_tells(
    database: Database, arb: LocalChain, two: tuple[Provider, Provider]
) -> None:
    for liar in two:
        post = Post(database, arb, *two)
        if liar is two[0]:
            await post.shop.open()
            await arb.node.mine(12)
        await post.watch()
        bill = await post.shop.bill()
        FAULTS["answers empty"](liar)

        await post.paid(bill)

        assert await post.credited(bill) == (DUE, 1)
        liar.recover()
        await post.watcher.stop()
        await post.chain.close()


async def test_an_invented_payment_of_some_size_is_not_believed(
    database: Database, arb: LocalChain, two: tuple[Provider, Provider]
) -> None:
    first, second = two
    post = Post(database, arb, first, second)
    await post.begin()
    bill = await post.shop.bill()
    more = "0x" + (20_000 * 10**6).to_bytes(32, "big").hex()
    for one in two:
        in_logs(lambda logs: [{**log, "data": more} for log in logs])(one)

    await post.paid(bill)

    assert await post.credited(bill) == (0, 1)
    (doubt,) = await doubting.doubted(post.desk)
    assert doubt.amount_units == 20_000 * 10**6
    for one in two:
        one.recover()
    post.clock.advance(timedelta(minutes=1))
    await post.watch()
    assert await post.credited(bill) == (DUE, 1), "what it really was, by its balance"
    assert await doubting.doubted(post.desk) == []
    await post.chain.close()
