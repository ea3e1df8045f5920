"""Files that people attach: taken in once they are chosen, given back to be saved (T11)."""

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.params import FromPath

from counterfoil.core import ids
from counterfoil.core.documents import headers_of
from counterfoil.core.errors import Invalid, NotFound, Refusal
from counterfoil.desk import files
from counterfoil.desk.commands import MAX_ATTACHMENTS
from counterfoil.pages.forms import Form, read_form
from counterfoil.studio.door import Answer, PageRequest, desk_of, show, status_code_of

MAX_UPLOAD_BYTES: Final = files.MAX_FILE_BYTES + 512 * 1024
"""One file with a form around it."""

FIELD: Final = "upload"


@post("/files", status_code=200, request_max_body_size=MAX_UPLOAD_BYTES)
async def upload(request: PageRequest) -> Answer:
    """Take a file in, and answer the field that names it in the form around it."""
    form = await read_form(request)
    problem = None
    attachment = form.raw("attachment")
    try:
        attachment = await uploaded(request, form) or attachment
    except Refusal as refusal:
        problem = refusal
    values = {"attachment": attachment, "attachment_name": await name_of(request, attachment)}
    return show(
        request,
        "studio/draft_attachment.html",
        {**values, "problem": problem.fields.get("file", problem.message) if problem else ""},
        status_code=200 if problem is None else status_code_of(problem),
    )


@get("/files/{public_id:str}")
async def attached(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """One file."""
    wanted = ids.parse("file", public_id)
    if wanted is None:
        raise NotFound("there is no such file")
    file, content = await files.fetch(desk_of(request), wanted, request.user.actor)
    return Response(content, media_type=file.content_type, headers=headers_of(file.name))


async def uploaded(request: Request[Any, Any, Any], form: Form) -> str | None:
    """Keep the file of a form and answer its public name; None without one. As `files.store`."""
    found = form.files(FIELD, at_most=1)
    if not found:
        return None
    content = await found[0].read()
    stored = await files.store(desk_of(request), content, found[0].filename, request.user.actor)
    return ids.public("file", stored.file_id)


async def papers(request: Request[Any, Any, Any], form: Form, field: str) -> tuple[UUID, ...]:
    """Keep the papers of a refund that are in a form. Raises `Invalid` naming ``field``."""
    kept = []
    for one in form.files(field, at_most=MAX_ATTACHMENTS):
        try:
            stored = await files.store(
                desk_of(request), await one.read(), one.filename, request.user.actor
            )
        except Invalid as refused:
            why = refused.fields.get("file", refused.message)
            sentence = f"the file {one.filename} is refused: it {why}"
            raise Invalid.field(field, sentence) from None
        kept.append(stored.file_id)
    return tuple(kept)


async def name_of(request: PageRequest, public_id: str) -> str:
    """What a file is called; empty without one."""
    file_id: UUID | None = ids.parse("file", public_id) if public_id else None
    if file_id is None:
        return ""
    return await files.name_of(desk_of(request), file_id, request.user.actor)


HANDLERS: Final = (upload, attached)
