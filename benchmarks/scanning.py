"""Transfer logs scanned a second, beside decoding the same answers with msgspec and no more."""

import gc
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Final

import msgspec

from counterfoil.chains.address_set import AddressSet
from counterfoil.chains.evm.rpc import answers_of
from counterfoil.chains.evm.transfers import (
    TRANSFER_TOPIC,
    RawLog,
    address_topic,
    decode_transfers,
)
from counterfoil.core.assets import CHAINS

LOGS: Final = 20_000
ONE_OF_OURS_IN: Final = 100
ROUNDS: Final = 9
SETS: Final = (100_000, 1_000_000)

_TOKEN: Final = CHAINS["arb"].accepted[0].contract
_ANSWERS: Final = answers_of(list[RawLog])


@dataclass(frozen=True, slots=True)
class Scanned:
    """Logs a second with so many watched addresses, and of bare decoding in the same rounds."""

    addresses: int
    per_second: float
    floor_per_second: float

    @property
    def ratio(self) -> float:
        """Our share of what decoding alone could do."""
        return self.per_second / self.floor_per_second


def scanning() -> list[Scanned]:
    """Measure every size in turns with the floor, in processor time: nothing here waits.

    Raises ``RuntimeError`` where the scan does not find exactly our transfers.
    """
    watched: dict[int, AddressSet] = {}
    bodies: dict[int, bytes] = {}
    for size in SETS:
        ours = AddressSet()
        named = [_address() for _ in range(LOGS // ONE_OF_OURS_IN)]
        ours.update(named)
        ours.update(_address() for _ in range(size - len(named)))
        watched[size], bodies[size] = ours, _body(named)
    took: dict[int, tuple[list[float], list[float]]] = {size: ([], []) for size in SETS}
    for _ in range(ROUNDS):
        for size in SETS:
            body, ours = bodies[size], watched[size]
            took[size][0].append(_timed(partial(_scan, body, ours)))
            took[size][1].append(_timed(partial(_ANSWERS.decode, body)))
    return [
        Scanned(size, LOGS / median(took[size][0]), LOGS / median(took[size][1])) for size in SETS
    ]


def _scan(body: bytes, ours: AddressSet) -> None:
    (answer,) = _ANSWERS.decode(body)
    found = decode_transfers("arb", answer.result, [_TOKEN], ours)
    if len(found) != LOGS // ONE_OF_OURS_IN:
        message = f"found {len(found)} transfers of ours in {LOGS} logs"
        raise RuntimeError(message)


def _timed(work: Callable[[], object]) -> float:
    gc.collect()
    started = time.thread_time()
    work()
    return time.thread_time() - started


def _body(ours: list[str]) -> bytes:
    """One JSON-RPC answer as a node writes it: mostly transfers between strangers."""
    logs = list(_logs(iter(ours)))
    return msgspec.json.encode([{"jsonrpc": "2.0", "id": 1, "result": logs}])


def _logs(ours: Iterator[str]) -> Iterator[dict[str, object]]:
    for place in range(LOGS):
        to = next(ours) if place % ONE_OF_OURS_IN == 0 else _address()
        yield {
            "address": _TOKEN,
            "topics": [TRANSFER_TOPIC, address_topic(_address()), address_topic(to)],
            "data": f"0x{place + 1:064x}",
            "blockHash": f"0x{place // 50:064x}",
            "blockNumber": hex(10**7 + place // 50),
            "blockTimestamp": hex(1_700_000_000 + place // 50),
            "transactionHash": f"0x{secrets.token_hex(32)}",
            "transactionIndex": hex(place % 50),
            "logIndex": hex(place % 50),
            "removed": False,
        }


def _address() -> str:
    return f"0x{secrets.token_hex(20)}"
