"""Balances against the books while invoices are open: what nodes leave out of every list.

A node that lists transfers can leave one out and nobody would know; the balance knows
(specs/chains.md 6.2 item 3, decision 19).
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from counterfoil.books import unexplained
from counterfoil.books.unexplained import Compared, Unexplained
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Status
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk

__all__ = [
    "Compared",
    "Unexplained",
    "addresses",
    "due_addresses",
    "every",
    "keep",
    "known_at",
    "open_addresses",
]

TAIL: Final = timedelta(days=7)
"""How long after its end an invoice's address is still compared."""


async def open_addresses(desk: Desk, chain: str, limit: int) -> list[Compared]:
    """Whom to compare, in this order: due soonest, then newest."""
    async with desk.database.reading() as tx:
        return await unexplained.open_addresses(
            tx,
            chain,
            ended=[status.value for status in Status if status.is_end],
            since=desk.clock.now() - TAIL,
            limit=limit,
        )


async def due_addresses(
    desk: Desk, chain: str, *, after: datetime, upto: datetime
) -> list[Compared]:
    """The addresses of unpaid invoices whose time to pay ends between two times."""
    async with desk.database.reading() as tx:
        return await unexplained.due_addresses(tx, chain, after=after, upto=upto)


async def known_at(
    desk: Desk,
    chain: str,
    compared: Sequence[Compared],
    contracts: Collection[str],
    block_number: int,
) -> dict[tuple[str, str], int]:
    """What records say was there at the end of a block, by address and token, in base units."""
    async with desk.database.reading() as tx:
        found = await unexplained.known_at(tx, chain, compared, contracts, block_number)
    return {(one.address, one.contract): one.units for one in found}


async def keep(
    desk: Desk,
    chain: str,
    block_number: int,
    agreed: Collection[str],
    found: Sequence[Unexplained],
) -> None:
    """Write down what is not explained, and forget it at addresses that agree after a block."""

    async def work(tx: Tx) -> None:
        await unexplained.explain(tx, chain, agreed, block_number)
        await unexplained.save(tx, found)

    await desk.database.run(work)


async def every(desk: Desk, chain: str | None = None) -> list[Unexplained]:
    """All that is not explained, of one chain or of all, the oldest first."""
    async with desk.database.reading() as tx:
        return await unexplained.every(tx, chain)


async def addresses(desk: Desk, chain: str, wanted: Collection[str]) -> list[Compared]:
    """These addresses of invoices again, for another look."""
    async with desk.database.reading() as tx:
        return await unexplained.of_addresses(tx, CHAINS[chain].family, wanted) if wanted else []
