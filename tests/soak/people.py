"""People who ask until they are answered, each time with the same Idempotency-Key."""

import asyncio
import secrets
from collections import Counter
from typing import Final

import aiohttp

from support.actors import STUDIO, Answer, Caller

ANSWER_SECONDS: Final = 4.0
"""How long anybody waits before asking again; the first request may still be at work then."""

PAUSE_SECONDS: Final = 0.4


def new_key() -> str:
    return f"key-{secrets.token_hex(16)}"


class Stubborn:
    """Asks for people; counts what came back."""

    def __init__(self) -> None:
        self.came_back: Counter[str] = Counter()

    async def post(
        self, caller: Caller, path: str, body: object = None, key: str | None = None
    ) -> Answer:
        """Have something done once, however often it has to be asked for."""
        headers = {"Idempotency-Key": key or new_key()}
        return await self._ask(caller, "POST", path, json_body=body, headers=headers)

    async def get(self, caller: Caller, path: str) -> Answer:
        return await self._ask(caller, "GET", path)

    async def upload(self, caller: Caller, content: bytes) -> str:
        """Answers the file's id; a file that was sent twice is there twice, which harms nobody."""
        while True:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    answer = await caller.upload(content)
            except (aiohttp.ClientError, TimeoutError):
                answer = None
            if answer is not None and answer.status == 200:
                return str(answer.data["file_id"])
            await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, caller: Caller, method: str, path: str, **more: object) -> Answer:
        while True:
            answer = await self._once(caller, method, path, **more)
            if answer is not None:
                return answer
            await asyncio.sleep(PAUSE_SECONDS)

    async def _once(self, caller: Caller, method: str, path: str, **more: object) -> Answer | None:
        """One request; None where nobody can tell from it what was done."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await caller.call(method, STUDIO + path, **more)  # type: ignore[arg-type] # passed on
        except TimeoutError:
            self.came_back["no answer"] += 1
            return None
        except aiohttp.ClientError:
            self.came_back["no connection"] += 1
            return None
        if answer.headers.get("Idempotent-Replayed"):
            self.came_back["answered before"] += 1
        if answer.status >= 500 or "Retry-After" in answer.headers:
            self.came_back[f"status {answer.status}"] += 1
            return None
        return answer
