"""What happens on a journey's chains: blocks that come or are held, and people who send things."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import aiohttp
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from counterfoil.chains.evm.contracts import Artifact
from counterfoil.chains.evm.transactions import transfer_calldata
from counterfoil.chains.evm.transfers import TRANSFER_TOPIC, address_topic
from counterfoil.core.assets import CHAINS, accepted_asset
from counterfoil.core.money import Asset
from counterfoil.sandbox.anvil import AnvilNode, SandboxError
from counterfoil.sandbox.tokens import TOKEN_OWNER, mint
from support.chain import calldata

PATIENCE_SECONDS: Final = 120
"""How long anything may take on a machine that is busy with other things."""

COIN: Final = 10**6
"""One USDC or USDT in base units."""

POLL_SECONDS: Final = 0.25
HEARTBEAT_SECONDS: Final = 0.3

GWEI: Final = 10**9


class Chain:
    """One local chain, which mines for as long as nobody holds it."""

    def __init__(self, key: str, node: AnvilNode) -> None:
        self.key = key
        self.node = node
        self.sending = asyncio.Lock()
        self._held = False
        self._mining = asyncio.Lock()

    @asynccontextmanager
    async def beating(self) -> AsyncIterator["Chain"]:
        await self.node.rpc("evm_setIntervalMining", 0)
        heart = asyncio.create_task(self._beat())
        try:
            yield self
        finally:
            heart.cancel()
            await asyncio.gather(heart, return_exceptions=True)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """No block comes but those that the test asks for, once the one under way has come."""
        self._held = True
        try:
            async with self._mining:
                pass
            yield
        finally:
            self._held = False

    def token(self, symbol: str) -> Asset:
        found = accepted_asset(CHAINS[self.key], symbol)
        assert found is not None
        return found

    async def time(self) -> int:
        """The newest block's time, in seconds since 1970."""
        block = await self.node.rpc("eth_getBlockByNumber", "latest", False)  # noqa: FBT003 - JSON-RPC
        return int(block["timestamp"], 16)

    async def holds(self, token: Asset, address: str) -> int:
        """Base units of a token, or of the coin, at an address, in the newest block."""
        if token.is_native:
            return int(await self.node.rpc("eth_getBalance", address, "latest"), 16)
        order = {"to": token.contract, "data": "0x70a08231" + address[2:].rjust(64, "0")}
        return int(await self.node.rpc("eth_call", order, "latest"), 16)

    async def nonce(self, address: str) -> int:
        """How many transactions an address has sent, in the newest block."""
        return int(await self.node.rpc("eth_getTransactionCount", address, "latest"), 16)

    async def paid_to(self, token: Asset, address: str) -> list[int]:
        """Every transfer of a token that an address ever received, in base units."""
        wanted = {
            "address": token.contract,
            "topics": [TRANSFER_TOPIC, None, address_topic(address)],
            "fromBlock": "0x0",
            "toBlock": "latest",
        }
        return [int(log["data"], 16) for log in await self.node.rpc("eth_getLogs", wanted)]

    async def included(self, tx_hash: str) -> dict[str, Any]:
        """The receipt of a transaction, once a block has taken it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                receipt: dict[str, Any] | None = await self.node.rpc(
                    "eth_getTransactionReceipt", tx_hash
                )
                if receipt is not None:
                    assert int(receipt["status"], 16) == 1, f"{tx_hash} reverted"
                    return receipt
                await asyncio.sleep(POLL_SECONDS)

    async def takes(self, raw: bytes) -> str:
        """Hand the node a signed transaction, without waiting for its block; answers its hash."""
        return str(await self.node.rpc("eth_sendRawTransaction", "0x" + raw.hex()))

    async def has(self, tx_hash: str) -> bool:
        """Whether a block has a transaction."""
        return await self.node.rpc("eth_getTransactionReceipt", tx_hash) is not None

    async def is_final(self, tx_hash: str) -> bool:
        """Whether the block that took a transaction is final."""
        height = int((await self.included(tx_hash))["blockNumber"], 16)
        final = await self.node.rpc("eth_getBlockByNumber", "finalized", False)  # noqa: FBT003 - JSON-RPC
        return height <= int(final["number"], 16)

    async def _beat(self) -> None:
        while True:
            # Were one call that a busy machine lost the last, this chain would stand still for all
            # journeys to come.
            with suppress(SandboxError, aiohttp.ClientError, TimeoutError):
                async with self._mining:
                    if not self._held:
                        await self.node.mine()
            await asyncio.sleep(HEARTBEAT_SECONDS)


def hash_of(raw: bytes) -> str:
    """What a signed transaction will be known by."""
    return "0x" + bytes(keccak(raw)).hex()


def new_address() -> str:
    """An address that nobody has used before."""
    return "0x" + secrets.token_hex(20)


class Payer:
    """Somebody with coins, whom the nodes let send without a key."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def owns(self, chain: Chain, token: Asset, units: int) -> None:
        await chain.node.set_balance(self.address, 10**18)
        await mint(chain.node, token, self.address, units)

    async def calls(self, chain: Chain, contract: str, data: bytes, wei: int = 0) -> str:
        """Send a transaction, without waiting for its block; answers its hash."""
        order = {"from": self.address, "to": contract, "data": "0x" + data.hex(), "value": hex(wei)}
        return await self._send(chain, order)

    async def pays(self, chain: Chain, token: Asset, to: str, units: int) -> str:
        if token.is_native:
            return await self.calls(chain, to, b"", units)
        return await self.calls(chain, token.contract, transfer_calldata(to, units))

    async def orders(self, chain: Chain, contract: str, signature: str, *values: object) -> None:
        """Call a contract by ``name(type,type)`` and its arguments, and wait for the block."""
        await chain.included(await self.calls(chain, contract, calldata(signature, *values)))

    async def deploys(self, chain: Chain, contract: Artifact) -> str:
        """Put a contract on a chain and wait for its block; answers where it stands."""
        order = {"from": self.address, "data": contract.initcode}
        receipt = await chain.included(await self._send(chain, order))
        return str(receipt["contractAddress"])

    async def _send(self, chain: Chain, order: dict[str, str]) -> str:
        await chain.node.impersonate(self.address)
        # The node gives two transactions that are sent at once the same nonce.
        async with chain.sending:
            return str(await chain.node.rpc("eth_sendTransaction", order))


class Wallet:
    """Somebody with a key, who can send the very same bytes to a chain again, or others instead."""

    def __init__(self) -> None:
        self.account: LocalAccount = Account.create()
        self.address = self.account.address.lower()

    async def signed(  # noqa: PLR0913 - a payment and its place
        self, chain: Chain, token: Asset, to: str, units: int, *, tip_gwei: int = 1, nonce: int = 0
    ) -> bytes:
        """A payment that nobody has sent yet; with a greater tip it replaces one of its nonce."""
        order: dict[str, Any] = {
            "chainId": int(await chain.node.rpc("eth_chainId"), 16),
            "nonce": nonce,
            "to": bytes.fromhex(token.contract[2:]),
            "data": transfer_calldata(to, units),
            "value": 0,
            "gas": 200_000,
            "maxFeePerGas": 100 * tip_gwei * GWEI,
            "maxPriorityFeePerGas": tip_gwei * GWEI,
        }
        return bytes(self.account.sign_transaction(order).raw_transaction)

    async def owns(self, chain: Chain, token: Asset, units: int) -> None:
        await Payer(self.address).owns(chain, token, units)
        # What was given enters the chain with a block, which no reorg of a story takes back.
        await chain.node.mine()


ISSUER: Final = Payer(TOKEN_OWNER)
"""Who may freeze addresses and take fees, as the issuers of the real tokens may."""
