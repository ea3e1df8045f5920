"""`Rollup`: a node that takes a fee for data beside gas, and refuses who cannot pay both."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from counterfoil.chains.evm.chain import EvmChain
from counterfoil.chains.evm.rpc import JsonRpc
from counterfoil.chains.evm.transactions import PRICE_ORACLE
from counterfoil.chains.port import Receipt, SendOutcome, Sent, StateNotKept
from counterfoil.core import assets
from counterfoil.sandbox.anvil import AnvilNode
from counterfoil.sandbox.tokens import artifact
from support.chain import QUICK
from support.fake_clock import FakeClock

_ORACLE: Final = artifact("PriceOracle")


class Rollup(EvmChain):
    """Our port over anvil, which knows no such fee: it is taken from the sender by hand.

    ``really`` is how many times what its price oracle says the node takes. ``forgets``: it keeps
    the state of its newest block alone.
    """

    def __init__(self, chain: assets.Chain, node: AnvilNode) -> None:
        super().__init__(chain, JsonRpc([node.url], chain.chain_id, FakeClock(), limits=QUICK))
        self.node = node
        self.really = 1
        self.forgets = False
        self.took_wei: dict[str, int] = {}
        self.refused: list[str] = []
        self._sent: dict[str, tuple[str, int]] = {}

    @property
    def second_view(self) -> "Rollup":
        return self

    async def set_wei_per_byte(self, wei: int) -> None:
        """Put the oracle in its place, and Ethereum at this price."""
        await self.node.set_code(PRICE_ORACLE, _ORACLE.runtime)
        slot = _ORACLE.slots["wei_per_byte"]
        await self.node.set_storage(PRICE_ORACLE, slot, wei.to_bytes(32))
        await self.node.mine(1)

    async def token_balances(
        self, contract: str, addresses: Sequence[str], block_hash: str
    ) -> list[int]:
        await self._remember(block_hash)
        return await super().token_balances(contract, addresses, block_hash)

    async def native_balances(self, addresses: Sequence[str], block_hash: str) -> list[int]:
        await self._remember(block_hash)
        return await super().native_balances(addresses, block_hash)

    async def _remember(self, block_hash: str) -> None:
        newest = await self.block("latest")
        if self.forgets and newest is not None and block_hash != newest.hash:
            msg = f"{self.key}: no endpoint keeps the state of block {block_hash}"
            raise StateNotKept(msg)

    async def send(self, raw: bytes) -> Sent:
        fee_wei = len(raw) * await self._wei_per_byte() * self.really
        sender = Account.recover_transaction(raw).lower()
        balance_wei = await self._balance(sender)
        cost_wei = _cost_wei(raw) + fee_wei
        if balance_wei < cost_wei and await self.nonce(sender, "latest") == _fields(raw)["nonce"]:
            self.refused.append(sender)
            words = f"insufficient funds: balance {balance_wei}, tx cost {cost_wei}"
            return Sent(SendOutcome.NO_GAS_MONEY, words)
        sent = await super().send(raw)
        if sent.outcome is SendOutcome.ACCEPTED:
            tx_hash: Any = await self.node.rpc("web3_sha3", "0x" + raw.hex())
            self._sent[tx_hash] = (sender, fee_wei)
            await self.receipt(tx_hash)
        return sent

    async def receipt(self, tx_hash: str) -> Receipt | None:
        found = await super().receipt(tx_hash)
        if found is None or tx_hash not in self._sent:
            return found
        sender, fee_wei = self._sent[tx_hash]
        if tx_hash not in self.took_wei:
            self.took_wei[tx_hash] = fee_wei
            await self.node.set_balance(sender, await self._balance(sender) - fee_wei)
        return replace(found, fee_wei=found.fee_wei + fee_wei)

    async def _balance(self, address: str) -> int:
        return int(await self.node.rpc("eth_getBalance", address, "latest"), 16)

    async def _wei_per_byte(self) -> int:
        return await self.node.storage(PRICE_ORACLE, _ORACLE.slots["wei_per_byte"])


def _fields(raw: bytes) -> dict[str, Any]:
    found: dict[str, Any] = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    return found


def _cost_wei(raw: bytes) -> int:
    fields = _fields(raw)
    return int(fields["gas"] * fields["maxFeePerGas"] + fields["value"])
