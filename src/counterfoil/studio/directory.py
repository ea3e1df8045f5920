"""The recipient directory: found, added to, changed, and kept from being offered."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Final
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath

from counterfoil.core import ids
from counterfoil.core.errors import Forbidden, Invalid, NotFound, Refusal
from counterfoil.core.text import clean_text
from counterfoil.desk import directory
from counterfoil.desk.directory import Written
from counterfoil.pages.forms import Form, read_form
from counterfoil.studio import paging
from counterfoil.studio.door import (
    PREFIX,
    Answer,
    PageRequest,
    desk_of,
    go,
    show,
    status_code_of,
)

DIRECTORY: Final = f"{PREFIX}/directory"
SEARCH_LENGTH: Final = 200
MAX_PAGE: Final = 1_000
_SHOWN: Final = {"": True, "only": False, "yes": None}
"""Whether those are shown who are offered no more, to whether who is shown is offered."""


@get("/directory")
async def directory_page(request: PageRequest) -> Answer:
    """Everybody, by name, and the form for one more; it begins with what the query says."""
    query = request.query_params
    begun = Written(name=query.get("name", "")[:SEARCH_LENGTH], email=query.get("email", "")[:254])
    return await _page(request, begun)


@post("/directory", status_code=303)
async def add(request: PageRequest) -> Answer:
    """Put somebody in."""
    written = _written(await read_form(request))
    try:
        await directory.add(desk_of(request), written, request.user.actor)
    except Forbidden:
        raise
    except Refusal as refusal:
        return await _page(request, written, refusal)
    return go(DIRECTORY, done="recipient_added")


@get("/directory/{public_id:str}")
async def recipient(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """One of them, to be changed."""
    found = await directory.one(desk_of(request), _id_of(public_id), request.user.actor)
    written = Written(found.name, found.email, found.address, found.tax_number)
    return await _one(request, public_id, written)


@post("/directory/{public_id:str}", status_code=303)
async def change(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Replace what is known of one."""
    written = _written(await read_form(request))
    change = partial(directory.change, desk_of(request), _id_of(public_id), written)
    return await _do(request, public_id, change, written)


@post("/directory/{public_id:str}/deactivate", status_code=303)
async def deactivate(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Offer one no more."""
    await directory.turn(desk_of(request), _id_of(public_id), request.user.actor, on=False)
    return go(DIRECTORY, done="recipient_deactivated")


@post("/directory/{public_id:str}/activate", status_code=303)
async def activate(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Offer one again."""
    await directory.turn(desk_of(request), _id_of(public_id), request.user.actor, on=True)
    return go(DIRECTORY, done="saved")


async def _do(
    request: PageRequest,
    public_id: str,
    work: Callable[..., Awaitable[None]],
    written: Written,
) -> Answer:
    try:
        await work(request.user.actor)
    except (Forbidden, NotFound):
        raise
    except Refusal as refusal:
        return await _one(request, public_id, written, refusal)
    return go(DIRECTORY, done="saved")


def _written(form: Form) -> Written:
    texts = {name: form.raw(name) for name in ("name", "email", "address", "tax_number")}
    return Written(**texts, meant=form.checked("meant"))


def _id_of(public_id: str) -> UUID:
    found = ids.parse("rcp", public_id)
    if found is None:
        raise NotFound("there is no such recipient")
    return found


async def _page(request: PageRequest, written: Written, refusal: Refusal | None = None) -> Answer:
    query = request.query_params
    text = clean_text(query.get("q", ""), "q", max_length=SEARCH_LENGTH, empty=True)
    shown = query.get("inactive", "")
    if shown not in _SHOWN:
        raise Invalid.field("inactive", f"must be one of {', '.join(filter(None, _SHOWN))}")
    number = paging.read(request, MAX_PAGE)
    read = partial(
        directory.found, desk_of(request), text, request.user.actor, active=_SHOWN[shown]
    )
    found = await read(number=number)
    if not found.entries and number > 1:
        number, found = 1, await read(number=1)
    values = {
        "rows": [(ids.public("rcp", entry.recipient_id), entry) for entry in found.entries],
        "found": found,
        "text": text,
        "inactive": shown,
        "number": number,
        **_form(written, refusal),
    }
    return _show(request, "studio/directory.html", values, refusal)


async def _one(
    request: PageRequest, public_id: str, written: Written, refusal: Refusal | None = None
) -> Answer:
    entry = await directory.one(desk_of(request), _id_of(public_id), request.user.actor)
    changes = directory.may_change(request.user.actor)
    values = {"id": public_id, "entry": entry, "changes": changes, **_form(written, refusal)}
    return _show(request, "studio/recipient.html", values, refusal)


def _form(written: Written, refusal: Refusal | None) -> dict[str, object]:
    errors = {} if refusal is None else dict(refusal.fields)
    look_twice = "look twice" in errors.get("name", "")
    return {
        "written": asdict(written),
        "refusal": refusal,
        "errors": errors,
        "look_twice": look_twice or written.meant,
    }


def _show(
    request: PageRequest, template: str, values: dict[str, object], refusal: Refusal | None
) -> Answer:
    status_code = 200 if refusal is None else status_code_of(refusal)
    return show(request, template, values, status_code=status_code)


HANDLERS: Final = (directory_page, add, recipient, change, deactivate, activate)
