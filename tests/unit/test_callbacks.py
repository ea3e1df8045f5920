"""What KryptoGO's callbacks say, when they speak, and how they are signed."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from counterfoil.api.kryptogo.callbacks import KryptogoCallbacks, canonical, sign
from counterfoil.books.moves import MoveRow
from counterfoil.books.transfers import TransferRow
from counterfoil.core.invoice import Context, Invoice, PaymentRequest, Price, Status
from counterfoil.core.secrets import callback_secret, shown_callback_secret
from counterfoil.core.standard_webhooks import signed_headers
from counterfoil.desk.delivering import Delivery
from counterfoil.desk.snapshot import MAX_TRANSFERS, snapshot
from support.invoices import CUSTOMER, DUE, NOON, STRANGER, USDC, USDT, invoice, paid
from support.rows import a_move, a_transfer

S = Status
MASTER = b"m" * 32
SECRET = callback_secret(MASTER, 1, 1)


def delivery(
    before: Status | None,
    after: Status,
    *,
    was: Context | None = None,
    context: Context | None = None,
    facts: dict[str, object] | None = None,
) -> Delivery:
    return Delivery(
        org_id=1,
        event_id=UUID(int=9),
        invoice_id=UUID(int=7),
        sequence=2,
        dialect="kryptogo",
        url="https://merchant.example/cb",
        endpoint="https://merchant.example:443",
        from_status=before,
        to_status=after,
        from_context=was,
        to_context=context,
        snapshot=facts or snapshot(invoice(after, context=context), [], []),
        body=None,
        attempts=1,
        by_hand=False,
        lease_token=UUID(int=1),
        created_at=NOON,
        secret_version=1,
    )


def said(bill: Invoice, *rows: TransferRow, moves: tuple[MoveRow, ...] = ()) -> dict[str, Any]:
    facts = json.loads(json.dumps(snapshot(bill, rows, moves)))
    told = KryptogoCallbacks().write(
        delivery(S.APPROVAL_PENDING, bill.status, context=bill.context, facts=facts)
    )
    assert told is not None
    statement: dict[str, Any] = json.loads(told)
    return statement


def test_the_published_vector_holds() -> None:
    payload = {
        "symbol": "USDT",
        "status": "success",
        "payment_intent_id": "pi_demo_0001",
        "client_id": "client_demo",
        "crypto_amount": "9.23",
        "received_crypto_amount": "9.23",
        "payment_chain_id": "arb",
        "order_data": {"note": "發票", "external_invoice_id": "INV-2026-001"},
        "timestamp": 1795255200,
    }
    assert canonical(payload).decode() == (
        '{"client_id":"client_demo","crypto_amount":"9.23","order_data":{"external_invoice_id":'
        '"INV-2026-001","note":"發票"},"payment_chain_id":"arb","payment_intent_id":"pi_demo_0001",'
        '"received_crypto_amount":"9.23","status":"success","symbol":"USDT","timestamp":1795255200}'
    )
    assert sign(payload, b"test_shared_secret") == (
        "62881a77854f917d434f19081d1a812419d6256841857c6e56a8322c1055cbfe"
    )


def test_standard_webhooks_own_example_holds() -> None:
    headers = signed_headers(
        base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (S.APPROVAL_PENDING, S.AWAITING_PAYMENT),
        (S.APPROVAL_PENDING, S.CANCELLED),
        (S.AWAITING_PAYMENT, S.EXPIRED),
        (S.SCREENING, S.SIGN_PENDING),
        (S.SCREENING, S.COMPLIANCE_HOLD),
        (S.REFUND_PROCESSING, S.REFUNDED),
    ],
)
def test_it_speaks_when_the_intent_changes(before: Status, after: Status) -> None:
    assert KryptogoCallbacks().write(delivery(before, after)) is not None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, S.APPROVAL_PENDING),
        (None, S.AWAITING_PAYMENT),
        (S.AWAITING_PAYMENT, S.PAYMENT_DETECTED),
        (S.PAYMENT_DETECTED, S.SCREENING),
        (S.SIGN_PENDING, S.SWEEPING),
        (S.SWEEPING, S.COMPLETED),
    ],
)
def test_it_keeps_quiet_otherwise(before: Status | None, after: Status) -> None:
    assert KryptogoCallbacks().write(delivery(before, after)) is None


def test_a_context_alone_can_change_the_intent() -> None:
    paid_short = KryptogoCallbacks().write(
        delivery(S.SCREENING, S.RESOLUTION_REQUIRED, context=Context.UNDERPAID)
    )
    assert paid_short is not None
    assert json.loads(paid_short)["status"] == "insufficient_not_refunded"


def test_a_payable_invoice_is_described() -> None:
    bill = invoice(
        S.AWAITING_PAYMENT,
        callback_url="https://merchant.example/cb",
        version=2,
    )
    assert said(bill) == {
        "payment_intent_id": "pi_00000000000000000000000000000007",
        "id": "inv_00000000000000000000000000000007",
        "invoice_id": "INV-2026-000042",
        "invoice_status": "pending_payment",
        "sequence": 2,
        "client_id": "client_demo",
        "fiat_amount": None,
        "fiat_currency": None,
        "payment_deadline": 1784721600,
        "status": "pending",
        "payment_chain_id": "arb",
        "symbol": "USDT",
        "crypto_amount": "100.00",
        "payment_tx_hash": None,
        "received_crypto_amount": None,
        "received_amount": None,
        "aggregated_crypto_amount": None,
        "aggregated_amount": None,
        "refund_tx_hash": None,
        "refund_crypto_amount": None,
        "refund_amount": None,
        "partial_refund_tx_hash": None,
        "partial_refund_amount": None,
        "order_data": {},
        "callback_url": "https://merchant.example/cb",
        "group_key": "",
    }


def test_the_merchants_own_data_comes_back() -> None:
    document = replace(
        invoice().document, order_data='{"order":"ñ","lines":[1,2]}', group_key="batch-7"
    )
    price = Price("fiat", Decimal(3000), "TWD")
    told = said(invoice(S.AWAITING_PAYMENT, document=document, price=price))
    assert told["order_data"] == {"order": "ñ", "lines": [1, 2]}
    assert told["group_key"] == "batch-7"
    assert (told["fiat_amount"], told["fiat_currency"]) == ("3000.00", "TWD")


def test_the_paid_asset_is_told_and_dust_does_not_pass_for_the_payment() -> None:
    bill = invoice(
        S.SIGN_PENDING,
        requests=(PaymentRequest(USDT, DUE, None), PaymentRequest(USDC, DUE, None)),
        tally=paid(DUE, asset=USDC),
        context=Context.EXACT,
    )
    payment = a_transfer(asset=USDC, units=DUE, payer=CUSTOMER, tx="0xpaid")
    dust = a_transfer(
        asset=USDC, units=1, payer=STRANGER, tx="0xdust", at=NOON + timedelta(minutes=5)
    )
    told = said(bill, payment, dust)
    assert told["symbol"] == "USDC"
    assert told["received_crypto_amount"] == told["received_amount"] == "100.00"
    assert told["payment_tx_hash"] == "0xpaid"


def test_money_that_moved_is_told_in_both_spellings() -> None:
    moves = (
        a_move("sweep", units=110_000_000, moved=110_000_000, tx="0xsweep"),
        a_move("partial_refund", units=10_000_000, moved=10_000_000, tx="0xback"),
        a_move("payout", units=100_000_000, moved=None, tx=None),
    )
    told = said(
        invoice(S.EXPIRED, tally=paid(110_000_000)), a_transfer(units=110_000_000), moves=moves
    )
    assert told["aggregated_crypto_amount"] == told["aggregated_amount"] == "110.00"
    assert (told["partial_refund_tx_hash"], told["partial_refund_amount"]) == ("0xback", "10.00")
    assert told["refund_tx_hash"] is None


def test_what_was_made_and_moved_nothing_is_no_amount() -> None:
    reverted = a_move("sweep", units=110_000_000, moved=0, tx="0xreverted")
    told = said(
        invoice(S.SWEEPING, tally=paid(110_000_000)),
        a_transfer(units=110_000_000),
        moves=(replace(reverted, status="parked"),),
    )
    assert told["aggregated_crypto_amount"] is told["aggregated_amount"] is None


def test_a_flood_of_dust_keeps_callbacks_small() -> None:
    rows = [a_transfer(units=n + 1, tx=f"0x{n}") for n in range(500)]
    facts = snapshot(invoice(S.SIGN_PENDING, tally=paid()), rows, [])
    assert facts["transfer_count"] == 500
    assert len(json.dumps(facts["transfers"])) < 10_000
    assert isinstance(facts["transfers"], list)
    assert len(facts["transfers"]) == MAX_TRANSFERS


def test_a_retry_repeats_the_statement_with_a_new_time() -> None:
    callbacks = KryptogoCallbacks()
    body = callbacks.write(delivery(S.APPROVAL_PENDING, S.AWAITING_PAYMENT))
    assert body is not None
    first, later = (
        json.loads(callbacks.stamp(body, SECRET, NOON + wait).body)
        for wait in (timedelta(), timedelta(hours=7))
    )
    assert later["timestamp"] - first["timestamp"] == 7 * 3600
    assert first["signature"] != later["signature"]
    for changing in ("timestamp", "signature"):
        del first[changing], later[changing]
    assert first == later == json.loads(body)


def test_each_organisation_and_version_has_a_secret_of_its_own() -> None:
    secrets = {
        callback_secret(master, org_id, version)
        for master in (MASTER, b"n" * 32)
        for org_id in (1, 11)
        for version in (1, 11, 111)
    }
    assert len(secrets) == 12
    assert {len(secret) for secret in secrets} == {32}
    assert shown_callback_secret(b"\0" * 32) == "whsec_" + "A" * 43 + "="


@pytest.mark.parametrize("master", [b"", b"short"])
def test_a_weak_master_secret_makes_no_secrets(master: bytes) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        callback_secret(master, 1, 1)
