"""`Site`: the real web application on a real socket, with organisations and people in it."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from copy import copy
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import Final

import aiohttp
import uvicorn
from argon2 import PasswordHasher
from litestar import Litestar

from counterfoil.app import ADDRESSES, Server, WebSettings, furnished, routed, server
from counterfoil.books import orgs
from counterfoil.core import ids
from counterfoil.db.pool import Database
from counterfoil.db.rows import execute
from counterfoil.desk import members, rates
from counterfoil.desk.desk import Desk
from support.actors import Auditor, Caller, Merchant, Reviewer, Signer, Stranger
from support.fake_clock import FakeClock
from support.patience import patiently
from support.shop import Shop, desk_on
from support.visitor import Visitor

PASSWORD: Final = "correct horse battery staple"
"""Everybody's here."""
CHEAP: Final = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Next to no work, or tests would do nothing else."""
PASSWORD_HASH: Final = CHEAP.hash(PASSWORD)


class _Prompt(uvicorn.Server):
    """Ends once it is told to and nothing is left: uvicorn's own looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._told = asyncio.Event()
        super().__init__(config)

    @property
    def should_exit(self) -> bool:
        return self._told.is_set()

    @should_exit.setter
    def should_exit(self, told: bool) -> None:
        if told:
            self._told.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in self.servers:
            listening.close()
        for given in sockets or []:
            given.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        async with patiently("answers that are under way"):
            while self.server_state.connections or self.server_state.tasks:
                await asyncio.sleep(0.005)


class _Quiet(Server, _Prompt):
    """The program's own, but that it leaves the test runner's signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True)
class Firm:
    """One organisation with a person for each role."""

    shop: Shop
    merchant: Merchant
    colleague: Merchant
    reviewer: Reviewer
    signer: Signer
    second_signer: Signer
    officer: Caller
    auditor: Auditor
    all_roles: Caller

    @property
    def org_id(self) -> int:
        return self.shop.org_id


class Site:
    """A running server. Its clock stands still until a test moves it."""

    def __init__(
        self, serving: Server, app: Litestar, clock: FakeClock, session: aiohttp.ClientSession
    ) -> None:
        self.serving = serving
        self.app = app
        self.desk: Desk = app.state.desk
        self.clock = clock
        self.session = session
        self.stranger = Stranger(session, None, "")
        self.address = str(session._base_url)  # noqa: SLF001 - aiohttp does not tell it otherwise
        self.visitors: list[Visitor] = []

    async def firm(self, org_id: int = 1, *, addresses: int = 20) -> Firm:
        """Open an organisation, with people and a stock of deposit addresses."""
        shop = await Shop(self.desk, org_id).open()
        await shop.stock(addresses)
        return Firm(
            shop=shop,
            merchant=Merchant(*await self.person(org_id, "maya", "finance")),
            colleague=Merchant(*await self.person(org_id, "colin", "finance")),
            reviewer=Reviewer(*await self.person(org_id, "rita", "reviewer")),
            signer=Signer(*await self.person(org_id, "sam", "signer")),
            second_signer=Signer(*await self.person(org_id, "sue", "signer")),
            officer=Caller(*await self.person(org_id, "otto", "compliance")),
            auditor=Auditor(*await self.person(org_id, "ada", "auditor")),
            all_roles=Caller(*await self.person(org_id, "alma", "finance", "reviewer", "signer")),
        )

    async def person(
        self, org_id: int, name: str, *roles: str, auto_approve: bool = False
    ) -> tuple[aiohttp.ClientSession, str, str, str]:
        """What a `Caller` is made of, for a new member with these roles, who was always there."""
        email, now = f"{name}{org_id}@merchant.example", self.clock.now()
        member_id, person_id = self.desk.ids.new(), self.desk.ids.new()
        member = orgs.Member(org_id, member_id, person_id, email, name.title(), roles)
        key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
        key = orgs.KeyRow(
            key_id=key_id,
            secret_hash=members.hash_of_key(secret),
            org_id=org_id,
            client_ids=[],
            member_id=member_id,
            email=email,
            roles=list(roles),
            auto_approve=auto_approve,
        )
        async with self.desk.database.transaction() as tx:
            await orgs.insert_member(tx, member, PASSWORD_HASH, now)
            await orgs.insert_key(tx, key, "test", now)
        uid = ids.public("user", member_id)
        return self.session, members.written_key(key_id, secret), f"client_{org_id}", uid

    async def joins(self, email: str, org_id: int, *roles: str) -> None:
        """Somebody is a member of one more organisation."""
        async with self.desk.database.transaction() as tx:
            await execute(
                tx,
                "INSERT INTO member (org_id, member_id, person_id, roles, created_at, accepted_at)"
                " SELECT %(org_id)s, %(member_id)s, person_id, %(roles)s, %(now)s, %(now)s"
                " FROM person WHERE email = %(email)s",
                {
                    "org_id": org_id,
                    "member_id": self.desk.ids.new(),
                    "roles": list(roles),
                    "now": self.clock.now(),
                    "email": email,
                },
            )

    async def at_the_pages(self, email: str | None = None) -> Visitor:
        """Somebody with a browser of their own; signed in where an e-mail is given."""
        visitor = Visitor(self.address)
        self.visitors.append(visitor)
        if email is not None:
            await visitor.sign_in(email, PASSWORD)
        return visitor

    async def publish_rates(self) -> None:
        """What one coin and one dollar are worth just now."""
        for base, quote, rate in (
            ("USDT", "TWD", "32.5"),
            ("USDC", "TWD", "32.5"),
            ("USDT", "USD", "1"),
            ("USDC", "USD", "1"),
            ("USD", "TWD", "32.4"),
            ("ETH", "TWD", "100000"),
            ("ETH", "USD", "3000"),
        ):
            now = self.clock.now()
            snapshot = rates.Snapshot(base, quote, now, "test", Decimal(rate), {}, now)
            await rates.store(self.desk, snapshot)


@asynccontextmanager
async def open_site(
    database: Database, settings: WebSettings | None = None, *, name: str = "127.0.0.1"
) -> AsyncIterator[Site]:
    """The application, served on a free port of this machine, which is where people reach it.

    By ``name``, unless the settings name another place.
    """
    clock = FakeClock()
    desk = replace(desk_on(database, clock), addresses=ADDRESSES)
    # Named as TCP, or the loop leaves Nagle on and each body waits 40 ms behind its head.
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    known = settings or WebSettings()
    known = replace(known, public_url=known.public_url or f"http://{name}:{port}")
    app = furnished(copy(_routes()), desk, known)
    quiet = _Quiet(server(app, "127.0.0.1", 0).config)
    serving = asyncio.create_task(quiet.serve(sockets=[listening]))
    async with patiently("the server's start"):
        while not quiet.started and not serving.done():
            await asyncio.sleep(0.005)
    async with AsyncExitStack() as stack:
        session = aiohttp.ClientSession(f"http://127.0.0.1:{port}")
        stack.push_async_callback(_stop, quiet, serving)
        stack.push_async_callback(session.close)
        site = Site(quiet, app, clock, session)
        await site.publish_rates()
        yield site
        for visitor in site.visitors:
            await visitor.leave()


@cache
def _routes() -> Litestar:
    """Put together once, as it takes a third of a second."""
    return routed()


async def _stop(quiet: Server, serving: "asyncio.Task[None]") -> None:
    quiet.should_exit = True
    async with patiently("the server's end"):
        await serving
