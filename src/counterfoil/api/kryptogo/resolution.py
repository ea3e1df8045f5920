"""What can be done about a particular payment, with the numbers of each choice."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from counterfoil.core import reckoning, resolution
from counterfoil.core.invoice import Invoice, PaymentRequest
from counterfoil.core.money import Asset, Money, format_units, plain_text
from counterfoil.core.pricing import due_text
from counterfoil.core.resolution import Choice
from counterfoil.desk.queries import InvoiceView

Json = dict[str, Any]

_SHARE_DIGITS: Final = 6


def resolution_of(view: InvoiceView) -> Json | None:
    """Context, choices and a suggestion, or what was chosen; None where the payment is plain."""
    invoice = view.invoice
    possible = resolution.choices(invoice, view.read_at)
    chosen = invoice.resolution
    if invoice.context is None or not (possible or chosen):
        return None
    suggested = resolution.suggested(invoice, view.read_at)
    return {
        "context": invoice.context.value,
        "findings": [finding.value for finding in reckoning.findings(invoice)],
        "paid_share": _share(invoice),
        "choices": [{"choice": c.value, **_numbers(view, c)} for c in possible],
        "suggested": None if suggested is None else suggested.value,
        "chosen": None
        if chosen is None
        else {
            "choice": chosen.choice,
            "by": chosen.by,
            "at": int(chosen.at.timestamp()),
            "rule": chosen.rule or None,
        },
    }


def stray_of(invoice: Invoice) -> list[Json]:
    """What came that the invoice does not accept; it counts for nothing and can be sent back.

    ``screening``: what was found about it where it came beside a payment and was to go back.
    """
    verdict = invoice.stray_screening
    covered = {} if verdict is None else dict(verdict.covers)
    return [
        {
            **_named(a.asset),
            "seen": format_units(a.seen_units, a.asset.decimals),
            "final": format_units(a.final_units, a.asset.decimals),
            "screening": verdict.decision if verdict and a.asset.key in covered else None,
        }
        for a in invoice.tally.unasked
    ]


def unknown_tokens_of(view: InvoiceView) -> list[Json]:
    """Tokens of contracts that are not registered here, the first transfer of each.

    Anybody can make one and give it any name, so none is told. ``amount_units`` is what its own log
    says, in units that only its contract knows.
    """
    return [
        {
            "chain": one.chain,
            "token_address": one.contract,
            "from_address": one.from_address,
            "tx_hash": one.tx_hash,
            "block_number": one.block_number,
            "amount_units": str(one.amount_units),
        }
        for one in view.unknown_tokens
    ]


def refundable_of(invoice: Invoice) -> list[Json]:
    """How much of which asset could go back now, also of what came beside the payment."""
    return _amounts(reckoning.refundable(invoice))


def token_fees_of(invoice: Invoice) -> list[Json]:
    """What tokens kept for themselves while the payment was moved."""
    return _amounts(reckoning.token_fees(invoice))


def _numbers(view: InvoiceView, choice: Choice) -> Json:
    invoice = view.invoice
    match choice:
        case Choice.ACCEPT:
            return {"takes": _amounts(reckoning.holdings(invoice))}
        case Choice.RECALCULATE:
            return _at_current_rate(view)
        case Choice.REFUND_SURPLUS:
            return {"returns": _amounts(reckoning.surplus(invoice))}
        case Choice.REFUND_ALL:
            return {"returns": _amounts(reckoning.holdings(invoice))}
        case Choice.WAIT:
            return {
                "missing": _amounts(reckoning.missing(invoice)),
                "until": int(invoice.deadline_at.timestamp()),
            }


def _at_current_rate(view: InvoiceView) -> Json:
    """Empty where there is no fresh rate. Without any rate the same is due, with more time."""
    if not view.repriced:
        return {"due": None}
    anew = replace(view.invoice, requests=view.repriced)
    return {
        "due": [_due(request) for request in view.repriced],
        "paid_share": _share(anew),
        "missing": _amounts(reckoning.missing(anew)),
    }


def _due(request: PaymentRequest) -> Json:
    quote = request.quote
    rate: Mapping[str, object] | None = None
    if quote is not None:
        rate = {
            "pair": f"{quote.base}/{quote.quote}",
            "value": plain_text(quote.rate),
            "source": quote.source,
            "observed_at": int(quote.observed_at.timestamp()),
        }
    return {**_asset(request), "amount": due_text(request), "rate": rate}


def _asset(request: PaymentRequest) -> Json:
    return {"chain": request.asset.chain, "token": request.asset.symbol}


def _amounts(money: Iterable[Money]) -> list[Json]:
    return [{**_named(m.asset), "amount": format_units(m.units, m.asset.decimals)} for m in money]


def _named(asset: Asset) -> Json:
    return {"chain": asset.chain, "token": asset.symbol, "token_address": asset.contract}


def _share(invoice: Invoice) -> str:
    """Which share of what is due is confirmed, rounded down for people to read."""
    share = reckoning.coverage(invoice)
    return format_units(int(share * 10**_SHARE_DIGITS), _SHARE_DIGITS)
