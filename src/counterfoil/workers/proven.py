"""Who vouches for what became of money we sent: one node's word is enough for small ends only.

A receipt is what one endpoint says. Believed blindly it could have us pay again what was paid, or
call paid what never was. So the others are asked before anything is booked, by the same rule as for
large payments that come in (docs/decisions/0013-large-payments-need-two-nodes.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

import structlog

from counterfoil.chains.port import Attestation, Chain, Receipt
from counterfoil.desk import stuck
from counterfoil.desk.desk import Desk
from counterfoil.desk.landing import Landed
from counterfoil.desk.moving import OpenTx
from counterfoil.workers.evm_moves import landed
from counterfoil.workers.witness import confirmed, dollars, sentence

ASK_AGAIN: Final = timedelta(seconds=10)
"""The pause before nodes that did not agree are asked again."""

_log: Final = structlog.get_logger("counterfoil.move")


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction of ours in a block that is final and canonical for one endpoint.

    ``told`` is what its receipt proves about each of its movements.
    """

    open_tx: OpenTx
    receipt: Receipt
    told: Landed

    @classmethod
    def of(cls, open_tx: OpenTx, receipt: Receipt) -> "Mined":
        """Read the receipt."""
        return cls(open_tx, receipt, landed(open_tx, receipt))

    @property
    def frees_a_payment(self) -> bool:
        """Whether what it carried may be made again, in whole or in part, once this is believed."""
        short = any(one.problem is not None and not one.again for one in self.told.items)
        return not self.receipt.ok or self.open_tx.tx.cancels or short

    @property
    def dollars(self) -> Fraction:
        """What it carries, or says that it moved where that is more.

        A stablecoin counts as a dollar and an ether as much as in the signer's caps.
        """
        moved = {item.move_id: item.moved_units for item in self.told.items}
        carried = [item.move for item in self.open_tx.items]
        return sum(
            (
                dollars(m.chain, m.contract, max(m.amount_units, moved.get(m.move_id, 0)))
                for m in carried
            ),
            Fraction(0),
        )


class Vouching:
    """Asks the other nodes about what one of them calls settled, each thing every ten seconds."""

    def __init__(self, desk: Desk, from_dollars: int) -> None:
        """Ask about what carries ``from_dollars`` or more; what is kept here may be forgotten."""
        self._desk = desk
        self._from_dollars = from_dollars
        self._not_before: dict[str, datetime] = {}

    async def proven(self, chain: Chain, mined: Sequence[Mined]) -> list[Mined]:
        """Those of these that may be booked; why the others may not is kept for people to see.

        What frees a payment to be made again, a revert or a cancellation, or one that did less than
        it was to, takes every endpoint's word. What moved as much as asks for two nodes takes two;
        one that denies it outweighs any number. All have the block finalized.
        """
        now = self._desk.clock.now()
        self._not_before = {key: at for key, at in self._not_before.items() if at > now}
        open_to_doubt = [
            one for one in mined if one.frees_a_payment or one.dollars >= self._from_dollars
        ]
        asked = [one for one in open_to_doubt if one.receipt.tx_hash not in self._not_before]
        told = await chain.receipt_attestations([one.receipt for one in asked]) if asked else []
        stand = {id(one) for one in mined} - {id(one) for one in open_to_doubt}
        for one, said in zip(asked, told, strict=True):
            why_not = why_unproven(said, everybody=one.frees_a_payment)
            if why_not is None:
                stand.add(id(one))
            else:
                self._not_before[one.receipt.tx_hash] = now + ASK_AGAIN
                await self._doubt(chain, one, said, why_not)
        return [one for one in mined if id(one) in stand]

    async def unmined(self, open_tx: OpenTx) -> None:
        """Take back a doubt about what no node calls mined any more."""
        if open_tx.tx.doubt is not None:
            await stuck.note_doubt(self._desk, open_tx.tx, None)

    async def _doubt(self, chain: Chain, one: Mined, said: Attestation, why_not: str) -> None:
        what = "landed" if one.receipt.ok else "reverted"
        reason = f"nodes do not agree that {one.receipt.tx_hash} {what}: {why_not}"
        await stuck.note_doubt(self._desk, one.open_tx.tx, reason)
        log = _log.error if said.denies else _log.warning
        log("move.not_proven", chain=chain.key, tx_hash=one.receipt.tx_hash, reason=reason)


def why_unproven(said: Attestation, *, everybody: bool) -> str | None:
    """What stands against believing a receipt; None where enough endpoints confirm it."""
    return None if confirmed(said, everybody=everybody) else sentence(said)
