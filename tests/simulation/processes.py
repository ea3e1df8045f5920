"""Our processes: real desks and workers, made anew after every crash, stepped one at a time."""

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, NoReturn, cast

import psycopg
import structlog

from counterfoil.api.kryptogo.callbacks import KryptogoCallbacks, tells
from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.chains.port import Chain, ChainError
from counterfoil.core.errors import Refusal
from counterfoil.db.pool import CommitUnknown
from counterfoil.desk.desk import Desk
from counterfoil.desk.provisioning import Stock
from counterfoil.desk.tidying import tidy
from counterfoil.signer.client import SignerUnreachable
from counterfoil.workers.attach import Attacher
from counterfoil.workers.branch import FinalityBroken
from counterfoil.workers.children import ChildFueler
from counterfoil.workers.examine import Examiner
from counterfoil.workers.expire import Expirer
from counterfoil.workers.foresee import Foreseer
from counterfoil.workers.fuel import FuelWorker
from counterfoil.workers.move import MoveWorker
from counterfoil.workers.notify import Limits, Notifier
from counterfoil.workers.price import Pricer
from counterfoil.workers.provision import ProvisionWorker
from counterfoil.workers.retell import Reteller
from counterfoil.workers.screen import Screener
from counterfoil.workers.watch import (
    ChainWatcher,
    WatchedAddresses,
    WatchLimits,
)
from simulation.chain import Committed, NodeView, SimulatedChain
from simulation.chaos import LIVES, Crash, Life
from simulation.database import Line, SimulatedDatabase
from simulation.outsiders import (
    APPROVAL_KEY,
    MASTER_SECRET,
    Ids,
    Post,
    SimulatedRates,
    SimulatedScreener,
    SimulatedSigner,
    World,
)

Step = Callable[[], Awaitable[object]]

TROUBLE: Final = (
    Refusal,
    ChainError,
    CommitUnknown,
    SignerUnreachable,
    psycopg.OperationalError,
)
"""What a step may end with: an answer to somebody, or something outside that is broken."""

_ROOM: Final = 3
_SLICE: Final = 5.0
"""Real seconds, and how often in a row nothing at all has moved after them where a step hangs: no
point was passed, and the server is not at work. A machine that gives us no time gives none of it to
the clock that is looked at here either, so it never looks like a step that hangs."""

_POINTS: Final = 200_000
"""So many in one step, and it goes round in circles."""


class Strange(Exception):  # noqa: N818 - named for what is found
    """A step ended with an error that nobody ordered: a bug of ours, or of the harness."""


class Process:
    """One process with a line of its own to the database. ``web`` ones hold the approval key."""

    def __init__(  # noqa: PLR0913 - what a process is started with
        self,
        name: str,
        line: Line,
        world: World,
        chains: Mapping[str, SimulatedChain],
        committed: Committed,
        *,
        web: bool = False,
    ) -> None:
        self.name = name
        self.line = line
        self.world = world
        self._chains = chains
        self._committed = committed
        self._web = web
        self.start()

    def start(self) -> None:
        """Begin with nothing but what the database and the world remember."""
        world = self.world
        self.owner = next(world.incarnations)
        self.life = Life(self.name, world.dice, world.record)
        self.task: asyncio.Task[object] | None = None
        self.doing = ""
        self.chains: dict[str, Chain] = {
            key: cast("Chain", NodeView(chain, self.life, self._committed))
            for key, chain in self._chains.items()
        }
        self.desk = Desk(
            database=SimulatedDatabase(self.line, self.life),
            clock=world.clock,
            ids=Ids(world.clock, self.owner),
            addresses={"evm": parse_evm_address},
            approval_key=APPROVAL_KEY if self._web else None,
            chains=tuple(self._chains),
            tells={"kryptogo": tells},
        )
        self.steps: dict[str, Step] = {} if self._web else self._workers()

    def _workers(self) -> dict[str, Step]:
        desk, world, life = self.desk, self.world, self.life
        signer = SimulatedSigner(world.signer, life)
        watched = WatchedAddresses(desk, "evm")
        self.notifier = Notifier(
            desk,
            {"kryptogo": KryptogoCallbacks()},
            cast("Any", Post(world.receivers, world.clock, life)),
            MASTER_SECRET,
            limits=Limits(lease_seconds=60.0, gathering_seconds=0),
            jitter=world.dice.random.random,
        )
        screener = SimulatedScreener(world.clock, life, world.risky, world.silent)
        # Whoever is slow says so; real seconds would pass while the process stands still.
        examiner = Examiner(desk, [screener], timeout_seconds=86_400)
        foreseer = Foreseer(desk, examiner)
        rates = SimulatedRates(world.clock, life, world.rates)
        watchers = {
            f"watch:{key}": ChainWatcher(
                desk, chain, watched, WatchLimits(start_block=0), foreseer=foreseer
            ).step
            for key, chain in self.chains.items()
        }
        return {
            **watchers,
            # So that a few steps without an answer are enough for people to be asked.
            "screen": Screener(desk, examiner, patience_seconds=10.0).step,
            "foresee": foreseer.step,
            "notify": self._notify,
            "move": MoveWorker(desk, self.chains, signer).step,
            "retell": Reteller(desk).step,
            "attach": Attacher(desk, self.chains).step,
            "expire": Expirer(desk, self.chains.keys()).step,
            "price": Pricer(desk, [rates]).step,
            "provision": ProvisionWorker(
                desk, self.chains, signer, Stock(low_water=10, target=20)
            ).step,
            "fuel": FuelWorker(desk, self.chains).step,
            "children": ChildFueler(desk, self.chains, signer).step,
            "tidy": partial(tidy, desk),
        }

    async def _notify(self) -> int:
        started = await self.notifier.step()
        await self.notifier.settle()
        return started

    @property
    def is_paused(self) -> bool:
        return self.task is not None

    async def do(self, what: str, work: Callable[[], Awaitable[object]]) -> object:
        """Let the process do something until it ends, stops for a while, or dies of it.

        Answers what the work answered, None where it has not ended or ended in trouble.
        """
        assert self.task is None, f"{self.name} is paused in the middle of {self.doing}"
        self.doing = what
        self.world.acting = self.owner
        self.task = asyncio.create_task(_run(self.life, work))
        return await self._until_quiet()

    async def go_on(self) -> object:
        """Let a paused process continue; time went by for everybody else."""
        self.world.record.say(f"      {self.name} goes on with {self.doing}")
        self.world.acting = self.owner
        self.life.resume()
        return await self._until_quiet()

    async def _until_quiet(self) -> object:
        task = self.task
        assert task is not None
        stopped = asyncio.create_task(self.life.paused.wait())
        try:
            still, began = 0, (seen := self.life.progress)
            while not (task.done() or self.life.paused.is_set()):
                if still == _ROOM or seen[0] - began[0] > _POINTS:
                    raise Strange(f"{self.name} hangs in {self.doing}")
                await asyncio.wait({task, stopped}, timeout=_SLICE, return_when=FIRST_COMPLETED)
                before, seen = seen, self.life.progress
                still = 0 if self.life.busy or seen != before else still + 1
        finally:
            stopped.cancel()
        if not task.done():
            await self.life.rest()
            return None
        self.task = None
        return await self._ended(task)

    async def _ended(self, task: "asyncio.Task[object]") -> object:
        if self.life.dead:
            await self._bury()
            return None
        result = task.result()
        if not isinstance(result, _Failed):
            return result
        error = result.error
        if _is_trouble(error) or self._must_halt(error):
            self.world.record.say(f"      {type(error).__name__}: {str(error)[:150]}")
            if isinstance(error, Refusal):
                return error
            return None
        raise Strange(f"{self.name}, {self.doing}: {type(error).__name__}: {error}") from error

    def _must_halt(self, error: Exception) -> bool:
        """Whether a node that never hears of what is final by now was taken at its word."""
        parted = any(chain.ever_parted for chain in self._chains.values())
        return parted and isinstance(error, FinalityBroken)

    async def _bury(self) -> None:
        """Wait for all that it had begun; each part ends at its next point. Then start anew."""
        while self.life.tasks:
            await asyncio.wait(self.life.tasks)
        self.start()

    async def kill(self, why: str) -> None:
        """End it from outside, whatever it is doing."""
        self.life.kill(why)
        task, self.task = self.task, None
        if task is not None:
            await asyncio.wait({task})
        await self._bury()


class _Failed:
    def __init__(self, error: Exception) -> None:
        self.error = error


def mine_tasks(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:  # noqa: ANN401 - as asyncio has it
    """A task factory that knows which process makes each task."""
    task = asyncio.Task(coro, loop=loop, **options)
    life = LIVES.get()
    if life is not None:
        life.tasks.add(task)
        task.add_done_callback(life.ended)
    return task


async def _run(life: Life, work: Callable[[], Awaitable[object]]) -> object:
    LIVES.set(life)
    try:
        return await work()
    except Crash:
        return None
    except Exception as error:  # noqa: BLE001 - judged by whoever let it run
        return _Failed(error)
    finally:
        # What failed first ends the step; what was begun beside it must not run into the next.
        while life.tasks:
            await asyncio.wait(life.tasks)


def _is_trouble(error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):
        return all(_is_trouble(one) for one in error.exceptions)
    return isinstance(error, TROUBLE)


def quiet_logs() -> None:
    """The record says what happened; log lines would only bury it."""

    def drop(_logger: object, _method: str, _event: object) -> NoReturn:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])
