"""`Ruin`: a receiver that does with a connection whatever a test has in mind."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from support.patience import patiently

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Ruin:
    """A server that behaves as it was told, and counts what it got rid of."""

    def __init__(self, behave: Behave) -> None:
        self.url = ""
        self.connections = 0
        self._behave = behave
        self._serving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Ruin"]:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/callback"
        try:
            yield self
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            async with patiently("the end of every connection"):
                await asyncio.gather(*self._serving, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        try:
            await self._behave(reader, writer)
        except OSError:
            pass  # The caller had enough, which is what some of these are about.
        finally:
            self._serving.discard(task)
            writer.close()


async def asked(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    await reader.readexactly(length)
