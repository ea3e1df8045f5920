"""Finds payments in native coin: the balance says how much came, blocks and traces say with what.

The balance is the truth. What a block's transactions and the node's traces explain of it becomes
transfers with hashes; the rest is a payment whose transaction is unknown (specs/chains.md 6.4).
Nothing is ever taken for paid that the balance does not show.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from counterfoil.chains.port import Block, Chain, ChainMoved, StateNotKept, Transfer
from counterfoil.core.assets import TOP_LEVEL
from counterfoil.desk import comparing, natives
from counterfoil.desk.desk import Desk
from counterfoil.desk.natives import NOBODY, Ended, NativeAddress, Outflow, unknown_hash

_log: Final = structlog.get_logger(worker="watch")


AT_ONCE: Final = 500
"""Addresses whose balances are asked for in one scan, five requests to a node. A scan comes with
every block, so each of ten thousand open invoices is looked at within seconds."""


AFTER_THE_END: Final = timedelta(days=1)
"""How often an invoice's address is looked at once it ended long ago."""

AFTER_THE_END_SECONDS: Final = 10
"""How much time is between two lots of such addresses, each as large as what is asked at once: two
million of them a day take half of it."""


@dataclass(frozen=True, slots=True)
class NativeRange:
    """The blocks above ``after`` up to ``end``; everything up to ``final`` is settled.

    ``settles``: it is read for good. ``since`` is the time up to which invoices were looked at
    before they are due. ``tip`` is the newest block there is.
    """

    after: int
    end: Block
    final: int
    widest: int
    settles: bool
    since: datetime
    tip: Block


@dataclass(frozen=True, slots=True)
class NativeFound:
    """What came to addresses of ours in a range, and what sweeps took out since the final block.

    ``state_kept`` False: no node keeps the state of the block that ends it, so what came to whom
    is known only as far as its transactions say it. None: there was nothing to ask.
    """

    transfers: tuple[Transfer, ...] = ()
    outflows: tuple[Outflow, ...] = ()
    state_kept: bool | None = True


class Turn:
    """Whose balance is asked for next, in one pass over a chain: everybody's, again and again."""

    def __init__(self, desk: Desk, at_once: int = AT_ONCE) -> None:
        """Begin with the newest invoice. What is kept here may be forgotten."""
        self._desk = desk
        self._at_once = at_once
        self._waiting: deque[str] = deque()

    async def next(self) -> list[str]:
        """The next addresses, at most so many at once."""
        if not self._waiting:
            self._waiting.extend(await natives.open_addresses(self._desk))
        return [self._waiting.popleft() for _ in range(min(self._at_once, len(self._waiting)))]


class SlowTurn:
    """Whose balance is asked for although their invoice ended long ago: everybody's once a day."""

    def __init__(self, desk: Desk, at_once: int = AT_ONCE) -> None:
        """Begin anew. What is kept here may be forgotten: then others are asked for twice."""
        self._desk = desk
        self._at_once = at_once
        self._last: Ended | None = None
        self._begun_at = self._due_at = desk.clock.now()

    async def next(self) -> list[str]:
        """The next addresses, at most so many at once; none while it is not time for more."""
        now = self._desk.clock.now()
        if now < self._due_at:
            return []
        if self._last is None:
            self._begun_at = now
        found = await natives.long_ended(self._desk, after=self._last, limit=self._at_once)
        if len(found) == self._at_once:
            self._last = found[-1]
            self._due_at = now + timedelta(seconds=AFTER_THE_END_SECONDS)
        else:
            self._last = None
            self._due_at = max(now, self._begun_at + AFTER_THE_END)
        return [one.address for one in found]


class NativeScan:
    """Looks at one chain's native coin on behalf of its watcher."""

    def __init__(
        self,
        desk: Desk,
        chain: Chain,
        turn: Turn,
        witness: Chain | None = None,
        slow_turn: SlowTurn | None = None,
    ) -> None:
        """Look at ``chain`` for the invoices at ``desk`` whose ``turn`` it is, the slow one too.

        With a ``witness`` only what both see is believed. What one of them sees is not lost: it is
        found in a later range, once both do.
        """
        self._desk = desk
        self._chain = chain
        self._turn = turn
        self._witness = witness
        self._slow_turn = slow_turn

    async def scan(self, blocks: NativeRange) -> NativeFound:
        """Payments in native coin to invoices that ask for it, up to the end of a range of blocks.

        Looked at are those whose turn it is and those that cannot wait. What came to one before
        the range, when it was not its turn, is found as well. Raises `ChainMoved` where a block of
        the range is not there, and whatever the chain does.
        """
        turn = await self._turn.next()
        if self._slow_turn is not None:
            turn += await self._slow_turn.next()
        if not turn:
            return NativeFound(state_kept=None)
        pressing = await natives.pressing(
            self._desk,
            self._chain.key,
            after=blocks.after,
            upto=blocks.end.number,
            due=(blocks.since, blocks.end.at),
            settles=blocks.settles,
        )
        watched = await natives.watched(
            self._desk,
            self._chain.key,
            {*turn, *pressing},
            after=blocks.after,
            final=blocks.final,
            settles=blocks.settles,
        )
        sweeps = await self._sweeps(blocks)
        known = {one.address: one.known_wei for one in watched}
        try:
            there = await self._agreed(blocks.end, known, sweeps)
        except StateNotKept:
            plain = await self._in_bodies(blocks)
            return NativeFound(tuple(plain), tuple(sweeps), state_kept=False)
        found: list[Transfer] = []
        for after, some in await self._starts(blocks, watched, there, sweeps):
            for block, grown in await self._growth(
                after, known, blocks.end, {a: there[a] for a in some}, sweeps
            ):
                found += await self._explained(block, grown)
        return NativeFound(tuple(found), tuple(sweeps))

    async def _in_bodies(self, blocks: NativeRange) -> list[Transfer]:
        """What transactions of the range themselves paid to invoices that are due by now.

        Read where no node keeps the balances of that time, so that who paid before the deadline is
        found before it and not after. Only of those that have more now than came before, and no
        more than that.
        """
        due = await comparing.due_addresses(
            self._desk, self._chain.key, after=blocks.since, upto=blocks.tip.at, contract=""
        )
        before = await natives.watched(
            self._desk,
            self._chain.key,
            [one.address for one in due],
            after=blocks.after,
            final=blocks.tip.number,
            settles=False,
        )
        known = {one.address: one.known_wei for one in before}
        there = await self._agreed(blocks.tip, known, ()) if known else {}
        more = {a: wei - known[a] for a, wei in there.items() if wei > known[a]}
        if not more:
            return []
        found: list[Transfer] = []
        wanted = range(blocks.after + 1, blocks.end.number + 1)
        for number, block in (await self._chain.headers(wanted, below=blocks.end)).items():
            if block is None:
                msg = f"{self._chain.key}: block {number} is gone"
                raise ChainMoved(msg)
            found += await self._chain.native_payments(block, list(more))
        return [one for one in found if _to(found, one.to_address) <= more[one.to_address]]

    async def _starts(
        self,
        blocks: NativeRange,
        watched: Sequence[NativeAddress],
        there: Mapping[str, int],
        sweeps: Sequence[Outflow],
    ) -> list[tuple[int, list[str]]]:
        """Above which block each address that gained did so: of most it is this range.

        Others gained before, when it was not their turn: they are searched for in ever longer
        steps, down to where coin was last taken from them. While some is being taken this cannot be
        told by balances, nor where no node keeps them; what came there counts as having come where
        the search ended.
        """
        known = {one.address: one.known_wei for one in watched}
        fixed = {one.address for one in watched if not one.being_swept}
        swept_in = {one.address: one.swept_in or 0 for one in watched}
        rest = [address for address, wei in there.items() if wei > known[address]]
        found: list[tuple[int, list[str]]] = []
        answered = after = blocks.after
        step = blocks.widest
        while rest:
            block = (await self._chain.headers([after], below=blocks.end))[after]
            held = None if block is None else await self._told(block, rest, sweeps)
            if held is None:
                return [*found, (answered, rest)]
            answered = after
            done = [a for a in rest if held[a] <= known[a] or a not in fixed or not after]
            found += [(after, done)] if done else []
            rest = [address for address in rest if address not in done]
            after, step = max(after - step, 0), step * 2
            for address in [a for a in rest if swept_in[a] > after]:
                found.append((min(swept_in[address], answered), [address]))
                rest.remove(address)
        return found

    async def _told(
        self, block: Block, addresses: Collection[str], sweeps: Sequence[Outflow]
    ) -> dict[str, int] | None:
        """What had come to each address by the end of a block; None where no node keeps it."""
        try:
            return await self._gross(self._chain, block, addresses, sweeps)
        except StateNotKept:
            return None

    async def _sweeps(self, blocks: NativeRange) -> list[Outflow]:
        """What left since the final block; nobody but our factories can take anything away."""
        factories = await natives.sweeping_factories(self._desk, self._chain.key)
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
                for swept in await self._chain.native_sweeps(start, upto, factories, end=blocks.end)
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
        half = (after + end.number) // 2
        middle = (await self._chain.headers([half], below=end))[half]
        if middle is None:
            msg = f"{self._chain.key}: a block below {end.number} is gone"
            raise ChainMoved(msg)
        gross = await self._told(middle, grown, sweeps)
        if gross is None:
            return [(end, grown)]
        # What came never falls and never outgrows what is there in the end, whatever a node says.
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
