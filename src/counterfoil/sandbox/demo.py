"""The whole system on one machine, with chains, a customer and a merchant of its own."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final, Literal

import aiohttp
from yarl import URL

from counterfoil.books import addresses
from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.clock import SystemClock, TimeSortedIds
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Unavailable
from counterfoil.core.secrets import callback_secret, shown_callback_secret
from counterfoil.db.embedded import EmbeddedPostgres
from counterfoil.db.migrate import migrate
from counterfoil.db.pool import Database
from counterfoil.desk import rates
from counterfoil.desk.desk import Desk
from counterfoil.sandbox.anvil import Anvil, AnvilNode, AnvilSettings
from counterfoil.sandbox.customer import PRIVATE_KEY, Customer
from counterfoil.sandbox.inbox import CallbackInbox
from counterfoil.sandbox.months import Months
from counterfoil.sandbox.past import Past, opened_past, refresh_list
from counterfoil.sandbox.people import (
    CLIENT_ID,
    NEIGHBOUR_ID,
    ORG_ID,
    Team,
    found,
    found_neighbour,
)
from counterfoil.sandbox.places import (
    DemoChain,
    DemoFacts,
    DemoPayer,
    Places,
    tokens_of,
)
from counterfoil.sandbox.purse import Purse
from counterfoil.sandbox.tokens import install_tokens, mint
from counterfoil.signer.client import SignerClient
from counterfoil.signer.orders import WalletAddresses
from counterfoil.signer.service import create_signer_files
from counterfoil.supervisor import Child, Say, Supervisor, counterfoil, wholly

__all__ = ["ORG_ID", "Crew", "Sandbox", "answers", "found_both", "free_port", "running"]

DEFAULT_PORT: Final = 8080

_ETHER: Final = 10**18
_GAS_MONEY_WEI: Final = 10 * _ETHER
_PAYER_UNITS: Final = 10_000_000 * 10**6
_BLOCK_SECONDS: Final = 1.0
_REFRESH_SECONDS: Final = 12 * 3_600


@dataclass(slots=True)
class Sandbox:
    """A running sandbox: what it started, and how to drive it."""

    facts: DemoFacts
    nodes: Mapping[str, AnvilNode] = field(repr=False)
    inbox: CallbackInbox
    supervisor: Supervisor
    database_url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Crew:
    """The work processes, by name and command, and how late a dead process is started again."""

    workers: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {"work": counterfoil("work")}
    )
    longest_pause_seconds: float = 30.0


@asynccontextmanager
async def running(  # noqa: PLR0913 - what may differ between two sandboxes
    places: Places,
    say: Say,
    tell: Callable[[str], None],
    *,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
    crew: Crew | None = None,
    months: Months | None = None,
) -> AsyncIterator[Sandbox]:
    """Start everything in order, and stop it in the opposite order.

    ``say`` takes the processes' own lines, ``tell`` one sentence a step. What an earlier run left
    below ``places`` is kept and used. ``settings`` are laid over the processes' environment. With
    ``months`` a sandbox that is new lives through them first.
    """
    crew = crew or Crew()
    async with AsyncExitStack() as stack:
        places.var.mkdir(parents=True, exist_ok=True)
        if places.unfinished.exists():
            places.clear()
        tell("Starting PostgreSQL")
        url = await _start_database(places, stack)
        inbox = await _start_inbox(places, stack)
        lived = None
        if months is not None and places.read() is None:
            places.unfinished.touch()
            lived = await _live(places, url, inbox.url, months, tell)
        tell("Starting local Arbitrum, Base and Optimism")
        nodes = await _start_chains(places, stack)
        environment = _environment(
            places, url, nodes, port or free_port(_last_port(places, "base_url") or DEFAULT_PORT)
        )
        environment["COUNTERFOIL_DEMO_CUSTOMER_URL"] = await _start_purse(nodes, stack)
        environment |= settings or {}
        supervisor = Supervisor(say, longest_pause_seconds=crew.longest_pause_seconds)
        stack.push_async_callback(supervisor.stop)
        tell("Starting the signer")
        signer = await _start_signer(places, supervisor, environment)
        wallets = await signer.addresses(ORG_ID)
        for node in nodes.values():
            await _fund(node, wallets)
        listens_at = environment["COUNTERFOIL_PORT"]
        base_url = f"http://127.0.0.1:{listens_at}"
        # People go by the name, since browsers offer passkeys at names only.
        public_url = environment.setdefault(
            "COUNTERFOIL_PUBLIC_URL", f"http://localhost:{listens_at}"
        )
        desk = await stack.enter_async_context(_desk(url))
        tell("Opening the organisation and its team")
        known = places.read()
        team = lived or (
            Team(known.members, known.neighbours) if known else Team(await found(desk, wallets))
        )
        await refresh_list(desk)
        stack.push_async_callback(_cancelled, asyncio.create_task(_keep_list_fresh(desk)))
        facts = _facts(base_url, public_url, nodes, inbox, team)
        places.write(facts)
        places.unfinished.unlink(missing_ok=True)
        tell("Starting workers and web")
        worker_environment = {
            k: v for k, v in environment.items() if not k.startswith("COUNTERFOIL_APPROVAL")
        }
        for name, command in crew.workers.items():
            await supervisor.start(Child(name, command, worker_environment))

        async def open_for_business() -> bool:
            return await answers(facts) and await _can_sell(desk)

        await supervisor.start(Child("serve", counterfoil("serve"), environment, open_for_business))
        yield Sandbox(facts, nodes, inbox, supervisor, url)


async def answers(facts: DemoFacts) -> bool:
    """Whether our web process can serve; another's, on a port lost to it, knows no key of ours."""
    address = f"{facts.base_url}/v1/studio/api/invoice/intents?page_size=1"
    key = facts.member("auditor").api_key
    with suppress(aiohttp.ClientError, TimeoutError):
        timeout = aiohttp.ClientTimeout(total=2)
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.get(address, headers={"X-STUDIO-API-KEY": key}) as response,
        ):
            return response.ok
    return False


async def _can_sell(desk: Desk) -> bool:
    """Whether the workers have left what an invoice needs: an address, and rates that are fresh."""
    with suppress(Unavailable):
        async with desk.database.reading() as tx:
            for pair in rates.PAIRS:
                await rates.current(
                    tx, *pair, now=desk.clock.now(), max_age_seconds=desk.rate_max_age_seconds
                )
            return await addresses.free_count(tx, ORG_ID, "evm") > 0
    return False


def free_port(preferred: int = 0) -> int:
    """The preferred port of this machine, or any other when that one is taken."""
    for port in (preferred, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            chosen: int = probe.getsockname()[1]
            if not _is_somebodys_by_name(chosen):
                return chosen
    msg = "this machine has no free port on its loopback address"
    raise OSError(msg)


def _is_somebodys_by_name(port: int) -> bool:
    """Whether another program would get our visitors: browsers try ::1 too, by the name."""
    with suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.settimeout(1)
        probe.connect(("::1", port))
        return True
    return False


def _last_port(places: Places, which: Literal["base_url", "callback_inbox_url"]) -> int:
    """The port of the run before, so that addresses that people noted stay good; 0 at first."""
    known = places.read()
    return 0 if known is None else URL(getattr(known, which)).port or 0


async def _start_database(places: Places, stack: AsyncExitStack) -> str:
    server = EmbeddedPostgres(places.postgres)
    # First, as the start may be called off when the server is there already.
    stack.push_async_callback(asyncio.to_thread, server.stop)
    url = await wholly(server.start)
    await asyncio.to_thread(migrate, url)
    return url


async def _start_chains(places: Places, stack: AsyncExitStack) -> dict[str, AnvilNode]:
    nodes: dict[str, AnvilNode] = {}
    for key, chain in CHAINS.items():
        state_path = places.chain_state(key)
        state_path.parent.mkdir(parents=True, exist_ok=True)
        node = await Anvil.start(
            AnvilSettings(
                chain_id=chain.chain_id,
                block_seconds=_BLOCK_SECONDS,
                slots_in_an_epoch=1,
                state_path=state_path,
            )
        )
        stack.push_async_callback(node.stop)
        await install_tokens(node, chain)
        nodes[key] = node
        await _fund_customer(node, key)
    return nodes


async def _fund_customer(node: AnvilNode, key: str) -> None:
    address = Customer.known().address
    if int(await node.rpc("eth_getBalance", address, "latest"), 16) > _ETHER:
        return
    await node.set_balance(address, 1_000 * _ETHER)
    for asset in CHAINS[key].accepted:
        await mint(node, asset, address, _PAYER_UNITS)


async def _fund(node: AnvilNode, wallets: WalletAddresses) -> None:
    if int(await node.rpc("eth_getBalance", wallets.gas, "latest"), 16) < _ETHER:
        await node.set_balance(wallets.gas, _GAS_MONEY_WEI)


async def _start_inbox(places: Places, stack: AsyncExitStack) -> CallbackInbox:
    master = places.secret("secret").read_text(encoding="utf-8").strip().encode()
    secret = shown_callback_secret(callback_secret(master, ORG_ID, 1))
    inbox = CallbackInbox(secret.encode(), free_port(_last_port(places, "callback_inbox_url")))
    await inbox.start()
    stack.push_async_callback(inbox.stop)
    return inbox


async def _start_purse(nodes: Mapping[str, AnvilNode], stack: AsyncExitStack) -> str:
    """Let the web process have the customer pay; answers where to ask for it."""
    purse = Purse(Customer.known(), nodes, free_port())
    await purse.start()
    stack.push_async_callback(purse.stop)
    return purse.url


async def _start_signer(
    places: Places, supervisor: Supervisor, environment: Mapping[str, str]
) -> SignerClient:
    if not places.seed.exists():
        places.seed.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        passphrase = places.secret("seed_passphrase").read_text(encoding="utf-8").strip()
        now = SystemClock().now()
        await asyncio.to_thread(create_signer_files, places.seed, passphrase, now)
    signer = SignerClient(places.socket)
    await supervisor.start(Child("sign", counterfoil("sign"), environment, signer.healthy))
    return signer


def _environment(
    places: Places, url: str, nodes: Mapping[str, AnvilNode], port: int
) -> dict[str, str]:
    places.rates.write_bytes((files("counterfoil.sandbox") / "rates.json").read_bytes())
    return {
        **os.environ,
        "COUNTERFOIL_DATABASE_URL": url,
        "COUNTERFOIL_VAR_DIR": str(places.var),
        "COUNTERFOIL_PORT": str(port),
        "COUNTERFOIL_SECRET_FILE": str(places.secret("secret")),
        "COUNTERFOIL_APPROVAL_SECRET_FILE": str(places.secret("approval")),
        "COUNTERFOIL_SEED_FILE": str(places.seed),
        "COUNTERFOIL_SEED_PASSPHRASE_FILE": str(places.secret("seed_passphrase")),
        "COUNTERFOIL_SIGNER_SOCKET": str(places.socket),
        "COUNTERFOIL_RATE_FILE": str(places.rates),
        "COUNTERFOIL_SCREENERS": "simulated",
        "COUNTERFOIL_CALLBACK_ALLOW_PRIVATE": "true",
        "COUNTERFOIL_SANDBOX": "true",
        **{f"COUNTERFOIL_RPC_{key.upper()}": node.url for key, node in nodes.items()},
        **{f"COUNTERFOIL_WS_{key.upper()}": node.heads_url for key, node in nodes.items()},
    }


@asynccontextmanager
async def _desk(url: str) -> AsyncIterator[Desk]:
    database = Database(url, name="counterfoil-sandbox", max_connections=2)
    await database.open()
    try:
        yield Desk(
            database=database,
            clock=SystemClock(),
            ids=TimeSortedIds(),
            addresses={"evm": parse_evm_address},
        )
    finally:
        await database.close()


async def _live(
    places: Places, url: str, callback_url: str, months: Months, tell: Callable[[str], None]
) -> Team:
    """Found both organisations some months ago, and live until now."""
    tell(f"Living through {months.days} days of business, once and for all")
    async with opened_past(places, url, months.began_at) as past:
        team = await found_both(past)
        for problem in await months.live(past, team, callback_url, tell):
            tell(f"One invoice did not go as told: {problem}")
    return team


async def found_both(past: Past) -> Team:
    """Found two organisations in the past, with all that their wallets need."""
    wallets = [await past.signer.addresses(org_id) for org_id in (ORG_ID, NEIGHBOUR_ID)]
    for key, node in past.nodes.items():
        await _fund_customer(node, key)
        for funded in wallets:
            await _fund(node, funded)
    members = await found(past.desk, wallets[0])
    neighbours = await found_neighbour(past.desk, wallets[1])
    await past.open_day()
    await past.provide()
    return Team(members, neighbours)


async def _keep_list_fresh(desk: Desk) -> None:
    while True:
        await asyncio.sleep(_REFRESH_SECONDS)
        await refresh_list(desk)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _facts(
    base_url: str,
    public_url: str,
    nodes: Mapping[str, AnvilNode],
    inbox: CallbackInbox,
    team: Team,
) -> DemoFacts:
    return DemoFacts(
        base_url=base_url,
        public_url=public_url,
        client_id=CLIENT_ID,
        org_id=ORG_ID,
        members=team.members,
        neighbours=team.neighbours,
        chains={
            key: DemoChain(rpc_url=node.url, chain_id=CHAINS[key].chain_id, tokens=tokens_of(key))
            for key, node in nodes.items()
        },
        payer=DemoPayer(evm_address=Customer.known().address, evm_private_key=PRIVATE_KEY),
        callback_inbox_url=inbox.url,
    )
