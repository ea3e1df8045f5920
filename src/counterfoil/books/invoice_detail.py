"""What of an invoice no query asks for: one JSON object, beside the columns of its row."""

from datetime import datetime
from operator import attrgetter
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from counterfoil.core.invoice import (
    Disposal,
    Document,
    Invoice,
    Note,
    Policy,
    Price,
    Resolution,
    Screening,
)


class _Detail(msgspec.Struct, frozen=True):
    """What no query filters on, but by ``client_id`` (`invoice_by_client`); never an amount."""

    client_id: str
    document: Document
    price: Price
    policy: Policy
    payout_to: dict[str, str]
    callback_url: str | None
    created_by: str
    deadline_follows_approval: bool
    explicit_deadline_at: datetime | None
    bank_account_id: int | None
    swap_enabled: bool
    allow_any_chain: bool
    allow_any_token: bool
    use_fixed_stablecoin_rate: bool
    screening: "_Screening | None"
    edited_by: tuple[str, ...]
    reviewer: str | None
    approved_by: str | None
    approved_at: datetime | None
    approved_hash: str | None
    releases: tuple[str, ...]
    declines: tuple[str, ...]
    signed_off_by: str | None
    signed_off_at: datetime | None
    expired_at: datetime | None
    completed_at: datetime | None
    archived_at: datetime | None
    resolution: Resolution | None = None
    notes: tuple[Note, ...] = ()
    hd_address: str | None = None
    hd_chains: tuple[str, ...] = ()
    quarantined_by: str | None = None
    quarantined_at: datetime | None = None
    stray_screening: "_Screening | None" = None
    escalated_by: str | None = None
    escalated_at: datetime | None = None
    disposals: tuple[Disposal, ...] = ()
    taken_assets: tuple[str, ...] = ()


class _Screening(msgspec.Struct, frozen=True):
    """A `Screening` whose amounts are text, since JSON numbers end where 64 bits do."""

    run_id: UUID
    decision: Literal["clear", "manual_review", "aml_hold"]
    sanctioned: bool
    covers: tuple[tuple[str, str], ...]
    payers: tuple[str, ...]
    degraded: bool = False
    review_approvers: int = 2
    hold_approvers: int = 2


_read_detail: Final = attrgetter(*_Detail.__struct_fields__)
_decode_detail = msgspec.json.Decoder(_Detail).decode
_encode = msgspec.json.Encoder().encode


def written(invoice: Invoice) -> bytes:
    """The object of an invoice."""
    fields = dict(zip(_Detail.__struct_fields__, _read_detail(invoice), strict=True))
    fields["screening"] = _stored_screening(invoice.screening)
    fields["stray_screening"] = _stored_screening(invoice.stray_screening)
    return _encode(_Detail(**fields))


def read(text: str) -> dict[str, Any]:
    """What stands in it, by the names of an `Invoice`."""
    detail = _decode_detail(text)
    fields = msgspec.structs.asdict(detail)
    fields["screening"] = _screening(detail.screening)
    fields["stray_screening"] = _screening(detail.stray_screening)
    return fields


def _screening(stored: _Screening | None) -> Screening | None:
    if stored is None:
        return None
    covers = tuple((asset, int(units)) for asset, units in stored.covers)
    return Screening(covers=covers, **_but_covers(stored))


def _stored_screening(screening: Screening | None) -> _Screening | None:
    if screening is None:
        return None
    covers = tuple((asset, str(units)) for asset, units in screening.covers)
    return _Screening(covers=covers, **_but_covers(screening))


def _but_covers(of: Screening | _Screening) -> dict[str, Any]:
    """What is written as it is."""
    return {name: getattr(of, name) for name in _Screening.__struct_fields__ if name != "covers"}
