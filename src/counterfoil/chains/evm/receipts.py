"""Receipts as nodes tell them: what became of a transaction, and what it cost."""

from typing import Final

import msgspec

from counterfoil.chains.evm.attesting import read_log
from counterfoil.chains.evm.rpc import Query, Unusable, quantity
from counterfoil.chains.evm.transfers import RawLog
from counterfoil.chains.port import Receipt
from counterfoil.core.money import MAX_UNITS


class _Receipt(msgspec.Struct, frozen=True):
    tx_hash: str = msgspec.field(name="transactionHash")
    block_number: str = msgspec.field(name="blockNumber")
    block_hash: str = msgspec.field(name="blockHash")
    status: str
    gas_used: str = msgspec.field(name="gasUsed")
    gas_price: str = msgspec.field(name="effectiveGasPrice")
    logs: list[RawLog]
    sender: str = msgspec.field(name="from")
    to: str | None = None
    # OP Stack chains bill the data's way to Ethereum on top of gas; Arbitrum has it in gasUsed.
    l1_fee: str | None = msgspec.field(default=None, name="l1Fee")


_RECEIPT: Final = msgspec.json.Decoder(_Receipt | None)


def receipt_query(tx_hash: str) -> Query[Receipt | None]:
    """Ask for a receipt; None while the transaction is unknown or unmined."""

    def read(raw: msgspec.Raw) -> Receipt | None:
        found = _RECEIPT.decode(raw)
        if found is None:
            return None
        if found.tx_hash.lower() != tx_hash:
            msg = f"asked for the receipt of {tx_hash}, got {found.tx_hash}"
            raise Unusable(msg)
        return _receipt(found)

    return Query("eth_getTransactionReceipt", (tx_hash,), read)


def _receipt(found: _Receipt) -> Receipt:
    gas_used = quantity(found.gas_used)
    fee_wei = gas_used * quantity(found.gas_price) + quantity(found.l1_fee or "0x0")
    if fee_wei > MAX_UNITS:
        msg = f"{fee_wei} wei of fees are more than there ever were"
        raise Unusable(msg)
    return Receipt(
        tx_hash=found.tx_hash.lower(),
        block_number=quantity(found.block_number),
        block_hash=found.block_hash.lower(),
        ok=quantity(found.status) == 1,
        gas_used=gas_used,
        fee_wei=fee_wei,
        logs=tuple(map(read_log, found.logs)),
        sender=found.sender.lower(),
        to=found.to and found.to.lower(),
    )
