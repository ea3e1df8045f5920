"""What an operator must have checked before a lost memory is replaced."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid
from counterfoil.signer.orders import Role
from counterfoil.signer.origin import Floor

Addresses = Mapping[tuple[int, Role], str]
"""Wallets by organisation and role."""

_MAX_NONCE: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Checked:
    """What an operator looked up and vouches for before a lost memory is replaced.

    ``nonces`` says from which nonce on each wallet may sign, as ``chain:address=nonce``, for
    every signing wallet of ``org_ids`` on every chain. Payments approved before
    ``approved_since`` may have been signed by the lost memory.
    """

    nonces: Sequence[str]
    org_ids: Sequence[int]
    approved_since: datetime


def parse_instant(text: str) -> datetime:
    """An instant as ISO 8601 with its distance from UTC. Raises `Invalid`."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise Invalid.field("approved_since", f"{text!r} does not read like 2026-03-02T09:30Z")
    return instant.astimezone(UTC)


def floors_of(nonces: Sequence[str], addresses: Addresses) -> tuple[Floor, ...]:
    """The floor of every one of these wallets, on every chain.

    Raises `Invalid` for a wallet without a nonce, naming all of those, and for any other.
    """
    wallets = dict(_named(addresses))
    named: dict[str, int] = {}
    for wallet, nonce in map(_parsed, nonces):
        if named.setdefault(wallet, nonce) != nonce:
            raise Invalid.field("nonces", f"{wallet} has two: {named[wallet]} and {nonce}")
    if strangers := named.keys() - wallets:
        raise Invalid.field(
            "nonces",
            f"{', '.join(sorted(strangers))} is no wallet that signs for these organisations",
        )
    if missing := [wallet for wallet in wallets if wallet not in named]:
        lines = "\n".join(f"  {wallet}=NONCE   {wallets[wallet]}" for wallet in missing)
        raise Invalid.field(
            "nonces",
            "say how many transactions each chain counts for each of these wallets, once none"
            f" is on its way any more (0 where it never sent one):\n{lines}",
        )
    return tuple(_floor(wallet, nonce) for wallet, nonce in named.items())


def _named(addresses: Addresses) -> Iterator[tuple[str, str]]:
    """Every wallet as ``chain:address``, and what it is for."""
    for (org_id, role), address in addresses.items():
        for chain in CHAINS:
            yield f"{chain}:{address}", f"organisation {org_id}, {role}"


def _parsed(text: str) -> tuple[str, int]:
    wallet, _, digits = text.partition("=")
    if not (digits.isascii() and digits.isdigit()) or int(digits) > _MAX_NONCE:
        raise Invalid.field(
            "nonces", f"{text!r} does not read chain:address=nonce, as in arb:0x12..ef=17"
        )
    return wallet.lower(), int(digits)


def _floor(wallet: str, nonce: int) -> Floor:
    chain, _, address = wallet.partition(":")
    return Floor(chain_id=CHAINS[chain].chain_id, sender=address, nonce=nonce)
