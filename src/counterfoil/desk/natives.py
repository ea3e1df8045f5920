"""Which addresses are looked at for native coin, and what our records say about them."""

from datetime import timedelta
from typing import Final

from counterfoil.books import natives
from counterfoil.books.natives import NativeAddress, Outflow
from counterfoil.books.transfers import NOBODY, unknown_hash
from counterfoil.core.invoice import Status
from counterfoil.desk.desk import Desk

__all__ = ["NOBODY", "NativeAddress", "Outflow", "unknown_hash"]

TAIL: Final = timedelta(days=90)
"""How long after its end an invoice's address is still looked at with every block. What comes later
is found by ``counterfoil reconcile`` (specs/chains.md 6.2 item 5)."""


async def watched(desk: Desk, chain: str, *, after: int, final: int) -> list[NativeAddress]:
    """The addresses of invoices that ask for native coin, wherever they ask for it.

    Known is what was received up to block ``after``, less what left up to the final block.
    """
    async with desk.database.reading() as tx:
        return await natives.watched(
            tx,
            chain,
            received_upto=after,
            left_upto=final,
            ended=[status.value for status in Status if status.is_end],
            since=desk.clock.now() - TAIL,
        )
