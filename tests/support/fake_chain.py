"""`FakeChain`: the chain port in memory, for tests that need thousands of blocks or bad luck.

Blocks hold transactions and every question is answered by replaying them, so a reorg needs
no undoing. What signed bytes do is registered beforehand, since nothing here can read them.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from counterfoil.chains.evm.abi import address_word, word
from counterfoil.chains.evm.transactions import SWEPT_TOPIC, swept_by
from counterfoil.chains.evm.transfers import address_topic
from counterfoil.chains.port import (
    At,
    Attestation,
    Block,
    CallReverted,
    Chain,
    ChainMisconfigured,
    ChainMoved,
    ChainUnreachable,
    Fees,
    Log,
    NativeSweep,
    NonceSeen,
    RangeTooWide,
    Receipt,
    Recipients,
    SendOutcome,
    Sent,
    StateNotKept,
    TokenCode,
    Transfer,
)
from counterfoil.core.ports import Clock
from support.chain_faults import Faults
from support.fake_logs import native_transfers, transfer_logs, transfers_in

NOBODY: Final = "0x" + "0" * 40


@dataclass(frozen=True, slots=True)
class Moved:
    """One movement inside a transaction; ``contract`` "" is the native coin.

    Native coin is paid by the transaction itself, by a ``call`` that only a trace shows, or is
    ``forced`` on its receiver in a way that nothing shows but the balance.
    """

    contract: str
    from_address: str
    to_address: str
    amount_units: int
    how: Literal["plain", "call", "forced"] = "plain"


@dataclass(frozen=True, slots=True)
class FakeTx:
    """A transaction and what it does when it is mined.

    With ``reverts`` it is mined without effect: nonce and fee are spent. ``logs`` come
    after the Transfer logs that ``moves`` write by themselves.
    """

    tx_hash: str
    sender: str
    nonce: int
    moves: tuple[Moved, ...] = ()
    logs: tuple[Log, ...] = ()
    reverts: bool = False
    gas_used: int = 50_000
    fee_wei: int = 0
    max_fee_wei: int = 1
    to: str | None = None


@dataclass(frozen=True, slots=True)
class _Mined:
    block: Block
    txs: tuple[FakeTx, ...]

    def receipts(self) -> Iterator[tuple[FakeTx, Receipt]]:
        log_index = 0
        for tx in self.txs:
            written = () if tx.reverts else (*transfer_logs(tx.moves), *tx.logs)
            logs = tuple(
                Log(log.contract, log.topics, log.data, log_index + place)
                for place, log in enumerate(written)
            )
            log_index += len(logs)
            yield (
                tx,
                Receipt(
                    tx_hash=tx.tx_hash,
                    block_number=self.block.number,
                    block_hash=self.block.hash,
                    ok=not tx.reverts,
                    gas_used=tx.gas_used,
                    fee_wei=tx.fee_wei,
                    logs=logs,
                    sender=tx.sender,
                    to=tx.to,
                ),
            )


@dataclass(slots=True)
class FakeChain(Chain):
    """One chain in memory; ``safe`` and ``finalized`` trail the head by fixed distances."""

    clock: Clock
    key: str = "arb"
    safe_lag: int = 2
    final_lag: int = 4
    faults: Faults = field(default_factory=Faults)
    misconfigured: str = ""
    suggested: Fees = field(default_factory=lambda: Fees(max_fee_wei=10, tip_wei=1))
    gas_estimate: int = 100_000
    data_fee: int = 0
    call_reverts: dict[str, str] = field(default_factory=dict)
    told: dict[str, Attestation] = field(default_factory=dict)
    ends: dict[str, Attestation] = field(default_factory=dict)
    says: dict[str, NonceSeen | None] = field(default_factory=dict)
    """What its two nodes say about some transactions, where it is not the truth."""
    views: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    codes: dict[str, bytes] = field(default_factory=dict)
    pool: list[FakeTx] = field(default_factory=list)
    _known: dict[bytes, FakeTx] = field(default_factory=dict)
    _chain: list[_Mined] = field(default_factory=list)
    _serial: int = 0

    def __post_init__(self) -> None:
        self.mine()

    # What happens on the chain.

    @property
    def head(self) -> Block:
        return self._chain[-1].block

    def mine(self, blocks: int = 1) -> Block:
        """Mine blocks at the clock's time; the first takes what the pool can give."""
        for _ in range(blocks):
            parent = self._chain[-1].block.hash if self._chain else "0x" + "0" * 64
            txs = self._next_txs()
            block = Block(len(self._chain), self._new_hash("block"), parent, self.clock.now())
            self._chain.append(_Mined(block, txs))
        return self.head

    def reorg(self, depth: int, *, forget: bool = False) -> list[FakeTx]:
        """Replace the newest blocks by one fewer empty ones and return what they held.

        The transactions wait in the pool again, as on a real chain, unless ``forget``.
        """
        dropped = [tx for mined in self._chain[-depth:] for tx in mined.txs]
        del self._chain[-depth:]
        waiting, self.pool = self.pool, []
        self.mine(depth - 1)
        self.pool = waiting if forget else [*dropped, *waiting]
        return dropped

    def pay(self, contract: str, to: str, units: int, sender: str = NOBODY) -> FakeTx:
        """Let somebody pay in the next block; money from `NOBODY` comes out of thin air."""
        return self.include(Moved(contract, sender, to, units))

    def include(self, *moves: Moved, reverts: bool = False) -> FakeTx:
        """Put somebody else's transaction with these movements into the pool."""
        stranger = "0x" + self._new_hash("stranger")[-40:]
        tx = FakeTx(self._new_hash("tx"), stranger, 0, moves, reverts=reverts)
        self.pool.append(tx)
        return tx

    def sweep_coin(self, factory: str, address: str, pool: str, wei: int) -> FakeTx:
        """Let a factory sweep native coin in the next block, with the event that it writes."""
        data = address_word(address) + word(wei) + word(0)
        event = Log(factory, (SWEPT_TOPIC, "0x" + "00" * 32, address_topic(NOBODY)), data, 0)
        tx = replace(self.include(Moved("", address, pool, wei, "call")), logs=(event,))
        self.pool[-1] = tx
        return tx

    def finalized_block(self) -> Block:
        """The newest block that is finalized."""
        return self._chain[self._height("finalized")].block

    def register(self, raw: bytes, tx: FakeTx) -> None:
        """Say what these signed bytes do once they are sent."""
        self._known[raw] = tx

    def drop(self, tx_hash: str) -> None:
        """Forget a waiting transaction."""
        self.pool = [tx for tx in self.pool if tx.tx_hash != tx_hash]

    # What the port answers.

    @property
    def second_view(self) -> "FakeChain":
        return self

    async def check(self) -> None:
        self._reach()
        if self.misconfigured:
            raise ChainMisconfigured(self.misconfigured)

    async def block(self, at: At) -> Block | None:
        number = self._reach() if at == "latest" else self._height(at)
        return self._chain[number].block if 0 <= number <= self._reach() else None

    async def prefer_above(self, number: int) -> bool:
        return self._reach() > number

    async def headers(self, numbers: Collection[int], *, below: Block) -> dict[int, Block | None]:
        if await self.block(below.number) != below:
            raise ChainMoved(self.key)
        return {number: await self.block(number) for number in numbers}

    async def transfers(  # noqa: PLR0913 - which blocks, what in them, and what proves which they are
        self,
        from_block: int,
        to_block: int,
        contracts: Sequence[str] | None,
        recipients: Recipients,
        *,
        end_hash: str | None = None,
        after_hash: str | None = None,
    ) -> list[Transfer]:
        if self._reach() < to_block:
            msg = f"{self.key}: no endpoint has block {to_block} yet"
            raise ChainUnreachable(msg)
        widest = self.faults.widest_range
        if widest is not None and to_block - from_block + 1 > widest:
            msg = f"{self.key}: at most {widest} blocks"
            raise RangeTooWide(msg)
        for number, known in ((to_block, end_hash), (from_block - 1, after_hash)):
            if known not in (None, self._chain[number].block.hash):
                msg = f"{self.key}: block {number} is another"
                raise ChainMoved(msg)
        if self.faults.empty_logs:
            return []
        return [
            transfer
            for mined in self._chain[max(from_block, 0) : to_block + 1]
            for _, receipt in mined.receipts()
            for transfer in map(self._as_listed, transfers_in(self.key, receipt))
            if (contracts is None or transfer.contract in contracts)
            and not self._omits(transfer, single=from_block == to_block)
            and (recipients is None or transfer.to_address in recipients)
        ]

    async def attestations(self, transfers: Sequence[Transfer]) -> list[Attestation]:
        standing = {
            transfer
            for mined in self._chain[: self._reach() + 1]
            for _, receipt in mined.receipts()
            for transfer in transfers_in(self.key, receipt)
        }
        return [
            self.told.get(t.tx_hash)
            or (Attestation(("a", "b")) if t in standing else Attestation(denies=("a", "b")))
            for t in transfers
        ]

    async def receipt_attestations(self, receipts: Sequence[Receipt]) -> list[Attestation]:
        return [self.ends.get(one.tx_hash) or await self._attested(one) for one in receipts]

    async def _attested(self, told: Receipt) -> Attestation:
        try:
            if told.block_number > self._height("finalized"):
                return Attestation(silent=("a", "b"))
            there = await self.receipt(told.tx_hash)
        except ChainUnreachable:
            return Attestation(silent=("a", "b"))
        return Attestation(("a", "b")) if there == told else Attestation(denies=("a", "b"))

    async def token_balances(
        self, contract: str, addresses: Sequence[str], block_hash: str
    ) -> list[int]:
        at_block = self._by_hash(block_hash).block.number
        if self.faults.no_state and at_block < self._reach():
            msg = f"{self.key}: no endpoint keeps the state of block {at_block}"
            raise StateNotKept(msg)
        balances = self._balances(contract, at_block)
        return [balances[address] for address in addresses]

    async def kept_balances(
        self, asked: Sequence[tuple[str, str]], block_hash: str
    ) -> list[int] | None:
        try:
            at_block = self._by_hash(block_hash).block.number
        except ChainUnreachable:
            return None
        forgotten = self.faults.no_state and at_block < self._reach()
        if forgotten or self.faults.no_balances:
            return None
        held = {contract: self._balances(contract, at_block) for contract, _ in asked}
        return [held[contract][address] for contract, address in asked]

    async def native_balances(self, addresses: Sequence[str], block_hash: str) -> list[int]:
        return await self.token_balances("", addresses, block_hash)

    async def native_payments(self, block: Block, recipients: Collection[str]) -> list[Transfer]:
        return self._native("plain", block, recipients)

    async def internal_payments(
        self, block: Block, recipients: Collection[str], *, ended: bool = False
    ) -> list[Transfer] | None:
        if self.faults.no_traces:
            return None
        forced = self._native("forced", block, recipients) if ended else []
        return self._native("call", block, recipients) + forced

    async def native_sweeps(
        self, from_block: int, to_block: int, factories: Sequence[str], *, end: Block
    ) -> list[NativeSweep]:
        if await self.block(end.number) != end:
            raise ChainMoved(self.key)
        return [
            NativeSweep(tx.tx_hash, place, mined.block.number, item.account, item.amount_units)
            for mined in self._chain[from_block : to_block + 1]
            for tx, receipt in mined.receipts()
            for place, item in enumerate(swept_by(receipt.logs, factories))
            if item.ok and item.token == NOBODY
        ]

    async def nonce(self, address: str, at: str) -> int:
        if at.startswith("0x"):
            return self._count(address, self._by_hash(at).block.number)
        waiting = sum(tx.sender == address for tx in self.pool) if at == "pending" else 0
        height = self._height("finalized" if at == "finalized" else "latest")
        return self._count(address, height) + waiting

    async def nonce_by_each(
        self, address: str, tx_hashes: Sequence[str], at_block: int
    ) -> dict[str, NonceSeen | None]:
        if self.faults.unreachable or self._height("finalized") < at_block:
            return dict.fromkeys(self.says or ("a", "b"))
        ends = [end for one in tx_hashes if (end := await self.receipt(one)) is not None]
        landed, reverted = (tuple(e.tx_hash for e in ends if e.ok is ok) for ok in (True, False))
        block, count = self._chain[at_block].block, await self.nonce(address, "finalized")
        seen = NonceSeen(block.hash, count, landed, reverted)
        return {"a": seen, "b": seen, **self.says}

    async def fees(self) -> Fees:
        self._reach()
        return self.suggested

    async def data_fee_wei(self, data: bytes) -> int:
        self._reach()
        return self.data_fee * len(data)

    async def estimate_gas(self, sender: str, to: str, data: bytes, value_wei: int = 0) -> int:
        self._reach()
        _ = sender, data, value_wei
        if to in self.call_reverts:
            raise CallReverted(self.call_reverts[to])
        return self.gas_estimate

    async def call(self, to: str, data: bytes, at: At = "latest") -> bytes:
        self._height(at)
        if to in self.call_reverts:
            raise CallReverted(self.call_reverts[to])
        return self.views.get((to, data), b"")

    async def code(self, address: str) -> bytes:
        self._reach()
        return self.codes.get(address, b"")

    async def token_codes(self, contracts: Sequence[str], *, not_before: int) -> list[TokenCode]:
        if self._reach() < not_before:
            msg = f"{self.key}: no endpoint has block {not_before} yet"
            raise ChainUnreachable(msg)
        codes = {one: self.codes.get(one, b"") for one in contracts}
        return [TokenCode(one, f"0x{code.hex()}", (), bool(code)) for one, code in codes.items()]

    async def send(self, raw: bytes) -> Sent:
        self._reach()
        tx = self._known.get(raw)
        if tx is None:
            return Sent(SendOutcome.REFUSED, "bytes nobody registered")
        sent = self._take(tx)
        if self.faults.mute_sends:
            msg = f"{self.key}: the connection broke"
            raise ChainUnreachable(msg)
        return sent

    async def receipt(self, tx_hash: str) -> Receipt | None:
        return next(
            (
                receipt
                for mined in self._chain[: self._reach() + 1]
                for tx, receipt in mined.receipts()
                if tx.tx_hash == tx_hash
            ),
            None,
        )

    async def close(self) -> None:
        """Nothing is open."""

    def _omits(self, transfer: Transfer, *, single: bool) -> bool:
        forgotten = transfer.tx_hash in self.faults.omitted
        return forgotten and (not single or self.faults.omits_from_single_blocks)

    def _as_listed(self, transfer: Transfer) -> Transfer:
        if transfer.tx_hash not in self.faults.altered:
            return transfer
        units, to = self.faults.altered[transfer.tx_hash]
        return replace(transfer, amount_units=units, to_address=to)

    def _by_hash(self, block_hash: str) -> _Mined:
        there = self._chain[: self._reach() + 1]
        found = next((mined for mined in there if mined.block.hash == block_hash), None)
        if found is None:
            msg = f"{self.key}: no endpoint has block {block_hash}"
            raise ChainUnreachable(msg)
        return found

    def _native(self, how: str, block: Block, recipients: Collection[str]) -> list[Transfer]:
        txs = self._by_hash(block.hash).txs
        return native_transfers(self.key, block, txs, how, recipients)

    def _reach(self) -> int:
        """Return the height that the endpoints show, if they answer at all."""
        if self.faults.unreachable or self.faults.failing_calls:
            self.faults.failing_calls = max(self.faults.failing_calls - 1, 0)
            msg = f"{self.key}: every endpoint failed"
            raise ChainUnreachable(msg)
        return max(len(self._chain) - 1 - self.faults.lag_blocks, 0)

    def _height(self, at: At) -> int:
        behind = {"latest": 0, "safe": self.safe_lag, "finalized": self.final_lag}
        head = self._reach()
        return at if isinstance(at, int) else max(head - behind[at], 0)

    def _take(self, tx: FakeTx) -> Sent:
        head = len(self._chain) - 1
        if tx in self.pool:
            return Sent(SendOutcome.ALREADY_KNOWN, "already known")
        if tx.nonce < self._count(tx.sender, head):
            return Sent(SendOutcome.NONCE_TOO_LOW, "nonce too low")
        if self._balances("", head)[tx.sender] < tx.fee_wei:
            return Sent(SendOutcome.NO_GAS_MONEY, "insufficient funds for gas * price + value")
        rival = next((t for t in self.pool if (t.sender, t.nonce) == (tx.sender, tx.nonce)), None)
        if rival is not None and tx.max_fee_wei <= rival.max_fee_wei:
            return Sent(SendOutcome.UNDERPRICED, "replacement transaction underpriced")
        if not self.faults.lost_sends:
            self.pool = [t for t in self.pool if t is not rival] + [tx]
        return Sent(SendOutcome.ACCEPTED)

    def _next_txs(self) -> tuple[FakeTx, ...]:
        taken: list[FakeTx] = []
        used: Counter[str] = Counter()
        for tx in sorted(self.pool, key=lambda tx: tx.nonce):
            if tx.nonce == self._count(tx.sender, len(self._chain) - 1) + used[tx.sender]:
                used[tx.sender] += 1
                taken.append(tx)
        self.pool = [tx for tx in self.pool if tx not in taken]
        return tuple(taken)

    def _count(self, sender: str, height: int) -> int:
        return sum(tx.sender == sender for mined in self._chain[: height + 1] for tx in mined.txs)

    def _balances(self, contract: str, height: int) -> Counter[str]:
        units: Counter[str] = Counter()
        for mined in self._chain[: height + 1]:
            for tx in mined.txs:
                if not contract:
                    units[tx.sender] -= tx.fee_wei
                for move in () if tx.reverts else tx.moves:
                    if move.contract == contract:
                        units[move.from_address] -= move.amount_units
                        units[move.to_address] += move.amount_units
        return units

    def _new_hash(self, kind: str) -> str:
        self._serial += 1
        return "0x" + hashlib.sha256(f"{self.key} {kind} {self._serial}".encode()).hexdigest()
