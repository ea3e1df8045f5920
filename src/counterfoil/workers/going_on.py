"""Leaves a node that stands still for one that goes on.

A node that fails is left at once. One that answers, but has heard of no new block for a while,
looks like a chain on which nothing happens: nothing is lost by it, and nobody is told of a payment.
"""

from datetime import timedelta
from typing import Final

import structlog

from counterfoil.chains.port import Block, Chain
from counterfoil.core.ports import Clock

STANDS_STILL_AFTER: Final = timedelta(seconds=20)
"""Ten blocks of Base or Optimism, eighty of Arbitrum."""


class GoingOn:
    """Looks at whether one chain goes on, as far as the node that is asked tells."""

    def __init__(self, chain: Chain, clock: Clock) -> None:
        """Begin now to wait for a new block."""
        self._chain = chain
        self._clock = clock
        self._moved_at = clock.now()
        self._log = structlog.get_logger(worker="watch", chain=chain.key)

    async def look(self, tip: Block | None, head_number: int) -> None:
        """Ask all nodes for more where ``tip`` has not been above ``head_number`` for a while.

        No node's word is good for more by that: what it shows has to prove itself as always.
        """
        now = self._clock.now()
        if tip is None or tip.number <= head_number:
            if now - self._moved_at < STANDS_STILL_AFTER:
                return
            if await self._chain.prefer_above(head_number):
                self._log.warning("another_node_goes_on", head=head_number)
        self._moved_at = now
