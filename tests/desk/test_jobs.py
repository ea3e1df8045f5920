"""Long work: done in steps, by one process at a time, as the member who asked for it."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from counterfoil.books.jobs import JobRow
from counterfoil.core.errors import NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.rows import execute
from counterfoil.desk import members
from counterfoil.desk.desk import Desk
from counterfoil.desk.jobs import KEPT, LEASE, Jobs, Kind
from counterfoil.desk.tidying import tidy
from support.fake_clock import FakeClock
from support.patience import patiently
from support.shop import Shop


class Bench:
    """A member with ten invoices to work on, and processes that work two at a time."""

    def __init__(self, desk: Desk, member_id: UUID) -> None:
        self.desk = desk
        self.member_id = member_id
        self.by = Actor("user_x", 1, frozenset({Permission.READ}))
        self.invoices = [desk.ids.new() for _ in range(10)]
        self.worked: list[UUID] = []
        self.may_go_on = asyncio.Event()
        self.stands_at = 4
        self.stands = asyncio.Event()

    def process(self) -> Jobs:
        return Jobs(self.desk, {"work": Kind(self.work, at_once=2)})

    async def work(self, desk: Desk, job: JobRow, some: Sequence[UUID], by: Actor) -> str:
        assert desk is self.desk
        by.require(Permission.READ)
        if job.done == self.stands_at:
            self.stands.set()
            await self.may_go_on.wait()
        self.worked.extend(some)
        return "".join(f"{one}\n" for one in some)

    async def begin(self, jobs: Jobs) -> UUID:
        return await jobs.begin("work", "{}", self.invoices, self.by, self.member_id)

    async def until(self, jobs: Jobs, job_id: UUID, done: int, *, finished: bool = False) -> JobRow:
        async with patiently(f"{done} invoices that are done"):
            while True:
                job = await jobs.look(job_id, self.by, self.member_id)
                if job.done == done and (not finished or job.finished_at is not None):
                    return job
                await asyncio.sleep(0.01)

    async def result(self, jobs: Jobs, job_id: UUID) -> list[str]:
        return "".join(await jobs.result(job_id, self.by, self.member_id)).split()


@pytest.fixture
async def bench(desk: Desk, shop: Shop) -> Bench:
    member = await members.add_member(
        desk, shop.org_id, email="m@x.example", name="M", roles=("auditor",), password_hash="x"
    )
    return Bench(desk, member.member_id)


async def test_work_is_done_step_by_step_and_kept_for_a_week(
    bench: Bench, clock: FakeClock
) -> None:
    bench.may_go_on.set()
    jobs = bench.process()
    job_id = await bench.begin(jobs)
    job = await bench.until(jobs, job_id, 10, finished=True)
    assert (job.total, job.error) == (10, None)
    assert await bench.result(jobs, job_id) == [str(one) for one in bench.invoices]
    assert [one.job_id for one in await jobs.listed(bench.by, bench.member_id)] == [job_id]
    with pytest.raises(NotFound):
        await jobs.look(job_id, bench.by, bench.desk.ids.new())
    clock.advance(KEPT)
    clock.advance(LEASE)
    assert await tidy(bench.desk)
    assert await jobs.listed(bench.by, bench.member_id) == []


async def test_what_one_process_left_another_goes_on_with(bench: Bench, clock: FakeClock) -> None:
    first, second = bench.process(), bench.process()
    job_id = await bench.begin(first)
    await bench.until(first, job_id, 4)
    assert (await bench.until(second, job_id, 4)).done == 4
    assert bench.worked == bench.invoices[:4]
    first.end()
    clock.advance(LEASE)
    bench.may_go_on.set()
    await bench.until(second, job_id, 10, finished=True)
    assert await bench.result(second, job_id) == [str(one) for one in bench.invoices]


async def test_a_process_that_wakes_up_late_adds_nothing(bench: Bench, clock: FakeClock) -> None:
    first, second = bench.process(), bench.process()
    job_id = await bench.begin(first)
    await bench.until(first, job_id, 4)
    clock.advance(LEASE)
    # Both are now at the same step, and both are let go on.
    await second.look(job_id, bench.by, bench.member_id)
    await asyncio.sleep(0.1)
    bench.may_go_on.set()
    await bench.until(second, job_id, 10, finished=True)
    assert await bench.result(second, job_id) == [str(one) for one in bench.invoices]


async def test_who_may_no_more_gets_no_more(bench: Bench) -> None:
    jobs = bench.process()
    job_id = await bench.begin(jobs)
    async with patiently("a step that was begun while they still might"):
        await bench.stands.wait()
    async with bench.desk.database.transaction() as tx:
        at = bench.desk.clock.now()
        await execute(tx, "UPDATE member SET disabled_at = %(at)s", {"at": at})
    bench.may_go_on.set()
    job = await bench.until(jobs, job_id, 6, finished=True)
    assert "transfer:read" in (job.error or "")
    assert len(await bench.result(jobs, job_id)) == 6
