"""How few trips a transaction makes to the server, and that it stays a transaction meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import errors

from counterfoil.db import rows
from counterfoil.db.connection import Connection
from counterfoil.db.pool import CommitUnknown, Database, Tx
from support.patience import PATIENCE_SECONDS, patiently

ADD = "INSERT INTO account VALUES (%(name)s, %(units)s)"
UNITS = "SELECT units FROM account WHERE name = %(name)s"


@pytest.fixture
async def bank(blank_database_url: str) -> AsyncIterator[Database]:
    bank = Database(blank_database_url, name="bank", max_connections=1)
    await bank.open()
    async with bank.transaction() as tx:
        await tx.execute("CREATE TABLE account (name text PRIMARY KEY, units int NOT NULL)")
    yield bank
    await bank.close()


async def add(tx: Tx, name: str, units: int = 1) -> None:
    await rows.execute(tx, ADD, {"name": name, "units": units})


async def units(tx: Tx, name: str) -> int | None:
    return await rows.one_value(tx, int, UNITS, {"name": name})


async def names(bank: Database) -> list[str]:
    async with bank.looking() as tx:
        return await rows.all_values(tx, str, "SELECT name FROM account ORDER BY name", {})


def connection_of(tx: Tx) -> Connection:
    assert isinstance(tx, Connection)
    return tx


def made(tx: Tx) -> int:
    return connection_of(tx).trips


async def test_begin_goes_with_the_first_statement_and_a_block_with_what_follows(
    bank: Database,
) -> None:
    async with bank.transaction() as tx:
        assert made(tx) == 0
        await add(tx, "alice")
        assert made(tx) == 1
        async with tx.pipeline():
            await add(tx, "bob")
            await rows.execute_many(tx, ADD, [{"name": n, "units": 2} for n in ("carol", "dave")])
        assert made(tx) == 1
        assert await units(tx, "dave") == 2
        assert made(tx) == 2
        async with tx.pipeline():
            await add(tx, "eve")
    assert await names(bank) == ["alice", "bob", "carol", "dave", "eve"]


async def test_what_is_asked_together_is_one_trip(bank: Database) -> None:
    async with bank.transaction() as tx:
        await add(tx, "alice", 1)
        await add(tx, "bob", 2)

    async with bank.reading() as tx:
        found = await rows.together(
            tx,
            rows.together(tx, units(tx, "carol"), units(tx, "bob"), units(tx, "alice")),
            units(tx, "alice"),
            units(tx, "bob"),
        )
        assert made(tx) == 1
    assert found == ((None, 2, 1), 1, 2)


async def test_of_questions_asked_together_the_one_that_failed_says_why(bank: Database) -> None:
    for _ in range(3):  # also once the server has each statement prepared
        with pytest.raises(errors.UndefinedTable):
            async with bank.transaction() as tx:
                await rows.together(
                    tx,
                    units(tx, "alice"),
                    rows.one_value(tx, int, "SELECT 1 FROM nothing", {}),
                    units(tx, "bob"),
                )
    async with bank.transaction() as tx:
        found = await rows.together(tx, units(tx, "a"), units(tx, "b"), units(tx, "c"))
    assert found == (None, None, None)


async def test_a_refusal_waits_until_the_others_have_ended(bank: Database) -> None:
    async def refuse() -> None:
        raise RuntimeError("no")

    ended = []

    async def late(tx: Tx, name: str) -> None:
        await units(tx, name)
        await units(tx, name)
        ended.append(name)

    with pytest.raises(RuntimeError, match="no"):
        async with bank.transaction() as tx:
            await rows.together(tx, late(tx, "alice"), refuse(), late(tx, "bob"))
    assert ended == ["alice", "bob"]


async def test_as_many_trips_as_the_longest_piece_of_work_asks_questions(bank: Database) -> None:
    async def twice(tx: Tx, name: str) -> tuple[int | None, int | None]:
        return await units(tx, name), await units(tx, name)

    async def thinks_first(tx: Tx) -> int | None:
        await asyncio.sleep(0.001)
        return await units(tx, "alice")

    async with bank.transaction() as tx:
        await add(tx, "alice", 3)
        before = made(tx)
        found = await rows.together(
            tx,
            rows.together(tx, twice(tx, "alice"), units(tx, "bob"), thinks_first(tx)),
            units(tx, "bob"),
            twice(tx, "alice"),
        )
        assert found == (((3, 3), None, 3), None, (3, 3))
        assert made(tx) - before == 2


async def test_each_of_several_is_told_its_own_failure(bank: Database) -> None:
    async def explain(tx: Tx) -> int | None:
        try:
            return await rows.one_value(tx, int, "SELECT 1 / 0", {})
        except errors.DivisionByZero:
            raise RuntimeError("explained") from None

    for _ in range(3):  # also once the server has each statement prepared
        with pytest.raises(RuntimeError, match="explained"):
            async with bank.transaction() as tx:
                await add(tx, "alice")
                deeper = rows.together(tx, units(tx, "a"), explain(tx), units(tx, "b"))
                await rows.together(tx, deeper, units(tx, "c"), units(tx, "d"))
    assert await names(bank) == []


async def test_interrupted_between_questions_the_next_is_answered_by_itself(bank: Database) -> None:
    async def sleeps(tx: Tx) -> None:
        await units(tx, "alice")
        await asyncio.sleep(30)

    async def asks() -> None:
        async with bank.transaction() as tx:
            deeper = rows.together(tx, sleeps(tx), units(tx, "a"), units(tx, "b"))
            await rows.together(tx, deeper, units(tx, "c"), units(tx, "d"))

    asking = asyncio.create_task(asks())
    await asyncio.sleep(0.1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with bank.transaction() as tx:
        await add(tx, "alice", 2)
        assert await units(tx, "alice") == 2
        assert made(tx) == 2


async def test_who_asks_while_another_one_waits_is_answered_after_it(bank: Database) -> None:
    async with patiently("an answer"), bank.transaction() as tx:
        slow = asyncio.create_task(tx.execute("SELECT 1, pg_sleep(0.05)"))
        await asyncio.sleep(0.01)
        await add(tx, "alice", 4)
        assert await units(tx, "alice") == 4
        assert await (await slow).fetchone() == (1, "")
    assert await names(bank) == ["alice"]


async def test_what_fails_beside_the_commit_is_told_by_name_and_leaves_nothing(
    bank: Database,
) -> None:
    async with bank.transaction() as tx:
        await add(tx, "alice")

    for _ in range(3):
        with pytest.raises(errors.UniqueViolation):
            async with bank.transaction() as tx, tx.pipeline():
                await add(tx, "bob")
                await add(tx, "alice")
                await add(tx, "carol")
        with pytest.raises(errors.DivisionByZero):
            async with bank.transaction() as tx, tx.pipeline():
                await add(tx, "bob")
                await tx.execute("SELECT 1 / 0")
    assert await names(bank) == ["alice"]

    async with bank.transaction() as tx, tx.pipeline():
        await add(tx, "bob")
    assert await names(bank) == ["alice", "bob"]


async def test_a_connection_lost_with_the_commit_on_its_way_leaves_the_outcome_open(
    bank: Database, blank_database_url: str
) -> None:
    with pytest.raises(CommitUnknown):
        async with bank.transaction() as tx:
            pid = tx.info.backend_pid
            async with tx.pipeline():
                await add(tx, "alice")
            await kill(blank_database_url, pid)
    assert await names(bank) == []


async def test_a_change_of_mind_before_the_first_trip_costs_none(bank: Database) -> None:
    with pytest.raises(RuntimeError, match="never mind"):
        async with bank.transaction() as tx:
            raise RuntimeError("never mind")
    with pytest.raises(RuntimeError, match="never mind"):
        async with bank.transaction() as tx:
            async with tx.pipeline():
                await add(tx, "alice")
            raise RuntimeError("never mind")
    assert await names(bank) == []


async def test_a_savepoint_undoes_what_failed_in_it_and_nothing_else(bank: Database) -> None:
    async with bank.transaction() as tx:
        async with tx.transaction():
            await add(tx, "alice")
        with pytest.raises(errors.UniqueViolation):
            async with tx.transaction():
                await add(tx, "bob")
                await add(tx, "alice")
        with pytest.raises(errors.UniqueViolation):
            async with tx.transaction(), tx.pipeline():
                await add(tx, "carol")
                await add(tx, "alice")
        await add(tx, "dave")
    assert await names(bank) == ["alice", "dave"]


async def test_rows_can_be_copied_in_beside_what_is_written(bank: Database) -> None:
    async with bank.transaction() as tx:
        async with tx.cursor() as cursor, cursor.copy("COPY account FROM STDIN") as copy:
            await copy.write_row(("alice", 1))
        await add(tx, "bob")
    with pytest.raises(errors.UniqueViolation):
        async with bank.transaction() as tx:
            async with tx.pipeline():
                await add(tx, "carol")
            async with tx.cursor() as cursor, cursor.copy("COPY account FROM STDIN") as copy:
                await copy.write_row(("alice", 1))
    assert await names(bank) == ["alice", "bob"]


async def test_between_trips_the_server_counts_the_time(
    bank: Database, blank_database_url: str
) -> None:
    query = "SELECT state FROM pg_stat_activity WHERE pid = %s"
    async with (
        await psycopg.AsyncConnection.connect(blank_database_url, autocommit=True) as other,
        bank.transaction() as tx,
    ):
        pid = tx.info.backend_pid
        await rows.together(tx, units(tx, "a"), units(tx, "b"), units(tx, "c"))
        assert await (await other.execute(query, [pid])).fetchone() == ("idle in transaction",)


async def test_whoever_is_interrupted_leaves_a_connection_in_order(bank: Database) -> None:
    async def sleeps() -> None:
        async with bank.transaction() as tx:
            await add(tx, "alice")
            async with tx.pipeline():
                await add(tx, "bob")
            await tx.execute("SELECT pg_sleep(30)")

    sleeper = asyncio.create_task(sleeps())
    await asyncio.sleep(0.1)
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper
    assert await names(bank) == []
    async with bank.transaction() as tx:
        await add(tx, "carol")
    assert await names(bank) == ["carol"]


async def test_a_server_that_rolls_back_at_the_commit_is_not_believed_to_have_committed(
    bank: Database,
) -> None:
    # A task that outlives its place fails between the last look at the transaction and COMMIT.
    with pytest.raises(psycopg.Error):
        async with bank.transaction() as tx:
            await add(tx, "alice")
            straggler = asyncio.create_task(tx.execute("SELECT 1 / 0, pg_sleep(0.05)"))
            await asyncio.sleep(0)
    with pytest.raises(errors.DivisionByZero):
        await straggler
    assert await names(bank) == []

    async with bank.transaction() as tx:
        await add(tx, "bob")
        with pytest.raises(errors.DivisionByZero):
            async with tx.transaction():
                await tx.execute("SELECT 1 / 0")
    assert await names(bank) == ["bob"]


async def test_an_error_caught_inside_a_block_cannot_be_committed(bank: Database) -> None:
    async with bank.transaction() as tx:
        await add(tx, "alice")

    for _ in range(3):
        with pytest.raises(errors.InFailedSqlTransaction):
            async with bank.transaction() as tx:
                await add(tx, "bob")
                async with tx.pipeline():
                    await add(tx, "alice")
                    with pytest.raises(errors.UniqueViolation):
                        await units(tx, "bob")
                    await add(tx, "carol")
    assert await names(bank) == ["alice"]


async def test_what_was_asked_deeper_down_does_not_hide_why_it_failed(bank: Database) -> None:
    async def deadlock(tx: Tx) -> int | None:
        await tx.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$")
        return await units(tx, "alice")

    for _ in range(2):
        with pytest.raises(errors.DeadlockDetected):
            async with bank.transaction() as tx:
                await rows.together(
                    tx,
                    rows.together(tx, units(tx, "a"), units(tx, "b"), units(tx, "c")),
                    deadlock(tx),
                    units(tx, "d"),
                )

    tries = []

    async def work(tx: Tx) -> None:
        tries.append(tx)
        deeper = rows.together(tx, units(tx, "a"), units(tx, "b"), units(tx, "c"))
        late = deadlock(tx) if len(tries) == 1 else units(tx, "alice")
        await rows.together(tx, deeper, late, units(tx, "d"))
        await add(tx, "alice")

    await bank.run(work)
    assert len(tries) == 2
    assert await names(bank) == ["alice"]


async def test_a_statement_that_never_got_prepared_works_the_next_time(bank: Database) -> None:
    async def double(tx: Tx) -> None:
        await tx.execute("SELECT units * 2 FROM account WHERE name = %(name)s", {"name": "alice"})

    for _ in range(3):
        with pytest.raises(errors.DivisionByZero):
            async with bank.transaction() as tx, tx.pipeline():
                await tx.execute("SELECT 1 / 0")
                await double(tx)
                await double(tx)
        async with bank.transaction() as tx, tx.pipeline():
            await double(tx)
            await double(tx)


@pytest.mark.parametrize("limit", ["statement_timeout", "lock_timeout"])
async def test_a_limit_reached_beside_the_commit_leaves_nothing(
    bank: Database, blank_database_url: str, limit: str
) -> None:
    async with bank.transaction() as tx:
        await add(tx, "alice")

    async with await psycopg.AsyncConnection.connect(blank_database_url) as other:
        await other.execute("UPDATE account SET units = 2")
        with pytest.raises((errors.QueryCanceled, errors.LockNotAvailable)):
            async with bank.transaction() as tx:
                await tx.execute(f"SET LOCAL {limit} = '50ms'")
                async with tx.pipeline():
                    await add(tx, "bob")
                    await tx.execute("UPDATE account SET units = 3")
    assert await names(bank) == ["alice"]


async def test_whoever_thinks_too_long_between_trips_is_not_told_that_it_worked(
    bank: Database,
) -> None:
    with pytest.raises(CommitUnknown):
        async with bank.transaction() as tx:
            await add(tx, "alice")
            await tx.execute("SET LOCAL idle_in_transaction_session_timeout = '20ms'")
            async with patiently("the server's hanging up"):
                while connection_of(tx).is_quiet():
                    await asyncio.sleep(0.01)
    with pytest.raises(psycopg.OperationalError):
        async with bank.transaction() as tx:
            await tx.execute("SET LOCAL idle_in_transaction_session_timeout = '20ms'")
            async with patiently("the server's hanging up"):
                while connection_of(tx).is_quiet():
                    await asyncio.sleep(0.01)
            await add(tx, "alice")
    assert await names(bank) == []


async def test_a_server_lost_between_trips_says_so_to_all_who_asked(
    bank: Database, blank_database_url: str
) -> None:
    with pytest.raises(psycopg.OperationalError):
        async with bank.transaction() as tx:
            await add(tx, "alice")
            await kill(blank_database_url, tx.info.backend_pid)
            deeper = rows.together(tx, units(tx, "a"), units(tx, "b"), units(tx, "c"))
            await rows.together(tx, deeper, units(tx, "d"), units(tx, "e"))
    assert await names(bank) == []


async def test_interrupted_anywhere_it_happened_as_a_whole_or_not_at_all(bank: Database) -> None:
    async def deeper(tx: Tx) -> None:
        await rows.together(tx, units(tx, "a"), units(tx, "b"), units(tx, "c"))

    async def story(mark: str) -> None:
        async with bank.transaction() as tx:
            await add(tx, f"first {mark}")
            await rows.together(tx, deeper(tx), units(tx, "d"), units(tx, "e"))
            async with tx.transaction():
                await add(tx, f"second {mark}")
            async with tx.pipeline():
                await add(tx, f"third {mark}")
                await rows.execute_many(tx, ADD, [{"name": f"fourth {mark}", "units": 1}])

    outcomes: list[bool] = []
    pause_seconds = 0.0002
    while True not in outcomes:
        assert pause_seconds < PATIENCE_SECONDS
        mark = f"after {pause_seconds}"
        task = asyncio.create_task(story(mark))
        await asyncio.sleep(pause_seconds)
        task.cancel()
        (said,) = await asyncio.gather(task, return_exceptions=True)
        outcomes.append(said is None)
        found = [name for name in await names(bank) if name.endswith(mark)]
        assert len(found) in ({4} if said is None else {0, 4})
        pause_seconds *= 1.25
    assert False in outcomes


async def kill(url: str, pid: int) -> None:
    async with await psycopg.AsyncConnection.connect(url) as other:
        await other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
