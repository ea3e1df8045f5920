"""What each endpoint says about one transfer: its block, and the logs in its receipt."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import msgspec

from counterfoil.chains.evm.rpc import Query, quantity
from counterfoil.chains.evm.transfers import RawLog, decode_transfers
from counterfoil.chains.port import Attestation, Block, Log, Transfer

Said = Block | list[Transfer] | None
"""A header, the transfers that a receipt shows, or nothing of the kind."""


class _Receipt(msgspec.Struct, frozen=True):
    status: str
    logs: list[RawLog]


_RECEIPT: Final = msgspec.json.Decoder(_Receipt | None)


def shown_query(transfer: Transfer) -> Query[Said]:
    """Ask which transfers of the same token a transaction's receipt shows; None without one."""

    def read(raw: msgspec.Raw) -> list[Transfer] | None:
        found = _RECEIPT.decode(raw)
        if found is None or quantity(found.status) != 1:
            return None
        return decode_transfers(transfer.chain, found.logs, [transfer.contract], None)

    return Query("eth_getTransactionReceipt", (transfer.tx_hash,), read)


def attestation(
    transfer: Transfer, place: int, told: Mapping[str, list[Said] | None]
) -> Attestation:
    """Sum up what was told: each endpoint's header at ``place``, what its receipt shows after."""
    confirms, denies, silent = [], [], []
    for name, answers in told.items():
        block, shown = (None, None) if answers is None else answers[place : place + 2]
        if not isinstance(block, Block):
            silent.append(name)
        elif block.hash == transfer.block_hash and _shows(shown, transfer):
            confirms.append(name)
        else:
            denies.append(name)
    return Attestation(tuple(confirms), tuple(denies), tuple(silent))


def _shows(shown: Said, transfer: Transfer) -> bool:
    wanted = replace(transfer, block_at=None)
    listed = shown if isinstance(shown, list) else []
    return any(replace(one, block_at=None) == wanted for one in listed)


def read_log(raw: RawLog) -> Log:
    """One log of a receipt."""
    return Log(
        contract=raw.address.lower(),
        topics=tuple(topic.lower() for topic in raw.topics),
        data=bytes.fromhex(raw.data.removeprefix("0x")),
        log_index=quantity(raw.log_index or ""),
    )
