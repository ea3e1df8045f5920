"""Callbacks: the default address, the signing secret, receivers of late, and a test message."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from litestar import get, post

from counterfoil.core import ids
from counterfoil.core.errors import Forbidden, Refusal, Unavailable
from counterfoil.core.roles import Permission
from counterfoil.desk import callbacks as desk_callbacks
from counterfoil.pages.forms import read_form
from counterfoil.studio.door import Answer, PageRequest, confirm_with, desk_of, parts_of
from counterfoil.studio.settings.frame import ADDRESS, decided, settings_page

CALLBACKS: Final = f"{ADDRESS}/callbacks"


@get("/settings/callbacks")
async def callbacks(request: PageRequest) -> Answer:
    """How callbacks do."""
    return await _page(request)


@post("/settings/callbacks/default", status_code=303)
async def choose_default(request: PageRequest) -> Answer:
    """Choose where invoices are told of that name no address."""
    form = await read_form(request)
    url = form.raw("default_url")
    work = partial(
        desk_callbacks.choose_default,
        desk_of(request),
        url,
        request.user.actor,
        allow_private=parts_of(request).allow_private_callbacks,
    )
    return await _do(request, work, partial(_page, request, default_url=url), done="saved")


@post("/settings/callbacks/secret", status_code=200)
async def show_secret(request: PageRequest) -> Answer:
    """The secret with which callbacks are signed, for whoever has just proved who they are."""
    request.user.actor.require(Permission.ADMINISTER)
    try:
        await confirm_with(request, await read_form(request))
        master = parts_of(request).callback_master
        if master is None:
            raise Unavailable(
                "this web process does not know the master secret; whoever runs it shows the"
                " secret with `counterfoil org callback-secret`"
            )
        secret = await desk_callbacks.secret(desk_of(request), master, request.user.actor)
    except Forbidden:
        raise
    except Refusal as refusal:
        return await _page(request, refusal)
    return settings_page(request, "callback_secret", {"secret": secret})


@post("/settings/callbacks/rotate", status_code=303)
async def rotate(request: PageRequest) -> Answer:
    """Sign with a new secret from now on."""
    work = partial(desk_callbacks.rotate, desk_of(request), request.user.actor)
    return await _do(request, work, partial(_page, request), done="secret_rotated")


@post("/settings/callbacks/test", status_code=303)
async def send_test(request: PageRequest) -> Answer:
    """Have a test message sent by the worker."""
    form = await read_form(request)
    url = form.raw("callback_url")
    work = partial(
        desk_callbacks.test,
        desk_of(request),
        url,
        request.user.actor,
        allow_private=parts_of(request).allow_private_callbacks,
    )
    return await _do(request, work, partial(_page, request, url=url), done="callback_tested")


async def _do(
    request: PageRequest,
    work: Callable[[], Awaitable[object]],
    page: Callable[[Refusal], Awaitable[Answer]],
    *,
    done: str,
) -> Answer:
    return await decided(request, work, page, back_to=CALLBACKS, done=done, raising=(Forbidden,))


async def _page(
    request: PageRequest,
    refusal: Refusal | None = None,
    url: str = "",
    default_url: str | None = None,
) -> Answer:
    found = await desk_callbacks.overview(desk_of(request), request.user.actor)
    values = {
        "found": found,
        "tests": [(ids.public("evt", told.event.event_id), told) for told in found.tests],
        "lately": desk_callbacks.LATELY,
        "url": url or (found.tests[0].event.url if found.tests else ""),
        "default_url": found.default_url or "" if default_url is None else default_url,
        "shows_secret": parts_of(request).callback_master is not None,
    }
    return settings_page(request, "callbacks", values, refusal)


HANDLERS: Final = (callbacks, choose_default, show_secret, rotate, send_test)
