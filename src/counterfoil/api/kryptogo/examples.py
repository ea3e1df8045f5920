"""The examples that the OpenAPI document shows.

They are those of sources/kryptogo-invoice-payout-api.txt, with ids and addresses that this
system would give and take where the source only has placeholders.
"""

from typing import Final

from counterfoil.api.fields import Schema
from counterfoil.api.kryptogo.risk import RISK_FIELDS

EXAMPLE_ID: Final = "0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
EXAMPLE_FILE_ID: Final = f"file_{EXAMPLE_ID}"
EXAMPLE_ADDRESS: Final = "0xd8da6bf26964af9d7eed9e03e53415d37aa96045"
_USDT: Final = "0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9"
_ITEM: Final = {"name": "Consulting service", "quantity": 1, "unit_price": 3000, "tax": 0}

CREATE_EXAMPLE: Final[Schema] = {
    "client_id": "YOUR_CLIENT_ID",
    "pricing_mode": "fiat",
    "amount": "3000.00",
    "currency": "TWD",
    "pay_token": "USDT",
    "chain": "arb",
    "origin": "https://merchant.example",
    "order_data": {"external_invoice_id": "INV-2026-001"},
    "callback_url": "https://merchant.example/kg-callback",
    "group_key": "merchant-batch-2026-06",
    "payout_target_address": EXAMPLE_ADDRESS,
    "payout_addresses": {"evm": EXAMPLE_ADDRESS},
    "payment_deadline": 1782096000,
    "swap_enabled": True,
    "use_fixed_stablecoin_rate": False,
    "recipient_name": "Acme Buyer",
    "recipient_email": "buyer@example.com",
    "organization_name": "Merchant Ltd.",
    "organization_email": "finance@merchant.example",
    "description": "June invoice",
    "attachment": {"file_id": EXAMPLE_FILE_ID},
    "creator": "finance-bot",
    "payment_terms": 30,
    "invoice_issue_date": "2026-06-22",
    "payment_method_type": "crypto",
    "allow_any_chain": False,
    "allow_any_token": False,
    "bank_account_id": 123,
    "detail_items": [_ITEM],
}

UPDATE_EXAMPLE: Final[Schema] = {
    "recipient_name": "Acme Buyer",
    "recipient_email": "buyer@example.com",
    "organization_name": "Merchant Ltd.",
    "organization_email": "finance@merchant.example",
    "description": "Updated invoice description",
    "attachment": {"file_id": EXAMPLE_FILE_ID},
    "reviewer": "finance-manager@example.com",
    "approve_time": "2026-06-22T12:00:00Z",
    "invoice_issue_date": "2026-06-22",
    "payment_terms": 30,
    "payment_method_type": "crypto",
    "bank_account_id": 123,
    "payout_target_address": EXAMPLE_ADDRESS,
    "chain": "arb",
    "pay_token": "USDT",
    "allow_any_chain": False,
    "allow_any_token": False,
    "payout_addresses": {"evm": EXAMPLE_ADDRESS},
    "detail_items": [_ITEM],
}

INTENT_EXAMPLE: Final[Schema] = {
    "payment_intent_id": f"pi_{EXAMPLE_ID}",
    "client_id": "YOUR_CLIENT_ID",
    "org_id": 123,
    "pricing_mode": "fiat",
    "payment_chain_id": "arb",
    "payment_address": EXAMPLE_ADDRESS,
    "payer_address": None,
    "token_address": _USDT,
    "symbol": "USDT",
    "decimals": 6,
    "crypto_amount": "9.23",
    "fiat_amount": "3000.00",
    "fiat_currency": "TWD",
    "payment_deadline": 1782096000,
    "status": "awaiting_approval",
    "payment_tx_hash": None,
    "payment_tx_timestamp": None,
    "aggregation_tx_hash": None,
    "refund_tx_hash": None,
    "received_crypto_amount": None,
    "aggregated_crypto_amount": None,
    "refund_crypto_amount": None,
    "order_data": {"external_invoice_id": "INV-2026-001"},
    "callback_url": "https://merchant.example/kg-callback",
    "group_key": "merchant-batch-2026-06",
    "kg_deep_link": None,
    "payment_method_type": "crypto",
    "swap_enabled": True,
    "payout_target_address": EXAMPLE_ADDRESS,
    "payout_target_sol_address": None,
    "payout_target_tron_address": None,
    "payout_addresses": {"evm": EXAMPLE_ADDRESS},
    "exact_out_amount": None,
    "kg_fee_amount": None,
    "aggregation_tx_timestamp": None,
    "finalized_timestamp": None,
    "partial_refund_tx_hash": None,
    "partial_refund_amount": None,
    "partial_refund_address": None,
    "crypto_price": None,
    "target_chain_id": None,
    "target_token_address": None,
    "bank_account_id": None,
    **dict.fromkeys(RISK_FIELDS),
    "kya_record": {},
}

INVOICE_EXAMPLE: Final[Schema] = {
    "id": f"inv_{EXAMPLE_ID}",
    "invoice_id": "INV-2026-000001",
    "payment_intent": INTENT_EXAMPLE,
    "status": "approval_pending",
    "recipient_name": "Acme Buyer",
    "recipient_email": "buyer@example.com",
    "organization_name": "Merchant Ltd.",
    "organization_email": "finance@merchant.example",
    "payment_terms": 30,
    "detail_items": [_ITEM],
    "available_actions": ["update", "cancel"],
    "releases": [],
    "declines": [],
    "escalated_by": None,
    "escalated_at": None,
    "dispositions": [],
    "quarantined_by": None,
    "quarantined_at": None,
    "people_needed": None,
    "archived_at": None,
    "resolution": None,
    "stray": [],
    "refundable": [],
    "token_fees": [],
    "unknown_tokens": [],
}

LOG_EXAMPLE: Final[Schema] = {
    "id": 123,
    "invoice_id": f"inv_{EXAMPLE_ID}",
    "from_status": "approval_pending",
    "to_status": "approved",
    "operator_uid": f"user_{EXAMPLE_ID}",
    "reason": "Approved by finance",
    "created_at": "2026-06-22T12:00:00Z",
}

REFUND_EXAMPLE: Final[Schema] = {
    "refund_address": EXAMPLE_ADDRESS,
    "refund_reason": "Customer requested refund",
    "refund_attachments": [EXAMPLE_FILE_ID],
}

ATTACH_EXAMPLE: Final[Schema] = {
    "transfer": "internal:23456789:0x1111111111111111111111111111111111111111",
    "tx_hash": "0x2222222222222222222222222222222222222222222222222222222222222222",
    "reason": "The customer's wallet shows this transaction.",
}

DISPOSITION_EXAMPLE: Final[Schema] = {
    "disposition": "false_positive",
    "list": "OFAC_SDN",
    "entry_uid": "36518",
    "reason": "Another person of that name; see the passport.",
    "evidence": [EXAMPLE_FILE_ID],
}
