"""Real processes that die, freeze and lose each other, and invoices that all end right.

This one is short enough for every day; ``make soak`` is the long one.
"""

import asyncio
import os
import secrets
from collections import Counter
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from counterfoil.books import orgs
from counterfoil.db.embedded import EmbeddedPostgres
from counterfoil.db.rows import one_value
from counterfoil.sandbox.demo import ORG_ID
from soak.plan import CALLBACK, LEASE, PAYMENT, Plan, Report
from soak.run import Soak, standing
from support.patience import patiently


async def test_whatever_dies_every_invoice_ends_right_and_the_books_equal_the_chain() -> None:
    # Where a failure stops others' work the same troubles are drawn each time.
    seed = 1 if "CI" in os.environ else secrets.randbelow(10**6)
    plan = Plan(
        seed,
        kills=7,
        pauses=2,
        postgres=1,
        seconds=20,
        most_seconds=300,
        at_once=7,
        every_tale=False,
    )
    async with standing(plan) as soak:
        report = await soak.run()
        shown = "\n".join(report.lines())
        assert not report.failed, shown
        assert len(report.invoices) >= 5, shown
        await the_proof_sees_through_lies(soak)


async def the_proof_sees_through_lies(soak: Soak) -> None:
    """What was found right is found wrong as soon as anything about it is."""
    journey, proof = soak.journey, soak.proof
    token_paid = next(e for e in soak.ended if e.promise.merchant and not e.story.token.is_native)
    story = token_paid.story
    async with journey.desk.database.reading() as tx:
        ours = await orgs.get(tx, ORG_ID)
    assert ours is not None
    block = 0
    for address in (story.bill.payout_address, ours.pool_address):
        tx_hash = await journey.customer.pays(story.chain, story.token, address, 1)
        block = int((await story.chain.included(tx_hash))["blockNumber"], 16)
    await watched(soak, story.chain.key, block)
    lost = journey.inbox.accepted[-1]
    kept = [one for one in journey.inbox.accepted if one.webhook_id != lost.webhook_id]
    journey.inbox.accepted[:] = kept
    ended = [replace(one, promise=replace(one.promise, status="paid")) for one in soak.ended[:1]]
    with psycopg.connect(admin_url(soak), autocommit=True) as admin:
        admin.execute("UPDATE public.invoice_log SET reason = 'Somebody else''s.'")
        admin.execute("DELETE FROM soak.seen")
    await proof.everything([*ended, *soak.ended])
    found = "\n".join(proof.violations)
    for expected in (
        "instead of paid",
        f"{story.bill.payout_address} received",
        f"{lost.body['id']} was told",
        "being signed",
        "counterfoil reconcile: ",
        "counterfoil audit verify: ",
    ):
        assert expected in found, f"nobody saw: {expected}\n{found}"


async def watched(soak: Soak, chain: str, block: int) -> None:
    """Wait until the books are final beyond a block, since only such are compared."""
    query = "SELECT final_number FROM ingest.chain_cursor WHERE chain = %(chain)s"
    async with patiently(f"block {block} of {chain} to be final"):
        while True:
            async with soak.journey.desk.database.reading() as tx:
                if (await one_value(tx, int, query, {"chain": chain}) or 0) >= block:
                    return
            await asyncio.sleep(0.2)


def admin_url(soak: Soak) -> str:
    """For the database's owner's owner, who alone may write into the log."""
    server = EmbeddedPostgres(soak.journey.places.postgres)
    name = conninfo_to_dict(server.url)["dbname"]
    return make_conninfo(server.admin_url, dbname=name)


@pytest.mark.parametrize(
    "lack",
    [
        {"troubles": Counter({("kill", "work"): 1, ("kill", "postgres"): 1})},
        {"troubles": Counter({("pause", "work"): 1, ("kill", "postgres"): 1})},
        {"troubles": Counter({("pause", "work"): 1, ("kill", "work"): 1})},
        {"invoices": Counter()},
        {"saw": Counter({"expired": 1})},
        {"saw": Counter({"signed": 1})},
        {"checks": 1},
        {"callbacks": 0},
        {"met": Counter({PAYMENT: 1, CALLBACK: 1})},
        {"met": Counter({PAYMENT: 1, LEASE: 1})},
        {"met": Counter({CALLBACK: 1, LEASE: 1})},
        {"violations": ["I4: something"]},
    ],
)
def test_a_proof_in_which_too_little_happened_fails(lack: dict[str, Any]) -> None:
    whole = Report(
        Plan(1, kills=1, pauses=1, postgres=1, seconds=1, most_seconds=1, at_once=1),
        kinds=("exact",),
        troubles=Counter({("kill", "work"): 1, ("pause", "sign"): 1, ("kill", "postgres"): 1}),
        invoices=Counter({"exact": 1}),
        saw=Counter({"signed": 1, "expired": 1}),
        met=Counter({PAYMENT: 1, CALLBACK: 1, LEASE: 1}),
        callbacks=1,
        checks=2,
    )
    assert not whole.failed
    assert replace(whole, **lack).failed
