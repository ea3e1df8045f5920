"""Making what the signer needs to start: a seed and its memory, or a memory anew.

Both lie side by side, since neither may be used without the other.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid
from counterfoil.signer.keys import Keyring, open_seed_file, sealed_seed, write_seed_file
from counterfoil.signer.memory import create_memory
from counterfoil.signer.orders import SIGNING_ROLES
from counterfoil.signer.origin import Floor, Lost, Origin
from counterfoil.signer.refusals import SeedRefused

_MAX_NONCE: Final = 2**63 - 1


def memory_beside(seed_path: Path) -> Path:
    """Where the memory of this seed lies."""
    return seed_path.with_name("memory.journal")


def create_signer_files(seed_path: Path, passphrase: str, at: datetime) -> None:
    """Seal a new random seed at ``seed_path`` and begin its memory beside it.

    Anybody with the passphrase can read the phrase with ``age -d``, to keep it on paper.
    Raises `SeedRefused` when there is a seed, since overwriting it would lose every wallet
    derived from it, and for a short passphrase; `MemoryBroken` when there is a memory, which
    must then be of a seed that is not there.
    """
    if seed_path.exists():
        raise SeedRefused(
            f"{seed_path} exists; it is never overwritten, since every wallet hangs on it"
        )
    keys, sealed = sealed_seed(passphrase)
    memory_path = memory_beside(seed_path)
    # The memory first: a seed that got none would look like one whose memory was lost.
    create_memory(memory_path, Origin(seed=keys.fingerprint, at=at))
    try:
        write_seed_file(seed_path, sealed)
    except BaseException:
        memory_path.unlink()
        raise


def create_new_memory(
    seed_path: Path,
    passphrase: str,
    nonces: Sequence[str],
    *,
    org_ids: Sequence[int],
    approved_since: datetime,
    at: datetime,
) -> None:
    """Begin a memory in place of one that got lost.

    ``nonces`` says from which nonce on each wallet may sign, as ``chain:address=nonce``, for
    every signing wallet of these organisations on every chain. Payments approved before
    ``approved_since`` are not signed with it, and none at all on the day of ``at``, whose cap
    may be used up. Raises `Invalid` for what is missing or makes no sense, `SeedRefused`, and
    `MemoryBroken` when there is a memory.
    """
    if approved_since > at:
        raise Invalid.field("approved_since", f"it is at most now, {at.isoformat()}")
    keys = open_seed_file(seed_path, passphrase)
    wallets = dict(_wallets(keys, org_ids))
    lost = Lost(approved_since=approved_since, floors=_floors(nonces, wallets))
    create_memory(
        memory_beside(seed_path), Origin(seed=keys.fingerprint, at=at, lost=lost)
    )


def _wallets(keys: Keyring, org_ids: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Every wallet that signs, as ``chain:address``, and what it is for."""
    for org_id in org_ids:
        for role in sorted(SIGNING_ROLES):
            address = keys.address(org_id, role)
            for chain in CHAINS:
                yield f"{chain}:{address}", f"organisation {org_id}, {role}"


def _floors(nonces: Sequence[str], wallets: dict[str, str]) -> tuple[Floor, ...]:
    named = dict(_parsed(text) for text in nonces)
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
