"""Asks the chains whether payments came with the transactions that reviewers named."""

from collections.abc import Mapping
from typing import Final

import structlog

from counterfoil.chains.port import Chain, ChainError, ChainMoved, Receipt
from counterfoil.desk import attaching
from counterfoil.desk.attaching import ClaimRow, Origin, address_of_unknown
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
            origin = None if receipt is None else await _origin(chain, claim, receipt)
            finding = await attaching.check(self._desk, claim, origin)
            _log.info("transaction_checked", tx_hash=claim.named_tx_hash, refused=finding)
        return len(open_claims)


async def _origin(chain: Chain, claim: ClaimRow, receipt: Receipt) -> Origin:
    return Origin(
        block_hash=receipt.block_hash,
        ok=receipt.ok,
        sender=receipt.sender,
        to=receipt.to,
        paid_wei=await _paid_wei(chain, claim, receipt),
        ran_code=receipt.to is None or bool(await chain.code(receipt.to)),
    )


async def _paid_wei(chain: Chain, claim: ClaimRow, receipt: Receipt) -> int | None:
    """What a transaction handed to the address of a payment, as far as a node traces calls."""
    block = await chain.block(receipt.block_number)
    if block is None or block.hash != receipt.block_hash:
        msg = f"{chain.key}: block {receipt.block_number} changed while it was read"
        raise ChainMoved(msg)
    to = [address_of_unknown(claim.tx_hash)]
    paid = await chain.internal_payments(block, to, ended=True)
    if paid is None:
        return None
    return sum(one.amount_units for one in paid if one.tx_hash == claim.named_tx_hash)
