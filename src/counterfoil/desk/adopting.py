"""A transaction of ours that the books do not know, taken into them (docs/decisions/0032).

Books that were restored from a backup have forgotten what was signed since. The signer has not: it
says which movements a nonce was signed for, and its bytes prove the rest. What is adopted is
followed and booked like everything else that was signed.
"""

from collections.abc import Sequence
from uuid import UUID

from counterfoil.books import invoices, lost, moves, notes, retries, wallets
from counterfoil.books.lost import LostSignature
from counterfoil.books.moves import OUTGOING, MoveRow
from counterfoil.books.notes import MoveNote
from counterfoil.books.wallets import NewTx, WalletRow
from counterfoil.core.roles import system
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import Batch, SignedBytes, Terms, batched


class _Overtaken(Exception):  # noqa: N818 - undoes the transaction, and is nobody's malfunction
    """The books say something else by now."""


async def wallet_of(desk: Desk, chain: str, address: str) -> WalletRow | None:
    """One of our wallets as it stands."""
    async with desk.database.reading() as tx:
        return await wallets.get(tx, chain, address)


async def knows(desk: Desk, chain: str, tx_hash: str, *, ok: bool) -> bool:
    """Whether the books have a mined transaction, and did not take it for dead.

    One that moved what it was to, ``ok``, they may not have for reverted either.
    """
    async with desk.database.reading() as tx:
        row = await wallets.find_tx(tx, chain, tx_hash)
    return row is not None and row.status not in ({"replaced", "reverted"} if ok else {"replaced"})


async def signed_with(desk: Desk, wallet: WalletRow, nonce: int) -> frozenset[str]:
    """The hashes that the books know to have been signed with a nonce to move something."""
    async with desk.database.reading() as tx:
        siblings = await wallets.of_nonce(tx, wallet.chain, wallet.address, nonce)
        gone = await lost.get(tx, wallet.chain, wallet.address, nonce)
    kept = {row.tx_hash for row in siblings if not row.cancels}
    return frozenset(kept | set(gone.tx_hashes if gone is not None else ()))


async def earlier_nonces(desk: Desk, wallet: WalletRow, move: MoveRow) -> list[int]:
    """Nonces that a payment was signed with before, or others of the same money that were given up.

    All of them were held for dead when it was approved again, or sent elsewhere.
    """
    if move.purpose not in OUTGOING and move.replaces_nonce is None:
        return []
    async with desk.database.reading() as tx:
        return await retries.earlier_nonces(tx, wallet.address, move)


async def landed_after_all(
    desk: Desk, wallet: WalletRow, nonce: int, move: MoveRow, mined: tuple[str, int]
) -> None:
    """Write down that a payment was made with a nonce that was held for dead.

    ``mined`` is its transaction's hash, and the block. From then on nobody approves it again, sends
    it elsewhere or gives it up for another.
    """
    (tx_hash, block_number), now = mined, desk.clock.now()
    found = LostSignature(
        chain=wallet.chain,
        wallet=wallet.address,
        nonce=nonce,
        org_id=wallet.org_id,
        move_ids=[move.move_id],
        tx_hashes=[tx_hash],
        found_at=now,
        ended="landed",
        ended_at=now,
        block_number=block_number,
    )
    async with desk.database.transaction() as tx:
        await lost.landed_after_all(tx, found)


async def batch_of(
    desk: Desk, wallet: WalletRow, nonce: int, move_ids: Sequence[UUID]
) -> Batch | None:
    """The movements that a nonce was signed for, in this order, as the books have them.

    None where they do not know one of them, or know of another end or another nonce of it.
    """
    async with desk.database.reading() as tx:
        found = {move.move_id: move for move in await moves.by_ids(tx, wallet.org_id, move_ids)}
        known = [found[move_id] for move_id in move_ids if move_id in found]
        if len(known) != len(move_ids) or not all(_open(move, wallet, nonce) for move in known):
            return None
        return await batched(tx, wallet, known)


async def adopt(desk: Desk, batch: Batch, nonce: int, terms: Terms, signed: SignedBytes) -> bool:
    """Keep bytes that were signed for a batch with a nonce and are on the chain.

    The caller has seen the receipt, and the signature over what the movements say. Their invoices
    and the wallet are locked first. False where the books know of another end of the nonce or of a
    movement, have it, or lack the nonces before it: then nothing is changed.
    """

    async def work(tx: Tx) -> bool:
        org_id = batch.wallet.org_id
        ids = {i.move.invoice_id for i in batch.items if i.move.invoice_id is not None}
        await invoices.lock_all(tx, org_id, ids)
        wallet = await wallets.lock(tx, batch.wallet.chain, batch.wallet.address)
        if wallet is None or nonce > wallet.next_nonce:
            return False
        siblings = await wallets.of_nonce(tx, wallet.chain, wallet.address, nonce)
        ended = any(row.status in {"final", "reverted"} for row in siblings)
        if ended or any(row.tx_hash == signed.tx_hash for row in siblings):
            return False
        await _keep(desk, tx, wallet, (nonce, len(siblings)), (terms, signed))
        await _take_over(desk, tx, batch, nonce, signed)
        if nonce == wallet.next_nonce:
            await wallets.advance(tx, wallet)
        await lost.end(tx, wallet.chain, wallet.address, nonce, "kept", desk.clock.now())
        return True

    try:
        return await desk.database.run(work)
    except _Overtaken:
        return False


def _open(move: MoveRow, wallet: WalletRow, nonce: int) -> bool:
    """Whether the books leave open that a movement was made by a wallet with this nonce."""
    unsigned = move.nonce is None or (move.wallet, move.nonce) == (wallet.address, nonce)
    return (
        move.chain == wallet.chain
        and move.status in {"ready", "parked", "signed"}
        and not move.moved_units
        and unsigned
    )


async def _keep(
    desk: Desk,
    tx: Tx,
    wallet: WalletRow,
    place: tuple[int, int],
    signed: tuple[Terms, SignedBytes],
) -> None:
    (nonce, attempt), (terms, signed_bytes) = place, signed
    await wallets.add_tx(
        tx,
        NewTx(
            chain=wallet.chain,
            wallet=wallet.address,
            nonce=nonce,
            attempt=attempt,
            tx_hash=signed_bytes.tx_hash,
            raw=signed_bytes.raw,
            gas_limit=terms.gas_limit,
            max_fee_wei=terms.max_fee_wei,
            tip_wei=terms.tip_wei,
            signed_at=desk.clock.now(),
        ),
    )


async def _take_over(desk: Desk, tx: Tx, batch: Batch, nonce: int, signed: SignedBytes) -> None:
    org_id, now = batch.wallet.org_id, desk.clock.now()
    taken = await retries.found_signed(
        tx,
        org_id,
        batch.move_ids,
        wallet=batch.wallet.address,
        nonce=nonce,
        tx_hash=signed.tx_hash,
        at=now,
    )
    if taken != len(batch.items):
        raise _Overtaken
    what = f"found on the chain as {signed.tx_hash}, signed with nonce {nonce}"
    reason = "the signer remembers it, and the books did not"
    by = system("move", org_id).uid
    for item in batch.items:
        note = MoveNote(org_id, desk.ids.new(), item.move.move_id, now, by, what, reason)
        await notes.add_to_move(tx, note)
