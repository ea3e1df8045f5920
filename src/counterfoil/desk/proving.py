"""Proof: the audit log recomputed, and the books as they stood at a block."""

from dataclasses import dataclass
from uuid import UUID

from counterfoil.books import addresses, audit, cursors, ledger, orgs
from counterfoil.core import seal
from counterfoil.core.seal import Break
from counterfoil.desk.desk import Desk

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Verified:
    """How much of the audit log was recomputed, and every place where it does not hold."""

    invoices: int
    entries: int
    breaks: tuple[Break, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """An address of ours on a chain and what the books say it holds, in base units by contract.

    ``units`` has no entry for an asset that never was there.
    """

    org_id: int
    account: str
    address: str
    units: dict[str, int]


async def verify_audit(desk: Desk) -> Verified:
    """Recompute every seal of every invoice, batch by batch.

    A chain must hold link by link, end at the version its invoice says it has, and end in the
    status that the invoice shows; so neither a changed, a missing nor a cut-off entry passes.
    """
    after = (0, UUID(int=0))
    invoices = entries = 0
    breaks: list[Break] = []
    while True:
        async with desk.database.reading() as tx:
            heads = await audit.heads(tx, after=after, limit=_BATCH)
            chains = await audit.of_invoices(tx, heads) if heads else {}
        for head in heads:
            chain = chains[head.invoice_id]
            invoices += 1
            entries += len(chain)
            found = seal.verify(chain) or _ends_well(head, chain)
            if found is not None:
                breaks.append(found)
        if len(heads) < _BATCH:
            return Verified(invoices=invoices, entries=entries, breaks=tuple(breaks))
        after = (heads[-1].org_id, heads[-1].invoice_id)


def _ends_well(head: audit.ChainHead, chain: list[tuple[seal.LogEntry, bytes]]) -> Break | None:
    if len(chain) != head.version:
        return Break(head.invoice_id, len(chain) + 1, "the end of the log is missing")
    if chain[-1][0].to_status != head.status:
        return Break(head.invoice_id, len(chain), "the invoice shows another status than its log")
    return None


async def final_block(desk: Desk, chain: str) -> int | None:
    """The last block of a chain that is wholly in the books; None before the first."""
    async with desk.database.reading() as tx:
        cursor = await cursors.get(tx, chain)
    return None if cursor is None else cursor.final_number


async def places(desk: Desk, chain: str, block_number: int) -> list[Place]:
    """Every address of ours, with what the books say it held on ``chain`` after the block."""
    async with desk.database.reading() as tx:
        held = await ledger.balances_at(tx, chain, block_number)
        owners = await orgs.all_orgs(tx)
        deposits = await addresses.all_deposits(tx)
    units: dict[tuple[int, str, UUID | None], dict[str, int]] = {}
    for balance in held:
        key = (balance.org_id, balance.account, balance.invoice_id)
        units.setdefault(key, {})[balance.contract] = balance.units
    wallets = [
        Place(org.org_id, account, address, units.get((org.org_id, account, None), {}))
        for org in owners
        for account, address in (
            ("operator", org.operator_address),
            ("pool", org.pool_address),
            ("hold", org.hold_address),
            ("gas", org.gas_address),
        )
    ]
    return wallets + [
        Place(d.org_id, "deposit", d.address, units.get((d.org_id, "deposit", d.invoice_id), {}))
        for d in deposits
    ]
