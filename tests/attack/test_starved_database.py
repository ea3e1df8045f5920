"""A database that has no connection, no time or no room for us, or takes no writes at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from counterfoil.core import ids
from counterfoil.db.connection import Connection
from counterfoil.db.pool import Database
from counterfoil.db.rows import execute
from support.actors import Answer
from support.contents import all_tables
from support.hardship import disk_full, read_only
from support.patience import patiently
from support.pictures import png
from support.postgres import TestServer
from support.site import Firm, Site, open_site

MAYA = "maya1@merchant.example"


@asynccontextmanager
async def served(url: str, **knobs: float) -> AsyncIterator[tuple[Site, Firm]]:
    """The application on a pool with these knobs, and people at it."""
    database = Database(url, name="starved", max_connections=1, **knobs)  # type: ignore[arg-type]  # numbers all
    await database.open()
    try:
        async with open_site(database) as site:
            yield site, await site.firm()
    finally:
        await database.close()


def is_told_to_come_back(answer: Answer) -> bool:
    """Busy, in words, and when to ask again."""
    return (
        answer.refusal == (503, 5030)
        and answer.headers["Retry-After"] == "5"
        and "nothing was changed, try again" in answer.body["message"]
    )


async def test_without_a_free_connection_nothing_happens_and_it_is_told_when_to_come_back(
    database_url: str, database: Database
) -> None:
    async with served(database_url, wait_seconds=0.1) as (site, firm):
        before = await all_tables(database)
        async with site.desk.database.looking():
            refused = await firm.merchant.create()
        assert is_told_to_come_back(refused), refused.body
        assert await all_tables(database) == before
        assert (await firm.merchant.create()).status == 200


@pytest.mark.parametrize("knob", ["lock_timeout_seconds", "statement_timeout_seconds"])
async def test_who_waits_too_long_for_somebody_elses_work_changes_nothing(
    database_url: str, database: Database, knob: str
) -> None:
    async with served(database_url, **{knob: 1}) as (_, firm):
        made = (await firm.merchant.create()).data["id"]
        async with database.transaction() as other:
            lock = "SELECT FROM invoice WHERE invoice_id = %(id)s FOR UPDATE"
            await execute(other, lock, {"id": ids.parse("inv", made)})
            before = await all_tables(database)
            refused = await firm.reviewer.approve(made)
            assert is_told_to_come_back(refused), refused.body
            assert await all_tables(database) == before
        assert (await firm.reviewer.approve(made)).status == 200


async def test_who_stands_still_inside_a_transaction_is_told_that_it_did_not_happen(
    database_url: str, database: Database
) -> None:
    """As a process that was stopped for longer than the server keeps its locks."""
    async with served(database_url, statement_timeout_seconds=1) as (site, firm):
        before = await all_tables(database)
        with pytest.raises(OperationalError):
            async with site.desk.database.transaction() as tx:
                await execute(tx, "UPDATE org SET name = 'Thief'", {})
                assert isinstance(tx, Connection)
                async with patiently("the end of the server's patience"):
                    while tx.is_quiet():
                        await asyncio.sleep(0.01)
                await execute(tx, "UPDATE org SET name = 'Thief'", {})
        assert await all_tables(database) == before
        assert (await firm.merchant.create()).status == 200


async def test_while_nothing_can_be_written_all_are_told_so_and_it_goes_on_by_itself(
    site: Site, firm: Firm, database: Database, postgres: TestServer
) -> None:
    maya = await site.at_the_pages(MAYA)
    token = (await maya.open("/studio")).form_token
    made = (await firm.merchant.create()).data["id"]
    before = await all_tables(database)
    async with read_only(postgres, database):
        for answer in (
            await firm.merchant.create(),
            await firm.reviewer.approve(made),
            await firm.merchant.upload(png(), "scan.png"),
        ):
            assert is_told_to_come_back(answer), answer.body
        # Whoever sends requests on turns to another process, where one has a server that does.
        asked = await site.stranger.call("GET", "/healthz")
        assert (asked.refusal, asked.headers["Retry-After"]) == ((503, 5030), "5")
        page = await maya.send("/studio/sign-out", token=token)
        assert (page.status, page.headers["Retry-After"]) == (503, "5")
        assert "nothing was changed" in page.words.lower()
        assert await all_tables(database) == before
    assert (await firm.reviewer.approve(made)).status == 200
    assert (await firm.merchant.create()).status == 200
    assert (await site.stranger.call("GET", "/healthz")).status == 200


async def test_on_a_full_disk_all_of_it_is_refused_and_it_goes_on_once_there_is_room(
    database_url: str, database: Database, postgres: TestServer
) -> None:
    async with served(database_url) as (_, firm):
        with disk_full(postgres, database_url, "invoice_log", "file"):
            before = await all_tables(database)
            created = await firm.merchant.create()
            uploaded = await firm.merchant.upload(png(), "scan.png")
            assert is_told_to_come_back(created), created.body
            assert is_told_to_come_back(uploaded), uploaded.body
            assert await all_tables(database) == before
        stored = (await firm.merchant.upload(png(), "scan.png")).data["file_id"]
        assert (await firm.merchant.create(attachment={"file_id": stored})).status == 200
        assert (await firm.auditor.get(f"/files/{stored}")).raw == png()


async def test_nobody_connects_to_a_server_that_takes_no_writes(
    database_url: str, database: Database, postgres: TestServer
) -> None:
    """Nor to a replica, which says the same of itself."""
    late = Database(database_url, max_connections=1)
    async with read_only(postgres, database):
        with pytest.raises(PoolTimeout):
            await late.open(timeout_seconds=0.5)
        await late.close()
    late = Database(database_url, max_connections=1)
    await late.open()
    await late.ping()
    await late.close()
