"""From a payment's block to its callback: many payments in one block, with the default polling."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any, Final

import psutil
import psycopg
from aiohttp import web

from counterfoil.chains.evm.transactions import transfer_calldata
from counterfoil.core import ids
from counterfoil.core.assets import CHAINS, accepted_asset
from counterfoil.core.money import parse_units
from counterfoil.sandbox.anvil import AnvilNode
from counterfoil.sandbox.customer import Customer
from counterfoil.sandbox.demo import Sandbox
from counterfoil.sandbox.samples import Api, example

PAYMENTS: Final = 200
CHAIN: Final = "arb"
TOKEN: Final = "USDT"  # noqa: S105 - a coin

_BLOCK_SECONDS: Final = 1
_PACE_SECONDS: Final = 0.25
"""Between blocks while payments are timed, as on Arbitrum; ``safe`` is one block behind."""
_WITHOUT_TRANSACTIONS: Final = (False,)
_PATIENCE_SECONDS: Final = 60
_LOOK_SECONDS: Final = 0.01
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Stage:
    """When payments had come so far, in seconds after their block."""

    name: str
    p50_seconds: float
    p99_seconds: float


@dataclass(frozen=True, slots=True)
class Told:
    """Seconds after the payments' block; ``safe_seconds`` is when the chain itself was sure.

    Below a thousand dollars money counts from there on (specs/chains.md 6.3), so nothing could
    be told before. What lies behind it is ours alone.
    """

    payments: int
    safe_seconds: float
    p50_seconds: float
    p99_seconds: float
    stages: tuple["Stage", ...]
    work_ms: float
    """Processor time of the work process for one payment, while they came, in milliseconds."""
    database_ms: float
    """The same of all of PostgreSQL's processes."""

    @property
    def p50_ratio(self) -> float:
        """The middle callback, in units of what the chain took."""
        return self.p50_seconds / self.safe_seconds

    @property
    def p99_ratio(self) -> float:
        """The latest but one in a hundred, in units of what the chain took."""
        return self.p99_seconds / self.safe_seconds

    @property
    def p50_ours_seconds(self) -> float:
        """The middle callback, from when the chain was sure."""
        return self.p50_seconds - self.safe_seconds

    @property
    def p99_ours_seconds(self) -> float:
        """The latest but one in a hundred, from when the chain was sure."""
        return self.p99_seconds - self.safe_seconds


class Arrivals:
    """A merchant's server that only notes when it was told what about which invoice."""

    def __init__(self) -> None:
        """Nothing has come."""
        self._at: dict[tuple[str, str], float] = {}
        self._changed = asyncio.Condition()

    async def take(self, request: web.Request) -> web.Response:
        """Note it."""
        at = time.perf_counter()
        body: dict[str, Any] = await request.json()
        async with self._changed:
            self._at.setdefault((body["id"], body["status"]), at)
            self._changed.notify_all()
        return web.Response()

    async def all_told(self, invoices: Sequence[str], status: str) -> list[float]:
        """Wait for the same news about all of them; answers when each arrived."""
        wanted = [(invoice, status) for invoice in invoices]
        async with asyncio.timeout(_PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: all(key in self._at for key in wanted))
        return [self._at[key] for key in wanted]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen; answers where."""
        app = web.Application()
        app.add_routes([web.post("/callbacks", self.take)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/callbacks"
        finally:
            await runner.cleanup()


async def telling(sandbox: Sandbox) -> Told:
    """Approve invoices, pay all of them in one block, and wait for each callback."""
    arrivals = Arrivals()
    node = sandbox.nodes[CHAIN]
    async with arrivals.listening() as url:
        bills = await _approved(sandbox, url)
        invoices = [bill["id"] for bill in bills]
        await arrivals.all_told(invoices, "pending")
        async with _held(node):
            await _pay(node, bills)
            processes = await _processes(sandbox)
            before = _spent_seconds(processes)
            await node.rpc("evm_mine")
            mined, mined_at = time.perf_counter(), datetime.now(UTC)
            paid_in = await node.height()
            async with _mining(node):
                safe = await _safe(node, paid_in)
                told = await arrivals.all_told(invoices, "success")
            after = _spent_seconds(processes)
    arrived = [at - mined for at in told]
    decided = await _decided(sandbox.database_url, invoices, mined_at)
    p50, p99 = _middle_and_late(arrived)
    return Told(
        PAYMENTS,
        safe - mined,
        p50,
        p99,
        (*decided, Stage("told", p50, p99)),
        *(1000 * (then - now) / PAYMENTS for now, then in zip(before, after, strict=True)),
    )


async def _processes(sandbox: Sandbox) -> tuple[psutil.Process, psutil.Process]:
    """The work process, and PostgreSQL's own, whose children serve connections."""
    async with await psycopg.AsyncConnection.connect(sandbox.database_url) as connection:
        server = psutil.Process(connection.info.backend_pid).parent()
    if server is None:
        message = "PostgreSQL runs elsewhere, so what it spends cannot be told"
        raise LookupError(message)
    return psutil.Process(sandbox.supervisor.pids()["work"]), server


def _spent_seconds(processes: tuple[psutil.Process, psutil.Process]) -> tuple[float, float]:
    """Processor time of the work process, and of PostgreSQL, since they began."""
    work, server = processes
    return _seconds(work), sum(map(_seconds, (server, *server.children())))


def _seconds(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _middle_and_late(seconds: Sequence[float]) -> tuple[float, float]:
    cuts = quantiles(seconds, n=100)
    return cuts[49], cuts[98]


_DECISIONS: Final = {"transfer_seen": "seen", "transfer_confirmed": "safe", "screened": "screened"}
"""What an invoice's log calls the ways of a payment, and what we call them."""


async def _decided(url: str, invoices: Sequence[str], mined_at: datetime) -> list[Stage]:
    """When each was decided upon, by the invoices' own log."""
    stages = []
    async with await psycopg.AsyncConnection.connect(url) as connection:
        for event, name in _DECISIONS.items():
            cursor = await connection.execute(
                "SELECT min(at) FROM invoice_log WHERE event = %s AND invoice_id = ANY(%s)"
                " GROUP BY invoice_id",
                (event, [ids.parse("inv", invoice) for invoice in invoices]),
            )
            at = [(row[0] - mined_at).total_seconds() for row in await cursor.fetchall()]
            stages.append(Stage(name, *_middle_and_late(at)))
    return stages


async def _approved(sandbox: Sandbox, callback_url: str) -> list[dict[str, Any]]:
    asked = example(sandbox.facts, chain=CHAIN, pay_token=TOKEN, callback_url=callback_url)
    slots = asyncio.Semaphore(_AT_ONCE)
    async with AsyncExitStack() as stack:
        finance = await stack.enter_async_context(Api(sandbox.facts, "finance"))
        reviewer = await stack.enter_async_context(Api(sandbox.facts, "reviewer"))

        async def one() -> dict[str, Any]:
            async with slots:
                invoice = await finance.create(**asked)
                await reviewer.act(invoice["id"], "approve")
                return invoice

        return list(await asyncio.gather(*(one() for _ in range(PAYMENTS))))


@asynccontextmanager
async def _held(node: AnvilNode) -> AsyncIterator[None]:
    """No blocks but those asked for; afterwards one a second, as before."""
    await node.rpc("evm_setIntervalMining", 0)
    try:
        yield
    finally:
        await node.rpc("evm_setIntervalMining", _BLOCK_SECONDS)


@asynccontextmanager
async def _mining(node: AnvilNode) -> AsyncIterator[None]:
    """Go on with blocks at the pace of a rollup."""

    async def mine() -> None:
        while True:
            await asyncio.sleep(_PACE_SECONDS)
            await node.rpc("evm_mine")

    miner = asyncio.create_task(mine())
    try:
        yield
    finally:
        miner.cancel()
        with suppress(asyncio.CancelledError):
            await miner


async def _pay(node: AnvilNode, bills: Sequence[dict[str, Any]]) -> None:
    token = accepted_asset(CHAINS[CHAIN], TOKEN)
    if token is None:
        message = f"{TOKEN} is not accepted on {CHAIN}"
        raise LookupError(message)
    payer = Customer.known().address
    await node.impersonate(payer)
    for bill in bills:
        (option,) = bill["payment_options"]
        units = parse_units(option["amount"], token.decimals, "amount")
        data = transfer_calldata(option["address"], units)
        order = {"from": payer, "to": token.contract, "data": "0x" + data.hex()}
        await node.rpc("eth_sendTransaction", {**order, "gas": hex(100_000)})


async def _safe(node: AnvilNode, number: int) -> float:
    """When the node first called a block safe."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            block = await node.rpc("eth_getBlockByNumber", "safe", *_WITHOUT_TRANSACTIONS)
            if int(block["number"], 16) >= number:
                return time.perf_counter()
            await asyncio.sleep(_LOOK_SECONDS)
