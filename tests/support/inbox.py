"""`Inbox`: a merchant's callback receiver, a real HTTP server in its good and bad hours.

It checks signatures the way a merchant would, with nothing but the secret it was shown and the
published rules, so that our own code cannot vouch for itself.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from support.patience import patiently
from support.served import served

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.raw)
        return body

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    def is_genuine(self, shown_secret: str) -> bool:
        """Whether all three signatures hold: in the body, KryptoGO's header, Standard Webhooks."""
        return all(
            (
                self._signed_inside(shown_secret),
                hmac.compare_digest(self.headers["X-KG-Signature"], _hex(shown_secret, self.raw)),
                self._standard_webhook(shown_secret),
            )
        )

    def _signed_inside(self, shown_secret: str) -> bool:
        body = self.body
        signature = body.pop("signature")
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hmac.compare_digest(signature, _hex(shown_secret, text.encode()))

    def _standard_webhook(self, shown_secret: str) -> bool:
        key = base64.b64decode(shown_secret.removeprefix("whsec_"), validate=True)
        signed = f"{self.webhook_id}.{self.headers['webhook-timestamp']}.".encode() + self.raw
        mac = hmac.new(key, signed, hashlib.sha256).digest()
        return self.headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"


class Inbox:
    """Accepts callbacks on every path, unless a test says how it shall behave."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.accepted: list[Received] = []
        """Those that were answered with success."""
        self.flooded_bytes = 0
        """How much of endless answers was sent, before whoever asked hung up."""
        self.port = 0
        self._next: deque[Behaviour] = deque()
        self._always: Behaviour = _accept
        self._arrived = asyncio.Condition()

    @property
    def url(self) -> str:
        return self.at("/callback")

    def at(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def refuses(self, times: int = 1, status: int = 500, **headers: str) -> None:
        """Answer the next requests with this status."""

        async def refuse(_request: web.Request) -> web.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(status=status, headers=named)

        self._next.extend([refuse] * times)

    def always_refuses(self, status: int = 500) -> None:
        async def refuse(_request: web.Request) -> web.Response:
            return web.Response(status=status)

        self._always = refuse

    def accepts(self) -> None:
        self._always = _accept

    def hangs(self) -> None:
        """Take every request and never answer."""

        async def hang(_request: web.Request) -> web.Response:
            await asyncio.Event().wait()
            raise AssertionError

        self._always = hang

    def redirects_to(self, url: str) -> None:
        async def redirect(_request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": url})

        self._always = redirect

    def answers_without_end(self) -> None:
        """Say 200 and then send bytes for as long as somebody reads them."""

        async def flood(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"x" * 65536)
                self.flooded_bytes += 65536

        self._always = flood

    async def has_received(self, count: int) -> None:
        """Wait until this many requests have come."""
        async with patiently(f"{count} requests"), self._arrived:
            await self._arrived.wait_for(lambda: len(self.received) >= count)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        one = Received(request.path, dict(request.headers), await request.read())
        async with self._arrived:
            self.received.append(one)
            self._arrived.notify_all()
        behave = self._next.popleft() if self._next else self._always
        response = await behave(request)
        if response.status == HTTPStatus.OK:
            self.accepted.append(one)
        return response

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Inbox"]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        async with served(app) as self.port:
            yield self


async def _accept(_request: web.Request) -> web.Response:
    return web.Response(text="thank you")


def _hex(shown_secret: str, text: bytes) -> str:
    return hmac.new(shown_secret.encode(), text, hashlib.sha256).hexdigest()
