"""Whatever a chain does below finality, the books end up with what is on it (chains.md 6.2)."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.core.invoice import Policy
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database
from counterfoil.workers.watch import ChainWatcher, WatchedAddresses, WatchLimits
from support.fake_chain import FakeChain, Moved
from support.fake_clock import FakeClock
from support.invoices import CUSTOMER, USDC, USDT
from support.patience import patiently
from support.postgres import TestServer
from support.shop import Shop, desk_on

BILLS = 4
DEEPEST_REORG = 5


@dataclass(frozen=True)
class Pay:
    """One transaction with a transfer to each of these invoices."""

    bills: tuple[int, ...]
    units: int


@dataclass(frozen=True)
class Mine:
    blocks: int


@dataclass(frozen=True)
class Reorg:
    depth: int
    forget: bool


@dataclass(frozen=True)
class Tick:
    """The watcher looks, through a node that lags so many blocks."""

    lag_blocks: int = 0


@dataclass(frozen=True)
class Crash:
    """The watcher's process dies; another starts with an empty memory."""


bills = st.integers(0, BILLS - 1)
happenings = st.one_of(
    st.builds(Pay, st.lists(bills, min_size=1, max_size=3).map(tuple), st.integers(1, 10**12)),
    st.builds(Mine, st.integers(1, 4)),
    st.builds(Reorg, st.integers(1, DEEPEST_REORG), st.booleans()),
    st.builds(Tick, st.sampled_from((0, 0, 0, 1, 3))),
    st.just(Crash()),
)


@settings(max_examples=20, deadline=None)
@given(story=st.lists(happenings, min_size=5, max_size=60))
def test_the_final_ledger_equals_the_chain_and_nothing_stays_provisional(
    postgres: TestServer, story: list[object]
) -> None:
    with postgres.fresh_database() as url:
        asyncio.run(_tell(url, story))


async def _tell(url: str, story: list[object]) -> None:
    database = Database(url, name="story")
    await database.open()
    try:
        await _World(database).live(story)
    finally:
        await database.close()


class _World:
    def __init__(self, database: Database) -> None:
        self.clock = FakeClock()
        self.desk = desk_on(database, self.clock)
        self.shop = Shop(self.desk)
        self.chain = FakeChain(self.clock, safe_lag=3, final_lag=DEEPEST_REORG + 1)
        self.watcher = self._new_watcher()

    async def live(self, story: list[object]) -> None:
        await self.shop.open()
        every_unit_counts = Policy(dust_below=Decimal(0))
        self.bills = [
            await self.shop.bill(assets=(USDT, USDC), policy=every_unit_counts)
            for _ in range(BILLS)
        ]
        await self._watch()
        for happening in story:
            await self._happen(happening)
        self._mine(2 * DEEPEST_REORG)
        await self._watch()
        await self._check()

    async def _happen(self, happening: object) -> None:
        match happening:
            case Pay(payees, units):
                moves = [
                    Moved(
                        (USDT, USDC)[place % 2].contract,
                        CUSTOMER,
                        self.bills[payee].deposit_address,
                        units,
                    )
                    for place, payee in enumerate(payees)
                ]
                self.chain.include(*moves)
            case Mine(blocks):
                self._mine(blocks)
            case Reorg(depth, forget) if depth <= self.chain.head.number:
                self.chain.reorg(depth, forget=forget)
                self._mine(2)
            case Tick(lag_blocks):
                self.chain.faults.lag_blocks = lag_blocks
                await self._watch()
                self.chain.faults.lag_blocks = 0
            case Crash():
                self.clock.advance(timedelta(minutes=1))
                self.watcher = self._new_watcher()

    async def _check(self) -> None:
        for bill in self.bills:
            for asset in (USDT, USDC):
                (held,) = await self.chain.token_balances(
                    asset.contract, [bill.deposit_address], self.chain.head.hash
                )
                assert await self.shop.deposited(bill, asset) == held
                tallied = {a.asset: a for a in (await self.shop.look(bill)).tally.assets}
                assert (tallied[asset].final_units if asset in tallied else 0) == held
            depths = {transfer.depth for transfer in await self.shop.transfers(bill)}
            assert depths <= {Depth.ORPHANED, Depth.FINAL}

    def _new_watcher(self) -> ChainWatcher:
        limits = WatchLimits(widest_range=7)
        return ChainWatcher(self.desk, self.chain, WatchedAddresses(self.desk, "evm"), limits)

    def _mine(self, blocks: int) -> None:
        self.clock.advance(timedelta(seconds=1))
        self.chain.mine(blocks)

    async def _watch(self) -> None:
        async with patiently("a watcher that rests"):
            while await self.watcher.step():
                pass
