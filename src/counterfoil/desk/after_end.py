"""Money that is left where an invoice has ended, found among all that was ever received.

Where some is left is kept with every change of an invoice that has ended. What is kept says only
where to look and what comes first; how much is left is read anew from the invoice.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Final
from uuid import UUID

from counterfoil.books import after_end, invoices, moves
from counterfoil.books.invoices import Changed
from counterfoil.books.moves import OUTGOING, MovePurpose, MoveRow
from counterfoil.core.assets import known_asset
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.leftover import Moved, left_over, stays_in_pool, worth_dollars
from counterfoil.core.money import Money
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk

__all__ = [
    "Difference",
    "MoveRow",
    "Page",
    "count",
    "differences",
    "keep",
    "left_at",
    "page",
    "put_right",
    "weigh_some",
]

_AT_ONCE: Final = 500
_ENDS: Final = [status.value for status in Status if status.is_end]


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the invoices at which money is left, the most first, and at how many it is."""

    invoices: tuple[tuple[Invoice, tuple[Money, ...]], ...]
    total: int


@dataclass(frozen=True, slots=True)
class Difference:
    """An invoice of which something else is kept than its transfers and the ledger say."""

    org_id: int
    invoice_id: UUID
    left: tuple[Money, ...]
    finding: str
    """What is wrong with what is kept, in words that follow the invoice's id."""


def left_at(invoice: Invoice, moved: Iterable[MoveRow]) -> tuple[Money, ...]:
    """What is left at an invoice for a signer to send back; ``moved`` are all its movements."""
    return left_over(invoice, _moved(moved))


async def page(desk: Desk, by: Actor, *, number: int, size: int) -> Page:
    """The ``number``-th page (from 1) of invoices at which money is left."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        total = await after_end.count(tx, by.org_id)
        ids = await after_end.page(tx, by.org_id, limit=size, offset=(number - 1) * size)
        held = {one.invoice_id: one for one in await invoices.of_ids(tx, by.org_id, ids)}
        left = await _left(tx, by.org_id, list(held.values()))
    return Page(tuple((held[one], left[one]) for one in ids if left.get(one)), total)


async def count(desk: Desk, by: Actor) -> int:
    """At how many invoices of the actor's organisation money is left."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        return await after_end.count(tx, by.org_id)


async def keep(tx: Tx, changed: Sequence[Changed]) -> None:
    """Keep what is left at invoices that changed, all of which the caller holds locked.

    One that has never ended has no row, so most cost nothing.
    """
    ended = [one for one in changed if one.before.status.is_end or one.after.status.is_end]
    of_org: defaultdict[int, list[Changed]] = defaultdict(list)
    for one in ended:
        of_org[one.after.org_id].append(one)
    for org_id, own in of_org.items():
        left = await _left(tx, org_id, [one.after for one in own])
        worth = {
            one.after.invoice_id: worth_dollars(left[one.after.invoice_id])
            for one in own
            if one.before.status.is_end or left[one.after.invoice_id]
        }
        if worth:
            await after_end.keep(tx, org_id, worth)


async def weigh_some(desk: Desk) -> int:
    """Look at some of those that a migration found, of one organisation; answers how many."""

    async def work(tx: Tx) -> int:
        some = await after_end.unweighed(tx, _AT_ONCE)
        if not some:
            return 0
        org_id = some[0].org_id
        own = [one.invoice_id for one in some if one.org_id == org_id]
        await _weigh(tx, org_id, own)
        return len(own)

    return await desk.database.run(work)


async def differences(desk: Desk) -> list[Difference]:
    """Reckon anew what is left at every invoice that has ended or is listed, batch by batch.

    Answers each of which nothing or something else is kept.
    """
    found: list[Difference] = []
    after = (0, UUID(int=0))
    while True:
        async with desk.database.reading() as tx:
            batch = await after_end.walk(tx, ends=_ENDS, after=after, limit=_AT_ONCE)
            for org_id, own in groupby(batch, key=lambda kept: kept.org_id):
                found += await _compare(tx, org_id, list(own))
        if len(batch) < _AT_ONCE:
            return found
        after = (batch[-1].org_id, batch[-1].invoice_id)


async def put_right(desk: Desk, found: Sequence[Difference]) -> None:
    """Keep of these invoices what their transfers and the ledger say by now."""
    for org_id, own in groupby(found, key=lambda one: one.org_id):
        ids = [one.invoice_id for one in own]
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]

            async def work(tx: Tx, org_id: int = org_id, some: Sequence[UUID] = some) -> None:
                await _weigh(tx, org_id, some)

            await desk.database.run(work)


async def _weigh(tx: Tx, org_id: int, invoice_ids: Sequence[UUID]) -> None:
    """Hold these invoices, and keep what is left there."""
    found = await invoices.lock_all(tx, org_id, invoice_ids)
    left = await _left(tx, org_id, found)
    worth = {invoice_id: worth_dollars(left.get(invoice_id, ())) for invoice_id in invoice_ids}
    await after_end.keep(tx, org_id, worth)


async def _compare(tx: Tx, org_id: int, kept: Sequence[after_end.Kept]) -> list[Difference]:
    found = await invoices.of_ids(tx, org_id, [one.invoice_id for one in kept])
    left = await _left(tx, org_id, found)
    wrong = ((one, _wrong(one, left[one.invoice_id])) for one in kept)
    return [
        Difference(org_id, one.invoice_id, left[one.invoice_id], finding)
        for one, finding in wrong
        if finding
    ]


def _wrong(kept: after_end.Kept, left: Sequence[Money]) -> str:
    """What is wrong with what is kept of an invoice, empty where nothing is."""
    there, worth = f"what is left there, {' and '.join(map(str, left))},", worth_dollars(left)
    if not kept.is_listed:
        return f"{there} is shown to nobody" if left else ""
    if not left:
        return "it is listed, and nothing is left there"
    if kept.worth_dollars is None:
        return f"{there} is not shown before the work process has weighed it"
    listed = Decimal(kept.worth_dollars)
    if listed != worth:
        return f"{there} is worth {worth:f} dollars, and {listed:f} are kept"
    return ""


async def _left(tx: Tx, org_id: int, found: Sequence[Invoice]) -> dict[UUID, tuple[Money, ...]]:
    """What is left at each; movements are read only where they say more than the totals."""
    asking = [i.invoice_id for i in found if stays_in_pool(i) and i.refunds]
    moved: defaultdict[UUID | None, list[MoveRow]] = defaultdict(list)
    for move in await moves.of_invoices(tx, org_id, asking) if asking else ():
        moved[move.invoice_id].append(move)
    return {i.invoice_id: left_at(i, moved[i.invoice_id]) for i in found}


_OF_REFUNDS: Final = frozenset[MovePurpose]({"sweep", "restore", "refund", "partial_refund"})


def _moved(planned: Iterable[MoveRow]) -> Iterable[Moved]:
    for move in planned:
        asset = known_asset(move.chain, move.contract)
        if move.purpose in _OF_REFUNDS and asset is not None and move.moved_units:
            inward = move.purpose not in OUTGOING
            yield Moved(UUID(hex=move.source_id), Money(move.moved_units, asset), inward)
