"""What tokens on a `FakeChain` write down, and how it is read."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from counterfoil.chains.evm.transfers import TRANSFER_TOPIC, address_topic
from counterfoil.chains.port import Log, Receipt, Transfer

if TYPE_CHECKING:
    from support.fake_chain import Moved


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
