"""Blocks a second after an outage, beside fetching the same logs with the same client.

A real node and a real database: the outage leaves some hundred blocks of fifty transfers each, and
the watcher reads them in its final pass. Every round begins with the same books.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from statistics import median
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from counterfoil.books import addresses, orgs
from counterfoil.books.addresses import DepositAddress
from counterfoil.chains.evm.abi import address_word, selector, word
from counterfoil.chains.evm.chain import EvmChain
from counterfoil.chains.evm.rpc import JsonRpc, Query, answers_of
from counterfoil.chains.evm.transfers import RawLog, transfer_filters
from counterfoil.clock import SystemClock, TimeSortedIds
from counterfoil.core.assets import CHAINS, accepted_asset
from counterfoil.core.invoice import (
    Document,
    Invoice,
    LineItem,
    PaymentRequest,
    Policy,
    Price,
    Status,
)
from counterfoil.core.roles import Actor
from counterfoil.db.embedded import EmbeddedPostgres
from counterfoil.db.migrate import migrate
from counterfoil.db.pool import Database
from counterfoil.desk.desk import Desk
from counterfoil.desk.record import opened
from counterfoil.sandbox.anvil import Anvil, AnvilSettings
from counterfoil.sandbox.places import Places
from counterfoil.sandbox.tokens import artifact, install_tokens, mint
from counterfoil.workers.watch import ChainWatcher, WatchedAddresses, WatchLimits

BLOCKS: Final = 800
TRANSFERS: Final = 50
"""In every block."""

ONE_OF_OURS_IN: Final = (1_000, 100)
WATCHED: Final = 5_000
ROUNDS: Final = 5

_CHAIN: Final = CHAINS["arb"]
_UNITS: Final = 1_000_000
_PAID_AT_ONCE: Final = 16
"""What the sandbox's sender pays in one transaction."""

_SENDER_OWNER: Final = "0x" + "5a" * 20
_PAY: Final = selector("pay(address,address[],uint256)")
_LOGS: Final = answers_of(list[RawLog])
_TEMPLATE: Final = "catching_up"
_BY: Final = Actor(uid="benchmark", org_id=1, permissions=frozenset())


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Blocks a second through the watcher into the books, and merely fetched.

    One transfer in ``one_of_ours_in`` pays an invoice of its own. Each is the median of its rounds.
    """

    blocks: int
    one_of_ours_in: int
    watched: int
    payments: int
    per_second: float
    floor_per_second: float

    @property
    def ratio(self) -> float:
        """Our share of what fetching alone could do."""
        return self.per_second / self.floor_per_second


@dataclass(frozen=True, slots=True)
class _Outage:
    """What happened while nobody looked: the blocks above ``after``, all of them final by now."""

    node: Anvil
    after: int
    upto: int
    payments: int


async def catching_up(places: Places) -> list[CaughtUp]:
    """Measure each share of our payments, with the database and node of ``places``.

    Raises ``RuntimeError`` where the books do not hold every payment afterwards.
    """
    return [await _measured(places, share) for share in ONE_OF_OURS_IN]


async def _measured(places: Places, one_of_ours_in: int) -> CaughtUp:
    postgres = EmbeddedPostgres(places.postgres)
    postgres.start()
    paid = [_address(n) for n in range(BLOCKS * TRANSFERS // one_of_ours_in)]
    admin = postgres.admin_url
    _execute(admin, "CREATE DATABASE {}", _TEMPLATE)
    try:
        await _fill(make_conninfo(admin, dbname=_TEMPLATE), paid)
        async with _outage(paid) as outage:
            ours, floor = [], []
            for _ in range(ROUNDS):
                floor.append(await _fetch(outage))
                ours.append(await _round(admin, outage))
    finally:
        _execute(admin, "DROP DATABASE {}", _TEMPLATE)
    blocks = outage.upto - outage.after
    return CaughtUp(
        blocks=blocks,
        one_of_ours_in=one_of_ours_in,
        watched=WATCHED,
        payments=outage.payments,
        per_second=blocks / median(ours),
        floor_per_second=blocks / median(floor),
    )


async def _round(admin: str, outage: _Outage) -> float:
    """How long the watcher takes on books that know nothing of the outage yet."""
    name = f"{_TEMPLATE}_round"
    _execute(admin, "CREATE DATABASE {} TEMPLATE {}", name, _TEMPLATE)
    try:
        url = make_conninfo(admin, dbname=name)
        async with _database(url) as database:
            return await _watch(Desk(database, SystemClock(), TimeSortedIds(), {}), outage)
    finally:
        _execute(admin, "DROP DATABASE {} WITH (FORCE)", name)


async def _watch(desk: Desk, outage: _Outage) -> float:
    chain = EvmChain.over(_CHAIN, [outage.node.url], desk.clock)
    watched = WatchedAddresses(desk, "evm")
    watcher = ChainWatcher(desk, chain, watched, WatchLimits(start_block=outage.after))
    await watched.refresh()
    await watcher.step()
    started = time.perf_counter()
    while await watcher.step():
        pass
    seconds = time.perf_counter() - started
    await chain.close()
    async with desk.database.reading() as tx:
        cursor = await tx.execute(
            "SELECT (SELECT count(*) FROM transfer WHERE depth = 3),"
            " (SELECT final_number FROM ingest.chain_cursor)"
        )
        row = await cursor.fetchone()
    if row is None or row[0] != outage.payments or row[1] < outage.upto:
        message = f"{row} of {outage.payments} payments up to block {outage.upto} are in the books"
        raise RuntimeError(message)
    return seconds


async def _fetch(outage: _Outage) -> float:
    """How long the same client takes to fetch the same logs, in the same steps, and no more."""
    rpc = JsonRpc([outage.node.url], _CHAIN.chain_id, SystemClock())
    contracts = [token.contract for token in (*_CHAIN.accepted, *_CHAIN.known_other)]
    await rpc.check_endpoints()
    widest = WatchLimits().widest_range
    count = 0
    started = time.perf_counter()
    for after in range(outage.after, outage.upto, widest):
        (asked,) = transfer_filters(after + 1, min(after + widest, outage.upto), contracts, None)
        (logs,) = await rpc.ask_all([Query("eth_getLogs", (asked,), _as_it_is)], _LOGS)
        count += len(logs)
    seconds = time.perf_counter() - started
    await rpc.close()
    if count < BLOCKS * TRANSFERS:
        message = f"the node has {count} logs"
        raise RuntimeError(message)
    return seconds


def _as_it_is(logs: list[RawLog]) -> list[RawLog]:
    return logs


@asynccontextmanager
async def _outage(paid: Sequence[str]) -> AsyncIterator[_Outage]:
    node = await Anvil.start(AnvilSettings(_CHAIN.chain_id))
    try:
        await install_tokens(node, _CHAIN)
        sender = await _sender(node)
        after = await node.height()
        share = len(paid) / (BLOCKS * TRANSFERS)
        given = 0
        for number in range(BLOCKS):
            due = round((number + 1) * TRANSFERS * share)
            ours, given = paid[given:due], due
            strangers = [_address(10**6 + number * TRANSFERS + n) for n in range(TRANSFERS)]
            await _pay(node, sender, [*ours, *strangers][:TRANSFERS])
        upto = await node.height()
        await node.mine(2 * node.settings.slots_in_an_epoch)
        yield _Outage(node, after, upto, len(paid))
    finally:
        await node.stop()


async def _sender(node: Anvil) -> str:
    """A contract that pays sixteen at once, rich enough for all of it."""
    await node.impersonate(_SENDER_OWNER)
    await node.set_balance(_SENDER_OWNER, 10**21)
    await node.automine(on=False)
    order = {"from": _SENDER_OWNER, "data": artifact("MultiSend").initcode}
    sent = await node.rpc("eth_sendTransaction", order)
    await node.mine()
    address = str((await node.rpc("eth_getTransactionReceipt", sent))["contractAddress"])
    token = accepted_asset(_CHAIN, "USDT")
    assert token is not None, "the chain has USDT"  # noqa: S101 - tells mypy
    await mint(node, token, address, BLOCKS * TRANSFERS * _UNITS)
    await node.mine()
    return address


async def _pay(node: Anvil, sender: str, receivers: Sequence[str]) -> None:
    """Mine one block in which each of these gets a payment."""
    token = accepted_asset(_CHAIN, "USDT")
    assert token is not None, "the chain has USDT"  # noqa: S101 - tells mypy
    for start in range(0, len(receivers), _PAID_AT_ONCE):
        some = receivers[start : start + _PAID_AT_ONCE]
        data = _PAY + address_word(token.contract) + word(96) + word(_UNITS) + word(len(some))
        data += b"".join(map(address_word, some))
        order = {"from": _SENDER_OWNER, "to": sender, "data": f"0x{data.hex()}", "gas": "0x100000"}
        await node.rpc("eth_sendTransaction", order)
    await node.mine()


async def _fill(url: str, paid: Sequence[str]) -> None:
    """An organisation with so many addresses, and an invoice at each that will be paid."""
    migrate(url)
    async with _database(url) as database:
        desk = Desk(database, SystemClock(), TimeSortedIds(), {})
        async with database.transaction() as tx:
            operator, pool, hold, gas, factory = (_address(-n) for n in range(1, 6))
            merchant = orgs.Org(1, "Merchant", "client_1", factory, operator, pool, hold, gas)
            await orgs.insert(tx, merchant, desk.clock.now())
            numbers = await addresses.claim_numbers(tx, 1, WATCHED)
            every = [*paid, *(_address(10**9 + n) for n in range(WATCHED - len(paid)))]
            stock = [DepositAddress(n, a) for n, a in zip(numbers, every, strict=True)]
            await addresses.add(tx, 1, "evm", stock)
        for start in range(0, len(paid), 100):
            async with database.transaction() as tx:
                for _ in paid[start : start + 100]:
                    await _bill(desk, tx)


async def _bill(desk: Desk, tx: "psycopg.AsyncConnection[tuple[object, ...]]") -> None:
    now = desk.clock.now()
    invoice_id = desk.ids.new()
    taken = await addresses.take(tx, 1, "evm", invoice_id)
    token = accepted_asset(_CHAIN, "USDT")
    assert taken is not None and token is not None, "stock and chain were filled"  # noqa: S101,PT018 - tells mypy
    number, address = taken
    await opened(
        desk,
        tx,
        Invoice(
            org_id=1,
            invoice_id=invoice_id,
            number=number,
            dialect="kryptogo",
            client_id="client_1",
            status=Status.AWAITING_PAYMENT,
            document=Document(
                "Buyer",
                "buyer@example.com",
                "Merchant",
                "finance@merchant.example",
                "benchmark",
                (LineItem("Consulting", Decimal(1), Decimal(1), Decimal(0)),),
                now.date(),
                30,
                "https://merchant.example",
            ),
            price=Price("crypto", Decimal(1), None),
            requests=(PaymentRequest(token, _UNITS, None),),
            policy=Policy(),
            payout_to={},
            deposit_address=address,
            callback_url=None,
            created_by="benchmark",
            # Nodes that were just started have mined a second ahead of their clocks per block.
            created_at=now - timedelta(days=1),
            deadline_at=now + timedelta(days=30),
        ),
        _BY,
    )


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[Database]:
    database = Database(url, name="benchmark")
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def _execute(admin: str, statement: str, *names: str) -> None:
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _address(number: int) -> str:
    return "0x" + (number % 2**64).to_bytes(8, "big").hex().rjust(40, "d")
