"""One invoice: what it is, what came in, what was done, and what the visitor may do now."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Stream

from counterfoil.core import ids, reckoning, resolution
from counterfoil.core.assets import known_asset
from counterfoil.core.errors import NotFound, Problems, Refusal
from counterfoil.core.invoice import Invoice, Status, pay_to
from counterfoil.core.lifecycle import command_name
from counterfoil.core.money import Money
from counterfoil.core.planning import INWARD, payouts_beside
from counterfoil.core.resolution import Choice
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.rules import PEOPLE_TO_DECIDE_A_HOLD
from counterfoil.desk import (
    approving,
    commands,
    compliance,
    delivering,
    homeward,
    queries,
    redirecting,
    refunding,
    reporting,
    second_look,
    token_fees,
)
from counterfoil.desk.desk import Desk
from counterfoil.desk.dossier import dossier
from counterfoil.desk.possible import possible
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.redirecting import MoveRow, Standing
from counterfoil.desk.standstill import standstill
from counterfoil.pages import shape
from counterfoil.pages.forms import Form, read_form
from counterfoil.pages.language import N_
from counterfoil.pages.render import is_fragment, stream
from counterfoil.studio import attached, compliance_pages, history
from counterfoil.studio.attached import Papers
from counterfoil.studio.door import (
    PREFIX,
    Answer,
    PageRequest,
    confirm_with,
    desk_of,
    go,
    parts_of,
    show,
    status_code_of,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One action, as its form was filled in."""

    desk: Desk
    invoice_id: UUID
    request: PageRequest
    form: Form
    papers: Papers

    @property
    def reason(self) -> str:
        """Why, which must be said."""
        return self.form.text("reason", empty=False, lines=True)

    @property
    def seen(self) -> UUID:
        """The order that the page showed; one that there is not where the form names none."""
        return self._named("seen")

    @property
    def seen_run(self) -> UUID:
        """The screening that the page told of; one that there is not where it told of none."""
        return self._named("seen_run")

    def _named(self, field_name: str) -> UUID:
        try:
            return UUID(self.form.raw(field_name))
        except ValueError:
            return UUID(int=0)


@dataclass(slots=True)
class Given:
    """A form of the page as it was given in: its action, its texts, and its kept papers."""

    action: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    papers: Papers = field(default_factory=Papers)


Give = Callable[[Asked], Awaitable[InvoiceView]]


async def _sign_off(a: Asked) -> InvoiceView:
    return await commands.sign_off(
        a.desk,
        a.invoice_id,
        a.request.user.actor,
        refund_address=a.form.raw("refund_address").strip() or None,
        refund_reason=a.form.text("reason", lines=True),
        refund_attachments=a.papers.file_ids,
    )


async def _dispose_hit(a: Asked) -> InvoiceView:
    list_code, _, entry_uid = a.form.raw("hit").partition(":")
    return await compliance.dispose(
        a.desk,
        a.invoice_id,
        a.request.user.actor,
        list_code=list_code,
        entry_uid=entry_uid,
        reason=a.reason,
        evidence=a.papers.file_ids,
    )


async def _report(a: Asked) -> InvoiceView:
    a.request.user.actor.require(Permission.REVIEW)
    return await reporting.file_report(
        a.desk,
        a.invoice_id,
        a.request.user.actor,
        reference=a.form.text("reference", max_length=reporting.REFERENCE_LENGTH, empty=False),
        reported_on=compliance_pages.day_of(a.form, "reported_on"),
    )


SIMPLE: Final[Mapping[str, Give]] = {
    "approve": lambda a: commands.approve(
        a.desk, a.invoice_id, a.request.user.actor, seen_hash=a.form.raw("content_hash")
    ),
    "reject": lambda a: commands.reject(a.desk, a.invoice_id, a.request.user.actor, a.reason),
    "cancel": lambda a: commands.cancel(a.desk, a.invoice_id, a.request.user.actor, a.reason),
    "archive": lambda a: commands.archive(a.desk, a.invoice_id, a.request.user.actor),
    "accept": lambda a: commands.accept(a.desk, a.invoice_id, a.request.user.actor, a.reason),
    "recalculate": lambda a: commands.recalculate(
        a.desk,
        a.invoice_id,
        a.request.user.actor,
        a.reason,
        hours=int(a.form.chosen("hours", HOURS)) if a.form.raw("hours") else 0,
    ),
    "release": lambda a: commands.release(a.desk, a.invoice_id, a.request.user.actor, a.reason),
    "decline": lambda a: commands.decline(a.desk, a.invoice_id, a.request.user.actor, a.reason),
    "escalate": lambda a: compliance.escalate(a.desk, a.invoice_id, a.request.user.actor, a.reason),
    "dispose_hit": _dispose_hit,
    "report": _report,
    "quarantine": lambda a: commands.quarantine(
        a.desk, a.invoice_id, a.request.user.actor, a.reason
    ),
    "take_note": lambda a: commands.take_note(
        a.desk,
        a.invoice_id,
        a.request.user.actor,
        a.form.text("reason", max_length=2000, empty=False, lines=True),
    ),
    "sign_off": _sign_off,
    "approve_refund": lambda a: commands.approve_refund(
        a.desk, a.invoice_id, a.request.user.actor, seen=a.seen, seen_run=a.seen_run
    ),
    "withdraw_refund": lambda a: commands.withdraw_refund(
        a.desk, a.invoice_id, a.request.user.actor, a.reason
    ),
    "approve_payments": lambda a: approving.approve_payments_again(
        a.desk, a.invoice_id, a.request.user.actor, a.reason
    ),
    "accept_fees": lambda a: token_fees.accept(
        a.desk, a.invoice_id, a.request.user.actor, a.reason
    ),
    "withdraw_payments": lambda a: approving.withdraw_payments(
        a.desk, a.invoice_id, a.request.user.actor, a.reason
    ),
    "redirect": lambda a: redirecting.redirect(
        a.desk,
        a.invoice_id,
        a.request.user.actor,
        address=a.form.raw("payout_address").strip(),
        reason=a.reason,
    ),
    "approve_redirect": lambda a: redirecting.approve(
        a.desk, a.invoice_id, a.request.user.actor, seen=a.seen
    ),
    "withdraw_redirect": lambda a: redirecting.withdraw(
        a.desk, a.invoice_id, a.request.user.actor, reason=a.reason
    ),
}
"""What one form with at most a reason asks for; by the command's name."""

HOURS: Final[Mapping[str, str]] = {
    "0": N_("none: what comes late waits for a decision again"),
    "1": N_("one hour"),
    "24": N_("one day"),
    "72": N_("three days"),
    "168": N_("a week"),
}
"""How long what is missing at a new price may still be paid for, as the form offers it."""

DOES: Final[Mapping[Choice, str]] = {
    Choice.ACCEPT: "accept",
    Choice.RECALCULATE: "recalculate",
    Choice.REFUND_SURPLUS: "sign_off",
    Choice.REFUND_ALL: "order_refund",
}
"""Which action carries a choice out; waiting needs nobody."""

ACCEPTED: Final = frozenset(
    {Status.SIGN_PENDING, Status.SWEEPING, Status.PAYOUT_PROCESSING, Status.COMPLETED}
)
"""Where somebody, or a rule, has taken what came as the payment."""

_VERSION_DIGITS: Final = 9

DECIDED: Final[Mapping[str, str]] = {"release": "released", "decline": "declined"}
"""What is told of a vote that was the last one needed."""

MOVES_MONEY: Final = frozenset(
    {
        "sign_off",
        "approve_refund",
        "approve_payments",
        "accept_fees",
        "redirect",
        "approve_redirect",
    }
)
"""What asks once more who is there."""

TEXTS: Final = (
    "reason",
    "refund_address",
    "payout_address",
    "hours",
    "hit",
    "reference",
    "reported_on",
)
"""What people write or choose in these forms."""

PAPERS: Final[Mapping[str, str]] = {"dispose_hit": "evidence"}
"""What the papers of an action are called, where they are none of a refund."""

_DESKS_NAMES: Final = {"refund_reason": "reason", "entry_uid": "hit"}
"""What the desk calls a field, to where it stands in the form."""


@get("/invoices/{public_id:str}")
async def detail(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """The invoice's page."""
    return await _page(request, invoice_id_of(public_id))


@get("/invoices/{public_id:str}/live")
async def live(request: PageRequest, public_id: FromPath[str]) -> Stream:
    """Tell the page whenever the invoice changed."""
    invoice_id, by = invoice_id_of(public_id), request.user.actor
    view = await queries.view(desk_of(request), invoice_id, by)
    since = request.query_params.get("since", "")[:_VERSION_DIGITS]
    known = int(since) if since.isascii() and since.isdigit() else view.invoice.version
    return stream(parts_of(request).changes.of(by.org_id, invoice_id, known))


@post(
    "/invoices/{public_id:str}/{name:str}",
    status_code=303,
    request_max_body_size=attached.MAX_UPLOAD_BYTES,
)
async def act(request: PageRequest, public_id: FromPath[str], name: FromPath[str]) -> Answer:
    """Do one thing to the invoice; refused, the page comes back with the reason on it."""
    invoice_id = invoice_id_of(public_id)
    give = SIMPLE.get(name)
    if give is None:
        raise NotFound("there is no such action")
    form = await read_form(request)
    given = Given(name, {text: form.raw(text) for text in TEXTS})
    try:
        given.papers = await attached.keep_papers(
            request, form, PAPERS.get(name, "refund_attachments")
        )
        if name in MOVES_MONEY:
            await confirm_with(request, form)
        Problems(given.papers.problems).settle()
        view = await give(Asked(desk_of(request), invoice_id, request, form, given.papers))
    except NotFound:
        raise
    except Refusal as refusal:
        return await _page(request, invoice_id, refusal, given)
    return go(f"{PREFIX}/invoices/{public_id}", done=_what_was_done(name, view.invoice))


def _what_was_done(name: str, after: Invoice) -> str:
    """What to tell of an action, by where the invoice stands then."""
    if name in DECIDED and after.status is not Status.COMPLIANCE_HOLD:
        return DECIDED[name]
    if name == "dispose_hit" and len(after.disposals[-1].people) >= PEOPLE_TO_DECIDE_A_HOLD:
        return "disposed"
    if name == "recalculate" and not resolution.is_priced_by_rate(after):
        return "more_time"
    waits = name == "sign_off" and after.status is Status.REFUND_PENDING
    return "sign_off_waits" if waits else name


async def _page(
    request: PageRequest,
    invoice_id: UUID,
    refusal: Refusal | None = None,
    given: Given | None = None,
) -> Answer:
    given, by = given or Given(), request.user.actor
    found = await dossier(desk_of(request), invoice_id, by)
    actions = _suggested_first(found.view, by)
    standing = await redirecting.standing(desk_of(request), found.view, by)
    waits = None if standing else await standstill(desk_of(request), found.view)
    return show(
        request,
        "studio/invoice_live.html" if is_fragment(request) else "studio/invoice.html",
        {
            **shown(found.view),
            "found": found,
            "history": history,
            "changes": [e for e, _ in found.entries if e.event == "edit"]
            if found.view.invoice.status is Status.APPROVAL_PENDING
            else (),
            "standing": standing,
            "waits": waits,
            "parked": [] if standing is None else with_amounts(standing),
            "refusal": refusal,
            "given": given,
            "kept": await given.papers.shown(request),
            "problems": {
                _DESKS_NAMES.get(name, name): says
                for name, says in (given.papers.problems | dict(refusal.fields)).items()
            }
            if refusal
            else {},
            "actions": actions,
            "moves_money": MOVES_MONEY,
            "unsaid": _without_a_button(found.view, actions),
            **await compliance_pages.shown(request, found.view),
            "shows_names": Permission.REVIEW in by.permissions,
            "payment_page_url": request.app.state.pay_links.address(found.view.invoice),
            "event_id_of": partial(ids.public, "evt"),
        },
        status_code=200 if refusal is None else status_code_of(refusal),
    )


@post("/invoices/{public_id:str}/callbacks/{event_id:str}", status_code=303)
async def redeliver(
    request: PageRequest, public_id: FromPath[str], event_id: FromPath[str]
) -> Answer:
    """Have a callback sent once more."""
    invoice_id, wanted = invoice_id_of(public_id), ids.parse("evt", event_id)
    told = await delivering.of_invoice(desk_of(request), invoice_id, request.user.actor)
    if wanted is None or wanted not in {one.event.event_id for one in told}:
        raise NotFound("there is no such callback")
    try:
        await delivering.redeliver(desk_of(request), wanted, request.user.actor)
    except Refusal as refusal:
        return await _page(request, invoice_id, refusal)
    return go(f"{PREFIX}/invoices/{public_id}", done="redeliver")


def shown(view: InvoiceView) -> dict[str, Any]:
    """What templates show of an invoice."""
    invoice = view.invoice
    choices = resolution.choices(invoice, view.read_at)
    consequences = {c: _numbers(view, c) for c in choices}
    gives_time_only = not resolution.is_priced_by_rate(invoice)
    return {
        "id": ids.public("inv", invoice.invoice_id),
        "view": view,
        "invoice": invoice,
        "payable_at": [(r, pay_to(invoice, r.asset)) for r in invoice.requests],
        "choices": choices,
        "suggested": resolution.suggested(invoice, view.read_at),
        "consequences": consequences,
        "gives_time_only": gives_time_only,
        "hours": {h: says for h, says in HOURS.items() if h != "0" or not gives_time_only},
        "proposed_hours": next(
            (h for h in HOURS if int(h) * 3600 >= invoice.policy.receipt_window_seconds), "168"
        ),
        "comes_to": {DOES[c]: numbers for c, numbers in consequences.items() if c in DOES},
        "holdings": reckoning.holdings(invoice),
        "to_return": resolution.to_return(invoice),
        "home": homeward.home(invoice, view.transfers, view.moves),
        "to_pay_out": payouts_beside(invoice, resolution.to_return(invoice)),
        "orders": second_look.orders(view),
        "refunds_stand": {
            r.refund_id: refunding.progress_of(r, view.moves) for r in invoice.refunds
        },
        "refunds_returned": {
            r.refund_id: refunding.returned(r, view.moves) for r in invoice.refunds
        },
        "sums": _sums(invoice),
        "sent": sorted((m for m in view.moves if m.tx_hash), key=_place),
    }


def _suggested_first(view: InvoiceView, by: Actor) -> list[str]:
    actions = [command_name(c) for c in possible(view, by)]
    choice = resolution.suggested(view.invoice, view.read_at)
    wanted = None if choice is None else DOES.get(choice)
    return sorted(actions, key=lambda name: name != wanted)


def _without_a_button(view: InvoiceView, actions: Sequence[str]) -> list[Choice]:
    """The choices that no button says: waiting, and what is for others to do."""
    best = resolution.suggested(view.invoice, view.read_at)
    return [
        choice
        for choice in resolution.choices(view.invoice, view.read_at)
        if choice is not best and DOES.get(choice) not in actions
    ]


def _sums(invoice: Invoice) -> list[tuple[str, tuple[Money, ...]]]:
    """Where the money is, once some has come; what is nothing is left out."""
    came = reckoning.received(invoice)
    if not came:
        return []
    sums = [
        (N_("Received"), came),
        (N_("Paid out"), reckoning.paid_out(invoice)),
        (N_("Sent back"), reckoning.returned(invoice)),
        (N_("Kept by its token, as a fee"), reckoning.token_fees(invoice)),
        (N_("With us now"), reckoning.holdings(invoice)),
    ]
    if invoice.status is Status.RESOLUTION_REQUIRED:
        sums.append((N_("Still missing"), reckoning.missing(invoice)[:1]))
        sums.append((N_("More than was due"), reckoning.surplus(invoice)))
    elif invoice.status in ACCEPTED:
        sums.append((N_("Missing, and accepted as it is"), reckoning.shortfall(invoice)[:1]))
    return [(name, amounts) for name, amounts in sums if amounts]


def _numbers(view: InvoiceView, choice: Choice) -> list[str]:
    """What a choice comes to, in amounts."""
    invoice = view.invoice
    match choice:
        case Choice.ACCEPT | Choice.REFUND_ALL:
            return [shape.money(money) for money in reckoning.holdings(invoice)]
        case Choice.REFUND_SURPLUS:
            return [shape.money(money) for money in reckoning.surplus(invoice)]
        case Choice.WAIT:
            return [shape.money(money) for money in reckoning.missing(invoice)[:1]]
        case Choice.RECALCULATE if not resolution.is_priced_by_rate(invoice):
            return [shape.money(money) for money in reckoning.missing(invoice)[:1]]
        case Choice.RECALCULATE:
            return [shape.amount(r.due_units, r.asset) for r in view.repriced[:1]]


def _place(move: MoveRow) -> tuple[datetime, bool, int]:
    """Where a movement stands among others: of those planned at once, what is collected first."""
    return move.created_at, move.purpose not in INWARD, move.leg


def with_amounts(standing: Standing) -> list[tuple[MoveRow, Money, Money, Money | None]]:
    """Each payment that stands still: what was to be paid, what arrived, what could be paid.

    The last is None where it is not a token's fee that it is larger than.
    """
    payable = {move.move_id: units for move, units in standing.short.less}
    assets = ((move, known_asset(move.chain, move.contract)) for move in standing.parked)
    return [
        (
            move,
            Money(move.amount_units, asset),
            Money(move.moved_units or 0, asset),
            Money(payable[move.move_id], asset) if move.move_id in payable else None,
        )
        for move, asset in assets
        if asset is not None
    ]


def invoice_id_of(public_id: str) -> UUID:
    """The id in a path; anything else is an invoice that does not exist."""
    found = ids.parse("inv", public_id)
    if found is None:
        raise NotFound("there is no such invoice")
    return found


HANDLERS: Final = (detail, live, act, redeliver)
