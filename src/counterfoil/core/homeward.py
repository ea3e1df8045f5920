"""Whether money goes back to where it came from; a surplus that does needs one signature only.

An address gets back at most what it sent itself, token by token and chain by chain: whoever sends
a cent to become one of the payers gets a cent.
"""

from collections.abc import Iterable
from enum import StrEnum

from counterfoil.core.money import Money
from counterfoil.core.reckoning import Depth, Received


class Origin(StrEnum):
    """What an address that gets money has to do with that money."""

    HOME = "home"
    """As much came from there, and is not on its way back yet."""
    IN_PART = "in_part"
    """Some came from there, but less than goes there now."""
    ELSEWHERE = "elsewhere"
    """None is known to have come from there."""


def origin(
    back: Iterable[Money], address: str, came: Iterable[Received], returned: Iterable[Money]
) -> Origin:
    """What the address that money goes back to has to do with it.

    ``came`` is what came in for the invoice from anybody; only what is final counts. ``returned``
    is what was sent back to this address for it, or may still be.
    """
    home: dict[str, int] = {}
    for transfer in came:
        if transfer.payer == address and transfer.depth is Depth.FINAL:
            key = transfer.asset.key
            home[key] = home.get(key, 0) + transfer.amount_units
    for money in returned:
        home[money.asset.key] = home.get(money.asset.key, 0) - money.units
    back = tuple(back)
    if all(money.units <= home.get(money.asset.key, 0) for money in back):
        return Origin.HOME
    some = any(home.get(money.asset.key, 0) > 0 for money in back)
    return Origin.IN_PART if some else Origin.ELSEWHERE
