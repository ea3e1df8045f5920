"""Writing an invoice: a new one, a copy, or a change of one that nobody has approved yet."""

import hashlib
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath

from counterfoil.core import bank, bounds, ids, lookalike
from counterfoil.core.assets import CHAINS, SYMBOLS
from counterfoil.core.errors import Conflict, Invalid, OutOfPlace, Refusal
from counterfoil.core.events import Edit
from counterfoil.core.roles import Permission
from counterfoil.desk import directory, drafting, intake, queries
from counterfoil.desk.bank_accounts import BankAccount
from counterfoil.desk.drafting import Offered, Recipient
from counterfoil.desk.idempotency import HEADER, Answered, Idempotent
from counterfoil.desk.intake import Asked, Draft, draft_of
from counterfoil.desk.possible import possible
from counterfoil.desk.queries import InvoiceView
from counterfoil.pages.forms import read_form
from counterfoil.pages.render import is_fragment
from counterfoil.pages.shape import short
from counterfoil.studio import attached
from counterfoil.studio.door import (
    PREFIX,
    Answer,
    PageRequest,
    desk_of,
    go,
    parts_of,
    show,
    status_code_of,
)
from counterfoil.studio.draft_form import Typed, fingerprint, read, typed_from, typed_in
from counterfoil.studio.draft_lines import BLANK_ITEM, FIRST_ROWS, sums
from counterfoil.studio.invoice import invoice_id_of

NEW: Final = f"{PREFIX}/invoices/new"

_DESKS_NAMES: Final = {
    "amount": "items",
    "detail_items": "items",
    "currency": "price_in",
    "payout_addresses.evm": "payout_address",
    "attachment.file_id": "attachment",
    "file": "attachment",
}
"""What the desk calls a field, to where it stands in the form."""


_WHOLE: Final = {
    "HX-Retarget": "#content",
    "HX-Reselect": "#content",
    "HX-Reswap": "outerHTML show:none",
}


@get("/invoices/new")
async def new(request: PageRequest) -> Answer:
    """A form to fill in: like the last invoice where that spares typing, or a copy of another."""
    desk, by = desk_of(request), request.user.actor
    offered, zone = await drafting.offered(desk, by), request.user.session.time_zone
    source = request.query_params.get("from", "")
    if source:
        view = await queries.view(desk, invoice_id_of(source), by)
        typed = _copied(draft_of(view.invoice), zone)
    else:
        typed = _first(offered, request)
    if wanted := ids.parse("rcp", request.query_params.get("recipient", "")):
        chosen = await directory.one(desk, wanted, by)
        typed = typed.with_values(recipient_name=chosen.name, recipient_email=chosen.email)
    typed = typed.with_values(form_key=str(desk.ids.new()), zone=zone)
    return await _form(request, offered, typed)


@post("/invoices/new", status_code=303, request_max_body_size=attached.MAX_UPLOAD_BYTES)
async def create(request: PageRequest) -> Answer:
    """What the form asks for next: another line, a preview, or the invoice itself."""
    return await _answer(request, None)


@get("/invoices/{public_id:str}/edit")
async def change(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """The form filled in with what an invoice asks for."""
    view = await _changeable(request, public_id)
    offered = await drafting.offered(desk_of(request), request.user.actor)
    draft = draft_of(view.invoice)
    return await _form(
        request,
        offered,
        typed_from(draft, request.user.session.time_zone).with_values(seen=fingerprint(draft)),
        view,
    )


@post(
    "/invoices/{public_id:str}/edit",
    status_code=303,
    request_max_body_size=attached.MAX_UPLOAD_BYTES,
)
async def edit(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """What the form asks for next, for an invoice that exists."""
    return await _answer(request, await _changeable(request, public_id))


@post("/invoices/sums", status_code=200)
async def add_up(request: PageRequest) -> Answer:
    """What the lines come to; asked for while somebody types."""
    request.user.actor.require(Permission.CREATE)
    typed = typed_in(await read_form(request))
    values = {"typed": typed, "sums": sums(typed.items, typed.unit)}
    return show(request, "studio/draft_sums.html", values)


@get("/recipients")
async def offered_recipients(request: PageRequest) -> Answer:
    """Earlier recipients whose name or e-mail has what somebody types, and what it looks like."""
    desk, by = desk_of(request), request.user.actor
    query = request.query_params
    name = query.get("recipient_name", "")[: bounds.NAME_LENGTH]
    wanted = (name or query.get("recipient_email", ""))[: bounds.NAME_LENGTH]
    found = await drafting.recipients(desk, wanted.strip(), by)
    warning = await _warning(request, name) if name.strip() else None
    values = {"recipients": found, "warning": warning}
    return show(request, "studio/draft_recipients.html", values)


async def _answer(request: PageRequest, view: InvoiceView | None) -> Answer:
    form = await read_form(request)
    offered = await drafting.offered(desk_of(request), request.user.actor)
    typed = typed_in(form)
    if not typed["zone"]:
        typed = typed.with_values(zone=request.user.session.time_zone)
    do = form.raw("do")
    looked_over: Asked | None = None
    goes_on_in: int | None = None
    try:
        attachment = await attached.uploaded(request, form)
        typed = typed.with_values(**({"attachment": attachment} if attachment else {}))
        if do == "add":
            typed = typed.with_row()
            goes_on_in = len(typed.items) - 1
        elif do.startswith("remove-"):
            gone = int(do[7:10]) if do[7:].isdecimal() else -1
            typed = typed.without_row(gone)
            goes_on_in = min(gone, len(typed.items) - 1)
        elif do == "detach":
            typed = typed.with_values(attachment="")
        elif do == "preview":
            looked_over = await _looked_over(request, typed, view)
        elif do == "save":
            await _check_name(request, typed, meant=form.checked("meant"))
            return await _save(request, typed, view)
    except Refusal as refusal:
        return await _form(request, offered, typed, view, refusal=refusal)
    return await _form(
        request, offered, typed, view, looked_over=looked_over, goes_on_in=goes_on_in
    )


async def _looked_over(request: PageRequest, typed: Typed, view: InvoiceView | None) -> Asked:
    desk, by, draft = desk_of(request), request.user.actor, _read(request, typed)
    if view is None:
        return await intake.look_over(desk, draft, by)
    change = _change_to(draft, typed["seen"])
    return await intake.look_over_change(desk, view.invoice.invoice_id, change, by)


async def _save(request: PageRequest, typed: Typed, view: InvoiceView | None) -> Answer:
    desk, by = desk_of(request), request.user.actor
    draft = _read(request, typed)
    if view is not None:
        await intake.edit(desk, view.invoice.invoice_id, _change_to(draft, typed["seen"]), by)
        return go(_address(view.invoice.invoice_id), done="edit")
    idempotent = Idempotent(
        member_id=request.user.session.member_id,
        key=f"studio:{typed['form_key'][:64]}",
        fingerprint=hashlib.sha256(repr(draft).encode()).digest(),
        render=lambda made: (200, made.invoice.invoice_id.bytes),
    )
    try:
        made = await intake.create(desk, draft, by, idempotent)
    except Answered as earlier:
        return go(_address(UUID(bytes=earlier.body)), done="create")
    except Invalid as refused:
        if HEADER in refused.fields:
            raise Conflict(
                "this form was sent before and made an invoice; open a new form for another one"
            ) from None
        raise
    return go(_address(made.invoice.invoice_id), done="create")


def _change_to(draft: Draft, seen: str) -> intake.Change:
    """What the form asks for, kept to what it can change, unless somebody was quicker."""

    def to(before: Draft) -> Draft:
        if fingerprint(before) != seen:
            raise Conflict(
                "somebody changed this invoice after you opened it; nothing was saved. Look at it"
                " and open the form again"
            )
        return replace(
            draft,
            dialect=before.dialect,
            creator=before.creator,
            callback_url=before.callback_url,
            swap_enabled=before.swap_enabled,
            use_fixed_stablecoin_rate=before.use_fixed_stablecoin_rate,
        )

    return to


def _read(request: PageRequest, typed: Typed) -> Draft:
    return read(
        typed,
        creator=request.user.session.name,
        allow_private_callbacks=parts_of(request).allow_private_callbacks,
    )


async def _changeable(request: PageRequest, public_id: str) -> InvoiceView:
    """An invoice that this member may change now; raises `OutOfPlace` and `Forbidden`."""
    by = request.user.actor
    view = await queries.view(desk_of(request), invoice_id_of(public_id), by)
    by.require(Permission.CREATE)
    if Edit not in possible(view, by):
        raise OutOfPlace("this invoice cannot be changed any more; make a copy instead")
    return view


async def _check_name(request: PageRequest, typed: Typed, *, meant: bool) -> None:
    """Have somebody look twice at a name that is drawn like another one (T22)."""
    warning = None if meant else await _warning(request, typed["recipient_name"])
    if warning is not None:
        raise Invalid.field("recipient_name", "only looks like a name that you know; look twice")


async def _warning(request: PageRequest, name: str) -> Recipient | str | None:
    """The recipient that a name may be taken for, or the name itself where it mixes scripts."""
    known = await drafting.taken_for(desk_of(request), name, request.user.actor)
    return known or (name if lookalike.mixes_scripts(name) else None)


async def _form(  # noqa: PLR0913 - the form, and what is said about it
    request: PageRequest,
    offered: Offered,
    typed: Typed,
    view: InvoiceView | None = None,
    *,
    refusal: Refusal | None = None,
    looked_over: Asked | None = None,
    goes_on_in: int | None = None,
) -> Answer:
    desk, by = desk_of(request), request.user.actor
    fields = {} if refusal is None else refusal.fields
    name = typed["recipient_name"].strip()[: bounds.NAME_LENGTH]
    values: dict[str, Any] = {
        "typed": typed,
        "sums": sums(typed.items, typed.unit),
        "offered": offered,
        "recipients": await drafting.recipients(desk, "", by),
        "warning": await _warning(request, name) if name else None,
        "attachment": typed["attachment"],
        "attachment_name": await _attachment_name(request, typed["attachment"]),
        "problem": fields.get("file", ""),
        "view": view,
        "invoice": None if view is None else view.invoice,
        "action": NEW if view is None else f"{_address(view.invoice.invoice_id)}/edit",
        "refusal": refusal,
        "problems": {_DESKS_NAMES.get(field, field): told for field, told in fields.items()},
        "asked": looked_over,
        "goes_on_in": goes_on_in,
        "id": "" if view is None else ids.public("inv", view.invoice.invoice_id),
        "chains": [(key, CHAINS[key].name) for key in desk.chains],
        "tokens": [(symbol, symbol) for symbol in SYMBOLS],
        "payouts": _payout_choices(request, offered, typed["payout_address"]),
        "accounts": [(str(one.bank_account_id), _named(one)) for one in offered.bank_accounts],
    }
    status_code = 200 if refusal is None else status_code_of(refusal)
    # What is wrong stands at the fields, so all of the form comes back and not the preview alone.
    headers = _WHOLE if refusal is not None and is_fragment(request) else None
    return show(request, "studio/draft.html", values, status_code=status_code, headers=headers)


def _payout_choices(request: PageRequest, offered: Offered, typed: str) -> list[tuple[str, str]]:
    """Addresses with their names and chains; one that is not among them stays what it is."""
    chains = [CHAINS[key] for key in desk_of(request).chains]
    found = [
        (one.address, f"{one.label}: {short(one.address)} ({names})")
        for one in offered.registered
        if (names := ", ".join(c.name for c in chains if c.family == one.family))
    ]
    known = {address for address, _ in found}
    others = [*offered.payout_addresses, *([typed] if offered.registered_only and typed else [])]
    return [*found, *((address, address) for address in others if address not in known)]


async def _attachment_name(request: PageRequest, attachment: str) -> str:
    try:
        return await attached.name_of(request, attachment)
    except Refusal:
        return ""


def _named(account: BankAccount) -> str:
    end = bank.masked(account.account_number) if account.account_number else ""
    return f"{account.label} ({account.currency}) {end}".strip()


def _first(offered: Offered, request: PageRequest) -> Typed:
    """A blank form, but for what the newest invoice says that the next one will say, too."""
    blank = (BLANK_ITEM,) * FIRST_ROWS
    if offered.latest is None:
        values = {"origin": _leads_back(offered, parts_of(request).public_url)}
        values |= {"price_in": "USD"}
        values |= {"pay_token": "USDC", "chain": desk_of(request).chains[0], "due": "days"}
        values |= {"payment_terms": "30", "payment_method_type": "crypto"}
        values |= {"payout_address": offered.default}
        return Typed(values, blank)
    like = typed_from(offered.latest, request.user.session.time_zone)
    own = {"recipient_name": "", "recipient_email": "", "description": "", "attachment": ""}
    own |= {"organization_name": "", "organization_email": ""}
    own |= {"order_data": "", "group_key": "", "invoice_issue_date": "", "payment_deadline": ""}
    own |= {"deadline_at": ""}
    own |= {"due": "days" if like["due"] == "deadline" else like["due"]}
    own |= {"origin": _leads_back(offered, like["origin"])}
    known = {one.address for one in offered.registered}
    kept = not offered.registered_only or like["payout_address"] in known
    own |= {"payout_address": offered.default or (like["payout_address"] if kept else "")}
    return replace(like.with_values(**own), items=blank)


def _leads_back(offered: Offered, url: str) -> str:
    """This address, or the first that customers may be led back to instead."""
    rules = offered.leads_back
    return url if rules.allows(url) or not rules.origins else rules.origins[0]


def _copied(draft: Draft, zone: str) -> Typed:
    """The same again, from today on: dates and the merchant's own reference are the copy's own."""
    like = typed_from(draft, zone)
    due = "days" if like["due"] == "deadline" else like["due"]
    blank = dict.fromkeys(
        ("payment_deadline", "deadline_at", "invoice_issue_date", "order_data"), ""
    )
    return like.with_values(due=due, **blank)


def _address(invoice_id: UUID) -> str:
    return f"{PREFIX}/invoices/{ids.public('inv', invoice_id)}"


HANDLERS: Final = (new, create, change, edit, add_up, offered_recipients)
