"""API keys: one's own, and for administrators everybody's."""

from datetime import date, timedelta
from typing import Any, Final

from litestar import get, post
from litestar.params import FromPath

from counterfoil.core.errors import Invalid, NotFound, Refusal
from counterfoil.core.roles import permissions_of
from counterfoil.desk import clients as desk_clients
from counterfoil.desk import keys as desk_keys
from counterfoil.pages.forms import Form, read_form
from counterfoil.studio.door import Answer, PageRequest, confirm_with, desk_of, go
from counterfoil.studio.settings.frame import ADDRESS, settings_page
from counterfoil.studio.words import PERMISSIONS

KEYS: Final = f"{ADDRESS}/keys"
_USUAL: Final = timedelta(days=90)


@get("/settings/keys")
async def keys(request: PageRequest) -> Answer:
    """The list, and the form for one more."""
    last_day = (desk_of(request).clock.now() + _USUAL).date().isoformat()
    written = {"label": "", "permissions": [], "last_day": last_day, "client_id": ""}
    return await _page(request, written)


@post("/settings/keys", status_code=200)
async def make(request: PageRequest) -> Answer:
    """Make a key, which is shown once."""
    form = await read_form(request)
    permissions = form.all("permission", at_most=len(PERMISSIONS))
    written = {"label": form.raw("label"), "permissions": permissions}
    written["last_day"] = form.raw("last_day")
    written["client_id"] = form.raw("client_id")
    try:
        await confirm_with(request, form)
        key = await desk_keys.make(
            desk_of(request),
            request.user.actor,
            label=form.raw("label"),
            permissions=permissions,
            last_day=_day(form),
            client_id=form.raw("client_id") or None,
        )
    except Refusal as refusal:
        return await _page(request, written, refusal)
    return settings_page(request, "key_made", {"key": key})


@post("/settings/keys/{key_id:str}/revoke", status_code=303)
async def revoke(request: PageRequest, key_id: FromPath[str]) -> Answer:
    """End a key."""
    form = await read_form(request)
    try:
        await confirm_with(request, form)
        await desk_keys.revoke(desk_of(request), key_id, request.user.actor)
    except NotFound:
        raise
    except Refusal as refusal:
        written = {"label": "", "permissions": [], "last_day": "", "client_id": ""}
        return await _page(request, written, refusal)
    return go(KEYS, done="key_revoked")


def _day(form: Form) -> date | None:
    text = form.raw("last_day")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Invalid.field("last_day", "must be a day such as 2026-12-31") from None


async def _page(
    request: PageRequest, written: dict[str, Any], refusal: Refusal | None = None
) -> Answer:
    desk, actor = desk_of(request), request.user.actor
    now = desk.clock.now()
    rows = [
        {
            "key": one,
            "mine": one.member_id == request.user.session.member_id,
            "may_revoke": desk_keys.may_revoke(one.member_id, actor),
            "ended": one.revoked_at is not None
            or (one.expires_at is not None and one.expires_at <= now),
            "allowed": sorted(
                held
                for held in permissions_of(tuple(one.roles))
                if one.scopes is None or held in one.scopes
            ),
        }
        for one in await desk_keys.shown(desk, actor)
    ]
    values = {
        "rows": rows,
        "clients": [
            one for one in await desk_clients.shown(desk, actor) if one.disabled_at is None
        ],
        "written": written,
        "latest": (now + timedelta(days=desk_keys.LONGEST_DAYS)).date().isoformat(),
        "today": now.date().isoformat(),
    }
    return settings_page(request, "keys", values, refusal)


HANDLERS: Final = (keys, make, revoke)
