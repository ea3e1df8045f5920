"""The last look before a payment gets another nonce: whether an earlier one has made it after all.

When a person approved it again, or sent it elsewhere, all nodes had said that the earlier nonce was
used up by nothing of ours. They may all have been wrong, or not have been asked about what the
books had forgotten (docs/decisions/0032-what-the-books-forgot-is-adopted.md).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from counterfoil.chains.port import Chain
from counterfoil.desk import adopting
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import Batch, WalletRow
from counterfoil.desk.objections import LONG
from counterfoil.workers.adopting import Adopter, Found, Seen
from counterfoil.workers.proven import why_unproven
from counterfoil.workers.runner import alone
from counterfoil.workers.stuck import unlike_gone

_log: Final = structlog.get_logger("counterfoil.move")

_MINUTES: Final = int(LONG.total_seconds() // 60)


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
        for earlier in await adopting.earlier_nonces(desk, batch.wallet, item.move):
            nonce, move_id = earlier.nonce, item.move.move_id
            own_id = move_id if earlier.is_own else None
            seen = await adopter.look(
                chain,
                batch.wallet,
                nonce,
                reverted=False,
                own_id=own_id,
                token=item.move.contract,
            )
            receipt = seen.receipt
            if receipt is None:
                why_not = await _why_not_dead(chain, batch.wallet, nonce, seen)
                if why_not is not None:
                    return Made(move_id, why_not)
                continue
            made = f"it was signed before with nonce {nonce} as {receipt.tx_hash}"
            if seen.found is Found.ADOPTED:
                return Made(move_id, f"{made}, which is mined: it is followed, and booked like any")
            if seen.found is not Found.NOT_ADOPTED:
                return Made(move_id, f"{made}, which a node has; waiting until all have seen it")
            place = (receipt.tx_hash, receipt.block_number)
            await adopting.landed_after_all(desk, batch.wallet, nonce, [move_id], place)
            return Made(
                move_id,
                f"{made}, which is proven mined: the money has left; do not pay it again. It is not"
                f" booked by itself, as {seen.why_not}. That is asked again every"
                f" {_MINUTES} minutes; what to do meanwhile is in docs/operations/runbook.md,"
                ' "A payment that was made before"',
                is_proven=True,
            )
    return None


async def _why_not_dead(chain: Chain, wallet: WalletRow, nonce: int, seen: Seen) -> str | None:
    """Why not everybody says that none of these was mined: who does not know has not said no.

    Or that the one that was mined moved nothing: no other can be with the same nonce.
    """
    if seen.empty is not None:
        (told,) = await chain.receipt_attestations([seen.empty])
        unsure = why_unproven(told, everybody=True)
        empty = f"nonce {nonce}: not every node says that {seen.empty.tx_hash} moved nothing"
        return None if unsure is None else f"{empty}: {unsure}"
    block = await chain.block("finalized")
    if block is None:
        return "no node tells its finalized block"
    place = (wallet.address, nonce)
    against, unanswered = await unlike_gone(chain, place, sorted(seen.hashes), block.number)
    return against or unanswered


class MadeAfterAll:
    """Looks again at payments that parked because they had been made, and books what it can."""

    def __init__(self, desk: Desk, adopter: Adopter) -> None:
        """Hold what to work with; when each was looked at may be forgotten."""
        self._desk = desk
        self._adopter = adopter
        self._not_before: dict[UUID, datetime] = {}

    async def look(self, chain: Chain) -> None:
        """Look at those of a chain whose turn it is: each every `LONG`, beginning at once.

        What is adopted now is followed and booked like everything that was signed. The others stay
        parked, and say why. Raises as `made_before`.
        """
        now = self._desk.clock.now()
        for batch in await adopting.parked_as_made(self._desk, chain.key):
            (move_id,) = batch.move_ids
            if now < self._not_before.get(move_id, now):
                continue
            self._not_before[move_id] = now + LONG
            with alone(_log, "move.failed", but=(), chain=chain.key, move_id=str(move_id)):
                made = await made_before(self._desk, self._adopter, chain, batch)
                if made is not None and made.is_proven:
                    await adopting.still_parked(self._desk, batch.items[0].move, made.reason)
