"""Answers of the KryptoGO invoice API: views of the desk as the source's JSON.

Every field that the source names is there, null where nothing is known yet. What it does not
name (``available_actions``, ``payment_options`` and others) is additive, as the source allows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from counterfoil.api.kryptogo.resolution import (
    refundable_of,
    resolution_of,
    stray_of,
    token_fees_of,
    unknown_tokens_of,
)
from counterfoil.api.kryptogo.risk import dispositions_of, risk_of
from counterfoil.api.kryptogo.status import (
    CATEGORIES,
    INVOICE_STATUSES,
    available_actions,
    category_of,
    intent_status,
    invoice_status,
    people_needed,
)
from counterfoil.core import ids
from counterfoil.core.assets import CHAINS, known_asset
from counterfoil.core.invoice import (
    Context,
    Invoice,
    PaymentRequest,
    Refund,
    Status,
    number_label,
    pay_to,
)
from counterfoil.core.money import Money, format_units, plain_text
from counterfoil.core.pay_links import PayLinks
from counterfoil.core.payment_uri import payment_uri
from counterfoil.core.pricing import FIAT_DECIMALS, due_text
from counterfoil.core.reckoning import Depth, rough_dollars
from counterfoil.core.refund_rules import found_about
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import refunding
from counterfoil.desk.delivering import Told
from counterfoil.desk.files import StoredFile
from counterfoil.desk.queries import InvoiceView, NumberedEntry, Page
from counterfoil.desk.reporting import Report
from counterfoil.desk.snapshot import largest_first

Json = dict[str, Any]

# Decimals are written as JSON numbers with all their digits: only line items hold any.
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


def envelope(data: object) -> bytes:
    """``Envelope<T>``."""
    return _encode({"code": 0, "data": data})


def list_envelope(page: Page, by: Actor, links: PayLinks, *, number: int, size: int) -> bytes:
    """``ListEnvelope<InvoiceIntent>``, with how many match in each status and category."""
    counts: Json = dict.fromkeys(INVOICE_STATUSES, 0)
    for row in page.counts:
        context = None if row.context is None else Context(row.context)
        counts[invoice_status(Status(row.status), context)] += row.count
    by_category = dict.fromkeys(CATEGORIES, 0)
    for status, count in counts.items():
        by_category[category_of(status)] += count
    return _encode(
        {
            "code": 0,
            "data": [invoice_intent(view, by, links) for view in page.views],
            "paging": {
                "page_number": number,
                "page_size": size,
                "total_count": page.total,
                "total_is_at_least": page.total_is_at_least,
            },
            "counts": {**counts, "category": by_category},
        }
    )


def invoice_intent(view: InvoiceView, by: Actor, links: PayLinks) -> Json:
    """``InvoiceIntent`` as this member sees it."""
    invoice = view.invoice
    document = invoice.document
    file_id = document.attachment_file_id
    return {
        "id": ids.public("inv", invoice.invoice_id),
        "invoice_id": number_label(invoice),
        "payment_intent": payment_intent(view, by),
        "status": invoice_status(invoice.status, invoice.context),
        "recipient_name": document.recipient_name,
        "recipient_email": document.recipient_email,
        "organization_name": document.organization_name,
        "organization_email": document.organization_email,
        "payment_terms": document.terms_days,
        "detail_items": [
            {
                "name": item.name,
                "quantity": _number(item.quantity),
                "unit_price": _number(item.unit_price),
                "tax": _number(item.tax),
            }
            for item in document.items
        ],
        "available_actions": available_actions(view, by),
        "context": None if invoice.context is None else invoice.context.value,
        "content_hash": view.content_hash,
        "creator": document.creator,
        "description": document.description,
        "attachment": None if file_id is None else {"file_id": ids.public("file", file_id)},
        "origin": document.origin,
        "payment_page_url": links.address(invoice),
        "invoice_issue_date": document.issued_on.isoformat(),
        "reviewer": invoice.reviewer,
        "allow_any_chain": invoice.allow_any_chain,
        "allow_any_token": invoice.allow_any_token,
        "use_fixed_stablecoin_rate": invoice.use_fixed_stablecoin_rate,
        "created_by": invoice.created_by,
        "edited_by": invoice.edited_by,
        "created_at": instant(invoice.created_at),
        "approved_by": invoice.approved_by,
        "approved_at": _instant_or_none(invoice.approved_at),
        "approve_time": _instant_or_none(invoice.approved_at),
        "signed_off_by": invoice.signed_off_by,
        "signed_off_at": _instant_or_none(invoice.signed_off_at),
        "completed_at": _instant_or_none(invoice.completed_at),
        "expired_at": _instant_or_none(invoice.expired_at),
        "archived_at": _instant_or_none(invoice.archived_at),
        "releases": invoice.releases,
        "declines": invoice.declines,
        "escalated_by": invoice.escalated_by,
        "escalated_at": _instant_or_none(invoice.escalated_at),
        "dispositions": dispositions_of(invoice),
        "quarantined_by": invoice.quarantined_by,
        "quarantined_at": _instant_or_none(invoice.quarantined_at),
        "people_needed": people_needed(invoice),
        "compliance_notes": _notes(invoice, by),
        "payment_options": [_option(invoice, request) for request in invoice.requests],
        "transfers": [_transfer(t) for t in view.transfers],
        "stray": stray_of(invoice),
        "unknown_tokens": unknown_tokens_of(view),
        "refundable": refundable_of(invoice),
        "token_fees": token_fees_of(invoice),
        "refund": _refund(view, invoice.refunds[-1]) if invoice.refunds else None,
        "refunds": [_refund(view, refund) for refund in invoice.refunds],
        "resolution": resolution_of(view),
    }


def payment_intent(view: InvoiceView, by: Actor) -> Json:
    """``PaymentIntent``, the part about money; the paid asset once there is one."""
    invoice = view.invoice
    request = _shown_request(invoice)
    fiat = invoice.price.mode == "fiat"
    payouts = dict(invoice.payout_to)
    return {
        "payment_intent_id": ids.public("pi", invoice.invoice_id),
        "client_id": invoice.client_id,
        "org_id": invoice.org_id,
        "pricing_mode": invoice.price.mode,
        "payment_chain_id": request.asset.chain,
        "payment_address": pay_to(invoice, request.asset),
        "token_address": request.asset.contract,
        "symbol": request.asset.symbol,
        "decimals": request.asset.decimals,
        "crypto_amount": due_text(request),
        "fiat_amount": f"{invoice.price.amount:.{FIAT_DECIMALS}f}" if fiat else None,
        "fiat_currency": invoice.price.currency,
        "payment_deadline": _seconds(invoice.deadline_at),
        "status": intent_status(invoice.status, invoice.context),
        "order_data": msgspec.Raw(invoice.document.order_data.encode()),
        "callback_url": invoice.callback_url,
        "group_key": invoice.document.group_key or "",
        "kg_deep_link": None,
        "payment_method_type": invoice.settlement,
        "swap_enabled": invoice.swap_enabled,
        "payout_target_address": payouts.get("evm"),
        "payout_target_sol_address": payouts.get("sol"),
        "payout_target_tron_address": payouts.get("tron"),
        "payout_addresses": payouts,
        "exact_out_amount": None,
        "kg_fee_amount": None,
        "finalized_timestamp": _seconds_or_none(invoice.completed_at),
        "crypto_price": None if request.quote is None else plain_text(request.quote.rate),
        "target_chain_id": None,
        "target_token_address": None,
        "bank_account_id": invoice.bank_account_id,
        **_received(view, request),
        **_moved(view, request),
        **risk_of(view, by),
    }


def log_entries(invoice_id: str, entries: Sequence[NumberedEntry]) -> list[Json]:
    """``InvoiceLog[]``, oldest first.

    An approval shows as two entries, since ``approved`` is a status that an invoice of ours
    passes through without resting; so each entry starts where the one before it ended.
    """
    shown = []
    before = ""
    for numbered in entries:
        entry = numbered.entry
        told = entry.metadata.get("context")
        context = Context(told) if isinstance(told, str) else None
        after = invoice_status(Status(entry.to_status), context)
        stops = ("approved", after) if entry.event == "approve" else (after,)
        for part, stop in enumerate(stops):
            shown.append(
                {
                    "id": 2 * numbered.id + part,
                    "invoice_id": invoice_id,
                    "from_status": before,
                    "to_status": stop,
                    "operator_uid": entry.operator_uid,
                    "reason": entry.reason,
                    "created_at": instant(entry.at),
                    "event": entry.event,
                    "sequence": entry.sequence,
                    "metadata": entry.metadata,
                    "request_id": entry.request_id,
                }
            )
            before = stop
    return shown


def stored_file(file: StoredFile) -> Json:
    """An uploaded file, without its content."""
    return {
        "file_id": ids.public("file", file.file_id),
        "name": file.name,
        "content_type": file.content_type,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "created_at": instant(file.created_at),
    }


def callbacks(told: Iterable[Told]) -> list[Json]:
    """What an invoice had to tell, with each attempt at telling it."""
    return [
        {
            "event_id": ids.public("evt", one.event.event_id),
            "sequence": one.event.sequence,
            "url": one.event.url,
            "status": one.event.status,
            "created_at": instant(one.event.created_at),
            "next_attempt_at": instant(one.event.due_at) if one.event.status == "pending" else None,
            "delivered_at": _instant_or_none(one.event.delivered_at),
            "attempts": [
                {
                    "attempt": attempt.attempt,
                    "at": instant(attempt.at),
                    "status_code": attempt.status_code,
                    "error": attempt.error,
                    "duration_ms": attempt.duration_ms,
                }
                for attempt in one.attempts
            ],
        }
        for one in told
        if one.event.status != "silent"
    ]


def instant(at: datetime) -> str:
    """A time as ISO 8601 in UTC, as in ``2026-06-22T12:00:00Z``."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _shown_request(invoice: Invoice) -> PaymentRequest:
    """The asset that was paid with (most of it, if several), or the one that was asked for."""
    paid = [a for a in invoice.tally.assets if a.seen_units]
    if not paid:
        return invoice.requests[0]
    most = max(paid, key=lambda a: rough_dollars(a.asset, a.seen_units))
    return next(r for r in invoice.requests if r.asset == most.asset)


def _received(view: InvoiceView, request: PaymentRequest) -> Json:
    """What came in of the asset shown; an amount only counts once it is confirmed.

    Of several transfers the largest is shown. Callbacks tell the same (callbacks.py).
    """
    asset = request.asset
    paid = [t for t in view.transfers if (t.chain, t.contract) == (asset.chain, asset.contract)]
    largest = next(iter(largest_first(paid)), None)
    tallies = view.invoice.tally.assets
    confirmed_units = next((a.confirmed_units for a in tallies if a.asset == asset), 0)
    deep = largest is not None and largest.depth >= Depth.SAFE
    return {
        "payer_address": None if largest is None else largest.known_payer,
        "payment_tx_hash": None if largest is None else largest.known_tx_hash,
        "payment_tx_timestamp": _seconds(largest.block_at) if largest and deep else None,
        "received_crypto_amount": format_units(confirmed_units, asset.decimals)
        if confirmed_units
        else None,
    }


def _moved(view: InvoiceView, request: PaymentRequest) -> Json:
    """Sweep, refund and partial refunds of the asset shown; amounts are what really moved.

    They are null until something has, also where what was made reverted. Several of a kind are
    added up, and the newest is named. Where only another asset went back, as it strayed here, that
    is shown. Callbacks tell the same.
    """
    sweep = _move(view, request, "sweep")
    refund = _move(view, request, "refund")
    partial = _move(view, request, "partial_refund")
    return {
        "aggregation_tx_hash": sweep.tx_hash,
        "aggregation_tx_timestamp": _seconds_or_none(sweep.final_at),
        "aggregated_crypto_amount": sweep.amount,
        "refund_tx_hash": refund.tx_hash,
        "refund_crypto_amount": refund.amount,
        "partial_refund_tx_hash": partial.tx_hash,
        "partial_refund_amount": partial.amount,
        "partial_refund_address": partial.destination,
    }


@dataclass(frozen=True, slots=True)
class _Move:
    tx_hash: str | None = None
    amount: str | None = None
    final_at: datetime | None = None
    destination: str | None = None


def _move(view: InvoiceView, request: PaymentRequest, purpose: str) -> _Move:
    asset = request.asset
    every = [m for m in view.moves if m.purpose == purpose and m.status != "failed"]
    made = [m for m in every if (m.chain, m.contract) == (asset.chain, asset.contract)]
    if every and not made and purpose != "sweep":
        where = every[-1].chain, every[-1].contract
        made = [m for m in every if (m.chain, m.contract) == where]
        asset = known_asset(*where) or asset
    if not made:
        return _Move()
    moved_units = sum(move.moved_units or 0 for move in made)
    newest = max(reversed(made), key=lambda move: (move.tx_hash is not None, move.created_at))
    return _Move(
        newest.tx_hash,
        format_units(moved_units, asset.decimals) if moved_units else None,
        newest.final_at,
        newest.destination,
    )


def _option(invoice: Invoice, request: PaymentRequest) -> Json:
    asset = request.asset
    chain = CHAINS[asset.chain]
    address = pay_to(invoice, asset)
    return {
        "chain": asset.chain,
        "chain_id": chain.chain_id,
        "token": asset.symbol,
        "token_address": asset.contract,
        "decimals": asset.decimals,
        "address": address,
        "amount": due_text(request),
        "payment_uri": payment_uri(Money(request.due_units, asset), address),
    }


def compliance_reports(reports: Iterable[Report]) -> list[Json]:
    """What was reported about an invoice, for compliance alone."""
    return [
        {
            "reference": one.reference,
            "reported_on": one.reported_on.isoformat(),
            "by": one.by,
            "at": instant(one.noted_at),
        }
        for one in reports
    ]


def _notes(invoice: Invoice, by: Actor) -> list[Json] | None:
    """What compliance wrote down; null for everybody else, who must not be tipped off."""
    if Permission.REVIEW not in by.permissions:
        return None
    return [{"text": n.text, "by": n.by, "at": instant(n.at)} for n in invoice.notes]


def _transfer(transfer: Any) -> Json:  # noqa: ANN401 - its type is the books', which doors leave alone
    asset = known_asset(transfer.chain, transfer.contract)
    if asset is None:
        msg = f"{transfer.chain}:{transfer.contract} has left the registry"
        raise LookupError(msg)
    return {
        "chain": transfer.chain,
        "tx_hash": transfer.known_tx_hash,
        "unattributed": None if transfer.known_tx_hash else transfer.tx_hash,
        "internal_transfer": transfer.is_internal,
        "log_index": transfer.log_index,
        "token": asset.symbol,
        "token_address": transfer.contract,
        "from_address": transfer.known_payer,
        "amount": format_units(transfer.amount_units, asset.decimals),
        "block_number": transfer.block_number,
        "block_timestamp": _seconds(transfer.block_at),
        "depth": transfer.depth.name.lower(),
    }


def _refund_status(refund: Refund, view: InvoiceView) -> refunding.RefundProgress:
    """What is approved and not signed yet is on its way: the documents have no word for it."""
    found = refunding.progress_of(refund, view.moves)
    return (
        refunding.RefundProgress.PROCESSING if found is refunding.RefundProgress.APPROVED else found
    )


def _refund(view: InvoiceView, refund: Refund) -> Json:
    made = [move for move in view.moves if move.source_id == refund.refund_id.hex]
    return {
        "refund_id": ids.public("ref", refund.refund_id),
        "status": _refund_status(refund, view).value,
        "refund_address": refund.address,
        "refund_reason": refund.reason,
        "refund_attachments": [ids.public("file", f) for f in refund.attachment_file_ids],
        "amounts": [
            _refund_amount(money, back, made)
            for money, back in zip(
                refund.amounts, refunding.returned(refund, view.moves), strict=True
            )
        ],
        "ordered_by": refund.ordered_by,
        "ordered_at": instant(refund.ordered_at),
        "approved_by": refund.approved_by,
        "approved_at": _instant_or_none(refund.approved_at),
        "withdrawn_by": refund.withdrawn_by,
        "withdrawn_at": _instant_or_none(refund.withdrawn_at),
        "settled_at": _instant_or_none(refund.settled_at),
        "is_partial": not refund.is_whole,
        "after_completion": refund.after_completion,
        "with_sign_off": refund.with_sign_off,
        "second_person": refund.second_person,
        "screening": _found_about(refund, view),
    }


def _found_about(refund: Refund, view: InvoiceView) -> Json | None:
    """What an approval of it is for; null once that is over, or before anything is known."""
    found = found_about(view.invoice, refund.amounts) if refund.status.is_open else None
    if found is None:
        return None
    return {"run_id": ids.public("scr", found.run_id), "decision": found.decision}


def _refund_amount(money: Money, back: Money, made: Sequence[Any]) -> Json:
    """One of a refund's amounts; ``returned`` is what of it went, also where it was withdrawn."""
    asset = money.asset
    legs = [
        move
        for move in made
        if (move.chain, move.contract) == (asset.chain, asset.contract)
        and move.purpose in {"refund", "partial_refund"}
    ]
    return {
        "chain": asset.chain,
        "token": asset.symbol,
        "token_address": asset.contract,
        "amount": format_units(money.units, asset.decimals),
        "returned": format_units(back.units, asset.decimals),
        "tx_hash": next((move.tx_hash for move in legs if move.tx_hash), None),
    }


def _number(value: Decimal) -> Decimal:
    """A decimal that is written without an exponent."""
    return Decimal(plain_text(value))


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _seconds_or_none(at: datetime | None) -> int | None:
    return None if at is None else _seconds(at)


def _instant_or_none(at: datetime | None) -> str | None:
    return None if at is None else instant(at)
