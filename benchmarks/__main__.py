"""``python -m benchmarks``, or ``make bench``: start the system, measure it, print the table.

What was measured goes to ``var/bench.json`` as well, the ``pgbench`` script beside it.
"""

import asyncio
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.catching_up import CaughtUp, catching_up
from benchmarks.creating import Created, creating
from benchmarks.scanning import Scanned, scanning
from benchmarks.telling import Told, telling
from counterfoil.db import postgres_binaries
from counterfoil.sandbox.demo import running
from counterfoil.sandbox.places import passing_places

VAR: Final = Path(os.environ.get("COUNTERFOIL_VAR_DIR", "var"))

UNBOUNDED: Final = {"COUNTERFOIL_REQUESTS_PER_SECOND": "1000000"}
"""One member creates all the invoices, faster than one member is heard by default."""

_out: Final = Console()


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


async def measured() -> tuple[Told, Created]:
    """Measure on a system of its own, which vanishes afterwards."""
    with passing_places() as places:
        async with running(places, lambda _, __: None, step, settings=UNBOUNDED) as sandbox:
            step("Timing callbacks")
            told = await telling(sandbox)
            step("Creating invoices over HTTP and with pgbench, in turns")
            return told, await creating(sandbox, VAR / "create_invoice.sql")


def step(what: str) -> None:
    """Say what happens now."""
    _out.print(f"[dim]· {what}[/]")


def table(told: Told, created: Created) -> Table:
    """Each figure beside its floor."""
    shown = Table("measured", "ours", "floor", "ratio", "the floor is")
    pgbench = f"pgbench: the same {created.statements} statements, {created.clients} clients"
    shown.add_row(
        f"invoices a second over HTTP, {created.clients} clients",
        f"{created.per_second:.0f} /s",
        f"{created.floor_per_second:.0f} /s",
        f"{created.ratio:.2f}",
        pgbench,
    )
    shown.add_row(
        "one invoice over HTTP, p50",
        f"{created.p50_ms:.1f} ms",
        f"{created.floor_mean_ms:.1f} ms",
        f"{created.p50_ms / created.floor_mean_ms:.1f}",
        "the mean transaction of that pgbench",
    )
    shown.add_row(
        "one invoice over HTTP, p99",
        f"{created.p99_ms:.1f} ms",
        f"{created.floor_mean_ms:.1f} ms",
        f"{created.p99_ms / created.floor_mean_ms:.1f}",
        "the same",
    )
    for name, seconds, ratio in (
        ("p50", told.p50_seconds, told.p50_ratio),
        ("p99", told.p99_seconds, told.p99_ratio),
    ):
        shown.add_row(
            f"payment's block to callback, {told.payments} at once, {name}",
            f"{seconds:.2f} s",
            f"{told.safe_seconds:.2f} s",
            f"{ratio:.2f}",
            "until the chain called the block safe",
        )
    return shown


def add_scanned(shown: Table, scanned: Sequence[Scanned]) -> None:
    """Add what scanning takes, for each number of watched addresses."""
    for one in scanned:
        shown.add_row(
            f"transfer logs scanned a second of processor time, {one.addresses:,} addresses",
            f"{one.per_second:.0f} /s",
            f"{one.floor_per_second:.0f} /s",
            f"{one.ratio:.2f}",
            "decoding the same answers with msgspec",
        )


def add_caught_up(shown: Table, caught_up: Sequence[CaughtUp]) -> None:
    """Add how fast an outage is made up for, for each share of payments."""
    for one in caught_up:
        shown.add_row(
            f"blocks a second after an outage, one of {one.one_of_ours_in:,} transfers ours",
            f"{one.per_second:.0f} /s",
            f"{one.floor_per_second:.0f} /s",
            f"{one.ratio:.2f}",
            "fetching the same logs with the same client",
        )


def main() -> None:
    """Measure, print, and write down."""
    VAR.mkdir(parents=True, exist_ok=True)
    here = machine()
    step("Scanning transfer logs")
    scanned = scanning()
    step("Catching up after an outage")
    with passing_places() as places:
        caught_up = asyncio.run(catching_up(places))
    told, created = asyncio.run(measured())
    _out.print(
        f"{here.cores} cores, load {here.load} before; {here.system}, Python {here.python},"
        f" PostgreSQL {here.postgresql}, uvicorn {version('uvicorn')}, psycopg {version('psycopg')}"
    )
    shown = table(told, created)
    add_scanned(shown, scanned)
    add_caught_up(shown, caught_up)
    _out.print(shown)
    found = {
        "machine": here,
        "create": created,
        "callback": told,
        "scan": scanned,
        "catch_up": caught_up,
    }
    path = VAR / "bench.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    _out.print(f"written to {path}")


if __name__ == "__main__":
    main()
