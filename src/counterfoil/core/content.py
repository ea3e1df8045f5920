"""The hash of what a reviewer approves, so that nothing can change underneath an approval."""

import hashlib
import json
from dataclasses import fields, is_dataclass
from typing import Final

from counterfoil.core.invoice import Invoice, Policy

_FIRST_POLICY: Final = frozenset(
    {
        "approval_required",
        "sign_off_required",
        "maker_is_not_checker",
        "underpay_ratio",
        "overpay_ratio",
        "overpaid",
        "several_payers",
        "receipt_window_seconds",
        "grace_days",
        "confirm_soft_below_usd",
        "dust_below",
    }
)
"""The rules that the first release knew, which are always hashed."""


def content_hash(invoice: Invoice) -> str:
    """SHA-256 (hex) over everything the approval covers: document, price, dues, destination, terms.

    What changes by itself afterwards (status, money that arrives, the deadline of an invoice
    that is due on receipt) is left out. Rules that are younger than the first release count
    where they are set: so what was approved before they existed keeps its hash, and nobody can
    set or unset one of them without changing it.
    """
    content = {
        "document": invoice.document,
        "price": invoice.price,
        "requests": [[r.asset.key, str(r.due_units)] for r in invoice.requests],
        "payout_to": dict(invoice.payout_to),
        "deposit_address": invoice.deposit_address,
        "deadline_at": None if invoice.deadline_follows_approval else invoice.deadline_at,
        "settlement": invoice.settlement,
        "bank_account_id": invoice.bank_account_id,
        "callback_url": invoice.callback_url,
        "policy": _policy(invoice.policy),
    }
    if invoice.hd_chains:
        content["hd"] = [invoice.hd_address, *invoice.hd_chains]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _policy(policy: Policy) -> dict[str, object]:
    return {
        field.name: value
        for field in fields(policy)
        if (value := getattr(policy, field.name)) != field.default or field.name in _FIRST_POLICY
    }


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return str(value)
