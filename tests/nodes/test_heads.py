"""Nodes say when a block came, and a payment is seen at once, however seldom anybody looks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from counterfoil.chains.evm.heads import HeadListener
from counterfoil.db.pool import Database
from counterfoil.workers.runner import Beat, Bell, forever
from counterfoil.workers.watch import ChainWatcher, WatchedAddresses
from support.chain import LocalChain
from support.invoices import DUE
from support.patience import PATIENCE_SECONDS, patiently
from support.served import served
from support.shop import Shop, desk_on

SELDOM_SECONDS = 3 * PATIENCE_SECONDS


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(trust_env=False) as session:
        yield session


@asynccontextmanager
async def listening(listener: HeadListener) -> AsyncIterator[None]:
    task = asyncio.create_task(forever(listener.step, name="heads", pause_seconds=0.01))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def saying(*words: str) -> AsyncIterator[str]:
    """A node that says this to whoever connects, and hangs up."""

    async def speak(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive_str()
        for word in words:
            await socket.send_str(word)
        await socket.close()
        return socket

    app = web.Application()
    app.add_routes([web.get("/", speak)])
    async with served(app) as port:
        yield f"ws://127.0.0.1:{port}/"


async def test_a_payment_is_seen_as_soon_as_its_block_comes(
    database: Database, arb: LocalChain, session: aiohttp.ClientSession
) -> None:
    desk, bell = desk_on(database), Bell()
    shop = await Shop(desk).open()
    await arb.node.mine(10)
    watcher = ChainWatcher(desk, arb.chain, WatchedAddresses(desk, "evm"))
    while await watcher.step():
        pass
    bill = await shop.bill(assets=(arb.usdt,))
    looked = asyncio.Event()
    beat = Beat(desk.clock.monotonic, bell=bell)

    async def rest(seconds: float) -> None:
        looked.set()
        await beat.rest(seconds)

    watching = asyncio.create_task(
        forever(watcher.step, name="watch", pause_seconds=SELDOM_SECONDS, rest=rest)
    )
    async with listening(HeadListener("arb", [arb.node.heads_url], session, bell.ring)):
        async with patiently("a first look"):
            await looked.wait()
        await arb.pay(arb.usdt, bill.deposit_address, DUE)
        async with patiently("the payment to be seen"):
            while not await shop.transfers(bill):
                await arb.node.mine(1)  # the first block may come before anybody listens
                await asyncio.sleep(0.05)
    watching.cancel()


async def test_who_is_not_a_node_of_use_is_left_for_the_next_and_never_shown(
    arb: LocalChain, session: aiohttp.ClientSession
) -> None:
    heard = asyncio.Event()
    refusal = '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method"}}'
    async with (
        saying(refusal) as refuses,
        saying("no JSON") as babbles,
        saying("x" * 100_000) as floods,
        saying('{"jsonrpc":"2.0","id":1,"result":"0x1"}') as hangs_up,
    ):
        away = "ws://127.0.0.1:9/secret-key"
        endpoints = [away, refuses, babbles, floods, hangs_up, arb.node.heads_url]
        listener = HeadListener("arb", endpoints, session, heard.set)
        with capture_logs() as log:
            async with listening(listener), patiently("a block to be heard of"):
                while not heard.is_set():
                    await arb.node.mine(1)
                    await asyncio.sleep(0.02)
    said = [entry for entry in log if entry["event"].startswith("heads_")]
    assert {entry["event"] for entry in said} == {"heads_refused", "heads_not_heard"}
    assert "secret" not in str(said)
