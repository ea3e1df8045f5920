"""Telling invoices what the chain says: one transaction for each handful of invoices.

What is on record for a scanned range and was not found is dropped, what was found is written, and
every invoice concerned hears its new totals. The cursor moves last, so a crash anywhere only means
that the same scan is recorded again, which changes nothing more (specs/chains.md 6.2). An invoice
that cannot be told holds up nobody: its transfers are written like others, and it is told later.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from counterfoil.books import cursors, doubts, natives, transfers
from counterfoil.books.cursors import Anchor, CursorRow, Mark
from counterfoil.books.natives import Outflow
from counterfoil.books.transfers import BlockRef, Key, TransferRow
from counterfoil.core.assets import CHAINS
from counterfoil.core.reckoning import Depth
from counterfoil.core.values import replace
from counterfoil.db.pool import Tx
from counterfoil.db.rows import together
from counterfoil.desk.applying import ALONE, Finish, Lease, LeaseLost, Recorded, Relay, apply
from counterfoil.desk.desk import Desk
from counterfoil.desk.foreseeing import Told
from counterfoil.desk.scan import (
    OnRecord,
    Scan,
    Sighting,
    changes,
    deepened,
    in_doubt,
    kept_aside,
    told_coin,
)
from counterfoil.desk.telling import Untold

__all__ = [
    "Anchor",
    "BlockRef",
    "ChainPosition",
    "Lease",
    "LeaseLost",
    "Mark",
    "NeverWatched",
    "Position",
    "Recorded",
    "Relay",
    "Sighting",
    "Told",
    "TransferRow",
    "Untold",
]


class NeverWatched(LookupError):  # noqa: N818 - says what is the case, as core/errors.py does
    """The chain has no cursor yet; it has to be started somewhere."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a chain was read: provisionally, to its ``safe`` height, and for good."""

    head: Mark
    safe_number: int
    final: Mark
    halted: bool = False
    """It stands still because a node contradicted what was final."""
    lacking: str | None = None
    """What none of its nodes tells, while that keeps something from being done."""


@dataclass(frozen=True, slots=True)
class ChainPosition:
    """A chain's position for operators. Ages are seconds since the block's own time.

    ``watched`` is False while nobody holds the chain's lease. ``halted_reason`` says why it
    stands still, if it does, and ``lacking`` what none of its nodes tells.
    """

    chain: str
    head_number: int
    head_age_seconds: float
    safe_number: int
    final_number: int
    final_age_seconds: float
    watched: bool
    halted_reason: str | None = None
    lacking: str | None = None


async def start(desk: Desk, chain: str, mark: Mark) -> bool:
    """Begin to watch a chain after ``mark``; False where another began before."""
    return await desk.database.run(lambda tx: cursors.insert(tx, chain, mark, desk.clock.now()))


async def take(desk: Desk, lease: Lease, seconds: float) -> Position | None:
    """Take or keep the right to watch; None while another watcher has it.

    The lease is written only when half of it is used up, so that a quiet chain costs no writes.
    Raises `NeverWatched`.
    """
    now = desk.clock.now()
    async with desk.database.transaction() as tx:
        row = await _cursor(tx, lease.chain)
        if not _lasts(row, lease, desk, seconds / 2):
            until = now + timedelta(seconds=seconds)
            if not await cursors.lease(tx, lease.chain, lease.token, now, until):
                return None
            # Read again: the one who had the lease may have moved the cursor in between.
            row = await _cursor(tx, lease.chain)
    return _position(row)


async def give_back(desk: Desk, lease: Lease) -> None:
    """End the lease, so that another watcher need not wait for it to run out."""
    await desk.database.run(lambda tx: cursors.release(tx, lease.chain, lease.token))


async def positions(desk: Desk) -> list[ChainPosition]:
    """Where every watched chain stands."""
    now = desk.clock.now()
    async with desk.database.looking() as tx:
        rows = await cursors.every(tx)
    return [
        ChainPosition(
            chain=row.chain,
            head_number=row.head_number,
            head_age_seconds=(now - row.head_at).total_seconds(),
            safe_number=row.safe_number,
            final_number=row.final_number,
            final_age_seconds=(now - row.final_at).total_seconds(),
            watched=row.lease_until is not None and row.lease_until > now,
            halted_reason=row.halted_reason,
            lacking=row.lacking,
        )
        for row in rows
    ]


async def anchors(desk: Desk, chain: str) -> list[Anchor]:
    """The blocks above the final cursor at which ranges ended, lowest first."""
    async with desk.database.looking() as tx:
        return await cursors.anchors(tx, chain)


async def unsettled(desk: Desk, chain: str, after: int, upto: int) -> list[TransferRow]:
    """Transfers on record in a range that are not final yet."""
    async with desk.database.looking() as tx:
        return await transfers.unsettled(tx, chain, after, upto)


async def seen_blocks(desk: Desk, chain: str, upto: int) -> list[BlockRef]:
    """The blocks up to and with ``upto`` whose transfers are merely seen."""
    async with desk.database.looking() as tx:
        return await transfers.seen_blocks(tx, chain, upto)


async def record_seen(  # noqa: PLR0913 - a range, what was found in it, and who goes on
    desk: Desk,
    lease: Lease,
    after: int,
    upto: Mark,
    sightings: Sequence[Sighting],
    *,
    relay: Relay = ALONE,
) -> Recorded:
    """Record a provisional scan and put the head at its end. Raises `LeaseLost`."""
    scan = Scan(lease.chain, after, upto.number, Depth.SEEN, tuple(sightings))

    async def finish(tx: Tx) -> None:
        await cursors.move_head(tx, lease.chain, after, upto, desk.clock.now())

    return await _record(desk, lease, scan, finish, relay)


async def record_final(  # noqa: PLR0913 - a range, what was found in it, and what was vouched for
    desk: Desk,
    lease: Lease,
    after: int,
    upto: Mark,
    sightings: Sequence[Sighting],
    *,
    vouched: Collection[Key] = (),
    outflows: Sequence[Outflow] = (),
    doubted: Mapping[Key, str] | None = None,
    tells_coin: bool = False,
    relay: Relay = ALONE,
) -> Recorded:
    """Record a scan of finalized blocks, which alone settles, and move the final cursor.

    Money that becomes final is booked from the payer to the deposit. ``outflows`` are what native
    coin is compared with in later ranges. What is ``doubted``, each with the reason, is written
    down and stays short of final. With ``tells_coin`` native coin on record that is not final and
    not among ``sightings`` is gone, of whatever block. Raises `LeaseLost`.
    """
    scan = Scan(
        lease.chain,
        after,
        upto.number,
        Depth.FINAL,
        tuple(sightings),
        frozenset(vouched),
        doubted or {},
        tells_coin,
    )

    async def finish(tx: Tx) -> None:
        await natives.keep_outflows(tx, outflows)
        await cursors.move_final(tx, lease.chain, upto, desk.clock.now())

    return await _record(desk, lease, scan, finish, relay)


async def record_missed(
    desk: Desk,
    lease: Lease,
    block_number: int,
    sightings: Sequence[Sighting],
    doubted: Mapping[Key, str],
) -> Recorded:
    """Record transfers of a settled block that its list had left out; no cursor moves.

    What is on record of that block stays as it is. Raises `LeaseLost`.
    """
    nothing_else = (block_number, block_number)
    scan = Scan(lease.chain, *nothing_else, Depth.FINAL, tuple(sightings), doubted=doubted)

    async def finish(_: Tx) -> None:
        """No cursor moves."""

    return await _record(desk, lease, scan, finish)


async def record_safe(
    desk: Desk,
    lease: Lease,
    safe_number: int,
    block_hashes: Collection[str],
    *,
    relay: Relay = ALONE,
) -> Recorded:
    """Deepen the transfers up to the ``safe`` height in blocks known to be canonical.

    Raises `LeaseLost`.
    """
    rows: list[TransferRow] = []
    if block_hashes:
        async with desk.database.looking() as tx:
            rows = await transfers.seen_in_blocks(tx, lease.chain, safe_number, block_hashes)

    async def finish(tx: Tx) -> None:
        await cursors.move_safe(tx, lease.chain, safe_number, desk.clock.now())

    return await apply(desk, lease, deepened(rows, Depth.SAFE), finish, relay)


async def _record(
    desk: Desk,
    lease: Lease,
    scan: Scan,
    finish: Finish,
    relay: Relay = ALONE,
) -> Recorded:
    record = await _on_record(desk, scan)
    now = desk.clock.now()
    aside = tuple(kept_aside(scan, record, now))
    waiting = in_doubt(scan, record, now)
    found = changes(scan, record, now)
    resolved = told_coin(found)

    async def finish_scan(tx: Tx) -> None:
        if resolved:
            await doubts.end(tx, scan.chain, resolved)
        await transfers.drop_quarantined(tx, scan.chain, scan.after, scan.upto)
        await transfers.quarantine(tx, aside)
        await doubts.save(tx, waiting)
        await finish(tx)

    recorded = await apply(desk, lease, found, finish_scan, relay)
    return replace(recorded, quarantined=aside, doubted=tuple(waiting))


async def _on_record(desk: Desk, scan: Scan) -> OnRecord:
    async with desk.database.reading() as tx:
        waiting = transfers.unsettled(tx, scan.chain, scan.after, scan.upto)
        if not scan.sightings:
            return OnRecord({}, frozenset(), frozenset(), await waiting)
        family = CHAINS[scan.chain].family
        hashes = {seen.tx_hash for seen in scan.sightings}
        standing, owners, own, kept = await together(
            tx,
            waiting,
            cursors.owners(tx, family, {seen.to_address for seen in scan.sightings}),
            cursors.own_addresses(tx, family, {seen.from_address for seen in scan.sightings}),
            transfers.quarantined(tx, scan.chain, hashes),
        )
        rows = await transfers.of_transactions(tx, scan.chain, {o.org_id for o in owners}, hashes)
        known = {(row.org_id, row.key) for row in standing}
    return OnRecord(
        owners={owner.address: owner for owner in owners},
        own_addresses=frozenset((one.org_id, one.address) for one in own),
        quarantined=frozenset((one.key, one.address) for one in kept),
        transfers=[*standing, *(row for row in rows if (row.org_id, row.key) not in known)],
    )


async def _cursor(tx: Tx, chain: str) -> CursorRow:
    row = await cursors.get(tx, chain)
    if row is None:
        raise NeverWatched(chain)
    return row


def _lasts(row: CursorRow, lease: Lease, desk: Desk, seconds: float) -> bool:
    """Whether the lease is ours for so many seconds more."""
    if row.lease_token != lease.token or row.lease_until is None:
        return False
    return row.lease_until - desk.clock.now() > timedelta(seconds=seconds)


def _position(row: CursorRow) -> Position:
    return Position(
        head=row.head,
        safe_number=row.safe_number,
        final=row.final,
        halted=row.halted_reason is not None,
        lacking=row.lacking,
    )
