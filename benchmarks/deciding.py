"""What is done a second: decisions at the desk, callbacks, and log entries recomputed."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psutil

from benchmarks.telling import Arrivals
from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.clock import SystemClock, TimeSortedIds
from counterfoil.core import ids
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.desk import commands, proving
from counterfoil.desk.desk import Desk
from counterfoil.sandbox.demo import ORG_ID, Sandbox
from counterfoil.sandbox.samples import Api, example
from counterfoil.worker import TELLS

DECISIONS: Final = 500
AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Decided:
    """Approvals in one process, callbacks of one worker, and sealed entries verified, a second."""

    acts_per_second: float
    callbacks_per_second: float
    entries_per_second: float
    entries: int


async def deciding(sandbox: Sandbox) -> Decided:
    """Approve invoices while no worker works, let it tell of them, and verify the audit log."""
    database = Database(sandbox.database_url, name="benchmark", max_connections=AT_ONCE)
    await database.open()
    arrivals = Arrivals()
    worker = psutil.Process(sandbox.supervisor.pids()["work"])
    try:
        desk = Desk(
            database=database,
            clock=SystemClock(),
            ids=TimeSortedIds(),
            addresses={"evm": parse_evm_address},
            tells=TELLS,
        )
        async with arrivals.listening() as url:
            pending = await _created(sandbox, url)
            worker.suspend()
            try:
                acts_seconds = await _approve(desk, pending)
            finally:
                worker.resume()
            told = await arrivals.all_told(pending, "pending")
        started = time.perf_counter()
        verified = await proving.verify_audit(desk)
        audit_seconds = time.perf_counter() - started
    finally:
        await database.close()
    if verified.breaks:
        msg = f"the audit log is broken: {verified.breaks[0]}"
        raise RuntimeError(msg)
    return Decided(
        acts_per_second=DECISIONS / acts_seconds,
        callbacks_per_second=DECISIONS / (max(told) - min(told)),
        entries_per_second=verified.entries / audit_seconds,
        entries=verified.entries,
    )


async def _created(sandbox: Sandbox, callback_url: str) -> list[str]:
    asked = example(sandbox.facts, callback_url=callback_url)
    slots = asyncio.Semaphore(AT_ONCE)
    async with Api(sandbox.facts, "finance") as finance:

        async def one() -> str:
            async with slots:
                return str((await finance.create(**asked))["id"])

        return list(await asyncio.gather(*(one() for _ in range(DECISIONS))))


async def _approve(desk: Desk, pending: Sequence[str]) -> float:
    by = Actor(uid="benchmark", org_id=ORG_ID, permissions=frozenset({Permission.APPROVE}))
    left = [invoice_id for text in pending if (invoice_id := ids.parse("inv", text))]

    async def one_after_the_other() -> None:
        while left:
            await commands.approve(desk, left.pop(), by)

    started = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    return time.perf_counter() - started
