"""The form of an invoice: what stands in its fields, and what that asks for.

Fields that are not in it are not read, so nobody sets what is not theirs to set (T19).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

from counterfoil.core import bounds, ids, numerals, strict_json, text, zones
from counterfoil.core.assets import SYMBOLS
from counterfoil.core.callback_url import check_callback_url
from counterfoil.core.errors import Invalid, Problems
from counterfoil.core.invoice import LineItem
from counterfoil.core.money import plain_text
from counterfoil.desk.intake import Draft
from counterfoil.pages.forms import Form
from counterfoil.studio.draft_lines import BLANK_ITEM, COLUMNS, read_lines

DIALECT: Final = "kryptogo"
"""How callbacks of an invoice made here are worded: as those of the merchant's other invoices."""

CURRENCIES: Final = ("TWD", "USD")
IN_TOKENS: Final = "token"

_RAW_LENGTH: Final = 64 * 1024
_MINUTES: Final = len("2026-06-22T12:00")
_TEXTS: Final = (
    *("recipient_name", "recipient_email", "organization_name", "organization_email", "origin"),
    *("price_in", "pay_token", "chain", "allow_any_chain", "allow_any_token"),
    *("use_fixed_stablecoin_rate", "due", "payment_terms", "payment_deadline"),
    *("invoice_issue_date", "description", "group_key", "order_data"),
    *("payout_address", "reviewer", "payment_method_type", "bank_account_id", "callback_url"),
    *("attachment", "form_key", "seen", "zone", "deadline_at"),
)
"""Every field with one value that is read."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the fields, as text. A box that is ticked holds ``yes``."""

    values: Mapping[str, str]
    items: tuple[Mapping[str, str], ...]

    def __getitem__(self, name: str) -> str:
        """A field's text; empty where nothing stands."""
        return self.values.get(name, "")

    @property
    def unit(self) -> str:
        """The currency, or the token, that the lines are priced in."""
        return self["pay_token"] if self["price_in"] == IN_TOKENS else self["price_in"]

    def with_values(self, **changes: str) -> "Typed":
        """The same with other text in some fields."""
        return replace(self, values={**self.values, **changes})

    def with_row(self) -> "Typed":
        """One more line, while there may be more."""
        more = (BLANK_ITEM,) if len(self.items) < bounds.MAX_ITEMS else ()
        return replace(self, items=(*self.items, *more))

    def without_row(self, number: int) -> "Typed":
        """The lines without one of them; the last one only becomes blank."""
        kept = tuple(item for at, item in enumerate(self.items) if at != number)
        return replace(self, items=kept or (BLANK_ITEM,))


def typed_in(form: Form) -> Typed:
    """What was typed; raises `Invalid` for a form that is none of ours."""
    values = {name: form.raw(name)[:_RAW_LENGTH].replace("\r\n", "\n") for name in _TEXTS}
    columns = [form.all(f"item_{name}", at_most=bounds.MAX_ITEMS) for name in COLUMNS]
    if len({len(column) for column in columns}) != 1:
        raise Invalid("the lines of the form are incomplete; load the page again")
    rows = tuple(dict(zip(COLUMNS, row, strict=True)) for row in zip(*columns, strict=True))
    return Typed(values, rows or (BLANK_ITEM,))


def typed_from(draft: Draft, zone: str) -> Typed:
    """The fields as they stand for what an invoice asks for, times in the zone of that name."""
    deadline = draft.payment_deadline
    due = "deadline" if deadline is not None else "days" if draft.payment_terms else "receipt"
    attachment = draft.attachment_file_id
    has_organisation = draft.organization_name != draft.recipient_name
    values = {
        "recipient_name": draft.recipient_name,
        "recipient_email": draft.recipient_email,
        "organization_name": draft.organization_name if has_organisation else "",
        "organization_email": draft.organization_email if has_organisation else "",
        "origin": draft.origin,
        "price_in": draft.currency or IN_TOKENS,
        "pay_token": draft.pay_token,
        "chain": draft.chain,
        "allow_any_chain": _tick(on=draft.allow_any_chain),
        "allow_any_token": _tick(on=draft.allow_any_token),
        "use_fixed_stablecoin_rate": _tick(on=draft.use_fixed_stablecoin_rate),
        "due": due,
        "payment_terms": str(draft.payment_terms or 30),
        "payment_deadline": "" if deadline is None else _shown(deadline, zone),
        "deadline_at": "" if deadline is None else deadline.isoformat(),
        "zone": zone,
        "invoice_issue_date": str(draft.invoice_issue_date or ""),
        "description": draft.description,
        "group_key": draft.group_key or "",
        "order_data": "" if draft.order_data == "{}" else draft.order_data,
        "payout_address": dict(draft.payout_addresses).get("evm", ""),
        "reviewer": draft.reviewer or "",
        "payment_method_type": draft.payment_method_type,
        "bank_account_id": "" if draft.bank_account_id is None else str(draft.bank_account_id),
        "callback_url": draft.callback_url or "",
        "attachment": "" if attachment is None else ids.public("file", attachment),
    }
    items = tuple(
        {
            "name": item.name,
            "quantity": plain_text(item.quantity),
            "unit_price": plain_text(item.unit_price),
            "tax": plain_text(item.tax) if item.tax else "",
        }
        for item in draft.detail_items
    )
    return Typed(values, items)


def fingerprint(draft: Draft) -> str:
    """What a form was filled from, so that it changes nothing that somebody changed meanwhile."""
    return hashlib.sha256(repr(draft).encode()).hexdigest()


def read(typed: Typed, *, creator: str, allow_private_callbacks: bool) -> Draft:
    """What the form asks for; `Invalid` names everything wrong by its field."""
    told = Problems()
    in_tokens = typed["price_in"] == IN_TOKENS
    items: tuple[LineItem, ...] = told.read(lambda: read_lines(typed.items, typed.unit), ())
    draft = Draft(
        dialect=DIALECT,
        pricing_mode="crypto" if in_tokens else "fiat",
        amount=sum((item.total for item in items), Decimal(0)),
        currency=told.read(lambda: _currency(typed["price_in"]), None),
        pay_token=told.read(lambda: _one_of(typed, "pay_token", SYMBOLS), ""),
        chain=typed["chain"],
        origin=told.read(lambda: text.clean_url(typed["origin"].strip(), "origin"), ""),
        recipient_name=told.read(lambda: _name(typed, "recipient_name"), ""),
        recipient_email=told.read(lambda: _email(typed, "recipient_email"), ""),
        organization_name=told.read(lambda: _name(typed, _said(typed, "organization_name")), ""),
        organization_email=told.read(lambda: _email(typed, _said(typed, "organization_email")), ""),
        creator=creator,
        payment_terms=told.read(lambda: _terms(typed), 0),
        detail_items=items,
        order_data=told.read(lambda: _order_data(typed["order_data"]), "{}"),
        callback_url=told.read(
            lambda: _callback(typed["callback_url"].strip(), allow_private=allow_private_callbacks),
            None,
        ),
        group_key=told.read(lambda: _line(typed, "group_key", bounds.GROUP_KEY_LENGTH), None),
        payout_addresses=told.read(lambda: _payouts(typed), ()),
        payment_deadline=told.read(lambda: deadline(typed), None),
        use_fixed_stablecoin_rate=bool(typed["use_fixed_stablecoin_rate"]) and not in_tokens,
        description=told.read(lambda: _description(typed["description"]), ""),
        attachment_file_id=told.read(lambda: _attachment(typed["attachment"]), None),
        invoice_issue_date=told.read(lambda: _day(typed["invoice_issue_date"]), None),
        payment_method_type=told.read(lambda: _method(typed["payment_method_type"]), "crypto"),
        allow_any_chain=bool(typed["allow_any_chain"]),
        allow_any_token=bool(typed["allow_any_token"]),
        bank_account_id=told.read(lambda: _bank_account(typed), None),
        reviewer=told.read(lambda: _line(typed, "reviewer", bounds.REVIEWER_LENGTH), None),
    )
    told.settle()
    return draft


def _tick(*, on: bool) -> str:
    return "yes" if on else ""


def _said(typed: Typed, name: str) -> str:
    """The organisation's field, or the recipient's own where nothing is said of one."""
    return name if typed[name].strip() else name.replace("organization", "recipient")


def _name(typed: Typed, name: str) -> str:
    return text.clean_text(typed[name], name, max_length=bounds.NAME_LENGTH)


def _email(typed: Typed, name: str) -> str:
    return text.clean_email(typed[name].strip(), name)


def _line(typed: Typed, name: str, most: int) -> str | None:
    return text.clean_text(typed[name], name, max_length=most, empty=True) or None


def _description(written: str) -> str:
    most = bounds.DESCRIPTION_LENGTH
    return text.clean_text(written, "description", max_length=most, empty=True, lines=True)


def _one_of(typed: Typed, name: str, known: Sequence[str]) -> str:
    if typed[name] not in known:
        raise Invalid.field(name, f"must be one of {', '.join(known)}")
    return typed[name]


def _currency(chosen: str) -> Literal["TWD", "USD"] | None:
    match chosen:
        case "TWD" | "USD":
            return chosen
        case "token":
            return None
        case _:
            raise Invalid.field("price_in", f"must be {', '.join(CURRENCIES)} or the token itself")


def _method(chosen: str) -> Literal["crypto", "fiat"]:
    match chosen:
        case "crypto" | "fiat":
            return chosen
        case _:
            raise Invalid.field("payment_method_type", "must be crypto or fiat")


def _terms(typed: Typed) -> int:
    """Days until due; how many there may be is for the desk to say."""
    if typed["due"] != "days":
        return 0
    return _whole(numerals.plain(typed["payment_terms"]), "payment_terms", "a whole number of days")


def deadline(typed: Typed) -> datetime | None:
    """The time that was chosen, in the zone that the form was shown in.

    A text that was left as it was shown stays the same instant, to the second.
    """
    if typed["due"] not in {"receipt", "days", "deadline"}:
        raise Invalid.field("due", "must be on receipt, after some days or at a given time")
    if typed["due"] != "deadline":
        return None
    written = typed["payment_deadline"][:_MINUTES]
    zone = zones.checked(typed["zone"])
    try:
        was = datetime.fromisoformat(typed["deadline_at"]).astimezone(UTC)
        if _shown(was, zone) == written:
            return was
    except (ValueError, OverflowError):
        pass
    try:
        local = datetime.fromisoformat(written).replace(tzinfo=None)
        at = local.replace(tzinfo=zones.zone(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid.field("payment_deadline", "must be a day and a time of day") from None
    if at.astimezone(zones.zone(zone)).replace(tzinfo=None) != local:
        sentence = "is skipped where you are, as the clocks go forward then; choose another time"
        raise Invalid.field("payment_deadline", sentence)
    return at


def _shown(at: datetime, zone: str) -> str:
    """A moment as its field has it, where that zone is."""
    return f"{at.astimezone(zones.zone(zone)):%Y-%m-%dT%H:%M}"


def _day(written: str) -> date | None:
    if not written:
        return None
    try:
        day = date.fromisoformat(written)
    except ValueError:
        day = None
    if day is None or not 2000 <= day.year <= 2199:  # noqa: PLR2004 - the years that dates are read in
        raise Invalid.field("invoice_issue_date", "must be a date such as 2026-06-22")
    return day


def _payouts(typed: Typed) -> tuple[tuple[str, str], ...]:
    name = "payout_address"
    found = text.clean_text(typed[name], name, max_length=bounds.ADDRESS_LENGTH, empty=True)
    return (("evm", found),) if found else ()


def _bank_account(typed: Typed) -> int | None:
    chosen = typed["bank_account_id"]
    if not chosen or typed["payment_method_type"] != "fiat":
        return None
    return _whole(chosen, "bank_account_id", "one of your bank accounts")


def _whole(written: str, name: str, what: str) -> int:
    found = ids.parse_number(written)
    if found is None:
        raise Invalid.field(name, f"must be {what}")
    return found


def _attachment(name: str) -> UUID | None:
    found = ids.parse("file", name) if name else None
    if name and found is None:
        raise Invalid.field("attachment", "is no file that was uploaded here")
    return found


def _callback(address: str, *, allow_private: bool) -> str | None:
    if not address:
        return None
    check_callback_url(address, allow_private=allow_private)
    return address


def _order_data(written: str) -> str:
    if not written.strip():
        return "{}"
    try:
        found = strict_json.read_object(written.encode("utf-8", "replace"))
    except Invalid as refused:
        raise Invalid.field("order_data", refused.message) from None
    return bounds.clean_object(
        found,
        "order_data",
        max_depth=bounds.MAX_ORDER_DATA_DEPTH,
        max_bytes=bounds.MAX_ORDER_DATA_BYTES,
    )
