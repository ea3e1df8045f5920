"""Where callbacks may go: the shape of an address, and which networks count as public.

A merchant chooses the address, and our worker calls it from inside our network; so this is
where requests forged through us are stopped (specs/reliability.md T14). The door checks the
shape when an address is given, the worker checks it again when it sends, and then every
network address that the name leads to. All of them use this file.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, NoReturn
from urllib.parse import urlsplit

from counterfoil.core.errors import Invalid

MAX_LENGTH: Final = 2048
PUBLIC_PORTS: Final = frozenset({443, 8443})

IpAddress = IPv4Address | IPv6Address

_FIELD: Final = "callback_url"
_VISIBLE_ASCII: Final = re.compile(r"[!-~]+", re.ASCII)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_MAX_HOST_LENGTH: Final = 253
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_LOCAL_SUFFIXES: Final = ("localhost", "local", "internal", "home.arpa", "lan")

# Written out instead of `is_global`, whose answer changes with the patch level of Python.
_SPECIAL_IPV4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
# Forms that carry an IPv4 address (6to4, Teredo) could smuggle a private one past us.
_SPECIAL_IPV6: Final = tuple(
    IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


@dataclass(frozen=True, slots=True)
class CallbackUrl:
    """An address that was taken apart and found acceptable.

    ``host`` is lower-case ASCII, without brackets; ``target`` is the path with its query.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def endpoint(self) -> str:
        """Scheme, host and port: whatever shares it shares one receiver."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def text(self) -> str:
        """The address put together again from its parts, so that no second parser can differ."""
        return f"{self.endpoint}{self.target}"

    @property
    def literal(self) -> IpAddress | None:
        """The host as a network address, None when it is a name."""
        return _literal(self.host)


def check_callback_url(text: object, *, allow_private: bool = False) -> CallbackUrl:
    """Take a callback address apart, or raise `Invalid` saying what is wrong with it.

    https on port 443 or 8443, a public host, no user name, no fragment. ``allow_private`` is for
    sandboxes: http, any port, and this machine or its local network as well. Names are not looked
    up here; that is the sender's part, at the moment of sending.
    """
    if not isinstance(text, str) or not _VISIBLE_ASCII.fullmatch(text) or len(text) > MAX_LENGTH:
        _refuse(f"must be an https address of at most {MAX_LENGTH} visible ASCII characters")
    if "\\" in text or "#" in text:
        _refuse("must not contain a backslash or a fragment (#)")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        _refuse("must be an address such as https://merchant.example/callback")
    if parts.scheme not in (("https", "http") if allow_private else ("https",)):
        _refuse("must start with https://")
    if "@" in parts.netloc:
        _refuse("must not contain a user name or password")
    url = CallbackUrl(
        scheme=parts.scheme,
        host=_host(parts.hostname or "", allow_private=allow_private),
        port=_DEFAULT_PORTS[parts.scheme] if port is None else port,
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )
    if not allow_private and url.port not in PUBLIC_PORTS:
        _refuse("must be on port 443 or 8443")
    if url.port == 0:
        _refuse("must be on a port from 1 to 65535")
    return url


def may_be_called(address: IpAddress, *, allow_private: bool) -> bool:
    """Whether a callback may be sent to this network address.

    Only global unicast. With ``allow_private`` also this machine and private networks, but never
    link-local addresses, where clouds keep their credentials.
    """
    if _is_public(address):
        return True
    return allow_private and (address.is_loopback or (address.is_private and not _never(address)))


def _is_public(address: IpAddress) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_IPV4)
    return address in _GLOBAL_IPV6 and not any(address in network for network in _SPECIAL_IPV6)


def _never(address: IpAddress) -> bool:
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
        or (isinstance(address, IPv6Address) and address.ipv4_mapped is not None)
    )


def _host(host: str, *, allow_private: bool) -> str:
    address = _literal(host)
    if address is not None:
        if not may_be_called(address, allow_private=allow_private):
            _refuse("must lead to a public address")
        return str(address)
    labels = host.split(".")
    if len(host) > _MAX_HOST_LENGTH or not all(map(_LABEL.fullmatch, labels)):
        _refuse("must name a host in plain ASCII (xn-- for other scripts), without a final dot")
    # 2130706433, 0x7f.1 and 127.1 are addresses to a resolver, and 010.0.0.1 is two of them.
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        _refuse("must write a network address in full, such as 203.0.113.7")
    if not allow_private and (len(labels) == 1 or _is_local(host)):
        _refuse("must lead to a public host")
    return host


def _literal(host: str) -> IpAddress | None:
    if "%" in host:
        return None
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_local(host: str) -> bool:
    return any(host.endswith(f".{suffix}") for suffix in _LOCAL_SUFFIXES)


def _refuse(sentence: str) -> NoReturn:
    raise Invalid.field(_FIELD, sentence)
