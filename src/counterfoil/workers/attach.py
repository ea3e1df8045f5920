"""Asks the chains whether payments came with the transactions that reviewers named."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from counterfoil.chains.port import Chain, ChainMoved, ChainUnreachable, Receipt
from counterfoil.desk import attaching
from counterfoil.desk.attaching import ClaimRow, Origin, address_of_unknown
from counterfoil.desk.desk import Desk
from counterfoil.workers.runner import alone

AT_ONCE: Final = 20

ASK_AGAIN: Final = timedelta(seconds=30)

_log: Final = structlog.get_logger(worker="attach")


class Attacher:
    """Checks what was named, chain by chain. Any number may run at once."""

    def __init__(self, desk: Desk, chains: Mapping[str, Chain]) -> None:
        """Hold what to work with."""
        self._desk = desk
        self._chains = chains
        # In memory: what cannot be checked stands in the books, and a restart just tries at once.
        self._not_before: dict[UUID, datetime] = {}

    async def step(self) -> int:
        """Check what is open; answers how many were. A chain that is away is asked again.

        What cannot be checked lets others go first for a while, and holds up none.
        """
        now = self._desk.clock.now()
        self._not_before = {one: at for one, at in self._not_before.items() if at > now}
        checked = 0
        for chain in self._chains.values():
            with alone(_log, "chain_failed", chain=chain.key):
                for claim in await attaching.to_check(
                    self._desk, chain.key, AT_ONCE, passing_over=self._not_before
                ):
                    before, about = checked, {"tx_hash": claim.named_tx_hash}
                    with alone(_log, "claim_failed", but=(ChainUnreachable,), **about):
                        await self._check(chain, claim)
                        checked += 1
                    if checked == before:
                        self._not_before[claim.claim_id] = now + ASK_AGAIN
        return checked

    async def _check(self, chain: Chain, claim: ClaimRow) -> None:
        receipt = await chain.receipt(claim.named_tx_hash)
        origin = None if receipt is None else await _origin(chain, claim, receipt)
        finding = await attaching.check(self._desk, claim, origin)
        _log.info("transaction_checked", tx_hash=claim.named_tx_hash, refused=finding)


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
