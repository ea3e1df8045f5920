"""`counterfoil work` on a machine whose resolver asks a story's `NameServer` for some names."""

import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from counterfoil.__main__ import main

ASKED_AT: Final = "JOURNEY_NAMES_PORT"
"""The setting that says where to ask: a port of this machine that takes a name as one line."""

ZONE: Final = ".example"
"""The names that are looked up there; RFC 2606 keeps them for such use."""

_the_machines: Final[Callable[..., list[Any]]] = socket.getaddrinfo


def looked_up(host: Any, port: Any, *hints: Any, **named: Any) -> list[Any]:  # noqa: ANN401 - as it is called
    """Answer in place of `socket.getaddrinfo`, in its words."""
    if not (isinstance(host, str) and host.endswith(ZONE)):
        return _the_machines(host, port, *hints, **named)
    with socket.create_connection(("127.0.0.1", int(os.environ[ASKED_AT])), timeout=5) as server:
        server.sendall(f"{host}\n".encode())
        found = json.loads(server.makefile().read())
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [entry for address in found for entry in _the_machines(address, port, *hints, **named)]


if __name__ == "__main__":
    socket.getaddrinfo = looked_up
    sys.argv = ["counterfoil", "work"]
    main()
