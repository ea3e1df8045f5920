"""`Line`: the wire between our processes and a node, which can be slow, cut, or silent."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal

Condition = Literal["good", "slow", "cut", "silent"]

CONDITIONS: Final[tuple[Condition, ...]] = ("slow", "cut", "silent")
"""``slow`` delays every piece, ``cut`` resets connections, ``silent`` leaves them open and dead."""

SLOW_SECONDS: Final = 0.4
_PIECE_BYTES: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with a wait of 0: closing then sends a reset instead of a farewell."""


class Line:
    """Takes connections on a port of its own and leads them to another one."""

    def __init__(self, upstream: Callable[[], int]) -> None:
        """``upstream`` is asked for the port at every connection, as it may not be known before."""
        self.condition: Condition = "good"
        self.port = 0
        self.pieces = dict.fromkeys(("good", *CONDITIONS), 0)
        self._upstream = upstream
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def laid(self) -> AsyncIterator["Line"]:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _take(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._lead(near, back)
        finally:
            self._open.discard(task)
            _reset(back)

    async def _lead(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, onward = await asyncio.open_connection("127.0.0.1", self._upstream())
        pumps = [
            asyncio.create_task(self._pump(near, onward)),
            asyncio.create_task(self._pump(far, back)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            _reset(onward)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(_PIECE_BYTES):
            self.pieces[self.condition] += 1
            match self.condition:
                case "slow":
                    await asyncio.sleep(SLOW_SECONDS)
                case "cut":
                    return
                case "silent":
                    # It stays dead when the others are well again, as half-open connections do.
                    await asyncio.Event().wait()
                case "good":
                    pass
            sink.write(piece)
            await sink.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.close()
