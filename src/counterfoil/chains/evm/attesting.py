"""What each endpoint says by itself: of a transfer or receipt, its block; of a nonce, its owner."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from counterfoil.chains.evm.rpc import Query, Unusable, quantity
from counterfoil.chains.evm.transfers import RawLog, decode_transfers
from counterfoil.chains.port import Attestation, Block, Log, NonceSeen, Receipt, Transfer

Said = Block | list[Transfer] | None
"""A header, the transfers that a receipt shows, or nothing of the kind."""


class _Receipt(msgspec.Struct, frozen=True):
    status: str
    logs: list[RawLog]
    tx_hash: str = msgspec.field(name="transactionHash")


Fate = Block | int | bool | None
"""A header, a count of transactions, whether one succeeded; None for nothing of the kind."""

_RECEIPT: Final = msgspec.json.Decoder(_Receipt | None)
_TEXT: Final = msgspec.json.Decoder(str)


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


Ending = Block | Receipt | None
"""A header, a receipt, or nothing of the kind."""


def receipt_attestation(
    receipt: Receipt, place: int, told: Mapping[str, list[Ending] | None]
) -> Attestation:
    """Sum up what was told: each endpoint's finalized header first, then at ``place`` the header.

    Its receipt comes after that.
    """
    confirms, denies, silent = [], [], []
    for name, answers in told.items():
        finalized, block, shown = (
            (None, None, None) if answers is None else (answers[0], *answers[place : place + 2])
        )
        final = isinstance(finalized, Block) and finalized.number >= receipt.block_number
        if not final or not isinstance(block, Block):
            silent.append(name)
        elif block.hash == receipt.block_hash and _same(shown, receipt):
            confirms.append(name)
        else:
            denies.append(name)
    return Attestation(tuple(confirms), tuple(denies), tuple(silent))


def _same(shown: Ending, receipt: Receipt) -> bool:
    return isinstance(shown, Receipt) and replace(shown, fee_wei=receipt.fee_wei) == receipt


def read_log(raw: RawLog) -> Log:
    """One log of a receipt."""
    return Log(
        contract=raw.address.lower(),
        topics=tuple(topic.lower() for topic in raw.topics),
        data=bytes.fromhex(raw.data.removeprefix("0x")),
        log_index=quantity(raw.log_index or ""),
    )


def fate_queries(address: str, tx_hashes: Sequence[str], at_block: int) -> list[Query[Fate]]:
    """Ask how many transactions an address had sent at a block, and what became of these."""

    def count(raw: msgspec.Raw) -> int:
        return quantity(_TEXT.decode(raw))

    def fate(tx_hash: str) -> Query[Fate]:
        def read(raw: msgspec.Raw) -> bool | None:
            found = _RECEIPT.decode(raw)
            if found is not None and found.tx_hash.lower() != tx_hash:
                msg = f"asked for the receipt of {tx_hash}, got {found.tx_hash}"
                raise Unusable(msg)
            return None if found is None else quantity(found.status) == 1

        return Query("eth_getTransactionReceipt", (tx_hash,), read)

    sent: Query[Fate] = Query("eth_getTransactionCount", (address, hex(at_block)), count)
    return [sent, *map(fate, tx_hashes)]


def nonce_seen(
    answers: Sequence[Fate] | None, tx_hashes: Sequence[str], at_block: int
) -> NonceSeen | None:
    """Sum up one endpoint's answers: its finalized header, that of the block, then the fates."""
    if answers is None:
        return None
    finalized, block, count, *fates = answers
    if not isinstance(finalized, Block) or not isinstance(block, Block):
        return None
    if finalized.number < at_block or not isinstance(count, int):
        return None
    ends = list(zip(tx_hashes, fates, strict=True))
    return NonceSeen(
        block.hash,
        count,
        landed=tuple(tx_hash for tx_hash, fate in ends if fate is True),
        reverted=tuple(tx_hash for tx_hash, fate in ends if fate is False),
    )
