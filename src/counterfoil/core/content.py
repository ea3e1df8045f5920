"""The hash of what a reviewer approves, so that nothing can change underneath an approval."""

import hashlib
import json
from dataclasses import fields, is_dataclass
from datetime import UTC
from typing import Final

from counterfoil.core.invoice import Invoice, Policy, Quote
from counterfoil.core.money import plain_text
from counterfoil.core.values import replace

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


_SECOND: Final = "2:"
"""How a hash begins that covers how the dues were computed, too; those before have no such mark."""


def content_hash(invoice: Invoice) -> str:
    """A hash over everything the approval covers: document, price, dues and rates, destination.

    ``2:`` and SHA-256 in hex. What changes by itself afterwards (status, money that arrives, the
    deadline of an invoice that is due on receipt) is left out. Rules that are younger than the
    first release count where they are set: so nobody can set or unset one without changing it.
    """
    return _SECOND + _digest({**_first(invoice), **_second(invoice)})


def is_approved_content(invoice: Invoice) -> bool:
    """Whether an invoice is still what was approved, by the version of hash of that approval."""
    approved = invoice.approved_hash
    if approved is None:
        return False
    if approved.startswith(_SECOND):
        return approved == content_hash(invoice)
    return approved == _digest(_first(invoice))


def says_the_same(before: Invoice, after: Invoice) -> bool:
    """Whether a change changed nothing that was asked for.

    Rates may have been looked up anew for the same dues, and a deadline that follows the approval
    goes by the clock.
    """
    follows = before.deadline_follows_approval and after.deadline_follows_approval
    dues = [[(due.asset, due.due_units) for due in one.requests] for one in (before, after)]
    like_before = replace(
        after,
        deadline_at=before.deadline_at if follows else after.deadline_at,
        requests=before.requests if dues[0] == dues[1] else after.requests,
    )
    return like_before == before


def _first(invoice: Invoice) -> dict[str, object]:
    """What the first release hashed."""
    content: dict[str, object] = {
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
    return content


def _second(invoice: Invoice) -> dict[str, object]:
    """How what is due was computed."""
    return {
        "use_fixed_stablecoin_rate": invoice.use_fixed_stablecoin_rate,
        "quotes": [None if r.quote is None else _quote(r.quote) for r in invoice.requests],
    }


def _quote(quote: Quote) -> list[str]:
    times = (quote.observed_at, quote.locked_at)
    seconds = [at.astimezone(UTC).isoformat(timespec="microseconds") for at in times]
    market = [] if quote.market is None else [plain_text(quote.market)]
    return [quote.base, quote.quote, plain_text(quote.rate), quote.source, *seconds, *market]


def _digest(content: dict[str, object]) -> str:
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
