"""KryptoGO's callbacks: what they say, when, and how they are signed (specs/kryptogo.md C.3).

Told is each change of the *payment intent's* status, from the moment the invoice can be paid; the
answer to its creation has already said how it begins.

``timestamp`` is valid for five minutes, and so is the ``signature`` inside the body. A retry hours
later therefore carries the same statement, byte for byte, with a new timestamp and signature; it
is known again by ``webhook-id``, or by invoice and ``sequence``.

The shared secret is the text that merchants are shown (``whsec_...``), taken as it stands; the
Standard Webhooks header beside it uses what that text encodes, as that specification asks.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from counterfoil.api.kryptogo.status import intent_status, invoice_status
from counterfoil.core.ids import public
from counterfoil.core.invoice import Context, Status
from counterfoil.core.reckoning import COIN_DOLLARS
from counterfoil.core.secrets import shown_callback_secret
from counterfoil.desk.delivering import Delivery, Letter
from counterfoil.desk.desk import Standing

SIGNATURE_HEADER: Final = "X-KG-Signature"

Facts = Mapping[str, Any]
"""Part of the JSON object that `counterfoil.desk.snapshot` made."""


def tells(before: Standing | None, after: Standing) -> bool:
    """Whether the intent's status changed; how it begins, the answer to creating it has said."""
    return before is not None and intent_status(*before) != intent_status(*after)


class KryptogoCallbacks:
    """Words a change as KryptoGO does, and signs it."""

    def write(self, delivery: Delivery) -> bytes | None:
        """The statement without its time; None when the intent's status did not change."""
        if delivery.from_status is None:
            return None
        before = _standing(delivery.from_status, delivery.from_context)
        after = _standing(delivery.to_status, delivery.to_context)
        if not tells(before, after):
            return None
        return canonical(_statement(delivery.snapshot, after))

    def stamp(self, body: bytes, secret: bytes, at: datetime) -> Letter:
        """The statement with this attempt's ``timestamp``, signed inside and in a header."""
        key = shown_callback_secret(secret).encode()
        payload = {**json.loads(body), "timestamp": int(at.timestamp())}
        signed = canonical({**payload, "signature": sign(payload, key)})
        return Letter(signed, {SIGNATURE_HEADER: _mac(key, signed)})


class KryptogoTests(KryptogoCallbacks):
    """Words the test message that an administrator asks for; signed like every callback."""

    def write(self, delivery: Delivery) -> bytes | None:
        """Only that it is a test, and which."""
        return canonical({"type": "callback.test", "id": public("evt", delivery.event_id)})


def canonical(payload: Mapping[str, object]) -> bytes:
    """The one text of a payload: keys sorted at every level, no blanks, UTF-8 unescaped."""
    text = json.dumps(
        payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def sign(payload: Mapping[str, object], key: bytes) -> str:
    """The ``signature`` of a payload that does not carry one yet, as lower-case hex."""
    return _mac(key, canonical(payload))


def _mac(key: bytes, text: bytes) -> str:
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def _standing(status: str, context: str | None) -> tuple[Status, Context | None]:
    return Status(status), None if context is None else Context(context)


def _statement(facts: Facts, standing: tuple[Status, Context | None]) -> dict[str, object]:
    """Every field of the documented sample, in both spellings where the guides disagree.

    Values are those that the payment intent shows when it is read (``views.py``).
    """
    invoice_id = UUID(facts["invoice_id"])
    price = facts["price"]
    asset = _paid_asset(facts)
    received = _received(facts, asset)
    swept = _moved(facts, asset, "sweep")
    refunded = _moved(facts, asset, "refund")
    return {
        "payment_intent_id": public("pi", invoice_id),
        "id": public("inv", invoice_id),
        "invoice_id": facts["invoice_number"],
        "invoice_status": invoice_status(*standing),
        "sequence": facts["sequence"],
        "client_id": facts["client_id"],
        "fiat_amount": f"{Decimal(price['amount']):.2f}" if price["mode"] == "fiat" else None,
        "fiat_currency": price["currency"],
        "payment_deadline": facts["deadline_at"],
        "status": intent_status(*standing),
        "payment_chain_id": asset["chain"],
        "symbol": asset["symbol"],
        "crypto_amount": next(r["due"] for r in facts["requests"] if _same(r, asset)),
        "payment_tx_hash": _payment_hash(facts, asset),
        "received_crypto_amount": received,
        "received_amount": received,
        "aggregated_crypto_amount": swept,
        "aggregated_amount": swept,
        "refund_tx_hash": _move_hash(facts, asset, "refund"),
        "refund_crypto_amount": refunded,
        "refund_amount": refunded,
        "partial_refund_tx_hash": _move_hash(facts, asset, "partial_refund"),
        "partial_refund_amount": _moved(facts, asset, "partial_refund"),
        "order_data": json.loads(facts["order_data"]),
        "callback_url": facts["callback_url"],
        "group_key": facts["group_key"] or "",
    }


def _paid_asset(facts: Facts) -> Facts:
    """The asset that most was paid in; the first one asked for while nothing has come."""
    paid: list[Facts] = [a for a in facts["received"] if Decimal(a["seen"])]
    asked: Facts = facts["requests"][0]
    return max(paid, key=_rough_dollars, default=asked)


def _rough_dollars(asset: Facts) -> Decimal:
    """`rough_dollars` of what is told of an asset: a chain's own coin has no contract."""
    return Decimal(asset["seen"]) * (1 if asset["contract"] else COIN_DOLLARS)


def _same(one: Facts, other: Facts) -> bool:
    return bool(one["chain"] == other["chain"] and one["contract"] == other["contract"])


def _received(facts: Facts, asset: Facts) -> str | None:
    """What is confirmed of the asset; None until something is."""
    confirmed = (a["confirmed"] for a in facts["received"] if _same(a, asset))
    return next((amount for amount in confirmed if Decimal(amount)), None)


def _payment_hash(facts: Facts, asset: Facts) -> str | None:
    """The largest transfer of the paid asset; the snapshot has it first."""
    return next((t["tx_hash"] for t in facts["transfers"] if _same(t, asset)), None)


def _moves(facts: Facts, asset: Facts, purpose: str) -> list[Facts]:
    """What was made or is to be, oldest first; what was given up is as if it had never been.

    Where only another asset went back, as it strayed here, those of the newest such.
    """
    every = [m for m in facts["moves"] if m["purpose"] == purpose and m["status"] != "failed"]
    made = [move for move in every if _same(move, asset)]
    if made or not every or purpose == "sweep":
        return made
    return [move for move in every if _same(move, every[-1])]


def _move_hash(facts: Facts, asset: Facts, purpose: str) -> str | None:
    """The newest, as ``views.py`` shows it."""
    hashes = [m["tx_hash"] for m in _moves(facts, asset, purpose) if m["tx_hash"]]
    return hashes[-1] if hashes else None


def _moved(facts: Facts, asset: Facts, purpose: str) -> str | None:
    """What really moved, in whole coins, all of a kind together; None until something has."""
    moved = sum(Decimal(m["moved"]) for m in _moves(facts, asset, purpose) if m["moved"])
    if not moved:  # also where it was made and reverted
        return None
    whole, _, fraction = f"{moved:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"
