"""One soak: real processes, a stream of invoices, troubles, and the proof at the end."""

import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from counterfoil.core.assets import CHAINS
from counterfoil.core.money import Asset
from counterfoil.db.embedded import EmbeddedPostgres
from counterfoil.desk import members
from counterfoil.sandbox.demo import ORG_ID, Crew
from counterfoil.sandbox.places import Places, passing_places
from soak.line import Line
from soak.people import Stubborn
from soak.proof import Ended, Proof
from soak.stories import TALES, Story, Tale
from soak.troubles import Troubles
from support.actors import Signer
from support.journey import Chain, Journey, begun

_WORKER: Final = [sys.executable, "-P", str(Path(__file__).with_name("worker_process.py"))]

CREW: Final = Crew(workers={"work": _WORKER, "work-2": _WORKER}, longest_pause_seconds=1.0)
"""Dead processes are back at once, so that there is always one more to kill."""

REST_SECONDS: Final = 180.0
"""How long it may take after the last trouble until nothing is open any more."""


@dataclass(frozen=True)
class Plan:
    """How much is asked of the system. ``at_once`` is how many invoices are on their way."""

    seed: int
    kills: int
    seconds: float
    at_once: int


@dataclass
class Report:
    """What was done to the system, and what came of it."""

    plan: Plan
    troubles: Counter[str] = field(default_factory=Counter)
    during: Counter[str] = field(default_factory=Counter)
    invoices: Counter[str] = field(default_factory=Counter)
    came_back: Counter[str] = field(default_factory=Counter)
    payments: int = 0
    callbacks: int = 0
    checks: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def struck(self, kind: str) -> int:
        """How many kills, pauses or bad lines there were."""
        return sum(n for name, n in self.troubles.items() if name.startswith(kind))

    def lines(self) -> Iterator[str]:
        yield f"seed        {self.plan.seed}"
        for kind in ("kill", "pause", "line"):
            each = ", ".join(
                f"{name.removeprefix(kind).strip()} {n}"
                for name, n in sorted(self.troubles.items())
                if name.startswith(kind)
            )
            yield f"{kind + 's':11} {self.struck(kind)} ({each})"
        yield f"during      {_listed(self.during)}"
        yield f"invoices    {self.invoices.total()} ({_listed(self.invoices)})"
        yield f"payments    {self.payments}"
        yield f"callbacks   {self.callbacks}"
        yield f"asked again {_listed(self.came_back)}"
        yield f"checks      {self.checks}"
        yield f"seconds     {', '.join(f'{k} {v:.0f}' for k, v in self.seconds.items())}"
        yield f"violations  {len(self.violations)}"
        yield from (f"  {sentence}" for sentence in self.violations)


class Soak:
    """The running system and everybody around it."""

    def __init__(
        self, journey: Journey, places: Places, lines: dict[str, Line], second: Signer, plan: Plan
    ) -> None:
        self.plan = plan
        self._journey = journey
        self._second = second
        self._people = Stubborn()
        self._proof = Proof(journey)
        self._under_way: dict[asyncio.Task[None], Story] = {}
        self._ended: list[Ended] = []
        self._troubles = Troubles(
            seed=plan.seed,
            supervisor=journey.sandbox.supervisor,
            postgres=EmbeddedPostgres(places.postgres),
            lines=lines,
            stages=self._stages,
            tell=lambda what: journey.log.append(f"trouble {what}"),
        )

    async def run(self) -> Report:
        """Trouble while invoices come and go, then peace until all is at rest, then the proof."""
        report = Report(self.plan)
        looking = asyncio.create_task(self._proof.keeps_looking())
        try:
            with _timed(report, "trouble"):
                await self._trouble()
            with _timed(report, "rest"):
                await self._rest()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        with _timed(report, "proof"):
            await self._proof.everything(self._ended)
        report.troubles = self._troubles.made
        report.during = self._troubles.during
        report.invoices = Counter(ended.story.name for ended in self._ended)
        report.payments = sum(ended.story.payments for ended in self._ended)
        report.callbacks = len(self._journey.inbox.received)
        report.came_back = self._people.came_back
        report.checks = self._proof.checks
        report.violations = self._proof.violations
        return report

    async def _trouble(self) -> None:
        making = asyncio.create_task(self._troubles.make(self.plan.kills, self.plan.seconds))
        tales = itertools.cycle(TALES)
        places = itertools.cycle(
            (chain, chain.token(symbol))
            for symbol in ("USDC", "USDT")
            for chain in self._journey.chains.values()
        )
        while not making.done():
            while len(self._under_way) < self.plan.at_once:
                self._open(next(tales), *next(places))
            await asyncio.wait({making, *self._under_way}, return_when=asyncio.FIRST_COMPLETED)
        await making

    async def _rest(self) -> None:
        """Let every story end, and then every piece of work that they left."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_SECONDS):
                while not await self._proof.at_rest():
                    await self._proof.hurry()
                    await asyncio.sleep(0.5)

    def _open(self, tale: Tale, chain: Chain, token: Asset) -> None:
        story = Story(self._journey, self._people, self._second, tale.__name__, chain, token)
        task = asyncio.create_task(self._tell(tale, story))
        self._under_way[task] = story
        task.add_done_callback(self._under_way.pop)

    async def _tell(self, tale: Tale, story: Story) -> None:
        try:
            self._ended.append(Ended(story, await tale(story)))
        except Exception as error:  # noqa: BLE001 - one story that goes wrong is a finding; the others go on
            self._proof.finds(f"{story}: {error}")

    def _stages(self) -> Counter[str]:
        return Counter(story.stage for story in self._under_way.values() if story.stage)


async def soaked(plan: Plan) -> Report:
    """Run a plan on a system of its own, which vanishes afterwards."""
    with passing_places() as places:
        async with _standing(places, plan) as soak:
            return await soak.run()


@asynccontextmanager
async def _standing(places: Places, plan: Plan) -> AsyncIterator[Soak]:
    async with AsyncExitStack() as stack:
        lines = {
            key: await stack.enter_async_context(Line(_port_of(places, key)).laid())
            for key in CHAINS
        }
        settings = {f"COUNTERFOIL_RPC_{key.upper()}": line.url for key, line in lines.items()}
        settings["COUNTERFOIL_REQUESTS_PER_SECOND"] = "1000000"
        journey = await stack.enter_async_context(begun(places, settings=settings, crew=CREW))
        yield Soak(journey, places, lines, await _second_signer(journey), plan)


def _port_of(places: Places, key: str) -> Callable[[], int]:
    """Where a node listens, which is written down before anybody connects."""

    def port() -> int:
        facts = places.read()
        assert facts is not None
        return int(facts.chains[key].rpc_url.rpartition(":")[2])

    return port


async def _second_signer(journey: Journey) -> Signer:
    """Somebody else who may approve the refund that the first signer ordered."""
    member = await members.add_member(
        journey.desk,
        ORG_ID,
        email="second-signer@meridian.example",
        name="Sven Berg",
        roles=("signer",),
        password_hash="never used",
    )
    key = await members.issue_key(journey.desk, member, "soak")
    return Signer(journey.session, key, journey.sandbox.facts.client_id)


@contextmanager
def _timed(report: Report, what: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        report.seconds[what] = time.monotonic() - started


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.most_common()) or "none"
