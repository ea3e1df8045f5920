"""One soak: real processes, a stream of invoices, troubles, and the proof at the end."""

import asyncio
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from counterfoil.core.assets import CHAINS
from counterfoil.core.money import Asset
from counterfoil.db.embedded import EmbeddedPostgres
from counterfoil.desk import members, settings
from counterfoil.sandbox.demo import ORG_ID, Crew
from counterfoil.sandbox.places import Places, passing_places
from soak.frost import Frost
from soak.line import Line
from soak.people import Stubborn
from soak.plan import Plan, Report
from soak.proof import Ended, Proof
from soak.stories import Story
from soak.tales import TALES, Tale
from soak.troubles import Troubles
from soak.witness import Witness
from support.actors import Signer
from support.inbox import Inbox
from support.journey import Chain, Journey, begun

_WORKER: Final = [sys.executable, "-P", str(Path(__file__).with_name("worker_process.py"))]

CREW: Final = Crew(workers={"work": _WORKER, "work-2": _WORKER}, longest_pause_seconds=1.0)
"""Dead processes are back at once, so that there is always one more to kill."""

HD_CHAIN: Final = "optimism"
"""Where tokens are paid to addresses with keys of their own; elsewhere the factory's."""

LOST: Final = "lease_lost"
"""How the events are called, or end, that workers log then."""

REST_LOOKS: Final = 300
REST_SECONDS: Final = 0.5
"""How often one looks after the last trouble whether anything is open, and how long in between."""


class Soak:
    """The running system and everybody around it."""

    def __init__(
        self, plan: Plan, journey: Journey, lines: dict[str, Line], second: Signer, moody: Inbox
    ) -> None:
        """Nothing happens yet; see `standing`."""
        self.plan = plan
        self.witness = Witness(journey.desk.database)
        self.proof = Proof(journey, (journey.inbox, moody), self.witness, self._say)
        self.ended: list[Ended] = []
        self.journey = journey
        self._second = second
        self._moody = moody
        self._people = Stubborn()
        self._under_way: dict[asyncio.Task[None], Story] = {}
        self._troubles = Troubles(
            plan=plan,
            supervisor=journey.sandbox.supervisor,
            postgres=EmbeddedPostgres(journey.places.postgres),
            lines=lines,
            moody=moody,
            witness=self.witness,
            frost=Frost(journey, plan.seed).passes_over,
            stages=self._stages,
            gone=self._gone,
            tell=self._say,
        )

    async def run(self) -> Report:
        """Trouble while invoices come and go, then peace until all is at rest, then the proof."""
        report = Report(self.plan, kinds=tuple(tale.__name__ for tale in TALES))
        await self.witness.arrives()
        looking = asyncio.create_task(self.proof.keeps_looking())
        try:
            with _timed(report, "trouble"):
                await self._trouble()
            with _timed(report, "rest"):
                await self._rest()
        finally:
            # Also where all is called off: nobody may be at work when the system is put away.
            (ended, *_) = await _called_off(looking, *self._under_way)
        if not isinstance(ended, asyncio.CancelledError):
            self.proof.finds(f"nobody looked any more: {ended!r}")
        with _timed(report, "proof"):
            await self.proof.everything(self.ended)
        report.troubles = self._troubles.made
        report.during = self._troubles.during
        report.amid = self._troubles.amid
        report.met = self._troubles.met
        report.invoices = Counter(ended.story.name for ended in self.ended)
        report.modes = Counter(_mode(ended.story) for ended in self.ended)
        report.payments = sum(ended.story.payments for ended in self.ended)
        report.callbacks = len(self.journey.inbox.accepted) + len(self._moody.accepted)
        report.came_back = self._people.came_back
        report.saw = await self.witness.saw()
        report.checks = self.proof.checks
        report.violations = self.proof.violations
        return report

    async def _trouble(self) -> None:
        making = asyncio.create_task(self._troubles.make())
        # Another order each time: where few invoices are told, they are not always the same ones.
        order = random.Random(self.plan.seed).sample(TALES, len(TALES))  # noqa: S311 - as above
        tales = itertools.cycle(order)
        places = itertools.cycle(
            (chain, chain.token(symbol))
            for symbol in ("USDC", "USDT")
            for chain in self.journey.chains.values()
        )
        receivers = itertools.cycle((self.journey.inbox, self._moody))
        try:
            while not making.done():
                while len(self._under_way) < self.plan.at_once:
                    self._open(next(tales), *next(places), next(receivers))
                await asyncio.wait({making, *self._under_way}, return_when=asyncio.FIRST_COMPLETED)
            await making
        finally:
            await _called_off(making)

    async def _rest(self) -> None:
        """Let every story end, and then every piece of work that they left."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        for _ in range(REST_LOOKS):
            if await self.proof.at_rest():
                return
            await self.proof.hurry()
            await asyncio.sleep(REST_SECONDS)

    def _open(self, tale: Tale, chain: Chain, token: Asset, receiver: Inbox) -> None:
        people = (self._people, self._second, self._moody)
        story = Story(self.journey, *people, tale.__name__, chain, token, receiver)
        task = asyncio.create_task(self._tell(tale, story))
        self._under_way[task] = story
        task.add_done_callback(self._under_way.pop)

    async def _tell(self, tale: Tale, story: Story) -> None:
        try:
            self.ended.append(Ended(story, await tale(story)))
            self._say(f"{story} ended well")
        except Exception as error:  # noqa: BLE001 - one story that goes wrong is a finding; the others go on
            self.proof.finds(f"{story}: {error}")

    def _say(self, what: str) -> None:
        """Among the processes' own lines, and to whoever wants to follow."""
        self.journey.log.append(f"soak {what}")
        if self.plan.follow is not None:
            self.plan.follow(what)

    def _gone(self) -> int:
        """How often a worker said that a lease of its own was gone."""
        return sum(f'{LOST}"' in line for line in self.journey.log)

    def _stages(self) -> Counter[str]:
        return Counter(story.stage for story in self._under_way.values() if story.stage)


async def soaked(plan: Plan) -> Report:
    """Run a plan on a system of its own, which vanishes afterwards."""
    async with standing(plan) as soak:
        return await soak.run()


@asynccontextmanager
async def standing(plan: Plan) -> AsyncIterator[Soak]:
    """A system of its own with everybody around it, which vanishes afterwards."""
    async with AsyncExitStack() as stack:
        places = stack.enter_context(passing_places())
        lines = {
            key: await stack.enter_async_context(Line(_port_of(places, key)).laid())
            for key in CHAINS
        }
        environment = {f"COUNTERFOIL_RPC_{key.upper()}": line.url for key, line in lines.items()}
        environment["COUNTERFOIL_REQUESTS_PER_SECOND"] = "1000000"
        journey = await stack.enter_async_context(begun(places, settings=environment, crew=CREW))
        await settings.choose_deposits(journey.desk, ORG_ID, HD_CHAIN, "hd")
        moody = await stack.enter_async_context(Inbox().open())
        yield Soak(plan, journey, lines, await _second_signer(journey), moody)


async def _called_off(*tasks: asyncio.Task[None]) -> list[BaseException | None]:
    """End tasks, and answer how each ended."""
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


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


def _mode(story: Story) -> str:
    """To what kind of address an invoice was paid."""
    if story.token.is_native:
        return "ether to the factory's"
    return "its own key" if story.chain.key == HD_CHAIN else "the factory's"
