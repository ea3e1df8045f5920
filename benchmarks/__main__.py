"""``python -m benchmarks``, or ``make bench``: start the system, measure it, print the table.

What was measured goes to ``var/bench.json`` as well, the ``pgbench`` script beside it.
"""

import asyncio
import logging
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
import structlog
from rich.console import Console

from benchmarks.apart import apart
from benchmarks.catching_up import catching_up
from benchmarks.creating import creating
from benchmarks.crowded import OPEN_INVOICES, crowded
from benchmarks.deciding import deciding
from benchmarks.listing import MANY, MANY_ID, listing
from benchmarks.paging import paging
from benchmarks.report import Measured, table
from benchmarks.scanning import scanning
from benchmarks.telling import telling
from benchmarks.weighing import weighing
from counterfoil.db import postgres_binaries
from counterfoil.db.embedded import EmbeddedPostgres
from counterfoil.sandbox.demo import ORG_ID, free_port, running
from counterfoil.sandbox.places import passing_places

VAR: Final = Path(os.environ.get("COUNTERFOIL_VAR_DIR", "var"))

UNBOUNDED: Final = {"COUNTERFOIL_REQUESTS_PER_SECOND": "1000000"}
"""One member creates all the invoices, faster than one member is heard by default."""

_WIDE: Final = 150
"""Columns of a table that goes to a file."""

_out: Final = Console(width=None if sys.stdout.isatty() else _WIDE)


class Machine(msgspec.Struct, frozen=True):
    """Where the figures come from. ``load`` is what else ran in the minute before."""

    cores: int
    load: float
    system: str
    python: str
    postgresql: str


def machine() -> Machine:
    """This machine, now."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        load=round(os.getloadavg()[0], 2),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        postgresql=postgres_binaries.version(),
    )


async def measured() -> Measured:
    """Measure on systems of their own, which vanish afterwards."""
    step("Scanning transfer logs")
    scanned = scanning()
    step("Catching up after an outage")
    with passing_places() as places:
        caught_up = await catching_up(places)
    with passing_places() as places:
        # A demo may be running here, or another run of this.
        async with running(
            places, lambda _, __: None, step, settings=UNBOUNDED, port=free_port()
        ) as sandbox:
            step("Timing callbacks")
            told = await telling(sandbox)
            step("Deciding, and verifying the audit log")
            decided = await deciding(sandbox)
            step("Creating invoices over HTTP and with pgbench, in turns")
            created = await creating(sandbox, VAR / "create_invoice.sql")
            step(f"Creating invoices while {OPEN_INVOICES:,} are open")
            crowd = await crowded(sandbox)
            step("Weighing the processes")
            weighed = await weighing(sandbox)
            await sandbox.supervisor.stop()
            step(f"Listing {MANY:,} invoices; filling the tables takes some minutes")
            with apart(EmbeddedPostgres(places.postgres), ORG_ID) as alone_url:
                listed = await listing(sandbox.database_url, alone_url, ORG_ID)
            step("Opening Studio's pages among them")
            paged = await paging(sandbox.database_url, MANY_ID)
    return Measured(created, told, crowd, listed, paged, scanned, caught_up, decided, weighed)


def step(what: str) -> None:
    """Say what happens now."""
    _out.print(f"[dim]· {what}[/]")


def main() -> None:
    """Measure, print, and write down."""
    # What is measured here in this very process would print lines between the steps.
    errors_only = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=errors_only)
    VAR.mkdir(parents=True, exist_ok=True)
    here = machine()
    found = asyncio.run(measured())
    _out.print(
        f"{here.cores} cores, load {here.load} before; {here.system}, Python {here.python},"
        f" PostgreSQL {here.postgresql}, uvicorn {version('uvicorn')}, psycopg {version('psycopg')}"
    )
    _out.print(table(found))
    path = VAR / "bench.json"
    written = msgspec.json.encode({"machine": here, "measured": found})
    path.write_bytes(msgspec.json.format(written, indent=2) + b"\n")
    _out.print(f"written to {path}")


if __name__ == "__main__":
    main()
