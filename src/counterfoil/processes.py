"""The processes that stay, each loading what it needs and nothing else.

The command line loads all that any command needs, which is as much again as one of these.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from counterfoil.config import DatabaseConfig, SignConfig, WebConfig, WorkConfig
from counterfoil.supervisor import run_until, until_signalled

_M_ARENA_MAX: Final = -8
"""glibc's name for it, in malloc.h."""

_ARENAS: Final = 2


def serve() -> None:
    """Run the web process."""
    _begin()
    from counterfoil import app as web
    from counterfoil.db.pool import Database

    config = WebConfig.from_env(os.environ)
    web.serve(config, Database(lasting_database(config.database), name="counterfoil-web"))


def work() -> None:
    """Run the workers: watching, screening, moving, telling."""
    _begin()
    from counterfoil import worker

    config = WorkConfig.from_env(os.environ)
    run_until(worker.work(config, lasting_database(config.database)), until=until_signalled)


def sign() -> None:
    """Run the signer, the only process with keys."""
    _begin()
    from counterfoil.clock import SystemClock
    from counterfoil.signer import memory, policy, service

    config = SignConfig.from_env(os.environ)
    asyncio.run(
        service.serve(
            service.SignerConfig(
                socket_path=config.signer_socket,
                seed_path=config.seed_file,
                memory_path=memory.memory_beside(config.seed_file),
                passphrase=config.seed_passphrase.reveal(),
                approval_key=config.approval_secret.reveal().encode(),
                limits=policy.Limits(
                    move_dollars=config.move_dollars,
                    day_dollars=config.day_dollars,
                    ether_dollars=config.ether_dollars,
                    fuel_day_wei=config.fuel_day_wei,
                ),
            ),
            SystemClock(),
        )
    )


PROCESSES: Final[Mapping[str, Callable[[], None]]] = {"serve": serve, "work": work, "sign": sign}
"""By the command that starts each."""


def lasting_database(config: DatabaseConfig) -> str:
    """The address of the database for a process that stays; checks that its schema is current.

    An embedded server that it starts outlives it, as other processes may be using it by then.
    """
    from counterfoil.db.migrate import check_current

    url = _embedded(config) if config.url is None else config.url.reveal()
    check_current(url)
    return url


def _embedded(config: DatabaseConfig) -> str:
    from counterfoil.db.embedded import EmbeddedPostgres

    return EmbeddedPostgres(config.embedded_dir).start()


def _begin() -> None:
    """Log, and keep memory together: threads here wait for the network and need no heap each."""
    from counterfoil.log import configure

    configure()
    if sys.platform == "linux":
        # Not every Linux has glibc, and others have one heap anyway.
        with suppress(AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
