"""What the payment page needs beside the desk."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from counterfoil.checkout.live import Live
from counterfoil.core.errors import Refusal
from counterfoil.core.money import Money
from counterfoil.core.pace import Pace
from counterfoil.core.pay_links import PayLinks
from counterfoil.pages.press import Press

KEPT_DAYS: Final = 30
"""How long after an invoice was closed its page is still shown, unless a setting says otherwise."""


class DemoCustomer(Protocol):
    """Somebody with money to play with; only sandboxes have one."""

    async def pay(self, money: Money, address: str) -> None:
        """Send tokens, or coin, to an address; raises `Unavailable` where it does not work."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """``keep``: how long the page outlives its invoice. ``pace`` bounds each visitor's address."""

    links: PayLinks
    live: Live
    pace: Pace
    press: Press
    keep: timedelta = timedelta(days=KEPT_DAYS)
    customer: DemoCustomer | None = None


class TooFast(Refusal):
    """More requests from one address than are heard in this time."""

    kind = "too_fast"
