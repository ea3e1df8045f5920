"""Signed bytes: the terms they were signed on, and the one place where they are kept.

Kept before any node sees them, at the place that their nonce has (specs/reliability.md 1.3).
"""

from dataclasses import dataclass
from datetime import datetime

from counterfoil.books import wallets
from counterfoil.books.wallets import NewTx
from counterfoil.db.pool import Tx


@dataclass(frozen=True, slots=True)
class Terms:
    """The gas limit, and the fees in wei per gas (EIP-1559).

    ``data_fee_wei`` is what the chain may take beside gas, of which nothing is signed.
    """

    gas_limit: int
    max_fee_wei: int
    tip_wei: int
    data_fee_wei: int = 0

    @property
    def cost_wei(self) -> int:
        """The most that it can cost."""
        return self.gas_limit * self.max_fee_wei + self.data_fee_wei


@dataclass(frozen=True, slots=True)
class SignedBytes:
    """What the signer answered, already compared with what was asked of that wallet."""

    raw: bytes
    tx_hash: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a signature belongs: a wallet's nonce, and the how-manieth of its siblings it is.

    One that ``cancels`` does nothing but use the nonce up.
    """

    chain: str
    wallet: str
    nonce: int
    attempt: int = 0
    cancels: bool = False


async def keep(tx: Tx, place: Place, terms: Terms, signed: SignedBytes, at: datetime) -> None:
    """Keep signed bytes. A nonce's second lineage or a known hash is a ``UniqueViolation``."""
    await wallets.add_tx(
        tx,
        NewTx(
            chain=place.chain,
            wallet=place.wallet,
            nonce=place.nonce,
            attempt=place.attempt,
            cancels=place.cancels,
            tx_hash=signed.tx_hash,
            raw=signed.raw,
            gas_limit=terms.gas_limit,
            max_fee_wei=terms.max_fee_wei,
            tip_wei=terms.tip_wei,
            data_fee_wei=terms.data_fee_wei,
            signed_at=at,
        ),
    )
