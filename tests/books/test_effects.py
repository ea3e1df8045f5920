"""Leases on work: one holder at a time, and only the holder may finish."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from counterfoil.books import effects
from counterfoil.books.effects import NewEffect
from counterfoil.db.pool import Database
from support.fake_clock import NOON

LEASE = timedelta(minutes=1)


class Worker:
    """Claims and finishes with a token of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.token = uuid4()

    async def claims(self, at: datetime = NOON, limit: int = 10) -> list[effects.EffectRow]:
        self.token = uuid4()
        async with self._database.transaction() as tx:
            return await effects.claim(
                tx, "screen", limit, now=at, lease_until=at + LEASE, lease_token=self.token
            )

    async def completes(self, effect_id: UUID, at: datetime = NOON) -> bool:
        async with self._database.transaction() as tx:
            return await effects.complete(tx, 1, effect_id, lease_token=self.token, at=at)

    async def fails(self, effect_id: UUID, due_at: datetime) -> bool:
        async with self._database.transaction() as tx:
            return await effects.fail(
                tx, 1, effect_id, lease_token=self.token, due_at=due_at, error="no luck"
            )


async def leave(
    database: Database, due_at: datetime = NOON, invoice_id: UUID | None = None
) -> UUID:
    effect_id = uuid4()
    async with database.transaction() as tx:
        await effects.add_all(
            tx, [NewEffect(1, effect_id, "screen", invoice_id or uuid4(), due_at, NOON)]
        )
    return effect_id


async def test_work_is_claimed_once_and_done_once(database: Database) -> None:
    effect_id = await leave(database)
    first, second = Worker(database), Worker(database)

    assert [e.effect_id for e in await first.claims()] == [effect_id]
    assert await second.claims() == []
    assert await first.completes(effect_id)
    assert not await first.completes(effect_id)
    assert await second.claims(NOON + timedelta(days=1)) == []


async def test_work_left_by_a_change_that_failed_does_not_exist(database: Database) -> None:
    class ChangeError(Exception):
        pass

    with pytest.raises(ChangeError):
        async with database.transaction() as tx:
            await effects.add_all(tx, [NewEffect(1, uuid4(), "screen", uuid4(), NOON, NOON)])
            raise ChangeError
    assert await Worker(database).claims() == []


async def test_a_worker_that_slept_past_its_lease_can_finish_nothing(database: Database) -> None:
    effect_id = await leave(database)
    slept, awake = Worker(database), Worker(database)
    await slept.claims()
    (again,) = await awake.claims(NOON + LEASE)

    assert again.attempts == 2
    assert not await slept.completes(effect_id)
    assert not await slept.fails(effect_id, NOON)
    assert await awake.completes(effect_id)


async def test_failed_work_comes_back_when_it_is_due(database: Database) -> None:
    effect_id = await leave(database)
    worker = Worker(database)
    await worker.claims()
    later = NOON + timedelta(seconds=30)
    assert await worker.fails(effect_id, later)

    assert await worker.claims(later - timedelta(seconds=1)) == []
    assert [e.effect_id for e in await worker.claims(later)] == [effect_id]


async def test_many_workers_share_out_the_work(database: Database) -> None:
    left = {await leave(database) for _ in range(12)}
    claims = await asyncio.gather(*(Worker(database).claims(limit=5) for _ in range(4)))
    taken = [e.effect_id for claim in claims for e in claim]
    assert len(taken) == len(set(taken))
    assert set(taken) <= left


async def test_the_longest_due_comes_first(database: Database) -> None:
    young, old = await leave(database), await leave(database, NOON - timedelta(hours=1))
    worker = Worker(database)
    assert [e.effect_id for e in await worker.claims(limit=1)] == [old]
    assert [e.effect_id for e in await worker.claims(limit=1)] == [young]


async def test_one_invoice_is_worked_on_once_however_often_it_was_asked_for(
    database: Database,
) -> None:
    invoice_id = uuid4()
    asked = {await leave(database, invoice_id=invoice_id) for _ in range(5)}
    first, second = Worker(database), Worker(database)
    (claimed,) = await first.claims()
    assert await second.claims() == []

    async with database.transaction() as tx:
        await effects.complete_others(tx, 1, "screen", [invoice_id], at=NOON)
    assert claimed.effect_id in asked
    assert await second.claims(NOON + timedelta(days=1)) == []
    assert not await first.completes(claimed.effect_id)
