"""Invoices created a second: over HTTP, and by ``pgbench`` with the same statements beside it."""

import asyncio
import re
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Final
from urllib.parse import urlsplit

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.statements import Script, recorded_create
from counterfoil.chains.evm.addresses import DepositAddresses, parse_evm_address
from counterfoil.clock import SystemClock, TimeSortedIds
from counterfoil.db import postgres_binaries
from counterfoil.db.pool import Database
from counterfoil.desk import provisioning
from counterfoil.desk.desk import Desk
from counterfoil.desk.provisioning import Stock
from counterfoil.sandbox.demo import ORG_ID, Sandbox
from counterfoil.sandbox.samples import example

CLIENTS: Final = 8
"""Within the web process's pool of connections, so that both sides use as many."""

ROUNDS: Final = 2
ROUND_SECONDS: Final = 10
WARM_SECONDS: Final = 2

_STOCK: Final = 150_000
"""More than any machine takes in all rounds: `pgbench` fails where there is no address left."""
_ID_STEP: Final = 10**9


@dataclass(frozen=True, slots=True)
class Created:
    """How many invoices a second either way, and how long one took over HTTP."""

    clients: int
    seconds: int
    statements: int
    per_second: float
    floor_per_second: float
    p50_ms: float
    p99_ms: float
    floor_mean_ms: float

    @property
    def ratio(self) -> float:
        """Our share of what the database could do."""
        return self.per_second / self.floor_per_second


async def creating(sandbox: Sandbox, script_path: Path) -> Created:
    """Measure in turns, so that whatever else this machine does meets both.

    ``script_path`` receives the ``pgbench`` script, for people to read.
    """
    body = msgspec.json.encode(example(sandbox.facts))
    member = sandbox.facts.member("finance")
    script = await recorded_create(sandbox.database_url, member.api_key, body)
    await fill_stock(sandbox.database_url, _STOCK)
    asked = request(sandbox, body)
    await over_http(sandbox.facts.base_url, asked, WARM_SECONDS)
    took: list[float] = []
    floors: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        took += await over_http(sandbox.facts.base_url, asked, ROUND_SECONDS)
        floors.append(
            await pgbench(
                sandbox.database_url, script, script_path, limit=f"--time={ROUND_SECONDS}"
            )
        )
    cuts = quantiles(took, n=100)
    return Created(
        clients=CLIENTS,
        seconds=ROUNDS * ROUND_SECONDS,
        statements=script.statements,
        per_second=len(took) / (ROUNDS * ROUND_SECONDS),
        floor_per_second=sum(rate for rate, _ in floors) / ROUNDS,
        p50_ms=cuts[49] * 1000,
        p99_ms=cuts[98] * 1000,
        floor_mean_ms=sum(mean for _, mean in floors) / ROUNDS,
    )


def request(sandbox: Sandbox, body: bytes) -> bytes:
    """The bytes of one call that creates an invoice."""
    head = (
        "POST /v1/studio/api/invoice/intent HTTP/1.1\r\n"
        f"Host: {urlsplit(sandbox.facts.base_url).netloc}\r\n"
        f"X-STUDIO-API-KEY: {sandbox.facts.member('finance').api_key}\r\n"
        f"X-Client-ID: {sandbox.facts.client_id}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def over_http(base_url: str, request: bytes, seconds: int) -> list[float]:
    """Create for so long with all clients; the seconds of each invoice answered in time."""
    until = time.perf_counter() + seconds
    found = await asyncio.gather(*(_client(base_url, request, until) for _ in range(CLIENTS)))
    return [one for many in found for one in many]


async def _client(base_url: str, request: bytes, until: float) -> list[float]:
    """One connection, kept, on which one invoice is created after the other.

    Bare sockets: on a machine of two cores a convenient client would cost as much as the server.
    """
    where = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    took: list[float] = []
    try:
        while (started := time.perf_counter()) < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(body.decode())
            ended = time.perf_counter()
            if ended <= until:
                took.append(ended - started)
    finally:
        writer.close()
        await writer.wait_closed()
    return took


async def pgbench(url: str, script: Script, path: Path, *, limit: str) -> tuple[float, float]:
    """Transactions a second and their mean in milliseconds, as ``pgbench`` counts them.

    ``path`` receives the script, ``limit`` is ``pgbench``'s own option. Raises ``RuntimeError``
    where it fails, or did not leave exactly one invoice for each transaction.
    """
    await asyncio.to_thread(path.write_text, script.text, "utf-8")
    server = conninfo_to_dict(url)
    before = _invoices(url)
    process = await asyncio.create_subprocess_exec(
        postgres_binaries.installed() / "pgbench",
        *("--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", "--jobs=2"),
        *(limit, f"--file={path}"),
        *(f"--define={name}={value}" for name, value in script.variables.items()),
        f"--define=base={time.time_ns() // _ID_STEP * _ID_STEP}",
        str(server["dbname"]),
        env={
            "PGHOST": str(server["host"]),
            "PGPORT": str(server["port"]),
            "PGUSER": str(server["user"]),
            "PGPASSWORD": str(server["password"]),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    done = re.search(r"actually processed: (\d+)", output)
    rate = re.search(r"tps = ([\d.]+)", output)
    mean = re.search(r"latency average = ([\d.]+) ms", output)
    if process.returncode or not (done and rate and mean):
        raise RuntimeError(output)
    if _invoices(url) - before != int(done[1]):
        message = "pgbench's transactions did not each leave one invoice"
        raise RuntimeError(message)
    return float(rate[1]), float(mean[1])


def _invoices(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM invoice").fetchone()
    return int(row[0]) if row else 0


async def fill_stock(url: str, how_many: int) -> None:
    """Put by so many deposit addresses that nobody runs out: deriving them is nobody's turn."""
    database = Database(url, name="counterfoil-bench", max_connections=1)
    await database.open()
    try:
        desk = Desk(database, SystemClock(), TimeSortedIds(), {"evm": parse_evm_address})
        (org,) = await provisioning.all_orgs(desk)
        derive = DepositAddresses(org.factory_address).address
        await provisioning.fill(desk, ORG_ID, "evm", Stock(how_many, how_many), derive)
    finally:
        await database.close()
