"""Transactions that are not mined, and nonces whose signature got lost: what blocks a wallet.

A transaction that waits too long gets a dearer sibling: the same nonce, so the chain takes one of
them, whichever lands. A nonce that the signer gave away while nothing was kept of it is used up by
a transaction that does nothing (specs/reliability.md 1.3, points 3 and 4).
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from counterfoil.books import lost, wallets
from counterfoil.books.lost import LostSignature
from counterfoil.books.wallets import TxRow, WalletRole, WalletRow
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import (
    OpenTx,
    Reserved,
    SigningRefused,
    lineages,
    short_of_gas,
)
from counterfoil.desk.signed import Place, SignedBytes, Terms, keep

__all__ = ["LostSignature", "TxRow"]

PATIENCE: Final = timedelta(minutes=2)
"""How long a transaction may wait to be mined before it gets a dearer sibling. Blocks come every
second or two on the chains we use, so this is long; it doubles with every sibling."""

LONGEST_PATIENCE: Final = timedelta(minutes=30)

UNDERPRICED_PATIENCE: Final = timedelta(seconds=10)
"""The same where a node said itself that the fee is too low."""

BUMP_PAUSE: Final = timedelta(minutes=1)
"""Before a dearer sibling is asked for again that could not be had."""

HOLE_PATIENCE: Final = timedelta(minutes=5)
"""How long a lost nonce waits for its own movements to become ready again: a payment that is
cancelled has to be approved again by a person, while every other one of the wallet waits."""

GONE_PATIENCE: Final = timedelta(minutes=2)
"""How long after every node said that a nonce was consumed by something else they have to say so
again: what was signed with it may be made anew, so a bad minute of theirs must not decide it."""

_NUMERATOR: Final = 1125
_DENOMINATOR: Final = 1000
"""A sibling offers 12.5 % more: nodes ask for 10 % (geth, ``txpool.pricebump``)."""

SignBytes = Callable[[int, Terms], Awaitable[SignedBytes]]
"""Has one known thing signed with a nonce on terms; raises `SigningRefused`."""


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """A nonce that is not settled yet. ``hole``: its signature was lost and it blocks the wallet.

    ``age`` is since its first signature, or since the loss was found. ``reason`` is why its end is
    not believed, no node took it or no dearer one was signed, empty when nothing is known to be
    wrong.
    """

    org_id: int
    chain: str
    role: WalletRole | None
    wallet: str
    nonce: int
    attempts: int
    age: timedelta
    reason: str
    hole: bool = False


def is_stuck(open_tx: OpenTx, now: datetime) -> bool:
    """Whether an unmined transaction has waited long enough for a dearer sibling."""
    newest = open_tx.tx
    if newest.bump_after is not None and now < newest.bump_after:
        return False
    if (newest.send_error or "").startswith("underpriced"):
        return now - newest.signed_at >= UNDERPRICED_PATIENCE
    if newest.status == "signed":
        return False  # No node has taken it, for a reason that more money does not mend.
    patience = min(PATIENCE * (1 << min(newest.attempt, 10)), LONGEST_PATIENCE)
    return now - newest.signed_at >= patience


def dearer(before: TxRow, market_fee_wei: int, market_tip_wei: int, data_fee_wei: int = 0) -> Terms:
    """The terms of a sibling: an eighth above the last one's, or the market's where that is more.

    Rounded up, as nodes compare exactly. ``data_fee_wei`` is what is to be reckoned beside gas.
    """
    fee_wei = max(market_fee_wei, _an_eighth_more(before.max_fee_wei))
    tip_wei = max(market_tip_wei, _an_eighth_more(before.tip_wei))
    return Terms(before.gas_limit, max(fee_wei, tip_wei), tip_wei, data_fee_wei)


async def bump(desk: Desk, open_tx: OpenTx, terms: Terms, sign: SignBytes) -> Reserved:
    """Have a dearer sibling signed and keep its bytes: one transaction, or nothing.

    The wallet is locked and the nonce looked at again first. A refusal is kept beside the newest
    sibling, and asked again later. What ``sign`` raises otherwise goes through.
    """
    newest = open_tx.tx
    async with desk.database.transaction() as tx:
        wallet = await wallets.lock(tx, newest.chain, newest.wallet)
        if wallet is None or wallet.frozen_reason is not None:
            return Reserved.FROZEN
        siblings = await wallets.of_nonce(tx, newest.chain, newest.wallet, newest.nonce)
        if siblings[-1].tx_hash != newest.tx_hash or siblings[-1].status not in {"signed", "sent"}:
            return Reserved.CHANGED
        more_wei = max(terms.cost_wei - newest.cost_wei, 0)
        until = desk.clock.now() + BUMP_PAUSE
        if short := await short_of_gas(tx, wallet, more_wei):
            await wallets.no_bump(tx, newest, short, until)
            return Reserved.WAITING_FOR_GAS
        try:
            signed = await sign(newest.nonce, terms)
        except SigningRefused as refused:
            await wallets.no_bump(tx, newest, refused.reason, until)
            return Reserved.WAITING
        sibling = Place(
            newest.chain, newest.wallet, newest.nonce, newest.attempt + 1, newest.cancels
        )
        await keep(tx, sibling, terms, signed, desk.clock.now())
        return Reserved.SIGNED


async def found_lost(
    desk: Desk,
    wallet: WalletRow,
    nonce: int,
    move_ids: Collection[UUID],
    tx_hashes: Collection[str],
) -> bool:
    """Remember what the signer says it signed with a nonce; False where that was known."""
    found = LostSignature(
        chain=wallet.chain,
        wallet=wallet.address,
        nonce=nonce,
        org_id=wallet.org_id,
        move_ids=sorted(move_ids),
        tx_hashes=sorted(tx_hashes),
        found_at=desk.clock.now(),
    )
    async with desk.database.transaction() as tx:
        return await lost.add(tx, found)


async def hole_of(desk: Desk, wallet: WalletRow) -> LostSignature | None:
    """The lost signature that keeps the wallet's next nonce back and has had its time."""
    async with desk.database.reading() as tx:
        found = await lost.get(tx, wallet.chain, wallet.address, wallet.next_nonce)
    if found is None or found.ended is not None:
        return None
    return found if desk.clock.now() - found.found_at >= HOLE_PATIENCE else None


async def cancel(desk: Desk, hole: LostSignature, terms: Terms, sign: SignBytes) -> Reserved:
    """Have a lost nonce used up by a transaction that does nothing: one transaction, or nothing.

    Nothing is decided about its movements: only when this has landed may a payment among them be
    approved again. Raises `SigningRefused`, and whatever else ``sign`` raises.
    """
    async with desk.database.transaction() as tx:
        wallet = await wallets.lock(tx, hole.chain, hole.wallet)
        if wallet is None or wallet.frozen_reason is not None:
            return Reserved.FROZEN
        now = await lost.get(tx, hole.chain, hole.wallet, hole.nonce)
        if wallet.next_nonce != hole.nonce or now is None or now.ended is not None:
            return Reserved.CHANGED
        if await short_of_gas(tx, wallet, terms.cost_wei):
            return Reserved.WAITING_FOR_GAS
        signed = await sign(hole.nonce, terms)
        place = Place(hole.chain, hole.wallet, hole.nonce, cancels=True)
        await keep(tx, place, terms, signed, desk.clock.now())
        await wallets.advance(tx, wallet)
        return Reserved.SIGNED


async def unsettled(desk: Desk, chain: str) -> list[tuple[LostSignature, tuple[TxRow, ...]]]:
    """Lost signatures of nonces that nothing of ours is about to use up, with what we kept of them.

    Their end is for the chain to tell, see `settle_lost`.
    """
    async with desk.database.reading() as tx:
        found = []
        for one in await lost.open_ones(tx, chain):
            siblings = await wallets.of_nonce(tx, chain, one.wallet, one.nonce)
            if all(row.status not in {"signed", "sent"} for row in siblings):
                found.append((one, tuple(siblings)))
        return found


async def seen_gone(desk: Desk, chain: str, wallet: str, nonce: int) -> bool:
    """Remember that every node says that a nonce was consumed by something else than we signed.

    True once they say so for the second time, `GONE_PATIENCE` after the first.
    """
    now = desk.clock.now()
    async with desk.database.transaction() as tx:
        since = await lost.seen_gone(tx, chain, wallet, nonce, now)
    return now - since >= GONE_PATIENCE


async def seen_otherwise(desk: Desk, chain: str, wallet: str, nonce: int) -> None:
    """Forget what was remembered: a node says something else."""
    async with desk.database.transaction() as tx:
        await lost.seen_otherwise(tx, chain, wallet, nonce)


async def settle_lost(
    desk: Desk, gone: LostSignature, ended: Literal["gone", "landed"], at_block: int
) -> bool:
    """Write down what became of a lost nonce, as of a finalized block."""
    async with desk.database.transaction() as tx:
        where = (gone.chain, gone.wallet, gone.nonce)
        return await lost.end(tx, *where, ended, desk.clock.now(), at_block)


async def note_doubt(desk: Desk, row: TxRow, reason: str | None) -> None:
    """Remember why the end that one node tells is not believed, or that there is no doubt."""
    if row.doubt != reason:
        async with desk.database.transaction() as tx:
            await wallets.note_doubt(tx, row.chain, row.tx_hash, reason)


async def on_their_way(desk: Desk) -> list[OnItsWay]:
    """Every nonce of ours that is not settled, holes among them, of all organisations."""
    now = desk.clock.now()
    async with desk.database.reading() as tx:
        found = [
            await _on_its_way(tx, siblings, now)
            for siblings in lineages(await wallets.open_txs(tx))
        ]
        for one in await lost.open_ones(tx):
            siblings = await wallets.of_nonce(tx, one.chain, one.wallet, one.nonce)
            if not siblings:
                found.append(await _hole(tx, one, now))
        return found


async def _on_its_way(tx: Tx, siblings: tuple[TxRow, ...], now: datetime) -> OnItsWay:
    first, newest = siblings[0], siblings[-1]
    wallet = await wallets.get(tx, first.chain, first.wallet)
    return OnItsWay(
        org_id=wallet.org_id if wallet else 0,
        chain=first.chain,
        role=wallet.role if wallet else None,
        wallet=first.wallet,
        nonce=first.nonce,
        attempts=len(siblings),
        age=now - first.signed_at,
        reason=newest.doubt or newest.bump_error or newest.send_error or "",
    )


async def _hole(tx: Tx, found: LostSignature, now: datetime) -> OnItsWay:
    wallet = await wallets.get(tx, found.chain, found.wallet)
    names = ", ".join(str(move_id) for move_id in found.move_ids)
    return OnItsWay(
        org_id=found.org_id,
        chain=found.chain,
        role=wallet.role if wallet else None,
        wallet=found.wallet,
        nonce=found.nonce,
        attempts=0,
        age=now - found.found_at,
        reason=f"it was signed for move {names}, and nothing was kept of it",
        hole=True,
    )


def _an_eighth_more(wei: int) -> int:
    return -(-wei * _NUMERATOR // _DENOMINATOR)
