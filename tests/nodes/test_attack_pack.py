"""Everything that looks like money and is not: what is credited equals what the address holds."""

from contextlib import AsyncExitStack

from counterfoil.chains.evm.transactions import transfer_calldata
from counterfoil.core import reckoning
from counterfoil.core.invoice import Context, Invoice, Status
from counterfoil.core.money import Money
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database
from counterfoil.desk.desk import Desk
from counterfoil.sandbox.tokens import artifact, mint
from counterfoil.workers.watch import ChainWatcher, WatchedAddresses
from support.chain import PAYER, STRANGER, LocalChain, calldata, local_chain
from support.patience import patiently
from support.shop import Shop, desk_on

MILLION = 1_000_000
DUST = 10_000


class Customer:
    """One invoice's address on one chain, watched, with a bad neighbourhood."""

    def __init__(self, desk: Desk, shop: Shop, chain: LocalChain) -> None:
        self.shop = shop
        self.on = chain
        self.watcher = ChainWatcher(desk, chain.chain, WatchedAddresses(desk, "evm"))

    async def watch(self) -> None:
        async with patiently("a watcher that rests"):
            while await self.watcher.step():
                pass

    async def settles(self, bill: Invoice) -> int:
        """Everything so far becomes final; answers what is credited, which the token confirms."""
        await self.on.finalize()
        await self.watch()
        for token in (self.on.usdt, self.on.usdc):
            held = await self.on.balance(token, bill.deposit_address)
            assert await self.shop.deposited(bill, token) == held
        return await self.shop.deposited(bill, self.on.usdt)


def assert_short(bill: Invoice, came: Money) -> None:
    """What arrived is what counts: it is looked at, and too little."""
    assert bill.status is Status.SCREENING
    assert (reckoning.received(bill), reckoning.judge(bill)) == ((came,), Context.UNDERPAID)


async def specks(arb: LocalChain, sender: str, to: str) -> None:
    """Ten thousand transfers of one base unit each, sixteen to a transaction."""
    order = calldata("pay(address,address[],uint256)", arb.usdt.contract, [to] * 16, 1)
    await arb.node.automine(on=False)
    for _ in range(DUST // 16):
        await arb.node.rpc(
            "eth_sendTransaction",
            {"from": STRANGER, "to": sender, "data": "0x" + order.hex(), "gas": hex(700_000)},
        )
    await arb.node.mine(30)
    await arb.node.automine(on=True)


async def test_the_attack_pack(database: Database, arb: LocalChain) -> None:
    desk = desk_on(database)
    shop = await Shop(desk).open()
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(local_chain("base"))
        here, there = Customer(desk, shop, arb), Customer(desk, shop, base)
        await here.watch()
        await there.watch()
        bill = await shop.bill(assets=(arb.usdt, arb.usdc))
        to = bill.deposit_address

        # A token that calls itself USDT, at another address.
        fake = await arb.deploy("OddToken")
        assert (await arb.call("mint(address,uint256)", to, MILLION, to=fake, sender=STRANGER)).ok
        assert await here.settles(bill) == 0

        # Transfer logs that no token wrote: as it should be, of four topics, of odd lengths.
        evil = await arb.deploy("Evil")
        for signature, *values in (
            ("spoof(address,address,uint256)", STRANGER, to, 2 * MILLION),
            ("spoof_nft(address,address,uint256)", STRANGER, to, 3 * MILLION),
            ("spoof_data(address,address,bytes)", STRANGER, to, b"\x01"),
        ):
            assert (await arb.call(signature, *values, to=evil, sender=STRANGER)).ok
        assert await here.settles(bill) == 0

        # A transfer that reverts, and one of nothing by a stranger.
        failed = transfer_calldata(to, 10**9)
        assert not (await arb.send(STRANGER, arb.usdt.contract, failed, gas=100_000)).ok
        nothing = "transferFrom(address,address,uint256)"
        payer = PAYER.address.lower()
        assert (await arb.call(nothing, payer, to, 0, to=arb.usdt.contract, sender=STRANGER)).ok
        assert await here.settles(bill) == 0
        assert await shop.transfers(bill) == []

        # A token that keeps one per cent for itself.
        await arb.as_issuer(arb.usdt, "setParams(uint256,uint256)", 100, 10**9)
        await arb.pay(arb.usdt, to, 5 * MILLION)
        assert await here.settles(bill) == 4_950_000
        assert_short(await shop.look(bill), Money(4_950_000, arb.usdt))
        await arb.as_issuer(arb.usdt, "setParams(uint256,uint256)", 0, 0)

        # Two transfers of one transaction, sent by a contract.
        sender = await arb.deploy("MultiSend")
        await mint(arb.node, arb.usdt, sender, 2 * MILLION)
        both = "pay(address,address[],uint256)"
        await arb.call(both, arb.usdt.contract, [to, to], MILLION, to=sender, sender=STRANGER)
        assert await here.settles(bill) == 6_950_000

        # The right token on another chain, at the same address: credited there, and only there.
        await base.pay(base.usdt, to, 7 * MILLION)
        assert await there.settles(bill) == 7 * MILLION
        assert await here.settles(bill) == 6_950_000
        assert (await shop.look(bill)).tally.stray

        # Ten thousand specks of dust in a few transactions: all on record, none of it a payment.
        await mint(arb.node, arb.usdt, sender, DUST)
        await specks(arb, sender, to)
        assert await here.settles(bill) == 6_950_000 + DUST
        assert len(await shop.transfers(bill)) == 3 + 1 + DUST
        (here_held, *_) = (await shop.look(bill)).tally.assets
        assert here_held.seen_units == 6_950_000

        # The token is replaced by one that pays nobody, and by one that is paused.
        proper = await arb.node.rpc("eth_getCode", arb.usdt.contract, "latest")
        await arb.node.set_code(arb.usdt.contract, artifact("MultiSend").runtime)
        await arb.node.mine(2)
        await arb.node.set_code(arb.usdt.contract, proper)
        assert await here.settles(bill) == 6_950_000 + DUST
        assert {row.depth for row in await shop.transfers(bill)} == {Depth.FINAL}
