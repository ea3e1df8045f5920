"""Looks for tokens that are not registered here and came to invoices, once a minute.

It asks for the transfers of every contract to the addresses of open invoices, in final blocks and
apart from the watcher: nothing that counts waits for it (specs/chains.md 6.5).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import structlog

from counterfoil.chains.port import Chain, ChainError, ChainMoved, RangeTooWide
from counterfoil.desk import unknown
from counterfoil.desk.desk import Desk
from counterfoil.desk.unknown import Compared, Span, Told

KEPT: Final = timedelta(minutes=2)
"""Looking for open invoices among very many takes a while, so it is not done more often."""

WIDEST: Final = 200
"""Blocks that are asked about at once."""


class UnknownTokens:
    """Notes what came and is not known. Any number may run at once."""

    def __init__(self, desk: Desk, chains: Mapping[str, Chain]) -> None:
        """Look at these chains, each as far as it is final in our books."""
        self._desk = desk
        self._chains = chains
        self._widest = dict.fromkeys(chains, WIDEST)
        self._whose: dict[str, tuple[datetime, dict[str, Compared]]] = {}
        self._log = structlog.get_logger(worker="unknown")

    async def step(self) -> bool:
        """Look at one span of each chain; True where there is more."""
        return any([await self._look(chain) for chain in self._chains.values()])

    async def _look(self, chain: Chain) -> bool:
        span = await unknown.ahead(self._desk, chain.key, widest=self._widest[chain.key])
        if span is None:
            return False
        whose = await self._addresses(chain.key)
        try:
            end = await _end_hash(chain, span)
            found = await chain.transfers(
                span.after + 1, span.upto, None, list(whose), end_hash=end
            )
        except RangeTooWide as refusal:
            if span.upto - span.after > 1:
                self._widest[chain.key] = max(1, self._widest[chain.key] // 2)
                return True
            # Somebody filled a block with tokens for us: what else is in it is not noted.
            self._log.warning("unknown_tokens_passed_over", block=span.upto, reason=str(refusal))
            found = []
        except ChainError as error:
            self._log.info("unknown_tokens_not_looked_for", chain=chain.key, reason=str(error))
            return False
        told = [
            Told(
                t.contract, t.tx_hash, t.from_address, t.to_address, t.amount_units, t.block_number
            )
            for t in found
        ]
        await unknown.record(self._desk, chain.key, span, whose, told)
        self._widest[chain.key] = min(WIDEST, self._widest[chain.key] * 2)
        return True

    async def _addresses(self, chain: str) -> dict[str, Compared]:
        """Kept for a while: an invoice is older than that before its first payment is final."""
        now = self._desk.clock.now()
        kept = self._whose.get(chain)
        if kept is None or now - kept[0] >= KEPT:
            kept = self._whose[chain] = now, await unknown.addresses(self._desk, chain)
        return kept[1]


async def _end_hash(chain: Chain, span: Span) -> str:
    """The hash of the block that ends a span, in the chain whose last final block the books have.

    A node on another branch tells of tokens that never came, and a note is never taken back.
    """
    if span.upto == span.final.number:
        return span.final.hash
    final = await chain.block(span.final.number)
    if final is not None and final.hash == span.final.hash:
        end = (await chain.headers([span.upto], below=final))[span.upto]
        if end is not None:
            return end.hash
    msg = f"{chain.key}: block {span.final.number} is another where tokens are looked for"
    raise ChainMoved(msg)
