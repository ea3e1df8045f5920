"""The PostgreSQL that runs of the simulation share, stopped however they end."""

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.postgres import TestServer


@contextmanager
def standing() -> Iterator[tuple[str, str]]:
    """The addresses of an empty database on a server that vanishes: its owner's, and an admin's."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As Ctrl-C does, so that what was begun is put away.
        signal.signal(number, lambda *_: sys.exit(1))
    folder = Path(tempfile.mkdtemp(prefix="counterfoil-simulate-"))
    folder.chmod(0o711)
    server = TestServer(folder)
    try:
        server.start()
        with server.fresh_database() as url:
            yield url, server.as_admin(url)
    finally:
        server.destroy()
        shutil.rmtree(folder)
