"""How wallets are asked to pay: ERC-681 for QR codes, a call for those inside the browser."""

from typing import Final

from counterfoil.core.assets import CHAINS
from counterfoil.core.money import Money

_TRANSFER: Final = "a9059cbb"
"""The first four bytes of the hash of ``transfer(address,uint256)`` (ERC-20)."""


def payment_uri(money: Money, address: str) -> str:
    """What a wallet reads from a QR code, in base units and plain integers (ERC-681)."""
    asset = money.asset
    chain_id = CHAINS[asset.chain].chain_id
    if asset.is_native:
        return f"ethereum:{address}@{chain_id}?value={money.units}"
    return f"ethereum:{asset.contract}@{chain_id}/transfer?address={address}&uint256={money.units}"


def wallet_call(money: Money, address: str) -> dict[str, str]:
    """The same as fields of ``eth_sendTransaction`` (EIP-1474), without the payer's own."""
    asset = money.asset
    if asset.is_native:
        return {"to": address, "value": hex(money.units), "data": "0x"}
    data = f"0x{_TRANSFER}{address[2:].lower():0>64}{money.units:064x}"
    return {"to": asset.contract, "value": "0x0", "data": data}
