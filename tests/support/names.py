"""`NameServer`: what names lead to in a story, asked by workers that `named_worker.py` starts."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class NameServer:
    """Whoever owns a name decides anew at each look-up where it leads."""

    def __init__(self) -> None:
        """Know no name."""
        self.port = 0
        self.asked: list[str] = []
        self._answers: dict[str, deque[list[str]]] = {}

    def leads(self, name: str, *answers: list[str]) -> None:
        """Answer a name's next look-ups with these addresses in turn, and the last of them on."""
        self._answers[name] = deque(answers)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["NameServer"]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = (await reader.readline()).decode().strip()
        self.asked.append(name)
        answers = self._answers.get(name, deque([[]]))
        found = answers.popleft() if len(answers) > 1 else answers[0]
        writer.write(json.dumps(found).encode())
        await writer.drain()
        writer.close()
