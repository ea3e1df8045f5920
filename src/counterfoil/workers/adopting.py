"""Transactions of ours that the books forgot: found on the chain, and taken into the books.

Only what is provably ours: the signer says what it signed with a nonce, has the same bytes for what
the books say of those movements (chain, wallet, token, receiver and amount of the warrant), and
they hash to what was mined (docs/decisions/0032-what-the-books-forgot-is-adopted.md).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

import structlog

from counterfoil.chains.port import Chain, Receipt
from counterfoil.core.assets import CHAINS
from counterfoil.desk import adopting
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import SignedBytes, SigningRefused, Terms, WalletRow
from counterfoil.signer.client import SignerClient, SignerRefused, SignerUnreachable
from counterfoil.signer.orders import KnownSignature, NonceUse
from counterfoil.signer.wire import Code
from counterfoil.workers.evm_moves import must_be_the_signers, order_for
from counterfoil.workers.proven import why_unproven

_log: Final = structlog.get_logger("counterfoil.move")


class Found(StrEnum):
    """What a nonce that the chain counts as consumed turned out to be."""

    ADOPTED = "adopted"
    """Ours; the books have it now, and it is followed like any other."""
    UNSURE = "unsure"
    """A node says that it is ours, and others do not yet: ask again."""
    NOT_ADOPTED = "not_adopted"
    """Ours and proven mined, while the books say something else of it: a person has to look."""
    FOREIGN = "foreign"
    """Nothing of ours, as far as the node that was asked knows."""

    @property
    def is_followed(self) -> bool:
        """Whether nobody has to look: the books follow it, or may soon."""
        return self in {Found.ADOPTED, Found.UNSURE}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a nonce turned out to be, by which receipt, and every hash that could be ours."""

    found: Found
    hashes: frozenset[str]
    receipt: Receipt | None = None


class Adopter:
    """Finds out whether somebody else used a nonce, or we did and forgot."""

    def __init__(self, desk: Desk, signer: SignerClient) -> None:
        """Hold what to work with."""
        self._desk = desk
        self._signer = signer

    async def catch_up(self, chain: Chain, wallet: WalletRow, finalized_nonce: int) -> Found:
        """Take all into the books that the chain counts of a wallet beyond its next nonce.

        Raises `SignerUnreachable` and `SignerRefused` while the signer cannot be asked.
        """
        for nonce in range(wallet.next_nonce, finalized_nonce):
            found = await self.adopt(chain, wallet, nonce)
            if found is not Found.ADOPTED:
                return found
        return Found.ADOPTED

    async def adopt(
        self, chain: Chain, wallet: WalletRow, nonce: int, *, reverted: bool = True
    ) -> Found:
        """Take what we mined with a nonce into the books, where they lack it. Raises likewise.

        What reverted is taken as well, unless told otherwise.
        """
        return (await self.look(chain, wallet, nonce, reverted=reverted)).found

    async def look(self, chain: Chain, wallet: WalletRow, nonce: int, *, reverted: bool) -> Seen:
        """Do the same, and tell by which transaction.

        Asked for is what the signer or the books know to have been signed to move something.
        """
        use = await self._signer.use_of(CHAINS[wallet.chain].chain_id, wallet.address, nonce)
        kept = await adopting.signed_with(self._desk, wallet, nonce)
        hashes = kept | {known.tx_hash for known in use.signed}
        for tx_hash in sorted(hashes):
            receipt = await chain.receipt(tx_hash)
            if receipt is not None and (receipt.ok or reverted):
                found = await self._mined(chain, (wallet, nonce), use, receipt)
                return Seen(found, hashes, receipt)
        return Seen(Found.FOREIGN, hashes)

    async def _mined(
        self, chain: Chain, place: tuple[WalletRow, int], use: NonceUse, receipt: Receipt
    ) -> Found:
        tx_hash, ok = receipt.tx_hash, receipt.ok
        if await adopting.knows(self._desk, chain.key, tx_hash, ok=ok):
            return Found.ADOPTED
        (told,) = await chain.receipt_attestations([receipt])
        if why_not := why_unproven(told, everybody=False):
            _log.warning("move.not_proven", tx_hash=tx_hash, reason=why_not)
            return Found.UNSURE
        for known in use.signed:
            if known.tx_hash == tx_hash and await self._adopt(*place, use, known):
                return Found.ADOPTED
        # Another worker may have been faster.
        known_now = await adopting.knows(self._desk, chain.key, tx_hash, ok=ok)
        return Found.ADOPTED if known_now else Found.NOT_ADOPTED

    async def _adopt(
        self, wallet: WalletRow, nonce: int, use: NonceUse, known: KnownSignature
    ) -> bool:
        about = {"chain": wallet.chain, "wallet": wallet.address, "tx_hash": known.tx_hash}
        wallets = await self._signer.addresses(wallet.org_id)
        must_be_the_signers(wallet, wallets)
        move_ids = [UUID(move_id) for move_id in use.move_ids]
        batch = await adopting.batch_of(self._desk, wallet, nonce, move_ids)
        if batch is None:
            _log.error("move.not_adopted", **about, reason="the books have no such movement open")
            return False
        try:
            signed = await self._signer.sign(order_for(batch, wallets), known.terms)
        except (SignerRefused, SigningRefused) as refused:
            if isinstance(refused, SignerRefused) and refused.code is Code.BROKEN:
                raise SignerUnreachable(refused.reason) from refused
            _log.error("move.not_adopted", **about, reason=refused.reason)
            return False
        if signed.tx_hash != known.tx_hash:
            _log.error("move.not_adopted", **about, reason=f"its bytes are {signed.tx_hash}")
            return False
        terms = Terms(known.terms.gas_limit, known.terms.max_fee_wei, known.terms.tip_wei)
        kept = await adopting.adopt(
            self._desk, batch, nonce, terms, SignedBytes(signed.raw, signed.tx_hash)
        )
        _log.warning("move.adopted" if kept else "move.not_adopted", **about, moves=use.move_ids)
        return kept
