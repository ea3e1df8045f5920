"""What a story is told with: an invoice of its own, its payers, and whatever happens to them.

Faults fall here as anywhere. Who tells repeats what a careful person would repeat; where an invoice
went another way all the same, the story is `Lost`, which is no finding.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import msgspec

from counterfoil.books import orgs
from counterfoil.chains.port import Attestation
from counterfoil.core.invoice import Policy, Status
from counterfoil.core.payout_rules import PayoutPolicy
from counterfoil.desk import commands, intake
from counterfoil.desk.refunding import Part
from simulation import operators, people
from simulation.chain import SimulatedChain
from simulation.people import Known, Scene
from simulation.processes import Process
from support.fake_chain import FakeTx, Moved

if TYPE_CHECKING:
    from simulation.run import Run

S = Status

ORG: Final = 1
CHAIN: Final = "arb"
BACK_TO: Final = "0x" + "5e" * 20
NOTHING: Final = Known(ORG, UUID(int=0), S.APPROVAL_PENDING, None, 0)
_DUE: Final = (f"watch:{CHAIN}", "screen", "move", "expire")
_IN_TURN: Final = ("children", "fuel")
_SELDOM: Final = ("provision", "retell", "price", "expire")


Story = Callable[["Teller"], Awaitable[None]]
How = Literal["plain", "call", "forced"]


class Lost(Exception):  # noqa: N818 - says what became of the story
    """The invoice went another way than the story needs."""


@dataclass(slots=True)
class Told:
    """The invoice that a story is about."""

    invoice_id: UUID
    address: str
    contract: str
    due_units: int


class Teller:
    """Tells one story in a run; each thing that it lets happen is a step of the run."""

    def __init__(self, run: "Run", name: str) -> None:
        self.run = run
        self.name = name
        self.chain: SimulatedChain = run.chains[CHAIN]
        self._told: Told | None = None
        self._payers: dict[str, str] = {}
        self._first: orgs.OrgPolicy | None = None
        self.payouts = PayoutPolicy()
        """What is asked of places for payouts while invoices of the story are made."""

    @property
    def invoice(self) -> Told:
        if self._told is None:
            raise Lost("no invoice")
        return self._told

    # ------------------------------------------------------------------ people

    async def create(  # noqa: PLR0913 - what an invoice can be
        self,
        *,
        amount: int = 100,
        coin: bool = False,
        approved: bool = True,
        payout: bool = True,
        payout_to: str | None = None,
        fiat: bool = False,
        minutes: int = 1_440,
        several_payers: Literal["accept", "resolve"] = "accept",
        **rules: Any,  # noqa: ANN401 - values of `Policy`
    ) -> None:
        """An invoice under the default rules, but for those that the story needs otherwise."""
        policy = replace(Policy(), several_payers=several_payers, **rules)
        await self.rule(invoice=policy, payouts=self.payouts)
        run = self.run
        finance = self._person("finance", second=False)
        now = run.world.clock.now()

        async def do(scene: Scene) -> object:
            draft = people.draft(
                amount=Decimal(amount),
                token="ETH" if coin else "USDT",
                chain=CHAIN,
                org=ORG,
                key=scene.key,
                fiat=fiat,
                pays_out=payout,
                deadline=now + timedelta(minutes=minutes),
            )
            if payout_to is not None:
                draft = replace(draft, payout_addresses=(("evm", payout_to),))
            return await intake.create(
                scene.desk, draft, scene.person.actor, scene.idempotent("create")
            )

        scene = replace(run.scene(finance, NOTHING), key=self._key())
        answer = await self._asked("create", scene, do)
        made = getattr(answer, "invoice", None)
        if made is None:
            raise Lost("not created")
        self._told = await self._read(made.invoice_id)
        if approved:
            await self.does("approve")

    async def does(self, name: str, *, second: bool = False) -> None:
        """Somebody of the rule's role does it; ``second`` is the other one who could."""
        rule = people.RULE[name]
        await self.acts(name, rule.role, rule.do, second=second)

    async def orders(self, coins: str | None = "1", to: str = BACK_TO) -> None:
        """A refund of so many coins is ordered; None: of all that is left."""
        token = "USDT" if self.invoice.contract else "ETH"

        async def do(s: Scene) -> object:
            return await commands.order_refund(
                s.desk,
                s.invoice.invoice_id,
                s.person.actor,
                address=to,
                reason="the customer asked",
                attachments=tuple(s.files),
                part=None if coins is None else Part(Decimal(coins), token, CHAIN),
                idempotent=s.idempotent("order"),
            )

        name = "order refund" if coins is None else "order a part"
        await self.acts(name, "signer", do, second=False)

    async def refunds(self, coins: str | None = "1", to: str = BACK_TO) -> None:
        """A refund is ordered and approved."""
        await self.orders(coins, to)
        await self.does("approve refund", second=True)

    async def may_refund(self) -> bool:
        """Whether a refund is still taken, which then is approved as well."""
        try:
            await self.refunds()
        except Lost:
            return False
        return True

    async def signs(self, back_to: str = BACK_TO) -> None:
        """The merchant signs for final money; a second person lets a surplus go elsewhere."""
        await self.signs_alone(back_to)
        if await self._status() is S.REFUND_PENDING:
            await self.does("approve refund", second=True)

    async def signs_alone(self, back_to: str) -> None:
        """One person signs for final money, and says where a surplus goes."""
        await self.firm()

        async def do(s: Scene) -> object:
            return await commands.sign_off(
                s.desk,
                s.invoice.invoice_id,
                s.person.actor,
                refund_address=back_to,
                refund_reason="paid too much",
                refund_attachments=tuple(s.files),
            )

        await self.acts("sign off", "signer", do, second=False)

    async def both(self, name: str) -> None:
        """Two people say the same."""
        await self.does(name)
        await self.does(name, second=True)

    async def rule(self, **changes: Any) -> None:  # noqa: ANN401 - fields of `OrgPolicy`
        """Change what the organisation has decided; it is put back when the story ends."""

        async def work() -> object:
            async with self.run.web.desk.database.transaction() as tx:
                org = await orgs.get(tx, ORG)
                assert org is not None
                self._first = self._first or org.policy
                new = msgspec.structs.replace(org.policy, **changes)
                await orgs.save_policy(tx, ORG, new)
                return new

        for _ in range(4):
            if await self._web("rules", work) is not None:
                return
        raise Lost("the rules could not be changed")

    async def end(self) -> None:
        """Put back what the organisation had decided."""
        if self._first is not None:
            with suppress(Lost):
                first = self._first
                rules = {f: getattr(first, f) for f in ("invoice", "screening", "payouts")}
                await self.rule(**rules)

    def forget(self) -> None:
        """Leave the world as it was."""
        world = self.run.world
        world.risky.difference_update(self._payers.values())
        world.silent.difference_update(self._payers.values())
        self.chain.told.clear()
        self.chain.other = None
        self.chain.frozen.difference_update((*self._payers.values(), BACK_TO))
        for worker in self.run.workers:
            worker.life.fate = None

    # ------------------------------------------------------------------ payers and the chain

    def payer(self, name: str) -> str:
        """A payer of this story alone."""
        number = len(self._payers) + 16 * self.run.record.told.total() + 0xD000
        return self._payers.setdefault(name, "0x" + f"{number:04x}" * 10)

    def pays(self, percent: int, payer: str = "a", how: How = "plain") -> FakeTx:
        """Somebody pays a share of what is due in the next block."""
        told = self.invoice
        units = told.due_units * percent // 100
        self._say(f"{payer} pays {percent} %")
        move = Moved(told.contract, self.payer(payer), told.address, units, how)
        return self.chain.include(move)

    def mined(self, blocks: int = 1) -> None:
        self.run.result.steps += 1
        self.chain.faults.lag_blocks = 0
        self.run.world.pass_time(1)
        self.chain.mine(blocks)

    def takes_back(self, *gone: FakeTx, also: FakeTx | None = None) -> None:
        """A reorg removes these payments for good; ``also`` only for the moment."""
        taken = [*gone] if also is None else [*gone, also]
        heights = {tx.tx_hash: at for at, tx in self.chain.canonical()}
        if any(tx.tx_hash not in heights for tx in taken):
            raise Lost("a payment is not there to be taken back")
        depth = self.chain.head.number - min(heights[tx.tx_hash] for tx in taken) + 1
        if depth > self.chain.final_lag:
            raise Lost("a payment is final already")
        self.run.record.fault("reorg", f"{CHAIN}, depth {depth}, by a story")
        self.chain.reorg(depth)
        for tx in gone:
            self.chain.drop(tx.tx_hash)
        self.mined(depth)

    def nodes_disagree(self, tx: FakeTx) -> None:
        """One of two nodes denies a payment."""
        self.chain.told[tx.tx_hash] = Attestation(confirms=("a",), denies=("b",))

    def passes(self, seconds: float) -> None:
        self.run.result.steps += 1
        self._say(f"{seconds} seconds pass")
        self.run.pass_time(seconds)

    # ------------------------------------------------------------------ our workers

    async def watched(self) -> None:
        """The watcher reads all there is."""
        for _ in range(4):
            await self._work(f"watch:{CHAIN}")
            if await self._is_read():
                return
            # Whoever died may still hold the lease.
            self.run.world.pass_time(16)
        raise Lost("the watcher does not get there")

    async def screened(self) -> None:
        """Screenings that are due are done; answers that are missing are waited for."""
        for _ in range(8):
            await self._work("screen")
            if not await self._asks(
                "SELECT count(*) FROM effect WHERE invoice_id = %(id)s"
                " AND kind = 'screen' AND done_at IS NULL"
            ):
                return
            self.run.world.pass_time(17)

    async def moved(self) -> None:
        """One round of what moves money."""
        await self._work("move")

    async def sent(self) -> None:
        """What moves for it is mined for good, and nobody has looked at that yet."""
        for _ in range(8):
            await self._work("children", "fuel", "move")
            self.mined(1)
            rows = await self.run.checker.ask(
                "SELECT c.tx_hash FROM move JOIN ingest.chain_tx AS c USING (chain, wallet, nonce)"
                " WHERE invoice_id = %(id)s AND move.status = 'signed'",
                {"id": self.invoice.invoice_id},
            )
            if {row[0] for row in rows} & {tx.tx_hash for _, tx in self.chain.canonical()}:
                self.mined(5)
                return
            self.run.world.pass_time(10)
        raise Lost("nothing was mined")

    async def recalculated(self) -> None:
        """Somebody has it priced anew, once there is a fresh rate."""
        for _ in range(4):
            self.run.world.pass_time(60)
            await self._work("price")
        await self.does("recalculate")

    async def comes(self, *statuses: Status) -> None:
        """Everybody works until the invoice has come to one of these statuses."""
        for number in range(16):
            if await self._status() in statuses:
                return
            self.mined(2)
            self.run.world.pass_time(15 * (1 + number % 3))
            due = await self.run.checker.due()
            now_and_then = (*_IN_TURN, *_SELDOM) if number % 4 == 3 else _IN_TURN * (number % 2)
            await self._work(*(name for name in _DUE if name in due), *now_and_then)
            if number % 4 == 3:
                await self._web("operate", lambda: operators.look(self.run))
        await self.is_(*statuses)

    async def parks(self, purpose: str) -> None:
        """Everybody works until a movement of this purpose stands still."""
        for number in range(12):
            if await self._asks(
                "SELECT count(*) FROM move WHERE invoice_id = %(id)s"
                f" AND purpose = '{purpose}' AND status = 'parked'"
            ):
                return
            self.mined(2)
            self.run.world.pass_time(15 * (1 + number % 3))
            await self._work(*_DUE[:-1], *_IN_TURN)
        raise Lost(f"no {purpose} stands still")

    async def firm(self) -> None:
        """All that was paid is final and read."""
        self.mined(6)
        await self.watched()

    async def is_(self, *statuses: Status) -> None:
        """Raises `Lost` where the invoice does not stand in one of these statuses."""
        status = await self._status()
        if status not in statuses:
            raise Lost(f"{status}, not {' or '.join(statuses)}")

    async def expired(self) -> None:
        """Nothing came before the deadline, and everybody knows."""
        ahead = await self._asks(
            "SELECT extract(epoch FROM deadline_at) FROM invoice WHERE invoice_id = %(id)s"
        )
        now = self.run.world.clock.now().timestamp()
        self.passes(max(float(ahead) - now, 0) + 90)
        await self.watched()
        await self._work("expire")
        await self.is_(S.EXPIRED)

    def fated(self, what: Literal["dies", "stops"], where: str) -> None:
        """The first worker dies or stops where a point's name begins like this."""
        self.run.workers[0].life.fate = (what, where)

    async def goes_on(self) -> None:
        """The first worker wakes up, if it was stopped."""
        worker = self.run.workers[0]
        if worker.is_paused:
            await worker.go_on()
            await self.run.checker.after_step()

    async def works(self, name: str, which: int) -> None:
        """One worker does one step, as far as it gets."""
        worker = self.run.workers[which]
        if worker.is_paused:
            return
        self._say(f"{worker.name} {name}")
        self.run.result.steps += 1
        await worker.do(name, worker.steps[name])
        await self.run.checker.after_step()

    # ------------------------------------------------------------------ how it is done

    async def _work(self, *names: str) -> None:
        run = self.run
        for name in names:
            run.result.steps += 1
            for worker in run.workers:
                if await self._is_up(worker) and await self._does_all(worker, name):
                    break

    async def _is_up(self, worker: Process) -> bool:
        if worker.is_paused:
            await worker.go_on()
            await self.run.checker.after_step()
        return not worker.is_paused

    async def _does_all(self, worker: Process, name: str) -> bool:
        """Whether a worker got through all that was to do; else another one may."""
        self._say(f"{worker.name} {name}")
        again = 6
        while again and await worker.do(name, worker.steps[name]):
            again -= 1
            await self.run.checker.after_step()
            if worker.is_paused:
                return False
        await self.run.checker.after_step()
        return not worker.is_paused

    async def acts(
        self, name: str, role: str, do: Callable[[Scene], Awaitable[object]], *, second: bool
    ) -> None:
        scene = self.run.scene(self._person(role, second=second), await self._known())
        scene = replace(scene, key=self._key(), address=BACK_TO)
        answer = await self._asked(name, scene, do)
        counts = self.run.record.refused if people.is_refusal(answer) else self.run.record.acts
        counts[name] += 1
        if people.is_refusal(answer) or answer is None:
            raise Lost(f"{name}: {answer}")

    async def _asked(
        self, name: str, scene: Scene, do: Callable[[Scene], Awaitable[object]]
    ) -> object:
        run = self.run
        run.result.steps += 1
        self._say(f"{scene.person.role}: {name}")
        if run.web.is_paused:
            await run.web.go_on()
        answer = None if run.web.is_paused else await run.ask(name, scene, do)
        await run.checker.after_step()
        return answer

    async def _web(self, what: str, work: Callable[[], Awaitable[object]]) -> object:
        web = self.run.web
        if web.is_paused:
            await web.go_on()
        answer = None if web.is_paused else await web.do(what, work)
        await self.run.checker.after_step()
        return answer

    def _person(self, role: str, *, second: bool) -> people.Person:
        return [p for p in self.run.staff[ORG] if p.role == role][second]

    async def _known(self) -> Known:
        if self._told is None:
            return NOTHING
        (row,) = await self.run.checker.ask(
            "SELECT org_id, invoice_id, status, context, version FROM invoice"
            " WHERE invoice_id = %(id)s",
            {"id": self.invoice.invoice_id},
        )
        return Known(row[0], row[1], S(row[2]), row[3], row[4])

    async def _status(self) -> Status:
        return (await self._known()).status

    async def _read(self, invoice_id: UUID) -> Told:
        ((address, child, on, contract, units),) = await self.run.checker.ask(
            """
            SELECT deposit_address, detail->>'hd_address', detail->'hd_chains', contract, due_units
              FROM invoice JOIN payment_request USING (org_id, invoice_id)
             WHERE invoice_id = %(id)s AND chain = %(chain)s
            """,
            {"id": invoice_id, "chain": CHAIN},
        )
        # Coin is never asked for at an address with a key.
        place = child if child and contract and CHAIN in on else address
        return Told(invoice_id, place, contract, int(units))

    async def _is_read(self) -> bool:
        ((number, block_hash, final),) = await self.run.checker.ask(
            "SELECT head_number, head_hash, final_number FROM ingest.chain_cursor"
            " WHERE chain = %(chain)s",
            {"chain": CHAIN},
        )
        head = self.chain.head
        # After an outage the final pass may have gone past the head.
        reached = (number, block_hash) == (head.number, head.hash)
        return reached and bool(final >= self.chain.final_number)

    async def _asks(self, query: str) -> Any:  # noqa: ANN401 - one value of any kind
        ((found,),) = await self.run.checker.ask(query, {"id": self.invoice.invoice_id})
        return found

    def _key(self) -> str:
        return f"key-{self.run.dice.random.randrange(10**9)}"

    def _say(self, line: str) -> None:
        self.run.record.say(f"{self.run.now}  {self.name}: {line}")
