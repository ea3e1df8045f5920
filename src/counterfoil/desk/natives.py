"""Which addresses are looked at for native coin, and what our records say about them."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from counterfoil.books import natives
from counterfoil.books.natives import Ended, NativeAddress, Outflow
from counterfoil.books.transfers import NOBODY, unknown_hash
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Status
from counterfoil.desk.desk import Desk

__all__ = ["NOBODY", "Ended", "NativeAddress", "Outflow", "unknown_hash"]

TAIL: Final = timedelta(days=90)
"""How long after its end an invoice's address is still looked at in its turn; from then on it is
in `long_ended` (specs/chains.md 6.2 item 5)."""

_BEFORE_ALL: Final = -1
_ENDED: Final = tuple(status.value for status in Status if status.is_end)


async def open_addresses(desk: Desk) -> list[str]:
    """The addresses of invoices that ask for native coin, wherever they ask for it."""
    async with desk.database.looking() as tx:
        return await natives.open_addresses(tx, ended=_ENDED, since=desk.clock.now() - TAIL)


async def long_ended(desk: Desk, *, after: Ended | None, limit: int) -> list[Ended]:
    """Invoices that asked for native coin and ended long ago, so many of them from one on."""
    async with desk.database.looking() as tx:
        return await natives.long_ended(
            tx, ended=_ENDED, before=desk.clock.now() - TAIL, after=after, limit=limit
        )


async def pressing(  # noqa: PLR0913 - a chain, a range of blocks and the time since the last
    desk: Desk, chain: str, *, after: int, upto: int, due: tuple[datetime, datetime], settles: bool
) -> list[str]:
    """The addresses that a scan of a range must not leave out.

    Those with coin that is not final: of the range where it is read provisionally, of all blocks
    before as well where it settles. And those of invoices due between the two times.
    """
    async with desk.database.looking() as tx:
        return await natives.pressing(
            tx,
            chain,
            above=_BEFORE_ALL if settles else after,
            upto=upto,
            due_after=due[0],
            due_upto=due[1],
        )


async def sweeping_factories(desk: Desk, chain: str) -> list[str]:
    """The factories whose sweeps of native coin may stand in blocks that are not settled here."""
    async with desk.database.looking() as tx:
        return await natives.sweeping_factories(tx, chain)


async def watched(  # noqa: PLR0913 - whose addresses on which chain, and what counts
    desk: Desk, chain: str, addresses: Collection[str], *, after: int, final: int, settles: bool
) -> list[NativeAddress]:
    """What is known of these addresses.

    What was received up to block ``after``, less what left up to the final block; where the scan
    ``settles`` only what is final counts, so that all else is found again.
    """
    async with desk.database.looking() as tx:
        return await natives.watched(
            tx,
            chain,
            CHAINS[chain].family,
            list(addresses),
            received_upto=after,
            left_upto=final,
            final_only=settles,
        )
