"""Moving money: have it signed, send what is committed, follow it until nothing can undo it.

Any number of these may run. Who signs is decided by the wallet's lock, who settles by the
transaction's own row; sending the same bytes twice is harmless (specs/reliability.md 1.3).
"""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from counterfoil.chains.port import CallReverted, Chain, ChainError, Receipt, SendOutcome
from counterfoil.desk import landing, moving
from counterfoil.desk.desk import Desk
from counterfoil.desk.landing import Settled
from counterfoil.desk.moving import (
    Batch,
    OpenTx,
    Reserved,
    SignedBytes,
    SigningRefused,
    Terms,
    TxRow,
    WalletRow,
)
from counterfoil.signer.client import SignerClient, SignerRefused, SignerUnreachable
from counterfoil.signer.orders import TxTerms
from counterfoil.signer.payload import rebuild
from counterfoil.signer.wire import Code
from counterfoil.workers.evm_moves import landed, order_for

_log: Final = structlog.get_logger("counterfoil.move")

REVERT_PATIENCE: Final = timedelta(minutes=10)
"""How long a call may be predicted to revert before its movement parks. A node that lags
behind predicts that too, so it is not believed at once."""

SIGHTINGS: Final = 3
"""How often a nonce must look consumed by something else before its wallet freezes; one node
may have the nonce already and another not yet the receipt."""

GAS_MARGIN_PERCENT: Final = 125
"""An estimate is made on another block than the one that the transaction lands in."""

WAITING_FOR_GAS: Final = "waiting for gas"


class _NonceTaken(Exception):  # noqa: N818 - a turn of the road, not a malfunction
    """The signer gave this nonce to other movements, whose transaction was never kept."""

    def __init__(self, move_ids: frozenset[UUID], reason: str) -> None:
        super().__init__(reason)
        self.move_ids = move_ids


class MoveWorker:
    """Carries out the moves of all organisations on the chains it is given."""

    def __init__(self, desk: Desk, chains: Mapping[str, Chain], signer: SignerClient) -> None:
        """Hold what to work with; nothing of what is going on is kept here."""
        self._desk = desk
        self._chains = chains
        self._signer = signer
        self._sightings: Counter[tuple[str, str, int]] = Counter()

    async def step(self) -> bool:
        """One round over every chain; answers whether anything was signed, sent or settled."""
        busy = False
        for chain in self._chains.values():
            try:
                busy |= await self._round(chain)
            except ChainError as error:
                _log.warning("move.chain_failed", chain=chain.key, reason=str(error))
        return busy

    async def _round(self, chain: Chain) -> bool:
        # Followed first: a chain that refuses estimates must not keep us from seeing receipts.
        followed = await self.follow(chain)
        reserved = await self.reserve(chain)
        sent = await self.broadcast(chain)
        return followed or reserved or sent

    async def reserve(self, chain: Chain) -> bool:
        """Have everything signed that may move; answers whether anything was."""
        signed = False
        for wallet in await moving.wallets_of(self._desk, chain.key):
            if wallet.frozen_reason is not None:
                continue
            try:
                signed |= await self._reserve_for(chain, wallet)
            except SignerUnreachable as unreachable:
                _log.warning("move.signer_unreachable", reason=str(unreachable))
                return signed
        return signed

    async def broadcast(self, chain: Chain) -> bool:
        """Offer committed bytes to a node, for the first time or again."""
        due = await moving.due_txs(self._desk, chain.key)
        for row in due:
            await self._send(chain, row)
        return bool(due)

    async def follow(self, chain: Chain) -> bool:
        """Settle what stands in a finalized, canonical block; answers whether anything did."""
        open_txs = await moving.open_txs(self._desk, chain.key)
        finalized = await chain.block("finalized") if open_txs else None
        if finalized is None:
            return False
        settled = False
        for open_tx in open_txs:
            receipt = await self._receipt(chain, open_tx)
            if receipt is None or receipt.block_number > finalized.number:
                continue
            block = await chain.block(receipt.block_number)
            if block is not None and block.hash == receipt.block_hash:
                settled |= await self._settle(open_tx, receipt)
        return settled

    async def _reserve_for(self, chain: Chain, wallet: WalletRow) -> bool:
        skip: set[UUID] = set()
        signed = False
        checked = False
        while batch := await moving.next_batch(self._desk, wallet, skip=skip):
            if not checked and await self._is_foreign(chain, wallet):
                return signed
            checked = True
            reserved = await self._attempt(chain, batch)
            signed |= reserved is Reserved.SIGNED
            if reserved is Reserved.FROZEN or reserved is Reserved.WAITING_FOR_GAS:
                _log.warning("move.not_signed", wallet=wallet.address, reason=reserved.value)
                return signed
            if reserved is None or reserved is Reserved.CHANGED:
                skip |= batch.move_ids
        return signed

    async def _is_foreign(self, chain: Chain, wallet: WalletRow) -> bool:
        nonce = await chain.nonce(wallet.address, "finalized")
        reason = await moving.freeze_if_ahead(self._desk, wallet, nonce)
        if reason is not None:
            _log.error("move.frozen", chain=chain.key, wallet=wallet.address, reason=reason)
        return reason is not None

    async def _attempt(self, chain: Chain, batch: Batch) -> Reserved | None:
        """Try to have a batch signed; None when it cannot be judged now."""
        try:
            return await self._reserve_batch(chain, batch)
        except _NonceTaken as taken:
            _log.warning("move.nonce_taken", wallet=batch.wallet.address, reason=str(taken))
            earlier = await moving.batch_of(self._desk, batch.wallet, taken.move_ids)
            if earlier is None:
                _log.error("move.nonce_blocked", wallet=batch.wallet.address, reason=str(taken))
                return None
            return await self._reserve_batch(chain, earlier)

    async def _reserve_batch(self, chain: Chain, batch: Batch) -> Reserved | None:
        if batch.wallet.role == "operator":
            differences = await balance_differences(self._desk, chain, batch)
            if differences is None:
                return None
            if differences:
                _log.error("move.balance_differs", chain=chain.key, moves=_names(differences))
                await moving.park(self._desk, batch.wallet.org_id, differences)
                return Reserved.PARKED
        try:
            terms = await self._terms(chain, batch)
        except SigningRefused as refused:
            await self._park_all(batch, refused.reason)
            return Reserved.PARKED
        except CallReverted as reverted:
            return await self._would_revert(batch, reverted)
        reserved = await moving.reserve(self._desk, batch, terms, self._sign)
        _log.info("move.reserve", chain=chain.key, outcome=reserved.value, moves=_names(batch))
        return reserved

    async def _terms(self, chain: Chain, batch: Batch) -> Terms:
        wallets = await self._signer.addresses(batch.wallet.org_id)
        payload = rebuild(order_for(batch, wallets), wallets)
        gas = await chain.estimate_gas(
            batch.wallet.address, payload.to, payload.data, payload.value_wei
        )
        fees = await chain.fees()
        return Terms(gas * GAS_MARGIN_PERCENT // 100, fees.max_fee_wei, fees.tip_wei)

    async def _would_revert(self, batch: Batch, reverted: CallReverted) -> Reserved | None:
        reason = f"the chain would refuse it: {reverted}"
        _log.warning("move.would_revert", moves=_names(batch), reason=reason)
        ready_since = max(item.move.updated_at for item in batch.items)
        if self._desk.clock.now() - ready_since < REVERT_PATIENCE:
            return None
        await self._park_all(batch, reason)
        return Reserved.PARKED

    async def _park_all(self, batch: Batch, reason: str) -> None:
        _log.error("move.parked", moves=_names(batch), reason=reason)
        reasons = dict.fromkeys(batch.move_ids, reason)
        await moving.park(self._desk, batch.wallet.org_id, reasons)

    async def _sign(self, batch: Batch, nonce: int, terms: Terms) -> SignedBytes:
        wallets = await self._signer.addresses(batch.wallet.org_id)
        asked = TxTerms(nonce, terms.gas_limit, terms.max_fee_wei, terms.tip_wei)
        try:
            signed = await self._signer.sign(order_for(batch, wallets), asked)
        except SignerRefused as refused:
            if refused.code is Code.BROKEN:
                raise SignerUnreachable(refused.reason) from refused
            if refused.code is Code.NONCE_TAKEN:
                taken = frozenset(UUID(move_id) for move_id in refused.move_ids)
                raise _NonceTaken(taken, refused.reason) from refused
            raise SigningRefused(refused.reason) from refused
        return SignedBytes(signed.raw, signed.tx_hash)

    async def _send(self, chain: Chain, row: TxRow) -> None:
        sent = await chain.send(row.raw)
        match sent.outcome:
            case SendOutcome.ACCEPTED | SendOutcome.ALREADY_KNOWN | SendOutcome.NONCE_TOO_LOW:
                # A consumed nonce is no error: `follow` finds out by whom.
                error = None
            case SendOutcome.NO_GAS_MONEY:
                error = WAITING_FOR_GAS
            case _:
                error = f"{sent.outcome.value}: {sent.reason}"
        await moving.note_sent(self._desk, row, error)
        if error is None:
            _log.info("move.sent", chain=chain.key, tx_hash=row.tx_hash, outcome=sent.outcome)
        else:
            _log.error("move.not_sent", chain=chain.key, tx_hash=row.tx_hash, reason=error)

    async def _receipt(self, chain: Chain, open_tx: OpenTx) -> Receipt | None:
        row = open_tx.tx
        key = (row.chain, row.wallet, row.nonce)
        receipt = await chain.receipt(row.tx_hash)
        if receipt is not None:
            self._sightings.pop(key, None)
            return receipt
        # Asked in this order, so that a transaction mined in between is not taken for gone.
        consumed = await chain.nonce(row.wallet, "finalized") > row.nonce
        if not consumed or (receipt := await chain.receipt(row.tx_hash)) is not None:
            self._sightings.pop(key, None)
            return receipt
        self._sightings[key] += 1
        if self._sightings[key] >= SIGHTINGS:
            reason = f"nonce {row.nonce} was consumed by a transaction that is not {row.tx_hash}"
            await moving.freeze(self._desk, open_tx.wallet, reason)
            _log.error("move.frozen", chain=chain.key, wallet=row.wallet, reason=reason)
        return None

    async def _settle(self, open_tx: OpenTx, receipt: Receipt) -> bool:
        told = landed(open_tx, receipt)
        settled = await landing.settle(self._desk, told)
        for item in told.items:
            if item.problem is not None and settled is Settled.BOOKED:
                _log.error("move.parked", move_id=str(item.move_id), reason=item.problem)
        _log.info("move.landed", tx_hash=told.tx_hash, ok=told.ok, outcome=settled.value)
        return settled is Settled.BOOKED


async def balance_differences(desk: Desk, chain: Chain, batch: Batch) -> dict[UUID, str] | None:
    """What the chain says about a sweep's deposit addresses against our books, per movement.

    Empty when both agree; None when the watcher has not begun, so nothing can be compared
    (specs/chains.md 6.2 item 3).
    """
    expected = await moving.expected_balances(desk, batch)
    if expected is None:
        return None
    addresses = list(expected.units)
    found = await chain.token_balances(expected.contract, addresses, expected.at_block)
    on_chain = dict(zip(addresses, found, strict=True))
    return {
        item.move.move_id: (
            f"{item.deposit_address} holds {on_chain[address]} base units of {expected.contract}"
            f" at block {expected.at_block}, the books say {expected.units[address]}"
        )
        for item in batch.items
        if (address := item.deposit_address) is not None
        and on_chain[address] != expected.units[address]
    }


def _names(moves: Batch | Mapping[UUID, str]) -> list[str]:
    ids = moves.move_ids if isinstance(moves, Batch) else moves
    return sorted(str(move_id) for move_id in ids)
