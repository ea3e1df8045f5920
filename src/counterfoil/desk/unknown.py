"""Notes that tokens which are not registered here came to invoices (specs/chains.md 6.5).

Anybody can make a token and send it to any address, so such a note is about nothing but itself: it
changes no invoice, and of one invoice only a few are kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from counterfoil.books import cursors, unknown
from counterfoil.books.cursors import Mark
from counterfoil.books.unexplained import Compared
from counterfoil.books.unknown import UnknownToken
from counterfoil.core.assets import CHAINS
from counterfoil.desk import comparing
from counterfoil.desk.desk import Desk

__all__ = ["Compared", "Span", "Told", "UnknownToken", "addresses", "ahead", "record"]

LOOKED_AT: Final = 2_000
"""At so many addresses they are looked for: of invoices due soonest, then the newest."""

KEPT_OF_INVOICE: Final = 5
"""So many tokens are noted of one invoice; whoever makes them without end is told of no more."""


@dataclass(frozen=True, slots=True)
class Span:
    """The final blocks of a chain above ``after`` up to ``upto``; ``final`` is the last of all."""

    after: int
    upto: int
    final: Mark


@dataclass(frozen=True, slots=True)
class Told:
    """A transfer of any contract's token, as the chain tells it."""

    contract: str
    tx_hash: str
    from_address: str
    to_address: str
    amount_units: int
    block_number: int


async def ahead(desk: Desk, chain: str, *, widest: int) -> Span | None:
    """Where to look next, at most so many blocks; None where all that is final was looked at.

    It begins at the block that is final when it is asked for the first time.
    """
    async with desk.database.transaction() as tx:
        known, after = await cursors.get(tx, chain), await unknown.looked_upto(tx, chain)
        if known is None:
            return None
        if after is None:
            await unknown.begin(tx, chain, known.final_number)
            return None
    if after >= known.final_number:
        return None
    return Span(after, min(after + widest, known.final_number), known.final)


async def addresses(desk: Desk, chain: str) -> dict[str, Compared]:
    """Where to look for them, and whose that is: open invoices, and those that ended just now."""
    some = await comparing.open_addresses(desk, chain, LOOKED_AT)
    return {one.address: one for one in some}


async def record(
    desk: Desk, chain: str, span: Span, whose: Mapping[str, Compared], found: Sequence[Told]
) -> None:
    """Note what came to these addresses in a span and is not registered; go on behind it."""
    registry = CHAINS[chain]
    known = {asset.contract for asset in (*registry.accepted, *registry.known_other)}
    now = desk.clock.now()
    notes = [
        UnknownToken(
            org_id=owner.org_id,
            invoice_id=owner.invoice_id,
            chain=chain,
            contract=one.contract,
            tx_hash=one.tx_hash,
            from_address=one.from_address,
            amount_units=one.amount_units,
            block_number=one.block_number,
            noted_at=now,
        )
        for one in found
        if one.contract not in known and (owner := whose.get(one.to_address)) is not None
    ]
    async with desk.database.transaction() as tx:
        if await unknown.move(tx, chain, span.after, span.upto):
            await unknown.note(tx, notes, at_most=KEPT_OF_INVOICE)
