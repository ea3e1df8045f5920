"""What the rest of Counterfoil may ask of a chain, and the shapes in which it is answered.

Every address and hash that crosses this boundary is lower-case ``0x`` hex; every amount is a
whole number of base units; every datetime is aware UTC (specs/chains.md 6).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

from counterfoil.chains.address_set import AddressSet

Tag = Literal["latest", "safe", "finalized"]
At = int | Tag
"""A height, or the newest block of a degree of finality (specs/chains.md 6.3)."""

Recipients = Collection[str] | AddressSet | None
"""Whose transfers are asked for: these by name, an `AddressSet`'s out of everybody's, or all."""


class ChainError(Exception):
    """A chain could not answer, or answered something that must not be used."""


class ChainUnreachable(ChainError):  # noqa: N818 - says what happened, as core/errors.py does
    """Every endpoint of the chain failed; nothing is known, so try again later."""


class StateNotKept(ChainUnreachable):
    """No endpoint keeps what was true at a block as old as that; an archive node would."""


class ChainMisconfigured(ChainError):  # noqa: N818 - says what happened, as core/errors.py does
    """An endpoint or a token is not what the registry says; an operator must look."""


class RangeTooWide(ChainError):  # noqa: N818 - says what happened, as core/errors.py does
    """The endpoints refuse this many blocks or results at once; ask for half."""


class ChainMoved(ChainError):  # noqa: N818 - says what happened, as core/errors.py does
    """The block that should end a range has another hash by now; start again from the anchors."""


class CallReverted(ChainError):  # noqa: N818 - says what happened, as core/errors.py does
    """The call cannot succeed; ``reason`` is the contract's own sentence, else the node's."""

    def __init__(self, reason: str, data: bytes = b"") -> None:
        """Keep the sentence for people and the raw revert data for programs."""
        super().__init__(reason)
        self.reason = reason
        self.data = data


@dataclass(frozen=True, slots=True)
class Block:
    """One header: enough to anchor a cursor and to notice a reorg."""

    number: int
    hash: str
    parent_hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Transfer:
    """Tokens that moved, as the token's own log says.

    ``(chain, tx_hash, log_index)`` is the credit key; with ``block_hash`` it is the event
    key (specs/chains.md 6.2). ``contract`` is always one that was asked for. ``block_at`` is
    its block's time where the node tells it with the log, else None.
    """

    chain: str
    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    contract: str
    from_address: str
    to_address: str
    amount_units: int
    block_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NativeSweep:
    """Native coin that a factory of ours swept out of a deposit address."""

    tx_hash: str
    log_index: int
    block_number: int
    address: str
    amount_units: int


@dataclass(frozen=True, slots=True)
class Attestation:
    """What each endpoint says about one transfer or receipt, by the endpoints' names.

    ``confirms``: it has the same block, and in it the same. ``denies``: it has another block
    there, or the same without it. ``silent``: it gave no answer, or is not as far.
    """

    confirms: tuple[str, ...] = ()
    denies: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenCode:
    """What a token runs just now.

    ``fingerprint`` changes with any of it: with its own code, the contracts ``behind`` it that it
    hands its calls to, and theirs. ``is_there`` is False where no code is.
    """

    contract: str
    fingerprint: str
    behind: tuple[str, ...]
    is_there: bool = True


@dataclass(frozen=True, slots=True)
class NonceSeen:
    """What one endpoint says about an address at a block that is finalized for it.

    ``count`` transactions had been sent by then. ``landed`` and ``reverted`` are those of the
    asked hashes that it knows to be mined.
    """

    block_hash: str
    count: int
    landed: tuple[str, ...] = ()
    reverted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Log:
    """One raw log of a receipt."""

    contract: str
    topics: tuple[str, ...]
    data: bytes
    log_index: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction of ours.

    ``ok`` False means that it was mined and reverted: the nonce and the fee are spent.
    ``fee_wei`` includes the L1 data fee where the chain reports one. ``sender`` signed it, ``to``
    is whom it called; None where it made a contract.
    """

    tx_hash: str
    block_number: int
    block_hash: str
    ok: bool
    gas_used: int
    fee_wei: int
    logs: tuple[Log, ...]
    sender: str = ""
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 terms to offer, in wei per gas; ``max_fee_wei`` already contains the tip."""

    max_fee_wei: int
    tip_wei: int


class SendOutcome(StrEnum):
    """How a node took our signed bytes; only `REFUSED` asks for a person."""

    ACCEPTED = "accepted"
    """New to the node."""
    ALREADY_KNOWN = "already_known"
    """The node has these very bytes, pending or mined; as good as accepted."""
    NONCE_TOO_LOW = "nonce_too_low"
    """The nonce is consumed: by these bytes or by others, which the receipt tells."""
    UNDERPRICED = "underpriced"
    """The fee is too low to enter the pool or to replace what waits there; bump it."""
    NO_GAS_MONEY = "no_gas_money"
    """The sender cannot pay for gas; the gas station has to fuel it first."""
    REFUSED = "refused"
    """Anything else; the reason is the node's sentence."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The outcome of one broadcast, with the node's own words (empty when accepted)."""

    outcome: SendOutcome
    reason: str = ""


class Chain(Protocol):
    """One chain, read and written through whatever endpoints it was given.

    Every method may raise `ChainUnreachable`.
    """

    @property
    def key(self) -> str:
        """Our key for the chain, such as ``arb``."""
        ...

    @property
    def second_view(self) -> "Chain":
        """The same chain through another endpoint where there is one that answers.

        What one endpoint leaves out of its answer, another may tell; what one takes and passes on
        to nobody, another may pass on. Headers, fees and calls are told by the first all the same.
        """
        ...

    async def check(self) -> None:
        """Compare chain id, token code and token decimals with the registry.

        Raises `ChainMisconfigured` naming the first difference.
        """
        ...

    async def block(self, at: At) -> Block | None:
        """Return the header at a height or tag; None when the chain has none there yet."""
        ...

    async def prefer_above(self, number: int) -> bool:
        """From now on ask an endpoint first whose newest block is above this; False if none is."""
        ...

    async def headers(self, numbers: Collection[int], *, below: Block) -> dict[int, Block | None]:
        """Return the headers at these heights in the chain of the block ``below``, at one endpoint.

        Raises `ChainMoved` where that has another block in its place, or none.
        """
        ...

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
        """List token transfers in the closed range, ordered by block and log index.

        With ``contracts`` None those of every contract there is, which anybody can make.

        Answers only from an endpoint that has ``to_block`` itself, since a lagging one answers
        an empty list without an error (specs/chains.md 6.1). With ``end_hash`` that block must
        carry it before and after the logs were read, or `ChainMoved`; so must two transfers of
        one block carry the same hash, and with ``after_hash`` the block before ``from_block`` carry
        that at the very same endpoint. Raises `RangeTooWide`.
        """
        ...

    async def attestations(self, transfers: Sequence[Transfer]) -> list[Attestation]:
        """Ask every endpoint by itself about these transfers; answers in the same order.

        Never raises for an endpoint that fails: that one is silent.
        """
        ...

    async def receipt_attestations(self, receipts: Sequence[Receipt]) -> list[Attestation]:
        """Ask every endpoint by itself for these receipts; answers in the same order.

        It confirms one whose block is finalized for it and in which it shows the same outcome,
        gas and logs; what is billed beside gas is not compared, as not every node tells it.
        Never raises for an endpoint that fails: that one is silent.
        """
        ...

    async def token_balances(
        self, contract: str, addresses: Sequence[str], block_hash: str
    ) -> list[int]:
        """Read balances in base units, in the order asked; ``""`` means the native coin.

        At the end of the very block that has this hash (EIP-1898): by its height a node on another
        branch would tell of its own. Raises `StateNotKept`.
        """
        ...

    async def kept_balances(
        self, asked: Sequence[tuple[str, str]], block_hash: str
    ) -> list[int] | None:
        """Read token balances there, each of a contract and an address, in base units.

        None where no endpoint has the block or keeps state as old as that; none is put to rest for
        it.
        """
        ...

    async def native_balances(self, addresses: Sequence[str], block_hash: str) -> list[int]:
        """Read native coin there, in wei. Raises `StateNotKept`, as `token_balances` does."""
        ...

    async def native_payments(self, block: Block, recipients: Collection[str]) -> list[Transfer]:
        """List what a block's successful transactions themselves paid in native coin.

        ``contract`` is ``""`` and ``log_index`` `TOP_LEVEL`.
        """
        ...

    async def internal_payments(
        self, block: Block, recipients: Collection[str], *, ended: bool = False
    ) -> list[Transfer] | None:
        """List what contracts paid in native coin inside a block's transactions.

        Calls that were undone by a caller further up are left out; with ``ended`` what contracts
        left to others as they ended is in it. None where no endpoint traces.
        """
        ...

    async def native_sweeps(
        self, from_block: int, to_block: int, factories: Sequence[str], *, end: Block
    ) -> list[NativeSweep]:
        """List what these factories swept in native coin in the closed range.

        Answers only from an endpoint in whose chain the block ``end`` at or above it is, before and
        after the logs were read; else `ChainMoved`.
        """
        ...

    async def nonce(self, address: str, at: str) -> int:
        """Count the transactions of ``address``, which is the next nonce to use.

        ``at`` is "latest", "finalized", "pending" or a block's hash (EIP-1898). What a tag means
        each endpoint decides for itself. Raises `StateNotKept`, as `token_balances` does.
        """
        ...

    async def nonce_by_each(
        self, address: str, tx_hashes: Sequence[str], at_block: int
    ) -> dict[str, NonceSeen | None]:
        """Ask every endpoint by itself what ``address`` had sent at a block, and of these hashes.

        By the endpoints' names; None from one that gives no answer or has not finalized the block.
        Never raises.
        """
        ...

    async def fees(self) -> Fees:
        """Propose terms that hold while the base fee doubles."""
        ...

    async def data_fee_wei(self, data: bytes) -> int:
        """Tell the most that a transaction with this call data costs now beside its gas, in wei.

        Rollups of the OP Stack take it from the sender for writing the data down on Ethereum; zero
        where a chain takes nothing of the kind. Raises `CallReverted`.
        """
        ...

    async def estimate_gas(self, sender: str, to: str, data: bytes, value_wei: int = 0) -> int:
        """Estimate the gas of a call; raises `CallReverted`."""
        ...

    async def call(self, to: str, data: bytes, at: At = "latest") -> bytes:
        """Run a view; raises `CallReverted`."""
        ...

    async def code(self, address: str) -> bytes:
        """Return the contract code at an address, empty for a plain one."""
        ...

    async def token_codes(self, contracts: Sequence[str], *, not_before: int) -> list[TokenCode]:
        """Tell what these tokens run at the newest block, in the order asked.

        Answers only from an endpoint that has reached the block ``not_before``: one that begins
        anew shows no token at all.
        """
        ...

    async def send(self, raw: bytes) -> Sent:
        """Broadcast signed bytes; the same bytes may be sent again at any time."""
        ...

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """Return the receipt, or None while the transaction is unknown or unmined."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
