"""What tokens and coin on a `FakeChain` leave to be read, and how it is read."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from counterfoil.chains.evm.transfers import TRANSFER_TOPIC, address_topic
from counterfoil.chains.port import Block, Log, Receipt, Transfer
from counterfoil.core.assets import TOP_LEVEL

if TYPE_CHECKING:
    from support.fake_chain import FakeTx, Moved


def transfer_logs(moves: "Sequence[Moved]") -> list[Log]:
    """The logs of what moved, without those of native coin."""
    return [
        Log(
            contract=move.contract,
            topics=(
                TRANSFER_TOPIC,
                address_topic(move.from_address),
                address_topic(move.to_address),
            ),
            data=move.amount_units.to_bytes(32, "big"),
            log_index=0,
        )
        for move in moves
        if move.contract
    ]


def transfers_in(chain: str, receipt: Receipt) -> Iterator[Transfer]:
    """The transfers that a receipt shows."""
    for log in receipt.logs:
        if log.topics[0] == TRANSFER_TOPIC and any(log.data):
            yield Transfer(
                chain=chain,
                tx_hash=receipt.tx_hash,
                log_index=log.log_index,
                block_number=receipt.block_number,
                block_hash=receipt.block_hash,
                contract=log.contract,
                from_address="0x" + log.topics[1][-40:],
                to_address="0x" + log.topics[2][-40:],
                amount_units=int.from_bytes(log.data),
            )


def native_transfers(
    chain: str, block: Block, txs: "Sequence[FakeTx]", how: str, recipients: Collection[str]
) -> list[Transfer]:
    """What these transactions of a block moved of native coin in this way."""
    return [
        Transfer(
            chain=chain,
            tx_hash=tx.tx_hash,
            log_index=TOP_LEVEL if how == "plain" else TOP_LEVEL - 1 - place,
            block_number=block.number,
            block_hash=block.hash,
            contract="",
            from_address=move.from_address,
            to_address=move.to_address,
            amount_units=move.amount_units,
        )
        for tx in txs
        for place, move in enumerate(() if tx.reverts else tx.moves)
        if not move.contract and move.how == how and move.to_address in recipients
    ]
