"""The chain of the simulation: it reads signed bytes itself, and every node may fail.

`SimulatedChain` is what survives any crash of ours. It decodes what we broadcast with a library
that shares nothing with our own encoder, and carries it out when it is mined, so that a sweep
takes what lies at the address in that very block.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, Final

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from counterfoil.chains.evm.abi import (
    WORD,
    address_in,
    address_word,
    keccak256,
    selector,
    topic,
    word,
)
from counterfoil.chains.evm.addresses import DepositAddresses
from counterfoil.chains.evm.contracts import DETERMINISTIC_DEPLOYER
from counterfoil.chains.port import (
    Attestation,
    ChainUnreachable,
    Log,
    NonceSeen,
    RangeTooWide,
    Receipt,
    Recipients,
    SendOutcome,
    Sent,
    Transfer,
)
from counterfoil.core.assets import CHAINS
from simulation.chaos import Life
from support.fake_chain import NOBODY, FakeChain, FakeTx, Moved
from support.fake_logs import transfers_in

_TURNS_TO_THE_OTHER: Final = 0.25
"""So many questions go to the other of two nodes that disagree than the one before."""

_OF_EACH: Final = frozenset({"attestations", "receipt_attestations", "nonce_by_each"})
"""What every node is asked by itself."""

_SWEEP: Final = selector("sweep(address,bytes32[],bool)")
_TRANSFER: Final = selector("transfer(address,uint256)")
_SWEPT: Final = topic("Swept(bytes32,address,address,uint256,bool)")
_SWEEP_FAILED: Final = topic("SweepFailed(bytes32,address,address,bool)")


@dataclass(frozen=True, slots=True)
class Call:
    """One of our transactions as the chain reads it; ``token`` "" is the native coin."""

    tx_hash: str
    chain_id: int
    sender: str
    nonce: int
    to: str
    value_wei: int
    data: bytes
    max_fee_wei: int

    @property
    def payment(self) -> tuple[str, str, int] | None:
        """Token, receiver and base units, where it is a payment; using up a nonce is none."""
        if not self.data and self.to == self.sender:
            return None
        if self.data[:4] == _TRANSFER:
            return self.to, address_in(self.data[4:36]), int.from_bytes(self.data[36:68])
        if not self.data:
            return "", self.to, self.value_wei
        return None

    @property
    def sweep(self) -> tuple[str, list[str], bool] | None:
        """Token, salts and whether to hold, where it is a sweep."""
        if self.data[:4] != _SWEEP:
            return None
        words = [self.data[at : at + WORD] for at in range(4, len(self.data), WORD)]
        return address_in(words[0]), ["0x" + w.hex() for w in words[4:]], bool(words[2][-1])


@dataclass(frozen=True, slots=True)
class Factory:
    """Where an organisation's sweeps go; ``stands`` is the height its code is there from."""

    address: str
    pool: str
    hold: str


@dataclass
class SimulatedChain(FakeChain):
    """One chain. ``ours`` are the calls that were ever broadcast, by hash.

    ``wallets`` have keys of ours; with those that were ``misused`` somebody else signed as well.
    What is ``frozen`` stays where it is by its issuer's word, what is ``doomed`` reverts.
    """

    ours: dict[str, Call] = field(default_factory=dict)
    factories: dict[str, Factory] = field(default_factory=dict)
    wallets: set[str] = field(default_factory=set)
    misused: set[str] = field(default_factory=set)
    frozen: set[str] = field(default_factory=set)
    doomed: set[str] = field(default_factory=set)
    other: "SimulatedChain | None" = None
    """What the second of its two nodes shows, while it stands on a branch that leads nowhere."""
    _branch: int = 0
    _branches: int = 0
    _plain: dict[str, FakeTx] = field(default_factory=dict)

    def read(self, raw: bytes) -> Call:
        """What these bytes are, as any node would say."""
        fields: dict[str, Any] = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        return Call(
            tx_hash="0x" + keccak256(raw).hex(),
            chain_id=fields["chainId"],
            sender=Account.recover_transaction(raw).lower(),
            nonce=fields["nonce"],
            to="0x" + bytes(fields["to"]).hex(),
            value_wei=fields["value"],
            data=bytes(fields["data"]),
            max_fee_wei=fields["maxFeePerGas"],
        )

    def accept_bytes(self, raw: bytes) -> Call:
        """Make bytes known, as soon as they are offered."""
        if raw in self._known:
            return self.ours[self._known[raw].tx_hash]
        call = self.read(raw)
        self.ours[call.tx_hash] = call
        tx = FakeTx(
            call.tx_hash,
            call.sender,
            call.nonce,
            fee_wei=60_000 * call.max_fee_wei,
            max_fee_wei=call.max_fee_wei,
        )
        self._plain[call.tx_hash] = tx
        self.register(raw, tx)
        return call

    def reorg(self, depth: int, *, forget: bool = False) -> list[FakeTx]:
        dropped = super().reorg(depth, forget=forget)
        self.pool = [self._plain.get(tx.tx_hash, tx) for tx in self.pool]
        return dropped

    @property
    def ever_parted(self) -> bool:
        """Whether the second node ever stood elsewhere."""
        return self._branches > 0

    def parts(self, depth: int, *, mined: int) -> None:
        """Let the second node follow a branch of its own from ``depth`` blocks below the head.

        On it everything is mined later or not at all: ``mined`` blocks beyond the empty ones.
        """
        other = self.as_it_is()
        self._branches += 1
        other._branch = self._branches  # noqa: SLF001 - a node like this one
        other.reorg(depth)
        other.mine(mined)
        self.other = other

    def stays_behind(self, other: "SimulatedChain") -> None:
        """Let the second node be as this one was, and hear of nothing that came since."""
        self._branches += 1
        self.other = other

    def as_it_is(self) -> "SimulatedChain":
        """A node that hears of nothing any more."""
        other = copy(self)
        other._chain = list(self._chain)  # noqa: SLF001 - a node like this one
        other.other = None
        return other

    def canonical(self, upto: int | None = None) -> Iterator[tuple[int, FakeTx]]:
        """Every transaction in the chain with its height, lowest first."""
        end = len(self._chain) if upto is None else upto + 1
        for mined in self._chain[:end]:
            for tx in mined.txs:
                yield mined.block.number, tx

    def use_key(self, wallet: str) -> FakeTx:
        """Let somebody else sign with a wallet's key: its next nonce is used up for nothing."""
        nonce = self._count(wallet, len(self._chain) - 1)
        tx = FakeTx(self._new_hash("foreign"), wallet, nonce)
        self.misused.add(wallet)
        self.pool.insert(0, tx)
        return tx

    def paid_in_coin(self, upto: int) -> Counter[str]:
        """How much native coin strangers paid to each address, up to a height."""
        found: Counter[str] = Counter()
        for _, tx in self.canonical(upto):
            for move in () if tx.reverts or tx.tx_hash in self.ours else tx.moves:
                if not move.contract:
                    found[move.to_address] += move.amount_units
        return found

    def holdings(self, contract: str, height: int) -> Counter[str]:
        """Everybody's balance after a block, in base units."""
        return self._balances(contract, height)

    def all_transfers(self, upto: int) -> Iterator[Transfer]:
        """Every token movement up to a height, whatever the contract."""
        for mined in self._chain[: upto + 1]:
            for _, receipt in mined.receipts():
                yield from transfers_in(self.key, receipt)

    @property
    def final_number(self) -> int:
        """The height that can never change."""
        return max(len(self._chain) - 1 - self.final_lag, 0)

    def _new_hash(self, kind: str) -> str:
        return super()._new_hash(f"{kind} on branch {self._branch}" if self._branch else kind)

    async def attestations(self, transfers: Sequence[Transfer]) -> list[Attestation]:
        first = await super().attestations(transfers)
        if self.other is None:
            return first
        second = await self.other.attestations(transfers)
        reach = self.other.head.number
        unknown = Attestation(silent=("a", "b"))
        return [
            _each(mine, theirs if one.block_number <= reach else unknown)
            for one, mine, theirs in zip(transfers, first, second, strict=True)
        ]

    async def receipt_attestations(self, receipts: Sequence[Receipt]) -> list[Attestation]:
        first = await super().receipt_attestations(receipts)
        if self.other is None:
            return first
        return list(map(_each, first, await self.other.receipt_attestations(receipts)))

    async def nonce_by_each(
        self, address: str, tx_hashes: Sequence[str], at_block: int
    ) -> dict[str, NonceSeen | None]:
        said = await super().nonce_by_each(address, tx_hashes, at_block)
        if self.other is None:
            return said
        return said | {"b": (await self.other.nonce_by_each(address, tx_hashes, at_block))["b"]}

    def _next_txs(self) -> tuple[FakeTx, ...]:
        taken = super()._next_txs()
        moved: Counter[tuple[str, str]] = Counter()
        # What another transaction with its nonce overtook can never be mined.
        used = Counter(tx.sender for tx in taken)
        head = len(self._chain) - 1
        self.pool = [
            tx for tx in self.pool if tx.nonce >= self._count(tx.sender, head) + used[tx.sender]
        ]
        return tuple(self._carried_out(tx, moved) for tx in taken)

    def _carried_out(self, tx: FakeTx, moved: Counter[tuple[str, str]]) -> FakeTx:
        call = self.ours.get(tx.tx_hash)
        done = tx if call is None else self._done(tx, call, moved)
        for move in () if done.reverts else done.moves:
            moved[move.contract, move.from_address] -= move.amount_units
            moved[move.contract, move.to_address] += move.amount_units
        return done

    def _done(self, tx: FakeTx, call: Call, moved: Counter[tuple[str, str]]) -> FakeTx:
        if call.tx_hash in self.doomed:
            return replace(tx, reverts=True)
        if (sweep := call.sweep) is not None:
            return self._swept(tx, call, sweep, moved)
        if (payment := call.payment) is not None:
            token, receiver, units = payment
            has = self._holds(token, call.sender, moved)
            if has < units or (token and {call.sender, receiver} & self.frozen):
                return replace(tx, reverts=True)
            return replace(tx, moves=(Moved(token, call.sender, receiver, units),))
        if call.to == DETERMINISTIC_DEPLOYER:
            self.codes.update(dict.fromkeys(self.factories, b"factory"))
        return tx

    def _swept(
        self,
        tx: FakeTx,
        call: Call,
        sweep: tuple[str, list[str], bool],
        moved: Counter[tuple[str, str]],
    ) -> FakeTx:
        token, salts, to_hold = sweep
        factory = self.factories[call.to]
        to = factory.hold if to_hold else factory.pool
        moves, logs = [], []
        contract = "" if token == NOBODY else token
        for salt in salts:
            account = DepositAddresses(factory.address).address_of(salt)
            units = self._holds(contract, account, moved)
            head = (call.to, salt, "0x" + address_word(token).hex(), account)
            if contract and account in self.frozen:
                logs.append(_event(_SWEEP_FAILED, *head, word(to_hold)))
                continue
            if units:
                moves.append(Moved(contract, account, to, units, "call"))
            logs.append(_event(_SWEPT, *head, word(units), word(to_hold)))
        return replace(tx, moves=tuple(moves), logs=tuple(logs))

    def _holds(self, token: str, owner: str, moved: Counter[tuple[str, str]]) -> int:
        return self._balances(token, len(self._chain) - 1)[owner] + moved[token, owner]


class NodeView:
    """A `Chain` as one process sees it: each call may fail, and each is a point."""

    def __init__(self, chain: SimulatedChain, life: Life, committed: "Committed") -> None:
        self._chain = chain
        self._life = life
        self._committed = committed
        self._asks_other = False

    @property
    def key(self) -> str:
        return self._chain.key

    @property
    def second_view(self) -> "NodeView":
        second = copy(self)
        second._asks_other = not self._asks_other  # noqa: SLF001 - a view like this one
        return second

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any method of the port, also new ones
        if name.startswith("__"):
            raise AttributeError(name)

        async def ask(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the method has it
            await self._reach(name)
            if name in _OF_EACH:
                return await getattr(self._chain, name)(*args, **options)
            return await self._whichever(name, *args, **options)

        return ask

    async def prefer_above(self, number: int) -> bool:  # noqa: ARG002 - the port's
        """It asks now the one and now the other in any case."""
        return False

    async def _whichever(self, name: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the method has it
        """Ask the node asked last, or now and then the other; both where one is at a loss."""
        chain, other = self._chain, self._chain.other
        if other is None:
            return await getattr(chain, name)(*args, **options)
        if self._life.dice.random.random() < _TURNS_TO_THE_OTHER:
            self._asks_other = not self._asks_other
        first, second = (other, chain) if self._asks_other else (chain, other)
        try:
            return await getattr(first, name)(*args, **options)
        except ChainUnreachable:
            return await getattr(second, name)(*args, **options)

    async def transfers(
        self,
        from_block: int,
        to_block: int,
        contracts: Sequence[str] | None,
        recipients: Recipients,
        **hashes: str | None,
    ) -> list[Transfer]:
        await self._reach("transfers")
        if to_block - from_block > 1 and self._life.hits("node takes short ranges", "transfers"):
            msg = "at most two blocks"
            raise RangeTooWide(msg)
        found = await self._whichever(
            "transfers", from_block, to_block, contracts, recipients, **hashes
        )
        return [t for t in found if not await self._omits(t)]

    async def send(self, raw: bytes) -> Sent:
        await self._reach("send")
        call = self._chain.accept_bytes(raw)
        await self._committed.must_have(self._chain.key, call.tx_hash)
        if self._life.hits("broadcast refused", call.tx_hash):
            return Sent(SendOutcome.REFUSED, "the node is not in the mood")
        if self._life.hits("broadcast swallowed", call.tx_hash):
            return Sent(SendOutcome.ACCEPTED)
        sent = await self._chain.send(raw)
        if self._life.hits("mined and reverted", call.tx_hash):
            self._chain.doomed.add(call.tx_hash)
        await self._life.pass_point("port chain.send: answered")
        if self._life.hits("broadcast answer lost", call.tx_hash):
            msg = "the connection broke"
            raise ChainUnreachable(msg)
        return sent

    async def _reach(self, name: str) -> None:
        await self._life.pass_point(f"port chain.{name}")
        if self._life.hits("node unreachable", f"{self._chain.key}.{name}"):
            msg = f"{self._chain.key}: every endpoint failed"
            raise ChainUnreachable(msg)

    async def _omits(self, transfer: Transfer) -> bool:
        """Only what is provisional or on record: of what no node ever shows nobody can know."""
        provisional = transfer.block_number > self._chain.final_number
        if not provisional and not await self._committed.knows(transfer):
            return False
        return self._life.hits("node omits a log", f"{transfer.tx_hash}:{transfer.log_index}")


class Committed:
    """Asks the database, past everything, whether bytes that are offered were committed."""

    async def must_have(self, chain: str, tx_hash: str) -> None:
        raise NotImplementedError

    async def knows(self, transfer: Transfer) -> bool:
        """Whether a transfer stands in the books, in this very block."""
        raise NotImplementedError


def _each(first: Attestation, second: Attestation) -> Attestation:
    """What the first says for itself, and the second for itself."""

    def names(of: Callable[[Attestation], tuple[str, ...]]) -> tuple[str, ...]:
        return tuple(name for name, said in (("a", first), ("b", second)) if name in of(said))

    return Attestation(
        names(lambda told: told.confirms),
        names(lambda told: told.denies),
        names(lambda told: told.silent),
    )


def _event(name: str, factory: str, salt: str, token: str, account: str, *rest: bytes) -> Log:
    return Log(factory, (name, salt, token), b"".join((address_word(account), *rest)), 0)


TOKENS: Final = {
    key: [a.contract for a in (*c.accepted, *c.known_other)] for key, c in CHAINS.items()
}
