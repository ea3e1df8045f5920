"""Requests of the KryptoGO invoice API, field by field (sources/kryptogo-invoice-payout-api.txt).

The tables here read the requests and make the OpenAPI document. Fields that are not in a table
are ignored, so nobody sets what is not theirs to set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from counterfoil.api.fields import (
    MAX_TIMESTAMP,
    AmountText,
    Day,
    Email,
    Field,
    Flag,
    Instant,
    ListOf,
    MapOf,
    OneOf,
    Opaque,
    PlainNumber,
    PublicId,
    Record,
    Schema,
    Text,
    Url,
    Whole,
    read_fields,
)
from counterfoil.api.kryptogo.status import CATEGORIES, INVOICE_STATUSES
from counterfoil.core import ids
from counterfoil.core.assets import ALIASES, CHAINS, PEGGED_TO, SYMBOLS
from counterfoil.core.bounds import (
    ADDRESS_LENGTH,
    DESCRIPTION_LENGTH,
    GROUP_KEY_LENGTH,
    ITEM_NAME_LENGTH,
    MAX_ITEMS,
    MAX_ORDER_DATA_BYTES,
    MAX_ORDER_DATA_DEPTH,
    NAME_LENGTH,
    REVIEWER_LENGTH,
)
from counterfoil.core.callback_url import MAX_LENGTH, check_callback_url
from counterfoil.core.errors import Invalid, Problems
from counterfoil.core.invoice import LineItem
from counterfoil.core.pricing import MAX_TERMS_DAYS
from counterfoil.core.strict_json import Json
from counterfoil.desk.commands import MAX_ATTACHMENTS, MOST_HOURS
from counterfoil.desk.intake import Change, Draft
from counterfoil.desk.refunding import Part
from counterfoil.desk.reporting import REFERENCE_LENGTH

MIN_DECISION_REASON: Final = 10
MAX_REASON: Final = 1_000

PAYOUT_FAMILIES: Final = ("evm", "sol", "tron")

_TARGETS: Final = {
    "payout_target_address": "evm",
    "payout_target_sol_address": "sol",
    "payout_target_tron_address": "tron",
}
"""Older fields with one address each; read into ``payout_addresses``."""


@dataclass(frozen=True, slots=True)
class CallbackUrl:
    """Where callbacks go; ``allow_private`` for sandboxes (core/callback_url.py)."""

    allow_private: bool

    def read(self, value: Json, name: str) -> str:
        """Return the address as written, once it may be called."""
        try:
            check_callback_url(value, allow_private=self.allow_private)
        except Invalid as refused:
            raise Invalid.field(name, _sentence(refused)) from None
        return str(value)

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "string", "format": "uri", "maxLength": MAX_LENGTH}


_ITEM: Final = Record(
    (
        Field("name", Text(ITEM_NAME_LENGTH), "Line item name.", required=True),
        Field("quantity", PlainNumber(), "Line item quantity.", required=True),
        Field("unit_price", PlainNumber(), "Unit price.", required=True),
        Field("tax", PlainNumber(), "Tax amount of this line, not a percentage."),
    )
)
_ITEMS: Final = ListOf(_ITEM, 1, MAX_ITEMS)
_ATTACHMENT: Final = Record(
    (Field("file_id", PublicId("file"), "A file uploaded to /v1/studio/api/files.", required=True),)
)
_ADDRESSES: Final = MapOf(PAYOUT_FAMILIES, Text(ADDRESS_LENGTH))
_CHAIN: Final = OneOf(tuple(CHAINS), also=ALIASES)
_TOKEN: Final = OneOf(SYMBOLS)
_ANY_TOKEN: Final = OneOf((*SYMBOLS, *PEGGED_TO))
_DAYS: Final = Whole(0, MAX_TERMS_DAYS)
_BANK_ACCOUNT: Final = Whole(1, 2**63 - 1)
_METHOD: Final = OneOf(("crypto", "fiat"))
_DESCRIPTION: Final = Text(DESCRIPTION_LENGTH, least=0, lines=True)


def create_fields(*, allow_private_callbacks: bool = False) -> tuple[Field, ...]:
    """``InvoiceCreateRequest``."""
    return (
        Field("client_id", Text(128), "If present, must match X-Client-ID."),
        Field("pricing_mode", OneOf(("fiat", "crypto")), "Price input mode.", required=True),
        Field(
            "amount",
            AmountText(),
            "Amount in currency for fiat mode, in the token for crypto mode. The line items"
            " must add up to it.",
            required=True,
        ),
        Field("currency", OneOf(("TWD", "USD")), "Fiat currency; required in fiat mode."),
        Field("pay_token", _TOKEN, "Accepted payment token.", required=True),
        Field("chain", _CHAIN, "Payment chain id.", required=True),
        Field("origin", Url(), "Merchant origin URL.", required=True),
        Field(
            "order_data",
            Opaque(MAX_ORDER_DATA_DEPTH, MAX_ORDER_DATA_BYTES),
            "Your own metadata, given back unchanged: a JSON object of at most"
            f" {MAX_ORDER_DATA_BYTES} bytes, {MAX_ORDER_DATA_DEPTH} levels deep.",
        ),
        Field(
            "callback_url",
            CallbackUrl(allow_private_callbacks),
            "Where each change of the payment intent's status is posted to.",
        ),
        Field("group_key", Text(GROUP_KEY_LENGTH), "Merchant grouping key."),
        Field(
            "payout_target_address",
            Text(ADDRESS_LENGTH),
            "Single payout address, as payout_addresses.evm.",
        ),
        Field("payout_addresses", _ADDRESSES, "Where the money goes: chain family to address."),
        Field(
            "payment_deadline",
            Whole(1, MAX_TIMESTAMP),
            "Unix timestamp in seconds; wins over payment_terms.",
        ),
        Field("swap_enabled", Flag(), "Kept and given back; nothing is ever swapped."),
        Field(
            "use_fixed_stablecoin_rate", Flag(), "Count one stablecoin as exactly one US dollar."
        ),
        Field("recipient_name", Text(NAME_LENGTH), "Recipient contact name.", required=True),
        Field("recipient_email", Email(), "Recipient email.", required=True),
        Field(
            "organization_name", Text(NAME_LENGTH), "Recipient organization name.", required=True
        ),
        Field("organization_email", Email(), "Recipient organization email.", required=True),
        Field("description", _DESCRIPTION, "Invoice description."),
        Field("attachment", _ATTACHMENT, "An uploaded file that belongs to the invoice."),
        Field("creator", Text(NAME_LENGTH), "Creator display name; grants nothing.", required=True),
        Field("payment_terms", _DAYS, "Days until due; 0 means due on receipt.", required=True),
        Field("invoice_issue_date", Day(), "ISO 8601 timestamp or YYYY-MM-DD; today if absent."),
        Field("payment_method_type", _METHOD, "Settlement method; crypto if absent."),
        Field("allow_any_chain", Flag(), "Let the payer choose any supported chain."),
        Field("allow_any_token", Flag(), "Let the payer choose any supported token."),
        Field("bank_account_id", _BANK_ACCOUNT, "Your bank account, for fiat settlement."),
        Field("detail_items", _ITEMS, "Line items.", required=True),
    )


UPDATE_FIELDS: Final = (
    Field("recipient_name", Text(NAME_LENGTH), "Recipient contact name."),
    Field("recipient_email", Email(), "Recipient email."),
    Field("organization_name", Text(NAME_LENGTH), "Recipient organization name."),
    Field("organization_email", Email(), "Recipient organization email."),
    Field("description", _DESCRIPTION, "Invoice description."),
    Field("attachment", _ATTACHMENT, "An uploaded file that belongs to the invoice."),
    Field("reviewer", Text(REVIEWER_LENGTH), "Whom you ask to approve; grants nothing."),
    Field(
        "approve_time",
        Instant(),
        "Read for compatibility and not used: only approving sets this time.",
    ),
    Field("invoice_issue_date", Day(), "ISO 8601 timestamp or YYYY-MM-DD."),
    Field("payment_terms", _DAYS, "Days until due; 0 means due on receipt."),
    Field("payment_method_type", _METHOD, "Settlement method."),
    Field("bank_account_id", _BANK_ACCOUNT, "Your bank account, for fiat settlement."),
    Field("payout_target_address", Text(ADDRESS_LENGTH), "As payout_addresses.evm."),
    Field("payout_target_sol_address", Text(ADDRESS_LENGTH), "As payout_addresses.sol."),
    Field("payout_target_tron_address", Text(ADDRESS_LENGTH), "As payout_addresses.tron."),
    Field("chain", _CHAIN, "Payment chain id."),
    Field("pay_token", _TOKEN, "Accepted payment token."),
    Field("allow_any_chain", Flag(), "Let the payer choose any supported chain."),
    Field("allow_any_token", Flag(), "Let the payer choose any supported token."),
    Field("payout_addresses", _ADDRESSES, "Where the money goes; replaces all of them."),
    Field("detail_items", _ITEMS, "Line items; they must still add up to the amount."),
)
"""``InvoiceUpdateRequest``. Fields that are absent or null stay as they are."""

APPROVE_FIELDS: Final = (
    Field(
        "content_hash",
        Text(66),
        "The invoice's content_hash as you saw it; refused when it changed meanwhile, and required"
        " once the invoice was changed since it was created (edited_by).",
    ),
)
APPROVE_REFUND_FIELDS: Final = (
    Field(
        "refund_id",
        Text(36),
        "The open refund as you saw it; refused when another stands in its place meanwhile, and"
        " required once more than one refund of the invoice was ordered.",
    ),
    Field(
        "screening_run_id",
        Text(36),
        "The refund's screening.run_id as you saw it; refused when a screening has found something"
        " about its money since.",
    ),
)
APPROVE_REDIRECT_FIELDS: Final = (
    Field(
        "redirect_id",
        Text(36),
        "The order as you saw it, by the ``redirect`` of its log entry; refused when another stands"
        " in its place meanwhile. Required where more than one was given for the invoice.",
    ),
)
_WHY: Final = Text(MAX_REASON, least=0, lines=True)
CANCEL_FIELDS: Final = (Field("reason", _WHY, "Why."),)
ACCEPT_FIELDS: Final = (Field("reason", _WHY, "Why; kept in the log."),)
RESOLVE_FIELDS: Final = (
    Field(
        "choice",
        OneOf(("accept", "recalculate", "refund_surplus", "refund_all")),
        "One of the invoice's resolution.choices.",
        required=True,
    ),
    Field("reason", _WHY, "Why; kept in the log."),
    Field("refund_address", Text(ADDRESS_LENGTH), "Where money goes back; for both refunds."),
    Field(
        "refund_attachments",
        ListOf(PublicId("file"), 0, MAX_ATTACHMENTS),
        "Uploaded files; one to ten for refund_all, and for a surplus that goes anywhere but back.",
    ),
    Field(
        "hours",
        Whole(0, MOST_HOURS),
        "With recalculate: for how many hours the customer may pay what is then missing. Without a"
        " rate it is all that changes.",
    ),
)
NOTE_FIELDS: Final = (
    Field("text", Text(MAX_REASON, lines=True), "For compliance only.", required=True),
)
REJECT_FIELDS: Final = (Field("reason", Text(MAX_REASON, lines=True), "Why.", required=True),)
DECISION_FIELDS: Final = (
    Field(
        "reason",
        Text(MAX_REASON, least=MIN_DECISION_REASON, lines=True),
        "What the decision rests on, so that others can follow it; kept in the log.",
        required=True,
    ),
)

_FILES: Final = PublicId("file")
DISPOSITION_FIELDS: Final = (
    Field("disposition", OneOf(("false_positive",)), "What you found.", required=True),
    Field("list", Text(64), "The hit's list, as kya_record.hits names it.", required=True),
    Field("entry_uid", Text(256), "The hit's entry on that list.", required=True),
    Field(
        "evidence",
        ListOf(_FILES, 0, MAX_ATTACHMENTS),
        "Uploaded files that show who the payer is; one to ten from the first of the two.",
    ),
    *DECISION_FIELDS,
)
REPORT_FIELDS: Final = (
    Field("reference", Text(REFERENCE_LENGTH), "The authority and its number.", required=True),
    Field("reported_on", Day(), "The day of the report.", required=True),
)
ATTACH_FIELDS: Final = (
    Field(
        "transfer",
        Text(100),
        "The payment, as the transfers of the invoice call it under unattributed.",
        required=True,
    ),
    Field("tx_hash", Text(66), "The hash of the transaction that it came with.", required=True),
    Field("reason", _WHY, "How you know; kept in the log."),
)
SIGN_FIELDS: Final = (
    Field(
        "refund_address",
        Text(ADDRESS_LENGTH),
        "Where the surplus goes; required when the invoice is overpaid, and refused where it was"
        " chosen to keep the surplus.",
    ),
    Field("refund_reason", _WHY, "Why; required unless a surplus goes back to where it came from."),
    Field(
        "refund_attachments",
        ListOf(_FILES, 0, MAX_ATTACHMENTS),
        "Uploaded files; one to ten unless a surplus goes back to where it came from.",
    ),
)
REDIRECT_FIELDS: Final = (
    Field(
        "payout_address",
        Text(ADDRESS_LENGTH),
        "A registered payout address of the organisation, past its time of waiting.",
        required=True,
    ),
    *DECISION_FIELDS,
)
WITHDRAW_FIELDS: Final = (Field("reason", _WHY, "Why; kept in the log."),)
REFUND_FIELDS: Final = (
    Field("refund_address", Text(ADDRESS_LENGTH), "Where it goes.", required=True),
    Field("refund_reason", Text(MAX_REASON, lines=True), "Why.", required=True),
    Field(
        "refund_attachments",
        ListOf(_FILES, 1, MAX_ATTACHMENTS),
        "One to ten files that were uploaded to /v1/studio/api/files.",
        required=True,
    ),
    Field("refund_amount", AmountText(), "How many tokens go back; all that is left if absent."),
    Field("refund_token", _ANY_TOKEN, "Of which token, where several are here or one strayed."),
    Field("refund_chain", _CHAIN, "On which chain, where the token is here on several."),
)

MAX_PAGE_SIZE: Final = 100
MAX_ROWS_DEEP: Final = 100_000
LIST_FIELDS: Final = (
    Field("page", Whole(1, MAX_ROWS_DEEP), "Page number, from 1."),
    Field("page_size", Whole(1, MAX_PAGE_SIZE), "Invoices a page; 20 if absent."),
    Field("status", OneOf(INVOICE_STATUSES), "Exact invoice status."),
    Field("status_category", OneOf(tuple(CATEGORIES)), "Status group."),
    Field("settlement_type", _METHOD, "Settlement type."),
    Field("recipient_email", Email(), "Recipient email filter."),
    Field("invoice_id", Text(64), "An invoice's id, or its number such as INV-2026-000042."),
    Field("payment_intent_id", PublicId("pi"), "Payment intent id filter."),
    Field("search", Text(200), "Text in names, e-mails, number, description or order_data."),
    Field("archived", OneOf(("true", "false")), "Only those put away, or only the others."),
    Field("created_after", Instant(), "Created at or after this time."),
    Field("created_before", Instant(), "Created at or before this time."),
)


def read_draft(
    body: Mapping[str, Json], fields: tuple[Field, ...], client_id: str | None = None
) -> Draft:
    """``InvoiceCreateRequest`` as what the desk takes; `Invalid` names everything wrong.

    ``client_id`` is the one that the request was sent with.
    """
    problems = Problems()
    found: dict[str, Any] = {}
    try:
        found = read_fields(body, fields)
    except Invalid as refused:
        problems.note(refused, "body")
    try:
        found["payout_addresses"] = _payouts(body)
    except Invalid as refused:
        problems.note(refused, "body")
    problems.settle_in_full()
    found.pop("client_id", None)
    found.pop("payout_target_address", None)
    found["payout_addresses"] = tuple((found["payout_addresses"] or {}).items())
    found["detail_items"] = _items(found["detail_items"])
    found.setdefault("currency", None)
    if "payment_deadline" in found:
        found["payment_deadline"] = datetime.fromtimestamp(found["payment_deadline"], UTC)
    if "attachment" in found:
        found["attachment_file_id"] = found.pop("attachment")["file_id"]
    return Draft(dialect="kryptogo", client_id=client_id, **found)


def read_change(body: Mapping[str, Json]) -> Change:
    """``InvoiceUpdateRequest`` as a change of what an invoice asks for."""
    found = read_fields(body, UPDATE_FIELDS)
    payouts = _payouts(body)
    for name in ("approve_time", "payout_addresses", *_TARGETS):
        found.pop(name, None)
    if "detail_items" in found:
        found["detail_items"] = _items(found["detail_items"])
    if "attachment" in found:
        found["attachment_file_id"] = found.pop("attachment")["file_id"]

    def change(draft: Draft) -> Draft:
        if found.get("payment_terms", draft.payment_terms) != draft.payment_terms:
            # New terms are meant to count; a deadline given outright would win over them.
            found["payment_deadline"] = None
        if payouts is None:
            return replace(draft, **found)
        whole = isinstance(body.get("payout_addresses"), dict)
        kept = {} if whole else dict(draft.payout_addresses)
        return replace(draft, **found, payout_addresses=tuple({**kept, **payouts}.items()))

    return change


def refund_part(found: Mapping[str, Any]) -> Part | None:
    """What part of the money a ``RefundReviewRequest`` means; None for all of it."""
    part = Part(found.get("refund_amount"), found.get("refund_token"), found.get("refund_chain"))
    return None if part == Part() else part


def refund_seen(found: Mapping[str, Any]) -> UUID | None:
    """The refund that an approval names; None where it names none. Raises `Invalid`."""
    named = found.get("refund_id")
    seen = None if named is None else ids.parse("ref", named)
    if named is not None and seen is None:
        raise Invalid.field("refund_id", "must be the refund_id of the invoice's open refund")
    return seen


def screening_seen(found: Mapping[str, Any]) -> UUID | None:
    """The screening that an approval names; None where it names none. Raises `Invalid`."""
    named = found.get("screening_run_id")
    seen = None if named is None else ids.parse("scr", named)
    if named is not None and seen is None:
        sentence = "must be the screening.run_id of the invoice's open refund"
        raise Invalid.field("screening_run_id", sentence)
    return seen


def redirect_seen(found: Mapping[str, Any]) -> UUID | None:
    """The order that an approval names; None where it names none. Raises `Invalid`."""
    named = found.get("redirect_id")
    if named is None:
        return None
    try:
        seen = UUID(named)
    except ValueError:
        seen = None
    if seen is None or str(seen) != named:
        raise Invalid.field("redirect_id", "must be the redirect of the order's log entry")
    return seen


def under_the_clients_names(refused: Invalid, body: Mapping[str, Json]) -> Invalid:
    """The same refusal, naming the field that the client sent an address in."""
    names = {
        f"payout_addresses.{family}": name
        for name, family in _TARGETS.items()
        if body.get(name) is not None
        and not (isinstance(given := body.get("payout_addresses"), dict) and family in given)
    }
    fields = {names.get(name, name): why for name, why in refused.fields.items()}
    message = "; ".join(f"{name}: {why}" for name, why in fields.items()) or refused.message
    return Invalid(message, fields=fields, data=refused.data)


def _payouts(body: Mapping[str, Json]) -> dict[str, str] | None:
    """All payout addresses of a request, by family; None when it has none at all."""
    given = body.get("payout_addresses")
    named = {name: body[name] for name in _TARGETS if body.get(name) is not None}
    if given is None and not named:
        return None
    found: dict[str, str] = {} if given is None else _ADDRESSES.read(given, "payout_addresses")
    for name, value in named.items():
        family, address = _TARGETS[name], Text(ADDRESS_LENGTH).read(value, name)
        if found.setdefault(family, address).lower() != address.lower():
            raise Invalid.field(name, f"is not the same as payout_addresses.{family}; send one")
    return found


def _items(found: list[dict[str, Any]]) -> tuple[LineItem, ...]:
    return tuple(
        LineItem(
            name=item["name"],
            quantity=item["quantity"],
            unit_price=item["unit_price"],
            tax=item.get("tax", Decimal(0)),
        )
        for item in found
    )


def _sentence(refused: Invalid) -> str:
    return next(iter(refused.fields.values()), refused.message)
