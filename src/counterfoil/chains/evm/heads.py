"""Hearing from a node that a block came, so that nobody has to wait for the next poll.

It only wakes whoever polls: what came is never read, so a node that lies, floods or falls silent
here can tell nothing that polling would not (specs/chains.md 6.2).
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Final

import aiohttp
import msgspec
import structlog

_HEARTBEAT_SECONDS: Final = 20.0
_CONNECT_SECONDS: Final = 10.0
_LONGEST_MESSAGE: Final = 64 * 1024
"""Bytes; a header with every field of every fork is a few thousand."""

_SUBSCRIBE: Final = msgspec.json.encode(
    {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
).decode()


class _Message(msgspec.Struct):
    """What may come: the answer to the subscription, or a notice of it."""

    method: str = ""
    error: msgspec.Raw = msgspec.Raw()


_read: Final = msgspec.json.Decoder(_Message).decode


class HeadListener:
    """Listens to one node of a chain at a time, and to the next one when that hangs up."""

    def __init__(
        self,
        chain: str,
        endpoints: Sequence[str],
        session: aiohttp.ClientSession,
        heard: Callable[[], None],
    ) -> None:
        """``heard`` is called for each block; ``endpoints`` are WebSocket addresses."""
        self._endpoints = cycle(endpoints)
        self._session = session
        self._heard = heard
        self._log = structlog.get_logger(worker="heads", chain=chain)

    async def step(self) -> bool:
        """Listen until the node hangs up or says what cannot be understood. Never busy after."""
        try:
            await self._listen(next(self._endpoints))
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError) as error:
            # Its class alone: the sentence may hold the address, and that the key to a service.
            self._log.info("heads_not_heard", reason=type(error).__name__)
        return False

    async def _listen(self, endpoint: str) -> None:
        async with asyncio.timeout(_CONNECT_SECONDS):
            socket = await self._session.ws_connect(
                endpoint, heartbeat=_HEARTBEAT_SECONDS, max_msg_size=_LONGEST_MESSAGE
            )
        async with socket:
            await socket.send_str(_SUBSCRIBE)
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                said = _read(message.data)
                if bytes(said.error):
                    self._log.warning("heads_refused", note="this node has no eth_subscribe")
                    break
                if said.method == "eth_subscription":
                    self._heard()
