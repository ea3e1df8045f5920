"""The KryptoGO invoice API: its paths, each read, handed to the desk, and answered.

Every handler is the same three steps, so that what a request may do is decided in one place
inside. Paths and permissions are those of sources/kryptogo-invoice-payout-api.txt; files and
callbacks are ours.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote
from uuid import UUID

from litestar import Response, Router, get, post, put
from litestar.datastructures import UploadFile
from litestar.enums import MediaType
from litestar.exceptions import ClientException, HTTPException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.params import FromPath

from counterfoil.api.fields import Field, Problems, read_fields
from counterfoil.api.kryptogo import schema, views
from counterfoil.api.kryptogo.auth import (
    StudioKeys,
    StudioRequest,
    anonymous,
    needs,
    permitted,
    require_client,
)
from counterfoil.api.kryptogo.errors import BadQuery, failed, refused, refused_by_http
from counterfoil.api.kryptogo.openapi import document
from counterfoil.api.kryptogo.status import CATEGORIES, standings
from counterfoil.api.pace import Pace
from counterfoil.api.strict_json import Json, Number, Unreadable, canonical, read_object
from counterfoil.core import ids
from counterfoil.core.errors import Invalid, NotFound, Refusal
from counterfoil.core.invoice import Context, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import commands, delivering, files, intake, queries
from counterfoil.desk.desk import Desk
from counterfoil.desk.idempotency import HEADER, Answered, Idempotent, check_key
from counterfoil.desk.queries import Filters, InvoiceView

PREFIX: Final = "/v1/studio/api"

MAX_JSON_BYTES: Final = 64 * 1024
MAX_UPLOAD_BYTES: Final = files.MAX_FILE_BYTES + MAX_JSON_BYTES

T = TypeVar("T")
Answer = Response[bytes]
P = Permission


@post("/invoice/intent", opt=needs(P.CREATE), status_code=200)
async def create(request: StudioRequest) -> Answer:
    """Create an invoice; it waits for approval."""
    body = await _body(request)
    require_client(request, body.get("client_id"))
    draft = schema.read_draft(body, request.app.state.create_fields)

    async def work(idempotent: Idempotent | None) -> InvoiceView:
        try:
            return await intake.create(_desk(request), draft, _by(request), idempotent)
        except Invalid as wrong:
            raise schema.under_the_clients_names(wrong, body) from None

    return await _once(request, canonical_of(body), work, _intent(request))


@get("/invoice/intent/{intent_id:str}", opt=needs(P.READ))
async def read(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """One invoice with its payment intent."""
    view = await queries.view(_desk(request), _invoice_id(intent_id), _by(request))
    return _ok(_intent(request)(view))


@put("/invoice/intent/{intent_id:str}", opt=needs(P.CREATE))
async def update(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """Change an invoice that is not approved yet."""
    invoice_id = _invoice_id(intent_id)
    body = await _body(request)
    change = schema.read_change(body)
    try:
        view = await intake.edit(_desk(request), invoice_id, change, _by(request))
    except Invalid as wrong:
        raise schema.under_the_clients_names(wrong, body) from None
    return _ok(_intent(request)(view))


@post("/invoice/intent/{intent_id:str}/cancel", opt=needs(P.CREATE), status_code=200)
async def cancel(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """Call an invoice off before any money came."""
    invoice_id = _invoice_id(intent_id)
    body, found = await _fields(request, schema.CANCEL_FIELDS)
    return await _once(
        request,
        canonical_of(body),
        lambda idempotent: commands.cancel(
            _desk(request), invoice_id, _by(request), found.get("reason", ""), idempotent
        ),
        _intent(request),
    )


@post("/invoice/intent/{intent_id:str}/approve", opt=needs(P.APPROVE), status_code=200)
async def approve(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """Let an invoice be paid."""
    invoice_id = _invoice_id(intent_id)
    body, found = await _fields(request, schema.APPROVE_FIELDS)
    return await _once(
        request,
        canonical_of(body),
        lambda idempotent: commands.approve(
            _desk(request),
            invoice_id,
            _by(request),
            seen_hash=found.get("content_hash"),
            idempotent=idempotent,
        ),
        _intent(request),
    )


@post("/invoice/intent/{intent_id:str}/reject", opt=needs(P.APPROVE), status_code=200)
async def reject(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """Refuse an invoice, saying why."""
    invoice_id = _invoice_id(intent_id)
    body, found = await _fields(request, schema.REJECT_FIELDS)
    return await _once(
        request,
        canonical_of(body),
        lambda idempotent: commands.reject(
            _desk(request), invoice_id, _by(request), found["reason"], idempotent
        ),
        _intent(request),
    )


@post("/invoice/intent/{intent_id:str}/sign", opt=needs(P.SIGN), status_code=200)
async def sign(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """Accept the money for the merchant."""
    invoice_id = _invoice_id(intent_id)
    body, found = await _fields(request, schema.SIGN_FIELDS)
    return await _once(
        request,
        canonical_of(body),
        lambda idempotent: commands.sign_off(
            _desk(request),
            invoice_id,
            _by(request),
            refund_address=found.get("refund_address"),
            refund_reason=found.get("refund_reason", ""),
            refund_attachments=tuple(found.get("refund_attachments", ())),
            idempotent=idempotent,
        ),
        _intent(request),
    )


@post("/invoice/intent/{intent_id:str}/refund", opt=needs(P.SIGN), status_code=200)
async def refund(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """Ask for everything to be sent back; a second person has to approve it."""
    invoice_id = _invoice_id(intent_id)
    body, found = await _fields(request, schema.REFUND_FIELDS)
    return await _once(
        request,
        canonical_of(body),
        lambda idempotent: commands.order_refund(
            _desk(request),
            invoice_id,
            _by(request),
            address=found["refund_address"],
            reason=found["refund_reason"],
            attachments=tuple(found["refund_attachments"]),
            idempotent=idempotent,
        ),
        _intent(request),
    )


@get("/invoice/intents", opt=needs(P.READ))
async def page(request: StudioRequest) -> Answer:
    """A page of invoices, newest first."""
    query = _query(request, schema.LIST_FIELDS)
    number, size = query.get("page", 1), query.get("page_size", 20)
    if number * size > schema.MAX_ROWS_DEEP:
        sentence = (
            f"reaches deeper than {schema.MAX_ROWS_DEEP} rows;"
            " narrow the list with created_before instead"
        )
        raise BadQuery.field("page", sentence)
    found = await queries.page(
        _desk(request), _filters(query), _by(request), number=number, size=size
    )
    return _ok(views.list_envelope(found, _by(request), number=number, size=size))


@get("/invoice/intent/{intent_id:str}/logs", opt=needs(P.READ))
async def logs(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """Everything that happened to an invoice, oldest first."""
    invoice_id = _invoice_id(intent_id)
    entries = await queries.logs(_desk(request), invoice_id, _by(request))
    return _ok(views.envelope(views.log_entries(ids.public("inv", invoice_id), entries)))


@get("/invoice/intent/{intent_id:str}/callbacks", opt=needs(P.READ))
async def callbacks(request: StudioRequest, intent_id: FromPath[str]) -> Answer:
    """Every callback of an invoice, with each attempt at delivering it."""
    told = await delivering.of_invoice(_desk(request), _invoice_id(intent_id), _by(request))
    return _ok(views.envelope(views.callbacks(told)))


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
    told = await delivering.of_invoice(_desk(request), _invoice_id(intent_id), _by(request))
    if wanted is None or wanted not in {one.event.event_id for one in told}:
        message = "there is no such callback"
        raise NotFound(message)
    await delivering.redeliver(_desk(request), wanted, _by(request))
    return _ok(views.envelope({"event_id": ids.public("evt", wanted)}))


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
    return await _once(
        request,
        fingerprint,
        lambda idempotent: files.store(_desk(request), content, name, _by(request), idempotent),
        lambda file: views.envelope(views.stored_file(file)),
    )


@get("/files/{file_id:str}", opt=needs(P.READ))
async def download(request: StudioRequest, file_id: FromPath[str]) -> Answer:
    """Give a file back, to be saved and never opened in place."""
    wanted = ids.parse("file", file_id)
    if wanted is None:
        message = "there is no such file"
        raise NotFound(message)
    file, content = await files.fetch(_desk(request), wanted, _by(request))
    plain = "".join(c if c.isascii() and c.isprintable() else "_" for c in file.name)
    return Response(
        content,
        media_type=file.content_type,
        headers={
            "Content-Disposition": f'attachment; filename="{plain}";'
            f" filename*=UTF-8''{quote(file.name, safe='')}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )


@get("/openapi.json", opt=anonymous())
async def openapi(request: StudioRequest) -> Answer:
    """What this API understands, as OpenAPI 3.1."""
    return _ok(request.app.state.openapi)


HANDLERS: Final = (
    create,
    read,
    update,
    cancel,
    approve,
    reject,
    sign,
    refund,
    page,
    logs,
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


def canonical_of(body: Mapping[str, Json]) -> bytes:
    """The body as `canonical` writes it, whatever order its keys came in."""
    return canonical(dict(body))


def _desk(request: StudioRequest) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _by(request: StudioRequest) -> Actor:
    return request.user.actor


def _ok(body: bytes, headers: dict[str, str] | None = None) -> Answer:
    return Response(body, media_type=MediaType.JSON, headers=headers or {})


def _intent(request: StudioRequest) -> Callable[[InvoiceView], bytes]:
    by = _by(request)
    return lambda view: views.envelope(views.invoice_intent(view, by))


def _invoice_id(text: str) -> UUID:
    """The id behind a name in the path; what is no name of ours is as unknown as a foreign one."""
    found = ids.parse("inv", text)
    if found is None:
        message = "there is no such invoice"
        raise NotFound(message)
    return found


async def _body(request: StudioRequest) -> dict[str, Json]:
    """The JSON object that was sent; no body at all counts as an empty one."""
    content = await request.body()
    if not content:
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Unreadable.field("Content-Type", "must be application/json")
    return read_object(content)


async def _fields(
    request: StudioRequest, fields: tuple[Field, ...]
) -> tuple[dict[str, Json], dict[str, Any]]:
    body = await _body(request)
    return body, read_fields(body, fields)


async def _once(
    request: StudioRequest,
    content: bytes,
    work: Callable[[Idempotent | None], Awaitable[T]],
    render: Callable[[T], bytes],
) -> Answer:
    """Do it, or give the answer that was given when it was done."""
    key = request.headers.get(HEADER)
    idempotent = None
    if key is not None:
        asked = f"{request.method}\n{request.url.path}\n".encode()
        idempotent = Idempotent(
            member_id=request.user.member_id,
            key=check_key(key),
            fingerprint=hashlib.sha256(asked + content).digest(),
            render=lambda result: (200, render(result)),
        )
    try:
        return _ok(render(await work(idempotent)))
    except Answered as earlier:
        return Response(
            earlier.body,
            status_code=earlier.status_code,
            media_type=MediaType.JSON,
            headers={"Idempotent-Replayed": "true"},
        )


def _query(request: StudioRequest, fields: tuple[Field, ...]) -> dict[str, Any]:
    sent = request.query_params
    given: dict[str, Json] = {}
    problems = Problems()
    for field in fields:
        values = sent.getall(field.name, [])
        if len(values) > 1:
            problems.add(Invalid.field(field.name, "stands twice"))
        elif values and values[0] != "":
            is_number = field.kind.schema().get("type") == "integer"
            given[field.name] = Number(values[0]) if is_number else values[0]
    try:
        found = read_fields(given, fields)
        problems.settle()
    except Invalid as wrong:
        raise BadQuery(wrong.message, fields={**problems.fields, **wrong.fields}) from None
    return found


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
