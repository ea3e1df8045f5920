"""The OpenAPI 3.1 document, made from the tables that read the requests."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from counterfoil.api.fields import Field, Schema, object_schema
from counterfoil.api.kryptogo import schema
from counterfoil.api.kryptogo.actions import ACTIONS, Action
from counterfoil.api.kryptogo.auth import CLIENT_HEADER, KEY_HEADER
from counterfoil.api.kryptogo.examples import (
    CREATE_EXAMPLE,
    EXAMPLE_FILE_ID,
    EXAMPLE_ID,
    INVOICE_EXAMPLE,
    LOG_EXAMPLE,
    UPDATE_EXAMPLE,
)
from counterfoil.api.kryptogo.risk import RISK_FIELDS
from counterfoil.api.kryptogo.status import CATEGORIES, INTENT_STATUSES, INVOICE_STATUSES
from counterfoil.core.roles import Permission
from counterfoil.desk.files import MAX_FILE_BYTES, MAY_UPLOAD
from counterfoil.desk.idempotency import HEADER, MAX_KEY_LENGTH

PREFIX: Final = "/v1/studio/api"

_TEXT: Final[Schema] = {"type": "string"}
_WHOLE: Final[Schema] = {"type": "integer"}
_FLAG: Final[Schema] = {"type": "boolean"}
_OBJECT: Final[Schema] = {"type": "object"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}


def document(create_fields: Sequence[Field]) -> bytes:
    """The whole document as JSON."""
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Counterfoil: KryptoGO Studio invoice API",
                "version": "1",
                "description": "Invoices from creation to settlement. Call it from your server"
                " only, and keep the API key there.",
            },
            "servers": [{"url": "/"}],
            "security": [{"studio_key": []}],
            "paths": {PREFIX + path: item for path, item in _paths(create_fields).items()},
            "components": {
                "securitySchemes": {
                    "studio_key": {"type": "apiKey", "in": "header", "name": KEY_HEADER}
                },
                "schemas": _schemas(),
            },
        }
    )


def _paths(create_fields: Sequence[Field]) -> Schema:
    one = "/invoice/intent/{id}"
    invoice = {"$ref": "#/components/schemas/InvoiceIntent"}
    envelope = _answer("An invoice", invoice, INVOICE_EXAMPLE)
    return {
        "/invoice/intent": {
            "post": _operation(
                "createInvoice",
                "Create an invoice",
                Permission.CREATE,
                envelope,
                body=_body(create_fields, CREATE_EXAMPLE, required=True),
                parameters=[_client(), _key()],
            )
        },
        one: {
            "parameters": [_path_id("id", f"inv_{EXAMPLE_ID}")],
            "get": _operation("getInvoice", "Get an invoice", Permission.READ, envelope),
            "put": _operation(
                "updateInvoice",
                "Change an invoice that is not approved yet",
                Permission.CREATE,
                envelope,
                body=_body(schema.UPDATE_FIELDS, UPDATE_EXAMPLE, required=True),
            ),
        },
        **{f"{one}/{action.name}": _action(action, envelope) for action in ACTIONS},
        f"{one}/logs": {
            "parameters": [_path_id("id", f"inv_{EXAMPLE_ID}")],
            "get": _operation(
                "listInvoiceLogs",
                "Everything that happened to an invoice",
                Permission.READ,
                _answer(
                    "The log, oldest entry first",
                    {"type": "array", "items": {"$ref": "#/components/schemas/InvoiceLog"}},
                    [LOG_EXAMPLE],
                ),
            ),
        },
        f"{one}/reports": {
            "parameters": [_path_id("id", f"inv_{EXAMPLE_ID}")],
            "get": _operation(
                "listReports",
                "What was reported to authorities about a payment, for compliance only",
                Permission.REVIEW,
                _answer("The reports", {"type": "array", "items": _OBJECT}, []),
            ),
        },
        f"{one}/callbacks": {
            "parameters": [_path_id("id", f"inv_{EXAMPLE_ID}")],
            "get": _operation(
                "listCallbacks",
                "Every callback of an invoice, with each attempt",
                Permission.READ,
                _answer("The callbacks", {"type": "array", "items": _OBJECT}, []),
            ),
        },
        f"{one}/callbacks/{{event_id}}/redeliver": {
            "parameters": [
                _path_id("id", f"inv_{EXAMPLE_ID}"),
                _path_id("event_id", f"evt_{EXAMPLE_ID}"),
            ],
            "post": _operation(
                "redeliverCallback",
                "Have a callback delivered once more",
                Permission.CREATE,
                _answer("Asked for", _OBJECT, {"event_id": f"evt_{EXAMPLE_ID}"}),
            ),
        },
        "/invoice/intents": {
            "get": _operation(
                "listInvoices",
                "A page of invoices, newest first",
                Permission.READ,
                _listing(),
                parameters=[_query(field) for field in schema.LIST_FIELDS],
            )
        },
        "/files": {"post": _upload()},
        "/files/{file_id}": {
            "parameters": [_path_id("file_id", EXAMPLE_FILE_ID)],
            "get": {
                **_operation("getFile", "Download a file", Permission.READ, _OBJECT),
                "responses": {
                    "200": {
                        "description": "The file, as an attachment",
                        "content": {
                            kind: {"schema": {}}
                            for kind in ("application/pdf", "image/png", "image/jpeg")
                        },
                    },
                    "default": _error(),
                },
            },
        },
    }


def _operation(  # noqa: PLR0913 - the parts of an operation
    name: str,
    summary: str,
    permission: Permission,
    answer: Schema,
    *,
    body: Schema | None = None,
    parameters: Sequence[Schema] = (),
) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "description": f"Needs the permission `{permission.value}`.",
        **({"parameters": list(parameters)} if parameters else {}),
        **({"requestBody": body} if body else {}),
        "responses": {"200": answer, "default": _error()},
    }


def _action(action: Action, answer: Schema) -> Schema:
    required = any(field.required for field in action.fields)
    body = (
        None if action.example is None else _body(action.fields, action.example, required=required)
    )
    return {
        "parameters": [_path_id("id", f"inv_{EXAMPLE_ID}")],
        "post": _operation(
            action.operation,
            action.summary,
            action.permission,
            answer,
            body=body,
            parameters=[_key()],
        ),
    }


def _body(fields: Sequence[Field], example: object, *, required: bool) -> Schema:
    return {
        "required": required,
        "content": {"application/json": {"schema": object_schema(fields), "example": example}},
    }


def _answer(description: str, data: Schema, example: object) -> Schema:
    return {
        "description": description,
        "content": {
            "application/json": {
                "schema": _envelope(data),
                "example": {"code": 0, "data": example},
            }
        },
    }


def _listing() -> Schema:
    page = _envelope({"type": "array", "items": {"$ref": "#/components/schemas/InvoiceIntent"}})
    page["required"] += ["paging", "counts"]
    page["properties"] |= {
        "paging": _described(
            {
                **dict.fromkeys(("page_number", "page_size", "total_count"), _WHOLE),
                "total_is_at_least": _FLAG,
            }
        ),
        "counts": _OBJECT,
    }
    example = {
        "code": 0,
        "data": [INVOICE_EXAMPLE],
        "paging": {
            "page_number": 1,
            "page_size": 20,
            "total_count": 1,
            "total_is_at_least": False,
        },
        "counts": {
            **dict.fromkeys(INVOICE_STATUSES, 0),
            "approval_pending": 1,
            "category": {**dict.fromkeys(CATEGORIES, 0), "approval": 1},
        },
    }
    return {
        "description": "A page of invoices",
        "content": {"application/json": {"schema": page, "example": example}},
    }


def _upload() -> Schema:
    binary = {"type": "string", "contentMediaType": "application/octet-stream"}
    example = {
        "file_id": EXAMPLE_FILE_ID,
        "name": "receipt.pdf",
        "content_type": "application/pdf",
        "size_bytes": 52_100,
        "sha256": "0" * 64,
        "created_at": "2026-06-22T12:00:00Z",
    }
    names = " or ".join(f"`{permission.value}`" for permission in MAY_UPLOAD)
    operation = _operation(
        "uploadFile",
        "Upload a PDF, PNG or JPEG",
        Permission.CREATE,
        _answer("The file", _OBJECT, example),
        parameters=[_key()],
    )
    operation["description"] = (
        f"Needs one of the permissions {names}. At most {MAX_FILE_BYTES} bytes; what it is is"
        " told by its content."
    )
    operation["requestBody"] = {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": binary},
                    "required": ["file"],
                }
            },
            "application/octet-stream": {"schema": {}},
        },
    }
    return operation


def _error() -> Schema:
    return {
        "description": "A refusal; data.fields names each field that is wrong,"
        " data.allowed what is possible instead",
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "example": {
                    "code": 4220,
                    "message": "recipient_email: must be an e-mail address, such as"
                    " buyer@example.com",
                    "data": {
                        "fields": {
                            "recipient_email": "must be an e-mail address, such as"
                            " buyer@example.com"
                        }
                    },
                },
            }
        },
    }


def _path_id(name: str, example: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT, "example": example}


def _client() -> Schema:
    return {
        "name": CLIENT_HEADER,
        "in": "header",
        "required": True,
        "schema": _TEXT,
        "example": "YOUR_CLIENT_ID",
    }


def _key() -> Schema:
    return {
        "name": HEADER,
        "in": "header",
        "required": False,
        "description": "Makes asking again safe: the same key and body get the first answer"
        " again, for 30 days.",
        "schema": {**_TEXT, "minLength": 1, "maxLength": MAX_KEY_LENGTH},
    }


def _query(field: Field) -> Schema:
    return {
        "name": field.name,
        "in": "query",
        "required": False,
        "description": field.notes,
        "schema": field.kind.schema(),
    }


def _envelope(data: Schema) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["code", "data"],
        "properties": {"code": {"const": 0}, "data": data},
    }


def _schemas() -> Schema:
    return {
        "InvoiceIntent": _described(
            {
                "id": _TEXT,
                "invoice_id": _TEXT,
                "payment_intent": {"$ref": "#/components/schemas/PaymentIntent"},
                "status": {"type": "string", "enum": [*INVOICE_STATUSES]},
                "recipient_name": _TEXT,
                "recipient_email": _TEXT,
                "organization_name": _TEXT,
                "organization_email": _TEXT,
                "payment_terms": _WHOLE,
                "detail_items": {"type": "array", "items": _OBJECT},
                "available_actions": {"type": "array", "items": _TEXT},
                "releases": {"type": "array", "items": _TEXT},
                "declines": {"type": "array", "items": _TEXT},
                "people_needed": {
                    "type": ["object", "null"],
                    "properties": dict.fromkeys(("release", "decline"), _WHOLE),
                },
                "escalated_by": _or_null(_TEXT),
                "escalated_at": _or_null(_TIME),
                "dispositions": {"type": "array", "items": _OBJECT},
                "quarantined_by": _or_null(_TEXT),
                "quarantined_at": _or_null(_TIME),
                "archived_at": _or_null(_TIME),
                "resolution": _or_null(_OBJECT),
                "stray": {"type": "array", "items": _OBJECT},
                "unknown_tokens": {"type": "array", "items": _OBJECT},
                "refundable": {"type": "array", "items": _OBJECT},
                "token_fees": {"type": "array", "items": _OBJECT},
            }
        ),
        "PaymentIntent": _described(_PAYMENT_INTENT),
        "InvoiceLog": _described(
            {
                "id": _WHOLE,
                "invoice_id": _TEXT,
                "from_status": _TEXT,
                "to_status": _TEXT,
                "operator_uid": _TEXT,
                "reason": _TEXT,
                "created_at": _TIME,
            }
        ),
        "Error": _described({"code": _WHOLE, "message": _TEXT, "data": _OBJECT}),
    }


def _described(properties: Schema) -> Schema:
    return {"type": "object", "required": [*properties], "properties": properties}


def _or_null(kind: Schema) -> Schema:
    return {**kind, "type": [kind["type"], "null"]}


_PAYMENT_INTENT: Final[Schema] = {
    "payment_intent_id": _TEXT,
    "client_id": _TEXT,
    "org_id": _WHOLE,
    "pricing_mode": {"type": "string", "enum": ["fiat", "crypto"]},
    "payment_chain_id": _TEXT,
    "payment_address": _TEXT,
    "payer_address": _or_null(_TEXT),
    "token_address": _TEXT,
    "symbol": _TEXT,
    "decimals": _WHOLE,
    "crypto_amount": _TEXT,
    "fiat_amount": _or_null(_TEXT),
    "fiat_currency": {"type": ["string", "null"], "enum": ["TWD", "USD", None]},
    "payment_deadline": _WHOLE,
    "status": {"type": "string", "enum": [*INTENT_STATUSES]},
    "payment_tx_hash": _or_null(_TEXT),
    "payment_tx_timestamp": _or_null(_WHOLE),
    "aggregation_tx_hash": _or_null(_TEXT),
    "refund_tx_hash": _or_null(_TEXT),
    "received_crypto_amount": _or_null(_TEXT),
    "aggregated_crypto_amount": _or_null(_TEXT),
    "refund_crypto_amount": _or_null(_TEXT),
    "order_data": _OBJECT,
    "callback_url": _or_null(_TEXT),
    "group_key": _TEXT,
    "kg_deep_link": _or_null(_TEXT),
    "payment_method_type": _TEXT,
    "swap_enabled": _FLAG,
    "payout_target_address": _or_null(_TEXT),
    "payout_target_sol_address": _or_null(_TEXT),
    "payout_target_tron_address": _or_null(_TEXT),
    "payout_addresses": _OBJECT,
    "exact_out_amount": _or_null(_TEXT),
    "kg_fee_amount": _or_null(_TEXT),
    "aggregation_tx_timestamp": _or_null(_WHOLE),
    "finalized_timestamp": _or_null(_WHOLE),
    "partial_refund_tx_hash": _or_null(_TEXT),
    "partial_refund_amount": _or_null(_TEXT),
    "partial_refund_address": _or_null(_TEXT),
    "crypto_price": _or_null(_TEXT),
    "target_chain_id": _or_null(_TEXT),
    "target_token_address": _or_null(_TEXT),
    "bank_account_id": _or_null(_WHOLE),
    **dict.fromkeys(RISK_FIELDS, _or_null(_TEXT)),
    "kya_record": _OBJECT,
}
