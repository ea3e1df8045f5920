"""The organisation: its profile and logo, and where its customers are led back to."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from litestar import get, post
from litestar.params import FromPath

from counterfoil.core import zones
from counterfoil.core.errors import Forbidden, Invalid, Refusal
from counterfoil.core.returning import FIELD
from counterfoil.desk import profile as desk_profile
from counterfoil.desk import returning
from counterfoil.pages import press
from counterfoil.pages.forms import read_form
from counterfoil.studio.door import Answer, PageRequest, desk_of, parts_of
from counterfoil.studio.settings.frame import ADDRESS, decided, settings_page

PROFILE: Final = f"{ADDRESS}/organisation"
MAX_LOGO_FORM_BYTES: Final = desk_profile.MAX_LOGO_BYTES + 64 * 1024

_FIELDS: Final = ("name", "email", "address", "tax_number", "time_zone")


@get("/settings/organisation")
async def organisation(request: PageRequest) -> Answer:
    """All that documents say about the organisation."""
    return await _page(request)


@post("/settings/organisation", status_code=303)
async def change(request: PageRequest) -> Answer:
    """Change name, e-mail, address, tax number and time zone."""
    form = await read_form(request)
    written = {name: form.raw(name) for name in _FIELDS}
    work = partial(
        desk_profile.change, desk_of(request), desk_profile.Written(**written), request.user.actor
    )
    return await _do(request, work, written)


@post("/settings/organisation/logo", status_code=303, request_max_body_size=MAX_LOGO_FORM_BYTES)
async def set_logo(request: PageRequest) -> Answer:
    """Take a logo in."""
    form = await read_form(request)

    async def work() -> None:
        sent = form.files("file", at_most=1)
        if not sent:
            raise Invalid.field("file", "must be a PNG or a JPEG")
        content = await sent[0].read()
        actor = request.user.actor
        redraw = parts_of(request).press.picture
        await desk_profile.set_logo(desk_of(request), content, sent[0].filename, actor, redraw)

    return await _do(request, work)


@post("/settings/organisation/logo/drop", status_code=303)
async def drop_logo(request: PageRequest) -> Answer:
    """Show none."""
    work = partial(desk_profile.drop_logo, desk_of(request), request.user.actor)
    return await _do(request, work)


@post("/settings/organisation/returns", status_code=303)
async def change_returns(request: PageRequest) -> Answer:
    """Choose where customers may be led back to."""
    lines = (await read_form(request)).raw(FIELD)

    async def work() -> str:
        desk = desk_of(request)
        after = await returning.change_rules(desk, lines, request.user.actor)
        later = after.announced(desk.clock.now())
        if later is not None:
            return "returns_later" if after.rules.outlasts(later) else "rules_later"
        return "returns" if after.rules.origins else "returns_any"

    return await _do(request, work, {FIELD: lines}, done=str)


@get("/logo/{sha256:str}")
async def logo(request: PageRequest, sha256: FromPath[str]) -> Answer:
    """The picture that the hash names, if it is the one that is shown now."""
    content = await desk_profile.logo(desk_of(request), sha256, request.user.actor)
    return press.picture_answer(content)


async def _do(
    request: PageRequest,
    work: Callable[[], Awaitable[object]],
    written: Mapping[str, str] | None = None,
    *,
    done: str | Callable[[Any], str] = "saved",
) -> Answer:
    page = partial(_page, request, written)
    return await decided(request, work, page, back_to=PROFILE, done=done, raising=(Forbidden,))


async def _page(
    request: PageRequest, written: Mapping[str, str] | None = None, refusal: Refusal | None = None
) -> Answer:
    desk, actor = desk_of(request), request.user.actor
    found = await desk_profile.own(desk, actor)
    returns, now = await returning.rules_of(desk, actor), desk.clock.now()
    present = {name: getattr(found, name) for name in _FIELDS}
    present[FIELD] = "\n".join(returns.in_force(now).origins)
    values: dict[str, Any] = {
        "written": {**present, **(written or {})},
        "present": present,
        "time_zones": zones.names(),
        "logo": None if found.logo_sha256 is None else found.logo_sha256.hex(),
        "most_pixels": desk_profile.MAX_LOGO_PIXELS // 1_000_000,
        "later": returns.announced(now),
        "later_at": returns.next_at,
        "most_kilobytes": desk_profile.MAX_LOGO_BYTES // 1024,
    }
    return settings_page(request, "organisation", values, refusal)


HANDLERS: Final = (
    organisation,
    change,
    set_logo,
    drop_logo,
    change_returns,
    logo,
)
