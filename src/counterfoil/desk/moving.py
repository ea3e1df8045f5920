"""Money out, first half: what may move, and the signature that is committed before it moves.

specs/reliability.md 1.3 is binding: wallet lock, nonce and signed bytes in one transaction,
before any node sees them; a hold placed a moment earlier wins; payouts and refunds share one
budget. The second half, what the chain made of it, is `desk.landing`.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Final
from uuid import UUID

from counterfoil.books import (
    addresses,
    children,
    invoices,
    ledger,
    lost,
    moves,
    orgs,
    retries,
    wallets,
)
from counterfoil.books.lost import LostSignature
from counterfoil.books.moves import EMPTYING, PAID, MovePurpose, MoveRow
from counterfoil.books.wallets import TxRow, WalletRole, WalletRow
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.journal import DEPOSITED
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.objections import Objection, objections, pause_until
from counterfoil.desk.signed import Place, SignedBytes, Terms, keep

__all__ = [
    "EMPTYING",
    "PAID",
    "Batch",
    "MoveRow",
    "SignedBytes",
    "Terms",
    "TxRow",
    "WalletRole",
    "WalletRow",
]

SWEEP_BATCH: Final = 100
"""Deposit addresses in one sweep: under half of the gas that a transaction may use, and more
save little (specs/chains.md 2.1)."""

RUNS_WHILE: Final[tuple[tuple[MovePurpose, str], ...]] = (
    ("sweep", Status.SWEEPING.value),
    ("sweep", Status.REFUND_PROCESSING.value),
    ("quarantine", Status.COMPLIANCE_HOLD.value),
    ("quarantine", Status.COMPLIANCE_DECLINED.value),
    ("restore", Status.SWEEPING.value),
    ("payout", Status.PAYOUT_PROCESSING.value),
    ("partial_refund", Status.PAYOUT_PROCESSING.value),
    ("refund", Status.REFUND_PROCESSING.value),
    ("partial_refund", Status.REFUND_PROCESSING.value),
)
"""In which status of its invoice a movement may be signed. Any other one, a hold above all,
keeps it where it is; only to our own hold wallet held money may go."""

_WORK_OF: Final[Mapping[WalletRole, tuple[MovePurpose, ...]]] = {
    "operator": ("sweep", "quarantine"),
    "pool": ("payout", "refund", "partial_refund"),
    "hold": ("restore", "refund", "partial_refund"),
    "gas": ("deploy", "fuel"),
    "child": ("sweep", "quarantine"),
}


def serves(wallet: WalletRow, move: MoveRow) -> bool:
    """Whether a wallet is one that makes such a movement."""
    if wallet.org_id != move.org_id or wallet.chain != move.chain:
        return False
    if move.wallet is not None:
        return wallet.address == move.wallet
    fits = move.purpose in _WORK_OF[wallet.role] and move.from_hold == (wallet.role == "hold")
    by_child = move.purpose in EMPTYING and move.deposit_mode == "hd"
    return fits and (wallet.role == "child") == by_child


_FUEL: Final[tuple[MovePurpose, ...]] = ("fuel",)


@dataclass(frozen=True, slots=True)
class Item:
    """One movement, and for a sweep the deposit address it empties.

    For fuel to a child, ``number`` and ``deposit_address`` are the child's.
    """

    move: MoveRow
    number: int | None = None
    deposit_address: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction of one wallet could carry out next; nothing is locked yet.

    Several items only for a sweep, then all of one token. ``destination_role`` is the role
    of the wallet that a fuelling goes to.
    """

    wallet: WalletRow
    items: tuple[Item, ...]
    destination_role: WalletRole | None = None

    @property
    def move_ids(self) -> frozenset[UUID]:
        """The movements in it."""
        return frozenset(item.move.move_id for item in self.items)


Sign = Callable[[Batch, int, Terms], Awaitable[SignedBytes]]
"""Has a batch signed with a nonce on terms; raises `SigningRefused` or `SigningDelayed`.

It runs while the wallet is locked, so it must be local and bounded in time. Any other exception
leaves everything as it was.
"""


class SigningRefused(Exception):  # noqa: N818 - an answer, not a malfunction
    """The signer will not sign this, and says why."""

    def __init__(self, reason: str) -> None:
        """Keep the signer's sentence."""
        super().__init__(reason)
        self.reason = reason


class SigningDelayed(Exception):  # noqa: N818 - an answer, not a malfunction
    """The signer will not sign this before a certain time, and says why."""

    def __init__(self, reason: str, wait_until: datetime) -> None:
        """Keep the signer's sentence, and when to ask again."""
        super().__init__(reason)
        self.reason = reason
        self.wait_until = wait_until


class Reserved(StrEnum):
    """What came of a batch."""

    SIGNED = "signed"
    """Its bytes are committed and may be broadcast."""
    PARKED = "parked"
    """At least one of its movements stopped for a person; what is left makes a new batch."""
    WAITING = "waiting"
    """At least one of its movements waits with a reason; what is left makes a new batch."""
    CHANGED = "changed"
    """It was overtaken: signed by somebody else, held, or its invoice moved on."""
    WAITING_FOR_GAS = "waiting for gas"
    """The books know of too little native coin on the wallet; it stays ready."""
    FROZEN = "frozen"
    """The wallet is frozen."""


@dataclass(frozen=True, slots=True)
class OpenTx:
    """A nonce whose end is not known: its signed siblings, oldest first, and what they carry out.

    ``factory``, ``pool`` and ``hold`` are the organisation's: where sweeps are reported and where
    they go.
    ``lost`` is what the signer signed with this nonce and we never kept, where these siblings
    only use it up.
    """

    txs: tuple[TxRow, ...]
    wallet: WalletRow
    factory: str
    pool: str
    hold: str
    items: tuple[Item, ...]
    lost: LostSignature | None = None

    @property
    def tx(self) -> TxRow:
        """The newest sibling."""
        return self.txs[-1]

    @property
    def hashes(self) -> frozenset[str]:
        """The hash of every sibling."""
        return frozenset(row.tx_hash for row in self.txs)


async def chains_at_work(desk: Desk) -> list[str]:
    """The chains on which there is anything to do; the one question of an idle worker."""
    async with desk.database.looking() as tx:
        return await wallets.chains_at_work(tx)


async def wallets_of(desk: Desk, chain: str) -> list[WalletRow]:
    """Our wallets on a chain."""
    async with desk.database.reading() as tx:
        return await wallets.of_chain(tx, chain)


async def next_batch(desk: Desk, wallet: WalletRow, *, skip: Collection[UUID] = ()) -> Batch | None:
    """The wallet's oldest work that need not wait, without ``skip``; None when there is none."""
    async with desk.database.reading() as tx:
        found = await moves.next_ready(
            tx,
            wallet.org_id,
            wallet.chain,
            _WORK_OF[wallet.role],
            RUNS_WHILE,
            skip=skip,
            now=desk.clock.now(),
            limit=SWEEP_BATCH if wallet.role == "operator" else 1,
            from_hold=wallet.role == "hold",
        )
        return await batched(tx, wallet, _together(found))


def _together(found: Sequence[MoveRow]) -> Sequence[MoveRow]:
    """What may share a transaction with the first: the same token to the same place.

    No more of them than each asks: sweeps that failed together are made again in ever smaller
    company, until the one that is to blame is alone.
    """
    if not found:
        return found
    kind = (found[0].purpose, found[0].contract, found[0].batch_limit)
    alike = [move for move in found if (move.purpose, move.contract, move.batch_limit) == kind]
    return alike[: found[0].batch_limit]


async def batch_of(desk: Desk, wallet: WalletRow, move_ids: Collection[UUID]) -> Batch | None:
    """These very movements as a batch; None when one of them is not ready any more.

    For a signer that has given the wallet's next nonce to them already, while the transaction
    that was to keep its signature got lost.
    """
    async with desk.database.reading() as tx:
        found = await moves.by_ids(tx, wallet.org_id, move_ids)
        if len(found) != len(move_ids) or any(m.status != "ready" for m in found):
            return None
        return await batched(tx, wallet, found)


async def reserve(desk: Desk, batch: Batch, terms: Terms, sign: Sign) -> Reserved:
    """Have a batch signed and keep its bytes: one transaction, or nothing.

    The invoices, then the wallet, are locked and looked at again before the signer is asked. A
    refusal parks the batch with its reason, a delay lets it wait. What ``sign`` raises otherwise
    goes through.
    """
    async with desk.database.transaction() as tx:
        held = await _lock_invoices(tx, batch)
        wallet = await wallets.lock(tx, batch.wallet.chain, batch.wallet.address)
        if wallet is None or wallet.frozen_reason is not None:
            return Reserved.FROZEN
        ready = await moves.lock_ready(tx, wallet.org_id, batch.move_ids)
        if len(ready) != len(batch.items) or not all(_in_place(m, held) for m in ready):
            return Reserved.CHANGED
        against = await objections(desk, tx, ready, held)
        if against:
            return await _stop(desk, tx, wallet.org_id, against)
        if short := await _short_of_gas(tx, wallet, ready, terms):
            # Not before now, which is at once: the wallet stops here, and fuel may be on its way.
            short_now = Objection(short, desk.clock.now())
            await _stop(desk, tx, wallet.org_id, dict.fromkeys(batch.move_ids, short_now))
            return Reserved.WAITING_FOR_GAS
        try:
            signed = await sign(batch, wallet.next_nonce, terms)
        except (SigningRefused, SigningDelayed) as refused:
            until = refused.wait_until if isinstance(refused, SigningDelayed) else None
            reason = f"the signer refused: {refused.reason}"
            against = dict.fromkeys(batch.move_ids, Objection(reason, until))
            return await _stop(desk, tx, wallet.org_id, against)
        await _commit_signed(desk, tx, wallet, batch, (terms, signed))
        return Reserved.SIGNED


async def park(desk: Desk, org_id: int, reasons: Mapping[UUID, str]) -> None:
    """Stop ready movements for a person to look at; those that went on are left alone."""
    async with desk.database.transaction() as tx:
        stopped = {move_id: Objection(reason) for move_id, reason in reasons.items()}
        await _stop(desk, tx, org_id, stopped)


async def wait(desk: Desk, batch: Batch, reason: str, longest: timedelta) -> None:
    """Let a batch be tried again later, with pauses that double up to ``longest``."""
    now = desk.clock.now()
    async with desk.database.transaction() as tx:
        for item in batch.items:
            until = pause_until(now, item.move.updated_at, longest)
            await moves.wait(tx, batch.wallet.org_id, [item.move.move_id], reason, until)


async def split(desk: Desk, batch: Batch) -> None:
    """Have the sweeps of a batch that the chain would refuse made in halves."""
    limit = max(len(batch.items) // 2, 1)
    async with desk.database.transaction() as tx:
        await retries.split(tx, batch.wallet.org_id, batch.move_ids, limit)


async def freeze(desk: Desk, wallet: WalletRow, reason: str) -> bool:
    """Sign nothing more for a wallet until a person has looked; the first reason stays."""
    async with desk.database.transaction() as tx:
        return await wallets.freeze(tx, wallet.chain, wallet.address, reason)


async def freeze_if_ahead(desk: Desk, wallet: WalletRow, finalized_nonce: int) -> str | None:
    """Freeze a wallet for which the chain counts transactions that we never signed.

    Answers the reason when it froze just now.
    """
    async with desk.database.transaction() as tx:
        now = await wallets.lock(tx, wallet.chain, wallet.address)
        if now is None or now.frozen_reason is not None or finalized_nonce <= now.next_nonce:
            return None
        reason = (
            f"the chain counts {finalized_nonce} transactions of this wallet, we signed"
            f" {now.next_nonce}: somebody else uses its key, or these books forgot it"
        )
        await wallets.freeze(tx, now.chain, now.address, reason)
        return reason


async def due_txs(desk: Desk, chain: str) -> list[TxRow]:
    """Committed transactions that a node should be offered now, for the first time or again.

    Raises while the database takes no writes: then nothing is sent.
    """
    async with desk.database.reading() as tx:
        due = await wallets.due_txs(tx, chain, desk.clock.now())
    if not due:
        return []

    async def still(tx: Tx) -> set[str]:
        return await wallets.may_be_sent(tx, chain, [row.tx_hash for row in due])

    sendable = await desk.database.run(still)
    return [row for row in due if row.tx_hash in sendable]


async def note_sent(desk: Desk, row: TxRow, error: str | None) -> None:
    """Remember that a node took the bytes, or why it did not."""
    async with desk.database.transaction() as tx:
        await wallets.note_sent(tx, row.chain, row.tx_hash, error, desk.clock.now())


async def open_txs(desk: Desk, chain: str) -> list[OpenTx]:
    """Every transaction whose end is not known, in the order in which a chain can take them."""
    async with desk.database.reading() as tx:
        rows = await wallets.open_txs(tx, chain)
        ours = await wallets.of_chain(tx, chain)
        ours += await children.wallets_of(tx, chain, {row.wallet for row in rows})
        known = {wallet.address: wallet for wallet in ours}
        owners = {org.org_id: org for org in await orgs.all_orgs(tx)}
        found = []
        for siblings in lineages(rows):
            row = siblings[-1]
            wallet = known[row.wallet]
            org = owners[wallet.org_id]
            carried = await moves.of_nonce(tx, chain, row.wallet, row.nonce)
            items = await _items(tx, wallet.org_id, carried)
            gone = await lost.get(tx, chain, row.wallet, row.nonce) if row.cancels else None
            places = (org.factory_address, org.pool_address, org.hold_address)
            found.append(OpenTx(siblings, wallet, *places, items, gone))
        return found


def lineages(rows: Sequence[TxRow]) -> list[tuple[TxRow, ...]]:
    """The siblings of each nonce together; ``rows`` come in the order of chain, wallet, nonce."""
    by_nonce = groupby(rows, key=lambda row: (row.chain, row.wallet, row.nonce))
    return [tuple(siblings) for _, siblings in by_nonce]


async def batched(tx: Tx, wallet: WalletRow, found: Sequence[MoveRow]) -> Batch | None:
    """Movements of a wallet as a batch, in this order; None for none."""
    if not found:
        return None
    destination = await wallets.get(tx, wallet.chain, found[0].destination)
    return Batch(
        wallet=wallet,
        items=await _items(tx, wallet.org_id, found),
        destination_role=destination.role if destination is not None else None,
    )


async def _items(tx: Tx, org_id: int, rows: Sequence[MoveRow]) -> tuple[Item, ...]:
    swept = [m for m in rows if m.purpose in EMPTYING]
    found = {
        mode: await addresses.of_mode(tx, mode, org_id, ids)
        for mode in DEPOSITED
        if (ids := [m.invoice_id for m in swept if m.deposit_mode == mode and m.invoice_id])
    }

    async def item(move: MoveRow) -> Item:
        if move.purpose == "fuel":
            child = await addresses.owner_of_child(tx, CHAINS[move.chain].family, move.destination)
            return Item(move, child.number, child.address) if child else Item(move)
        if move.purpose not in EMPTYING or move.invoice_id is None:
            return Item(move)
        deposit = found[move.deposit_mode][move.invoice_id]
        return Item(move, deposit.number, deposit.address)

    return tuple([await item(move) for move in rows])


async def _lock_invoices(tx: Tx, batch: Batch) -> Mapping[UUID, Invoice]:
    """Hold the invoices before any wallet, as everybody does, so nobody deadlocks."""
    ids = {i.move.invoice_id for i in batch.items if i.move.invoice_id is not None}
    held = await invoices.lock_all(tx, batch.wallet.org_id, ids)
    return {invoice.invoice_id: invoice for invoice in held}


def _in_place(move: MoveRow, held: Mapping[UUID, Invoice]) -> bool:
    """Whether the movement's invoice, as locked, stands where the movement may be made."""
    if move.invoice_id is None:
        return True
    invoice = held.get(move.invoice_id)
    return invoice is not None and (move.purpose, invoice.status.value) in RUNS_WHILE


async def _stop(desk: Desk, tx: Tx, org_id: int, against: Mapping[UUID, Objection]) -> Reserved:
    """Park or let wait; answers `PARKED` where anything was parked."""
    outcome = Reserved.WAITING
    for move_id, objection in against.items():
        if objection.wait_until is None:
            await moves.park_ready(tx, org_id, [move_id], objection.reason, desk.clock.now())
            outcome = Reserved.PARKED
        else:
            until = objection.wait_until
            await moves.wait(tx, org_id, [move_id], objection.reason, until)
    return outcome


async def _short_of_gas(
    tx: Tx, wallet: WalletRow, ready: Sequence[MoveRow], terms: Terms
) -> str | None:
    """Why the gas money that the books know of does not pay for this and all in flight.

    Without it the fee would be booked before the money it is paid from, below zero. What customers
    paid in native coin is no gas money, wherever it lies.
    """
    value_wei = sum(move.amount_units for move in ready if move.purpose == "fuel")
    return await short_of_gas(tx, wallet, value_wei + terms.cost_wei)


async def gas_money_wei(tx: Tx, wallet: WalletRow) -> int:
    """The gas money of a wallet by the books. Every child has its own, the other roles one each."""
    if wallet.role != "child":
        return await ledger.balance(tx, wallet.org_id, wallet.role, wallet.chain, "")
    child = await addresses.owner_of_child(tx, CHAINS[wallet.chain].family, wallet.address)
    if child is None or child.invoice_id is None:
        return 0
    invoice_id = child.invoice_id
    return await ledger.balance(tx, wallet.org_id, "child", wallet.chain, "", invoice_id=invoice_id)


async def short_of_gas(tx: Tx, wallet: WalletRow, more_wei: int) -> str | None:
    """Why the native coin that we know of does not pay for ``more_wei`` and all in flight."""
    known_wei = await gas_money_wei(tx, wallet)
    promised_wei = await wallets.promised_gas_wei(tx, wallet.chain, wallet.address)
    if wallet.role == "gas":
        promised_wei += await moves.signed_units(tx, wallet.org_id, wallet.chain, "", _FUEL)
    needed_wei = promised_wei + more_wei
    if known_wei >= needed_wei:
        return None
    return (
        f"{children.WAITING_FOR_GAS}: {wallet.role} wallet {wallet.address} has {known_wei} wei by"
        f" the books and needs {needed_wei}"
    )


async def _commit_signed(
    desk: Desk, tx: Tx, wallet: WalletRow, batch: Batch, signed: tuple[Terms, SignedBytes]
) -> None:
    terms, signed_bytes = signed
    now = desk.clock.now()
    place = Place(wallet.chain, wallet.address, wallet.next_nonce)
    await keep(tx, place, terms, signed_bytes, now)
    await moves.mark_signed(
        tx,
        wallet.org_id,
        batch.move_ids,
        wallet=wallet.address,
        nonce=wallet.next_nonce,
        tx_hash=signed_bytes.tx_hash,
        at=now,
    )
    await wallets.advance(tx, wallet)
    await lost.end(tx, wallet.chain, wallet.address, wallet.next_nonce, "kept", now)
