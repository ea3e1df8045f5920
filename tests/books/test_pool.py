import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from counterfoil.db import pool, rows
from counterfoil.db.pool import CommitUnknown, Database, Tx
from support.patience import patiently
from support.postgres import TestServer


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    units: int


@pytest.fixture
async def bank(blank_database_url: str) -> AsyncIterator[Database]:
    bank = Database(blank_database_url, name="bank", lock_timeout_seconds=5)
    await bank.open()
    async with bank.transaction() as tx:
        await tx.execute(
            "CREATE TABLE account (name text PRIMARY KEY, units numeric(78,0) NOT NULL,"
            " parent text REFERENCES account DEFERRABLE INITIALLY DEFERRED)"
        )
        await tx.execute("INSERT INTO account VALUES ('alice', 100), ('bob', 100)")
    yield bank
    await bank.close()


async def units(tx: Tx, name: str) -> int | None:
    query = "SELECT units FROM account WHERE name = %(name)s"
    return await rows.one_value(tx, int, query, {"name": name})


async def add(tx: Tx, name: str, more: int) -> None:
    query = "UPDATE account SET units = units + %(more)s WHERE name = %(name)s"
    await rows.execute(tx, query, {"name": name, "more": more})


async def test_a_transaction_keeps_all_or_nothing(bank: Database) -> None:
    async with bank.transaction() as tx:
        await add(tx, "alice", 1)

    with pytest.raises(RuntimeError, match="changed my mind"):
        async with bank.transaction() as tx:
            await add(tx, "alice", 1000)
            raise RuntimeError("changed my mind")

    async with bank.reading() as tx:
        assert await units(tx, "alice") == 101


async def test_amounts_come_back_as_exact_integers_of_any_size(bank: Database) -> None:
    huge = 10**60 - 1
    query = "SELECT %(n)s::numeric(78,0), %(n)s::numeric, 1.50::numeric(9,2), 7::numeric(9,2)"
    async with bank.reading() as tx:
        row = await (await tx.execute(query, {"n": huge})).fetchone()
        negative = await (await tx.execute("SELECT (-5)::numeric(78,0)")).fetchone()

    assert row == (huge, huge, Decimal("1.50"), Decimal(7))
    assert row is not None
    assert [type(value) for value in row] == [int, int, Decimal, Decimal]
    assert negative == (-5,)


async def test_lists_of_ids_arrive_as_they_are_and_json_keeps_long_numbers(
    database: Database,
) -> None:
    some, none = [uuid4(), uuid4()], list[UUID]()
    mixed = [some[0], None]
    async with database.transaction() as tx:
        found = await (
            await tx.execute(
                """
                SELECT %(some)s::uuid[], %(none)s::uuid[], %(mixed)s::uuid[], %(words)s::text[],
                       '{"units": 123456789012345678901234567890, "rate": 1.5}'::jsonb
                """,
                {"some": some, "none": none, "mixed": mixed, "words": ['a "b"', "c,d"]},
            )
        ).fetchone()

    told = {"units": 123456789012345678901234567890, "rate": 1.5}
    assert found == (some, none, mixed, ['a "b"', "c,d"], told)


async def test_big_integers_can_be_stored_and_compared(bank: Database) -> None:
    async with bank.transaction() as tx:
        for number in (1, 2**15, 2**31, 2**63, 10**59):
            await add(tx, "bob", number)
            await add(tx, "bob", -number)
        assert await units(tx, "bob") == 100


async def test_rows_become_the_values_asked_for(bank: Database) -> None:
    query = "SELECT name, units FROM account ORDER BY name"
    async with bank.reading() as tx:
        everyone = await rows.all_rows(tx, Account, query, {})
        assert everyone == [Account("alice", 100), Account("bob", 100)]
        assert await rows.all_values(tx, str, query, {}) == ["alice", "bob"]
        assert await rows.one_row(tx, Account, query + " LIMIT 0", {}) is None
        with pytest.raises(LookupError, match="found 2"):
            await rows.one_row(tx, Account, query, {})
        with pytest.raises(TypeError, match="expected int, the database answered str"):
            await rows.one_value(tx, int, query + " LIMIT 1", {})


async def test_two_who_block_each_other_both_get_through(bank: Database) -> None:
    first_locks = asyncio.Barrier(2)
    tries: list[str] = []

    async def pay(giver: str, taker: str) -> None:
        async def work(tx: Tx) -> None:
            tries.append(giver)
            await add(tx, giver, -10)
            if tries.count(giver) == 1:
                async with patiently("the other one's lock"):
                    await first_locks.wait()
            await add(tx, taker, 10)

        await bank.run(work)

    await asyncio.gather(pay("alice", "bob"), pay("bob", "alice"))

    assert sorted(tries) in (["alice", "alice", "bob"], ["alice", "bob", "bob"])
    async with bank.reading() as tx:
        assert [await units(tx, "alice"), await units(tx, "bob")] == [100, 100]


async def test_a_transaction_that_always_loses_is_given_up(bank: Database) -> None:
    tries = 0

    async def lose(_: Tx) -> None:
        nonlocal tries
        tries += 1
        raise errors.SerializationFailure

    with pytest.raises(errors.SerializationFailure):
        await bank.run(lose)
    assert tries == pool.ATTEMPTS


async def test_an_error_swallowed_inside_does_not_pass_for_a_commit(bank: Database) -> None:
    with pytest.raises(errors.InFailedSqlTransaction, match="can therefore not commit"):
        async with bank.transaction() as tx:
            await add(tx, "alice", 5)
            with pytest.raises(errors.UniqueViolation):
                await tx.execute("INSERT INTO account VALUES ('bob', 1)")

    async with bank.reading() as tx:
        assert await units(tx, "alice") == 100


async def test_a_refusal_at_commit_is_certain(bank: Database) -> None:
    with pytest.raises(errors.ForeignKeyViolation):
        async with bank.transaction() as tx:
            await tx.execute("INSERT INTO account VALUES ('carol', 1, 'nobody')")


async def test_a_connection_lost_at_commit_leaves_the_outcome_open(
    bank: Database, blank_database_url: str
) -> None:
    with pytest.raises(CommitUnknown):
        async with bank.transaction() as tx:
            await add(tx, "alice", 5)
            await kill(blank_database_url, tx.info.backend_pid)


async def test_a_dead_idle_connection_is_replaced_unnoticed(
    bank: Database, blank_database_url: str
) -> None:
    async with bank.reading() as tx:
        pid = tx.info.backend_pid
    await kill(blank_database_url, pid)

    async with bank.transaction() as tx:
        await add(tx, "alice", 1)
        assert tx.info.backend_pid != pid


async def test_a_commit_that_gave_up_on_the_standby_is_not_believed(
    bank: Database, blank_database_url: str, postgres: TestServer
) -> None:
    async def work(tx: Tx) -> None:
        await tx.execute("SET LOCAL synchronous_commit = on")
        await add(tx, "alice", 5)

    with postgres.setting("synchronous_standby_names", "never_there"):
        impatient = asyncio.create_task(cancel_commits_that_wait(blank_database_url))
        with pytest.raises(CommitUnknown, match="standby"):
            # The server takes up the setting in its own time, so the first may not wait yet.
            for _ in range(10_000):
                await bank.run(work)
        impatient.cancel()

    async with bank.transaction() as tx:
        await add(tx, "alice", 1)


async def test_reading_cannot_write_and_sees_one_moment(bank: Database) -> None:
    async with bank.reading() as reader:
        before = await units(reader, "alice")
        async with bank.transaction() as writer:
            await add(writer, "alice", 1)
        assert await units(reader, "alice") == before

    with pytest.raises(errors.ReadOnlySqlTransaction):
        async with bank.reading() as reader:
            await add(reader, "alice", 1)


async def test_times_are_utc_and_waits_are_bounded(bank: Database) -> None:
    names = "TimeZone", "lock_timeout", "statement_timeout", "application_name"
    async with bank.reading() as tx:
        found = [
            await rows.one_value(tx, str, "SELECT current_setting(%(name)s)", {"name": name})
            for name in names
        ]
    assert found == ["UTC", "5s", "30s", "bank"]


async def kill(url: str, pid: int) -> None:
    async with await psycopg.AsyncConnection.connect(url) as other:
        await other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


async def cancel_commits_that_wait(url: str) -> None:
    query = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as other:
        while True:
            await other.execute(query)
            await asyncio.sleep(0.01)
