"""Asks the chains whether payments came with the transactions that reviewers named."""

from collections.abc import Mapping
from typing import Final

import structlog

from counterfoil.chains.port import Chain, ChainError, Receipt
from counterfoil.desk import attaching
from counterfoil.desk.attaching import Origin
from counterfoil.desk.desk import Desk

AT_ONCE: Final = 20

_log: Final = structlog.get_logger(worker="attach")


class Attacher:
    """Checks what was named, chain by chain. Any number may run at once."""

    def __init__(self, desk: Desk, chains: Mapping[str, Chain]) -> None:
        """Hold what to work with."""
        self._desk = desk
        self._chains = chains

    async def step(self) -> int:
        """Check all that is open; answers how many were. A chain that is away is asked again."""
        checked = 0
        for chain in self._chains.values():
            try:
                checked += await self._check(chain)
            except ChainError as error:
                _log.warning("chain_failed", chain=chain.key, reason=str(error))
        return checked

    async def _check(self, chain: Chain) -> int:
        open_claims = await attaching.to_check(self._desk, chain.key, AT_ONCE)
        for claim in open_claims:
            receipt = await chain.receipt(claim.named_tx_hash)
            finding = await attaching.check(
                self._desk, claim, _origin(receipt) if receipt else None
            )
            _log.info("transaction_checked", tx_hash=claim.named_tx_hash, refused=finding)
        return len(open_claims)


def _origin(receipt: Receipt) -> Origin:
    return Origin(receipt.block_hash, receipt.ok, receipt.sender, receipt.to)
