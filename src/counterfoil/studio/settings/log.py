"""The organisation's own history as a timeline, its seals computed anew; and all logs to take."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from litestar import Response, get, post
from litestar.response import Stream

from counterfoil.core.errors import Forbidden, Invalid, Refusal
from counterfoil.desk import audit_export, org_log
from counterfoil.desk.audit_export import FORMS, Period
from counterfoil.pages.forms import Form, read_form
from counterfoil.studio import history
from counterfoil.studio.door import Answer, PageRequest, desk_of
from counterfoil.studio.settings.frame import settings_page

_MONTH: Final = timedelta(days=30)
_MEDIA: Final = {"jsonl": "application/jsonl", "csv": "text/csv"}


@get("/settings/log")
async def log(request: PageRequest) -> Answer:
    """Newest first."""
    return await _page(request)


@post("/settings/log/export", status_code=200)
async def export(request: PageRequest) -> Response[bytes] | Stream:
    """All logs of a period, sent as they are read; that they were taken is on record."""
    form = await read_form(request)
    try:
        period = Period(_day(form, "first"), _day(form, "last"))
        chosen = form.chosen("form", FORMS)
        pieces = await audit_export.begin(
            desk_of(request), period, "csv" if chosen == "csv" else "jsonl", request.user.actor
        )
    except Forbidden:
        raise
    except Refusal as refusal:
        written = {name: form.raw(name) for name in ("first", "last", "form")}
        return await _page(request, refusal, written)
    name = f"audit-{period.first}-{period.last}.{chosen}"
    return Stream(
        pieces,
        media_type=_MEDIA[chosen],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _day(form: Form, name: str) -> date:
    try:
        found = date.fromisoformat(form.raw(name))
    except ValueError:
        found = date.max
    if found == date.max:
        raise Invalid.field(name, "must be a day such as 2026-12-31")
    return found


async def _page(
    request: PageRequest, refusal: Refusal | None = None, written: Mapping[str, str] | None = None
) -> Answer:
    found = await org_log.history(desk_of(request), request.user.actor)
    today = desk_of(request).clock.now().date()
    values = {
        "found": found,
        "history": history,
        "first": (today - _MONTH).isoformat(),
        "last": today.isoformat(),
        "form": "jsonl",
        **(written or {}),
    }
    return settings_page(request, "log", values, refusal)


HANDLERS: Final = (log, export)
