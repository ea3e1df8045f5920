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

from counterfoil.chains.port import Attestation, Chain, Receipt
from counterfoil.core.assets import CHAINS
from counterfoil.desk import adopting
from counterfoil.desk.adopting import NotAdopted, TxRow
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import Batch, SignedBytes, SigningRefused, Terms, WalletRow
from counterfoil.signer.client import SignerClient, SignerRefused, SignerUnreachable
from counterfoil.signer.orders import NonceUse, Signed, TxTerms, WalletAddresses
from counterfoil.signer.payload import NotWhatWasAsked, accept, rebuild
from counterfoil.signer.wire import Code
from counterfoil.workers.evm_moves import moves_nothing, must_be_the_signers, order_for
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
    """What a nonce turned out to be, by which receipt, and every hash that could be ours.

    ``empty`` is the receipt of one that succeeded and moved nothing, where that was asked for.
    """

    found: Found
    hashes: frozenset[str]
    receipt: Receipt | None = None
    empty: Receipt | None = None
    why_not: str = ""
    """Why it is not adopted, or not yet."""
    move_ids: tuple[UUID, ...] = ()
    """For which movements the signer says that it signed the transaction."""


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

    async def look(  # noqa: PLR0913 - which nonce of whom, and what counts
        self,
        chain: Chain,
        wallet: WalletRow,
        nonce: int,
        *,
        reverted: bool,
        own_id: UUID | None = None,
        token: str = "",
    ) -> Seen:
        """Do the same, and tell by which transaction.

        Asked for is what the signer or the books know to have been signed to move something.
        ``own_id`` is the movement that it was, should the signer have forgotten. What succeeded
        without moving a ``token`` is taken no more than what reverted.
        """
        use = await self._signer.use_of(CHAINS[wallet.chain].chain_id, wallet.address, nonce)
        kept = await adopting.signed_with(self._desk, wallet, nonce)
        hashes = kept | {known.tx_hash for known in use.signed}
        empty = None
        for tx_hash in sorted(hashes):
            receipt = await chain.receipt(tx_hash)
            if receipt is None:
                continue
            if moves_nothing(receipt, token, wallet.address):
                empty = receipt
            elif receipt.ok or reverted:
                said = receipt, bool(token)
                found, why_not = await self._mined(chain, (wallet, nonce), use, said, own_id)
                known = any(one.tx_hash == tx_hash for one in use.signed)
                ids = tuple(UUID(one) for one in use.move_ids) if known else ()
                return Seen(found, hashes, receipt, empty, why_not, ids)
        return Seen(Found.FOREIGN, hashes, empty=empty)

    async def _mined(
        self,
        chain: Chain,
        place: tuple[WalletRow, int],
        use: NonceUse,
        said: tuple[Receipt, bool],
        own_id: UUID | None,
    ) -> tuple[Found, str]:
        """What a receipt comes to, of which ``said`` has whether it is known to move something."""
        (receipt, moved), tx_hash = said, said[0].tx_hash
        row = await adopting.known(self._desk, chain.key, tx_hash)
        if adopting.is_followed(row, ok=receipt.ok, moved=moved):
            return Found.ADOPTED, ""
        (told,) = await chain.receipt_attestations([receipt])
        if why_not := why_unproven(told, everybody=False):
            _log.warning("move.not_proven", tx_hash=tx_hash, reason=why_not)
            return Found.UNSURE, why_not
        try:
            if row is not None:
                _must_be_everybodys(told)
            await self._adopt(place, use, receipt, row, own_id)
        except NotAdopted as refused:
            # Another worker may have been faster.
            row = await adopting.known(self._desk, chain.key, tx_hash)
            if adopting.is_followed(row, ok=receipt.ok, moved=moved):
                return Found.ADOPTED, ""
            _log.error("move.not_adopted", chain=chain.key, tx_hash=tx_hash, reason=refused.reason)
            return Found.NOT_ADOPTED, refused.reason
        return Found.ADOPTED, ""

    async def _adopt(
        self,
        place: tuple[WalletRow, int],
        use: NonceUse,
        receipt: Receipt,
        row: TxRow | None,
        own_id: UUID | None,
    ) -> None:
        """Have the books follow what is mined; raises `NotAdopted`."""
        wallet, nonce = place
        tx_hash = receipt.tx_hash
        wallets = await self._signer.addresses(wallet.org_id)
        must_be_the_signers(wallet, wallets)
        remembered = {known.tx_hash: known.terms for known in use.signed}
        own = () if own_id is None else (own_id,)
        ids = [UUID(one) for one in use.move_ids] if tx_hash in remembered else list(own)
        batch = await adopting.batch_of(self._desk, wallet, nonce, ids)
        if row is not None:
            terms, signed = _kept(row, batch, wallets)
        elif tx_hash in remembered:
            terms = remembered[tx_hash]
            signed = await self._signed_again(batch, wallets, terms)
        else:
            raise NotAdopted("neither the books nor the signer have its bytes any more")
        if signed.tx_hash != tx_hash:
            raise NotAdopted(f"what the books want to be moved would be {signed.tx_hash}")
        limits = Terms(terms.gas_limit, terms.max_fee_wei, terms.tip_wei)
        await adopting.adopt(
            self._desk, batch, nonce, limits, SignedBytes(signed.raw, signed.tx_hash)
        )
        names = sorted(str(move_id) for move_id in batch.move_ids)
        _log.warning("move.adopted", chain=wallet.chain, tx_hash=tx_hash, moves=names)

    async def _signed_again(self, batch: Batch, wallets: WalletAddresses, terms: TxTerms) -> Signed:
        """What the signer gives for the movements as they are, on the terms of before."""
        try:
            return await self._signer.sign(order_for(batch, wallets), terms)
        except SigningRefused as refused:
            raise NotAdopted(refused.reason) from refused
        except SignerRefused as refused:
            if refused.code is Code.BROKEN:
                raise SignerUnreachable(refused.reason) from refused
            msg = f"the signer does not sign it again on its old terms: {refused.reason}"
            raise NotAdopted(msg) from refused


def _must_be_everybodys(told: Attestation) -> None:
    """Refuse what every node once called dead, unless every node now calls it mined."""
    if unsure := why_unproven(told, everybody=True):
        raise NotAdopted(f"the books held it for dead, and not every node has it: {unsure}")


def _kept(row: TxRow, batch: Batch, wallets: WalletAddresses) -> tuple[TxTerms, Signed]:
    """The bytes that the books kept, once they are our wallet's signature over these movements."""
    terms = TxTerms(row.nonce, row.gas_limit, row.max_fee_wei, row.tip_wei)
    try:
        payload = rebuild(order_for(batch, wallets), wallets)
        return terms, accept(row.raw, payload, terms, batch.wallet.address)
    except SigningRefused as refused:
        raise NotAdopted(refused.reason) from refused
    except NotWhatWasAsked as odd:
        raise NotAdopted(f"its bytes are not what the books want to be moved: {odd}") from odd
