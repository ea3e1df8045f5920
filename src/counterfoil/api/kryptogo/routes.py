"""The KryptoGO invoice API: its paths, each read, handed to the desk, and answered.

Every handler is the same three steps, so that what a request may do is decided in one place
inside; what people decide about one invoice stands in ``actions.py``. Paths and permissions are
those of sources/kryptogo-invoice-payout-api.txt; files and callbacks are ours.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from litestar import Response, Router, get, post, put
from litestar.datastructures import UploadFile
from litestar.exceptions import ClientException, HTTPException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.params import FromPath

from counterfoil.api.kryptogo import actions, schema, views
from counterfoil.api.kryptogo.auth import (
    StudioKeys,
    StudioRequest,
    anonymous,
    needs,
    permitted,
    require_client,
)
from counterfoil.api.kryptogo.errors import BadQuery, failed, refused, refused_by_http
from counterfoil.api.kryptogo.openapi import PREFIX, document
from counterfoil.api.kryptogo.requests import (
    Answer,
    by_of,
    desk_of,
    intent,
    invoice_id_of,
    ok,
    once,
    pay_links_of,
    read_body,
    read_query,
)
from counterfoil.api.kryptogo.status import CATEGORIES, standings
from counterfoil.core import ids
from counterfoil.core.documents import headers_of
from counterfoil.core.errors import Invalid, NotFound, Refusal
from counterfoil.core.invoice import Context, Status
from counterfoil.core.pace import Pace
from counterfoil.core.roles import Permission
from counterfoil.core.strict_json import Unreadable, canonical
from counterfoil.desk import delivering, files, intake, queries, reporting
from counterfoil.desk.idempotency import Idempotent
from counterfoil.desk.queries import Filters, InvoiceView

MAX_JSON_BYTES: Final = 64 * 1024
MAX_UPLOAD_BYTES: Final = files.MAX_FILE_BYTES + MAX_JSON_BYTES

P = Permission


@post("/invoice/intent", opt=needs(P.CREATE), status_code=200)
async def create(request: StudioRequest) -> Answer:
    """Create an invoice; it waits for approval."""
    body = await read_body(request)
    client_id = require_client(request, body.get("client_id"))
    draft = schema.read_draft(body, request.app.state.create_fields, client_id)

    async def work(idempotent: Idempotent | None) -> InvoiceView:
        try:
            return await intake.create(desk_of(request), draft, by_of(request), idempotent)
        except Invalid as wrong:
            raise schema.under_the_clients_names(wrong, body) from None

    return await once(request, partial(canonical, body), work, intent(request))


@get("/invoice/intent/{intent_id:str}", opt=needs(P.READ))
async def read(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """One invoice with its payment intent."""
    view = await queries.view(desk_of(request), invoice_id_of(intent_id), by_of(request))
    return ok(intent(request)(view))


@put("/invoice/intent/{intent_id:str}", opt=needs(P.CREATE))
async def update(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """Change an invoice that is not approved yet."""
    invoice_id = invoice_id_of(intent_id)
    body = await read_body(request)
    change = schema.read_change(body)
    try:
        view = await intake.edit(desk_of(request), invoice_id, change, by_of(request))
    except Invalid as wrong:
        raise schema.under_the_clients_names(wrong, body) from None
    return ok(intent(request)(view))


@get("/invoice/intents", opt=needs(P.READ))
async def page(request: StudioRequest) -> Answer:
    """A page of invoices, newest first."""
    query = read_query(request, schema.LIST_FIELDS)
    number, size = query.get("page", 1), query.get("page_size", 20)
    if number * size > schema.MAX_ROWS_DEEP:
        sentence = (
            f"reaches deeper than {schema.MAX_ROWS_DEEP} rows;"
            " narrow the list with created_before instead"
        )
        raise BadQuery.field("page", sentence)
    found = await queries.page(
        desk_of(request), _filters(query), by_of(request), number=number, size=size
    )
    shown = views.list_envelope(
        found, by_of(request), pay_links_of(request), number=number, size=size
    )
    return ok(shown)


@get("/invoice/intent/{intent_id:str}/logs", opt=needs(P.READ))
async def logs(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """Everything that happened to an invoice, oldest first."""
    invoice_id = invoice_id_of(intent_id)
    entries = await queries.logs(desk_of(request), invoice_id, by_of(request))
    return ok(views.envelope(views.log_entries(ids.public("inv", invoice_id), entries)))


@get("/invoice/intent/{intent_id:str}/reports", opt=needs(P.REVIEW))
async def reports(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """What was reported to authorities about an invoice's payment; for compliance alone."""
    found = await reporting.of_invoice(desk_of(request), invoice_id_of(intent_id), by_of(request))
    return ok(views.envelope(views.compliance_reports(found)))


@get("/invoice/intent/{intent_id:str}/callbacks", opt=needs(P.READ))
async def callbacks(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """Every callback of an invoice, with each attempt at delivering it."""
    told = await delivering.of_invoice(desk_of(request), invoice_id_of(intent_id), by_of(request))
    return ok(views.envelope(views.callbacks(told)))


@post(
    "/invoice/intent/{intent_id:str}/callbacks/{event_id:str}/redeliver",
    opt=needs(P.CREATE),
    status_code=200,
)
async def redeliver(
    request: StudioRequest, intent_id: FromPath[str], event_id: FromPath[str]
) -> Answer:
    """Have a callback delivered once more; it keeps its id."""
    wanted = ids.parse("evt", event_id)
    told = await delivering.of_invoice(desk_of(request), invoice_id_of(intent_id), by_of(request))
    if wanted is None or wanted not in {one.event.event_id for one in told}:
        message = "there is no such callback"
        raise NotFound(message)
    await delivering.redeliver(desk_of(request), wanted, by_of(request))
    return ok(views.envelope({"event_id": ids.public("evt", wanted)}))


@post(
    "/files",
    opt=needs(*files.MAY_UPLOAD),
    status_code=200,
    request_max_body_size=MAX_UPLOAD_BYTES,
)
async def upload(request: StudioRequest) -> Answer:
    """Take in a PDF, PNG or JPEG, as multipart field ``file`` or as the whole body."""
    content, name = await _upload(request)
    fingerprint = hashlib.sha256(content).digest() + name.encode("utf-8", "backslashreplace")
    return await once(
        request,
        lambda: fingerprint,
        lambda idempotent: files.store(desk_of(request), content, name, by_of(request), idempotent),
        lambda file: views.envelope(views.stored_file(file)),
    )


@get("/files/{file_id:str}", opt=needs(P.READ))
async def download(request: StudioRequest, file_id: FromPath[str]) -> Answer:
    """Give a file back, to be saved and never opened in place."""
    wanted = ids.parse("file", file_id)
    if wanted is None:
        message = "there is no such file"
        raise NotFound(message)
    file, content = await files.fetch(desk_of(request), wanted, by_of(request))
    return Response(content, media_type=file.content_type, headers=headers_of(file.name))


@get("/openapi.json", opt=anonymous())
async def openapi(request: StudioRequest) -> Answer:
    """What this API understands, as OpenAPI 3.1."""
    return ok(request.app.state.openapi)


HANDLERS: Final = (
    create,
    read,
    update,
    *actions.handlers(),
    page,
    logs,
    reports,
    callbacks,
    redeliver,
    upload,
    download,
    openapi,
)


def router() -> Router:
    """The dialect, ready to be mounted; the app's state must hold what `state` answers."""
    return Router(
        path=PREFIX,
        route_handlers=HANDLERS,
        middleware=[StudioKeys],
        guards=[permitted],
        request_max_body_size=MAX_JSON_BYTES,
        exception_handlers={Refusal: refused, HTTPException: refused_by_http, Exception: failed},
    )


def state(*, allow_private_callbacks: bool, pace: Pace | None) -> dict[str, object]:
    """What the handlers find in the app's state, besides ``desk``."""
    fields = schema.create_fields(allow_private_callbacks=allow_private_callbacks)
    return {"create_fields": fields, "openapi": document(fields), "pace": pace}


def _filters(query: Mapping[str, Any]) -> Filters:
    invoice_id, number, year = _which_invoice(query)
    after, before = query.get("created_after"), query.get("created_before")
    if year is not None:
        starts = datetime(year, 1, 1, tzinfo=UTC)
        ends = datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
        after, before = max(after or starts, starts), min(before or ends, ends)
    return Filters(
        statuses=_statuses(query.get("status"), query.get("status_category")),
        settlement=query.get("settlement_type"),
        archived={"true": True, "false": False}.get(query.get("archived", "")),
        recipient_email=query.get("recipient_email"),
        invoice_id=invoice_id,
        number=number,
        search=query.get("search"),
        created_after=after,
        created_before=before,
    )


def _statuses(
    status: str | None, category: str | None
) -> tuple[tuple[Status, tuple[Context | None, ...] | None], ...] | None:
    if status is None and category is None:
        return None
    wanted = set(CATEGORIES[category]) if category is not None else {status or ""}
    if status is not None:
        wanted &= {status}
    found: dict[Status, list[Context | None]] = {}
    for at, context in standings(*wanted):
        found.setdefault(at, []).append(context)
    return tuple((at, tuple(contexts)) for at, contexts in found.items())


def _which_invoice(query: Mapping[str, Any]) -> tuple[UUID | None, int | None, int | None]:
    """The one invoice that is looked for: by id, or by number and year."""
    intent: UUID | None = query.get("payment_intent_id")
    text: str | None = query.get("invoice_id")
    if text is None:
        return intent, None, None
    invoice_id = ids.parse("inv", text)
    if invoice_id is not None:
        if intent not in (None, invoice_id):
            raise BadQuery.field("payment_intent_id", "belongs to another invoice than invoice_id")
        return invoice_id, None, None
    prefix, _, rest = text.partition("-")
    year, _, number = rest.partition("-")
    digits = year + number
    plausible = prefix == "INV" and len(year) == 4 and 6 <= len(number) <= 15  # noqa: PLR2004 - as in INV-2026-000042
    if not plausible or not digits.isascii() or not digits.isdigit() or not int(year):
        raise BadQuery.field(
            "invoice_id", "must be an id such as inv_... or a number such as INV-2026-000042"
        )
    return intent, int(number), int(year)


async def _upload(request: StudioRequest) -> tuple[bytes, str]:
    """Content and name of an uploaded file."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "multipart/form-data":
        return await request.body(), request.query_params.get("name", "")
    try:
        form = await request.form()
    except RequestEntityTooLarge:
        raise
    except ClientException:
        message = "the multipart body cannot be read"
        raise Unreadable(message) from None
    parts = form.getall("file", [])
    if len(parts) != 1 or not isinstance(parts[0], UploadFile):
        raise Invalid.field("file", "must be sent exactly once, as a file")
    return await parts[0].read(), parts[0].filename
