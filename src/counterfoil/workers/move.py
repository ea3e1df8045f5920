"""Moving money: have it signed, send what is committed, follow it until nothing can undo it.

Any number of these may run. Who signs is decided by the wallet's lock, who settles by the
transaction's own row; sending the same bytes twice is harmless (specs/reliability.md 1.3).
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from counterfoil.chains.evm.addresses import DepositAddresses
from counterfoil.chains.port import (
    Block,
    CallReverted,
    Chain,
    ChainError,
    Receipt,
    SendOutcome,
)
from counterfoil.desk import children, landing, moving, token_fees
from counterfoil.desk.desk import Desk
from counterfoil.desk.landing import Landed, Settled
from counterfoil.desk.moving import (
    Batch,
    OpenTx,
    Reserved,
    SignedBytes,
    SigningDelayed,
    SigningRefused,
    Terms,
    TxRow,
    WalletRow,
)
from counterfoil.desk.objections import LONG, OUTGOING, SHORT, pause_until
from counterfoil.signer.client import SignerClient, SignerRefused, SignerUnreachable
from counterfoil.signer.orders import TxTerms, WalletAddresses
from counterfoil.signer.payload import rebuild
from counterfoil.signer.wire import Code
from counterfoil.workers.adopting import Adopter
from counterfoil.workers.before_sweeping import NotComparable, balance_differences
from counterfoil.workers.earlier import MadeAfterAll, made_before
from counterfoil.workers.evm_moves import (
    affordable_fee_wei,
    gas_limit,
    least_data_fee_wei,
    must_be_the_signers,
    order_for,
    strangers,
)
from counterfoil.workers.proven import Mined, Vouching
from counterfoil.workers.runner import alone, sentence
from counterfoil.workers.stuck import Unblocker, contradicted, not_proven_gone
from counterfoil.workers.witness import TWO_NODES_FROM_DOLLARS

_log: Final = structlog.get_logger("counterfoil.move")

REFUSED_PATIENCE: Final = timedelta(hours=1)
"""How long a payment that the chain would refuse is tried again before a person has to look."""

HIDDEN_AFTER: Final = timedelta(minutes=1)
"""After how long a second node is asked for a receipt that the first does not show. Nodes have lost
the index that receipts are found by."""


class _NonceTaken(Exception):  # noqa: N818 - a turn of the road, not a malfunction
    """The signer gave this nonce to other movements, whose transaction was never kept."""

    def __init__(self, nonce: int, refused: SignerRefused) -> None:
        super().__init__(refused.reason)
        self.nonce = nonce
        self.refused = refused
        self.move_ids = frozenset(UUID(move_id) for move_id in refused.move_ids)


class _MoveSigned(SigningRefused):
    """The signer gave these movements another nonce before."""

    def __init__(self, refused: SignerRefused) -> None:
        super().__init__(refused.reason)
        self.refused = refused


class MoveWorker:
    """Carries out the moves of all organisations on the chains it is given."""

    def __init__(
        self,
        desk: Desk,
        chains: Mapping[str, Chain],
        signer: SignerClient,
        two_nodes_from_dollars: int = TWO_NODES_FROM_DOLLARS,
    ) -> None:
        """Hold what to work with; only whose turn it is is kept here.

        What moved ``two_nodes_from_dollars`` or more is booked once two nodes say so.
        """
        self._desk = desk
        self._chains = chains
        self._signer = signer
        self._adopter = Adopter(desk, signer)
        self._made = MadeAfterAll(desk, self._adopter)
        self._unblocker = Unblocker(desk, signer)
        self._vouching = Vouching(desk, two_nodes_from_dollars)
        self._children = children.Turns(desk)

    async def step(self) -> bool:
        """One round over chains with work; answers whether anything was signed, sent or settled.

        What is wrong with one chain, wallet or movement is logged and keeps no other waiting.
        """
        busy = False
        at_work = await moving.chains_at_work(self._desk)
        for chain in (self._chains[key] for key in self._chains if key in at_work):
            # What is committed first: nothing that goes wrong later may keep it from being sent.
            for do in (self.broadcast, self.follow, self.reserve, self.find_lost):
                with _alone(chain):
                    busy |= await do(chain)
        return busy

    async def broadcast(self, chain: Chain) -> bool:
        """Offer committed bytes to a node, for the first time or again."""
        due = await moving.due_txs(self._desk, chain.key)
        for row in due:
            with _alone(chain, wallet=row.wallet, tx_hash=row.tx_hash):
                await self._send(chain, row)
        return bool(due)

    async def reserve(self, chain: Chain) -> bool:
        """Have everything signed that may move; answers whether anything was."""
        signed = False
        standing = await moving.wallets_of(self._desk, chain.key)
        for wallet in (*standing, *await self._children.wallets(chain.key)):
            if wallet.frozen_reason is None:
                with _alone(chain, wallet=wallet.address):
                    signed |= await self._unblocker.cancel(chain, wallet)
                    signed |= await self._reserve_for(chain, wallet)
        return signed

    async def find_lost(self, chain: Chain) -> bool:
        """Find out what became of nonces that were lost, or held for dead; nobody waits for it."""
        await self._unblocker.settle_lost(chain)
        await self._made.look(chain)
        return False

    async def follow(self, chain: Chain) -> bool:
        """Settle what is proven to stand in a finalized block; answers whether anything did."""
        open_txs = await moving.open_txs(self._desk, chain.key)
        finalized = await chain.block("finalized") if open_txs else None
        if finalized is None:
            return False
        mined: list[Mined] = []
        settled = False
        for open_tx in open_txs:
            with _alone(chain, wallet=open_tx.wallet.address, tx_hash=open_tx.tx.tx_hash):
                receipt = await self._receipt(chain, open_tx)
                if receipt is None:
                    await self._vouching.unmined(open_tx)
                    settled |= await self._unblocker.bump(chain, open_tx)
                elif await _is_final(chain, receipt, finalized):
                    mined.append(Mined.of(open_tx, receipt))
        for one in await self._vouching.proven(chain, mined):
            with _alone(chain, wallet=one.open_tx.wallet.address, tx_hash=one.receipt.tx_hash):
                settled |= await self._settle(one.told)
        return settled

    async def _reserve_for(self, chain: Chain, wallet: WalletRow) -> bool:
        skip: set[UUID] = set()
        signed = False
        checked = False
        next_batch = children.next_batch if wallet.role == "child" else moving.next_batch
        while batch := await next_batch(self._desk, wallet, skip=skip):
            if not checked and await self._is_ahead(chain, wallet, batch):
                return signed
            checked = True
            reserved = await self._attempt(chain, batch)
            signed |= reserved is Reserved.SIGNED
            if reserved is None or reserved in _WALLET_STOPS:
                _log.warning("move.not_signed", wallet=wallet.address, reason=reserved)
                return signed
            # What was signed, parked or told to wait does not come again; the rest may.
            if reserved is Reserved.CHANGED:
                skip |= batch.move_ids
        return signed

    async def _is_ahead(self, chain: Chain, wallet: WalletRow, batch: Batch) -> bool:
        """Whether the chain counts more of the wallet than the books, so nothing is signed now.

        What we signed ourselves is taken into the books; anything else freezes the wallet. Its
        ``batch`` waits while another node contradicts: one that lies could stop all payments.
        """
        nonce = await chain.nonce(wallet.address, "finalized")
        if nonce <= wallet.next_nonce:
            return False
        if (await self._adopter.catch_up(chain, wallet, nonce)).is_followed:
            return True
        place = (wallet.address, nonce - 1)
        if against := await contradicted(chain, place):
            why = (
                f"a node counts {nonce} transactions of {wallet.address}, we signed"
                f" {wallet.next_nonce}, and nodes do not agree: {against}"
            )
            await self._wait(batch, why, SHORT)
            return True
        reason = await moving.freeze_if_ahead(self._desk, wallet, nonce)
        if reason is not None:
            _log.error("move.frozen", chain=chain.key, wallet=wallet.address, reason=reason)
        return True

    async def _attempt(self, chain: Chain, batch: Batch) -> Reserved | None:
        """Try to have a batch signed; None when nothing of its wallet can be signed just now."""
        try:
            return await self._reserve_batch(chain, batch)
        except _NonceTaken as taken:
            return await self._finish_earlier(chain, batch, taken)
        except CallReverted as reverted:
            return await self._refused_by_chain(batch, f"the chain would refuse it: {reverted}")
        except SignerUnreachable as unreachable:
            await self._wait(batch, f"the signer gives no answer: {unreachable}", SHORT)
            return None
        except ChainError as error:
            await self._wait(batch, f"the chain gives no answer: {error}", SHORT)
            return None
        except Exception as error:  # noqa: BLE001 - one movement that cannot be read stops no other
            return await self._wait(batch, sentence(error), LONG)

    async def _finish_earlier(
        self, chain: Chain, batch: Batch, taken: _NonceTaken
    ) -> Reserved | None:
        """Give the nonce to the movements that the signer remembers for it."""
        _log.warning("move.nonce_taken", wallet=batch.wallet.address, reason=str(taken))
        earlier = await moving.batch_of(self._desk, batch.wallet, taken.move_ids)
        if earlier is not None and earlier.move_ids != batch.move_ids:
            reserved = await self._attempt(chain, earlier)
            if reserved is Reserved.SIGNED:
                return reserved
        told = taken.refused
        await self._unblocker.found(batch.wallet, taken.nonce, told.move_ids, told.tx_hashes)
        await self._wait(batch, str(taken), SHORT)
        return None

    async def _refused_by_chain(self, batch: Batch, reason: str) -> Reserved:
        """Let it wait, as nodes that lag behind predict this too, and issuers lift what they froze.

        Sweeps are made in halves instead, as one of them may be to blame. A payment that is
        refused for an hour parks: somebody has to ask the issuer or its receiver.
        """
        if len(batch.items) > 1:
            _log.warning("move.split", moves=_names(batch), reason=reason)
            await moving.split(self._desk, batch)
            return Reserved.WAITING
        move = batch.items[0].move
        if too_large := await token_fees.why_too_large(self._desk, move):
            return await self._park(batch, {move.move_id: too_large})
        if (
            move.purpose in OUTGOING
            and self._desk.clock.now() - move.updated_at >= REFUSED_PATIENCE
        ):
            return await self._park(batch, {move.move_id: reason})
        return await self._wait(batch, reason, LONG)

    async def _reserve_batch(self, chain: Chain, batch: Batch) -> Reserved:
        wallets = await self._signer.addresses(batch.wallet.org_id)
        must_be_the_signers(batch.wallet, wallets)
        if made := await made_before(self._desk, self._adopter, chain, batch):
            if made.is_proven:
                return await self._park(batch, {made.move_id: made.reason})
            return await self._wait(batch, made.reason, SHORT)
        try:
            odd = await self._strangers(batch, wallets) or await self._unlike_books(chain, batch)
        except NotComparable as unsure:
            some = tuple(i for i in batch.items if i.move.move_id in unsure.move_ids)
            return await self._wait(replace(batch, items=some), str(unsure), LONG)
        if odd:
            return await self._park(batch, odd)
        try:
            terms = await self._terms(chain, batch, wallets)
        except SigningRefused as refused:
            return await self._park(batch, dict.fromkeys(batch.move_ids, refused.reason))
        earlier: list[SignerRefused] = []

        async def sign(batch: Batch, nonce: int, terms: Terms) -> SignedBytes:
            try:
                return await self._sign(batch, nonce, terms)
            except _MoveSigned as told:
                earlier.append(told.refused)
                raise

        reserved = await moving.reserve(self._desk, batch, terms, sign)
        for told in earlier:
            nonce = told.nonce or 0
            await self._unblocker.found(batch.wallet, nonce, told.move_ids, told.tx_hashes)
        _log.info("move.reserve", chain=chain.key, outcome=reserved.value, moves=_names(batch))
        return reserved

    async def _strangers(self, batch: Batch, wallets: WalletAddresses) -> dict[UUID, str]:
        """Whether the books name deposit addresses that are not the signer's."""
        if batch.wallet.role == "operator":
            factory = DepositAddresses(wallets.factory)
            return strangers(batch, factory, f"factory {wallets.factory}")
        if batch.wallet.role == "child" or any(item.number is not None for item in batch.items):
            derived = await self._signer.deposits(batch.wallet.org_id)
            return strangers(batch, derived, "the signer's branch")
        return {}

    async def _unlike_books(self, chain: Chain, batch: Batch) -> dict[UUID, str]:
        if batch.wallet.role not in {"operator", "child"}:
            return {}
        return await balance_differences(self._desk, chain, batch)

    async def _terms(self, chain: Chain, batch: Batch, wallets: WalletAddresses) -> Terms:
        payload = rebuild(order_for(batch, wallets), wallets)
        gas = await chain.estimate_gas(
            batch.wallet.address, payload.to, payload.data, payload.value_wei
        )
        limit = gas_limit(gas, batch.wallet.role)
        fees = await chain.fees()
        data_fee_wei = least_data_fee_wei(await chain.data_fee_wei(payload.data))
        max_fee_wei = await affordable_fee_wei(self._desk, batch.wallet, limit, fees, data_fee_wei)
        return Terms(limit, max_fee_wei, fees.tip_wei, data_fee_wei)

    async def _park(self, batch: Batch, reasons: Mapping[UUID, str]) -> Reserved:
        _log.error("move.parked", reasons={str(key): reason for key, reason in reasons.items()})
        await moving.park(self._desk, batch.wallet.org_id, reasons)
        return Reserved.PARKED

    async def _wait(self, batch: Batch, reason: str, longest: timedelta) -> Reserved:
        _log.warning("move.waits", moves=_names(batch), reason=reason)
        await moving.wait(self._desk, batch, reason, longest)
        return Reserved.WAITING

    async def _sign(self, batch: Batch, nonce: int, terms: Terms) -> SignedBytes:
        wallets = await self._signer.addresses(batch.wallet.org_id)
        asked = TxTerms(nonce, terms.gas_limit, terms.max_fee_wei, terms.tip_wei)
        try:
            signed = await self._signer.sign(order_for(batch, wallets), asked)
        except SignerRefused as refused:
            if refused.code is Code.BROKEN:
                raise SignerUnreachable(refused.reason) from refused
            if refused.code is Code.NONCE_TAKEN:
                raise _NonceTaken(nonce, refused) from refused
            if refused.code is Code.MOVE_SIGNED and refused.nonce is not None:
                raise _MoveSigned(refused) from refused
            if refused.code in {Code.FEE, Code.DAY_CAP}:
                since = max(item.move.updated_at for item in batch.items)
                soon = pause_until(self._desk.clock.now(), since, LONG)
                # Its clock may be behind ours; a time that is past would be tried without a pause.
                until = max(refused.retry_at or soon, soon)
                raise SigningDelayed(refused.reason, until) from refused
            raise SigningRefused(refused.reason) from refused
        return SignedBytes(signed.raw, signed.tx_hash)

    async def _send(self, chain: Chain, row: TxRow) -> None:
        sent = await chain.send(row.raw)
        if row.sent_at is not None:
            # Not mined since: the first may pass on to nobody what it takes.
            await chain.second_view.send(row.raw)
        match sent.outcome:
            case SendOutcome.ACCEPTED | SendOutcome.ALREADY_KNOWN | SendOutcome.NONCE_TOO_LOW:
                # A consumed nonce is no error: `follow` finds out by whom.
                error = None
            case SendOutcome.NO_GAS_MONEY:
                error = children.WAITING_FOR_GAS
            case _:
                # An older sibling is underpriced beside a newer one; the newest is made dearer.
                error = f"{sent.outcome.value}: {sent.reason}"
        await moving.note_sent(self._desk, row, error)
        if error is None:
            _log.info("move.sent", chain=chain.key, tx_hash=row.tx_hash, outcome=sent.outcome)
        elif sent.outcome is SendOutcome.UNDERPRICED:
            _log.warning("move.underpriced", chain=chain.key, tx_hash=row.tx_hash, reason=error)
        else:
            _log.error("move.not_sent", chain=chain.key, tx_hash=row.tx_hash, reason=error)

    async def _receipt(self, chain: Chain, open_tx: OpenTx) -> Receipt | None:
        """The receipt of whichever sibling was mined."""
        row = open_tx.tx
        key = (row.chain, row.wallet, row.nonce)
        receipt = await _any_receipt(chain, open_tx)
        if receipt is None and _should_be_mined(open_tx, self._desk.clock.now()):
            receipt = await _any_receipt(chain.second_view, open_tx)
        if receipt is not None:
            self._unblocker.seen_well(key)
            return receipt
        # Asked in this order, so that a transaction mined in between is not taken for gone.
        consumed = await chain.nonce(row.wallet, "finalized") > row.nonce
        if not consumed or (receipt := await _any_receipt(chain, open_tx)) is not None:
            self._unblocker.seen_well(key)
            return receipt
        if self._unblocker.seen_gone(key):
            found = await self._adopter.adopt(chain, open_tx.wallet, row.nonce)
            if found.is_followed:
                return None  # A sibling that the books forgot; it is followed from now on.
            place = (row.wallet, row.nonce)
            if against := await contradicted(chain, place, sorted(open_tx.hashes)):
                _log.warning("move.not_frozen", nonce=row.nonce, reason=against)
                return None  # One node alone says so.
            ours = " or ".join(sibling.tx_hash for sibling in open_tx.txs)
            reason = f"nonce {row.nonce} was consumed by a transaction that is not {ours}"
            if await moving.freeze(self._desk, open_tx.wallet, reason):
                _log.error("move.frozen", chain=chain.key, wallet=row.wallet, reason=reason)
                await self._look_first(chain, open_tx)
        return None

    async def _look_first(self, chain: Chain, open_tx: OpenTx) -> None:
        """Have every node say for the first time what a person will have to know to go on."""
        block = await chain.block("finalized")
        if block is not None:
            place = (open_tx.tx.wallet, open_tx.tx.nonce)
            hashes = sorted(open_tx.hashes)
            await not_proven_gone(self._desk, chain, place, hashes, block.number)

    async def _settle(self, told: Landed) -> bool:
        settled = await landing.settle(self._desk, told)
        for item in told.items:
            if item.problem is not None and settled is Settled.BOOKED:
                _log.error("move.parked", move_id=str(item.move_id), reason=item.problem)
        _log.info("move.landed", tx_hash=told.tx_hash, ok=told.ok, outcome=settled.value)
        return settled is Settled.BOOKED


async def _is_final(chain: Chain, receipt: Receipt, finalized: Block) -> bool:
    """Whether a receipt's block is in the chain of the finalized one.

    Raises `ChainMoved` where a node answers that has another: one that was left behind on a dead
    branch shows what landed there, and that alone proves nothing.
    """
    if receipt.block_number > finalized.number:
        return False
    there = await chain.headers([receipt.block_number], below=finalized)
    block = there[receipt.block_number]
    return block is not None and block.hash == receipt.block_hash


def _should_be_mined(open_tx: OpenTx, now: datetime) -> bool:
    """Whether a node that shows no receipt of it may be hiding it, and not only be waiting."""
    return now - open_tx.tx.signed_at >= HIDDEN_AFTER


async def _any_receipt(chain: Chain, open_tx: OpenTx) -> Receipt | None:
    for sibling in reversed(open_tx.txs):
        receipt = await chain.receipt(sibling.tx_hash)
        if receipt is not None:
            return receipt
    return None


_WALLET_STOPS: Final = frozenset({Reserved.FROZEN, Reserved.WAITING_FOR_GAS})


def _alone(chain: Chain, **about: str) -> AbstractContextManager[None]:
    return alone(_log, "move.failed", but=(), chain=chain.key, **about)


def _names(batch: Batch) -> list[str]:
    return sorted(str(move_id) for move_id in batch.move_ids)
