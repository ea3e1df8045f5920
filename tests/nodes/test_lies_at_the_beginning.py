"""What one of two nodes makes up of wallets that begin; it is asked once, so it takes two."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import pytest

from counterfoil.chains.evm.chain import EvmChain
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Status
from counterfoil.desk import moving, settings
from support.chain import QUICK
from support.fake_clock import FakeClock
from support.house import House
from support.invoices import USDT
from support.provider import Json, Provider, provider
from support.till import ETHER


@dataclass
class Liar:
    """A merchant who begins, and whose preferred node can be made to lie."""

    house: House
    node: Provider

    def says(self, method: str, told: str, about: str) -> None:
        """Have an answer made up, about one address alone."""

        def change(call: Json, answer: Json) -> Json:
            if call["method"] != method or call["params"][0].lower() != about:
                return answer
            return {**answer, "result": told}

        self.node.change = change

    def later(self) -> None:
        clock = self.house.desk.clock
        assert isinstance(clock, FakeClock)
        clock.advance(timedelta(minutes=2))

    async def honest(self) -> None:
        self.node.recover()
        await self.house.settled_in()


@pytest.fixture
async def liar(newcomer: House) -> AsyncIterator[Liar]:
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(provider(newcomer.arb.node.url)) for _ in range(2)
        ]
        urls = [first.url, second.url]
        chain = EvmChain.over(CHAINS["arb"], urls, newcomer.desk.clock, QUICK)
        stack.push_async_callback(chain.close)
        newcomer.chains = {"arb": chain}
        yield Liar(newcomer, first)


async def test_a_wallet_does_not_begin_behind_transactions_that_never_were(liar: Liar) -> None:
    """Nothing of it would ever be mined."""
    house = liar.house
    liar.says("eth_getTransactionCount", "0x5", (await house.org()).pool_address)
    await house.provide()
    assert await moving.wallets_of(house.desk, "arb") == []

    await liar.honest()
    assert (await house.wallet("pool")).next_nonce == 0
    bill = await house.signed_bill()
    await house.drive(rounds=4)
    assert await house.status(bill) is Status.COMPLETED


async def test_a_factory_that_is_not_there_is_deployed_whoever_says_that_it_stands(
    liar: Liar,
) -> None:
    """What is swept through nothing moves nothing, and nobody would deploy it any more."""
    house = liar.house
    liar.says("eth_getCode", "0x01", (await house.org()).factory_address)
    await house.settled_in()
    bill = await house.signed_bill()
    await house.drive(rounds=4)
    assert await house.status(bill) is Status.COMPLETED


async def test_gas_money_that_never_came_is_not_booked(liar: Liar) -> None:
    """The books would take a wallet for rich for ever, and never fuel it again."""
    house = liar.house
    await liar.honest()
    pool = (await house.org()).pool_address
    before = await house.holds("pool")
    liar.says("eth_getBalance", hex(9 * ETHER), pool)
    await house.fuel()
    assert await house.holds("pool") == before

    await house.arb.node.set_balance(pool, before + 7)
    await house.finalize()
    await house.fuel()
    assert await house.holds("pool") == before + 7


async def test_a_child_does_not_begin_behind_transactions_that_never_were(liar: Liar) -> None:
    house = liar.house
    await settings.choose_deposits(house.desk, 1, "arb", "hd")
    await liar.honest()
    bill = await house.signed_bill(asset=USDT)
    assert bill.hd_address is not None
    liar.says("eth_getTransactionCount", "0x5", bill.hd_address)
    assert not await house.fuel_children()
    assert "counts 5 transactions" in str((await house.move(bill, "sweep")).wait_reason)

    liar.node.recover()
    liar.later()
    for _ in range(3):
        await house.fuel_children()
        await house.drive()
    assert await house.status(bill) is Status.COMPLETED
