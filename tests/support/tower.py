"""`Tower`: a chain's watcher at work over a chain in memory and the real books."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from copy import copy
from datetime import timedelta

from counterfoil.chains.port import At, Block, Recipients, Transfer
from counterfoil.desk import watching
from counterfoil.desk.desk import Desk
from counterfoil.workers.runner import RightOfWay, quietly
from counterfoil.workers.watch import ChainWatcher, WatchedAddresses, WatchLimits
from support.fake_chain import FakeChain
from support.fake_clock import FakeClock
from support.shop import Shop


class CountingChain(FakeChain):
    """Counts what it is asked."""

    asked: Counter[str]

    def __post_init__(self) -> None:
        self.asked = Counter()
        super().__post_init__()

    async def block(self, at: At) -> Block | None:
        self.asked["block"] += 1
        return await super().block(at)

    async def transfers(
        self,
        from_block: int,
        to_block: int,
        contracts: Sequence[str] | None,
        recipients: Recipients,
        **hashes: str | None,
    ) -> list[Transfer]:
        self.asked["transfers"] += 1
        self.asked["by name" if isinstance(recipients, Collection) else "everybody's"] += 1
        return await super().transfers(from_block, to_block, contracts, recipients, **hashes)


def left_behind(chain: FakeChain) -> FakeChain:
    """A node that is as this one, and hears of nothing any more.

    What is mined on it is a branch of its own.
    """
    node = copy(chain)
    node._chain = list(chain._chain)  # noqa: SLF001 - a node like this one
    node._serial += 1_000_000  # noqa: SLF001 - so that its blocks have hashes of their own
    return node


class Tower:
    """A watcher with its chain, and a shop whose addresses it watches."""

    def __init__(self, desk: Desk, clock: FakeClock, chain: FakeChain) -> None:
        self.desk = desk
        self.clock = clock
        self.chain = chain
        self.shop = Shop(desk)
        self.watcher = self.another()

    def another(
        self,
        limits: WatchLimits | None = None,
        *,
        recorded: Callable[[], None] = quietly,
        way: RightOfWay | None = None,
    ) -> ChainWatcher:
        watched = WatchedAddresses(self.desk, "evm")
        return ChainWatcher(self.desk, self.chain, watched, limits, recorded=recorded, way=way)

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.clock.advance(timedelta(seconds=1))
            self.chain.mine()

    async def watch(self, watcher: ChainWatcher | None = None) -> int:
        """Let the watcher go on until it has nothing more to do; answers its steps."""
        watcher = watcher or self.watcher
        steps = 1
        while await watcher.step():
            steps += 1
            assert steps < 1000, "the watcher never rests"
        return steps

    async def position(self) -> watching.ChainPosition:
        (at,) = await watching.positions(self.desk)
        return at
