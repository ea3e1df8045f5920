"""What ``make bench`` gives pgbench to do is what the desk does, whenever the desk changes."""

from decimal import Decimal
from pathlib import Path

import msgspec
from psycopg.types.json import Jsonb

from benchmarks.creating import CLIENTS, pgbench
from benchmarks.statements import Statement, recorded_create, written
from counterfoil.clock import SystemClock, TimeSortedIds
from counterfoil.db.pool import Database
from counterfoil.db.rows import one_value
from counterfoil.desk import members, rates
from counterfoil.desk.desk import Desk
from support.actors import CURL_EXAMPLE
from support.shop import Shop, desk_on

EACH = 5


async def open_for_finance(desk: Desk, *, stock: int) -> str:
    """What creating an invoice needs, and the key of somebody who may."""
    shop = await Shop(desk).open()
    await shop.stock(stock)
    now = SystemClock().now()
    quote = rates.Snapshot("USDT", "TWD", now, "test", Decimal("32.5"), {}, now)
    await rates.store(desk, quote)
    maya = await members.add_member(
        desk,
        shop.org_id,
        email="maya@merchant.example",
        name="Maya",
        roles=("finance",),
        password_hash="never used",
    )
    return await members.issue_key(desk, maya, "test")


async def test_pgbench_repeats_a_real_create_statement_by_statement(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    desk = desk_on(database)
    key = await open_for_finance(desk, stock=CLIENTS * EACH + 1)

    script = await recorded_create(database_url, key, msgspec.json.encode(CURL_EXAMPLE))
    await pgbench(database_url, script, tmp_path / "create.sql", limit=f"--transactions={EACH}")

    assert script.text.count(r"\gset") == 1
    async with desk.database.reading() as tx:
        for table in ("invoice", "payment_request", "invoice_log"):
            count = await one_value(tx, int, f"SELECT count(*) FROM {table}", {})  # noqa: S608 - our own names
            assert count == 1 + CLIENTS * EACH, table


def test_what_the_process_computes_is_handed_over_and_ids_are_made_anew() -> None:
    invoice_id, other_id = TimeSortedIds().new(), TimeSortedIds().new()
    statement = Statement(
        "INSERT INTO x VALUES (%(id)s, %(other)s, %(none)s, %(empty)s, %(raw)s, %(json)s, '%%')",
        {
            "id": invoice_id,
            "other": other_id,
            "none": None,
            "empty": "",
            "raw": b"\x01",
            "json": Jsonb({"a": 1}),
        },
        trip=(1, 1),
    )
    commit = Statement("COMMIT", {}, trip=(1, 1))
    script = written([Statement("BEGIN", {}, trip=(1, 0)), statement, commit], [invoice_id])
    assert (
        "INSERT INTO x VALUES (('0' || lpad(:seed::text, 31, '0'))::uuid, :s1_other, NULL, '',"
        " :s1_raw, :s1_json, '%');" in script.text
    )
    assert script.variables["s1_other"] == str(other_id)
    assert (script.variables["s1_raw"], script.variables["s1_json"]) == (r"\x01", '{"a":1}')
    assert script.text.index("BEGIN;\n") < script.text.index("\\startpipeline\nINSERT")
    assert script.text.endswith("COMMIT;\n\\endpipeline\n")


async def test_an_invoice_takes_two_trips_and_its_key_one(
    database: Database, database_url: str
) -> None:
    desk = desk_on(database)
    key = await open_for_finance(desk, stock=1)

    script = await recorded_create(database_url, key, msgspec.json.encode(CURL_EXAMPLE))

    key_lookup, *rest = script.text.split("\\startpipeline\n")
    asked, written_down = rest
    assert key_lookup.count("FROM api_key") == 1
    assert asked.startswith("BEGIN;")
    assert r"RETURNING number, address \gset" in asked
    assert "INSERT INTO invoice " in written_down
    assert written_down.endswith("COMMIT;\n\\endpipeline\n")
