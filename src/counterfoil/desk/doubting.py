"""Payments of some size need two nodes that agree; what happens while they do not.

A doubted transfer stays on record below the final cursor without being final, so none of it can
move. It is asked about again until the nodes agree, that it stands or that it does not
(specs/chains.md 6.3, decision 13).
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from counterfoil.books import addresses, cursors, doubts, transfers
from counterfoil.books.doubts import Beside, Doubt
from counterfoil.books.transfers import Key, TransferRow
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import DepositMode
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Tx
from counterfoil.desk.applying import Lease, Recorded, apply
from counterfoil.desk.desk import Desk
from counterfoil.desk.scan import Change, doubt

__all__ = [
    "Beside",
    "Doubt",
    "beside",
    "doubted",
    "halt",
    "lack",
    "open_rows",
    "paid_to",
    "resolve",
    "resume",
]

_BEFORE_ALL: Final = -1


async def doubted(desk: Desk) -> list[Doubt]:
    """Everything that waits for nodes to agree, the oldest first."""
    async with desk.database.reading() as tx:
        return await doubts.every(tx)


async def open_rows(desk: Desk, chain: str, final_number: int) -> list[TransferRow]:
    """Transfers of tokens below the final cursor that are not final: those that are doubted."""
    async with desk.database.reading() as tx:
        rows = await transfers.unsettled(tx, chain, _BEFORE_ALL, final_number)
    return [row for row in rows if row.contract]


async def paid_to(desk: Desk, rows: Sequence[TransferRow]) -> dict[Key, str]:
    """The address that each transfer on record was paid to, by credit key."""
    by_place: defaultdict[tuple[int, DepositMode], set[UUID]] = defaultdict(set)
    for row in rows:
        by_place[row.org_id, row.deposit_mode].add(row.invoice_id)
    found: dict[tuple[UUID, DepositMode], str] = {}
    async with desk.database.reading() as tx:
        for (org_id, mode), invoice_ids in by_place.items():
            held = await addresses.of_mode(tx, mode, org_id, list(invoice_ids))
            found |= {(one, mode): deposit.address for one, deposit in held.items()}
    return {row.key: found[row.invoice_id, row.deposit_mode] for row in rows}


async def beside(
    desk: Desk, chain: str, addresses: Collection[str], keys: Collection[Key]
) -> list[Beside]:
    """What the invoices behind these addresses have on record beside these transfers."""
    async with desk.database.reading() as tx:
        return await doubts.beside(tx, CHAINS[chain].family, chain, addresses, keys)


async def resolve(
    desk: Desk,
    lease: Lease,
    *,
    stand: Sequence[TransferRow],
    gone: Sequence[TransferRow],
    still: Sequence[tuple[TransferRow, str]],
) -> Recorded:
    """Settle what nodes agree on, drop what they agree is not there, and say why the rest waits.

    Raises `LeaseLost`.
    """
    changes = [Change(row, replace(row, depth=Depth.FINAL)) for row in stand]
    changes += [Change(row, replace(row, depth=Depth.ORPHANED)) for row in gone]
    now = desk.clock.now()
    waiting = [doubt(row, reason, now) for row, reason in still]

    async def finish(tx: Tx) -> None:
        await doubts.end(tx, lease.chain, [row.key for row in (*stand, *gone)])
        await doubts.save(tx, waiting)

    return await apply(desk, lease, changes, finish)


async def halt(desk: Desk, chain: str, reason: str) -> None:
    """Keep why a chain stands still, for operators to see."""
    await desk.database.run(lambda tx: cursors.halt(tx, chain, reason, desk.clock.now()))


async def resume(desk: Desk, chain: str) -> None:
    """The chain's nodes say again what they said before: it goes on."""
    await desk.database.run(lambda tx: cursors.resume(tx, chain))


async def lack(desk: Desk, chain: str, what: str | None) -> None:
    """Keep what none of a chain's nodes tells, for operators to see; None where nothing."""
    await desk.database.run(lambda tx: cursors.lack(tx, chain, what))
