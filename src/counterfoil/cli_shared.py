"""What the commands share: how they speak, and how they come to a database."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, NoReturn, TypeVar

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.clock import TimeSortedIds
from counterfoil.config import ConfigError, DatabaseConfig
from counterfoil.db.embedded import EmbeddedPostgres
from counterfoil.db.migrate import check_current
from counterfoil.db.pool import Database
from counterfoil.db.timekeeping import shared_clock
from counterfoil.desk.desk import Desk

T = TypeVar("T")

out: Final = Console()
err: Final = Console(stderr=True)

_WIDEST: Final = 160


@contextmanager
def database(config: DatabaseConfig, *, create: bool = False) -> Iterator[str]:
    """The address of the database for one command.

    An embedded server that had to be started for it is stopped again. Raises `ConfigError` when
    there is no database yet, unless it may be created.
    """
    if config.url is not None:
        yield config.url.reveal()
        return
    server = EmbeddedPostgres(config.embedded_dir)
    if not create and not config.embedded_dir.exists():
        raise ConfigError(
            f"there is no database in {config.embedded_dir.parent}: run counterfoil migrate, or"
            " set COUNTERFOIL_VAR_DIR or COUNTERFOIL_DATABASE_URL to where it is"
        )
    ran = server.alive()
    url = server.start()
    try:
        yield url
    finally:
        if not ran:
            server.stop()


def with_desk(config: DatabaseConfig, do: Callable[[Desk], Coroutine[Any, Any, T]]) -> T:
    """Run something with a desk of its own on the database."""
    with database(config) as url:
        check_current(url)

        async def opened() -> T:
            async with _desk(url) as desk:
                return await do(desk)

        return asyncio.run(opened())


@asynccontextmanager
async def _desk(url: str) -> AsyncIterator[Desk]:
    pool = Database(url, name="counterfoil-cli", max_connections=2)
    await pool.open()
    try:
        async with shared_clock(pool) as clock:
            yield Desk(
                database=pool,
                clock=clock,
                ids=TimeSortedIds(),
                addresses={"evm": parse_evm_address},
            )
    finally:
        await pool.close()


def busy(what: str) -> Progress:
    """Show that something is going on, until the block ends."""
    progress = Progress(
        SpinnerColumn(), TextColumn(what), TimeElapsedColumn(), console=err, transient=True
    )
    progress.add_task(what)
    return progress


def show(table: Table) -> None:
    """Print a table whole: a figure that is cut off proves nothing."""
    Console(width=max(out.width, _WIDEST)).print(table)


def fail(sentence: str) -> NoReturn:
    """End the command with one sentence."""
    err.print(f"[red]{sentence}[/]", soft_wrap=True)
    raise SystemExit(2)
