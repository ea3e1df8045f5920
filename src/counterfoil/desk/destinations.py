"""Where money may be sent: a checked address that is nobody's mistake."""

from collections.abc import Mapping
from typing import Final

from counterfoil.books import orgs
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk

_ZERO: Final = "0x" + "0" * 40
_TOKENS: Final = {
    asset.contract: f"{asset.symbol} on {chain.name}"
    for chain in CHAINS.values()
    for asset in (*chain.accepted, *chain.known_other)
}


async def check_payouts(desk: Desk, tx: Tx, addresses: Mapping[str, str]) -> dict[str, str]:
    """Check a map of chain family to address; answers it with canonical addresses."""
    for family in addresses:
        if family not in desk.addresses:
            raise Invalid.field(
                f"payout_addresses.{family}",
                f"cannot be paid here; possible: {', '.join(sorted(desk.addresses))}",
            )
    return {
        family: await check_destination(desk, tx, family, text, f"payout_addresses.{family}")
        for family, text in addresses.items()
    }


async def check_destination(desk: Desk, tx: Tx, family: str, text: str, field: str) -> str:
    """Read an address that money is to go to; answers its canonical form.

    Raises `Invalid` naming ``field`` for a malformed address, the zero address, a token
    contract (tokens sent there are gone) or an address of ours (it would pay itself).
    """
    address = desk.addresses[family](text, field)
    if address == _ZERO:
        raise Invalid.field(field, "is the zero address; money sent there would be lost")
    if address in _TOKENS:
        sentence = f"is the token contract of {_TOKENS[address]}; money sent there would be lost"
        raise Invalid.field(field, sentence)
    if await orgs.owns_address(tx, family, address):
        raise Invalid.field(field, "is an address of this system; give the recipient's own")
    return address
