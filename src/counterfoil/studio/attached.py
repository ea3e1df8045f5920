"""Files that people attach: taken in once they are chosen, given back to be saved (T11)."""

from contextlib import suppress
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Papers:
    """The papers of a form by their public names, and what is wrong with those that were not kept.

    Kept they are before anything else is asked, so that nobody chooses a file twice.
    """

    names: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def file_ids(self) -> tuple[UUID, ...]:
        """As the desk knows them; a name that is none stands for a file that there is not."""
        return tuple(ids.parse("file", name) or UUID(int=0) for name in self.names)

    async def shown(self, request: PageRequest) -> list[tuple[str, str]]:
        """Each with what the file is called; what is no file of ours is dropped."""
        found = []
        for one in self.names:
            with suppress(NotFound):
                found.append((one, await name_of(request, one)))
        return [(one, name) for one, name in found if name]


async def keep_papers(request: PageRequest, form: Form, name: str) -> Papers:
    """Keep the papers in a field, beside those of an earlier attempt; a bad one loses no other."""
    papers = Papers(form.all("file_id", at_most=MAX_ATTACHMENTS))
    for one in form.files(name, at_most=MAX_ATTACHMENTS - len(papers.names)):
        try:
            stored = await files.store(
                desk_of(request), await one.read(), one.filename, request.user.actor
            )
        except Invalid as refused:
            why = refused.fields.get("file", refused.message)
            sentence = f"the file {one.filename} is refused: it {why}"
            papers.problems |= Invalid.field(name, sentence).fields
        else:
            papers.names.append(ids.public("file", stored.file_id))
    return papers


async def name_of(request: PageRequest, public_id: str) -> str:
    """What a file is called; empty without one."""
    file_id: UUID | None = ids.parse("file", public_id) if public_id else None
    if file_id is None:
        return ""
    return await files.name_of(desk_of(request), file_id, request.user.actor)


HANDLERS: Final = (upload, attached)
