"""`EvmChain`: the port of chains/port.py, over JSON-RPC."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from counterfoil.chains.evm.abi import WORD, keccak256
from counterfoil.chains.evm.attesting import (
    Ending,
    Fate,
    Said,
    attestation,
    fate_queries,
    nonce_seen,
    receipt_attestation,
    shown_query,
)
from counterfoil.chains.evm.native import (
    TRACER,
    internal,
    paid_query,
    read_traces,
    sweeps_in,
)
from counterfoil.chains.evm.receipts import receipt_query
from counterfoil.chains.evm.refusals import reverted, send_outcome
from counterfoil.chains.evm.rpc import (
    JsonRpc,
    Limits,
    Query,
    RpcError,
    Unusable,
    answers_of,
    hash_in,
    quantity,
)
from counterfoil.chains.evm.token_code import Newest, token_codes
from counterfoil.chains.evm.transactions import (
    DECIMALS_CALL,
    MOST_GAS,
    PRICE_ORACLE,
    balance_of_calldata,
    data_fee_calldata,
    native_sweep_filter,
)
from counterfoil.chains.evm.transfers import RawLog, decode_transfers, transfer_filters
from counterfoil.chains.port import (
    At,
    Attestation,
    Block,
    CallReverted,
    ChainMisconfigured,
    ChainMoved,
    Fees,
    NativeSweep,
    NonceSeen,
    Receipt,
    Recipients,
    SendOutcome,
    Sent,
    TokenCode,
    Transfer,
)
from counterfoil.core import assets
from counterfoil.core.ports import Clock

MAX_TIP_WEI: Final = 2 * 10**9
"""The most we tip: sequencers order by arrival, so a node that asks for more is mistaken,
or would like us to burn the gas station's float."""


class _Header(msgspec.Struct, frozen=True):
    number: str
    hash: str
    parent_hash: str = msgspec.field(name="parentHash")
    timestamp: str
    base_fee: str = msgspec.field(default="0x0", name="baseFeePerGas")


_HEADER: Final = msgspec.json.Decoder(_Header | None)
_LOGS: Final = answers_of(list[RawLog] | _Header | None)
_TEXT: Final = msgspec.json.Decoder(str)


class EvmChain:
    """One EVM chain behind its endpoints; implements `counterfoil.chains.port.Chain`."""

    def __init__(self, chain: assets.Chain, rpc: JsonRpc, *, second: bool = False) -> None:
        """Serve the registry's ``chain`` through ``rpc``, which must carry the same chain id.

        ``second`` lists transfers from another endpoint than everything else.
        """
        if chain.chain_id != rpc.chain_id:
            msg = f"{chain.key} has chain id {chain.chain_id}, its client {rpc.chain_id}"
            raise ValueError(msg)
        self._chain = chain
        self._rpc = rpc
        self._second = second

    @classmethod
    def over(
        cls, chain: assets.Chain, urls: Sequence[str], clock: Clock, limits: Limits | None = None
    ) -> "EvmChain":
        """Serve ``chain`` through endpoints in order of preference."""
        return cls(chain, JsonRpc(urls, chain.chain_id, clock, limits=limits))

    @property
    def key(self) -> str:
        """Our key for the chain."""
        return self._chain.key

    @property
    def second_view(self) -> "EvmChain":
        """See `port.Chain.second_view`."""
        return EvmChain(self._chain, self._rpc, second=True)

    async def check(self) -> None:
        """See `port.Chain.check`."""
        await self._rpc.check_endpoints()
        for token in self._chain.accepted:
            if not await self.code(token.contract):
                msg = f"{self.key}: there is no contract at {token.contract} ({token.symbol})"
                raise ChainMisconfigured(msg)
            try:
                decimals = int.from_bytes(await self.call(token.contract, DECIMALS_CALL))
            except CallReverted as error:
                msg = f"{self.key}: {token.contract} ({token.symbol}) does not tell its decimals"
                raise ChainMisconfigured(msg) from error
            if decimals != token.decimals:
                msg = (
                    f"{self.key}: {token.symbol} at {token.contract} has {decimals} decimals,"
                    f" the registry says {token.decimals}"
                )
                raise ChainMisconfigured(msg)

    async def block(self, at: At) -> Block | None:
        """See `port.Chain.block`."""
        return await self._rpc.ask(_header_query(at))

    async def prefer_above(self, number: int) -> bool:
        """See `port.Chain.prefer_above`."""

        def is_above(newest: Block | None) -> bool:
            return newest is not None and newest.number > number

        return await self._rpc.prefer(_header_query("latest"), is_above)

    async def headers(self, numbers: Collection[int], *, below: Block) -> dict[int, Block | None]:
        """See `port.Chain.headers`."""
        wanted = sorted(set(numbers))
        # Before and after: many take more than one batch, between which a node may turn elsewhere.
        asked = [_header_query(number) for number in (below.number, *wanted, below.number)]
        before, *found, after = await self._rpc.ask_all(asked)
        if not before == after == below:
            msg = f"{self.key}: block {below.number} is another where those below it were read"
            raise ChainMoved(msg)
        return dict(zip(wanted, found, strict=True))

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
        """See `port.Chain.transfers`."""
        if (contracts is not None and not contracts) or (recipients is not None and not recipients):
            return []

        def read(logs: list[RawLog] | _Header | None) -> list[Transfer]:
            found = decode_transfers(self.key, _listed(logs), contracts, recipients)
            return [t for t in found if from_block <= t.block_number <= to_block]

        end = _hash_query(to_block)
        filters = transfer_filters(from_block, to_block, contracts, recipients)
        questions: list[Query[str | list[Transfer]]] = [
            end,
            *(Query("eth_getLogs", (one,), read) for one in filters),
            end,
        ]
        if after_hash is not None:
            questions.append(_hash_query(from_block - 1))
        answers = await self._rpc.ask_all(questions, _LOGS, second_view=self._second)
        if after_hash is not None and answers.pop() != after_hash:
            msg = f"{self.key}: block {from_block - 1} is another where the next ones are"
            raise ChainMoved(msg)
        found = [t for answer in answers if isinstance(answer, list) for t in answer]
        ends = {answer for answer in answers if isinstance(answer, str)}
        blocks = {(t.block_number, t.block_hash) for t in found}
        ends |= {block_hash for number, block_hash in blocks if number == to_block}
        if ends != {end_hash or next(iter(ends))} or len(dict(blocks)) != len(blocks):
            msg = f"{self.key}: blocks up to {to_block} changed while their transfers were read"
            raise ChainMoved(msg)
        return sorted(found, key=lambda t: (t.block_number, t.log_index))

    async def attestations(self, transfers: Sequence[Transfer]) -> list[Attestation]:
        """See `port.Chain.attestations`."""
        questions: list[Query[Said]] = []
        for one in transfers:
            questions += [_header_query(one.block_number), shown_query(one)]
        told = await self._rpc.ask_each(questions)
        return [attestation(one, 2 * place, told) for place, one in enumerate(transfers)]

    async def receipt_attestations(self, receipts: Sequence[Receipt]) -> list[Attestation]:
        """See `port.Chain.receipt_attestations`."""
        questions: list[Query[Ending]] = [_header_query("finalized")]
        for one in receipts:
            questions += [_header_query(one.block_number), receipt_query(one.tx_hash)]
        told = await self._rpc.ask_each(questions)
        return [receipt_attestation(one, 1 + 2 * place, told) for place, one in enumerate(receipts)]

    async def token_balances(
        self, contract: str, addresses: Sequence[str], block_hash: str
    ) -> list[int]:
        """See `port.Chain.token_balances`."""
        if not contract:
            return await self.native_balances(addresses, block_hash)
        return await self._rpc.ask_all(
            [_balance_query(contract, address, block_hash) for address in addresses],
            second_view=self._second,
        )

    async def kept_balances(
        self, asked: Sequence[tuple[str, str]], block_hash: str
    ) -> list[int] | None:
        """See `port.Chain.kept_balances`."""
        return await self._rpc.ask_all_if_offered(
            [_balance_query(contract, address, block_hash) for contract, address in asked]
        )

    async def native_balances(self, addresses: Sequence[str], block_hash: str) -> list[int]:
        """See `port.Chain.native_balances`."""
        at = _at(block_hash)
        return await self._rpc.ask_all(
            [Query("eth_getBalance", (address, at), _read_quantity) for address in addresses],
            second_view=self._second,
        )

    async def native_payments(self, block: Block, recipients: Collection[str]) -> list[Transfer]:
        """See `port.Chain.native_payments`."""
        asked = paid_query(self.key, block, recipients)
        # Who shows a payment without its receipt made it up, or has lost what finds receipts.
        for second in (self._second, not self._second):
            told = await self._rpc.ask(asked, second_view=second)
            wanted = [receipt_query(paid.tx_hash) for paid in told]
            receipts = await self._rpc.ask_all(wanted, second_view=second) if wanted else []
            there = [one for one in receipts if one is not None and one.block_hash == block.hash]
            if len(there) == len(told):
                return [paid for paid, one in zip(told, there, strict=True) if one.ok]
        msg = f"{self.key}: block {block.number} changed while its payments were read"
        raise ChainMoved(msg)

    async def internal_payments(
        self, block: Block, recipients: Collection[str], *, ended: bool = False
    ) -> list[Transfer] | None:
        """See `port.Chain.internal_payments`."""

        def read(raw: msgspec.Raw) -> list[Transfer]:
            return internal(self.key, block, read_traces(raw), recipients, ended=ended)

        asked = (block.hash, TRACER)
        return await self._rpc.ask_if_offered(Query("debug_traceBlockByHash", asked, read))

    async def native_sweeps(
        self, from_block: int, to_block: int, factories: Sequence[str], *, end: Block
    ) -> list[NativeSweep]:
        """See `port.Chain.native_sweeps`."""

        def read(logs: list[RawLog] | _Header | None) -> list[NativeSweep]:
            return sweeps_in(_listed(logs), factories)

        asked = native_sweep_filter(from_block, to_block, factories)
        there = _hash_query(end.number)
        questions = [there, Query("eth_getLogs", (asked,), read), there]
        before, found, after = await self._rpc.ask_all(questions, _LOGS, second_view=self._second)
        if not isinstance(found, list) or not before == after == end.hash:
            msg = f"{self.key}: block {end.number} is another where sweeps below it were read"
            raise ChainMoved(msg)
        return found

    async def nonce(self, address: str, at: str) -> int:
        """See `port.Chain.nonce`."""
        asked = (address, _at(at) if at.startswith("0x") else at)
        counting = Query("eth_getTransactionCount", asked, _read_quantity)
        return await self._rpc.ask(counting, second_view=self._second)

    async def nonce_by_each(
        self, address: str, tx_hashes: Sequence[str], at_block: int
    ) -> dict[str, NonceSeen | None]:
        """See `port.Chain.nonce_by_each`."""
        questions: list[Query[Fate]] = [_header_query("finalized"), _header_query(at_block)]
        questions += fate_queries(address, tx_hashes, at_block)
        told = await self._rpc.ask_each(questions)
        return {name: nonce_seen(answers, tx_hashes, at_block) for name, answers in told.items()}

    async def fees(self) -> Fees:
        """See `port.Chain.fees`."""
        base_fee_wei, asked_tip_wei = await self._rpc.ask_all(
            [
                Query("eth_getBlockByNumber", ("latest", False), _read_base_fee),
                Query("eth_maxPriorityFeePerGas", (), _read_quantity),
            ]
        )
        tip_wei = min(asked_tip_wei, MAX_TIP_WEI)
        return Fees(max_fee_wei=2 * base_fee_wei + tip_wei, tip_wei=tip_wei)

    async def data_fee_wei(self, data: bytes) -> int:
        """See `port.Chain.data_fee_wei`."""
        answer = await self.call(PRICE_ORACLE, data_fee_calldata(data))
        # Where no such contract is, the call succeeds and answers nothing.
        return int.from_bytes(answer[:WORD])

    async def estimate_gas(self, sender: str, to: str, data: bytes, value_wei: int = 0) -> int:
        """See `port.Chain.estimate_gas`."""
        call = {**_call(to, data), "from": sender, "value": hex(value_wei), "gas": hex(MOST_GAS)}
        try:
            return await self._rpc.ask(Query("eth_estimateGas", (call,), _read_quantity))
        except RpcError as error:
            raise reverted(error) from error

    async def call(self, to: str, data: bytes, at: At = "latest") -> bytes:
        """See `port.Chain.call`."""
        try:
            return await self._rpc.ask(Query("eth_call", (_call(to, data), _height(at)), _read_hex))
        except RpcError as error:
            raise reverted(error) from error

    async def code(self, address: str) -> bytes:
        """See `port.Chain.code`."""
        reading = Query("eth_getCode", (address, "latest"), _read_hex)
        return await self._rpc.ask(reading, second_view=self._second)

    async def token_codes(self, contracts: Sequence[str], *, not_before: int) -> list[TokenCode]:
        """See `port.Chain.token_codes`."""
        return await token_codes(Newest(self._rpc, not_before, second=self._second), contracts)

    async def send(self, raw: bytes) -> Sent:
        """See `port.Chain.send`."""
        tx_hash = "0x" + keccak256(raw).hex()

        def read(answer: msgspec.Raw) -> Sent:
            if _TEXT.decode(answer).lower() != tx_hash:
                msg = "the node took other bytes than were sent"
                raise Unusable(msg)
            return Sent(SendOutcome.ACCEPTED)

        asked = Query("eth_sendRawTransaction", ("0x" + raw.hex(),), read)
        try:
            return await self._rpc.ask(asked, second_view=self._second)
        except RpcError as error:
            return Sent(send_outcome(error.message), error.message)

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """See `port.Chain.receipt`."""
        return await self._rpc.ask(receipt_query(tx_hash), second_view=self._second)

    async def close(self) -> None:
        """See `port.Chain.close`."""
        await self._rpc.close()


def _header_query(at: At) -> Query[Block | None]:
    def read(raw: msgspec.Raw) -> Block | None:
        header = _HEADER.decode(raw)
        return None if header is None else _asked_for(at, header)

    return Query("eth_getBlockByNumber", (_height(at), False), read)


def _at(block_hash: str) -> dict[str, str]:
    return {"blockHash": block_hash}


def _balance_query(contract: str, address: str, block_hash: str) -> Query[int]:
    asked = (_call(contract, balance_of_calldata(address)), _at(block_hash))
    return Query("eth_call", asked, _read_word)


def _hash_query(number: int) -> Query[str]:
    """Ask for the hash of a block beside logs; a node without it lags behind."""

    def read(header: list[RawLog] | _Header | None) -> str:
        if not isinstance(header, _Header):
            msg = f"the node does not have block {number} yet"
            raise Unusable(msg)
        return _asked_for(number, header).hash

    return Query("eth_getBlockByNumber", (hex(number), False), read)


def _listed(logs: list[RawLog] | _Header | None) -> list[RawLog]:
    if not isinstance(logs, list):
        msg = "eth_getLogs was answered with no list"
        raise Unusable(msg)
    return logs


def _asked_for(at: At, header: _Header) -> Block:
    block = _block(header)
    if isinstance(at, int) and block.number != at:
        msg = f"asked for block {at}, got {block.number}"
        raise Unusable(msg)
    return block


def _height(at: At) -> str:
    return hex(at) if isinstance(at, int) else at


def _call(to: str, data: bytes) -> dict[str, str]:
    return {"to": to, "data": "0x" + data.hex()}


def _block(header: _Header) -> Block:
    return Block(
        number=quantity(header.number),
        hash=hash_in(header.hash),
        parent_hash=hash_in(header.parent_hash),
        at=datetime.fromtimestamp(quantity(header.timestamp), UTC),
    )


def _read_quantity(raw: msgspec.Raw) -> int:
    return quantity(_TEXT.decode(raw))


def _read_hex(raw: msgspec.Raw) -> bytes:
    return bytes.fromhex(_TEXT.decode(raw).removeprefix("0x"))


def _read_word(raw: msgspec.Raw) -> int:
    data = _read_hex(raw)
    if len(data) != WORD:
        # A node that does not have the contract yet answers with nothing at all.
        msg = f"a balance has {WORD} bytes, not {len(data)}"
        raise Unusable(msg)
    return int.from_bytes(data)


def _read_base_fee(raw: msgspec.Raw) -> int:
    header = _HEADER.decode(raw)
    if header is None:
        msg = "the node has no latest block"
        raise Unusable(msg)
    return quantity(header.base_fee)
