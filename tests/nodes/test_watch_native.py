"""Native coin on a real node: what contracts do with it, told from what only looks like it."""

from typing import Any

import pytest

from counterfoil.books.transfers import NOBODY
from counterfoil.chains.evm.chain import EvmChain
from counterfoil.chains.evm.rpc import JsonRpc
from counterfoil.core.assets import CHAINS, TOP_LEVEL
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.reckoning import Depth
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.desk import attaching
from counterfoil.workers.attach import Attacher
from counterfoil.workers.watch import ChainWatcher, WatchedAddresses
from support.chain import PAYER, QUICK, STRANGER, LocalChain, calldata
from support.fake_clock import FakeClock
from support.invoices import ETH
from support.patience import patiently
from support.provider import provider
from support.shop import Shop, desk_on
from support.till import ETHER

CUSTOMER = PAYER.address.lower()


class Coin:
    """A watcher on a real node, an invoice in ether, and a contract that pays."""

    def __init__(self, database: Database, chain: LocalChain) -> None:
        desk = desk_on(database)
        self.chain = chain
        self.shop = Shop(desk)
        self.watcher = ChainWatcher(desk, chain.chain, WatchedAddresses(desk, "evm"))
        self.sender = ""

    async def open(self) -> "Coin":
        await self.shop.open()
        self.sender = await self.chain.deploy("CoinSender")
        await self.chain.node.mine(10)
        await self.watch()
        return self

    async def watch(self) -> None:
        async with patiently("a watcher that rests"):
            while await self.watcher.step():
                pass

    async def settle(self) -> None:
        await self.chain.finalize()
        await self.watch()

    async def bill(self) -> Invoice:
        return await self.shop.bill(assets=(ETH,), due_units=ETHER)

    async def calls(self, signature: str, value: object, wei: int = ETHER) -> str:
        """The customer calls the contract; answers the transaction's hash."""
        data = calldata(signature, value)
        receipt = await self.chain.send(CUSTOMER, self.sender, data, value_wei=wei)
        assert receipt.ok
        return receipt.tx_hash

    async def agrees(self, bill: Invoice) -> bool:
        """Whether the ledger and the node hold the same at the invoice's address."""
        held = await self.chain.balance(None, bill.deposit_address)
        return held == await self.shop.deposited(bill, ETH)


@pytest.fixture
async def coin(database: Database, arb: LocalChain) -> Coin:
    return await Coin(database, arb).open()


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No endpoint offers traces, as is usual."""

    async def nobody(_self: JsonRpc, _query: object) -> None:
        return None

    monkeypatch.setattr(JsonRpc, "ask_if_offered", nobody)


async def test_a_plain_payment_becomes_final(coin: Coin, arb: LocalChain) -> None:
    bill = await coin.bill()
    paid = await arb.pay(ETH, bill.deposit_address, ETHER)
    await coin.watch()
    assert await coin.shop.status(bill) is Status.PAYMENT_DETECTED
    await coin.settle()

    (row,) = await coin.shop.transfers(bill)
    assert (row.tx_hash, row.log_index, row.from_address) == (paid.tx_hash, TOP_LEVEL, CUSTOMER)
    assert (row.amount_units, row.depth) == (ETHER, Depth.FINAL)
    assert await coin.agrees(bill)


async def test_payments_by_a_contract_are_told_by_their_trace(coin: Coin) -> None:
    bills = [await coin.bill(), await coin.bill()]
    addresses = [bill.deposit_address for bill in bills]
    tx_hash = await coin.calls("split(address[])", [*addresses, *addresses], 4 * ETHER)
    await coin.settle()

    for bill in bills:
        rows = await coin.shop.transfers(bill)
        assert [(r.tx_hash, r.from_address, r.amount_units) for r in rows] == [
            (tx_hash, coin.sender, ETHER)
        ] * 2
        assert await coin.agrees(bill)


@pytest.mark.usefixtures("untraced")
async def test_a_payment_by_a_contract_without_traces_has_an_amount_and_no_payer(
    coin: Coin, arb: LocalChain
) -> None:
    bill = await coin.bill()
    await arb.pay(ETH, bill.deposit_address, 5)
    await coin.calls("forward(address)", bill.deposit_address)
    await coin.settle()

    rows = await coin.shop.transfers(bill)
    assert [(row.amount_units, row.from_address) for row in rows] == [
        (5, CUSTOMER),
        (ETHER, NOBODY),
    ]
    assert await coin.agrees(bill)


async def test_an_inner_payment_that_was_undone_is_not_credited(coin: Coin) -> None:
    bill = await coin.bill()
    await coin.calls("undo_inside(address)", bill.deposit_address)
    await coin.settle()
    assert await coin.shop.transfers(bill) == []
    assert await coin.agrees(bill)

    # Beside a payment that stands, the trace of the block shows both.
    await coin.chain.node.automine(on=False)
    for name in ("undo_inside", "forward"):
        order = {
            "from": CUSTOMER,
            "to": coin.sender,
            "value": hex(ETHER),
            "data": "0x" + calldata(f"{name}(address)", bill.deposit_address).hex(),
            "gas": hex(200_000),
        }
        await coin.chain.node.rpc("eth_sendTransaction", order)
    await coin.chain.node.mine()
    await coin.settle()
    (row,) = await coin.shop.transfers(bill)
    assert (row.amount_units, row.from_address) == (ETHER, coin.sender)
    assert await coin.agrees(bill)


async def test_coin_that_is_forced_on_an_address_is_counted_as_unknown(coin: Coin) -> None:
    bill = await coin.bill()
    await coin.calls("force(address)", bill.deposit_address)
    await coin.settle()
    (row,) = await coin.shop.transfers(bill)
    assert (row.amount_units, row.is_unattributed) == (ETHER, True)
    assert await coin.agrees(bill)


async def test_a_transaction_that_failed_paid_nothing(coin: Coin, arb: LocalChain) -> None:
    bill = await coin.bill()
    await arb.send(
        STRANGER,
        coin.sender,
        calldata("pay_and_fail(address,uint256)", bill.deposit_address, 1),
        gas=100_000,
    )
    await coin.settle()
    assert await coin.shop.transfers(bill) == []


async def signed(arb: LocalChain, to: str, data: bytes) -> bytes:
    fees = await arb.chain.fees()
    order: dict[str, Any] = {
        "chainId": 42161,
        "nonce": await arb.chain.nonce(CUSTOMER, "pending"),
        "to": bytes.fromhex(to[2:]),
        "data": data,
        "value": ETHER,
        "gas": 200_000,
        "maxFeePerGas": fees.max_fee_wei,
        "maxPriorityFeePerGas": fees.tip_wei,
    }
    return bytes(PAYER.sign_transaction(order).raw_transaction)


@pytest.mark.parametrize("way", ["plain", "traced", "unknown"])
async def test_a_reorg_moves_a_payment_and_it_counts_once(
    coin: Coin, arb: LocalChain, way: str, request: pytest.FixtureRequest
) -> None:
    if way == "unknown":
        request.getfixturevalue("untraced")
    bill = await coin.bill()
    to, data = bill.deposit_address, b""
    if way != "plain":
        to, data = coin.sender, calldata("forward(address)", bill.deposit_address)
    raw = await signed(arb, to, data)
    await arb.node.automine(on=False)
    await arb.chain.send(raw)
    await arb.node.mine(3)
    await coin.watch()
    assert await coin.shop.status(bill) is Status.PAYMENT_DETECTED

    await arb.node.reorg(3, [(raw, 2)])
    await arb.node.mine()
    await coin.watch()
    await coin.settle()
    live = [r for r in await coin.shop.transfers(bill) if r.depth is not Depth.ORPHANED]
    assert [(row.amount_units, row.depth) for row in live] == [(ETHER, Depth.FINAL)]
    assert await coin.agrees(bill)


@pytest.mark.parametrize("way", ["plain", "unknown"])
async def test_a_reorg_takes_a_payment_away(
    coin: Coin, arb: LocalChain, way: str, request: pytest.FixtureRequest
) -> None:
    bill = await coin.bill()
    if way == "unknown":
        request.getfixturevalue("untraced")
        await coin.calls("forward(address)", bill.deposit_address)
    else:
        await arb.pay(ETH, bill.deposit_address, ETHER)
    await arb.node.mine(2)
    await coin.watch()
    assert await coin.shop.status(bill) is Status.PAYMENT_DETECTED

    await arb.node.reorg(3)
    await coin.watch()
    assert await coin.shop.status(bill) is Status.AWAITING_PAYMENT
    await coin.settle()
    assert [row.depth for row in await coin.shop.transfers(bill)] == [Depth.ORPHANED]
    assert await coin.agrees(bill)


@pytest.mark.parametrize(
    "trouble",
    ["not offered", "not on this plan", "no trace at all"],
)
async def test_an_endpoint_that_does_not_trace_is_not_blamed(arb: LocalChain, trouble: str) -> None:
    """Nor does the next question go elsewhere or wait."""
    block = await arb.chain.block("latest")
    assert block is not None
    async with provider(arb.node.url) as node:
        chain = EvmChain.over(CHAINS["arb"], [node.url], FakeClock(), QUICK)
        match trouble:
            case "not offered":
                node.refuse("debug_traceBlockByHash", "the method does not exist", -32601)
            case "not on this plan":
                node.refuse("debug_traceBlockByHash", "upgrade your api key", -32600)
            case _:
                node.answer("debug_traceBlockByHash", None)
        for _ in range(5):
            assert await chain.internal_payments(block, [STRANGER]) is None
        assert await chain.block("latest") == block
        await chain.close()


@pytest.mark.usefixtures("untraced")
async def test_a_reviewer_names_the_transaction_and_the_node_confirms_it(coin: Coin) -> None:
    bill = await coin.bill()
    tx_hash = await coin.calls("forward(address)", bill.deposit_address)
    await coin.settle()
    (unknown,) = await coin.shop.transfers(bill)
    officer = Actor("user_officer", 1, frozenset({Permission.REVIEW}))
    await attaching.attach(
        coin.shop.desk,
        bill.invoice_id,
        officer,
        transfer=unknown.tx_hash,
        tx_hash=tx_hash,
        reason="told by the customer",
    )
    await Attacher(coin.shop.desk, {"arb": coin.chain.chain}).step()

    (known,) = await coin.shop.transfers(bill)
    assert (known.known_tx_hash, known.payer, known.attached_to) == (tx_hash, CUSTOMER, coin.sender)
    assert (await coin.shop.look(bill)).tally.payers == (CUSTOMER,)
    assert await coin.agrees(bill)
