"""What has to be true: of the books at every moment, and of the world when all has ended.

The invariants are those of the simulation, asked of a system that ran on real processes. Those that
are about the moment of a signature or an expiry are asked by the `Witness`, at that moment.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from psycopg import Error
from psycopg_pool import PoolTimeout

from counterfoil.core import ids
from counterfoil.sandbox.demo import ORG_ID
from simulation.invariants import question
from soak.stories import Promise, Story
from soak.witness import Witness
from support.inbox import Inbox
from support.journey import Journey

CHECK_SECONDS: Final = 2.0
_PATIENCE: Final = 5
"""How often a command is given its time again, on a machine that is busy with other things."""
_ANY_HEIGHT: Final = 2**62
_NO_DETAILS: Final = False

_HURRY: Final = (
    "UPDATE outbox SET due_at = created_at WHERE status = 'pending' AND lease_until IS NULL",
    "UPDATE effect SET due_at = created_at WHERE done_at IS NULL AND lease_until IS NULL",
)

_CALLBACKS: Final = """
    SELECT replace(invoice_id::text, '-', ''), sequence, status FROM outbox
     WHERE status <> 'silent' ORDER BY invoice_id, sequence
"""


@dataclass(frozen=True)
class Ended:
    """A story that was told to its end, and what that end promises."""

    story: Story
    promise: Promise


@dataclass
class Proof:
    """Looks into the books and the chains, never at what a process says of itself."""

    journey: Journey
    inboxes: Sequence[Inbox]
    witness: Witness
    tell: Callable[[str], None]
    checks: int = 0
    violations: list[str] = field(default_factory=list)

    async def keeps_looking(self) -> None:
        """Ask what must always hold, over and over; a database that is away is asked later."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self.look("always")
            except (Error, PoolTimeout):
                continue

    async def look(self, when: Literal["always", "at rest"]) -> None:
        for name, finding in await self._broken(when):
            self.finds(f"{name}: {finding}")
        for finding in await self.witness.findings():
            self.finds(finding)
        self.checks += 1

    def finds(self, sentence: str) -> None:
        if sentence not in self.violations:
            self.violations.append(sentence)
            self.tell(f"violation: {sentence}")

    async def at_rest(self) -> bool:
        """Whether nothing waits for us any more."""
        return not [finding for name, finding in await self._broken("at rest") if name == "I25"]

    async def hurry(self) -> None:
        """Bring forward what only waits for its time, such as a third attempt at a callback."""
        async with self.journey.desk.database.transaction() as tx:
            for statement in _HURRY:
                await tx.execute(statement)

    async def everything(self, ended: Sequence[Ended]) -> None:
        """The whole proof, once all has come to rest."""
        await self.look("at rest")
        for one in ended:
            await self._kept(one)
        await self._told()
        for tx_hash in await self.witness.missed():
            self.finds(f"nobody saw {tx_hash} being signed")
        await asyncio.gather(self._proven("reconcile"), self._proven("audit", "verify"))

    async def _proven(self, *command: str) -> None:
        for _ in range(_PATIENCE):
            with suppress(TimeoutError):
                ran = await self.journey.counterfoil(*command)
                if ran.status:
                    self.finds(f"counterfoil {' '.join(command)}: {ran.text}")
                return
        self.finds(f"counterfoil {' '.join(command)}: no answer")

    async def _kept(self, one: Ended) -> None:
        """The chain has every transfer that was promised, once, and no other."""
        story, promise = one.story, one.promise
        invoice = await story.journey.look(story.bill)
        if invoice["status"] != promise.status:
            self.finds(f"{story.name}: {invoice['status']} instead of {promise.status}")
        for address, promised in (
            (story.bill.payout_address, promise.merchant),
            (story.refund_address, promise.back),
        ):
            moved = await story.received_at(address)
            if moved != list(promised):
                self.finds(f"{story.name}: {address} received {moved}, promised {list(promised)}")
        left = await story.chain.holds(story.token, story.bill.address)
        if left:
            self.finds(f"{story.name}: {left} units lie at the deposit address")

    async def _told(self) -> None:
        """Every callback was accepted, in its invoice's order, and none but genuine ones came."""
        accepted, came = defaultdict(list), defaultdict(set)
        for inbox in self.inboxes:
            for one in inbox.received:
                if not one.is_genuine(self.journey.shown_secret):
                    self.finds(f"callback {one.webhook_id} is not genuine")
                came[one.body["id"]].add(one.body["sequence"])
            for one in inbox.accepted:
                accepted[one.body["id"]].append(one.body["sequence"])
        due: defaultdict[str, list[int]] = defaultdict(list)
        for invoice_id, sequence, status in await self._rows(_CALLBACKS, {}):
            due["inv_" + invoice_id].append(sequence)
            if status != "delivered":
                self.finds(f"callback {sequence} of {invoice_id} is {status}")
        for invoice_id in due.keys() | came.keys():
            heard = list(dict.fromkeys(accepted[invoice_id]))
            if heard != due[invoice_id]:
                self.finds(f"{invoice_id} was told {heard} instead of {due[invoice_id]}")
            for sequence in came[invoice_id] - set(due[invoice_id]):
                self.finds(f"{invoice_id} was told {sequence}, which nobody decided")

    async def _broken(self, when: Literal["always", "at rest"]) -> list[tuple[str, str]]:
        heights = dict.fromkeys(self.journey.chains, _ANY_HEIGHT)
        if when == "at rest":
            for key, chain in self.journey.chains.items():
                block = await chain.node.rpc("eth_getBlockByNumber", "finalized", _NO_DETAILS)
                heights[key] = int(block["number"], 16)
        team = await self._rows("SELECT member_id, roles FROM member ORDER BY member_id", {})
        uids = {ids.public("user", member_id): roles for member_id, roles in team}
        parameters = {
            # What was signed or expired just now is the witness's business.
            "fresh": [],
            "just_expired": [],
            "were_frozen": [],
            "listed": [],
            "keys": list(heights),
            "finals": list(heights.values()),
            "thawed": [],
            "signers": [uid for uid, roles in uids.items() if "signer" in roles],
            "reviewers": [uid for uid, roles in uids.items() if "reviewer" in roles],
            "uids": list(uids),
            "uid_orgs": [ORG_ID] * len(uids),
            "keys_since": datetime(1970, 1, 1, tzinfo=UTC),
            "now": datetime.now(UTC),
        }
        return [(name, finding) for name, finding in await self._rows(question(when), parameters)]

    async def _rows(self, query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        async with self.journey.desk.database.reading() as tx:
            cursor = await tx.execute(query.encode(), parameters)
            return await cursor.fetchall()
