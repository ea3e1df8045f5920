"""Closing the time for paying, but never before the watcher has seen all of it.

A deadline that passes while a chain is unwatched or lags expires nothing: a payment made in time
may stand in a block that nobody has read yet (specs/reliability.md 1.5, invariant I21).
"""

from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Final

from counterfoil.books import cursors, invoices
from counterfoil.books.cursors import Overdue
from counterfoil.core.events import DeadlinePassed, Fact, GraceOver
from counterfoil.core.invoice import Invoice
from counterfoil.core.roles import system
from counterfoil.db.pool import Tx
from counterfoil.desk.act import happen
from counterfoil.desk.desk import Desk

ACTOR: Final = "expire"

BATCH: Final = 50


async def expire_overdue(
    desk: Desk, chains: Collection[str], *, grace_seconds: float, limit: int = BATCH
) -> int:
    """Expire invoices unpaid at their deadline; answers how many.

    Only those whose every chain is among ``chains``, the watched ones, and has its head
    ``grace_seconds`` past the deadline by block time.
    """
    before = desk.clock.now() - timedelta(seconds=grace_seconds)
    return await _tell_each(
        desk,
        lambda tx: cursors.past_deadline(tx, chains, before, grace_seconds, limit),
        DeadlinePassed,
    )


async def close_expired(desk: Desk, chains: Collection[str], *, limit: int = BATCH) -> int:
    """End invoices that stayed unpaid for their policy's days of grace; answers how many.

    Each chain's finalized block must be past that, since after this end no payment reopens one.
    """
    return await _tell_each(
        desk,
        lambda tx: cursors.past_grace(tx, chains, desk.clock.now(), limit),
        GraceOver,
    )


async def _tell_each(
    desk: Desk, find: Callable[[Tx], Awaitable[list[Overdue]]], kind: type[Fact]
) -> int:
    async def work(tx: Tx) -> int:
        ended = 0
        for one in await find(tx):
            before = await invoices.lock(tx, one.org_id, one.invoice_id)
            assert before is not None, "its row is locked"  # noqa: S101 - tells mypy
            after = await _tell(desk, tx, before, kind)
            ended += after.status is not before.status
        return ended

    return await desk.database.run(work)


async def _tell(desk: Desk, tx: Tx, invoice: Invoice, kind: type[Fact]) -> Invoice:
    by = system(ACTOR, invoice.org_id)
    return await happen(desk, tx, invoice, kind(at=desk.clock.now(), by=by.uid), by)
