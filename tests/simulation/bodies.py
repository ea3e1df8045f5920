"""What merchants were told, body by body, against the log: status, sequence and amounts.

Rendered by nobody here: each field is worked out from the log's row of that sequence, and from
what had moved by then.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from counterfoil.core.assets import CHAINS
from simulation.outsiders import Delivery
from simulation.parts import Violation
from support.documented import words

Ask = Callable[[str], Awaitable[list[Any]]]

_FRESH: Final = ("timestamp", "signature")
"""What each attempt has anew."""

_LOG: Final = """
SELECT invoice_id, sequence, from_status, to_status, metadata::jsonb, at FROM invoice_log
 ORDER BY invoice_id, sequence
"""

_MOVES: Final = """
SELECT invoice_id, chain, contract, purpose, moved_units, final_at, tx_hash FROM move
 WHERE moved_units > 0 AND invoice_id IS NOT NULL ORDER BY invoice_id, created_at
"""

_INVOICES: Final = """
SELECT invoice_id, org_id, detail->>'callback_url',
       (SELECT array_agg(chain || ':' || coalesce(nullif(contract, ''), 'native') ORDER BY position)
          FROM payment_request AS r WHERE (r.org_id, r.invoice_id) = (i.org_id, i.invoice_id))
  FROM invoice AS i
"""

_ASSETS: Final = {
    (chain.key, asset.symbol): asset
    for chain in CHAINS.values()
    for asset in (*chain.accepted, chain.native)
}


@dataclass(slots=True)
class _Known:
    """One invoice as the log tells it, by sequence."""

    org_id: int
    url: str | None
    asked: Sequence[str]
    log: dict[int, Any] = field(default_factory=dict)
    moves: list[Any] = field(default_factory=list)

    def received(self, sequence: int) -> Mapping[str, Mapping[str, str]]:
        """What had come of what is asked for, as of an entry."""
        told = (self.log[n][4].get("received") for n in range(sequence, 0, -1))
        found: Mapping[str, Mapping[str, str]] = next((one for one in told if one is not None), {})
        return {key: one for key, one in found.items() if key in self.asked}

    def due(self, sequence: int) -> Mapping[str, Mapping[str, str]]:
        """What was due as of an entry: when it was made, or since it was changed."""
        told = (self.log[n][4].get("due") for n in range(sequence, 0, -1))
        found = next(one for one in told if one is not None)
        changed: Mapping[str, Mapping[str, str]] = found.get("to", found)
        return changed

    def moved(self, key: str, purpose: str, at: datetime) -> set[Decimal]:
        """Base units that had moved by then; of what became final at that instant all, or none."""
        sums = Counter[bool]()
        for _, chain, contract, why, units, final_at, _ in self.moves:
            same = key == f"{chain}:{contract or 'native'}" and why == purpose
            if same and final_at is not None and final_at <= at:
                sums[final_at == at] += int(units)
        return {Decimal(sums[False]), Decimal(sums[False] + sums[True])}

    def went_astray(self, key: str, purpose: str) -> bool:
        """Whether money of another asset moved for it, which is told in this one's place."""
        return any(
            why == purpose and key != f"{chain}:{contract or 'native'}"
            for _, chain, contract, why, *_ in self.moves
        )


async def check(ask: Ask, got: Sequence[Delivery]) -> int:
    """Compare every body that a receiver got; answers how many. Raises `Violation` I16 body."""
    if not got:
        return 0
    known = {
        f"inv_{one.hex}": _Known(org, url, asked) for one, org, url, asked in await ask(_INVOICES)
    }
    for row in await ask(_LOG):
        known[f"inv_{row[0].hex}"].log[row[1]] = row
    for row in await ask(_MOVES):
        known[f"inv_{row[0].hex}"].moves.append(row)
    said: dict[str, dict[str, Any]] = {}
    for one in got:
        body: dict[str, Any] = json.loads(one.body)
        statement = {name: value for name, value in body.items() if name not in _FRESH}
        for wrong in _wrongs(statement, known.get(statement["id"])):
            sentence = f"{one.event_id}, sequence {statement['sequence']}: {wrong}"
            raise Violation("I16 body", sentence)
        if said.setdefault(one.event_id, statement) != statement:
            raise Violation("I16 body", f"{one.event_id} said something else at another time")
    return len(got)


def _wrongs(body: Mapping[str, Any], known: _Known | None) -> Iterator[str]:
    if known is None or body["sequence"] not in known.log:
        yield f"nothing in the log of {body['id']} is told by it"
        return
    sequence: int = body["sequence"]
    _, _, _, to_status, metadata, at = known.log[sequence]
    shown, intent = words(to_status, metadata.get("context"))
    key = known_key(body)
    received, due = known.received(sequence), known.due(sequence)
    confirmed = Decimal(received.get(key, {}).get("confirmed_units", "0"))
    expected: dict[str, object] = {
        "payment_intent_id": body["id"].replace("inv_", "pi_"),
        "client_id": f"client_{known.org_id}",
        "callback_url": known.url,
        "invoice_status": shown,
        "status": intent,
        "crypto_amount": _coins(key, Decimal(due[key]["due_units"])) if key in due else "unknown",
        "received_amount": _coins(key, confirmed),
        "received_crypto_amount": _coins(key, confirmed),
    }
    for name, value in expected.items():
        if _plain(body[name]) != value:
            yield f"{name} is {body[name]}, and should be {value}"
    most = max(map(_worth, received.items()), default=Decimal(0))
    if most and _worth((key, received.get(key, {}))) != most:
        yield f"it is about {key}, and most came of another: {received}"
    for purpose, names in _MOVED.items():
        if known.went_astray(key, purpose):
            continue
        sums = {_coins(key, units) for units in known.moved(key, purpose, at)}
        for name in names:
            if _plain(body[name]) not in sums:
                yield f"{name} is {body[name]}, and should be one of {sums}"


_MOVED: Final = {
    "sweep": ("aggregated_amount", "aggregated_crypto_amount"),
    "refund": ("refund_amount", "refund_crypto_amount"),
    "partial_refund": ("partial_refund_amount",),
}


def known_key(body: Mapping[str, Any]) -> str:
    """Chain and contract of the asset that a body names."""
    asset = _ASSETS[body["payment_chain_id"], body["symbol"]]
    return f"{asset.chain}:{asset.contract or 'native'}"


def _worth(one: tuple[str, Mapping[str, str]]) -> Decimal:
    """In dollars, roughly: a chain's own coin counts a thousand."""
    key, units = one[0], Decimal(one[1].get("seen_units", "0"))
    return units / 10**15 if key.endswith(":native") else units / 10**6


def _coins(key: str, units: Decimal) -> Decimal | None:
    """Whole coins; None where there is nothing to tell."""
    return units / (10**18 if key.endswith(":native") else 10**6) or None


def _plain(value: object) -> object:
    """An amount as a number, so that no zero at its end counts."""
    text = str(value)
    return Decimal(text) if isinstance(value, str) and text.replace(".", "", 1).isdigit() else value
