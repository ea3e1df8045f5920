"""Endpoints in their bad hours: the next one answers, and nothing false gets through."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from counterfoil.chains.evm.chain import EvmChain
from counterfoil.chains.evm.rpc import JsonRpc, Limits
from counterfoil.chains.port import (
    Chain,
    ChainMisconfigured,
    ChainMoved,
    ChainUnreachable,
    RangeTooWide,
    StateNotKept,
)
from counterfoil.core.assets import CHAINS
from support.chain import QUICK, LocalChain, local_chain
from support.fake_clock import FakeClock
from support.provider import Json, Provider, provider

DEPOSIT = "0x" + "de" * 20


@dataclass(slots=True)
class Providers:
    """Two providers before one node, and our chain over both; the first one is preferred."""

    arb: LocalChain
    first: Provider
    second: Provider
    chain: EvmChain
    clock: FakeClock


async def no_pause(_seconds: float) -> None:
    """Waiting is not what these tests are about."""


def over(clock: FakeClock, limits: Limits, *urls: str) -> EvmChain:
    rpc = JsonRpc(urls, CHAINS["arb"].chain_id, clock, limits=limits, sleep=no_pause)
    return EvmChain(CHAINS["arb"], rpc)


@pytest.fixture
async def two(arb: LocalChain) -> AsyncIterator[Providers]:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(provider(arb.node.url))
        second = await stack.enter_async_context(provider(arb.node.url))
        clock = FakeClock()
        limits = replace(QUICK, timeout_seconds=0.2)
        chain = over(clock, limits, first.url, second.url)
        stack.push_async_callback(chain.close)
        yield Providers(arb, first, second, chain, clock)


FAULTS: dict[str, Callable[[Provider], None]] = {
    "429": lambda p: p.fail_with(429),
    "500": lambda p: p.fail_with(500),
    "503 with a page": lambda p: p.fail_with(503, b"<html>maintenance</html>"),
    "302": lambda p: p.fail_with(302),
    "empty body": lambda p: p.fail_with(200, b""),
    "a page instead of JSON": lambda p: p.fail_with(200, b"<html>hello</html>"),
    "JSON of another shape": lambda p: p.fail_with(200, b'{"id": "one", "result": 7}'),
    "an answer to nobody": lambda p: p.fail_with(200, b'{"jsonrpc":"2.0","id":999,"result":"0x1"}'),
    "a bare array": lambda p: p.fail_with(200, b"[]"),
    "an error without an id": lambda p: p.fail_with(
        200, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batches are off"}}'
    ),
    "nested without end": lambda p: p.fail_with(200, b"[" * 500_000),
    "a result that is nested without end": lambda p: p.fail_with(
        200, b'{"id":0,"result":' + b"[" * 500_000 + b"]" * 500_000 + b"}"
    ),
    "a chain id that is none": lambda p: p.answer("eth_chainId", "arbitrum"),
    "truncated JSON": lambda p: p.cut_off(40),
    "hangs": lambda p: p.hang(),
    "a result that is no header": lambda p: p.answer("eth_getBlockByNumber", "0x1"),
    "a header with a hash that is none": lambda p: p.answer(
        "eth_getBlockByNumber",
        {"number": "0x1", "hash": "0x\x00", "parentHash": "0x" + "00" * 32, "timestamp": "0x1"},
    ),
    "words that can not be kept": lambda p: p.refuse("eth_getBlockByNumber", "\x00" * 5_000),
    "a header without a hash": lambda p: p.answer("eth_getBlockByNumber", {"number": "0x1"}),
    "another block": lambda p: p.answer(
        "eth_getBlockByNumber",
        {
            "number": "0x7",
            "hash": "0x" + "00" * 32,
            "parentHash": "0x" + "00" * 32,
            "timestamp": "0x1",
        },
    ),
    "a year beyond reason": lambda p: p.answer(
        "eth_getBlockByNumber",
        {
            "number": "0x1",
            "hash": "0x" + "00" * 32,
            "parentHash": "0x" + "00" * 32,
            "timestamp": "0x" + "ff" * 32,
        },
    ),
    "rate limit in words": lambda p: p.refuse("eth_getBlockByNumber", "Too Many Requests", -32005),
    "internal error": lambda p: p.refuse("eth_getBlockByNumber", "Internal error", -32603),
    "not on this plan": lambda p: p.refuse("eth_getBlockByNumber", "upgrade your plan", -32001),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_failing_endpoint_is_replaced_by_the_next(
    two: Providers, fault: Callable[[Provider], None]
) -> None:
    await two.arb.node.mine(3)
    truth = await two.arb.chain.block(1)
    fault(two.first)
    assert await two.chain.block(1) == truth
    assert "eth_getBlockByNumber" in two.second.asked


@pytest.mark.parametrize("fault", ["429", "truncated JSON", "hangs", "a page instead of JSON"])
async def test_when_every_endpoint_fails_the_chain_is_unreachable(
    two: Providers, fault: str
) -> None:
    FAULTS[fault](two.first)
    FAULTS[fault](two.second)
    with pytest.raises(ChainUnreachable) as told:
        await two.chain.block("latest")
    assert f"127.0.0.1:{two.first.port}" in str(told.value)
    assert "secret" not in str(told.value)


async def test_an_endpoint_that_is_not_there_is_replaced(arb: LocalChain) -> None:
    chain = over(FakeClock(), QUICK, "http://127.0.0.1:9/", arb.node.url)
    assert await chain.block(0) is not None
    await chain.close()


async def test_the_working_endpoint_is_kept(two: Providers) -> None:
    two.first.fail_with(500)
    await two.chain.block(0)
    two.first.recover()
    two.first.asked.clear()
    await two.chain.block(0)
    assert two.first.asked == []


async def test_a_failing_endpoint_is_left_alone_and_tried_again_later(two: Providers) -> None:
    two.first.fail_with(500)
    two.second.fail_with(500)
    for _ in range(2):
        with pytest.raises(ChainUnreachable):
            await two.chain.block(0)
    two.first.recover()
    two.first.asked.clear()
    with pytest.raises(ChainUnreachable, match="resting"):
        await two.chain.block(0)
    assert two.first.asked == []
    two.clock.advance(timedelta(seconds=QUICK.breaker_seconds))
    assert await two.chain.block(0) is not None


async def test_an_endpoint_that_is_preferred_for_its_answer_rests_no_more(two: Providers) -> None:
    head = (await two.arb.pay(two.arb.usdt, DEPOSIT, 5)).block_number
    two.first.fail_with(500)
    two.second.fail_with(500)
    for _ in range(2):
        with pytest.raises(ChainUnreachable):
            await two.chain.block(head)
    two.second.recover()

    assert await two.chain.prefer_above(head - 1)

    assert await two.chain.block(head) is not None
    assert not await two.chain.prefer_above(head)


async def test_headers_of_a_node_that_turns_to_another_branch_meanwhile_count_for_nothing(
    two: Providers,
) -> None:
    head = (await two.arb.pay(two.arb.usdt, DEPOSIT, 5)).block_number
    below = await two.chain.block(head)
    assert below is not None
    chain = over(two.clock, replace(QUICK, batch_size=2), two.first.url)
    assert set(await chain.headers(range(head), below=below)) == set(range(head))
    asked = 0

    def turn(call: Json, answer: Json) -> Json:
        nonlocal asked
        if call["params"][:1] == [hex(head)]:
            asked += 1
            if asked > 1:
                return {**answer, "result": {**answer["result"], "hash": "0x" + "f0" * 32}}
        return answer

    two.first.change = turn
    with pytest.raises(ChainMoved):
        await chain.headers(range(head), below=below)
    await chain.close()


async def test_a_brief_hiccup_of_all_endpoints_is_ridden_out(arb: LocalChain) -> None:
    async with provider(arb.node.url) as only:
        only.fail_with(500)
        pauses: list[float] = []

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                only.recover()

        limits = Limits(rounds=3, backoff_seconds=1)
        rpc = JsonRpc(
            [only.url], 42161, FakeClock(), limits=limits, sleep=pause, jitter=lambda: 0.5
        )
        chain = EvmChain(CHAINS["arb"], rpc)
        assert await chain.block(0) is not None
        assert pauses == [0.75, 1.5]
        await chain.close()


async def test_an_endpoint_of_another_chain_is_refused(arb: LocalChain) -> None:
    async with local_chain("base") as base:
        await base.node.mine(50)
        chain = over(FakeClock(), QUICK, base.node.url, arb.node.url)
        block = await chain.block("latest")
        assert block is not None
        assert block.number == await arb.node.height()
        with pytest.raises(ChainMisconfigured, match="serves chain 8453, not 42161"):
            await chain.check()
        await chain.close()
        alone = over(FakeClock(), QUICK, base.node.url)
        with pytest.raises(ChainMisconfigured, match="8453"):
            await alone.block("latest")
        await alone.close()


async def test_the_chain_id_is_asked_again_on_every_switch(two: Providers) -> None:
    await two.chain.block(0)
    await two.chain.block(0)
    assert two.first.asked.count("eth_chainId") == 1
    two.first.fail_with(500)
    two.second.answer("eth_chainId", "0xa")
    with pytest.raises(ChainUnreachable, match="serves chain 10"):
        await two.chain.block(0)


async def test_a_lagging_endpoint_cannot_hide_transfers(two: Providers) -> None:
    token = two.arb.usdt
    receipt = await two.arb.pay(token, DEPOSIT, 5)
    head = receipt.block_number
    two.first.lag_behind(head - 1)
    found = await two.chain.transfers(0, head, [token.contract], [DEPOSIT])
    assert [t.amount_units for t in found] == [5]
    two.second.lag_behind(head - 1)
    with pytest.raises(ChainUnreachable, match="does not have block"):
        await two.chain.transfers(0, head, [token.contract], [DEPOSIT])


async def test_a_second_view_is_another_endpoint_s_while_there_is_one(two: Providers) -> None:
    token = two.arb.usdt
    head = (await two.arb.pay(token, DEPOSIT, 5)).block_number

    async def listed(chain: Chain) -> list[int]:
        found = await chain.transfers(0, head, [token.contract], [DEPOSIT])
        return [t.amount_units for t in found]

    await two.chain.block(head)
    two.first.answer("eth_getLogs", [])
    assert await listed(two.chain) == []
    assert await listed(two.chain.second_view) == [5]
    await two.chain.block(head)
    assert two.second.asked.count("eth_getBlockByNumber") == 2, "the first still serves the rest"
    two.first.recover()
    two.second.fail_with(500)
    assert await listed(two.chain.second_view) == [5]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("header not found", -32000),
        ("header for hash not found", -32000),
        ("block not found: hash 0x" + "ab" * 32, -32000),
        ("block " + "ab" * 32 + " not found", -32000),
        ("Resource not found", -32001),
    ],
)
async def test_an_endpoint_without_a_block_s_state_is_replaced(
    two: Providers, words: str, code: int
) -> None:
    there = (await two.arb.pay(two.arb.usdt, DEPOSIT, 5)).block_hash
    two.first.refuse("eth_call", words, code)
    assert await two.chain.token_balances(two.arb.usdt.contract, [DEPOSIT], there) == [5]
    two.second.answer("eth_call", "0x")
    two.first.recover()
    assert await two.chain.token_balances(two.arb.usdt.contract, [DEPOSIT], there) == [5]


async def test_sweeps_are_asked_of_the_next_where_one_is_behind(two: Providers) -> None:
    """Else the final pass would stand still for as long as the second of two nodes does."""
    await two.arb.node.mine(3)
    end = await two.chain.block(2)
    assert end is not None
    two.second.answer("eth_getBlockByNumber", None)
    assert await two.chain.second_view.native_sweeps(0, 2, [DEPOSIT], end=end) == []
    assert "eth_getLogs" in two.first.asked


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("query returned more than 10000 results", -32005),
        ("eth_getLogs is limited to a 10,000 range", -32614),
        ("exceed maximum block range: 50000", -32000),
        ("block range is too wide", -32602),
        (
            "Log response size exceeded. You can make eth_getLogs requests with up to a 2K...",
            -32602,
        ),
        ("logs matched by query exceeds limit of 10000", -32602),
        ("query timeout exceeded", -32000),
    ],
)
async def test_a_range_that_is_too_wide_is_told_apart(
    two: Providers, message: str, code: int
) -> None:
    two.first.refuse("eth_getLogs", message, code)
    with pytest.raises(RangeTooWide):
        await two.chain.transfers(0, 0, [two.arb.usdt.contract], None)


async def test_an_answer_beyond_all_bounds_means_too_wide(two: Providers) -> None:
    for i in range(20):
        await two.arb.pay(two.arb.usdt, DEPOSIT, 1 + i)
    limits = replace(QUICK, max_answer_bytes=4_000)
    chain = over(two.clock, limits, two.first.url, two.second.url)
    head = await two.arb.node.height()
    with pytest.raises(RangeTooWide, match="4000 bytes"):
        await chain.transfers(0, head, [two.arb.usdt.contract], None)
    await chain.close()


async def test_transfers_are_not_taken_from_a_block_that_moved(two: Providers) -> None:
    token = two.arb.usdt
    receipt = await two.arb.pay(token, DEPOSIT, 5)
    head = receipt.block_number
    good = await two.chain.transfers(
        0, head, [token.contract], [DEPOSIT], end_hash=receipt.block_hash
    )
    assert len(good) == 1
    with pytest.raises(ChainMoved):
        await two.chain.transfers(0, head, [token.contract], None, end_hash="0x" + "00" * 32)

    before = await two.chain.block(head - 1)
    assert before is not None
    asked = head, head, [token.contract], [DEPOSIT]
    assert await two.chain.transfers(*asked, after_hash=before.hash) == good
    with pytest.raises(ChainMoved, match=f"block {head - 1} is another"):
        await two.chain.transfers(*asked, end_hash=receipt.block_hash, after_hash="0x" + "00" * 32)

    end = await two.chain.block(head)
    assert end is not None
    assert await two.chain.headers([head - 1], below=end) == {head - 1: before}
    with pytest.raises(ChainMoved, match=f"block {head} is another where those"):
        await two.chain.headers([head - 1], below=replace(end, hash="0x" + "00" * 32))
    assert await two.chain.native_sweeps(0, head - 1, [DEPOSIT], end=end) == []
    with pytest.raises(ChainMoved, match=f"block {head} is another where sweeps"):
        await two.chain.native_sweeps(
            0, head - 1, [DEPOSIT], end=replace(end, hash="0x" + "00" * 32)
        )

    def another_fork(call: dict[str, object], answer: dict[str, object]) -> dict[str, object]:
        if call["method"] != "eth_getLogs":
            return answer
        logs = answer["result"]
        assert isinstance(logs, list)
        return {**answer, "result": [{**log, "blockHash": "0x" + "0f" * 32} for log in logs]}

    two.first.change = another_fork
    with pytest.raises(ChainMoved):
        await two.chain.transfers(0, head, [token.contract], [DEPOSIT])


async def test_a_batch_is_cut_to_what_an_endpoint_takes(two: Providers) -> None:
    limits = replace(QUICK, batch_size=7)
    chain = over(two.clock, limits, two.first.url)
    everybody = ["0x" + i.to_bytes(20, "big").hex() for i in range(1, 31)]
    there = (await two.arb.pay(two.arb.usdc, everybody[29], 9)).block_hash
    assert await chain.token_balances(two.arb.usdc.contract, everybody, there) == [0] * 29 + [9]
    await chain.close()


@pytest.mark.parametrize(
    "words",
    [
        "missing trie node 12ab (path ) state 0x34cd is not available, not found",
        "project ID does not have access to archive state",
        "state at block #7 is pruned",
    ],
)
async def test_a_node_without_old_state_is_not_put_to_rest_for_it(
    two: Providers, words: str
) -> None:
    for node in (two.first, two.second):
        node.refuse("eth_getBalance", words)
    newest = await two.chain.block("latest")
    assert newest is not None
    for _ in range(QUICK.breaker_failures + 1):
        with pytest.raises(StateNotKept):
            await two.chain.native_balances([DEPOSIT], newest.hash)
    asked = two.first.asked.count("eth_getBalance")
    assert asked == QUICK.breaker_failures + 1, "asking again at once makes nobody remember"
    assert await two.chain.block("latest") == newest

    two.second.recover()
    assert await two.chain.native_balances([DEPOSIT], newest.hash) == [0]

    # One that is away may know: only while it rests is it not waited for.
    two.second.fail_with(503)
    with pytest.raises(ChainUnreachable) as away:
        await two.chain.native_balances([DEPOSIT], newest.hash)
    assert not isinstance(away.value, StateNotKept)
    for _ in range(QUICK.breaker_failures):
        with pytest.raises(ChainUnreachable) as away:
            await two.chain.native_balances([DEPOSIT], newest.hash)
    assert isinstance(away.value, StateNotKept)


@pytest.mark.parametrize(
    "lie",
    [
        {"value": "many"},
        {"value": "-0x1"},
        {"value": "0x" + "ff" * 32},
        {"hash": "0x\x00"},
        {"from": "0x\x00"},
        {"to": 7},
    ],
    ids=str,
)
async def test_a_node_whose_payments_can_not_be_keeps_no_other_from_telling(
    two: Providers, lie: dict[str, object]
) -> None:
    receipt = await two.arb.pay(two.arb.eth, DEPOSIT, 5)
    block = await two.chain.block(receipt.block_number)
    assert block is not None

    def change(call: Json, answer: Json) -> Json:
        if call["method"] != "eth_getBlockByHash":
            return answer
        payments = [{**tx, **lie} for tx in answer["result"]["transactions"]]
        return {**answer, "result": {**answer["result"], "transactions": payments}}

    two.first.change = change
    (paid,) = await two.chain.native_payments(block, [DEPOSIT])
    assert (paid.tx_hash, paid.amount_units) == (receipt.tx_hash, 5)


@pytest.mark.parametrize("lie", ["it has lost its receipts", "it makes a payment up"])
async def test_payments_without_receipts_are_asked_of_the_next_node(
    two: Providers, lie: str
) -> None:
    """Else one node could stop the chain at every block in which ether came."""
    receipt = await two.arb.pay(two.arb.eth, DEPOSIT, 5)
    block = await two.chain.block(receipt.block_number)
    assert block is not None

    def change(call: Json, answer: Json) -> Json:
        if call["method"] == "eth_getTransactionReceipt" and "lost" in lie:
            return {**answer, "result": None}
        if call["method"] == "eth_getBlockByHash" and "makes" in lie:
            payments = answer["result"]["transactions"]
            payments = [*payments, {**payments[0], "hash": "0x" + "0e" * 32}]
            return {**answer, "result": {**answer["result"], "transactions": payments}}
        return answer

    two.first.change = change
    (paid,) = await two.chain.native_payments(block, [DEPOSIT])
    assert (paid.tx_hash, paid.amount_units) == (receipt.tx_hash, 5)
    two.second.change = change
    with pytest.raises(ChainMoved, match="changed while its payments were read"):
        await two.chain.native_payments(block, [DEPOSIT])


async def test_a_trace_that_can_not_be_read_explains_nothing(two: Providers) -> None:
    receipt = await two.arb.pay(two.arb.eth, DEPOSIT, 5)
    block = await two.chain.block(receipt.block_number)
    assert block is not None
    frame = {"type": "CALL", "from": DEPOSIT, "to": DEPOSIT, "value": "0x1"}
    told = [{"txHash": receipt.tx_hash, "result": {**frame, "calls": [{**frame, "value": "many"}]}}]
    for one in (two.first, two.second):
        one.answer("debug_traceBlockByHash", told)
    assert await two.chain.internal_payments(block, [DEPOSIT]) is None
