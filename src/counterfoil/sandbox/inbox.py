"""A merchant's callback endpoint for the sandbox: takes every callback and shows what it got."""

import hashlib
import hmac
import json
from collections import deque
from dataclasses import dataclass
from typing import Final

from aiohttp import web

KEPT: Final = 1_000
_MAX_BODY_BYTES: Final = 1_000_000


@dataclass(slots=True)
class CallbackInbox:
    """Callbacks by POST on ``/callbacks``; what came, newest first, by GET on the same address.

    ``?id=`` and an invoice's id leaves out what came about others.

    A callback whose ``X-KG-Signature`` does not match is answered 401 and kept as unverified, the
    way a careful merchant would do it.
    """

    secret: bytes
    port: int
    host: str = "127.0.0.1"
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where to send callbacks, and where to read them."""
        return f"http://{self.host}:{self.port}/callbacks"

    async def start(self) -> None:
        """Listen."""
        received: deque[tuple[str | None, dict[str, object]]] = deque(maxlen=KEPT)

        async def take(request: web.Request) -> web.Response:
            body = await request.read()
            verified = self._verified(body, request.headers.get("X-KG-Signature", ""))
            said = json.loads(body)
            kept = {
                "verified": verified,
                "webhook_id": request.headers.get("webhook-id"),
                "body": said,
            }
            received.appendleft((said.get("id") if isinstance(said, dict) else None, kept))
            return web.Response(status=200 if verified else 401)

        async def show(request: web.Request) -> web.Response:
            asked = request.query.get("id")
            shown = [kept for about, kept in received if asked in {None, about}]
            return web.json_response(shown)

        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.add_routes([web.post("/callbacks", take), web.get("/callbacks", show)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _verified(self, body: bytes, signature: str) -> bool:
        expected = hmac.new(self.secret, body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected, signature)
