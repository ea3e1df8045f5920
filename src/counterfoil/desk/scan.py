"""What a scan of a range of blocks means for the transfers on record: values in, values out."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from counterfoil.books.cursors import Owner
from counterfoil.books.doubts import Doubt
from counterfoil.books.transfers import Key, Quarantined, TransferRow, asset_of
from counterfoil.core.events import MoneyFact, TransferConfirmed, TransferDropped, TransferSeen
from counterfoil.core.journal import DEPOSITED, JournalEntry, Posting
from counterfoil.core.money import Money
from counterfoil.core.reckoning import Depth
from counterfoil.core.tally import Tally
from counterfoil.core.values import replace


@dataclass(frozen=True, slots=True)
class Sighting:
    """A transfer to an address of ours, as the chain tells it. ``block_at`` is its block's time."""

    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    block_at: datetime
    contract: str
    from_address: str
    to_address: str
    amount_units: int

    @property
    def key(self) -> Key:
        """The credit key within the chain."""
        return self.tx_hash, self.log_index


@dataclass(frozen=True, slots=True)
class Scan:
    """All that was found in the blocks above ``after`` up to and with ``upto``.

    ``depth`` is how settled that range is. ``vouched`` are transfers on record which the query
    left out but whose own receipts say that they stand. ``doubted`` are those that too few nodes
    vouch for, each with the reason. ``tells_coin``: what it has of native coin is all that there
    is, of earlier blocks as well.
    """

    chain: str
    after: int
    upto: int
    depth: Depth
    sightings: tuple[Sighting, ...]
    vouched: frozenset[Key] = frozenset()
    doubted: Mapping[Key, str] = field(default_factory=dict)
    tells_coin: bool = False

    def depth_of(self, key: Key) -> Depth:
        """How settled a transfer of this range is; never final while it is doubted."""
        return min(self.depth, Depth.SAFE) if key in self.doubted else self.depth


@dataclass(frozen=True, slots=True)
class OnRecord:
    """What the books know about a scan: whose addresses these are, and what was written before.

    ``transfers`` are the rows of the scan's transactions, and those in its range that are not
    final. ``quarantined`` are credit keys with the address they were paid to.
    """

    owners: Mapping[str, Owner]
    own_addresses: frozenset[tuple[int, str]]
    quarantined: frozenset[tuple[Key, str]]
    transfers: Sequence[TransferRow]


@dataclass(frozen=True, slots=True)
class Change:
    """A transfer's row as it was, None where there was none, and as it must be."""

    before: TransferRow | None
    after: TransferRow

    @property
    def invoices(self) -> frozenset[tuple[int, UUID]]:
        """The invoices that hear of it: two, when a reorg turned it into another payment."""
        rows = (self.after,) if self.before is None else (self.before, self.after)
        return frozenset((row.org_id, row.invoice_id) for row in rows)

    @property
    def settles(self) -> bool:
        """Whether it becomes final, and so enters the ledger."""
        was = Depth.ORPHANED if self.before is None else self.before.depth
        return was is not Depth.FINAL and self.after.depth is Depth.FINAL


def changes(scan: Scan, record: OnRecord, now: datetime) -> list[Change]:
    """What the scan changes among the transfers that belong to invoices."""
    known = {(row.org_id, *row.key): row for row in record.transfers}
    first_seen = _first_seen(record.transfers)
    found = {
        (row.org_id, *row.key): row
        for sighting in scan.sightings
        if (row := _credited(scan, record, sighting, now)) is not None
    }
    written = [
        Change(known.get(key), _merged(known.get(key), row, first_seen))
        for key, row in found.items()
    ]
    gone = [
        Change(row, replace(row, depth=_unlisted_depth(scan, row)))
        for key, row in known.items()
        if key not in found and row.depth in _PROVISIONAL and _within(scan, row)
    ]
    return [change for change in (*written, *gone) if change.before != change.after]


def in_doubt(scan: Scan, record: OnRecord, now: datetime) -> list[Doubt]:
    """What must wait for nodes to agree, of all that belongs to invoices and is not final yet."""
    known = {(row.org_id, *row.key): row for row in record.transfers}
    found = [_credited(scan, record, seen, now) for seen in scan.sightings]
    rows = {(row.org_id, *row.key): row for row in found if row is not None}
    rows |= {key: row for key, row in known.items() if row.key in scan.vouched}
    return [
        doubt(row, scan.doubted[row.key], now)
        for key, row in rows.items()
        if row.key in scan.doubted and not (key in known and known[key].depth is Depth.FINAL)
    ]


def told_coin(found: Iterable[Change]) -> list[Key]:
    """Native coin that is settled or gone now, which may have been doubted for want of balances."""
    return [
        change.after.key
        for change in found
        if not change.after.contract and change.after.depth not in _PROVISIONAL
    ]


def doubt(row: TransferRow, reason: str, now: datetime) -> Doubt:
    """Why a transfer on record is not final."""
    return Doubt(
        chain=row.chain,
        tx_hash=row.tx_hash,
        log_index=row.log_index,
        org_id=row.org_id,
        invoice_id=row.invoice_id,
        contract=row.contract,
        amount_units=row.amount_units,
        block_number=row.block_number,
        reason=reason,
        since=now,
    )


def kept_aside(scan: Scan, record: OnRecord, now: datetime) -> list[Quarantined]:
    """Found transfers that reached an address of ours but can belong to no invoice."""
    return [
        Quarantined(
            org_id=owner.org_id,
            chain=scan.chain,
            tx_hash=seen.tx_hash,
            log_index=seen.log_index,
            number=owner.number,
            address=seen.to_address,
            reason=reason,
            contract=seen.contract,
            from_address=seen.from_address,
            amount_units=seen.amount_units,
            block_number=seen.block_number,
            block_hash=seen.block_hash,
            block_at=seen.block_at,
            first_seen_at=now,
            depth=scan.depth,
        )
        for seen in scan.sightings
        if (owner := record.owners.get(seen.to_address)) is not None
        and (reason := _why_not(record, owner, seen)) is not None
    ]


def deepened(rows: Iterable[TransferRow], depth: Depth) -> list[Change]:
    """These transfers, known to stand where they were seen, at a greater depth."""
    return [Change(row, replace(row, depth=depth)) for row in rows if row.depth < depth]


def entry(row: TransferRow, at: datetime) -> JournalEntry:
    """What the ledger keeps of a transfer that is final: from the payer to the deposit."""
    money = Money(row.amount_units, asset_of(row))
    return JournalEntry(
        cause=f"transfer:{row.chain}:{row.tx_hash}:{row.log_index}",
        invoice_id=row.invoice_id,
        postings=(Posting("outside:payer", DEPOSITED[row.deposit_mode], money),),
        at=at,
        block_number=row.block_number,
    )


UNTOLD: Final = Tally(payers=("",))
"""What an invoice knows that missed being told: it equals no true tally, so all is news to it."""


def batches(found: Collection[Change], size: int) -> list[list[Change]]:
    """Changes of at most ``size`` invoices each, in the order in which invoices are locked.

    A transfer that a reorg turned from one invoice's into another's is one change: both hear of
    it in the same transaction.
    """
    by_invoice: dict[tuple[int, UUID], list[Change]] = defaultdict(list)
    for change in found:
        by_invoice[min(change.invoices)].append(change)
    groups = [by_invoice[invoice] for invoice in sorted(by_invoice)]
    return [
        [change for group in groups[start : start + size] for change in group]
        for start in range(0, len(groups), size)
    ]


def fact(before: Tally, after: Tally, at: datetime, by: str) -> MoneyFact | None:
    """Name what happened between two tallies; None where nothing did.

    All three facts carry the same totals and lead through the same rules; the name says what
    is most worth knowing: money that is gone, money that is deeper, money that is there.
    """
    if after == before:
        return None
    if not after.money:
        return TransferDropped(at=at, by=by, tally=after)
    seen = _by_asset(after, "seen_units")
    confirmed, final = _by_asset(after, "confirmed_units"), _by_asset(after, "final_units")
    if any(seen.get(key, 0) < units for key, units in _by_asset(before, "seen_units").items()):
        return TransferDropped(at=at, by=by, tally=after)
    was_confirmed = _by_asset(before, "confirmed_units")
    was_final = _by_asset(before, "final_units")
    deeper = any(
        confirmed[key] > was_confirmed.get(key, 0) or final[key] > was_final.get(key, 0)
        for key in confirmed
    )
    kind = TransferConfirmed if deeper else TransferSeen
    return kind(at=at, by=by, tally=after)


CLOCKS_APART: Final = timedelta(seconds=30)
"""How far a block's time may lie behind ours when an honest customer pays a new invoice at once.

Block times are whole seconds, stand still while a sequencer catches up, and come from other clocks.
"""

_PROVISIONAL = (Depth.SEEN, Depth.SAFE)

_Reason = Literal["unassigned", "own_address"]


def _why_not(record: OnRecord, owner: Owner, seen: Sighting) -> _Reason | None:
    """Why a transfer to ``owner`` is credited to nobody; None when it is a payment.

    Being given an address does not make what was paid to it before the later customer's. What
    was once kept aside for that stays so; what a watcher that lags finds only then is told by the
    block's time.
    """
    if (owner.org_id, seen.from_address) in record.own_addresses:
        return "own_address"
    if owner.given_at is None or (seen.key, seen.to_address) in record.quarantined:
        return "unassigned"
    return "unassigned" if seen.block_at < owner.given_at - CLOCKS_APART else None


def _credited(scan: Scan, record: OnRecord, seen: Sighting, now: datetime) -> TransferRow | None:
    owner = record.owners.get(seen.to_address)
    if owner is None or owner.invoice_id is None or _why_not(record, owner, seen) is not None:
        return None
    return TransferRow(
        org_id=owner.org_id,
        chain=scan.chain,
        tx_hash=seen.tx_hash,
        log_index=seen.log_index,
        invoice_id=owner.invoice_id,
        contract=seen.contract,
        from_address=seen.from_address,
        amount_units=seen.amount_units,
        block_number=seen.block_number,
        block_hash=seen.block_hash,
        block_at=seen.block_at,
        first_seen_at=now,
        depth=scan.depth_of(seen.key),
        deposit_mode=owner.deposit_mode,
    )


def _merged(
    known: TransferRow | None, fresh: TransferRow, first_seen: Mapping[tuple[int, str], datetime]
) -> TransferRow:
    """The row after the scan: final ones stay, a new block starts a new depth."""
    if known is not None and known.depth is Depth.FINAL:
        return known
    since = first_seen.get((fresh.org_id, fresh.tx_hash), fresh.first_seen_at)
    stayed = known is not None and known.block_hash == fresh.block_hash
    depth = max(known.depth, fresh.depth) if known is not None and stayed else fresh.depth
    return replace(fresh, first_seen_at=min(since, fresh.first_seen_at), depth=depth)


def _first_seen(rows: Iterable[TransferRow]) -> dict[tuple[int, str], datetime]:
    """When each transaction was first seen: a reorg may give its transfers other log indexes."""
    earliest: dict[tuple[int, str], datetime] = {}
    for row in rows:
        key = (row.org_id, row.tx_hash)
        earliest[key] = min(earliest.get(key, row.first_seen_at), row.first_seen_at)
    return earliest


def _unlisted_depth(scan: Scan, row: TransferRow) -> Depth:
    return scan.depth_of(row.key) if row.key in scan.vouched else Depth.ORPHANED


def _within(scan: Scan, row: TransferRow) -> bool:
    above = scan.after < row.block_number or (scan.tells_coin and not row.contract)
    return above and row.block_number <= scan.upto


def _by_asset(
    tally: Tally, units: Literal["seen_units", "confirmed_units", "final_units"]
) -> dict[str, int]:
    return {a.asset.key: getattr(a, units) for a in tally.everything}
