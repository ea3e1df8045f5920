"""What keeps a wallet's queue moving: dearer siblings, and lost nonces that are used up."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from counterfoil.chains.port import Chain, NonceSeen, Receipt
from counterfoil.desk import adopting, children, moving, stuck
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import (
    Batch,
    OpenTx,
    Reserved,
    SignedBytes,
    SigningRefused,
    Terms,
    WalletRow,
)
from counterfoil.desk.stuck import LostSignature, SignBytes, TxRow
from counterfoil.signer.client import SignerClient, SignerRefused, SignerUnreachable
from counterfoil.signer.orders import CancelChildOrder, CancelOrder, Order, TxTerms
from counterfoil.signer.payload import rebuild
from counterfoil.signer.wire import Code
from counterfoil.workers.adopting import Adopter, Found
from counterfoil.workers.evm_moves import (
    affordable_fee_wei,
    cancel_order,
    gas_limit,
    least_data_fee_wei,
    must_be_the_signers,
    order_for,
)

_log: Final = structlog.get_logger("counterfoil.move")

SIGHTINGS: Final = 3
"""How often a nonce must look consumed by something else before its wallet is frozen for it; one
node may have the nonce already and another not yet the receipt. Before anything is made again all
nodes are asked, see `not_proven_gone`."""


async def not_proven_gone(
    desk: Desk, chain: Chain, place: tuple[str, int], tx_hashes: Sequence[str], at_block: int
) -> str | None:
    """Why it is not sure that a nonce was consumed by none of these transactions of ours.

    ``place`` is its wallet and number. None once every endpoint of the chain said so at a
    finalized block, and again `stuck.GONE_PATIENCE` later: only then may what they were to do be
    made anew. One that is away or behind decides nothing.
    """
    wallet, nonce = place
    against, unanswered = await unlike_gone(chain, place, tx_hashes, at_block)
    if against is not None:
        await stuck.seen_otherwise(desk, chain.key, wallet, nonce)
    if why_not := against or unanswered:
        return why_not
    if await stuck.seen_gone(desk, chain.key, wallet, nonce):
        return None
    minutes = int(stuck.GONE_PATIENCE.total_seconds() // 60)
    return (
        f"nonce {nonce}: every node says that something else consumed it; they have to say so"
        f" again, {minutes} minutes after the first time"
    )


async def unlike_gone(
    chain: Chain, place: tuple[str, int], tx_hashes: Sequence[str], at_block: int
) -> tuple[str | None, str | None]:
    """What a node says against that, and which of them say nothing: both None where all agree."""
    wallet, nonce = place
    told = await chain.nonce_by_each(wallet, tx_hashes, at_block)
    silent = sorted(name for name, seen in told.items() if seen is None)
    against = _against([seen for seen in told.values() if seen is not None], nonce)
    names = " and ".join(silent) or "no endpoint"
    unanswered = f"nonce {nonce}: {names} gave no answer for the finalized block {at_block}"
    return (
        None if against is None else f"nonce {nonce}: {against}",
        unanswered if silent or not told else None,
    )


def _against(told: Sequence[NonceSeen], nonce: int) -> str | None:
    """What speaks against it in the answers that there are."""
    if len({seen.block_hash for seen in told}) > 1:
        return "the nodes have different blocks at the finalized height"
    if any(seen.count <= nonce for seen in told):
        return "a node does not count it as consumed"
    if landed := sorted({tx_hash for seen in told for tx_hash in seen.landed}):
        return f"a node has {' and '.join(landed)}, which is ours"
    if len({seen.reverted for seen in told}) > 1:
        return "only some of the nodes have a transaction of ours that reverted"
    return None


async def contradicted(
    chain: Chain, place: tuple[str, int], tx_hashes: Sequence[str] = ()
) -> str | None:
    """What a node says against it that a nonce is used, and by none of these; None where none does.

    One that is away or behind says nothing: a key that others use is a matter of minutes.
    """
    block = await chain.block("finalized")
    if block is None:
        return "no node tells its finalized block"
    against, _ = await unlike_gone(chain, place, tx_hashes, block.number)
    return against


class Unblocker:
    """Looks after the nonces of one worker's wallets that do not move on by themselves."""

    def __init__(self, desk: Desk, signer: SignerClient) -> None:
        """Hold what to work with; what is counted here may be forgotten."""
        self._desk = desk
        self._signer = signer
        self._adopter = Adopter(desk, signer)
        self._sightings: Counter[tuple[str, str, int]] = Counter()
        self._not_before: dict[tuple[str, str], datetime] = {}

    def seen_gone(self, key: tuple[str, str, int]) -> bool:
        """Count that a nonce looks consumed by something else; True once that is believed."""
        self._sightings[key] += 1
        return self._sightings[key] >= SIGHTINGS

    def seen_well(self, key: tuple[str, str, int]) -> None:
        """Take back what was counted."""
        self._sightings.pop(key, None)

    async def bump(self, chain: Chain, open_tx: OpenTx) -> bool:
        """Have a dearer sibling signed for what is next in its wallet's queue and stuck."""
        row = open_tx.tx
        frozen = open_tx.wallet.frozen_reason is not None
        if frozen or not stuck.is_stuck(open_tx, self._desk.clock.now()):
            return False
        if await chain.nonce(row.wallet, "latest") != row.nonce:
            return False  # Something before it is stuck, or it has just been mined.
        wallets = await self._signer.addresses(open_tx.wallet.org_id)
        must_be_the_signers(open_tx.wallet, wallets)
        order = (
            order_for(Batch(open_tx.wallet, open_tx.items), wallets)
            if open_tx.lost is None
            else await self._cancelling(open_tx.wallet, open_tx.lost)
        )
        fees = await chain.fees()
        data_fee_wei = await chain.data_fee_wei(rebuild(order, wallets).data)
        data_fee_wei = least_data_fee_wei(data_fee_wei)
        terms = stuck.dearer(row, fees.max_fee_wei, fees.tip_wei, data_fee_wei)
        reserved = await stuck.bump(self._desk, open_tx, terms, self._signing(order))
        _log.warning(
            "move.bumped" if reserved is Reserved.SIGNED else "move.not_bumped",
            chain=chain.key,
            wallet=row.wallet,
            nonce=row.nonce,
            max_fee_wei=terms.max_fee_wei,
            outcome=reserved.value,
        )
        return reserved is Reserved.SIGNED

    async def cancel(self, chain: Chain, wallet: WalletRow) -> bool:
        """Use up the wallet's next nonce where its signature got lost and nothing can follow."""
        hole = await stuck.hole_of(self._desk, wallet)
        key = (wallet.chain, wallet.address)
        if hole is None or self._desk.clock.now() < self._not_before.get(key, hole.found_at):
            return False
        wallets = await self._signer.addresses(wallet.org_id)
        must_be_the_signers(wallet, wallets)
        order = await self._cancelling(wallet, hole)
        payload = rebuild(order, wallets)
        gas = await chain.estimate_gas(wallet.address, payload.to, payload.data)
        fees = await chain.fees()
        data_fee_wei = least_data_fee_wei(await chain.data_fee_wei(payload.data))
        limit = gas_limit(gas, wallet.role)
        max_fee_wei = await affordable_fee_wei(self._desk, wallet, limit, fees, data_fee_wei)
        terms = Terms(limit, max_fee_wei, fees.tip_wei, data_fee_wei)
        try:
            reserved = await stuck.cancel(self._desk, hole, terms, self._signing(order))
        except SigningRefused as refused:
            self._not_before[key] = self._desk.clock.now() + stuck.BUMP_PAUSE
            _log.error("move.not_cancelled", wallet=wallet.address, reason=refused.reason)
            return False
        _log.warning(
            "move.nonce_cancelled",
            chain=chain.key,
            wallet=wallet.address,
            nonce=hole.nonce,
            outcome=reserved.value,
        )
        return reserved is Reserved.SIGNED

    async def found(
        self, wallet: WalletRow, nonce: int, move_ids: Iterable[str], tx_hashes: Iterable[str]
    ) -> None:
        """Remember what the signer says about a nonce that the books know nothing of."""
        ids = {UUID(move_id) for move_id in move_ids}
        if await stuck.found_lost(self._desk, wallet, nonce, ids, set(tx_hashes)):
            _log.error("move.nonce_lost", chain=wallet.chain, wallet=wallet.address, nonce=nonce)

    async def settle_lost(self, chain: Chain) -> None:
        """Find out at a finalized block what became of nonces whose signature got lost."""
        for lost, siblings in await stuck.unsettled(self._desk, chain.key):
            await self._settle_lost(chain, lost, siblings)

    async def _settle_lost(
        self, chain: Chain, lost: LostSignature, siblings: tuple[TxRow, ...]
    ) -> None:
        block = await chain.block("finalized")
        if block is None or await chain.nonce(lost.wallet, "finalized") <= lost.nonce:
            return
        hashes = {*lost.tx_hashes, *(row.tx_hash for row in siblings)}
        for tx_hash in sorted(hashes):
            receipt = await chain.receipt(tx_hash)
            if receipt is not None and receipt.ok:
                await self._landed(chain, lost, receipt)
                return
        why_not = await not_proven_gone(
            self._desk, chain, (lost.wallet, lost.nonce), sorted(hashes), block.number
        )
        if why_not is None:
            await stuck.settle_lost(self._desk, lost, "gone", block.number)
        else:
            _log.info("move.not_proven_gone", wallet=lost.wallet, nonce=lost.nonce, reason=why_not)

    async def _landed(self, chain: Chain, lost: LostSignature, receipt: Receipt) -> None:
        """Take what landed into the books; what does not fit them freezes the wallet."""
        wallet = await adopting.wallet_of(self._desk, chain.key, lost.wallet)
        found = Found.FOREIGN
        if wallet is not None:
            found = await self._adopter.adopt(chain, wallet, lost.nonce, reverted=False)
        if wallet is None or found.is_followed:
            return
        reason = (
            f"nonce {lost.nonce} was used by {receipt.tx_hash}, which the signer signed for move"
            f" {' and '.join(map(str, lost.move_ids))}, and the books say something else of it"
        )
        _log.error("move.lost_and_landed", chain=chain.key, tx_hash=receipt.tx_hash, reason=reason)
        await stuck.settle_lost(self._desk, lost, "landed", receipt.block_number)
        await moving.freeze(self._desk, wallet, reason)

    async def _cancelling(
        self, wallet: WalletRow, hole: LostSignature
    ) -> CancelOrder | CancelChildOrder:
        """The order to use a lost nonce up, once the address is found to be the signer's."""
        if wallet.role != "child":
            return cancel_order(wallet, hole)
        number = await children.number_of(self._desk, wallet)
        derived = await self._signer.deposits(wallet.org_id)
        ours = number is not None and derived.address(number) == wallet.address
        return cancel_order(wallet, hole, number if ours else None)

    def _signing(self, order: Order) -> SignBytes:
        async def sign(nonce: int, terms: Terms) -> SignedBytes:
            asked = TxTerms(nonce, terms.gas_limit, terms.max_fee_wei, terms.tip_wei)
            try:
                signed = await self._signer.sign(order, asked)
            except SignerRefused as refused:
                if refused.code is Code.BROKEN:
                    raise SignerUnreachable(refused.reason) from refused
                raise SigningRefused(f"the signer refused: {refused.reason}") from refused
            return SignedBytes(signed.raw, signed.tx_hash)

        return sign
