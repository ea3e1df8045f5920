"""Whether deposit addresses hold what the books say, asked before anything is swept."""

from collections.abc import Mapping
from uuid import UUID

from counterfoil.chains.port import Chain, StateNotKept
from counterfoil.core.reckoning import Depth
from counterfoil.desk.desk import Desk
from counterfoil.desk.expected import Expected, expected_balances
from counterfoil.desk.moving import Batch


class NotWatched(Exception):  # noqa: N818 - says what happened, as core/errors.py does
    """The watcher has not begun on this chain, so no balance can be compared."""


class NotComparable(Exception):  # noqa: N818 - says what is the case, as core/errors.py does
    """Some deposit addresses cannot be compared with the books just now."""

    def __init__(self, reason: str, move_ids: frozenset[UUID]) -> None:
        """Keep the sentence, and whose addresses these are."""
        super().__init__(reason)
        self.move_ids = move_ids


async def balance_differences(desk: Desk, chain: Chain, batch: Batch) -> dict[UUID, str]:
    """What the chain says about a sweep's deposit addresses against our books, per movement.

    Empty when both agree (specs/chains.md 6.2 item 3). Where no node keeps the state of the last
    block in the books, that of the last one read must be what was seen by then: what no list tells
    of may not be swept along. Raises `NotWatched` and `NotComparable`, that also where a second
    node says what the books say: a difference parks a sweep until a person looks.
    """
    expected = await expected_balances(desk, batch)
    if expected is None:
        msg = f"{chain.key} is not watched yet"
        raise NotWatched(msg)
    addresses = list(expected.units)
    try:
        found = await chain.token_balances(expected.contract, addresses, expected.block_hash)
    except StateNotKept:
        await _must_agree_where_read(desk, chain, batch, expected)
        return {}
    on_chain = dict(zip(addresses, found, strict=True))
    await _must_be_said_twice(chain, batch, expected, on_chain)
    return {
        item.move.move_id: (
            f"{item.deposit_address} holds {on_chain[address]} base units of {expected.contract}"
            f" at block {expected.at_block}, the books say {expected.units[address]}"
        )
        for item in batch.items
        if (address := item.deposit_address) is not None
        and on_chain[address] != expected.units[address]
    }


async def _must_be_said_twice(
    chain: Chain, batch: Batch, expected: Expected, on_chain: Mapping[str, int]
) -> None:
    """Raise `NotComparable` for differences that only one of two nodes shows."""
    odd = sorted(a for a, held in on_chain.items() if held != expected.units[a])
    if not odd:
        return
    try:
        again = await chain.second_view.token_balances(expected.contract, odd, expected.block_hash)
    except StateNotKept:
        return
    fits = {a for a, held in zip(odd, again, strict=True) if held == expected.units[a]}
    unsure = frozenset(i.move.move_id for i in batch.items if i.deposit_address in fits)
    if unsure:
        msg = (
            f"nodes do not agree on what is there at block {expected.at_block}: one says what"
            " the books say, another does not; it goes on once they agree"
        )
        raise NotComparable(msg, unsure)


async def _must_agree_where_read(desk: Desk, chain: Chain, batch: Batch, booked: Expected) -> None:
    """Raise `NotComparable` unless all that is there after the last block read has been seen.

    What was seen counts, whatever its depth: else anybody could hold a sweep up for ever with a
    unit now and then. It is booked before the sweep is (`counterfoil.desk.landing`).
    """
    seen = await expected_balances(desk, batch, Depth.SEEN)
    assert seen is not None, "it was watched a moment ago"  # noqa: S101 - tells mypy
    addresses = list(seen.units)
    found = await chain.token_balances(seen.contract, addresses, seen.block_hash)
    unlike = {a for a, held in zip(addresses, found, strict=True) if held != seen.units[a]}
    odd = frozenset(i.move.move_id for i in batch.items if i.deposit_address in unlike)
    if odd:
        msg = (
            f"no node that answers keeps the balances of block {booked.at_block}, and those of"
            f" block {seen.at_block} are not what was seen; it goes on once they are the same"
        )
        raise NotComparable(msg, odd)
