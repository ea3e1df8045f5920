"""Whether a surplus goes back to where it came from, so that one signature is enough for it.

An address gets back at most what it sent itself, token by token and chain by chain: whoever sends
a cent to become one of the payers gets a cent.
"""

from collections.abc import Iterable

from counterfoil.core.money import Money
from counterfoil.core.reckoning import Depth, Received


def goes_home(
    back: Iterable[Money], address: str, came: Iterable[Received], returned: Iterable[Money]
) -> bool:
    """Whether as much as goes back to an address came from there and is not on its way back yet.

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
    return all(money.units <= home.get(money.asset.key, 0) for money in back)
