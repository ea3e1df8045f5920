"""The sandbox's customer, as the web process reaches them; nobody else ever pays by our word."""

from dataclasses import dataclass
from typing import Final

from counterfoil.core.errors import Unavailable
from counterfoil.core.money import Money

_PATIENCE_SECONDS: Final = 15


@dataclass(frozen=True, slots=True)
class HttpDemoCustomer:
    """Asks the process that runs the sandbox, on this very machine."""

    url: str

    async def pay(self, money: Money, address: str) -> None:
        """Have tokens, or coin, sent to an address; raises `Unavailable` where it is refused."""
        import aiohttp  # noqa: PLC0415 - the web process calls nobody else

        asset = money.asset
        wish = {
            "chain": asset.chain,
            "contract": asset.contract,
            "units": str(money.units),
            "address": address,
        }
        timeout = aiohttp.ClientTimeout(total=_PATIENCE_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.post(self.url, json=wish, allow_redirects=False) as response,
            ):
                paid = response.ok
        except (aiohttp.ClientError, TimeoutError):
            paid = False
        if not paid:
            raise Unavailable("the demo customer could not pay; try again in a moment")
