"""The last look before a payment gets another nonce: whether an earlier one has made it after all.

When a person approved it again, or sent it elsewhere, all nodes had said that the earlier nonce was
used up by nothing of ours. They may all have been wrong, or not have been asked about what the
books had forgotten (docs/decisions/0032-what-the-books-forgot-is-adopted.md).
"""

from dataclasses import dataclass
from uuid import UUID

from counterfoil.chains.port import Chain
from counterfoil.desk import adopting
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import Batch, WalletRow
from counterfoil.workers.adopting import Adopter, Found
from counterfoil.workers.stuck import unlike_gone


@dataclass(frozen=True, slots=True)
class Made:
    """A payment that has been made, or may have been; ``is_proven``: it has, and is not booked."""

    move_id: UUID
    reason: str
    is_proven: bool = False


async def made_before(desk: Desk, adopter: Adopter, chain: Chain, batch: Batch) -> Made | None:
    """Why a batch must not be signed with another nonce, where one of its payments had any before.

    None where every endpoint says of every such nonce that nothing of ours used it up. Raises
    `SignerUnreachable` and `SignerRefused` while the signer cannot be asked, and `ChainError`.
    """
    for item in batch.items:
        for nonce in await adopting.earlier_nonces(desk, batch.wallet, item.move):
            seen = await adopter.look(chain, batch.wallet, nonce, reverted=False)
            move_id, receipt = item.move.move_id, seen.receipt
            if receipt is None:
                why_not = await _why_not_gone(chain, batch.wallet, nonce, seen.hashes)
                if why_not is not None:
                    return Made(move_id, why_not)
                continue
            made = f"it was signed before with nonce {nonce} as {receipt.tx_hash}"
            if seen.found is not Found.NOT_ADOPTED:
                return Made(move_id, f"{made}, which a node has; waiting until all have seen it")
            place = (receipt.tx_hash, receipt.block_number)
            await adopting.landed_after_all(desk, batch.wallet, nonce, item.move, place)
            return Made(
                move_id,
                f"{made}, which is proven mined, and the books say something else of it: the money"
                " has left; do not pay it again, and compare the books with the chain",
                is_proven=True,
            )
    return None


async def _why_not_gone(
    chain: Chain, wallet: WalletRow, nonce: int, hashes: frozenset[str]
) -> str | None:
    """Why not everybody says that none of these was mined: who does not know has not said no."""
    block = await chain.block("finalized")
    if block is None:
        return "no node tells its finalized block"
    place = (wallet.address, nonce)
    against, unanswered = await unlike_gone(chain, place, sorted(hashes), block.number)
    return against or unanswered
