"""What people decide about one invoice: ``POST /invoice/intent/{id}/<name>``, one row each.

The rows make the routes and their part of the OpenAPI document. ``cancel`` to ``refund`` are
those of sources/kryptogo-invoice-payout-api.txt; the others are ours, for statuses that could
not be left without them.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from counterfoil.api.fields import Field, Schema, read_fields
from counterfoil.api.kryptogo import schema
from counterfoil.api.kryptogo.auth import StudioRequest, needs
from counterfoil.api.kryptogo.examples import (
    ATTACH_EXAMPLE,
    DISPOSITION_EXAMPLE,
    EXAMPLE_ADDRESS,
    EXAMPLE_FILE_ID,
    REFUND_EXAMPLE,
)
from counterfoil.api.kryptogo.requests import (
    Answer,
    by_of,
    desk_of,
    intent,
    invoice_id_of,
    once,
    read_body,
)
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.resolution import Choice
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.strict_json import canonical
from counterfoil.desk import (
    approving,
    attaching,
    commands,
    compliance,
    queries,
    redirecting,
    reporting,
    token_fees,
)
from counterfoil.desk.desk import Desk
from counterfoil.desk.idempotency import Idempotent
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.standstill import standstill

P = Permission


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for an action, read: who asks what of which invoice, and with which fields."""

    desk: Desk
    invoice_id: UUID
    by: Actor
    fields: dict[str, Any]
    key: Idempotent | None

    @property
    def reason(self) -> str:
        """Why, as far as it was said."""
        found: str = self.fields.get("reason", "")
        return found


@dataclass(frozen=True, slots=True)
class Action:
    """One action: what it is called, who may, what it takes, and the command that it gives.

    ``example`` is a body that it takes; None where it takes none.
    """

    name: str
    operation: str
    summary: str
    permission: Permission
    fields: tuple[Field, ...]
    example: Schema | None
    give: Callable[[Asked], Awaitable[InvoiceView]]


ACTIONS: Final = (
    Action(
        "cancel",
        "cancelInvoice",
        "Call an invoice off before any money came",
        P.CREATE,
        schema.CANCEL_FIELDS,
        {"reason": "Cancelled by initiator"},
        lambda a: commands.cancel(a.desk, a.invoice_id, a.by, a.reason, a.key),
    ),
    Action(
        "approve",
        "approveInvoice",
        "Let an invoice be paid",
        P.APPROVE,
        schema.APPROVE_FIELDS,
        {},
        lambda a: commands.approve(
            a.desk,
            a.invoice_id,
            a.by,
            seen_hash=a.fields.get("content_hash"),
            idempotent=a.key,
        ),
    ),
    Action(
        "reject",
        "rejectInvoice",
        "Refuse an invoice, saying why",
        P.APPROVE,
        schema.REJECT_FIELDS,
        {"reason": "Recipient information does not match our records."},
        lambda a: commands.reject(a.desk, a.invoice_id, a.by, a.reason, a.key),
    ),
    Action(
        "sign",
        "signInvoice",
        "Accept the money; an overpaid invoice needs refund_address",
        P.SIGN,
        schema.SIGN_FIELDS,
        {
            "refund_address": EXAMPLE_ADDRESS,
            "refund_reason": "Overpaid invoice refund",
            "refund_attachments": [EXAMPLE_FILE_ID],
        },
        lambda a: commands.sign_off(
            a.desk,
            a.invoice_id,
            a.by,
            refund_address=a.fields.get("refund_address"),
            refund_reason=a.fields.get("refund_reason", ""),
            refund_attachments=tuple(a.fields.get("refund_attachments", ())),
            idempotent=a.key,
        ),
    ),
    Action(
        "refund",
        "refundInvoice",
        "Ask for money to be sent back, all that is left or a part; a second person approves",
        P.SIGN,
        schema.REFUND_FIELDS,
        REFUND_EXAMPLE,
        lambda a: commands.order_refund(
            a.desk,
            a.invoice_id,
            a.by,
            address=a.fields["refund_address"],
            reason=a.fields["refund_reason"],
            attachments=tuple(a.fields["refund_attachments"]),
            part=schema.refund_part(a.fields),
            idempotent=a.key,
        ),
    ),
    Action(
        "refund/approve",
        "approveRefund",
        "Let an ordered refund go out; by somebody else than who ordered it",
        P.SIGN,
        schema.APPROVE_REFUND_FIELDS,
        {},
        lambda a: commands.approve_refund(
            a.desk,
            a.invoice_id,
            a.by,
            a.key,
            seen=schema.refund_seen(a.fields),
            seen_run=schema.screening_seen(a.fields),
        ),
    ),
    Action(
        "refund/withdraw",
        "withdrawRefund",
        "Call an ordered refund off, as long as none of it was sent",
        P.SIGN,
        schema.WITHDRAW_FIELDS,
        {"reason": "Ordered twice by mistake."},
        lambda a: commands.withdraw_refund(a.desk, a.invoice_id, a.by, a.reason, a.key),
    ),
    Action(
        "release",
        "releaseInvoice",
        "Let held money go on; people_needed tells how many people have to say so",
        P.REVIEW,
        schema.DECISION_FIELDS,
        {"reason": "Source of funds documented; see case 2026-17."},
        lambda a: commands.release(a.desk, a.invoice_id, a.by, a.reason, a.key),
    ),
    Action(
        "decline",
        "declineInvoice",
        "Refuse held money for good; two people have to say so",
        P.REVIEW,
        schema.DECISION_FIELDS,
        {"reason": "The sender is on a sanctions list."},
        lambda a: commands.decline(a.desk, a.invoice_id, a.by, a.reason, a.key),
    ),
    Action(
        "escalate",
        "escalateInvoice",
        "Have money held that was only to be looked at, so that more people release it",
        P.REVIEW,
        schema.DECISION_FIELDS,
        {"reason": "The sender's papers contradict each other; see case 2026-19."},
        lambda a: compliance.escalate(a.desk, a.invoice_id, a.by, a.reason, a.key),
    ),
    Action(
        "disposition",
        "disposeHit",
        "Say that a hit on a list means somebody else; two people have to, with evidence",
        P.REVIEW,
        schema.DISPOSITION_FIELDS,
        DISPOSITION_EXAMPLE,
        lambda a: compliance.dispose(
            a.desk,
            a.invoice_id,
            a.by,
            list_code=a.fields["list"],
            entry_uid=a.fields["entry_uid"],
            reason=a.reason,
            evidence=tuple(a.fields.get("evidence", ())),
            idempotent=a.key,
        ),
    ),
    Action(
        "report",
        "fileReport",
        "Write down that the payment was reported to an authority, for compliance only",
        P.REVIEW,
        schema.REPORT_FIELDS,
        {"reference": "MJIB 1141000123", "reported_on": "2026-06-22"},
        lambda a: reporting.file_report(
            a.desk,
            a.invoice_id,
            a.by,
            reference=a.fields["reference"],
            reported_on=a.fields["reported_on"],
            idempotent=a.key,
        ),
    ),
    Action(
        "quarantine",
        "quarantineInvoice",
        "Have held or refused money taken from its deposit address to the quarantine wallet",
        P.REVIEW,
        schema.DECISION_FIELDS,
        {"reason": "Stolen funds reported by the exchange; see case 2026-18."},
        lambda a: commands.quarantine(a.desk, a.invoice_id, a.by, a.reason, a.key),
    ),
    Action(
        "note",
        "noteOnInvoice",
        "Write something down about held money, for compliance only",
        P.REVIEW,
        schema.NOTE_FIELDS,
        {"text": "Asked the sender for a proof of funds."},
        lambda a: commands.take_note(a.desk, a.invoice_id, a.by, a.fields["text"], a.key),
    ),
    Action(
        "accept",
        "acceptPayment",
        "Take a payment as it is, though it is short or came late; it still has to be signed for",
        P.SIGN,
        schema.ACCEPT_FIELDS,
        {"reason": "The customer told us about the bank fee."},
        lambda a: commands.accept(a.desk, a.invoice_id, a.by, a.reason, a.key),
    ),
    Action(
        "resolve",
        "resolvePayment",
        "Choose what is done about a payment of the wrong amount, time or kind",
        P.SIGN,
        schema.RESOLVE_FIELDS,
        {"choice": "recalculate", "reason": "Paid two days late."},
        lambda a: commands.resolve(
            a.desk,
            a.invoice_id,
            a.by,
            Choice(a.fields["choice"]),
            reason=a.reason,
            refund_address=a.fields.get("refund_address"),
            attachments=tuple(a.fields.get("refund_attachments", ())),
            hours=a.fields.get("hours", 0),
            idempotent=a.key,
        ),
    ),
    Action(
        "attach",
        "attachTransaction",
        "Name the transaction of a payment in native coin that came from inside one",
        P.REVIEW,
        schema.ATTACH_FIELDS,
        ATTACH_EXAMPLE,
        lambda a: attaching.attach(
            a.desk,
            a.invoice_id,
            a.by,
            transfer=a.fields["transfer"],
            tx_hash=a.fields["tx_hash"],
            reason=a.reason,
            idempotent=a.key,
        ),
    ),
    Action(
        "payments/approve",
        "approvePaymentsAgain",
        "Let parked payments go out after all, once it is certain that they were not made",
        P.SIGN,
        schema.DECISION_FIELDS,
        {"reason": "It reverted: the issuer had frozen our address, and has lifted that."},
        lambda a: approving.approve_payments_again(a.desk, a.invoice_id, a.by, a.reason, a.key),
    ),
    Action(
        "payments/withdraw",
        "withdrawPayments",
        "Give up parked payments that can never be made, so that their money may go another way",
        P.SIGN,
        schema.DECISION_FIELDS,
        {"reason": "The issuer blocked the receiver; the customer named another address."},
        lambda a: approving.withdraw_payments(a.desk, a.invoice_id, a.by, a.reason, a.key),
    ),
    Action(
        "payments/accept",
        "acceptTokenFees",
        "Let payments go on, or end, with what is left of them where a token kept a part",
        P.SIGN,
        schema.DECISION_FIELDS,
        {"reason": "The issuer takes a fee since today; we bear it."},
        lambda a: token_fees.accept(a.desk, a.invoice_id, a.by, a.reason, a.key),
    ),
    Action(
        "payments/redirect",
        "redirectPayouts",
        "Pay parked payouts out to another registered address, once they can never be made",
        P.SIGN,
        schema.REDIRECT_FIELDS,
        {
            "payout_address": EXAMPLE_ADDRESS,
            "reason": "The issuer has frozen the first address for good.",
        },
        lambda a: redirecting.redirect(
            a.desk,
            a.invoice_id,
            a.by,
            address=a.fields["payout_address"],
            reason=a.reason,
            idempotent=a.key,
        ),
    ),
    Action(
        "payments/redirect/approve",
        "approveRedirectedPayouts",
        "Let payouts go to another address as ordered, within seven days and by somebody else",
        P.SIGN,
        schema.APPROVE_REDIRECT_FIELDS,
        {},
        lambda a: redirecting.approve(
            a.desk, a.invoice_id, a.by, a.key, seen=schema.redirect_seen(a.fields)
        ),
    ),
    Action(
        "payments/redirect/withdraw",
        "withdrawRedirectedPayouts",
        "Call such an order off, as long as nobody has approved it",
        P.SIGN,
        schema.DECISION_FIELDS,
        {"reason": "The first address works again."},
        lambda a: redirecting.withdraw(
            a.desk, a.invoice_id, a.by, reason=a.reason, idempotent=a.key
        ),
    ),
    Action(
        "archive",
        "archiveInvoice",
        "Put an ended invoice out of sight",
        P.CREATE,
        (),
        None,
        lambda a: commands.archive(a.desk, a.invoice_id, a.by, a.key),
    ),
)


def handlers() -> tuple[HTTPRouteHandler, ...]:
    """The routes of all actions."""
    return tuple(_handler(action) for action in ACTIONS)


async def _explained(request: StudioRequest, invoice_id: UUID, refused: OutOfPlace) -> OutOfPlace:
    """A refusal that tells beside the status what stands still of the invoice."""
    if "status" not in refused.data:
        return refused
    desk = desk_of(request)
    view = await queries.view(desk, invoice_id, by_of(request))
    found = await standstill(desk, view, _CALLED)
    if found is None:
        return refused
    told = {
        "happened": found.happened,
        "money": found.money,
        "who": found.who,
        "actions": [_CALLED[name] for name in found.actions],
        "by_itself": found.by_itself,
    }
    return OutOfPlace(refused.message, data={**refused.data, "stands_still": told})


_CALLED: Final = {
    "accept_fees": "payments/accept",
    "approve_payments": "payments/approve",
    "approve_redirect": "payments/redirect/approve",
    "redirect": "payments/redirect",
    "withdraw_payments": "payments/withdraw",
}
"""What this API calls what may be done about payments that stand still."""


def _handler(action: Action) -> HTTPRouteHandler:
    path = f"/invoice/intent/{{intent_id:str}}/{action.name}"

    @post(path, opt=needs(action.permission), status_code=200)
    async def act(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
        invoice_id = invoice_id_of(intent_id)
        body = await read_body(request)
        found = read_fields(body, action.fields)

        def give(key: Idempotent | None) -> Awaitable[InvoiceView]:
            return action.give(Asked(desk_of(request), invoice_id, by_of(request), found, key))

        try:
            return await once(request, partial(canonical, body), give, intent(request))
        except OutOfPlace as refused:
            raise await _explained(request, invoice_id, refused) from None

    return act
