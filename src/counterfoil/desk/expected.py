"""What deposit addresses must hold by our books, for comparing it with a chain before a sweep."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from counterfoil.books import addresses, cursors, moves, transfers
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import Batch


@dataclass(frozen=True, slots=True)
class Expected:
    """What deposit addresses must hold at a block, by our books: address to base units."""

    chain: str
    contract: str
    at_block: int
    block_hash: str
    units: Mapping[str, int] = field(default_factory=dict)


async def expected_balances(
    desk: Desk, batch: Batch, least: Depth = Depth.FINAL
) -> Expected | None:
    """What the deposit addresses of a sweep hold by our books; None before the watcher began.

    Final transfers minus final sweeps, as of the last block that the watcher has booked, so
    that a payment which is not booked yet is no difference (specs/chains.md 6.2 item 3). With
    ``least`` less than final also what was merely seen, as of the last block that it has read.
    """
    first = batch.items[0].move
    async with desk.database.reading() as tx:
        cursor = await cursors.get(tx, first.chain)
        if cursor is None:
            return None
        last = cursor.final if least is Depth.FINAL else cursor.head
        units = await _held_units(tx, batch, last.number, least)
    return Expected(first.chain, first.contract, last.number, last.hash, units)


async def _held_units(tx: Tx, batch: Batch, at_block: int, least: Depth) -> dict[str, int]:
    first = batch.items[0].move
    where = {
        item.move.invoice_id: item.deposit_address
        for item in batch.items
        if item.move.invoice_id is not None and item.deposit_address is not None
    }
    held = dict.fromkeys(where.values(), 0)
    asset = (first.chain, first.contract)
    strays = await addresses.stray_units(tx, *asset, list(held), at_block, least)
    for address, units in strays.items():
        held[address] += units
    for transfer in await transfers.of_invoices(tx, first.org_id, list(where)):
        counts = transfer.depth >= least and transfer.block_number <= at_block
        here = (transfer.chain, transfer.contract, transfer.deposit_mode)
        if here == (*asset, first.deposit_mode) and counts:
            held[where[transfer.invoice_id]] += transfer.amount_units
    for move in await moves.of_invoices(tx, first.org_id, list(where)):
        here = (move.chain, move.contract, move.deposit_mode)
        swept = move.purpose in moves.EMPTYING and here == (*asset, first.deposit_mode)
        if swept and move.invoice_id is not None:
            held[where[move.invoice_id]] -= move.left_units
    return held
