"""Callbacks: the default address, the signing secret, receivers of late, and a test message."""

from collections.abc import Awaitable, Callable
from typing import Final

from litestar import get, post

from counterfoil.core import ids
from counterfoil.core.errors import Forbidden, Refusal, Unavailable
from counterfoil.core.roles import Permission
from counterfoil.desk import callbacks as desk_callbacks
from counterfoil.pages.forms import Form, read_form
from counterfoil.studio.door import Answer, PageRequest, confirm_with, desk_of, go, parts_of
from counterfoil.studio.settings.frame import ADDRESS, settings_page

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

    async def work() -> Answer:
        await desk_callbacks.choose_default(
            desk_of(request),
            url,
            request.user.actor,
            allow_private=parts_of(request).allow_private_callbacks,
        )
        return go(CALLBACKS, done="saved")

    return await _do(request, form, work, default_url=url)


@post("/settings/callbacks/secret", status_code=200)
async def show_secret(request: PageRequest) -> Answer:
    """The secret with which callbacks are signed, for whoever has just proved who they are."""

    async def look() -> Answer:
        master = parts_of(request).callback_master
        if master is None:
            raise Unavailable(
                "this web process does not know the master secret; whoever runs it shows the"
                " secret with `counterfoil org callback-secret`"
            )
        secret = await desk_callbacks.secret(desk_of(request), master, request.user.actor)
        return settings_page(request, "callback_secret", {"secret": secret})

    return await _do(request, await read_form(request), look)


@post("/settings/callbacks/rotate", status_code=303)
async def rotate(request: PageRequest) -> Answer:
    """Sign with a new secret from now on."""

    async def work() -> Answer:
        await desk_callbacks.rotate(desk_of(request), request.user.actor)
        return go(CALLBACKS, done="secret_rotated")

    return await _do(request, await read_form(request), work)


@post("/settings/callbacks/test", status_code=303)
async def send_test(request: PageRequest) -> Answer:
    """Have a test message sent by the worker."""
    form = await read_form(request)
    url = form.raw("callback_url")

    async def work() -> Answer:
        await desk_callbacks.test(
            desk_of(request),
            url,
            request.user.actor,
            allow_private=parts_of(request).allow_private_callbacks,
        )
        return go(CALLBACKS, done="callback_tested")

    return await _do(request, form, work, url)


async def _do(
    request: PageRequest,
    form: Form,
    work: Callable[[], Awaitable[Answer]],
    url: str = "",
    default_url: str | None = None,
) -> Answer:
    request.user.actor.require(Permission.ADMINISTER)
    try:
        await confirm_with(request, form)
        return await work()
    except Forbidden:
        raise
    except Refusal as refusal:
        return await _page(request, refusal, url, default_url)


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
