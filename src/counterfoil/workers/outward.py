"""The connections on which callbacks leave: only to addresses that were checked, kept for a moment.

A name is looked up for each new connection, every address it leads to must be allowed, and the
connection goes to exactly those; no proxy is asked and no cookie is kept (specs/reliability.md
T14). A connection whose answer has come whole is kept for the next message to the same host, which
saves the look-up, the handshakes and most of the work of sending.
"""

import asyncio
import select
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from ipaddress import ip_address
from typing import Final
from weakref import WeakSet, WeakValueDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from counterfoil.core.callback_url import may_be_called

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""A host name to all of its network addresses, as text; raises ``OSError``."""

KEPT_SECONDS: Final = 2.0
"""How long a connection rests at most: many servers hang up after five, some after two."""

_LOOKUP_THREADS: Final = 64
_LOOKUPS_EACH: Final = 8
"""At once for one organisation, which may name any number of hosts whose names hang."""

on_behalf_of: Final = ContextVar("on_behalf_of", default=0)
"""The organisation for which this task sends, whose look-ups wait for one another."""

_AT_ONCE: Final = 0


class SystemLookup:
    """The machine's own resolver, on threads of its own.

    The event loop's few would all be taken by names that answer slowly on purpose, and all of
    these by one organisation that names many such: each has a few at once.
    """

    def __init__(self, resolve: Callable[[str], Sequence[str]] | None = None) -> None:
        """Ask the machine, or what ``resolve`` blocks for. Threads start when they are needed."""
        self._resolve = resolve or _addresses
        self._threads = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="lookup")
        self._turns: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    async def __call__(self, host: str) -> Sequence[str]:
        """Look a name up on behalf of `on_behalf_of`."""
        loop = asyncio.get_running_loop()
        turns = self._turns.setdefault(on_behalf_of.get(), asyncio.Semaphore(_LOOKUPS_EACH))
        await turns.acquire()
        asked = self._threads.submit(self._resolve, host)

        def answered(_asked: Future[Sequence[str]]) -> None:
            # Not when nobody waits for it any more: its thread is taken until then.
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(turns.release)

        asked.add_done_callback(answered)
        return await asyncio.wrap_future(asked)


def _addresses(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(socket_address[0]) for *_, socket_address in found]


class CheckedResolver(AbstractResolver):
    """Answers with addresses that may be called, or not at all.

    One forbidden address among several spoils the answer: whoever mixes them means us to meet
    the wrong one.
    """

    def __init__(self, lookup: Lookup, *, allow_private: bool) -> None:
        """Check what ``lookup`` finds."""
        self._lookup = lookup
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a name up; raises ``OSError`` for none, or any that may not be called."""
        del family
        found = [ip_address(text) for text in await self._lookup(host)]
        refused = [a for a in found if not may_be_called(a, allow_private=self._allow_private)]
        if refused or not found:
            msg = f"{host} leads to {', '.join(map(str, refused)) or 'nothing'}"
            raise OSError(msg)
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,  # noqa: PLR2004 - the IP version
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Hold nothing."""


_on_a_kept_one: Final = ContextVar("_on_a_kept_one", default=False)
"""Whether this task's request went out on a connection that had rested."""

_only_a_new_one: Final = ContextVar("_only_a_new_one", default=False)
"""Whether this task's request shall go out on a new connection."""


class KeptConnections(aiohttp.TCPConnector):
    """Keeps connections, and hears nothing from them while they rest.

    What a receiver says unasked is not read, so it can neither keep us busy nor pass for the
    answer to what comes next: a connection on which something waits is not used again. That is
    also how one is known which the receiver has closed.
    """

    def __init__(self, resolver: AbstractResolver, kept_seconds: float) -> None:
        """Connect to what ``resolver`` finds."""
        super().__init__(
            resolver=resolver, use_dns_cache=False, keepalive_timeout=kept_seconds, limit=0
        )
        self._resting: WeakSet[ResponseHandler] = WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - as the parent has it
    ) -> Connection:
        """A connection that rested and is quiet, or else a new one."""
        _on_a_kept_one.set(False)
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol, transport = connection.protocol, connection.transport
            if protocol is None or transport is None:
                return connection
            kept = protocol in self._resting
            self._resting.discard(protocol)
            if kept and (_only_a_new_one.get() or not _is_quiet(transport)):
                connection.close()
                continue
            if kept:
                transport.resume_reading()
            _on_a_kept_one.set(kept)
            connection.add_callback(partial(self._rest, protocol))
            return connection

    def _rest(self, protocol: ResponseHandler) -> None:
        if protocol.transport is not None and not protocol.should_close:
            self._resting.add(protocol)
            protocol.transport.pause_reading()


def _is_quiet(transport: asyncio.Transport) -> bool:
    """Whether a receiver has nothing to say; one that hung up has."""
    readable = select.poll()
    readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not readable.poll(_AT_ONCE)


async def _once_more(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send again, on a new connection, what a kept one was lost over.

    Most likely the receiver closed it just then and never saw the message. It may see it twice,
    which receivers expect.
    """
    try:
        return await send(request)
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
        if not _on_a_kept_one.get():
            raise
    only_new = _only_a_new_one.set(True)
    try:
        return await send(request)
    finally:
        _only_a_new_one.reset(only_new)


def callback_session(
    *,
    allow_private: bool = False,
    lookup: Lookup | None = None,
    kept_seconds: float = KEPT_SECONDS,
) -> aiohttp.ClientSession:
    """A session fit for callbacks; the caller closes it. Made inside a running event loop."""
    resolver = CheckedResolver(lookup or SystemLookup(), allow_private=allow_private)
    return aiohttp.ClientSession(
        connector=KeptConnections(resolver, kept_seconds),
        middlewares=(_once_more,),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    )
