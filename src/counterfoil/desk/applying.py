"""Writing down what a chain says, batch by batch, each with the invoices it concerns.

Whoever writes holds the chain's lease. What is wrong with one invoice stays with that one: its
transfers are written like all others, and it is told later.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Final
from uuid import UUID

from psycopg import OperationalError

from counterfoil.books import cursors, invoices, ledger, transfers
from counterfoil.books.doubts import Doubt
from counterfoil.books.transfers import Quarantined
from counterfoil.core.invoice import Invoice
from counterfoil.core.journal import JournalEntry
from counterfoil.db.pool import CommitUnknown, Tx
from counterfoil.db.rows import together
from counterfoil.desk import telling
from counterfoil.desk.desk import Desk
from counterfoil.desk.foreseeing import NO_LOOKS, Looks, Told
from counterfoil.desk.scan import Change, batches, entry
from counterfoil.desk.telling import Untold

INVOICES_PER_TRANSACTION: Final = 50
"""Few enough that nobody waits long for one of them, many enough that commits do not count."""


AT_ONCE: Final = 2
"""Of transactions under way: while the server works on one, the next is worked out.

Batches have no invoice in common but where a reorg turned one's payment into another's, and lock
theirs in the same order.
"""


async def quietly(_: Sequence[Told]) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Who went before, and who goes on.

    What ``looks`` found in advance is recorded with the money it is about. ``written`` is called
    after each batch, with the invoices it told and no transaction open; the next one waits for it.
    """

    looks: Looks = field(default_factory=lambda: NO_LOOKS)
    written: Callable[[Sequence[Told]], Awaitable[None]] = quietly


ALONE: Final = Relay()


class LeaseLost(Exception):  # noqa: N818 - says what happened, as core/errors.py does
    """Another watcher took the chain over; nothing of this transaction was written."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One watcher's claim on one chain; the token is its own and never given to another."""

    chain: str
    token: UUID


Finish = Callable[[Tx], Awaitable[None]]
"""What is written last of all, in the transaction that moves a cursor."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a scan changed: so many transfers of so many invoices, and what belongs to nobody.

    ``untold`` are the invoices among them that could not be told; they will be, later.
    """

    transfers: int = 0
    invoices: int = 0
    quarantined: tuple[Quarantined, ...] = ()
    doubted: tuple[Doubt, ...] = ()
    untold: tuple[Untold, ...] = ()


async def apply(
    desk: Desk,
    lease: Lease,
    found: Collection[Change],
    finish: Finish,
    relay: Relay = ALONE,
) -> Recorded:
    """Write changes batch by batch, then let ``finish`` move the cursor.

    The cursor stays only where facts could not be written down. Whoever goes on from here
    is called after each batch, as what it leaves to be done need not wait for the others.
    """
    attempt = _Attempt(desk, lease, relay)
    await attempt.write_all(batches(found, INVOICES_PER_TRANSACTION))
    if attempt.troubles:
        msg = f"{lease.chain}: some transfers could not be written down"
        raise ExceptionGroup(msg, attempt.troubles)

    async def last(tx: Tx) -> None:
        await _fence(tx, lease)
        async with tx.pipeline():  # nothing of this is read: COMMIT takes it along
            await finish(tx)

    await desk.database.run(last)
    return Recorded(
        transfers=len(found),
        invoices=len(_concerned(found)),
        untold=tuple(attempt.untold),
    )


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Writing changes, so that what is wrong with one invoice stays with that one invoice."""

    desk: Desk
    lease: Lease
    relay: Relay
    untold: list[Untold] = field(default_factory=list)
    troubles: list[Exception] = field(default_factory=list)

    async def write_all(self, waiting: Sequence[Sequence[Change]]) -> None:
        """Write batches, `AT_ONCE` at a time; where one cannot go on, no other is begun."""
        queue = deque(waiting)
        ends = await asyncio.gather(
            *(self._write_from(queue) for _ in range(min(AT_ONCE, len(queue)))),
            return_exceptions=True,
        )
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def _write_from(self, queue: deque[Sequence[Change]]) -> None:
        while queue:
            try:
                await self.write(queue.popleft())
            except BaseException:
                queue.clear()
                raise

    async def write(self, batch: Sequence[Change]) -> None:
        """Write a batch and tell its invoices; one by one where that fails for any of them."""
        try:
            told = await self.desk.database.run(partial(self._told, batch))
        except _NOBODYS_FAULT:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is kept to one invoice
            alone = batches(batch, 1)
            if len(alone) == 1:
                await self._without_telling(batch, error)
                return
            for one in alone:
                await self.write(one)
        else:
            await self.relay.written(told)

    async def _without_telling(self, batch: Sequence[Change], error: Exception) -> None:
        untold = [Untold(*invoice, error) for invoice in _concerned(batch)]
        try:
            await self.desk.database.run(partial(self._owed, batch, untold))
        except _NOBODYS_FAULT:
            raise
        except Exception as trouble:  # noqa: BLE001 - the cursor stays, and others' money is written
            self.troubles.append(trouble)
        else:
            self.untold.extend(untold)

    async def _told(self, batch: Sequence[Change], tx: Tx) -> list[Told]:
        _, held = await together(tx, _fence(tx, self.lease), _locked(tx, _concerned(batch)))
        async with tx.pipeline():  # what telling reads first takes it along
            await _book(self.desk, tx, batch)
        return await telling.tell(self.desk, tx, held, self.relay.looks)

    async def _owed(self, batch: Sequence[Change], untold: Sequence[Untold], tx: Tx) -> None:
        await _fence(tx, self.lease)
        for one in untold:
            await invoices.hold(tx, one.org_id, one.invoice_id)
        await _book(self.desk, tx, batch)
        for one in untold:
            await telling.owe(self.desk, tx, one)


_NOBODYS_FAULT: Final = (LeaseLost, CommitUnknown, OperationalError)
"""Not about any invoice: the whole scan is recorded again."""


def _concerned(found: Iterable[Change]) -> list[tuple[int, UUID]]:
    """The invoices that hear of changes, in the order in which they are locked."""
    return sorted({invoice for change in found for invoice in change.invoices})


async def _book(desk: Desk, tx: Tx, batch: Sequence[Change]) -> None:
    """Write transfers, and into the ledger those that become final."""
    await transfers.save(tx, [change.after for change in batch])
    entries: defaultdict[int, list[JournalEntry]] = defaultdict(list)
    for change in batch:
        if change.settles:
            entries[change.after.org_id].append(entry(change.after, desk.clock.now()))
    for org_id, of_org in sorted(entries.items()):
        await ledger.post_all(tx, org_id, of_org)


async def _fence(tx: Tx, lease: Lease) -> None:
    if not await cursors.fence(tx, lease.chain, lease.token):
        msg = f"another watcher took {lease.chain} over"
        raise LeaseLost(msg)


async def _locked(tx: Tx, concerned: Sequence[tuple[int, UUID]]) -> list[Invoice]:
    held: list[Invoice] = []
    for org_id, of_org in groupby(concerned, key=itemgetter(0)):
        held += await invoices.lock_all(tx, org_id, [invoice_id for _, invoice_id in of_org])
    return held
