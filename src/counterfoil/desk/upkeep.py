"""What operators do about money that stands still: look, try again, thaw a wallet.

Each leaves a note of who did it and why. None of it approves money: what moves again is asked
all the questions that it was asked the first time.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from counterfoil.books import lost, moves, notes, retries, wallets
from counterfoil.books.moves import MovePurpose, MoveRow
from counterfoil.books.wallets import TxRow, WalletRow
from counterfoil.core.assets import known_asset
from counterfoil.core.errors import Invalid, NotFound, OutOfPlace
from counterfoil.core.money import Asset
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import lineages

__all__ = ["TxRow", "WalletRow"]

_REPEATABLE: Final = frozenset[MovePurpose]({"sweep", "quarantine", "restore", "deploy"})
"""What changes nothing when it is done twice, so the signer gives it a second nonce."""


@dataclass(frozen=True, slots=True)
class Held:
    """A movement that stands still. ``wait_until`` None: only a person gets it going again.

    ``asset`` is None for a contract that is no longer registered; ``amount_units`` are its base
    units. ``failures`` counts how often it was made and came to nothing.
    """

    org_id: int
    move_id: UUID
    purpose: MovePurpose
    invoice_id: UUID | None
    chain: str
    asset: Asset | None
    amount_units: int
    reason: str
    wait_until: datetime | None
    age: timedelta
    failures: int = 0


async def held_up(desk: Desk) -> list[Held]:
    """Every movement that is parked or waits, of all organisations, oldest first."""
    async with desk.database.reading() as tx:
        return [_held(row, desk.clock.now()) for row in await moves.held_up(tx)]


async def frozen_wallets(desk: Desk) -> list[WalletRow]:
    """Every wallet for which nothing is signed."""
    async with desk.database.reading() as tx:
        return await wallets.frozen(tx)


async def retry(desk: Desk, org_id: int, move_id: UUID, *, by: str, reason: str) -> None:
    """Let a parked movement start again, or a waiting one at once.

    Raises `NotFound`, `Invalid` without a reason, and `OutOfPlace` for a movement that does not
    stand still, whose money went somewhere, or whose payment was signed before: a payment keeps
    its one nonce for ever (specs/reliability.md 1.3, point 4).
    """
    _must_say_why(reason)

    async def again(tx: Tx) -> None:
        move = await moves.lock(tx, org_id, move_id)
        if move is None:
            raise NotFound(f"organisation {org_id} has no move {move_id}")
        stood = move.park_reason if move.status == "parked" else move.wait_reason
        if stood is None or move.status not in {"parked", "ready"}:
            raise OutOfPlace(f"move {move_id} is {move.status} and does not stand still")
        now = desk.clock.now()
        if move.nonce is not None:
            await _must_be_repeatable(tx, move)
        if move.purpose == "restore":
            await _remember_nonce(tx, move, now)
        await retries.start_again(tx, org_id, move_id, now)
        what = f"retried; it stood still because: {stood}"
        await notes.add_to_move(
            tx, notes.MoveNote(org_id, desk.ids.new(), move_id, now, by, what, reason)
        )

    await desk.database.run(again)


async def open_txs(desk: Desk, chain: str, address: str) -> list[TxRow]:
    """A wallet's signed transactions whose end is not known.

    Raises `NotFound` for an address that is no wallet of ours.
    """
    async with desk.database.reading() as tx:
        if await wallets.get(tx, chain, address) is None:
            raise _no_wallet(chain, address)
        return [row for row in await wallets.open_txs(tx, chain) if row.wallet == address]


async def pass_over(desk: Desk, wallet: WalletRow, nonce: int) -> None:
    """Leave a nonce behind that is used up, on a wallet that is frozen and stays so."""
    async with desk.database.transaction() as tx:
        now = await wallets.lock(tx, wallet.chain, wallet.address)
        if now is not None and now.frozen_reason is not None and now.next_nonce == nonce:
            await wallets.advance(tx, now)


async def thaw(  # noqa: PLR0913 - which wallet, what the chain says of it, who and why
    desk: Desk,
    chain: str,
    address: str,
    *,
    finalized_nonce: int,
    at_block: int,
    dead: Collection[str],
    by: str,
    reason: str,
) -> list[UUID]:
    """Let a frozen wallet sign again, behind everything that the chain counts for it.

    ``finalized_nonce`` is what the chain counts at its finalized block ``at_block``; ``dead`` are
    the hashes of our transactions that are not on the chain. Where all siblings of a consumed
    nonce are among them, somebody else consumed it: its movements park; answers which. Raises
    `NotFound`, `Invalid` without a reason, and `OutOfPlace` for a wallet that is not frozen.
    """
    _must_say_why(reason)

    async def again(tx: Tx) -> list[UUID]:
        wallet = await wallets.lock(tx, chain, address)
        if wallet is None:
            raise _no_wallet(chain, address)
        if wallet.frozen_reason is None:
            raise OutOfPlace(f"wallet {address} on {chain} is not frozen")
        parked = []
        for siblings in lineages(await wallets.open_txs(tx, chain)):
            row = siblings[-1]
            gone = all(sibling.tx_hash in dead for sibling in siblings)
            if row.wallet == address and gone and row.nonce < finalized_nonce:
                parked += await _bury(desk, tx, wallet, row, at_block)
        await wallets.thaw(tx, chain, address, max(wallet.next_nonce, finalized_nonce))
        what = f"thawed at nonce {finalized_nonce}; it was frozen because: {wallet.frozen_reason}"
        note_id, now = desk.ids.new(), desk.clock.now()
        await notes.add_to_wallet(
            tx, notes.WalletNote(note_id, chain, address, now, by, what, reason)
        )
        return parked

    return await desk.database.run(again)


def _held(row: MoveRow, now: datetime) -> Held:
    parked = row.status == "parked"
    return Held(
        org_id=row.org_id,
        move_id=row.move_id,
        purpose=row.purpose,
        invoice_id=row.invoice_id,
        chain=row.chain,
        asset=known_asset(row.chain, row.contract),
        amount_units=row.amount_units,
        reason=(row.park_reason if parked else row.wait_reason) or "",
        wait_until=None if parked else row.wait_until,
        age=now - row.updated_at,
        failures=row.failures,
    )


async def _must_be_repeatable(tx: Tx, move: MoveRow) -> None:
    """Refuse unless doing it again is harmless whatever became of the first time."""
    if move.left_units:
        raise OutOfPlace(
            f"move {move.move_id} moved {move.left_units} base units in {move.tx_hash} already, so"
            " it is not made again; a signer accepts what arrived, and the rest goes after it"
        )
    before = await wallets.find_tx(tx, move.chain, move.tx_hash or "")
    if before is None or before.status in {"signed", "sent"}:
        raise OutOfPlace(f"{move.tx_hash} of move {move.move_id} may still land; wait for its end")
    if move.purpose not in _REPEATABLE:
        raise OutOfPlace(
            f"move {move.move_id} was signed as {move.tx_hash}, which is {before.status}. The"
            " signer gives a payment no second nonce, unless a person approves it again with"
            " counterfoil move approve-again"
        )


async def _remember_nonce(tx: Tx, move: MoveRow, now: datetime) -> None:
    """Have the nonce of what goes back to the pool looked at once more before it gets another.

    Done twice it takes what others have in the hold wallet, and all nodes may have been wrong.
    """
    if move.nonce is None or move.wallet is None:
        return
    siblings = await wallets.of_nonce(tx, move.chain, move.wallet, move.nonce)
    dead = lost.LostSignature(
        chain=move.chain,
        wallet=move.wallet,
        nonce=move.nonce,
        org_id=move.org_id,
        move_ids=[move.move_id],
        tx_hashes=[row.tx_hash for row in siblings],
        found_at=now,
        ended="gone",
        ended_at=now,
    )
    await lost.held_for_dead(tx, dead)


async def _bury(desk: Desk, tx: Tx, wallet: WalletRow, dead: TxRow, at_block: int) -> list[UUID]:
    now = desk.clock.now()
    carried = await moves.of_nonce(tx, dead.chain, dead.wallet, dead.nonce)
    ids = [move.move_id for move in carried if move.status == "signed"]
    reason = f"nonce {dead.nonce} was consumed by a transaction that is not {dead.tx_hash}"
    await wallets.consume(tx, dead, at_block, now)
    await moves.park_signed(tx, wallet.org_id, ids, reason, now)
    return ids


def _must_say_why(reason: str) -> None:
    if not reason.strip():
        raise Invalid.field("reason", "is required: say what you found, for those who look later")


def _no_wallet(chain: str, address: str) -> NotFound:
    return NotFound(f"{address} on {chain} is no wallet of ours")
