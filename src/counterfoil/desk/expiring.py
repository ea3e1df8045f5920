"""Closing the time for paying, but never before the watcher has seen all of it.

A deadline that passes while a chain is unwatched or lags expires nothing: a payment made in time
may stand in a block that nobody has read yet (specs/reliability.md 1.5, invariant I21).
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from psycopg import OperationalError

from counterfoil.books import cursors, invoices
from counterfoil.books.cursors import Overdue
from counterfoil.core.events import DeadlinePassed, Fact, GraceOver
from counterfoil.core.roles import system
from counterfoil.db.pool import Tx
from counterfoil.desk.act import happen
from counterfoil.desk.desk import Desk

ACTOR: Final = "expire"

BATCH: Final = 50


@dataclass(frozen=True, slots=True)
class Untold:
    """An invoice that could not be told that its time is over, and why."""

    org_id: int
    invoice_id: UUID
    error: Exception


@dataclass(frozen=True, slots=True)
class Ended:
    """What one batch came to: so many invoices' time ``ended``."""

    ended: int
    untold: tuple[Untold, ...]


async def expire_overdue(
    desk: Desk,
    chains: Collection[str],
    *,
    grace_seconds: float,
    passing_over: Collection[UUID] = (),
    limit: int = BATCH,
) -> Ended:
    """Expire invoices unpaid at their deadline, except those to pass over.

    Only those whose every chain is among ``chains``, the watched ones, and has its head
    ``grace_seconds`` past the deadline by block time.
    """
    before = desk.clock.now() - timedelta(seconds=grace_seconds)
    return await _tell_each(
        desk,
        lambda tx: cursors.past_deadline(
            tx, chains, before, grace_seconds, passing_over=passing_over, limit=limit
        ),
        DeadlinePassed,
    )


async def close_expired(
    desk: Desk,
    chains: Collection[str],
    *,
    passing_over: Collection[UUID] = (),
    limit: int = BATCH,
) -> Ended:
    """End invoices that stayed unpaid for their policy's days of grace, as above.

    Each chain's finalized block must be past that, since after this end no payment reopens one.
    """
    now = desk.clock.now()
    return await _tell_each(
        desk,
        lambda tx: cursors.past_grace(tx, chains, now, passing_over=passing_over, limit=limit),
        GraceOver,
    )


async def _tell_each(
    desk: Desk, find: Callable[[Tx], Awaitable[list[Overdue]]], kind: type[Fact]
) -> Ended:
    async def work(tx: Tx) -> Ended:
        ended, untold = 0, []
        for one in await find(tx):
            try:
                async with tx.transaction():
                    ended += await _tell(desk, tx, one, kind)
            except OperationalError:
                raise
            except Exception as error:  # noqa: BLE001 - what is wrong with one stays with that one
                untold.append(Untold(one.org_id, one.invoice_id, error))
        return Ended(ended, tuple(untold))

    return await desk.database.run(work)


async def _tell(desk: Desk, tx: Tx, one: Overdue, kind: type[Fact]) -> bool:
    """Tell one invoice, whose row is held; whether its status changed."""
    before = await invoices.lock(tx, one.org_id, one.invoice_id)
    assert before is not None, "its row is locked"  # noqa: S101 - tells mypy
    by = system(ACTOR, before.org_id)
    after = await happen(desk, tx, before, kind(at=desk.clock.now(), by=by.uid), by)
    return after.status is not before.status
