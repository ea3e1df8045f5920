"""The sandbox's customer: an account with coins on every local chain, who pays invoices."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_account.types import AccessListEntry
from eth_typing import HexStr

from counterfoil.chains.evm.addresses import checksum
from counterfoil.chains.evm.transactions import transfer_calldata
from counterfoil.core.money import Asset
from counterfoil.sandbox.anvil import AnvilNode, SandboxError

PRIVATE_KEY: Final = "0x5a4d" + "c0ffee" * 10
"""Known to everybody, like everything in the sandbox."""

_GAS_LIMIT: Final = 200_000
_FEE_WEI: Final = 5 * 10**9
_PATIENCE: Final = 200


@dataclass(frozen=True, slots=True)
class Customer:
    """Pays tokens and native coin from one account."""

    account: LocalAccount

    @classmethod
    def known(cls) -> "Customer":
        """The customer that the demo funds."""
        return cls(cast("LocalAccount", Account.from_key(PRIVATE_KEY)))

    @property
    def address(self) -> str:
        """The paying address, lower case."""
        return str(self.account.address).lower()

    async def pay(self, node: AnvilNode, asset: Asset, to: str, units: int) -> str:
        """Transfer tokens, or coin, and wait until a block has the transaction; answers its hash.

        Raises `SandboxError` when the node refuses it or the token reverts.
        """
        transaction: dict[str, Sequence[AccessListEntry] | bytes | HexStr | int] = {
            "to": HexStr(checksum(asset.contract or to)),
            "data": transfer_calldata(to, units) if asset.contract else b"",
            "value": 0 if asset.contract else units,
            "nonce": int(await node.rpc("eth_getTransactionCount", self.address, "pending"), 16),
            "chainId": int(await node.rpc("eth_chainId"), 16),
            "gas": _GAS_LIMIT,
            "maxFeePerGas": _FEE_WEI,
            "maxPriorityFeePerGas": 1,
            "type": 2,
        }
        raw = self.account.sign_transaction(transaction).raw_transaction
        tx_hash = str(await node.rpc("eth_sendRawTransaction", "0x" + bytes(raw).hex()))
        return await included(node, tx_hash)


async def included(node: AnvilNode, tx_hash: str) -> str:
    """Wait until a block has a transaction; `SandboxError` when it failed, or none takes it."""
    for _ in range(_PATIENCE):
        receipt = await node.rpc("eth_getTransactionReceipt", tx_hash)
        if receipt is not None:
            if int(receipt["status"], 16) != 1:
                message = f"the token refused the transfer {tx_hash}; is the account funded?"
                raise SandboxError(message)
            return tx_hash
        await asyncio.sleep(0.05)
    message = f"no block took the transfer {tx_hash}"
    raise SandboxError(message)
