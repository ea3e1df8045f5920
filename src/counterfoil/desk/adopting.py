"""A transaction of ours that the books do not know, taken into them (docs/decisions/0032).

Books that were restored from a backup have forgotten what was signed since. The signer has not: it
says which movements a nonce was signed for, and its bytes prove the rest. What is adopted is
followed and booked like everything else that was signed.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from counterfoil.books import invoices, lost, moves, notes, orgs, retries, wallets
from counterfoil.books.lost import LostSignature
from counterfoil.books.moves import PAID, MoveRow
from counterfoil.books.notes import MoveNote
from counterfoil.books.retries import EarlierNonce
from counterfoil.books.wallets import TxRow, WalletRow
from counterfoil.core.roles import system
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import Batch, Item, batched
from counterfoil.desk.signed import Place, SignedBytes, Terms, keep

__all__ = ["EarlierNonce", "TxRow"]


_IN_VAIN: Final = frozenset({"reverted", "empty"})
"""How a transaction ends that was mined and moved nothing."""


class NotAdopted(Exception):  # noqa: N818 - an answer, and it undoes the transaction
    """The books say something else, in ``reason``; nothing was changed."""

    def __init__(self, reason: str) -> None:
        """Keep the sentence."""
        super().__init__(reason)
        self.reason = reason


async def wallet_of(desk: Desk, chain: str, address: str) -> WalletRow | None:
    """One of our wallets as it stands."""
    async with desk.database.reading() as tx:
        return await wallets.get(tx, chain, address)


async def known(desk: Desk, chain: str, tx_hash: str) -> TxRow | None:
    """A transaction as the books have it."""
    async with desk.database.reading() as tx:
        return await wallets.find_tx(tx, chain, tx_hash)


def is_followed(row: TxRow | None, *, ok: bool, moved: bool = False) -> bool:
    """Whether the books have a mined transaction, and did not take it for dead.

    One that succeeded, ``ok``, they may not have for reverted either, and one that is known to have
    ``moved`` its token not for empty.
    """
    dead = {"replaced", *(("reverted",) if ok else ()), *(("empty",) if moved else ())}
    return row is not None and row.status not in dead


def is_dead(siblings: Sequence[TxRow]) -> bool:
    """Whether a nonce was used up, at finality, without what these were signed to move."""
    in_vain = any(row.status in _IN_VAIN for row in siblings)
    gone = all(row.gone_at_block is not None for row in siblings)
    ended = all(row.status in {*_IN_VAIN, "replaced"} for row in siblings)
    return bool(siblings) and ended and (in_vain or gone)


async def signed_with(desk: Desk, wallet: WalletRow, nonce: int) -> frozenset[str]:
    """The hashes that the books know to have been signed with a nonce to move something."""
    async with desk.database.reading() as tx:
        siblings = await wallets.of_nonce(tx, wallet.chain, wallet.address, nonce)
        gone = await lost.get(tx, wallet.chain, wallet.address, nonce)
    kept = {row.tx_hash for row in siblings if not row.cancels}
    return frozenset(kept | set(gone.tx_hashes if gone is not None else ()))


async def earlier_nonces(desk: Desk, wallet: WalletRow, move: MoveRow) -> list[EarlierNonce]:
    """Nonces that a payment was signed with before, or others of the same money that were given up.

    All of them were held for dead when it was approved again, or sent elsewhere, and so were those
    of what goes back to the pool when it was retried.
    """
    if move.purpose not in PAID:
        return []
    async with desk.database.reading() as tx:
        return await retries.earlier_nonces(tx, wallet.address, move)


async def parked_as_made(desk: Desk, chain: str) -> list[Batch]:
    """The parked payments of which a transaction is known to be mined, each by itself."""
    async with desk.database.reading() as tx:
        found = []
        for move in await retries.parked_as_made(tx, chain):
            org = await orgs.get(tx, move.org_id)
            address = (
                "" if org is None else org.hold_address if move.from_hold else org.pool_address
            )
            wallet = await wallets.get(tx, chain, address)
            if wallet is not None:
                found.append(Batch(wallet, (Item(move),)))
        return found


async def still_parked(desk: Desk, move: MoveRow, reason: str) -> None:
    """Write down why a parked payment stands still by now."""
    if move.park_reason != reason:
        async with desk.database.transaction() as tx:
            await retries.parked_because(tx, move.org_id, move.move_id, reason)


async def landed_after_all(
    desk: Desk,
    wallet: WalletRow,
    nonce: int,
    move_ids: Sequence[UUID],
    mined: tuple[str, int],
) -> None:
    """Write down that payments were made with a nonce that was held for dead, or unknown.

    ``mined`` is its transaction's hash, and the block. From then on nobody approves it again, sends
    it elsewhere or gives it up for another.
    """
    (tx_hash, block_number), now = mined, desk.clock.now()
    found = LostSignature(
        chain=wallet.chain,
        wallet=wallet.address,
        nonce=nonce,
        org_id=wallet.org_id,
        move_ids=list(move_ids),
        tx_hashes=[tx_hash],
        found_at=now,
        ended="landed",
        ended_at=now,
        block_number=block_number,
    )
    async with desk.database.transaction() as tx:
        await lost.landed_after_all(tx, found)


async def batch_of(desk: Desk, wallet: WalletRow, nonce: int, move_ids: Sequence[UUID]) -> Batch:
    """The movements that a nonce was signed for, in this order, as the books have them.

    Raises `NotAdopted` where they do not know one of them, or know of another end or another nonce
    of it.
    """
    async with desk.database.reading() as tx:
        found = {move.move_id: move for move in await moves.by_ids(tx, wallet.org_id, move_ids)}
        known = []
        for move_id in move_ids:
            if move_id not in found:
                raise NotAdopted(f"the books have no movement {move_id}, for which it was signed")
            await _must_be_open(tx, found[move_id], wallet, nonce)
            known.append(found[move_id])
        batch = await batched(tx, wallet, known)
    if batch is None:
        raise NotAdopted("nobody knows any more for which movement it was signed")
    return batch


async def adopt(desk: Desk, batch: Batch, nonce: int, terms: Terms, signed: SignedBytes) -> None:
    """Keep bytes that were signed for a batch with a nonce and are on the chain.

    The caller has seen the receipt, and the signature over what the movements say. What the books
    have already and held for dead is followed again. The invoices of the movements and the wallet
    are locked first. Raises `NotAdopted` where the books know of another end of the nonce or of a
    movement, or lack the nonces before it: then nothing is changed.
    """

    async def work(tx: Tx) -> None:
        org_id = batch.wallet.org_id
        ids = {i.move.invoice_id for i in batch.items if i.move.invoice_id is not None}
        await invoices.lock_all(tx, org_id, ids)
        wallet = await wallets.lock(tx, batch.wallet.chain, batch.wallet.address)
        if wallet is None or nonce > wallet.next_nonce:
            raise NotAdopted("the books lack the nonces before it")
        siblings = await wallets.of_nonce(tx, wallet.chain, wallet.address, nonce)
        for row in siblings:
            if row.status in {"final", "reverted", "empty"}:
                raise NotAdopted(f"the books have {row.tx_hash} for {row.status} with its nonce")
        now = desk.clock.now()
        dead = any(row.tx_hash == signed.tx_hash for row in siblings)
        if dead:
            await wallets.follow_again(tx, wallet.chain, signed.tx_hash)
        else:
            place = Place(wallet.chain, wallet.address, nonce, len(siblings))
            await keep(tx, place, terms, signed, now)
        await _take_over(desk, tx, batch, (nonce, signed.tx_hash), held_for_dead=dead)
        if nonce == wallet.next_nonce:
            await wallets.advance(tx, wallet)
        where = (wallet.chain, wallet.address, nonce)
        await lost.found_again(tx, *where, batch.move_ids, now)
        await lost.seen_otherwise(tx, *where)

    await desk.database.run(work)


async def _must_be_open(tx: Tx, move: MoveRow, wallet: WalletRow, nonce: int) -> None:
    """Refuse unless the books leave open that a movement was made by a wallet with this nonce.

    They do where it parked since an earlier nonce is dead: they are from before it was approved
    again, or started again, for this one.
    """
    if move.chain != wallet.chain or move.status not in {"ready", "parked", "signed"}:
        reason = (
            f"the books have movement {move.move_id}, for which it was signed, as {move.status}"
        )
        raise NotAdopted(reason)
    if move.left_units:
        raise NotAdopted(
            f"movement {move.move_id}, for which it was signed, moved something before"
        )
    if move.nonce is None or (move.wallet, move.nonce) == (wallet.address, nonce):
        return
    earlier = move.status == "parked" and move.wallet == wallet.address and move.nonce < nonce
    siblings = await wallets.of_nonce(tx, wallet.chain, wallet.address, move.nonce)
    if not (earlier and is_dead(siblings)):
        raise NotAdopted(f"movement {move.move_id} was signed with nonce {move.nonce} since")


async def _take_over(
    desk: Desk, tx: Tx, batch: Batch, mined: tuple[int, str], *, held_for_dead: bool
) -> None:
    (nonce, tx_hash), org_id, now = mined, batch.wallet.org_id, desk.clock.now()
    taken = await retries.found_signed(
        tx,
        org_id,
        batch.move_ids,
        wallet=batch.wallet.address,
        nonce=nonce,
        tx_hash=tx_hash,
        at=now,
    )
    if taken != len(batch.items):
        raise NotAdopted("its movement went on meanwhile")
    what = f"found on the chain as {tx_hash}, signed with nonce {nonce}"
    reason = (
        "every node confirms it, and the books had held it for dead"
        if held_for_dead
        else "the signer remembers it, and the books did not"
    )
    by = system("move", org_id).uid
    for item in batch.items:
        note = MoveNote(org_id, desk.ids.new(), item.move.move_id, now, by, what, reason)
        await notes.add_to_move(tx, note)
