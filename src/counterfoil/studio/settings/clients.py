"""Client ids: one for each integration, named, renamed, and disabled."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from litestar import get, post
from litestar.params import FromPath

from counterfoil.core.errors import Forbidden, NotFound, Refusal
from counterfoil.desk import clients as desk_clients
from counterfoil.pages.forms import read_form
from counterfoil.studio.door import Answer, PageRequest, desk_of
from counterfoil.studio.settings.frame import ADDRESS, decided, settings_page

CLIENTS: Final = f"{ADDRESS}/clients"


@get("/settings/clients")
async def clients(request: PageRequest) -> Answer:
    """The list, and the form for one more."""
    return await _page(request)


@post("/settings/clients", status_code=303)
async def add(request: PageRequest) -> Answer:
    """Make one."""
    form = await read_form(request)
    work = partial(desk_clients.add, desk_of(request), form.raw("name"), request.user.actor)
    return await _do(request, work, done="client_added", name=form.raw("name"))


@post("/settings/clients/{client_id:str}/rename", status_code=303)
async def rename(request: PageRequest, client_id: FromPath[str]) -> Answer:
    """Call one something else."""
    form = await read_form(request)
    work = partial(
        desk_clients.rename, desk_of(request), client_id, form.raw("name"), request.user.actor
    )
    return await _do(request, work)


@post("/settings/clients/{client_id:str}/disable", status_code=303)
async def disable(request: PageRequest, client_id: FromPath[str]) -> Answer:
    """Refuse whoever sends it."""
    work = partial(desk_clients.disable, desk_of(request), client_id, request.user.actor)
    return await _do(request, work)


@post("/settings/clients/{client_id:str}/enable", status_code=303)
async def enable(request: PageRequest, client_id: FromPath[str]) -> Answer:
    """Take it again."""
    work = partial(desk_clients.enable, desk_of(request), client_id, request.user.actor)
    return await _do(request, work)


async def _do(
    request: PageRequest,
    work: Callable[[], Awaitable[object]],
    *,
    done: str = "saved",
    name: str = "",
) -> Answer:
    return await decided(
        request,
        work,
        partial(_page, request, name=name),
        back_to=CLIENTS,
        done=done,
        raising=(Forbidden, NotFound),
    )


async def _page(request: PageRequest, refusal: Refusal | None = None, name: str = "") -> Answer:
    found = await desk_clients.shown(desk_of(request), request.user.actor)
    values = {"rows": found, "first": request.user.session.client_id, "name": name}
    return settings_page(request, "clients", values, refusal)


HANDLERS: Final = (clients, add, rename, disable, enable)
