"""What wallets are at the end of a final block, also where no node keeps old state."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from counterfoil.chains.port import Block, Chain, StateNotKept
from counterfoil.desk.provisioning import Seen


@dataclass(frozen=True, slots=True)
class Look:
    """What some wallets were at the end of a block."""

    block: Block
    seen: tuple[Seen, ...]


class FinalLooks:
    """Looks at wallets as of final blocks; where nodes keep no state of these, it takes longer.

    Then what was seen at the newest block counts once that is final. One such look at a time is
    waited for, for each chain and name.
    """

    def __init__(self) -> None:
        """Wait for nothing."""
        self._until_final: dict[tuple[str, int | str], Look] = {}

    async def look(self, chain: Chain, name: int | str, addresses: Sequence[str]) -> Look | None:
        """What the wallets were at a final block; None where that is still to be learnt.

        Raises `StateNotKept` where no node tells even the newest state.
        """
        try:
            return await _look(chain, "finalized", addresses)
        except StateNotKept:
            return await self._become_final(chain, (chain.key, name), addresses)

    async def agreed(self, chain: Chain, look: Look) -> Look:
        """The same as far as a second node shows it, where there is one.

        What is booked as having come from outside is never taken back, so it takes two.
        """
        try:
            return await _beside(chain, look)
        except StateNotKept:
            return look  # Two have been asked already, when its block was the newest.

    def waits(self, chain: Chain, name: int | str) -> bool:
        """Whether a look waits for its block to become final."""
        return (chain.key, name) in self._until_final

    async def _become_final(
        self, chain: Chain, place: tuple[str, int | str], addresses: Sequence[str]
    ) -> Look | None:
        """What was seen at the newest block once that is final; None where a reorg took it."""
        waiting = self._until_final.get(place)
        if waiting is None:
            newest = await _look(chain, "latest", addresses)
            if newest is not None:
                self._until_final[place] = await _beside(chain, newest)
            return None
        final = await chain.block("finalized")
        if final is None or final.number < waiting.block.number:
            return None
        del self._until_final[place]
        return waiting if await chain.block(waiting.block.number) == waiting.block else None


async def _look(
    chain: Chain, at: Literal["latest", "finalized"], addresses: Sequence[str]
) -> Look | None:
    """Read nonces and balances at the end of one block; None where there is none.

    By its hash, as no two nodes need have the same block in mind when they say what is final: with
    the count of an older one, what our own transactions moved since would look like a gift. Raises
    `StateNotKept`.
    """
    block = await chain.block(at)
    if block is None:
        return None
    return Look(block, await _seen(chain, block, addresses))


async def _seen(chain: Chain, block: Block, addresses: Sequence[str]) -> tuple[Seen, ...]:
    balances = await chain.native_balances(addresses, block.hash)
    nonces = await asyncio.gather(*(chain.nonce(address, block.hash) for address in addresses))
    return tuple(map(Seen, addresses, nonces, balances))


async def _beside(chain: Chain, look: Look) -> Look:
    """The less of what two nodes show that is there, and the more that was sent from there."""
    other = await _seen(chain.second_view, look.block, [one.address for one in look.seen])
    both = zip(look.seen, other, strict=True)
    return Look(
        look.block,
        tuple(
            Seen(a.address, max(a.nonce, b.nonce), min(a.balance_wei, b.balance_wei))
            for a, b in both
        ),
    )
