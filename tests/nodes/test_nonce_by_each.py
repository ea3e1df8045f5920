"""What every endpoint says about a nonce, each by itself: real nodes, in good and bad hours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from aiohttp import web

from counterfoil.chains.evm.chain import EvmChain
from counterfoil.chains.evm.rpc import JsonRpc
from counterfoil.core.assets import CHAINS
from support.chain import PAYER, QUICK, STRANGER, LocalChain
from support.fake_clock import FakeClock
from support.patience import patiently
from support.provider import Json, Provider, provider

UNKNOWN = "0x" + "ab" * 32


@pytest.fixture
async def providers(arb: LocalChain) -> AsyncIterator[tuple[Provider, Provider]]:
    async with provider(arb.node.url) as one, provider(arb.node.url) as other:
        yield one, other


@pytest.fixture
async def chain(providers: tuple[Provider, Provider]) -> AsyncIterator[EvmChain]:
    urls = [one.url for one in providers]
    limits = replace(QUICK, breaker_seconds=0)
    async with AsyncExitStack() as stack:
        port = EvmChain(CHAINS["arb"], JsonRpc(urls, 42161, FakeClock(), limits=limits))
        stack.push_async_callback(port.close)
        yield port


async def test_each_endpoint_tells_the_count_and_what_became_of_ours(
    arb: LocalChain, chain: EvmChain
) -> None:
    payer = PAYER.address.lower()
    good = await arb.send(payer, STRANGER, value_wei=1)
    bad = await arb.send(payer, arb.usdt.contract, b"\x01\x02\x03\x04", gas=100_000)
    await arb.finalize()
    block = await chain.block("finalized")
    assert block is not None

    told = await chain.nonce_by_each(payer, [good.tx_hash, bad.tx_hash, UNKNOWN], block.number)
    assert len(told) == 2
    for seen in told.values():
        assert seen is not None
        assert (seen.block_hash, seen.count) == (block.hash, 2)
        assert (seen.landed, seen.reverted) == ((good.tx_hash,), (bad.tx_hash,))


async def test_an_endpoint_that_lags_or_fails_says_nothing(
    arb: LocalChain, chain: EvmChain, providers: tuple[Provider, Provider]
) -> None:
    await arb.finalize()
    block = await chain.block("finalized")
    assert block is not None
    lagging, failing = providers

    def one_behind(call: Json, answer: Json) -> Json:
        if call["method"] == "eth_getBlockByNumber" and call["params"][0] == "finalized":
            header = {**answer["result"], "number": hex(block.number - 1)}
            return {**answer, "result": header}
        return answer

    lagging.change = one_behind
    failing.fail_with(status=503)
    told = await chain.nonce_by_each(STRANGER, [UNKNOWN], block.number)
    assert list(told.values()) == [None, None]

    lagging.recover()
    failing.answer("eth_getTransactionReceipt", {"transactionHash": "0x" + "cd" * 32})
    failing.respond = None
    first, second = (await chain.nonce_by_each(STRANGER, [UNKNOWN], block.number)).values()
    assert first is not None
    assert second is None


async def test_endpoints_are_asked_at_the_same_time(
    arb: LocalChain, chain: EvmChain, providers: tuple[Provider, Provider]
) -> None:
    await arb.finalize()
    asked = [asyncio.Event(), asyncio.Event()]

    def meets(mine: int) -> None:
        async def respond(good: bytes) -> web.Response:
            asked[mine].set()
            async with patiently("a question to the other one"):
                await asked[1 - mine].wait()
            return web.Response(body=good, content_type="application/json")

        providers[mine].respond = respond

    meets(0)
    meets(1)
    told = await chain.nonce_by_each(STRANGER, [], 0)
    assert None not in told.values()
