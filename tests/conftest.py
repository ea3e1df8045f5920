"""What every level of tests shares: who may open sockets, and a real PostgreSQL."""

import gc
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from counterfoil.db.pool import Database
from counterfoil.desk import passwords
from counterfoil.signer import keys
from support.payments import Payments
from support.postgres import TestServer
from support.signer_process import cheaply_sealed
from support.site import CHEAP, PASSWORD_HASH, Firm, Site, open_site

# A busy machine is no finding. Where a failure stops others' work the same examples are tried each
# time; at a desk Hypothesis looks for new ones.
settings.register_profile(
    "counterfoil",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("counterfoil")

WITHOUT_SOCKETS: Final = {"unit", "property"}
"""Levels that think and never talk; all others may talk to this machine only."""

JOURNEYS: Final = "tests/journeys/"
README: Final = f"{JOURNEYS}test_readme.py"

FIRST: Final = ("journeys", "soak", "simulation", "browser", "nodes", "attack")
"""Levels with files of minutes. Begun last, one would keep a single worker busy alone."""


class OneSystem(LoadFileScheduling):  # type: ignore[misc]  # it carries no types
    """Hands out files of tests one by one, but all that share one running system together."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return JOURNEYS if file.startswith(JOURNEYS) and file != README else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneSystem:
    return OneSystem(config, log)


def pytest_configure() -> None:
    """What is told to end ends as by Ctrl-C, and takes the servers with it that it began."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)
    for item in items:
        if _level(item) in WITHOUT_SOCKETS:
            item.add_marker(pytest.mark.disable_socket)
        else:
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1"]))


def pytest_collection_finish() -> None:
    # What is there now stays to the end: it need not be searched for garbage hundreds of times.
    gc.collect()
    gc.freeze()


def _level(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


def _turn(item: pytest.Item) -> tuple[int, str]:
    level = _level(item)
    return FIRST.index(level) if level in FIRST else len(FIRST), str(item.path)


# As our processes write it. By default each error is drawn with every value of every frame, which
# takes seconds.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(scope="session", autouse=True)
def cheap_hashes() -> Iterator[None]:
    """What makes passwords and passphrases hard to guess would be a good part of what tests do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", CHEAP)
        patch.setattr(passwords, "_NOBODY", PASSWORD_HASH)
        patch.setattr(keys, "_seal", cheaply_sealed)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[TestServer]:
    # Not pytest's own folder: that one is closed to the user whom root's server runs as.
    folder = Path(tempfile.mkdtemp(prefix="counterfoil-test-"))
    folder.chmod(0o711)
    server = TestServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.destroy()
        shutil.rmtree(folder)


@pytest.fixture
def database_url(postgres: TestServer) -> Iterator[str]:
    """A migrated, empty database of this test's own."""
    with postgres.fresh_database() as url:
        yield url


@pytest.fixture
def blank_database_url(postgres: TestServer) -> Iterator[str]:
    """A database of this test's own, without any table."""
    with postgres.blank_database() as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open pool on a migrated, empty database of this test's own."""
    database = Database(database_url, name="test")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    """The web application, running, without anybody in it."""
    async with open_site(database) as site:
        yield site


@pytest.fixture
async def firm(site: Site) -> Firm:
    """One organisation at the site, with somebody for each role."""
    return await site.firm()


@pytest.fixture
def payments(site: Site) -> Payments:
    """Money that comes in, and what becomes of it."""
    return Payments(site.desk)
