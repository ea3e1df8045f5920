"""Where money may be sent: a checked address that is nobody's mistake."""

from collections.abc import Mapping
from typing import Final

from counterfoil.books import orgs, screening
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.screening_policy import policy_of

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


async def check_refund(desk: Desk, tx: Tx, org_id: int, family: str, text: str) -> str:
    """Read the address that a refund is to go to; answers its canonical form.

    Raises `Invalid` as `check_destination` does, and for an address on a sanctions list.
    """
    address = await check_destination(desk, tx, family, text, "refund_address")
    lists = await sanctioning(tx, org_id, family, address)
    if lists:
        sentence = f"is on the sanctions list {' and '.join(lists)}; nothing may be sent there"
        raise Invalid.field("refund_address", sentence)
    return address


async def sanctioning(tx: Tx, org_id: int, family: str, address: str) -> tuple[str, ...]:
    """The lists with an address on them that bind an organisation, as they are stored now."""
    listed = {row.list_code for row in await screening.find(tx, [(family, address)])}
    if not listed:
        return ()
    org = await orgs.get(tx, org_id)
    if org is None:
        msg = f"there is no organisation {org_id}"
        raise LookupError(msg)
    return tuple(sorted(listed & policy_of(org.policy.screening).lists))


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
