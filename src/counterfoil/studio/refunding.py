"""Ordering a refund: how much of which token, to whom, why, and with which papers."""

from typing import Any, Final
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath

from counterfoil.core import ids, reckoning
from counterfoil.core.errors import Invalid, NotFound, Refusal
from counterfoil.core.events import OrderRefund
from counterfoil.core.money import parse_decimal
from counterfoil.desk import commands, files, queries
from counterfoil.desk.commands import MAX_ATTACHMENTS
from counterfoil.desk.possible import possible
from counterfoil.desk.refunding import Part
from counterfoil.pages.forms import Form, read_form
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

NOTHING_WRITTEN: Final = {"amount": "", "address": "", "reason": "", "asset": "", "file_ids": []}


@get("/invoices/{public_id:str}/refund")
async def refund_page(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """The form, with what can go back."""
    return await _page(request, invoice_id_of(public_id), dict(NOTHING_WRITTEN))


@post(
    "/invoices/{public_id:str}/refund",
    status_code=303,
    request_max_body_size=MAX_UPLOAD_BYTES,
)
async def order(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Order it; a second person approves. Refused, the form keeps what was written and sent."""
    invoice_id = invoice_id_of(public_id)
    form = await read_form(request)
    written: dict[str, Any] = {name: form.raw(name) for name in ("amount", "address", "asset")}
    written |= {"reason": form.raw("reason"), "file_ids": []}
    try:
        written["file_ids"] = kept = await _attachments(request, form)
        await confirm_with(request, form)
        await commands.order_refund(
            desk_of(request),
            invoice_id,
            request.user.actor,
            address=form.raw("address").strip(),
            reason=form.text("reason", empty=False, lines=True),
            attachments=tuple(ids.parse("file", one) or UUID(int=0) for one in kept),
            part=_part(written),
        )
    except NotFound:
        raise
    except Refusal as refusal:
        return await _page(request, invoice_id, written, refusal)
    return go(f"{PREFIX}/invoices/{public_id}", done="order_refund")


async def _attachments(request: PageRequest, form: Form) -> list[str]:
    """The papers: those sent with an earlier, refused attempt, and those sent now."""
    earlier = form.all("file_id", at_most=MAX_ATTACHMENTS)
    sent = form.files("attachments", at_most=MAX_ATTACHMENTS)
    if len(earlier) + len(sent) > MAX_ATTACHMENTS:
        raise Invalid.field("attachments", f"must be at most {MAX_ATTACHMENTS} files")
    stored = [
        await files.store(desk_of(request), await one.read(), one.filename, request.user.actor)
        for one in sent
    ]
    return [*earlier, *(ids.public("file", one.file_id) for one in stored)]


def _part(written: dict[str, Any]) -> Part | None:
    """What of the money is meant: ``symbol@chain`` and an amount, or all of it."""
    symbol, _, chain = written["asset"].partition("@")
    amount = written["amount"].strip()
    part = Part(
        parse_decimal(amount, "refund_amount") if amount else None, symbol or None, chain or None
    )
    return None if part == Part() else part


async def _page(
    request: PageRequest,
    invoice_id: UUID,
    written: dict[str, Any],
    refusal: Refusal | None = None,
) -> Answer:
    view = await queries.view(desk_of(request), invoice_id, request.user.actor)
    return show(
        request,
        "studio/refund.html",
        {
            "id": ids.public("inv", invoice_id),
            "invoice": view.invoice,
            "left": reckoning.refundable(view.invoice),
            "received": reckoning.received(view.invoice),
            "possible": OrderRefund in possible(view, request.user.actor),
            "written": written,
            "most_files": MAX_ATTACHMENTS,
            "refusal": refusal,
        },
        status_code=200 if refusal is None else status_code_of(refusal),
    )


HANDLERS: Final = (refund_page, order)
