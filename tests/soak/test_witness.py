"""What the witness is shown here is false, as no lifecycle would have it: it has to say so."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final
from uuid import uuid4

import pytest

from counterfoil.core.invoice import Invoice, Status
from counterfoil.db.migrate import migrate
from counterfoil.db.pool import Database
from soak.witness import Witness
from soak.worker_process import WHO
from support.fake_clock import NOON
from support.invoices import MERCHANT_ADDRESS
from support.payments import Payments
from support.shop import desk_on
from support.till import Till, reserve

SIGNED_AGAIN: Final = (
    """
    INSERT INTO ingest.chain_tx
           (chain, wallet, nonce, attempt, tx_hash, raw, gas_limit, max_fee_wei, tip_wei, status,
            signed_at)
    SELECT chain, wallet, nonce + 1, 0, '0xagain', raw, gas_limit, max_fee_wei, tip_wei, 'signed',
           signed_at
      FROM ingest.chain_tx
    """,
    "UPDATE move SET nonce = nonce + 1 WHERE nonce IS NOT NULL",
)
"""The signature of a program that looks at nothing."""

FOUND_GUILTY: Final = """
    INSERT INTO screening_run
    SELECT org_id, gen_random_uuid(), invoice_id, 'aml_hold', total, scores, record,
           created_at + interval '1 second'
      FROM screening_run
"""

PAID_ELSEWHERE: Final = """
    UPDATE move SET destination = '0x' || repeat('ab', 20), purpose = 'payout', leg = 9
     WHERE purpose = 'sweep'
"""

REMOVED: Final = """
    INSERT INTO payout_address
           (org_id, payout_address_id, family, address, label, added_by, added_at, usable_at,
            removed_at)
    SELECT 1, gen_random_uuid(), 'evm', '0x' || repeat('ab', 20), 'Old', 'user_maker', at, at,
           at
      FROM (SELECT now() - interval '1 hour' AS at) AS before
"""


CALLBACK: Final = """
    INSERT INTO outbox (org_id, event_id, invoice_id, sequence, dialect, url, endpoint, to_status,
                        snapshot, status, due_at, created_at)
    SELECT org_id, gen_random_uuid(), invoice_id, 1, 'kryptogo', 'http://m.example/', 'm.example',
           status, '{}', 'pending', now(), now()
      FROM invoice LIMIT 1
"""


@pytest.fixture
async def database(blank_database_url: str) -> AsyncIterator[Database]:
    """A database that vanishes afterwards, as the witness leaves traces in it."""
    migrate(blank_database_url)
    database = Database(blank_database_url, name="test")
    await database.open()
    yield database
    await database.close()


class Bench:
    """A payment that was signed for rightly, on which somebody looks."""

    def __init__(self, till: Till, witness: Witness, bill: Invoice) -> None:
        self.till, self.witness, self.bill = till, witness, bill

    async def falsely(self, *statements: str) -> None:
        """Write something into the books that nobody of ours would, all at once."""
        async with self.till.desk.database.transaction() as tx:
            for statement in statements:
                assert (await tx.execute(statement.encode())).rowcount

    async def found(self) -> set[str]:
        return {finding.partition(":")[0] for finding in await self.witness.findings()}


@pytest.fixture
async def bench(database: Database) -> Bench:
    till = Till(desk_on(database))
    await till.open()
    await till.ready()
    witness = Witness(database)
    await witness.arrives()
    bill = await till.signed_bill()
    await reserve(till)
    assert (await witness.findings(), await witness.missed()) == ([], [])
    assert await witness.saw() == {"signed": 1}
    return Bench(till, witness, bill)


@pytest.mark.parametrize(
    ("falsehoods", "names"),
    [
        (["UPDATE transfer SET depth = 2"], {"I5"}),
        ([FOUND_GUILTY], {"I5"}),
        (["UPDATE invoice SET status = 'sign_pending'"], {"I5"}),
        (["UPDATE invoice SET status = 'compliance_hold'"], {"I5", "I20"}),
        (["UPDATE ingest.wallet SET frozen_reason = 'looked at'"], {"I20"}),
        ([PAID_ELSEWHERE, REMOVED], {"I20 place"}),
    ],
)
async def test_a_signature_that_looked_at_nothing_is_seen(
    bench: Bench, falsehoods: list[str], names: set[str]
) -> None:
    await bench.falsely(*falsehoods)
    await bench.falsely(*SIGNED_AGAIN)
    assert await bench.found() == names
    assert await bench.witness.saw() == {"signed": 2}


async def test_a_signature_for_a_listed_place_is_seen(bench: Bench) -> None:
    await bench.falsely(PAID_ELSEWHERE)
    await Payments(bench.till.desk).lists(MERCHANT_ADDRESS)
    await bench.falsely(*SIGNED_AGAIN)
    assert await bench.found() == {"I20"}


async def test_a_time_that_ends_by_the_clock_alone_is_seen(bench: Bench) -> None:
    for seconds, found in ((-1, set()), (1, {"I21"})):
        waiting = await bench.till.bill(deadline_at=NOON + timedelta(seconds=seconds))
        await bench.till.put(waiting, Status.EXPIRED)
        assert await bench.found() == found
    assert await bench.witness.saw() == {"signed": 1, "expired": 2}


async def test_a_signature_that_nobody_saw_is_missed(bench: Bench) -> None:
    await bench.falsely("DELETE FROM soak.seen")
    (missed,) = await bench.witness.missed()
    assert missed == (await bench.till.txs())[0].tx_hash


class Worker:
    """A worker process that takes leases and records what came of them, as the books would."""

    def __init__(self, database: Database, name: str) -> None:
        self.database, self.name = database, name
        self.token = uuid4()

    async def does(self, statement: str) -> None:
        async with self.database.transaction() as tx:
            await tx.execute(b"SELECT set_config(%s, %s, true)", [WHO, self.name])
            done = await tx.execute(statement.encode(), {"token": self.token})
            assert done.rowcount == 1


@pytest.mark.parametrize(
    ("takes", "records"),
    [
        (
            "UPDATE ingest.chain_cursor SET lease_token = %(token)s",
            "UPDATE ingest.chain_cursor SET head_number = head_number + 1",
        ),
        (
            "UPDATE outbox SET status = 'pending', lease_token = %(token)s",
            "UPDATE outbox SET status = 'delivered', lease_token = NULL",
        ),
        (
            "UPDATE outbox SET status = 'pending', lease_token = %(token)s",
            "UPDATE outbox SET due_at = due_at + interval '5 s', lease_token = NULL",
        ),
    ],
)
async def test_what_is_recorded_under_the_lease_of_another_is_seen(
    bench: Bench, takes: str, records: str
) -> None:
    database = bench.till.desk.database
    await bench.falsely(CALLBACK)
    one, other = Worker(database, "one"), Worker(database, "other")
    await one.does(takes)
    await other.does(takes)
    assert await bench.found() == set()
    assert await bench.witness.saw() == {"signed": 1, "taken over": 1}
    await other.does(records)
    assert await bench.found() == set()
    await other.does(takes)
    await one.does(records)
    assert await bench.found() == {"I19"}
