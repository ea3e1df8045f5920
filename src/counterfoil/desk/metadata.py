"""What a log entry says besides the statuses; amounts are base units in text."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from counterfoil.core import ids
from counterfoil.core.events import (
    Accept,
    Approve,
    ApproveRefund,
    DisposeHit,
    Edit,
    Event,
    Fact,
    MoneyFact,
    OrderRefund,
    Recalculate,
    Screened,
    SignOff,
    StrayScreened,
)
from counterfoil.core.invoice import Invoice, PaymentRequest
from counterfoil.core.money import plain_text
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.seal import LogEntry

_FOR_COMPLIANCE: Final = frozenset({"evidence"})
_READS_EVIDENCE: Final = frozenset({Permission.REVIEW, Permission.AUDIT})
_NOT_ASKED_FOR: Final = frozenset({"document", "edited_by", "refunds", "version"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Created(Fact):
    """The one event without a row in the lifecycle: an invoice comes to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionNamed(Fact):
    """Somebody says which transaction a payment came with. It decides nothing by itself."""

    transfer: str
    tx_hash: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionChecked(Fact):
    """What the chain says to that; ``reason`` is why not, empty when it agrees."""

    transfer: str
    tx_hash: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedAgain(Fact):
    """A person approved a parked payment again; the invoice stands where it stood.

    Where it pays less than before, as its token kept some, both amounts are told.
    """

    reason: str
    move_id: UUID
    generation: int
    replaces_nonce: int | None
    amount_units: int | None = None
    instead_of_units: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFeeAccepted(Fact):
    """A person accepts that a movement arrived without what its token kept; in base units.

    ``rest_units`` did not leave, and go after it as the movement ``rest_move_id``.
    """

    reason: str
    move_id: UUID
    arrived_units: int
    token_fee_units: int
    rest_move_id: UUID | None = None
    rest_units: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceDismissed(Fact):
    """A person says that what an address holds beyond the books is nobody's payment."""

    reason: str
    address: str
    asset: str
    amount_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentWithdrawn(Fact):
    """A person gave up a parked payment that can never be made."""

    reason: str
    move_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectOrdered(Fact):
    """A person wants parked payouts to go to another registered address; another has to agree.

    After ``until`` nobody can any more. ``sealed`` is the seal of the approval key.
    """

    reason: str
    redirect_id: UUID
    destination: str
    label: str
    until: datetime
    sealed: str
    moves: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectWithdrawn(Fact):
    """That was called off."""

    reason: str
    redirect_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutRedirected(Fact):
    """Parked payouts were given up for others to another address: old, new, and base units.

    ``reason`` is empty where somebody else ordered it, who said why then.
    """

    reason: str
    redirect_id: UUID
    destination: str
    label: str
    moves: tuple[tuple[UUID, UUID, int], ...]


def metadata(event: Event, before: Invoice | None, after: Invoice) -> dict[str, object]:
    """What a reader of the log needs to follow what happened without any other table."""
    context = {} if after.context is None else {"context": after.context.value}
    parts = (
        _asking(event, before, after),
        _deciding(event),
        _naming(event),
        _paying(event),
        _refund(event, before, after),
    )
    return {**context, **{name: value for part in parts for name, value in part.items()}}


def told_to(by: Actor, entry: LogEntry) -> LogEntry:
    """An entry of the log as somebody may read it: what compliance goes by is not for everybody.

    Whoever knows a file's name may have it, and the papers of a hit say whom it may mean.
    """
    if not _FOR_COMPLIANCE & entry.metadata.keys() or by.permissions & _READS_EVIDENCE:
        return entry
    kept = {name: value for name, value in entry.metadata.items() if name not in _FOR_COMPLIANCE}
    return replace(entry, metadata=kept)


def _refund(event: Event, before: Invoice | None, after: Invoice) -> dict[str, object]:
    """The refund that the event made or changed, and how much of what goes back.

    Where one person approves what another ordered, who that was and where to; of a surplus, whether
    it goes back to where it came from.
    """
    known = () if before is None else before.refunds
    changed = next((refund for refund in after.refunds if refund not in known), None)
    if changed is None:
        return {}
    told: dict[str, object] = {
        "refund": ids.public("ref", changed.refund_id),
        "refund_status": changed.status.value,
        "refund_amounts": {money.asset.key: str(money.units) for money in changed.amounts},
    }
    match event:
        case SignOff():
            return {**told, "goes_home": event.goes_home}
        case ApproveRefund():
            ordered = {"refund_address": changed.address, "ordered_by": changed.ordered_by}
            return {**told, **ordered, "with_sign_off": changed.with_sign_off}
        case _:
            return told


def _asking(event: Event, before: Invoice | None, after: Invoice) -> dict[str, object]:
    """What was asked for, wherever an event says or changes it."""
    if isinstance(event, Created):
        return _asked(after)
    if before is None:
        return {}
    match event:
        case Edit():
            old, new = _told_of_edits(before), _told_of_edits(after)
            changed = {name: {"from": old[name], "to": new[name]} for name in new}
            return {
                "changed": sorted(set(_changes(before, after))),
                **{name: pair for name, pair in changed.items() if pair["from"] != pair["to"]},
            }
        case Recalculate():
            return {
                "due": {"from": _dues(before), "to": _dues(after)},
                "deadline_at": {
                    "from": before.deadline_at.isoformat(),
                    "to": after.deadline_at.isoformat(),
                },
                "content_hash": after.approved_hash,
                "rule": event.rule,
            }
        case Accept():
            return {"due": _dues(after), "surplus": event.surplus, "rule": event.rule}
        case _:
            return {}


def _paying(event: Event) -> dict[str, object]:
    match event:
        case PaymentWithdrawn():
            return {"move_id": str(event.move_id)}
        case ApprovedAgain():
            return {
                "move_id": str(event.move_id),
                "generation": event.generation,
                "replaces_nonce": event.replaces_nonce,
                **_less(event),
            }
        case RedirectWithdrawn():
            return {"redirect": str(event.redirect_id)}
        case RedirectOrdered():
            listed = [str(move_id) for move_id in event.moves]
            return {**_redirect(event), **_bound(event), "moves": listed}
        case PayoutRedirected():
            moves = [
                {"from": str(old), "to": str(new), "amount_units": str(units)}
                for old, new, units in event.moves
            ]
            return {**_redirect(event), "moves": moves}
        case _:
            return {}


def _less(event: ApprovedAgain) -> dict[str, object]:
    if event.amount_units is None:
        return {}
    units = str(event.amount_units)
    return {"amount_units": units, "instead_of_units": str(event.instead_of_units)}


def _after_it(event: TokenFeeAccepted) -> dict[str, object]:
    if event.rest_move_id is None:
        return {}
    return {"rest_move_id": str(event.rest_move_id), "rest_units": str(event.rest_units)}


def _bound(event: RedirectOrdered) -> dict[str, object]:
    return {"until": event.until.isoformat(), "sealed": event.sealed}


def _redirect(event: RedirectOrdered | PayoutRedirected) -> dict[str, object]:
    redirect_id = str(event.redirect_id)
    return {"redirect": redirect_id, "destination": event.destination, "label": event.label}


def _deciding(event: Event) -> dict[str, object]:
    match event:
        case Approve():
            return {"content_hash": event.content_hash}
        case MoneyFact():
            return {
                "received": {
                    a.asset.key: {
                        "seen_units": str(a.seen_units),
                        "confirmed_units": str(a.confirmed_units),
                        "final_units": str(a.final_units),
                    }
                    for a in event.tally.everything
                }
            }
        case Screened() | StrayScreened():
            return {
                "screening_run": str(event.screening.run_id),
                "decision": event.screening.decision,
            }
        case SignOff() if event.refund_address is not None:
            return {"refund_address": event.refund_address}
        case OrderRefund():
            return {
                "refund_address": event.address,
                "attachments": [str(file_id) for file_id in event.attachment_file_ids],
            }
        case _:
            return {}


def _naming(event: Event) -> dict[str, object]:
    match event:
        case DisposeHit():
            return {
                "list": event.list_code,
                "entry_uid": event.entry_uid,
                "payer": event.payer,
                "hit": event.fingerprint,
                "evidence": [ids.public("file", one) for one in event.evidence],
            }
        case TransactionNamed():
            return {"transfer": event.transfer, "tx_hash": event.tx_hash}
        case TransactionChecked():
            found = {"transfer": event.transfer, "tx_hash": event.tx_hash}
            return {**found, "confirmed": not event.reason}
        case TokenFeeAccepted():
            return {
                "move_id": str(event.move_id),
                "arrived_units": str(event.arrived_units),
                "token_fee_units": str(event.token_fee_units),
                **_after_it(event),
            }
        case BalanceDismissed():
            units = str(event.amount_units)
            return {"address": event.address, "asset": event.asset, "amount_units": units}
        case _:
            return {}


def _asked(invoice: Invoice) -> dict[str, object]:
    """What an invoice asks for, as far as it is about money."""
    return {
        "amount": plain_text(invoice.price.amount),
        "currency": invoice.price.currency,
        "due": _dues(invoice),
        "deadline_at": invoice.deadline_at.isoformat(),
        "payout_to": dict(invoice.payout_to),
    }


def _told_of_edits(invoice: Invoice) -> dict[str, object]:
    """What a change of is told with what it was before: all that decides who pays whom what."""
    document = invoice.document
    return {
        **_asked(invoice),
        "recipient": f"{document.recipient_name} <{document.recipient_email}>",
        "settlement": invoice.settlement,
        "bank_account_id": invoice.bank_account_id,
    }


def _dues(invoice: Invoice) -> dict[str, object]:
    """What is due in each asset, and the rate it was computed with."""
    return {request.asset.key: _due(request) for request in invoice.requests}


def _due(request: PaymentRequest) -> dict[str, object]:
    quote = request.quote
    found: dict[str, object] = {"due_units": str(request.due_units)}
    if quote is not None:
        found["rate"] = {
            "pair": f"{quote.base}/{quote.quote}",
            "value": plain_text(quote.rate),
            "source": quote.source,
            "observed_at": quote.observed_at.isoformat(),
        }
    return found


def _changes(before: Invoice, after: Invoice) -> Iterator[str]:
    """The names of what an edit changed; a document's own fields one by one."""
    for one, other in ((before.document, after.document), (before, after)):
        for field in fields(one):
            name = field.name
            if name not in _NOT_ASKED_FOR and getattr(one, name) != getattr(other, name):
                yield name
