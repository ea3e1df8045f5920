"""Money out, second half: what the chain made of a signed transaction, once it cannot be undone.

Each `settle` is one transaction and may be told any number of times: the transaction's own row
says whether it was told before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from counterfoil.books import (
    addresses,
    cursors,
    invoices,
    ledger,
    lost,
    moves,
    notes,
    proof,
    retries,
    transfers,
    wallets,
)
from counterfoil.books.moves import EMPTYING, Ended, MovePurpose, MoveRow
from counterfoil.books.notes import MoveNote
from counterfoil.books.wallets import TxRow, WalletRow
from counterfoil.core.assets import CHAINS, known_asset
from counterfoil.core.invoice import Invoice
from counterfoil.core.journal import (
    DEPOSITED,
    JournalEntry,
    LedgerAccount,
    Posting,
    hold_account,
    pool_account,
)
from counterfoil.core.money import Asset, Money
from counterfoil.core.reckoning import Depth
from counterfoil.core.roles import system
from counterfoil.db.pool import Tx
from counterfoil.desk import progress
from counterfoil.desk.act import happen
from counterfoil.desk.desk import Desk
from counterfoil.desk.objections import LONG

_BY: Final = "move"

_OUTSIDE: Final[Mapping[MovePurpose, LedgerAccount]] = {
    "payout": "outside:merchant",
    "refund": "outside:payer",
    "partial_refund": "outside:payer",
}

_LONGEST_PAUSE: Final = timedelta(days=1)
"""Between two sweeps of an address whose token will not move: each one costs gas."""

When = tuple[datetime, int]
"""When it is booked, and the block in which it happened."""


@dataclass(frozen=True, slots=True)
class LandedItem:
    """What one movement came to. ``problem`` is None when it did what it was to do.

    ``moved_units`` arrived; ``token_fee_units`` left as well, and the token kept them or sent them
    elsewhere.

    With ``again`` it moved nothing, for a reason that may pass by itself.
    """

    move_id: UUID
    moved_units: int
    problem: str | None = None
    again: bool = False
    token_fee_units: int = 0


@dataclass(frozen=True, slots=True)
class Landed:
    """A transaction of ours in a finalized, canonical block.

    ``ok`` False: it reverted, so nothing moved, but nonce and fee are spent. ``empty``: it
    succeeded, and its token moved nothing, which comes to the same. ``fee_wei`` is all that the
    chain took for it. What has a problem, or is empty, every node says.
    """

    chain: str
    tx_hash: str
    block_number: int
    ok: bool
    fee_wei: int
    items: tuple[LandedItem, ...]
    empty: bool = False


class Settled(StrEnum):
    """What came of telling it."""

    BOOKED = "booked"
    KNOWN = "known"
    """It had been told before; nothing changed."""
    TOO_EARLY = "too early"
    """A sweep in a block that the watcher has not booked, or of an address with money that nodes
    do not agree on; what it moved may not be in the books yet. Tell it again."""


async def settle(desk: Desk, landed: Landed) -> Settled:
    """Book what a transaction did, and let its invoices go on.

    Raises ``LookupError`` for a transaction that we never signed.
    """

    async def work(tx: Tx) -> Settled:
        row = await _ours(tx, landed)
        carried = await moves.of_nonce(tx, row.chain, row.wallet, row.nonce)
        if not await _watched(tx, landed, carried):
            return Settled.TOO_EARLY
        held = await _lock_invoices(tx, carried)
        wallet = await wallets.lock(tx, row.chain, row.wallet)
        row = await _ours(tx, landed)
        if wallet is None or row.status not in {"signed", "sent"}:
            return Settled.KNOWN
        await _book(desk, tx, landed, row, wallet)
        await _go_on(desk, tx, carried, held)
        return Settled.BOOKED

    return await desk.database.run(work)


async def _ours(tx: Tx, landed: Landed) -> TxRow:
    row = await wallets.find_tx(tx, landed.chain, landed.tx_hash)
    if row is None:
        msg = f"{landed.tx_hash} on {landed.chain} is no transaction of ours"
        raise LookupError(msg)
    return row


async def _watched(tx: Tx, landed: Landed, carried: Sequence[MoveRow]) -> bool:
    """Whether all that a sweep can have taken along has been booked as received.

    A sweep empties the address, so it also takes what arrived after it was planned, also what
    nodes do not agree on yet: booked as nobody's now, it would be booked once more when they do.
    """
    swept = [move for move in carried if move.purpose in EMPTYING and move.invoice_id is not None]
    if not swept:
        return True
    cursor = await cursors.get(tx, landed.chain)
    if cursor is None or cursor.final_number < landed.block_number:
        return False
    if not await _coin_is_credited(tx, landed, swept):
        return False
    ids = {move.invoice_id for move in swept if move.invoice_id is not None}
    received = await transfers.of_invoices(tx, swept[0].org_id, ids)
    return not any(
        (row.chain, row.contract) == (landed.chain, swept[0].contract)
        and row.block_number <= landed.block_number
        and row.depth in {Depth.SEEN, Depth.SAFE}
        for row in received
    )


async def _coin_is_credited(tx: Tx, landed: Landed, swept: Sequence[MoveRow]) -> bool:
    """Whether a sweep of native coin took nothing that is still to be credited.

    Coin that a lagging witness does not see yet is credited once it does, wherever it is by then:
    booked as nobody's now, it would be booked once more.
    """
    moved = {item.move_id: item.moved_units for item in landed.items}
    for move in swept:
        if move.contract or move.invoice_id is None:
            continue
        more_units = moved.get(move.move_id, 0) - await ledger.balance(
            tx, move.org_id, "deposit", move.chain, "", invoice_id=move.invoice_id
        )
        if more_units <= 0:
            continue
        deposits = await addresses.of_mode(tx, "factory", move.org_id, [move.invoice_id])
        gifts = await proof.asides_at(tx, landed.chain, landed.block_number)
        at = (deposits[move.invoice_id].address, "")
        if more_units > sum(g.units for g in gifts if (g.address, g.contract) == at):
            return False
    return True


async def _lock_invoices(tx: Tx, carried: Sequence[MoveRow]) -> list[Invoice]:
    """Hold the invoices before any wallet, as everybody does, so nobody deadlocks.

    A wallet is one organisation's, and so is all that its transaction carries.
    """
    ids = {move.invoice_id for move in carried if move.invoice_id is not None}
    return await invoices.lock_all(tx, carried[0].org_id, ids) if ids else []


async def _book(desk: Desk, tx: Tx, landed: Landed, row: TxRow, wallet: WalletRow) -> None:
    now = desk.clock.now()
    await wallets.end_tx(
        tx,
        row,
        status="reverted" if not landed.ok else "empty" if landed.empty else "final",
        block_number=landed.block_number,
        fee_wei=landed.fee_wei,
        at=now,
    )
    if row.cancels:
        where = (row.chain, row.wallet, row.nonce)
        await lost.end(tx, *where, "cancelled", now, landed.block_number)
    carried = await moves.of_nonce(tx, row.chain, row.wallet, row.nonce)
    carried = await _without_again(tx, carried, landed, now)
    told = {item.move_id: item for item in landed.items}
    ended = [_ended(move, landed, told.get(move.move_id)) for move in carried]
    await moves.end(tx, wallet.org_id, ended, now)
    for move, end in zip(carried, ended, strict=True):
        for entry in await _entries(tx, move, end, (now, landed.block_number)):
            await ledger.post(tx, wallet.org_id, entry)
    if landed.fee_wei:
        await ledger.post(tx, wallet.org_id, _fee(landed, wallet, await _owner_id(tx, wallet), now))


async def _without_again(
    tx: Tx, carried: Sequence[MoveRow], landed: Landed, now: datetime
) -> list[MoveRow]:
    """Set back the sweeps that are made again by themselves; answers the others.

    Where a whole transaction reverted, nobody knows because of which: they go on in halves. What
    failed in it alone is tried again after pauses that double, so the others need not wait.
    """
    if not landed.ok and len(carried) > 1:
        ids = [move.move_id for move in carried]
        await retries.reverted_together(tx, carried[0].org_id, ids, len(ids) // 2, now)
        return []
    again = {item.move_id: item.problem or "" for item in landed.items if item.again}
    for move_id, reason in again.items():
        await retries.swept_nothing(
            tx,
            carried[0].org_id,
            move_id,
            reason,
            now,
            first_pause=LONG,
            longest_pause=_LONGEST_PAUSE,
        )
    return [move for move in carried if move.move_id not in again]


def _ended(move: MoveRow, landed: Landed, item: LandedItem | None) -> Ended:
    if not landed.ok:
        return Ended(move.move_id, landed.tx_hash, 0, f"reverted on chain: {landed.tx_hash}")
    if item is None:
        reason = f"{landed.tx_hash} landed, but shows nothing of this movement"
        return Ended(move.move_id, landed.tx_hash, 0, reason)
    fee_units = item.token_fee_units
    vouched = item.problem is not None
    return Ended(move.move_id, landed.tx_hash, item.moved_units, item.problem, fee_units, vouched)


async def _entries(tx: Tx, move: MoveRow, end: Ended, when: When) -> list[JournalEntry]:
    """The journal entries of a movement, whatever became of it: the money is where it is."""
    moved_units, fee_units = end.moved_units or 0, end.token_fee_units
    if move.purpose in EMPTYING:
        return await _sweep_entries(tx, move, moved_units, fee_units, when)
    if not (moved_units or fee_units) or move.purpose == "deploy":
        return []
    source, destination = await _route(tx, move)
    postings = []
    if moved_units:
        postings.append(Posting(source, destination, Money(moved_units, _asset(move))))
    if fee_units:
        postings.append(Posting(source, "outside:token", Money(fee_units, _asset(move))))
    invoice_id = move.invoice_id
    if destination == "child":
        child = await addresses.owner_of_child(tx, CHAINS[move.chain].family, move.destination)
        invoice_id = child.invoice_id if child is not None else None
    return [JournalEntry(f"move:{move.move_id}", invoice_id, tuple(postings), *when)]


async def _sweep_entries(
    tx: Tx, move: MoveRow, moved_units: int, fee_units: int, when: When
) -> list[JournalEntry]:
    """What was the invoice's goes from its deposit address to the pool, or to the hold wallet.

    What the token kept on the way is the invoice's loss as far as its money reaches.

    Anything above that came to the address without belonging to the invoice (dust sent before
    the address was given out). It is there now, so it is booked, but not as the invoice's.
    """
    lies = DEPOSITED[move.deposit_mode]
    deposited_units = await ledger.balance(
        tx, move.org_id, lies, move.chain, move.contract, invoice_id=move.invoice_id
    )
    left_units = min(moved_units + fee_units, deposited_units)
    lost_units = min(fee_units, left_units)
    credited_units = left_units - lost_units
    stray_units = moved_units - credited_units
    asset = _asset(move)
    to = hold_account(asset) if move.purpose == "quarantine" else pool_account(asset)
    found, own = [], []
    if credited_units:
        own.append(Posting(lies, to, Money(credited_units, asset)))
    if lost_units:
        own.append(Posting(lies, "outside:token", Money(lost_units, asset)))
    if own:
        found.append(JournalEntry(f"move:{move.move_id}", move.invoice_id, tuple(own), *when))
    parts: list[tuple[LedgerAccount, int]] = [
        (to, stray_units),
        ("outside:token", fee_units - lost_units),
    ]
    stray = tuple(Posting("outside:payer", d, Money(units, asset)) for d, units in parts if units)
    if stray:
        found.append(JournalEntry(f"stray:{move.move_id}", None, stray, *when))
    return found


async def _route(tx: Tx, move: MoveRow) -> tuple[LedgerAccount, LedgerAccount]:
    asset = _asset(move)
    if move.purpose == "restore":
        return hold_account(asset), pool_account(asset)
    if move.purpose != "fuel":
        from_there = hold_account(asset) if move.from_hold else pool_account(asset)
        return from_there, _OUTSIDE[move.purpose]
    fuelled = await wallets.get(tx, move.chain, move.destination)
    if fuelled is None:
        msg = f"fuel went to {move.destination} on {move.chain}, which is no wallet of ours"
        raise LookupError(msg)
    return "gas", fuelled.role


def _asset(move: MoveRow) -> Asset:
    asset = known_asset(move.chain, move.contract)
    if asset is None:
        msg = f"{move.contract} is not a registered token of {move.chain}"
        raise LookupError(msg)
    return asset


async def _owner_id(tx: Tx, wallet: WalletRow) -> UUID | None:
    """The invoice whose deposit address a wallet is; None for the wallets of the organisation."""
    if wallet.role != "child":
        return None
    child = await addresses.owner_of_child(tx, CHAINS[wallet.chain].family, wallet.address)
    return child.invoice_id if child is not None else None


def _fee(landed: Landed, wallet: WalletRow, invoice_id: UUID | None, at: datetime) -> JournalEntry:
    """What the wallet paid the chain; a child's own gas is its invoice's."""
    when = (at, landed.block_number)
    fee = Money(landed.fee_wei, CHAINS[landed.chain].native)
    posting = Posting(wallet.role, "outside:network", fee)
    return JournalEntry(f"fee:{landed.chain}:{landed.tx_hash}", invoice_id, (posting,), *when)


async def _go_on(desk: Desk, tx: Tx, carried: Sequence[MoveRow], held: Sequence[Invoice]) -> None:
    """Tell the invoices what is complete now."""
    landed = {(move.invoice_id, move.purpose) for move in carried}
    for invoice in held:
        purposes = {p for invoice_id, p in landed if invoice_id == invoice.invoice_id}
        if purposes & EMPTYING:
            await _give_up_overtaken(desk, tx, invoice)
        current = invoice
        for event in await progress.facts(tx, invoice, desk.clock.now(), purposes):
            current = await happen(desk, tx, current, event, system(_BY, invoice.org_id))


async def _give_up_overtaken(desk: Desk, tx: Tx, invoice: Invoice) -> None:
    """Let nobody look for the reason of a sweep whose work another one did."""
    now, by = desk.clock.now(), system(_BY, invoice.org_id).uid
    planned = await moves.of_invoices(tx, invoice.org_id, [invoice.invoice_id])
    done = progress.overtaken(planned)
    await moves.give_up(tx, invoice.org_id, [move.move_id for move in done], now)
    for move in done:
        what = f"given up; it stood still because: {move.park_reason or move.wait_reason}"
        reason = "a later sweep emptied the address"
        note = MoveNote(invoice.org_id, desk.ids.new(), move.move_id, now, by, what, reason)
        await notes.add_to_move(tx, note)
