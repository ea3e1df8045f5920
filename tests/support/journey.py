"""`Journey`: the whole system running, with its people, its chains and a merchant's server.

Everything is real: the processes, PostgreSQL, three nodes, HTTP in both directions. What the
tests hold in their hands is only the chains' heartbeat, so that they can make one wait.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

import aiohttp

from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.chains.evm.chain import EvmChain
from counterfoil.clock import SystemClock, TimeSortedIds
from counterfoil.core.assets import CHAINS
from counterfoil.core.money import Asset, parse_units
from counterfoil.core.secrets import callback_secret, shown_callback_secret
from counterfoil.db.pool import Database
from counterfoil.desk import proving, rates, settings, watching
from counterfoil.desk.desk import Desk
from counterfoil.desk.proving import Verified
from counterfoil.sandbox.customer import Customer
from counterfoil.sandbox.demo import ORG_ID, Crew, Sandbox, free_port, running
from counterfoil.sandbox.places import Places
from counterfoil.workers.reconcile import Difference, reconcile
from support.actors import Answer, Auditor, Caller, Merchant, Officer, Reviewer, Signer
from support.inbox import Inbox, Received
from support.names import NameServer
from support.onchain import COIN, PATIENCE_SECONDS, POLL_SECONDS, Chain, Payer, new_address
from support.patience import patiently
from support.provider import Provider

__all__ = ["COIN", "PATIENCE_SECONDS", "POLL_SECONDS", "Chain", "Payer", "new_address"]

LETTER: Final = b"%PDF-1.7\nPlease send it back.\nstartxref\n0\n%%EOF"
"""What a customer wrote, as a file that may be attached."""


@dataclass(frozen=True)
class Bill:
    """An invoice as the one who has to pay it knows it, and where the money should end."""

    id: str
    address: str
    payout_address: str
    amounts: dict[tuple[str, str], str] = field(repr=False)

    @classmethod
    def of(cls, invoice: dict[str, Any]) -> "Bill":
        return cls(
            id=invoice["id"],
            address=invoice["payment_intent"]["payment_address"],
            payout_address=(invoice["payment_intent"]["payout_addresses"] or {}).get("evm", ""),
            amounts={(o["chain"], o["token"]): o["amount"] for o in invoice["payment_options"]},
        )

    def due_units(self, token: Asset) -> int:
        return parse_units(self.amounts[token.chain, token.symbol], token.decimals, "amount")


@dataclass
class Journey:
    """The running system as the people around it see it."""

    sandbox: Sandbox
    places: Places
    log: list[str]
    session: aiohttp.ClientSession
    desk: Desk
    inbox: Inbox
    chains: dict[str, Chain]
    providers: Sequence[Provider] = ()
    """What stands between our processes and Optimism's node, where anything does."""
    names: NameServer = field(default_factory=NameServer)
    """Where the workers look names up, if they were told to."""

    def __post_init__(self) -> None:
        self.customer = Payer(Customer.known().address)
        self.merchant = Merchant(*self._person("finance"))
        self.reviewer = Reviewer(*self._person("reviewer"))
        self.signer = Signer(*self._person("signer"))
        self.treasurer = Signer(*self._person("signer", 1))
        self.officer = Officer(*self._person("compliance"))
        self.second_officer = Officer(*self._person("compliance", 1))
        self.auditor = Auditor(*self._person("auditor"))

    async def bill(self, **changes: object) -> Bill:
        """A new invoice that pays out to an address of its own; nobody has approved it."""
        asked = {
            "payout_addresses": {"evm": new_address()},
            "callback_url": self.inbox.url,
            **changes,
        }
        return Bill.of((await self.merchant.create(None, **asked)).data)

    async def approved_bill(self, **changes: object) -> Bill:
        bill = await self.bill(**changes)
        assert (await self.reviewer.approve(bill.id)).status == 200
        return bill

    async def hundred(self, chain: Chain, token: Asset, **changes: object) -> Bill:
        """An approved invoice over exactly 100 coins of a token, whatever its price."""
        item = {"name": "Consulting service", "quantity": 1, "unit_price": 100, "tax": 0}
        asked = {"chain": chain.key, "pay_token": token.symbol, "detail_items": [item], **changes}
        return await self.approved_bill(
            pricing_mode="crypto", amount="100.00", currency=None, **asked
        )

    async def pay(self, bill: Bill, chain: Chain, token: Asset, units: int | None = None) -> str:
        """Pay what is due, or so much, and wait for the block; answers the transaction's hash."""
        units = bill.due_units(token) if units is None else units
        tx_hash = await self.customer.pays(chain, token, bill.address, units)
        await chain.included(tx_hash)
        return tx_hash

    async def look(self, bill: Bill) -> dict[str, Any]:
        found: dict[str, Any] = (await self.auditor.look(bill.id)).data
        return found

    async def until(self, bill: Bill, *statuses: str) -> dict[str, Any]:
        """Wait until an invoice has one of the statuses; answers it as it then is."""
        return await self._awaited(bill, lambda i: i["status"] in statuses, "/".join(statuses))

    async def until_signable(self, bill: Bill) -> dict[str, Any]:
        """Wait until the payment is clean and final, so that somebody may sign for it."""
        return await self.until_final(bill, "sign_pending")

    async def until_final(self, bill: Bill, *statuses: str, transfers: int = 1) -> dict[str, Any]:
        """Wait for a status, and until this many transfers and all others are final, or gone."""
        return await self._awaited(
            bill,
            lambda i: (
                i["status"] in statuses
                and len(i["transfers"]) >= transfers
                and all(t["depth"] in ("final", "orphaned") for t in i["transfers"])
            ),
            f"{'/'.join(statuses)} with everything final",
        )

    async def until_standing(self, bill: Bill, *transfers: tuple[str, int, int]) -> None:
        """Wait until these are what paid and nothing else: hash, height and log index of each."""
        await self._awaited(
            bill,
            lambda i: (
                transfers
                == tuple(
                    (t["tx_hash"], t["block_number"], t["log_index"])
                    for t in i["transfers"]
                    if t["depth"] != "orphaned"
                )
            ),
            f"payment by {transfers} alone",
        )

    async def until_offered(self, bill: Bill, verb: str) -> dict[str, Any]:
        """Wait until the signer could do this; answers the invoice as the signer then sees it."""
        return await self._awaited(
            bill, lambda i: verb in i["available_actions"], f"offer to {verb}", self.signer
        )

    async def signable_bill(self, chain: Chain, token: Asset, **changes: object) -> Bill:
        """An invoice that was approved, paid, screened, and waits for the merchant."""
        bill = await self.approved_bill(chain=chain.key, pay_token=token.symbol, **changes)
        await self.pay(bill, chain, token)
        await self.until_signable(bill)
        return bill

    async def sign(self, bill: Bill) -> None:
        assert (await self.signer.act("sign", bill.id)).status == 200

    async def settle(self, bill: Bill) -> dict[str, Any]:
        """Sign for the money and wait until the merchant has it."""
        await self.sign(bill)
        return await self.until(bill, "completed")

    async def order_refund(self, bill: Bill, **asked: object) -> Answer:
        """The signer orders a refund: all that is here, unless ``asked`` says how much."""
        receipt = (await self.signer.upload(LETTER)).data["file_id"]
        order = {"refund_reason": "The customer asked.", "refund_attachments": [receipt], **asked}
        return await self.signer.act("refund", bill.id, order)

    async def refund(self, bill: Bill, to: str, **asked: object) -> dict[str, Any]:
        """A refund is ordered, approved by the second person, and has arrived."""
        before = len((await self.look(bill))["refunds"])
        ordered = await self.order_refund(bill, refund_address=to, **asked)
        assert ordered.status == 200
        named = {"refund_id": ordered.data["refund"]["refund_id"]}
        assert (await self.treasurer.act("refund/approve", bill.id, named)).status == 200
        return await self._awaited(
            bill,
            lambda i: len(i["refunds"]) > before and i["refunds"][-1]["status"] == "settled",
            "settled refund",
        )

    async def until_logged(self, bill: Bill, event: str, times: int = 1) -> dict[str, Any]:
        """Wait until an invoice's log has so many entries of a kind; answers the last of them."""
        async with patiently(f"{times} entries {event} in the log of {bill.id}", PATIENCE_SECONDS):
            while True:
                entries = (await self.auditor.logs(bill.id)).data
                found: list[dict[str, Any]] = [e for e in entries if e["event"] == event]
                if len(found) >= times:
                    return found[times - 1]
                await asyncio.sleep(POLL_SECONDS)

    async def until_read(self, chain: Chain) -> None:
        """Wait until our watcher has read a chain up to the block that is its newest one now."""
        newest = await chain.node.height()
        async with patiently(f"a watcher that has read {chain.key} to {newest}", PATIENCE_SECONDS):
            while newest > max(
                one.head_number
                for one in await watching.positions(self.desk)
                if one.chain == chain.key
            ):
                await asyncio.sleep(POLL_SECONDS)

    async def statuses(self, bill: Bill) -> list[str]:
        """The statuses that an invoice passed through, as its log tells them."""
        entries = (await self.auditor.logs(bill.id)).data
        return [status for status, _ in groupby(entry["to_status"] for entry in entries)]

    def told(self, bill: Bill) -> list[Received]:
        """What the merchant's server has received about an invoice so far, in order."""
        return [r for r in self.inbox.received if r.body["id"] == bill.id]

    async def until_told(self, bill: Bill, *statuses: str) -> list[Received]:
        """Wait until the merchant's server was told these intent statuses, and no others."""
        told: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while told != list(statuses):
                    await asyncio.sleep(POLL_SECONDS)
                    told = [r.body["status"] for r in self.told(bill)]
        except TimeoutError:
            raise AssertionError(f"told {told} about {bill.id}, not {list(statuses)}") from None
        return self.told(bill)

    async def callbacks(self, bill: Bill) -> list[dict[str, Any]]:
        """Everything that an invoice had to tell, oldest first, with each attempt at it."""
        path = f"/invoice/intent/{bill.id}/callbacks"
        found: list[dict[str, Any]] = (await self.auditor.get(path)).data
        return found

    async def until_called(self, bill: Bill, *ends: str) -> list[dict[str, Any]]:
        """Wait until what an invoice had to tell has ended so, in order; answers it."""
        found: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while [event["status"] for event in found] != list(ends):
                    await asyncio.sleep(POLL_SECONDS)
                    found = await self.callbacks(bill)
        except TimeoutError:
            raise AssertionError(f"callbacks of {bill.id} are {found}, not {ends}") from None
        return found

    @property
    def shown_secret(self) -> str:
        """The callback secret as the merchant was shown it."""
        master = self.places.secret("secret").read_text(encoding="utf-8").strip().encode()
        return shown_callback_secret(callback_secret(master, ORG_ID, 1))

    # -- terms ----------------------------------------------------------------------------------

    @asynccontextmanager
    async def terms(self, **changes: str) -> AsyncIterator[None]:
        """Other rules for the invoices that are created inside, and for no others."""
        before = await settings.change_policy(self.desk, ORG_ID, {})
        await settings.change_policy(self.desk, ORG_ID, changes)
        try:
            yield
        finally:
            back = {name: str(getattr(before, name) or "null") for name in changes}
            await settings.change_policy(self.desk, ORG_ID, back)

    async def rate_becomes(self, pair: str, value: str) -> None:
        """A price moves, now and for as long as the system runs."""
        document = json.loads(self.places.rates.read_text(encoding="utf-8"))
        document["rates"][pair] = value
        self.places.rates.write_text(json.dumps(document), encoding="utf-8")
        now = self.desk.clock.now()
        base, quote = pair.split("/")
        source = f"static:{document['source']}"
        seen = rates.Snapshot(base, quote, now, source, Decimal(value), {}, now)
        await rates.store(self.desk, seen)

    # -- proof ----------------------------------------------------------------------------------

    async def audit(self) -> Verified:
        return await proving.verify_audit(self.desk)

    async def unexplained(self) -> list[Difference]:
        """Every address on any chain that does not hold what the books say."""
        found: list[Difference] = []
        for key, chain in self.chains.items():
            port = EvmChain.over(CHAINS[key], [chain.node.url], SystemClock())
            try:
                async for compared in reconcile(self.desk, port):
                    found += compared.differences
            finally:
                await port.close()
        return found

    async def until_explained(self) -> None:
        """Wait until every address holds what the books say, once nothing is under way."""
        async with patiently("books that say what is there", PATIENCE_SECONDS):
            while any(difference.under_way for difference in await self.unexplained()):
                await asyncio.sleep(POLL_SECONDS)
        assert await self.unexplained() == []

    async def counterfoil(self, *arguments: str) -> "Ran":
        """Run one of our own commands against this system."""
        endpoints = {f"COUNTERFOIL_RPC_{k.upper()}": c.node.url for k, c in self.chains.items()}
        return await ran(
            [sys.executable, "-m", "counterfoil", *arguments],
            {
                "COUNTERFOIL_DATABASE_URL": self.sandbox.database_url,
                "COUNTERFOIL_SECRET_FILE": str(self.places.secret("secret")),
                "COUNTERFOIL_SIGNER_SOCKET": str(self.places.socket),
                **endpoints,
            },
        )

    # -- accidents ------------------------------------------------------------------------------

    async def kill_workers(self) -> None:
        """End the work process as a power cut would."""
        os.kill(self.sandbox.supervisor.pids()["work"], signal.SIGKILL)

    async def until_workers_are_back(self, times: int = 1) -> None:
        """Wait until the work process has come up so many times since it was counted last."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.starts < times:
                await asyncio.sleep(POLL_SECONDS)

    @property
    def starts(self) -> int:
        """How often the workers have come up."""
        return sum(line.startswith("work ") and '"event": "working"' in line for line in self.log)

    @contextmanager
    def workers_asleep(self) -> Iterator[None]:
        """Stop the work process in its tracks, and let it go on as if nothing had been."""
        pid = self.sandbox.supervisor.pids()["work"]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _person(self, role: str, which: int = 0) -> tuple[aiohttp.ClientSession, str, str]:
        facts = self.sandbox.facts
        found = [member for member in facts.members if role in member.roles]
        return self.session, found[which].api_key, facts.client_id

    async def _awaited(
        self,
        bill: Bill,
        enough: Callable[[dict[str, Any]], bool],
        wanted: str,
        caller: Caller | None = None,
    ) -> dict[str, Any]:
        looking = caller or self.auditor
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    invoice: dict[str, Any] = (await looking.look(bill.id)).data
                    if enough(invoice):
                        return invoice
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            passed = await self.statuses(bill)
            last = "\n".join(self.log[-40:])
            raise AssertionError(f"no {wanted} after {passed}; last lines:\n{last}") from None


@dataclass(frozen=True)
class Ran:
    """How a command ended, and everything that it printed."""

    status: int
    text: str


async def ran(command: list[str], environment: dict[str, str]) -> Ran:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "200", **environment},
    )
    try:
        text, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ran(process.returncode, text.decode())


def node_of(places: Places, key: str) -> Callable[[], str]:
    """Where a chain's node will be, which is known before anybody asks for it."""

    def url() -> str:
        facts = places.read()
        assert facts is not None
        return facts.chains[key].rpc_url

    return url


@asynccontextmanager
async def begun(
    places: Places,
    *,
    settings: Mapping[str, str] | None = None,
    crew: Crew | None = None,
    providers: Sequence[Provider] = (),
    names: NameServer | None = None,
) -> AsyncIterator[Journey]:
    """Start the system, with everything around it that a journey needs."""
    log: list[str] = []
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(
            running(
                places,
                lambda name, line: log.append(f"{name} {line}"),
                log.append,
                # Not the default one, which another system may take between choice and use.
                port=free_port(),
                # The tests look more often than a member is heard by default.
                settings={"COUNTERFOIL_REQUESTS_PER_SECOND": "1000", **(settings or {})},
                crew=crew,
            )
        )
        session = await stack.enter_async_context(aiohttp.ClientSession(sandbox.facts.base_url))
        chains = {
            key: await stack.enter_async_context(Chain(key, node).beating())
            for key, node in sandbox.nodes.items()
        }
        inbox = await stack.enter_async_context(Inbox().open())
        database = Database(sandbox.database_url, name="journey", max_connections=2)
        await database.open()
        stack.push_async_callback(database.close)
        desk = Desk(
            database=database,
            clock=SystemClock(),
            ids=TimeSortedIds(),
            addresses={"evm": parse_evm_address},
        )
        yield Journey(
            sandbox,
            places,
            log,
            session,
            desk,
            inbox,
            chains,
            providers,
            names or NameServer(),
        )
