"""One run from one seed: a world, our processes in it, and everything that happens to them."""

import asyncio
import random
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from counterfoil.core.invoice import Status
from counterfoil.workers.lists import import_list
from simulation import administrators, drain, founding, operators, payers, people, stories
from simulation.chain import Committed, SimulatedChain
from simulation.chaos import Dice, Record
from simulation.checker import Checker
from simulation.database import Line, all_tables, connect, empty
from simulation.outsiders import SignerBox, World
from simulation.parts import Violation
from simulation.people import Known, Person, Scene
from simulation.processes import Process, Strange, mine_tasks, quiet_logs
from simulation.result import STEPS, Result
from simulation.teller import Teller
from support.bureau import sdn
from support.fake_clock import NOON, FakeClock

LISTED: Final = "0x098b716b8aaf21512996dc57eb0615e2383e2f96"
_TOLD_IN_PEACE: Final = 0.7
"""So many stories happen while no fault falls but those that they are about."""

_TOKENS: Final = ("USDT", "USDT", "USDT", "USDC", "ETH")


@dataclass(slots=True)
class Lines:
    """Connections that all runs share: connecting anew each time would cost more than a run."""

    web: Line
    workers: tuple[Line, Line]
    checker: Line
    admin: Line
    tables: Sequence[str]
    admin_url: str

    @classmethod
    async def open(cls, url: str, admin_url: str) -> "Lines":
        turn = asyncio.Lock()
        web, one, two, checker = [await connect(url, turn) for _ in range(4)]
        admin = await connect(admin_url, turn)
        return cls(web, (one, two), checker, admin, await all_tables(admin), admin_url)

    async def close(self) -> None:
        for line in (self.web, *self.workers, self.checker, self.admin):
            await line.close()


class Run:
    """A world in which time passes only when the dice say so."""

    def __init__(self, seed: int, lines: Lines, folder: Path, *, loud: bool = False) -> None:
        self.seed = seed
        self.lines = lines
        self.dice = Dice(seed)
        self.record = Record(loud=loud)
        self.result = Result(seed, self.record)
        clock = FakeClock(NOON)
        self.world = World(clock, self.dice, self.record, SignerBox(folder, clock))
        keys = ("arb", "base") if self.dice.random.random() < 0.15 else ("arb",)
        self.chains = {key: SimulatedChain(clock=clock, key=key) for key in keys}
        self.world.lines = [lines.web, *lines.workers]
        self.checker = Checker(lines.checker, self.world, self.chains)
        committed: Committed = self.checker
        with_calm = self.dice.calm
        self.dice.calm = True
        self.web = Process("web", lines.web, self.world, self.chains, committed, web=True)
        self.workers = [
            Process(name, line, self.world, self.chains, committed)
            for name, line in zip(("A", "B"), lines.workers, strict=True)
        ]
        self.dice.calm = with_calm
        # Some acts are rife in some runs and rare in others, as faults are.
        self.weights = [r.weight * self.dice.random.choice((0.2, 1.0, 4.0)) for r in people.RULES]
        self.staff: dict[int, list[Person]] = {}
        self.files: dict[int, UUID] = {}
        self.keys: dict[str, tuple[str, object]] = {}

    # ------------------------------------------------------------------ before anything happens

    async def prepare(self) -> None:
        """Organisations with people, gas and addresses; a list; rates. Nothing goes wrong yet."""
        self.dice.calm = True
        for org_id in (1, 2):
            await founding.found(self, org_id)
        desk = self.web.desk
        await import_list(desk, sdn(LISTED), "a simulation")
        for chain in self.chains.values():
            chain.mine()
        await self._each("price", "provision", *(f"watch:{key}" for key in self.chains))
        for chain in self.chains.values():
            chain.mine(6)
        await self._each("fuel", *(f"watch:{key}" for key in self.chains))
        self.checker.listed = [LISTED]
        self.checker.people = {p.actor.uid: p for staff in self.staff.values() for p in staff}
        self.dice.calm = False
        self.record.say(f"seed {self.seed}: {', '.join(self.dice.kinds)}")

    async def _each(self, *names: str) -> None:
        for name in names:
            while await self.workers[0].do(name, self.workers[0].steps[name]):
                pass

    # ------------------------------------------------------------------ what happens

    async def live(self, steps: int) -> None:
        """The first phase: everything goes wrong that the seed has chosen."""
        happenings: tuple[tuple[Callable[[], Awaitable[None]], int], ...] = (
            (self._work, 50),
            (self._forward, 16),
            (self._person, 14),
            (self._payer, 7),
            (self._chain, 16),
            (self._time, 4),
            (self._operate, 3),
            (self._administer, 2),
            (self._outage, 1),
        )
        kinds = [do for do, _ in happenings]
        weights = [weight for _, weight in happenings]
        names = stories.of_seed(self.seed, steps)
        begins = {steps * (n + 1) // (len(names) + 2): name for n, name in enumerate(names)}
        for number in range(steps):
            if number in begins:
                await self._tell(begins[number])
            do = self.dice.random.choices(kinds, weights)[0]
            if number < 8 and self.dice.random.random() < 0.5:
                do = self._create
            self.result.steps += 1
            await do()
            await self.checker.after_step()

    async def _tell(self, name: str) -> None:
        """Let a story happen in the middle of everything else."""
        self.record.say(f"{self.now}  a story begins: {name}")
        teller = Teller(self, name)
        # Under faults few are told to their end.
        self.dice.calm = self.dice.random.random() < _TOLD_IN_PEACE
        if self.dice.calm:
            self._agree()
        ended = await stories.tell(teller)
        await teller.end()
        self.dice.calm = False
        self.record.told[name] += 1
        self.record.lost[name] += not ended

    async def _work(self) -> None:
        worker = self.dice.random.choice(self.workers)
        if worker.is_paused:
            if self.dice.random.random() < 0.3:
                if self.dice.random.random() < 0.5:
                    # Longer than a lease, so that it believes to hold what others took over.
                    self.pass_time(90)
                await worker.go_on()
            else:
                await self._step(next(w for w in self.workers if w is not worker))
            return
        await self._step(worker)

    async def _step(self, worker: Process) -> None:
        if worker.is_paused:
            await worker.go_on()
            return
        names = sorted(await self.checker.due() & worker.steps.keys())
        if not names or self.dice.random.random() < 0.2:
            names = list(worker.steps)
        name = self.dice.random.choice(names)
        self.record.say(f"{self.now}  {worker.name} {name}")
        again = 6
        while await worker.do(name, worker.steps[name]) and again and not worker.is_paused:
            again -= 1
            await self.checker.after_step()
        if name.startswith("watch:") and worker.task is None and self.dice.random.random() < 0.5:
            # What was merely seen is looked at before it counts, where there is time for that.
            await self.checker.after_step()
            await worker.do("foresee", worker.steps["foresee"])

    async def _forward(self) -> None:
        """Somebody does what an invoice waits for, so that money gets to where it can be lost."""
        if self.web.is_paused:
            await self.web.go_on()
            return
        chance = self.dice.random
        invoices = [i for i in await self.checker.invoices() if i.status in people.NEXT]
        if not invoices:
            await self._create()
            return
        invoice = chance.choice(invoices)
        names = people.NEXT[invoice.status]
        if not names:
            await self._payer(plain=True)
            return
        await self._act(people.RULE[chance.choice(names)], invoice, odd=False)

    async def _person(self) -> None:
        if self.web.is_paused:
            await self.web.go_on()
            return
        if self.dice.random.random() < 0.2:
            await self._create()
            return
        invoices = await self.checker.invoices()
        chance = self.dice.random
        rule = chance.choices(people.RULES, self.weights)[0]
        fitting = [i for i in invoices if i.status in rule.statuses]
        odd = chance.random() < 0.08
        pick = invoices if odd else fitting
        if not pick:
            await self._work()
            return
        await self._act(rule, chance.choice(pick), odd=odd)

    async def _act(self, rule: people.Rule, invoice: Known, *, odd: bool) -> object:
        chance = self.dice.random
        org_id = invoice.org_id if not odd or chance.random() < 0.5 else 3 - invoice.org_id
        staff = [p for p in self.staff[org_id] if odd or p.role == rule.role]
        scene = self.scene(chance.choice(staff), invoice)
        self.record.say(
            f"{self.now}  {scene.person.role} {org_id}: {rule.name}"
            f" {_short(invoice)} ({invoice.status})"
        )
        answer = await self.ask(rule.name, scene, rule.do)
        if answer is not None:
            counts = self.record.refused if people.is_refusal(answer) else self.record.acts
            counts[rule.name] += 1
        if org_id != invoice.org_id and answer is not None and not people.is_refusal(answer):
            self._violated("I18", f"{rule.name} by somebody of organisation {org_id} was answered")
        return answer

    async def ask(
        self, what: str, scene: Scene, do: Callable[[Scene], Awaitable[object]]
    ) -> object:
        """Ask, and where no answer comes ask again, as a client with a key does."""
        answer: object = None
        for _ in range(3):
            scene.desk = self.web.desk
            answer = await self.web.do(what, lambda: people.answered(do(scene)))
            if self.web.is_paused or answer is not None or not scene.key:
                break
        self.checker.heard(scene, what, answer)
        return answer

    def scene(self, person: Person, invoice: Known) -> Scene:
        chance = self.dice.random
        key = f"key-{chance.randrange(10**9)}" if chance.random() < 0.7 else ""
        return Scene(
            desk=self.web.desk,
            dice=self.dice,
            person=person,
            invoice=invoice,
            files=[self.files[person.actor.org_id]],
            chains=self.chains,
            key=key,
            address=_somewhere(chance),
        )

    async def _create(self) -> None:
        if self.web.is_paused:
            await self.web.go_on()
            return
        chance = self.dice.random
        org_id = chance.choice((1, 1, 2))
        person = chance.choice([p for p in self.staff[org_id] if p.role == "finance"])
        nobody = Known(org_id, UUID(int=0), Status.APPROVAL_PENDING, None, 0)
        scene = self.scene(person, nobody)
        chain, token = chance.choice(list(self.chains)), chance.choice(_TOKENS)
        salt = chance.randrange(10**9)
        self.record.say(f"{self.now}  finance {org_id}: create {token}")

        async def do(s: Scene) -> object:
            # The same request each time, whatever the dice have done in between.
            again = Dice(salt)
            return await people.create(_with(s, again), chain=chain, token=token, org=org_id)

        answer = await self.ask("create", scene, do)
        made = getattr(answer, "invoice", None)
        if made is not None and chance.random() < 0.6:
            known = Known(org_id, made.invoice_id, made.status, None, made.version)
            await self._act(people.RULE["approve"], known, odd=False)

    async def _payer(self, *, plain: bool = False) -> None:
        invoices = await self.checker.payable()
        line = payers.pay(self.dice, self.chains, invoices, LISTED, plain=plain)
        if line:
            self.record.say(f"{self.now}  {line}")

    async def _chain(self) -> None:
        for chain in self.chains.values():
            for line in payers.weather(self.dice, chain, self.record):
                self.record.say(f"{self.now}  {line}")
            self.world.pass_time(self.dice.random.choice((1, 2, 5)))
            chain.mine(self.dice.random.choice((1, 1, 2, 4)))

    async def _time(self) -> None:
        """A while goes by; blocks are mined all the time, however long."""
        chance = self.dice.random
        ahead = await self.checker.next_deadline()
        seconds = chance.choice((10, 30, 90, 300))
        if ahead is not None and chance.random() < 0.5:
            seconds = max(int(ahead) + chance.choice((-1, 1, 15)), 1)
        self.record.say(f"{self.now}  {seconds} seconds pass")
        self.pass_time(seconds)

    async def _operate(self) -> None:
        if self.web.is_paused:
            await self.web.go_on()
            return
        self.record.say(f"{self.now}  operators look around")
        await self.web.do("operate", lambda: operators.look(self))

    async def _administer(self) -> None:
        if self.web.is_paused:
            await self.web.go_on()
            return
        self.record.say(f"{self.now}  an administrator looks at places")
        await self.web.do("administer", lambda: administrators.look(self))

    async def _outage(self) -> None:
        """Nobody of ours runs for hours, while the chain and its payers go on."""
        if not self.dice.falls("outage"):
            return
        self.record.fault("outage", "everybody")
        for process in (self.web, *self.workers):
            await process.kill("an outage")
        for _ in range(3):
            self.pass_time(self.dice.random.choice((600, 7_200, 40_000)))
            await self._payer()

    def _agree(self) -> None:
        """Nodes that stood elsewhere are back on the chain."""
        for chain in self.chains.values():
            chain.other = None

    def pass_time(self, seconds: float) -> None:
        blocks = min(int(seconds // 10) + 1, 12)
        for _ in range(blocks):
            self.world.pass_time(seconds / blocks)
            for chain in self.chains.values():
                chain.mine()

    @property
    def now(self) -> str:
        return f"{self.world.clock.now() - NOON}"[:13]

    def _violated(self, name: str, sentence: str) -> None:
        raise Violation(name, sentence)

    # ------------------------------------------------------------------ and how it ends

    async def end(self) -> None:
        """The second phase: nothing goes wrong any more, and everything must come to rest."""
        self.dice.calm = True
        self._agree()
        self.record.say(f"{self.now}  the faults stop")
        for process in (self.web, *self.workers):
            if process.is_paused:
                await process.go_on()
                # Before the next one acts, so that what this one did is not taken for its.
                await self.checker.after_step()
        await drain.drain(self)
        await self.checker.at_rest()
        if self.dice.random.random() < 0.5:
            await self._decide_everything()
            await drain.drain(self)
            await self.checker.at_rest()

    async def _decide_everything(self) -> None:
        """People come back to their desks and decide whatever waits for them."""
        self.record.say(f"{self.now}  people decide all that waits for them")
        refused: set[tuple[str, Known]] = set()
        for _ in range(60):
            invoices = await self.checker.invoices()
            rules = [people.RULE[name] for name in people.DECIDING]
            open_ = [
                (rule, i)
                for i in invoices
                for rule in rules
                if i.status in rule.statuses and (rule.name, i) not in refused
            ]
            if not open_:
                return
            rule, invoice = self.dice.random.choice(open_)
            if people.is_refusal(await self._act(rule, invoice, odd=False)):
                refused.add((rule.name, invoice))
            await self.checker.after_step()


async def simulate(seed: int, lines: Lines, *, steps: int = STEPS, loud: bool = False) -> Result:
    """Run one seed from an empty database to its end, or to the first violation."""
    for line in (lines.web, *lines.workers, lines.checker):
        await line.rollback()
    await empty(lines.admin, lines.tables)
    quiet_logs()
    loop = asyncio.get_running_loop()
    loop.set_task_factory(mine_tasks)
    with tempfile.TemporaryDirectory(prefix="counterfoil-simulation-") as folder:
        run = Run(seed, lines, Path(folder), loud=loud)
        run.result.chosen = steps
        try:
            await run.prepare()
            await run.live(steps)
            await run.end()
        except Violation as found:
            run.result.violation = found
        except Strange as strange:
            run.result.violation = Violation("no error of ours", str(strange))
        finally:
            await run.checker.stop(run)
            run.world.signer.stop()
            loop.set_task_factory(None)
    run.result.checks = run.checker.checks
    run.result.edges = await run.checker.edges()
    run.result.days = (run.world.clock.now() - NOON) / timedelta(days=1)
    return run.result


def _somewhere(chance: random.Random) -> str:
    """Where money is to go back to: mostly anywhere, else to somebody who pays, seldom a crime."""
    drawn = chance.random()
    if drawn < 0.3:
        return chance.choice(payers.PAYERS)
    return "0x" + f"{chance.randrange(16**4):04x}" * 10 if drawn < 0.97 else LISTED


def _short(invoice: Known) -> str:
    return f"{invoice.invoice_id.hex[8:12]}{invoice.invoice_id.hex[-12:-8]}"


def _with(scene: Scene, dice: Dice) -> Scene:
    return replace(scene, dice=dice)
