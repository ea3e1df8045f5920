"""How long Studio takes for the list and for an invoice's page, among a million invoices."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Final

import aiohttp
from argon2 import PasswordHasher

from counterfoil.app import ADDRESSES, WebSettings, create_app, server
from counterfoil.clock import SystemClock, TimeSortedIds
from counterfoil.core import ids
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.desk import members, queries
from counterfoil.desk.desk import Desk
from counterfoil.desk.queries import Filters
from counterfoil.desk.tries import Place

ROUNDS: Final = 60
P50_MS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Paged:
    """Milliseconds from request to last byte, over HTTP; the floor is ``/healthz`` beside it."""

    what: str
    page_ms: float
    floor_ms: float


async def paging(url: str, org_id: int) -> list[Paged]:
    """Measure the pages in turns with a request that only asks the database whether it is there."""
    database = Database(url, name="benchmark")
    await database.open()
    try:
        desk = Desk(
            database=database, clock=SystemClock(), ids=TimeSortedIds(), addresses=ADDRESSES
        )
        async with _visiting(desk, org_id) as session:
            by = Actor(uid="benchmark", org_id=org_id, permissions=frozenset({Permission.READ}))
            found = await queries.page(desk, Filters(), by, number=1, size=1)
            shown = ids.public("inv", found.views[0].invoice.invoice_id)
            return [
                await _measured(session, "the list of 20", "/studio/invoices"),
                await _measured(session, "an invoice's page", f"/studio/invoices/{shown}"),
            ]
    finally:
        await database.close()


@asynccontextmanager
async def _visiting(desk: Desk, org_id: int) -> AsyncIterator[aiohttp.ClientSession]:
    """A served application, and a member signed in to it."""
    app = create_app(desk, WebSettings())
    serving = server(app, "127.0.0.1", 0)
    async with AsyncExitStack() as stack:
        running = asyncio.create_task(serving.serve())
        while not serving.started:  # noqa: ASYNC110 - uvicorn sets no event
            await asyncio.sleep(0.01)
        stack.push_async_callback(_stopped, serving, running)
        port = serving.servers[0].sockets[0].getsockname()[1]
        password = secrets.token_urlsafe()
        member = await members.add_member(
            desk,
            org_id,
            email=f"reader{org_id}@bench.example",
            name="Reader",
            roles=("auditor",),
            password_hash=PasswordHasher().hash(password),
        )
        parts = app.state.studio
        here = Place("benchmark", "127.0.0.1", "127.0.0.1")
        token, _ = await parts.signing_in.sign_in(member.email, password, here)
        session = aiohttp.ClientSession(
            f"http://127.0.0.1:{port}", headers={"Cookie": f"{parts.cookie}={token}"}
        )
        stack.push_async_callback(session.close)
        yield session


async def _stopped(serving: object, running: "asyncio.Task[None]") -> None:
    serving.should_exit = True  # type: ignore[attr-defined]  # uvicorn's own switch
    await running


async def _measured(session: aiohttp.ClientSession, what: str, path: str) -> Paged:
    page_ms, floor_ms = [], []
    for _ in range(ROUNDS):
        page_ms.append(await _ms(session, path))
        floor_ms.append(await _ms(session, "/healthz"))
    return Paged(what, median(page_ms), median(floor_ms))


async def _ms(session: aiohttp.ClientSession, path: str) -> float:
    started = time.perf_counter()
    async with session.get(path, allow_redirects=False) as response:
        await response.read()
        if response.status != 200:  # noqa: PLR2004 - HTTP's word for well
            msg = f"{path} answers {response.status}, so there is nothing to measure"
            raise RuntimeError(msg)
    return (time.perf_counter() - started) * 1_000
