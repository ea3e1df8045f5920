"""Token transfers out of ``eth_getLogs``, and nothing that only looks like one.

The attacks this filter answers are in specs/chains.md 6.5: look-alike tokens, spoofed logs,
ERC-721 transfers (same first topic, one more topic), short data, zero-value poisoning.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from operator import attrgetter
from typing import Final

import msgspec

from counterfoil.chains.address_set import TAIL_DIGITS, AddressSet
from counterfoil.chains.evm.abi import topic
from counterfoil.chains.port import Recipients, Transfer
from counterfoil.core.money import MAX_UNITS

TRANSFER_TOPIC: Final = topic("Transfer(address,address,uint256)")

RECIPIENTS_PER_QUERY: Final = 500
"""How many recipients one query names; nodes take 1,000 per topic, some fewer."""

_TRANSFER_LOG: Final = re.compile(
    TRANSFER_TOPIC + r" 0x0{24}([0-9a-f]{40})"  # sender
    r" 0x0{24}([0-9a-f]{40})"  # receiver; a fourth topic would not match what follows
    r" (0x[0-9a-f]{64})"  # amount: exactly one word
    r" (0x[0-9a-f]{1,15}) (0x[0-9a-f]{64})"  # block number and hash
    r" (0x[0-9a-f]{64}) (0x[0-9a-f]{1,7})",  # transaction and log index: no block has more
    re.ASCII,
)
_TIME: Final = re.compile(r"0x[0-9a-fA-F]{1,9}", re.ASCII)


class RawLog(msgspec.Struct, frozen=True, gc=False):
    """A log as a node sends it; the place in the chain is null while a block is pending."""

    address: str
    topics: tuple[str, ...]
    data: str
    block_number: str | None = msgspec.field(default=None, name="blockNumber")
    block_hash: str | None = msgspec.field(default=None, name="blockHash")
    tx_hash: str | None = msgspec.field(default=None, name="transactionHash")
    log_index: str | None = msgspec.field(default=None, name="logIndex")
    block_time: str | None = msgspec.field(default=None, name="blockTimestamp")
    removed: bool = False


def address_topic(address: str) -> str:
    """Write an address the way an indexed argument appears in a topic."""
    return "0x" + "0" * 24 + address[2:]


def transfer_filters(
    from_block: int,
    to_block: int,
    contracts: Sequence[str] | None,
    recipients: Recipients,
) -> list[dict[str, object]]:
    """Build the ``eth_getLogs`` filters that together cover the recipients.

    One filter per `RECIPIENTS_PER_QUERY` addresses; for those that are not named, one that asks
    for every transfer of the contracts. ``contracts`` None is all there are.
    """
    span: dict[str, object] = {"fromBlock": hex(from_block), "toBlock": hex(to_block)}
    if contracts is not None:
        span["address"] = list(contracts)
    if recipients is None or isinstance(recipients, AddressSet):
        return [{**span, "topics": [TRANSFER_TOPIC]}]
    return [
        {**span, "topics": [TRANSFER_TOPIC, None, chunk]}
        for chunk in _chunks(map(address_topic, recipients))
    ]


def decode_transfers(
    chain: str,
    logs: Iterable[RawLog],
    contracts: Collection[str] | None,
    recipients: Recipients,
) -> list[Transfer]:
    """Keep the logs that are transfers of ``contracts`` to ``recipients``; drop the rest.

    The node was asked for nothing else, but what it answers is checked again here. The
    amount is the log's own, so a token's fee is already taken off. Ordered by block and log
    index; a log that is listed twice counts once.
    """
    wanted = None if contracts is None else frozenset(contracts)
    ours: AddressSet | frozenset[str] | None = None
    if isinstance(recipients, AddressSet):
        logs, ours = _perhaps(logs, recipients), recipients
    elif recipients is not None:
        ours = frozenset(recipients)
    found = {
        transfer for log in logs if (transfer := _decode(chain, log, wanted, ours)) is not None
    }
    return sorted(found, key=attrgetter("block_number", "log_index"))


def _perhaps(logs: Iterable[RawLog], ours: AddressSet) -> list[RawLog]:
    """Leave out what cannot be to any of ours, looking at nothing but the receiver.

    Nearly all of a busy token's transfers end here, so it has to be cheap. What is written in
    any other way than nodes write it is left to be looked at properly.
    """
    tails = ours.tails
    return [
        log
        for log in logs
        if len(topics := log.topics) != 3  # noqa: PLR2004 - ERC-20
        or topics[0] != TRANSFER_TOPIC
        or topics[2][-TAIL_DIGITS:] in tails
    ]


def _decode(
    chain: str,
    log: RawLog,
    contracts: frozenset[str] | None,
    receivers: AddressSet | frozenset[str] | None,
) -> Transfer | None:
    contract = log.address.lower()
    if log.removed or len(log.topics) != 3:  # noqa: PLR2004 - ERC-20
        return None
    if contracts is not None and contract not in contracts:
        return None
    place = (log.block_number or "", log.block_hash or "", log.tx_hash or "", log.log_index or "")
    # One match over the joined text: five times faster than looking at every part alone.
    match = _TRANSFER_LOG.fullmatch(" ".join((*log.topics, log.data, *place)).lower())
    if match is None:
        return None
    sender, receiver, amount, number, block_hash, tx_hash, index = match.groups()
    to_address = "0x" + receiver
    amount_units = int(amount, 16)
    if amount_units == 0 or (receivers is not None and to_address not in receivers):
        return None
    if contracts is not None and amount_units > MAX_UNITS:
        return None  # Of a token that is registered there never was as much; others say anything.
    return Transfer(
        chain=chain,
        tx_hash=tx_hash,
        log_index=int(index, 16),
        block_number=int(number, 16),
        block_hash=block_hash,
        contract=contract,
        from_address="0x" + sender,
        to_address=to_address,
        amount_units=amount_units,
        block_at=_time(log.block_time),
    )


def _time(text: str | None) -> datetime | None:
    if text is None or not _TIME.fullmatch(text):
        return None
    return datetime.fromtimestamp(int(text, 16), UTC)


def _chunks(items: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(items)
    while chunk := list(islice(rest, RECIPIENTS_PER_QUERY)):
        yield chunk
