"""Which of the blocks that were read are still in the node's chain.

A cursor goes back only where a block at the same height has another hash; a node that merely lags
is waited for (specs/chains.md 6.2).
"""

import structlog

from counterfoil.chains.port import Block, Chain
from counterfoil.desk import watching
from counterfoil.desk.desk import Desk
from counterfoil.desk.watching import Anchor, Position
from counterfoil.workers.reading import anchor_of


class FinalityBroken(Exception):  # noqa: N818 - says what happened, as core/errors.py does
    """A finalized block has another hash now. Nothing is rewritten; an operator must look."""


class Branch:
    """The branch of one chain that was read so far."""

    def __init__(self, desk: Desk, chain: Chain) -> None:
        """Compare what the books know of ``chain`` with what it says."""
        self._desk = desk
        self._chain = chain
        self._log = structlog.get_logger(worker="watch", chain=chain.key)

    def must_stand(self, at: Position, last: Block | None) -> None:
        """Raise `FinalityBroken` where the last block that was final has another hash."""
        if last is not None and last.hash != at.final.hash:
            msg = (
                f"{self._chain.key}: finalized block {at.final.number} had the hash"
                f" {at.final.hash}, the node now says {last.hash}; the chain stands still until"
                " a person has looked"
            )
            raise FinalityBroken(msg)

    async def ancestor(self, at: Position, tip: Block) -> Anchor | None:
        """The highest block read that is still in the tip's chain; None while the node lags.

        Another node may have told the tip: whoever lists what follows must have this block too.
        Raises `FinalityBroken`.
        """
        if tip.number == at.head.number + 1 and tip.parent_hash == at.head.hash:
            return anchor_of(at.head)
        if tip.number > at.head.number:
            here = await self._chain.block(at.head.number)
            if here is None or here.hash == at.head.hash:
                return None if here is None else anchor_of(at.head)
        return await self._rewound(at)

    async def _rewound(self, at: Position) -> Anchor:
        """Halve the anchors until the last one that a reorg left in place is found.

        An anchor that stands proves all below it, so a dozen headers tell among thousands;
        the final cursor stands in any case.
        """
        anchors = await watching.anchors(self._desk, self._chain.key)
        standing, replaced = 0, len(anchors)
        while standing < replaced:
            middle = (standing + replaced) // 2
            if await self._stands(anchors[middle]):
                standing = middle + 1
            else:
                replaced = middle
        if not standing:
            # Nothing above stands: a very deep reorg, or a node of another chain altogether.
            self.must_stand(at, await self._chain.block(at.final.number))
        ancestor = anchors[standing - 1] if standing else anchor_of(at.final)
        if ancestor.number < at.head.number:
            self._log.warning("reorg", head=at.head.number, ancestor=ancestor.number)
        return ancestor

    async def _stands(self, anchor: Anchor) -> bool:
        return is_there(await self._chain.block(anchor.number), anchor.hash)


def is_there(block: Block | None, block_hash: str) -> bool:
    """Whether a height has the block of this hash."""
    return block is not None and block.hash == block_hash
