"""Letting a frozen wallet sign again: only once it is known who used each of its nonces.

The only way out of frozen. The chain says how many were used, the books and the signer which of
them are ours; what neither of them can explain, a person has to, nonce by nonce.
"""

from collections.abc import Collection
from uuid import UUID

from counterfoil.chains.port import Block, Chain
from counterfoil.core.errors import NotFound, OutOfPlace
from counterfoil.desk import adopting, moving, proving, upkeep
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import WalletRow
from counterfoil.signer.client import SignerClient, SignerRefused, SignerUnreachable
from counterfoil.workers.adopting import Adopter, Found, Seen
from counterfoil.workers.stuck import not_proven_gone, unlike_gone


async def thaw(  # noqa: PLR0913 - which wallet, whom to ask, who and why
    desk: Desk,
    chain: Chain,
    signer: SignerClient,
    address: str,
    *,
    by: str,
    reason: str,
    explained: Collection[int] = (),
) -> list[UUID]:
    """Let a frozen wallet sign again; answers the movements that park, as others used their nonce.

    ``explained`` are the nonces of which the person knows who used them. What we signed ourselves
    and forgot is taken into the books on the way. Raises what `upkeep.thaw` raises, `ChainError`,
    and `OutOfPlace` while the signer gives no answer, while it is not proven what became of a
    nonce, and for each that was used by something unknown and is not explained: then the wallet
    stays frozen.
    """
    wallet = await adopting.wallet_of(desk, chain.key, address)
    if wallet is None:
        raise NotFound(f"{address} on {chain.key} is no wallet of ours")
    look = _Look(desk, chain, Adopter(desk, signer), wallet, explained)
    try:
        await look.at_all()
    except (SignerUnreachable, SignerRefused) as away:
        msg = f"it stays frozen: the signer does not say what it signed: {away}"
        raise OutOfPlace(msg) from away
    return await upkeep.thaw(
        desk,
        chain.key,
        address,
        finalized_nonce=look.nonce,
        at_block=look.at_block,
        dead=look.dead,
        by=by,
        reason=reason,
    )


class _Look:
    """What is found out about the used nonces of one wallet."""

    def __init__(
        self,
        desk: Desk,
        chain: Chain,
        adopter: Adopter,
        wallet: WalletRow,
        explained: Collection[int],
    ) -> None:
        self._desk = desk
        self._chain = chain
        self._adopter = adopter
        self._wallet = wallet
        self._explained = explained
        self.nonce = self.at_block = 0
        self.dead: list[str] = []

    async def at_all(self) -> None:
        """Look at every nonce that the chain counts as used and the books do not.

        In their order, as each is adopted only behind the one before. Raises `OutOfPlace`.
        """
        chain, address = self._chain, self._wallet.address
        open_txs = await upkeep.open_txs(self._desk, chain.key, address)
        block = await self._final()
        # At that very block: a node that is behind would hide nonces that others used since.
        self.nonce = await chain.nonce(address, block.hash)
        self.at_block = block.number
        await self._must_count_alike(block)
        siblings = {one[0].nonce: one for one in moving.lineages(open_txs)}
        used = {nonce for nonce in siblings if nonce < self.nonce}
        for nonce in sorted(used.union(range(self._wallet.next_nonce, self.nonce))):
            hashes = [row.tx_hash for row in siblings.get(nonce, ())]
            if not any([await chain.receipt(one) for one in hashes]):
                await self._at(nonce, hashes)

    async def _final(self) -> Block:
        """A finalized block at or above the last one in the books.

        A node that is behind in everything tells of none: it does not know yet who used what the
        wallet was frozen for. Another is looked for, and there may be none.
        """
        booked = await proving.final_block(self._desk, self._chain.key)
        least = 0 if booked is None else booked.number
        block = await self._chain.block("finalized")
        if block is None or block.number < least:
            await self._chain.prefer_above(least)
            block = await self._chain.block("finalized")
        if block is None or block.number < least:
            raise OutOfPlace(
                "nothing was changed, as no node that answers has finalized block"
                f" {least}, which the books have; ask again"
            )
        return block

    async def _must_count_alike(self, block: Block) -> None:
        """Refuse where another node counts more of the wallet than the one that was asked."""
        told = await self._chain.nonce_by_each(self._wallet.address, [], block.number)
        more = {
            name: seen.count
            for name, seen in told.items()
            if seen is not None and (seen.block_hash != block.hash or seen.count > self.nonce)
        }
        if more:
            said = ", ".join(f"{name} counts {count}" for name, count in more.items())
            raise OutOfPlace(
                f"nothing was changed, as nodes do not agree: at block {block.number} one counts"
                f" {self.nonce} transactions of this wallet, and {said}; ask again"
            )

    async def _at(self, nonce: int, siblings: list[str]) -> None:
        seen = await self._adopter.look(self._chain, self._wallet, nonce, reverted=True)
        if seen.found is Found.ADOPTED:
            return
        if seen.found is Found.UNSURE:
            raise OutOfPlace(
                f"nothing was changed; ask again in a few minutes. Nonce {nonce}: a node has"
                f" {_hash(seen)}, which is ours, and not all that are needed do: {seen.why_not}"
            )
        if seen.found is Found.FOREIGN and (why_not := await self._not_proven(nonce, seen)):
            raise OutOfPlace(f"nothing was changed; ask again in a few minutes. {why_not}")
        if nonce not in self._explained:
            raise OutOfPlace(
                f"it stays frozen: nonce {nonce} was used by {_whose(seen)}. Find out who sent it"
                f" and why; then thaw with --explained {nonce}"
            )
        if seen.found is Found.FOREIGN:
            self.dead += siblings
        elif seen.receipt is not None and seen.receipt.ok:
            # So that nobody pays once more what went out with it.
            place = (seen.receipt.tx_hash, seen.receipt.block_number)
            await adopting.landed_after_all(self._desk, self._wallet, nonce, seen.move_ids, place)
        await upkeep.pass_over(self._desk, self._wallet, nonce)

    async def _not_proven(self, nonce: int, seen: Seen) -> str | None:
        """Why it is not sure that nothing of ours used a nonce, or that it was used at all."""
        place, hashes = (self._wallet.address, nonce), sorted(seen.hashes)
        if hashes:
            return await not_proven_gone(self._desk, self._chain, place, hashes, self.at_block)
        against, unanswered = await unlike_gone(self._chain, place, hashes, self.at_block)
        return against or unanswered


def _hash(seen: Seen) -> str:
    return "a transaction" if seen.receipt is None else seen.receipt.tx_hash


def _whose(seen: Seen) -> str:
    if seen.found is Found.FOREIGN:
        return "a transaction that neither the books nor the signer know"
    return f"{_hash(seen)}, which the signer signed and the books do not take, as {seen.why_not}"
