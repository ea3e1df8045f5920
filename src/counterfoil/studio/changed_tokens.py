"""Tokens that their issuer changed: what waits for it, and somebody's word that it may go on."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from litestar import get, post

from counterfoil.core.errors import NotFound, Refusal
from counterfoil.core.roles import Permission
from counterfoil.desk import changed_tokens
from counterfoil.desk.changed_tokens import Acceptance, Change
from counterfoil.pages.forms import read_form
from counterfoil.studio.door import (
    PREFIX,
    Answer,
    PageRequest,
    confirm_with,
    desk_of,
    go,
    show,
    status_code_of,
)

CHANGED: Final = f"{PREFIX}/changed-tokens"

_VERSION: Final = ("chain", "contract", "fingerprint")
_FIELDS: Final = (*_VERSION, "reason")


@get("/changed-tokens")
async def changed(request: PageRequest) -> Answer:
    """Every change that nobody of the organisation has looked at, and what was said of others."""
    return await _page(request, {})


@post("/changed-tokens", status_code=303)
async def accept(request: PageRequest) -> Answer:
    """Let money go on under one of them."""
    return await _say(request, changed_tokens.accept, done="token_accepted")


@post("/changed-tokens/withdraw", status_code=303)
async def withdraw(request: PageRequest) -> Answer:
    """Take the word about one of them back."""
    return await _say(request, changed_tokens.withdraw, done="token_withdrawn")


async def _say(request: PageRequest, word: Callable[..., Awaitable[None]], *, done: str) -> Answer:
    """Pass somebody's word about a version on to the desk, with their proof that it is they."""
    request.user.actor.require(Permission.SIGN)
    form = await read_form(request)
    written = {name: form.raw(name) for name in _FIELDS}
    try:
        await confirm_with(request, form)
        await word(
            desk_of(request),
            tuple(written[name] for name in _VERSION),
            by=request.user.actor,
            reason=form.text("reason", empty=False, lines=True),
        )
    except NotFound:
        raise
    except Refusal as refusal:
        return await _page(request, written, refusal)
    return go(CHANGED, done=done)


async def _page(
    request: PageRequest, written: Mapping[str, str], refusal: Refusal | None = None
) -> Answer:
    by = request.user.actor
    return show(
        request,
        "studio/changed_tokens.html",
        {
            "changes": await changed_tokens.waiting(desk_of(request), by),
            "accepted": await changed_tokens.accepted(desk_of(request), by),
            "may_accept": Permission.SIGN in by.permissions,
            "written": written,
            "is_written": partial(_is_written, written),
            "refusal": refusal,
            "errors": {} if refusal is None else dict(refusal.fields),
        },
        status_code=200 if refusal is None else status_code_of(refusal),
    )


def _is_written(written: Mapping[str, str], one: Change | Acceptance) -> bool:
    """Whether the form that came back is about this very version."""
    version = (one.asset.chain, one.asset.contract, one.fingerprint)
    return version == tuple(written.get(name) for name in _VERSION)


HANDLERS: Final = (changed, accept, withdraw)
