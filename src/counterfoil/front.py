"""What every door needs to know of a request: where it comes from, whom it asked for, its id.

Headers that proxies write are believed only as far as proxies of ours have written them, which is
counted from the right: whatever a sender puts in front stays without effect (specs/reliability.md
T25). The name of the host decides nothing, but a wrong one is refused, so that no page is shown
under a name that is not ours (DNS rebinding, poisoned caches).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from litestar.types import ASGIApp, Receive, Scope, Send

from counterfoil.core import ids
from counterfoil.desk.desk import Desk

HEALTH: Final = "/healthz"
"""Whoever asks for a process's health calls it by whatever name it has to them."""

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_MISDIRECTED: Final = 421
_TOLD: Final = b"This server is not known by the name that was asked for.\n"
_NEIGHBOURS_BITS: Final = 64
_SCHEMES: Final = frozenset({"http", "https"})
_V4_WITH_PORT: Final = re.compile(r"(?P<address>[0-9.]+):[0-9]{1,5}")
_BRACKETED: Final = re.compile(r"\[(?P<address>[0-9A-Fa-f:.]+)\](:[0-9]{1,5})?")
_HOST: Final = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Front:
    """How requests reach us: through so many ``proxies`` of ours, under these names of hosts.

    Names of this machine (``localhost`` and its addresses) are always right.
    """

    proxies: int = 0
    hosts: frozenset[str] = frozenset()

    def before(self, app: ASGIApp) -> ASGIApp:
        """The application, which from now on sees where requests really come from."""

        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            headers: list[tuple[bytes, bytes]] = list(scope["headers"])
            if not self._is_ours(headers) and scope["path"] != HEALTH:
                await _refuse(send)
                return
            client = scope.get("client")
            scope["client"] = (self.address(client[0] if client else "", headers), 0)
            scope["scheme"] = self._scheme(scope["scheme"], headers)
            await app(scope, receive, send)

        return handle

    def address(self, peer: str, headers: Headers) -> str:
        """The sender's address: what the outermost proxy of ours saw, else the ``peer`` itself."""
        told = _counted(headers, b"x-forwarded-for", self.proxies)
        found = None if told is None else _address(told)
        return str(found or _address(peer) or "")

    def _scheme(self, own: str, headers: Headers) -> str:
        told = _counted(headers, b"x-forwarded-proto", self.proxies)
        return told.lower() if told is not None and told.lower() in _SCHEMES else own

    def _is_ours(self, headers: Headers) -> bool:
        given = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
        found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        return found is not None and found["name"] in self.hosts | _LOOPBACK


def hosts_of(public_url: str, others: Iterable[str] = ()) -> frozenset[str]:
    """The names of hosts that people and programs reach us by."""
    name = urlsplit(public_url).netloc.lower()
    found = _HOST.fullmatch(name)
    return frozenset({*others, *([found["name"]] if found else [])})


def address_of(scope: Scope) -> str:
    """Where a request comes from, in plain letters; empty where nobody knows."""
    client = scope.get("client")
    return client[0] if client else ""


def neighbourhood_of(scope: Scope) -> str:
    """What is counted as one sender: an address, or the network of 64 bits that one household has.

    Whoever has one address of IPv6 has as many as they like.
    """
    text = address_of(scope)
    found = _address(text)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((int(found), _NEIGHBOURS_BITS), strict=False))
    return text


def request_id_of(scope: Scope) -> str:
    """The id of this request, made once; its answer and its log entries carry it."""
    state: dict[str, Any] = scope.setdefault("state", {})
    if "request_id" not in state:
        desk: Desk = scope["litestar_app"].state.desk
        state["request_id"] = ids.public("req", desk.ids.new())
    request_id: str = state["request_id"]
    return request_id


def _counted(headers: Headers, name: bytes, proxies: int) -> str | None:
    """What our outermost proxy wrote: counted from the right, where the nearest one wrote last."""
    if not proxies:
        return None
    lines = [value.decode("latin-1") for header, value in headers if header == name]
    told = [one.strip() for one in ",".join(lines).split(",")] if lines else []
    return told[-min(proxies, len(told))] if told else None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """A network address as proxies write it, perhaps with a port; None for anything else."""
    with_port = _V4_WITH_PORT.fullmatch(text) or _BRACKETED.fullmatch(text)
    plain = with_port["address"] if with_port else text
    try:
        found = ip_address(plain)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        return None if found.scope_id else found.ipv4_mapped or found
    return found


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(_TOLD)).encode())]
    await send({"type": "http.response.start", "status": _MISDIRECTED, "headers": headers})
    await send({"type": "http.response.body", "body": _TOLD, "more_body": False})
