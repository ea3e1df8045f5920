"""Ordering a refund: how much of which token, to whom, why, and with which papers."""

from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath

from counterfoil.core import ids, numerals, reckoning
from counterfoil.core.errors import NotFound, Problems, Refusal
from counterfoil.core.events import OrderRefund
from counterfoil.desk import commands, files, ordering, queries
from counterfoil.desk.commands import MAX_ATTACHMENTS
from counterfoil.desk.possible import possible
from counterfoil.desk.refunding import Part
from counterfoil.pages.forms import Form, read_form
from counterfoil.studio import attached
from counterfoil.studio.attached import Papers
from counterfoil.studio.door import (
    PREFIX,
    Answer,
    PageRequest,
    confirm_with,
    desk_of,
    go,
    show,
    status_code_of,
)
from counterfoil.studio.invoice import invoice_id_of

MAX_UPLOAD_BYTES: Final = MAX_ATTACHMENTS * files.MAX_FILE_BYTES + 256 * 1024

_FIELDS: Final = ("amount", "address", "asset", "reason")

_IN_ORDER: Final = ("asset", "amount", "address", "reason", "attachments")

_DESKS_NAMES: Final = {
    "refund_amount": "amount",
    "refund_address": "address",
    "refund_token": "asset",
    "refund_chain": "asset",
    "refund_attachments": "attachments",
}
"""What the desk calls a field, to where it stands in the form."""


@dataclass(slots=True)
class _Written:
    """What stands in the form: texts, the papers that are kept for it, and what is wrong there."""

    texts: dict[str, str]
    papers: Papers = field(default_factory=Papers)
    problems: dict[str, str] = field(default_factory=dict)


@get("/invoices/{public_id:str}/refund")
async def refund_page(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """The form, with what can go back."""
    return await _page(request, invoice_id_of(public_id), _Written(dict.fromkeys(_FIELDS, "")))


@post(
    "/invoices/{public_id:str}/refund",
    status_code=303,
    request_max_body_size=MAX_UPLOAD_BYTES,
)
async def order(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Order it; a second person approves. Refused, the form keeps what was written and sent."""
    invoice_id, by = invoice_id_of(public_id), request.user.actor
    form = await read_form(request)
    written = _Written({name: form.raw(name) for name in _FIELDS})
    try:
        written.papers = await attached.keep_papers(request, form, "attachments")
        read = await _read(request, invoice_id, form, written)
        await confirm_with(request, form)
        Problems(written.problems).settle()
        await commands.order_refund(desk_of(request), invoice_id, by, **read)
    except NotFound:
        raise
    except Refusal as refusal:
        return await _page(request, invoice_id, written, refusal)
    return go(f"{PREFIX}/invoices/{public_id}", done="order_refund")


async def _read(
    request: PageRequest, invoice_id: UUID, form: Form, written: _Written
) -> dict[str, Any]:
    """What is ordered; all that is wrong with it goes to the form's problems."""
    told = Problems()
    part = told.read(lambda: _part(written.texts), None)
    read: dict[str, Any] = {
        "address": written.texts["address"].strip(),
        "reason": told.read(lambda: form.text("reason", empty=False, lines=True), ""),
        "attachments": written.papers.file_ids,
        "part": part,
    }
    view = await queries.view(desk_of(request), invoice_id, request.user.actor)
    told.found |= await ordering.look_over(
        desk_of(request),
        view,
        request.user.actor,
        address=read["address"],
        attachments=read["attachments"],
        part=part,
    )
    found = {_DESKS_NAMES.get(name, name): says for name, says in told.found.items()}
    # Why a file was not taken says more than that one is missing.
    written.problems = found | written.papers.problems
    return read


def _part(texts: dict[str, str]) -> Part | None:
    """What of the money is meant: ``symbol@chain`` and an amount, or all of it."""
    symbol, _, chain = texts["asset"].partition("@")
    amount = texts["amount"].strip()
    part = Part(
        numerals.read(amount, "refund_amount") if amount else None, symbol or None, chain or None
    )
    return None if part == Part() else part


async def _page(
    request: PageRequest,
    invoice_id: UUID,
    written: _Written,
    refusal: Refusal | None = None,
) -> Answer:
    desk, by = desk_of(request), request.user.actor
    view = await queries.view(desk, invoice_id, by)
    desks = {} if refusal is None else refusal.fields
    return show(
        request,
        "studio/refund.html",
        {
            "id": ids.public("inv", invoice_id),
            "invoice": view.invoice,
            "left": reckoning.refundable(view.invoice),
            "received": reckoning.received(view.invoice),
            "possible": OrderRefund in possible(view, by),
            "written": written.texts,
            "kept": await written.papers.shown(request),
            "most_files": MAX_ATTACHMENTS,
            "refusal": refusal,
            "problems": _in_order(
                written.problems
                | {_DESKS_NAMES.get(name, name): says for name, says in desks.items()}
            ),
        },
        status_code=200 if refusal is None else status_code_of(refusal),
    )


def _in_order(problems: dict[str, str]) -> dict[str, str]:
    """What is wrong, from the form's first field to its last."""
    places = {name: place for place, name in enumerate(_IN_ORDER)}
    return dict(sorted(problems.items(), key=lambda one: places.get(one[0], len(places))))


HANDLERS: Final = (refund_page, order)
