"""The sandbox's customer, asked over HTTP: so that a button on a page can have them pay."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from aiohttp import web

from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.core.assets import known_asset
from counterfoil.core.errors import Invalid
from counterfoil.sandbox.anvil import AnvilNode, SandboxError
from counterfoil.sandbox.customer import Customer

_MAX_BODY_BYTES: Final = 1_000


class _Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    chain: str
    contract: str
    units: str
    address: str


@dataclass(slots=True)
class Purse:
    """Pays by POST on ``/pay``, on this machine only; takes nothing that other sites could send."""

    customer: Customer
    nodes: Mapping[str, AnvilNode]
    port: int
    host: str = "127.0.0.1"
    _runner: web.AppRunner | None = None
    # The next nonce is counted by the node, so payments of a chain go one after the other.
    _turns: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock), repr=False
    )

    @property
    def url(self) -> str:
        """Where to ask."""
        return f"http://{self.host}:{self.port}/pay"

    async def start(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.add_routes([web.post("/pay", self._pay)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _pay(self, request: web.Request) -> web.Response:
        # No form of another site can carry this type, and scripts would have to ask first.
        if request.content_type != "application/json":
            return web.Response(status=415)
        try:
            wish = msgspec.json.decode(await request.read(), type=_Wish)
            address = parse_evm_address(wish.address)
            asset = known_asset(wish.chain, wish.contract)
            units = int(wish.units)
        except (msgspec.DecodeError, Invalid, KeyError, ValueError):
            return web.Response(status=400)
        if asset is None or units <= 0:
            return web.Response(status=400)
        async with self._turns[wish.chain]:
            try:
                tx_hash = await self.customer.pay(self.nodes[wish.chain], asset, address, units)
            except SandboxError as error:
                return web.json_response({"error": str(error)}, status=503)
        return web.json_response({"tx_hash": tx_hash})
