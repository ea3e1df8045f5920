"""Proof: the audit log recomputed, and the books as they stood at a block."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from counterfoil.books import (
    addresses,
    audit,
    cursors,
    dispositions,
    invoices,
    ledger,
    lists,
    moves,
    org_log,
    orgs,
    proof,
    refunds,
    reports,
    token_codes,
)
from counterfoil.books.cursors import Mark
from counterfoil.books.dispositions import DispositionRow
from counterfoil.books.moves import EMPTYING, OUTGOING, MoveRow
from counterfoil.books.orgs import Org
from counterfoil.core import seal
from counterfoil.core.content import is_approved_content
from counterfoil.core.invoice import Invoice, Refund
from counterfoil.core.journal import DEPOSITED
from counterfoil.core.seal import Break, LogEntry, OrgBreak
from counterfoil.db.pool import Tx
from counterfoil.desk import sealing
from counterfoil.desk.desk import Desk

_BATCH = 500

Chain = Sequence[tuple[LogEntry, bytes]]
"""One invoice's log entries with their stored seals, oldest first."""


@dataclass(frozen=True, slots=True)
class Verified:
    """How much of the audit log was recomputed, and every place where it does not hold."""

    invoices: int
    entries: int
    breaks: tuple[Break, ...]
    org_entries: int = 0
    org_breaks: tuple[OrgBreak, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing is broken."""
        return not self.breaks and not self.org_breaks


@dataclass(frozen=True, slots=True)
class Place:
    """An address of ours on a chain and what the books say it holds, in base units by contract.

    ``units`` has no entry for an asset that never was there; gifts that were kept aside count.
    ``under_way``: a move from or to it is signed and not booked yet, so that the chain may be
    ahead of the books.
    """

    org_id: int
    account: str
    address: str
    units: Mapping[str, int]
    under_way: bool


async def verify_audit(desk: Desk) -> Verified:
    """Recompute every seal of every invoice, batch by batch.

    A chain must hold link by link, end at the version and in the status that its invoice shows,
    and an approved invoice must still be what the log says was approved. Refunds, payments and
    decisions about held money must be those that the log tells of. So must every organisation's
    own log hold, and its reports, to the lengths that the organisation shows, and what it let go on
    under changed tokens.
    """
    after = (0, UUID(int=0))
    count = entries = 0
    breaks: list[Break] = []
    while True:
        async with desk.database.reading() as tx:
            heads = await audit.heads(tx, after=after, limit=_BATCH)
            chains = await audit.of_invoices(tx, heads) if heads else {}
            stored = await _stored(tx, heads)
            sent_back, planned = await _beside(tx, heads)
            decided = await _dispositions(tx, heads)
        for head in heads:
            chain = chains[head.invoice_id]
            count += 1
            entries += len(chain)
            found = (
                seal.verify(chain)
                or _ends_well(head, chain)
                or _still_as_approved(chain, stored[head.invoice_id])
                or sealing.against(
                    chain,
                    stored[head.invoice_id],
                    sent_back.get(head.invoice_id, ()),
                    planned.get(head.invoice_id, ()),
                )
                or sealing.disposed(
                    chain, stored[head.invoice_id], decided.get(head.invoice_id, ())
                )
            )
            if found is not None:
                breaks.append(found)
        if len(heads) < _BATCH:
            org_entries, org_breaks = await _verify_orgs(desk)
            return Verified(
                invoices=count,
                entries=entries,
                breaks=tuple(breaks),
                org_entries=org_entries,
                org_breaks=org_breaks,
            )
        after = (heads[-1].org_id, heads[-1].invoice_id)


async def _verify_orgs(desk: Desk) -> tuple[int, tuple[OrgBreak, ...]]:
    """Recompute what every organisation's own log says; few entries, so each is read whole."""
    async with desk.database.reading() as tx:
        org_ids = await org_log.org_ids(tx)
    entries = 0
    breaks: list[OrgBreak] = []
    for org_id in org_ids:
        async with desk.database.reading() as tx:
            chain = await org_log.of_org(tx, org_id)
            length = await org_log.length(tx, org_id)
            reported = await reports.of_org(tx, org_id)
            report_count = await reports.length(tx, org_id)
            accepted = await token_codes.accepted(tx, org_id)
        entries += len(chain) + len(reported)
        for one, so_many in ((chain, length), (reported, report_count)):
            found = seal.verify_org(org_id, one, so_many)
            if found is not None:
                breaks.append(found)
        forged = sealing.accepted_tokens(org_id, chain, accepted)
        if forged is not None:
            breaks.append(forged)
    return entries, tuple(breaks)


async def _dispositions(
    tx: Tx, heads: Sequence[audit.ChainHead]
) -> dict[UUID, list[DispositionRow]]:
    found: defaultdict[UUID, list[DispositionRow]] = defaultdict(list)
    for org_id, of_org in groupby(heads, key=lambda head: head.org_id):
        for row in await dispositions.of_invoices(tx, org_id, [h.invoice_id for h in of_org]):
            found[row.invoice_id].append(row)
    return found


async def _stored(tx: Tx, heads: Sequence[audit.ChainHead]) -> dict[UUID, Invoice]:
    found: dict[UUID, Invoice] = {}
    for org_id, of_org in groupby(heads, key=lambda head: head.org_id):
        ids = [head.invoice_id for head in of_org]
        found |= {i.invoice_id: i for i in await invoices.of_ids(tx, org_id, ids)}
    return found


async def _beside(
    tx: Tx, heads: Sequence[audit.ChainHead]
) -> tuple[dict[UUID, tuple[Refund, ...]], dict[UUID, list[MoveRow]]]:
    """Every refund and every payment of these invoices, whatever their transfers say."""
    sent_back: dict[UUID, tuple[Refund, ...]] = {}
    planned: defaultdict[UUID, list[MoveRow]] = defaultdict(list)
    for org_id, of_org in groupby(heads, key=lambda head: head.org_id):
        ids = [head.invoice_id for head in of_org]
        sent_back |= await refunds.by_invoice(tx, org_id, ids)
        for move in await moves.of_invoices(tx, org_id, ids):
            if move.purpose in OUTGOING and move.invoice_id is not None:
                planned[move.invoice_id].append(move)
    return sent_back, planned


async def miscounted(desk: Desk) -> list[str]:
    """One sentence for each standing of which another number is kept than there are invoices."""
    async with desk.database.reading() as tx:
        found = await lists.miscounted(tx)
    return [
        f"organisation {one.org_id} counts {one.kept} invoices that are {one.status}"
        f" ({one.context or 'no context'}, {one.settlement}, archived: {one.archived}), there are"
        f" {one.there}"
        for one in found
    ]


def _ends_well(head: audit.ChainHead, chain: Chain) -> Break | None:
    if len(chain) != head.version:
        return Break(head.invoice_id, len(chain) + 1, "the end of the log is missing")
    if chain[-1][0].to_status != head.status:
        return Break(head.invoice_id, len(chain), "the invoice shows another status than its log")
    return None


def _still_as_approved(chain: Chain, stored: Invoice) -> Break | None:
    approvals = [entry for entry, _ in chain if entry.event in {"approve", "recalculate"}]
    if not approvals:
        return None
    approval = approvals[-1]
    approved = approval.metadata["content_hash"] == stored.approved_hash
    if not approved or not is_approved_content(stored):
        finding = "the invoice is not what was approved here"
        return Break(stored.invoice_id, approval.sequence, finding)
    return None


async def final_block(desk: Desk, chain: str) -> Mark | None:
    """The last block of a chain that is wholly in the books; None before the first."""
    async with desk.database.reading() as tx:
        cursor = await cursors.get(tx, chain)
    return None if cursor is None else cursor.final


async def places(desk: Desk, chain: str, block_number: int) -> list[Place]:
    """Every address of ours, with what the books say it held on ``chain`` after the block."""
    async with desk.database.reading() as tx:
        held = await ledger.balances_at(tx, chain, block_number)
        asides = await proof.asides_at(tx, chain, block_number)
        moving = await proof.under_way(tx, chain)
        owners = {org.org_id: org for org in await orgs.all_orgs(tx)}
        deposits = await addresses.all_deposits(tx)
    units: dict[tuple[int, str, UUID | None], dict[str, int]] = {}
    for balance in held:
        key = (balance.org_id, balance.account, balance.invoice_id)
        units.setdefault(key, {})[balance.contract] = balance.units
    gifts: dict[str, dict[str, int]] = {}
    for aside in asides:
        gifts.setdefault(aside.address, {})[aside.contract] = aside.units
    touched = _touched(moving, owners)
    wallets = [
        Place(
            org_id=org.org_id,
            account=account,
            address=address,
            units=_sum(
                units.get((org.org_id, account, None), {}),
                units.get((org.org_id, f"{account}:coin", None), {}),
            ),
            under_way=address in touched,
        )
        for org in owners.values()
        for account, address in (
            ("operator", org.operator_address),
            ("pool", org.pool_address),
            ("hold", org.hold_address),
            ("gas", org.gas_address),
        )
    ]
    return wallets + [
        Place(
            org_id=deposit.org_id,
            account=DEPOSITED[deposit.deposit_mode],
            address=deposit.address,
            units=_sum(
                units.get(
                    (deposit.org_id, DEPOSITED[deposit.deposit_mode], deposit.invoice_id), {}
                ),
                gifts.get(deposit.address, {}),
            ),
            under_way=deposit.invoice_id in touched or deposit.address in touched,
        )
        for deposit in deposits
    ]


def _touched(moving: Sequence[proof.UnderWay], owners: Mapping[int, Org]) -> set[str | UUID | None]:
    """The wallets, destinations and invoices of moves under way, those between our wallets too."""
    found: set[str | UUID | None] = set()
    for move in moving:
        org = owners[move.org_id]
        inside = {"sweep": org.pool_address, "restore": org.pool_address}
        inside["quarantine"] = org.hold_address
        found |= {move.wallet, inside.get(move.purpose, move.destination)}
        if move.purpose in EMPTYING:
            found.add(move.invoice_id)
    return found


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {*one, *other}}
