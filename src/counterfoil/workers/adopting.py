"""Transactions of ours that the books forgot: found on the chain, and taken into the books.

Only what is provably ours: the signer says what it signed with a nonce, has the same bytes for what
the books say of those movements (chain, wallet, token, receiver and amount of the warrant), and
they hash to what was mined (docs/decisions/0032-what-the-books-forgot-is-adopted.md).
"""

from enum import StrEnum
from typing import Final
from uuid import UUID

import structlog

from counterfoil.chains.port import Chain
from counterfoil.core.assets import CHAINS
from counterfoil.desk import adopting
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import Batch, SignedBytes, SigningRefused, Terms, WalletRow
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
    FOREIGN = "foreign"
    """Nothing that could be shown to be what the books want to be done."""


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

    async def was_made(self, chain: Chain, batch: Batch) -> bool:
        """Whether a payment that is to get another nonce may have been made with its last one.

        All nodes may have said that nothing of ours used it up, of what the books then knew. What
        was made is in the books from then on. Raises likewise.
        """
        for item in batch.items:
            nonce = item.move.replaces_nonce
            if nonce is None:
                continue
            found = await self.adopt(chain, batch.wallet, nonce, reverted=False)
            if found is not Found.FOREIGN:
                return True
        return False

    async def adopt(
        self, chain: Chain, wallet: WalletRow, nonce: int, *, reverted: bool = True
    ) -> Found:
        """Take what we mined with a nonce into the books, where they lack it. Raises likewise.

        What reverted is taken as well, unless told otherwise.
        """
        chain_id = CHAINS[wallet.chain].chain_id
        use = await self._signer.use_of(chain_id, wallet.address, nonce)
        for known in use.signed:
            receipt = await chain.receipt(known.tx_hash)
            if receipt is None or not (receipt.ok or reverted):
                continue
            if await adopting.knows(self._desk, chain.key, known.tx_hash):
                return Found.ADOPTED
            (told,) = await chain.receipt_attestations([receipt])
            if why_not := why_unproven(told, everybody=False):
                _log.warning("move.not_proven", tx_hash=known.tx_hash, reason=why_not)
                return Found.UNSURE
            return await self._adopt(wallet, nonce, use, known)
        return Found.FOREIGN

    async def _adopt(
        self, wallet: WalletRow, nonce: int, use: NonceUse, known: KnownSignature
    ) -> Found:
        about = {"chain": wallet.chain, "wallet": wallet.address, "tx_hash": known.tx_hash}
        wallets = await self._signer.addresses(wallet.org_id)
        must_be_the_signers(wallet, wallets)
        move_ids = [UUID(move_id) for move_id in use.move_ids]
        batch = await adopting.batch_of(self._desk, wallet, nonce, move_ids)
        if batch is None:
            _log.error("move.not_adopted", **about, reason="the books have no such movement open")
            return Found.FOREIGN
        try:
            signed = await self._signer.sign(order_for(batch, wallets), known.terms)
        except (SignerRefused, SigningRefused) as refused:
            if isinstance(refused, SignerRefused) and refused.code is Code.BROKEN:
                raise SignerUnreachable(refused.reason) from refused
            _log.error("move.not_adopted", **about, reason=refused.reason)
            return Found.FOREIGN
        if signed.tx_hash != known.tx_hash:
            _log.error("move.not_adopted", **about, reason=f"its bytes are {signed.tx_hash}")
            return Found.FOREIGN
        terms = Terms(known.terms.gas_limit, known.terms.max_fee_wei, known.terms.tip_wei)
        kept = await adopting.adopt(
            self._desk, batch, nonce, terms, SignedBytes(signed.raw, signed.tx_hash)
        )
        kept = kept or await adopting.knows(self._desk, wallet.chain, known.tx_hash)
        _log.warning("move.adopted" if kept else "move.not_adopted", **about, moves=use.move_ids)
        return Found.ADOPTED if kept else Found.FOREIGN
