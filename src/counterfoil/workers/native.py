"""Finds payments in native coin: the balance says how much came, blocks and traces say with what.

The balance is the truth. What a block's transactions and the node's traces explain of it becomes
transfers with hashes; the rest is a payment whose transaction is unknown (specs/chains.md 6.4).
Nothing is ever taken for paid that the balance does not show.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from counterfoil.chains.port import Block, Chain, ChainMoved, Transfer
from counterfoil.core.assets import TOP_LEVEL
from counterfoil.desk import natives
from counterfoil.desk.desk import Desk
from counterfoil.desk.natives import NOBODY, NativeAddress, Outflow, unknown_hash

_log: Final = structlog.get_logger(worker="watch")


@dataclass(frozen=True, slots=True)
class NativeRange:
    """The blocks above ``after`` up to ``end``; everything up to ``final`` is settled."""

    after: int
    end: Block
    final: int
    widest: int


@dataclass(frozen=True, slots=True)
class NativeFound:
    """What came to addresses of ours in a range, and what sweeps took out since the final block."""

    transfers: tuple[Transfer, ...] = ()
    outflows: tuple[Outflow, ...] = ()


class NativeScan:
    """Looks at one chain's native coin on behalf of its watcher."""

    def __init__(self, desk: Desk, chain: Chain, witness: Chain | None = None) -> None:
        """Look at ``chain`` for the invoices at ``desk``.

        With a ``witness`` only what both see is believed. What one of them sees is not lost: it is
        found in a later range, once both do.
        """
        self._desk = desk
        self._chain = chain
        self._witness = witness

    async def scan(self, blocks: NativeRange) -> NativeFound:
        """Every payment in native coin to an invoice that asks for it, in a range of blocks.

        Raises `ChainMoved` where a block of the range is not there, and whatever the chain does.
        """
        watched = await natives.watched(
            self._desk, self._chain.key, after=blocks.after, final=blocks.final
        )
        if not watched:
            return NativeFound()
        sweeps = await self._sweeps(watched, blocks)
        known = {one.address: one.known_wei for one in watched}
        there = await self._agreed(blocks.end, known, sweeps)
        found: list[Transfer] = []
        for block, grown in await self._growth(blocks.after, known, blocks.end, there, sweeps):
            found += await self._explained(block, grown)
        return NativeFound(tuple(found), tuple(sweeps))

    async def _sweeps(self, watched: Sequence[NativeAddress], blocks: NativeRange) -> list[Outflow]:
        """What left since the final block; nobody but our factories can take anything away."""
        factories = sorted({one.factory for one in watched if one.swept})
        found: list[Outflow] = []
        for start in range(blocks.final + 1, blocks.end.number + 1, blocks.widest):
            upto = min(start + blocks.widest - 1, blocks.end.number)
            if not factories:
                break
            found += [
                Outflow(
                    self._chain.key,
                    swept.tx_hash,
                    swept.log_index,
                    swept.address,
                    swept.amount_units,
                    swept.block_number,
                )
                for swept in await self._chain.native_sweeps(start, upto, factories)
            ]
        return found

    async def _agreed(
        self, block: Block, addresses: Collection[str], sweeps: Sequence[Outflow]
    ) -> dict[str, int]:
        """What had come to each address by the end of a block, as far as nodes agree on it."""
        found = await self._gross(self._chain, block, addresses, sweeps)
        if self._witness is None:
            return found
        other = await self._gross(self._witness, block, addresses, sweeps)
        for address in (a for a, wei in found.items() if wei != other[a]):
            told = (found[address], other[address])
            _log.error("nodes_do_not_agree_on_a_balance", address=address, wei=told)
        return {address: min(wei, other[address]) for address, wei in found.items()}

    async def _gross(
        self, chain: Chain, block: Block, addresses: Collection[str], sweeps: Sequence[Outflow]
    ) -> dict[str, int]:
        """What had come to each address by the end of a block, as if nothing had left since."""
        asked = list(addresses)
        held = await chain.native_balances(asked, block.hash)
        gross = dict(zip(asked, held, strict=True))
        for swept in sweeps:
            if swept.address in gross and swept.block_number <= block.number:
                gross[swept.address] += swept.amount_units
        return gross

    async def _growth(
        self,
        after: int,
        before: Mapping[str, int],
        end: Block,
        there: Mapping[str, int],
        sweeps: Sequence[Outflow],
    ) -> list[tuple[Block, dict[str, int]]]:
        """The blocks in which addresses gained, and how much each: halved until each is found."""
        grown = {a: wei - before[a] for a, wei in there.items() if wei > before[a]}
        if not grown or end.number - after <= 1:
            return [(end, grown)] if grown else []
        middle = await self._chain.block((after + end.number) // 2)
        if middle is None:
            msg = f"{self._chain.key}: a block below {end.number} is gone"
            raise ChainMoved(msg)
        # What came never falls and never outgrows what is there in the end, whatever a node says.
        gross = await self._gross(self._chain, middle, grown, sweeps)
        halfway = {a: min(max(gross[a], before[a]), there[a]) for a in grown}
        upper = {a: there[a] for a in grown}
        return [
            *await self._growth(after, before, middle, halfway, sweeps),
            *await self._growth(middle.number, halfway, end, upper, sweeps),
        ]

    async def _explained(self, block: Block, grown: Mapping[str, int]) -> list[Transfer]:
        """What brought the coin of one block, as far as anybody can tell."""
        plain = await self._chain.native_payments(block, list(grown))
        short = [a for a, wei in grown.items() if _to(plain, a) < wei]
        traced = await self._chain.internal_payments(block, short) if short else []
        return [
            transfer
            for address, wei in grown.items()
            for transfer in _attributed(self._chain.key, block, address, wei, (plain, traced))
        ]


def _attributed(
    chain: str,
    block: Block,
    address: str,
    wei: int,
    told: tuple[Sequence[Transfer], Sequence[Transfer] | None],
) -> list[Transfer]:
    """The transfers that add up to exactly what an address gained."""
    plain, traced = (
        [t for t in some or () if t.to_address == address and t.amount_units] for some in told
    )
    story = [*plain, *traced]
    while (rest := wei - sum(t.amount_units for t in story)) < 0:
        _log.error("more_explained_than_came", chain=chain, block=block.number, address=address)
        story = plain if len(story) > len(plain) else []
    if not rest:
        return story
    _log.warning("internal_payment", chain=chain, block=block.number, address=address, wei=rest)
    return [*story, _unknown(chain, block, address, rest)]


def _unknown(chain: str, block: Block, address: str, wei: int) -> Transfer:
    return Transfer(
        chain=chain,
        tx_hash=unknown_hash(block.number, address),
        log_index=TOP_LEVEL,
        block_number=block.number,
        block_hash=block.hash,
        contract="",
        from_address=NOBODY,
        to_address=address,
        amount_units=wei,
    )


def _to(transfers: Sequence[Transfer], address: str) -> int:
    return sum(t.amount_units for t in transfers if t.to_address == address)
