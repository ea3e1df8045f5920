"""A request of this dialect in parts: who asks, what was sent, and what is answered once.

Every handler is put together from these.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from litestar import Response
from litestar.enums import MediaType

from counterfoil.api.fields import Field, read_fields
from counterfoil.api.kryptogo import views
from counterfoil.api.kryptogo.auth import CLIENT_HEADER, StudioRequest
from counterfoil.api.kryptogo.errors import BadQuery
from counterfoil.core import ids
from counterfoil.core.errors import Invalid, NotFound, Problems
from counterfoil.core.pay_links import PayLinks
from counterfoil.core.roles import Actor
from counterfoil.core.strict_json import Json, Number, Unreadable, read_object
from counterfoil.desk.desk import Desk
from counterfoil.desk.idempotency import HEADER, Answered, Idempotent, check_key
from counterfoil.desk.queries import InvoiceView

Answer = Response[bytes]

T = TypeVar("T")


def desk_of(request: StudioRequest) -> Desk:
    """The desk that this server works at."""
    desk: Desk = request.app.state.desk
    return desk


def by_of(request: StudioRequest) -> Actor:
    """Who asks."""
    return request.user.actor


def pay_links_of(request: StudioRequest) -> PayLinks:
    """What makes the addresses of payment pages."""
    links: PayLinks = request.app.state.pay_links
    return links


def ok(body: bytes) -> Answer:
    """Answer a success."""
    return Response(body, media_type=MediaType.JSON)


def intent(request: StudioRequest) -> Callable[[InvoiceView], bytes]:
    """Writes an invoice as whoever asks may see it."""
    by, links = by_of(request), pay_links_of(request)
    return lambda view: views.envelope(views.invoice_intent(view, by, links))


def invoice_id_of(text: str) -> UUID:
    """The id behind a name in the path; what is no name of ours is as unknown as a foreign one."""
    found = ids.parse("inv", text)
    if found is None:
        message = "there is no such invoice"
        raise NotFound(message)
    return found


async def read_body(request: StudioRequest) -> dict[str, Json]:
    """The JSON object that was sent; no body at all counts as an empty one."""
    content = await request.body()
    if not content:
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Unreadable.field("Content-Type", "must be application/json when a body is sent")
    return read_object(content)


def read_query(request: StudioRequest, fields: tuple[Field, ...]) -> dict[str, Any]:
    """The query parameters that were sent; raises `BadQuery` naming all that is wrong."""
    sent = request.query_params
    given: dict[str, Json] = {}
    problems = Problems()
    for field in fields:
        values = sent.getall(field.name, [])
        if len(values) > 1:
            problems.note(Invalid.field(field.name, "stands twice"))
        elif values and values[0] != "":
            is_number = field.kind.schema().get("type") == "integer"
            given[field.name] = Number(values[0]) if is_number else values[0]
    try:
        found = read_fields(given, fields)
        problems.settle_in_full()
    except Invalid as wrong:
        raise BadQuery(wrong.message, fields={**problems.found, **wrong.fields}) from None
    return found


async def once(
    request: StudioRequest,
    content: Callable[[], bytes],
    work: Callable[[Idempotent | None], Awaitable[T]],
    render: Callable[[T], bytes],
) -> Answer:
    """Do it, or give the answer that was given when it was done.

    ``content`` answers what the request says, the same bytes for the same meaning; it is asked
    only where there is a key.
    """
    key = request.headers.get(HEADER)
    idempotent = None
    if key is not None:
        client = request.headers.get(CLIENT_HEADER, "")
        asked = f"{request.method}\n{request.scope['path']}\n{client}\n".encode()
        idempotent = Idempotent(
            member_id=request.user.member_id,
            key=check_key(key),
            fingerprint=hashlib.sha256(asked + content()).digest(),
            render=lambda result: (200, render(result)),
        )
    try:
        return ok(render(await work(idempotent)))
    except Answered as earlier:
        return Response(
            earlier.body,
            status_code=earlier.status_code,
            media_type=MediaType.JSON,
            headers={"Idempotent-Replayed": "true"},
        )
