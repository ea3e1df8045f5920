"""Work that outlasts a page: begun by a member, done in steps, left and found again.

The steps are done by the web process that was asked, which needs no queue: what it leaves
unfinished is taken up by the next process in which its owner looks at it, once the lease is over.
Each step is done as the member, with the permissions that they have just then.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import psycopg
import structlog

from counterfoil.books import jobs, orgs
from counterfoil.books.jobs import JobRow
from counterfoil.core import ids
from counterfoil.core.errors import NotFound, Refusal
from counterfoil.core.roles import Actor, permissions_of
from counterfoil.desk.desk import Desk

__all__ = ["JobRow", "Jobs", "Kind"]

LEASE: Final = timedelta(seconds=30)
KEPT: Final = timedelta(days=7)
LISTED: Final = 50

_log: Final = structlog.get_logger("counterfoil.jobs")

Step = Callable[[Desk, JobRow, Sequence[UUID], Actor], Awaitable[str]]
"""Does the next invoices of a job and answers its part of the result.

It may be done a second time where a process ended in between, and must come to the same.
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of work is done: so many invoices in one step."""

    step: Step
    at_once: int


class Jobs:
    """The work of one process. ``kinds`` by the name that is written down."""

    def __init__(self, desk: Desk, kinds: Mapping[str, Kind]) -> None:
        """Begin with nothing to do."""
        self._desk = desk
        self._kinds = kinds
        self._running: dict[UUID, asyncio.Task[None]] = {}

    async def begin(
        self, kind: str, asked: str, invoice_ids: Collection[UUID], by: Actor, member_id: UUID
    ) -> UUID:
        """Write down what a member asks for, and start; answers the job's id."""
        job = jobs.NewJob(
            org_id=by.org_id,
            job_id=self._desk.ids.new(),
            member_id=member_id,
            kind=kind,
            asked=asked,
            invoice_ids=list(invoice_ids),
            created_at=self._desk.clock.now(),
        )
        async with self._desk.database.transaction() as tx:
            await jobs.insert(tx, job)
        self._push(job.org_id, job.job_id)
        return job.job_id

    async def look(self, job_id: UUID, by: Actor, member_id: UUID) -> JobRow:
        """How far a member's job is; work that nobody is at goes on. `NotFound` for others."""
        async with self._desk.database.looking() as tx:
            job = await jobs.get(tx, by.org_id, member_id, job_id)
        if job is None:
            raise NotFound("there is no such work of yours; it is kept for seven days")
        until = job.lease_until
        if job.finished_at is None and (until is None or until <= self._desk.clock.now()):
            self._push(job.org_id, job.job_id)
        return job

    async def result(self, job_id: UUID, by: Actor, member_id: UUID) -> list[str]:
        """What a member's job brought so far, step by step. Raises as `look`."""
        job = await self.look(job_id, by, member_id)
        async with self._desk.database.looking() as tx:
            return await jobs.parts(tx, job.org_id, job.job_id)

    async def listed(self, by: Actor, member_id: UUID) -> list[JobRow]:
        """What a member asked for, the newest first."""
        async with self._desk.database.looking() as tx:
            return await jobs.of_member(tx, by.org_id, member_id, limit=LISTED)

    def end(self) -> None:
        """Stop where it stands; each piece is taken up again when somebody looks at it."""
        for task in self._running.values():
            task.cancel()

    def _push(self, org_id: int, job_id: UUID) -> None:
        if job_id not in self._running:
            task = asyncio.create_task(self._run(org_id, job_id))
            self._running[job_id] = task
            task.add_done_callback(lambda _: self._running.pop(job_id, None))

    async def _run(self, org_id: int, job_id: UUID) -> None:
        token = self._desk.ids.new()
        try:
            while await self._step(org_id, job_id, token):
                pass
        except Refusal as refusal:
            await self._finish(org_id, job_id, token, refusal.message)
        except (psycopg.OperationalError, OSError) as error:
            # The database is away; whoever looks at the job later has it gone on with.
            _log.warning("job_left", job_id=str(job_id), error=str(error))
        except Exception:  # noqa: BLE001 - whatever it is, its owner has to be told
            _log.exception("job_failed", job_id=str(job_id))
            sentence = "something went wrong on our side; what was done before stands"
            await self._finish(org_id, job_id, token, sentence)

    async def _step(self, org_id: int, job_id: UUID, token: UUID) -> bool:
        """Do the next piece; whether there is more, and it is ours to do."""
        now = self._desk.clock.now()
        async with self._desk.database.transaction() as tx:
            job = await jobs.claim(tx, org_id, job_id, token=token, now=now, until=now + LEASE)
            if job is None:
                return False
            kind = self._kinds[job.kind]
            some = await jobs.next_invoices(tx, org_id, job_id, done=job.done, limit=kind.at_once)
            roles = await orgs.roles_of(tx, org_id, job.member_id)
        if not some:
            await self._finish(org_id, job_id, token, None)
            return False
        by = Actor(ids.public("user", job.member_id), org_id, permissions_of(tuple(roles)))
        content = await kind.step(self._desk, job, some, by)
        async with self._desk.database.transaction() as tx:
            return await jobs.advance(
                tx,
                org_id,
                job_id,
                token=token,
                before=job.done,
                done=job.done + len(some),
                content=content,
            )

    async def _finish(self, org_id: int, job_id: UUID, token: UUID, error: str | None) -> None:
        async with self._desk.database.transaction() as tx:
            at = self._desk.clock.now()
            await jobs.finish(tx, org_id, job_id, token=token, at=at, error=error)


async def forget_old(desk: Desk, *, limit: int) -> int:
    """Delete work past its seven days, a bounded number at a time; answers how much."""
    async with desk.database.transaction() as tx:
        return await jobs.forget(tx, desk.clock.now() - KEPT, limit=limit)
