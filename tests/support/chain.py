"""`LocalChain`: one real EVM node with the registry's tokens on it, and hands to use it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.abi import encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from counterfoil.chains.evm.addresses import DepositAddresses, FactoryTerms
from counterfoil.chains.evm.chain import EvmChain
from counterfoil.chains.evm.contracts import DETERMINISTIC_DEPLOYER
from counterfoil.chains.evm.rpc import Limits
from counterfoil.chains.evm.transactions import transfer_calldata
from counterfoil.chains.port import Block, Receipt
from counterfoil.core.assets import CHAINS, accepted_asset
from counterfoil.core.money import Asset
from counterfoil.sandbox.anvil import Anvil, AnvilSettings
from counterfoil.sandbox.tokens import TOKEN_OWNER, artifact, install_tokens, mint
from support.fake_clock import FakeClock

PAYER: Final[LocalAccount] = Account.from_key("0x" + "11" * 32)
STRANGER: Final = "0x" + "5a" * 20

TERMS: Final = FactoryTerms(
    pool="0x" + "b0" * 20, hold="0x" + "c0" * 20, operator="0x" + "0e" * 20, admin="0x" + "ad" * 20
)

QUICK: Final = Limits(
    timeout_seconds=5, rounds=2, backoff_seconds=0.01, breaker_failures=3, breaker_seconds=30
)


@dataclass(slots=True)
class LocalChain:
    """A node as a test sees it: ``chain`` is our port over it, ``node`` anvil's own powers."""

    key: str
    node: Anvil
    chain: EvmChain

    @property
    def usdt(self) -> Asset:
        return self._token("USDT")

    @property
    def eth(self) -> Asset:
        return CHAINS[self.key].native

    @property
    def usdc(self) -> Asset:
        return self._token("USDC")

    def _token(self, symbol: str) -> Asset:
        token = accepted_asset(CHAINS[self.key], symbol)
        assert token is not None
        return token

    async def send(
        self, sender: str, to: str | None, data: bytes = b"", value_wei: int = 0, gas: int = 0
    ) -> Receipt:
        """Send as anybody, without a key, and wait for the receipt."""
        await self.node.impersonate(sender)
        order: dict[str, Any] = {"from": sender, "data": "0x" + data.hex(), "value": hex(value_wei)}
        if to is not None:
            order["to"] = to
        if gas:
            order["gas"] = hex(gas)
        return await self.receipt(await self.node.rpc("eth_sendTransaction", order))

    async def receipt(self, tx_hash: str) -> Receipt:
        """Wait for a transaction that is about to be mined."""
        for _ in range(1000):
            receipt = await self.chain.receipt(tx_hash)
            if receipt is not None:
                return receipt
            await asyncio.sleep(0.005)
        msg = f"{tx_hash} was not mined"
        raise AssertionError(msg)

    async def call(self, signature: str, *values: object, to: str, sender: str) -> Receipt:
        """Send a call written as ``name(type,type)`` with its arguments."""
        return await self.send(sender, to, calldata(signature, *values))

    async def as_issuer(self, token: Asset, signature: str, *values: object) -> None:
        """Do something that only a token's owner may do, such as blacklisting."""
        receipt = await self.call(signature, *values, to=token.contract, sender=TOKEN_OWNER)
        assert receipt.ok

    async def pay(self, token: Asset, to: str, units: int) -> Receipt:
        """Mint to the payer and pay from there with an ordinary transfer."""
        if token.is_native:
            return await self.send(PAYER.address.lower(), to, value_wei=units)
        await mint(self.node, token, PAYER.address.lower(), units)
        return await self.send(PAYER.address.lower(), token.contract, transfer_calldata(to, units))

    async def signed_payment(self, token: Asset, to: str, units: int) -> bytes:
        """Mint to the payer and sign a payment without sending it."""
        payer = PAYER.address.lower()
        await mint(self.node, token, payer, units)
        fees = await self.chain.fees()
        order: dict[str, Any] = {
            "chainId": CHAINS[self.key].chain_id,
            "nonce": await self.chain.nonce(payer, "pending"),
            "to": bytes.fromhex(token.contract[2:]),
            "data": transfer_calldata(to, units),
            "value": 0,
            "gas": 200_000,
            "maxFeePerGas": fees.max_fee_wei,
            "maxPriorityFeePerGas": fees.tip_wei,
        }
        return bytes(PAYER.sign_transaction(order).raw_transaction)

    async def balance(self, token: Asset | None, address: str) -> int:
        """Read a token balance at the newest block; None is the native coin."""
        contract = token.contract if token else ""
        newest = await self.tip()
        (units,) = await self.chain.token_balances(contract, [address], newest.hash)
        return units

    async def tip(self) -> Block:
        """The newest block."""
        newest = await self.chain.block("latest")
        assert newest is not None
        return newest

    async def deploy(self, name: str) -> str:
        """Deploy one of ``contracts/sandbox`` and return its address."""
        raw = bytes.fromhex(artifact(name).initcode[2:])
        await self.node.impersonate(STRANGER)
        tx_hash = await self.node.rpc(
            "eth_sendTransaction", {"from": STRANGER, "data": "0x" + raw.hex()}
        )
        await self.receipt(tx_hash)
        receipt = await self.node.rpc("eth_getTransactionReceipt", tx_hash)
        address: str = receipt["contractAddress"]
        return address

    async def deploy_factory(self, terms: FactoryTerms = TERMS) -> DepositAddresses:
        """Put a merchant's factory in place and give its operator and admin gas money."""
        for wallet in (terms.operator, terms.admin):
            await self.node.set_balance(wallet, 10**20)
        receipt = await self.send(STRANGER, DETERMINISTIC_DEPLOYER, terms.deploy_calldata)
        assert receipt.ok
        return DepositAddresses(terms.address)

    async def finalize(self) -> None:
        """Mine until the newest block of now is finalized."""
        await self.node.mine(2 * self.node.settings.slots_in_an_epoch)


@asynccontextmanager
async def local_chain(key: str = "arb", *, slots_in_an_epoch: int = 4) -> AsyncIterator[LocalChain]:
    """Start a node that plays the registry's chain ``key``, with tokens and a rich payer."""
    settings = AnvilSettings(CHAINS[key].chain_id, slots_in_an_epoch=slots_in_an_epoch)
    node = await Anvil.start(settings)
    chain = EvmChain.over(CHAINS[key], [node.url], FakeClock(), QUICK)
    try:
        await install_tokens(node, CHAINS[key])
        for account in (PAYER.address, STRANGER):
            await node.set_balance(account, 10**21)
        yield LocalChain(key, node, chain)
    finally:
        await chain.close()
        await node.stop()


def calldata(signature: str, *values: object) -> bytes:
    """Encode a call with eth-abi, the oracle, and not with our own encoder."""
    kinds = signature[signature.index("(") + 1 : -1]
    types = kinds.split(",") if kinds else []
    return bytes(keccak(text=signature)[:4] + encode(types, values))
