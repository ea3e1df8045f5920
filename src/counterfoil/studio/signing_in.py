"""Signing in and out, and the second factor."""

from typing import Final

from litestar import Response, get, post

from counterfoil.core.errors import Conflict
from counterfoil.desk.signing_in import NotSignedIn, Visitor
from counterfoil.desk.tries import TooManyTries
from counterfoil.pages.forms import read_form
from counterfoil.studio.door import (
    SECOND_FACTOR,
    SIGN_IN,
    Answer,
    PageRequest,
    go,
    next_of,
    open_to_all,
    parts_of,
    place_of,
    question,
    session_cookie,
    show,
    status_code_of,
)


@get("/sign-in", opt=open_to_all())
async def sign_in_page(request: PageRequest) -> Answer:
    """Where everybody starts."""
    onward = next_of(request.query_params.get("next", ""))
    visitor = request.scope.get("user")
    if isinstance(visitor, Visitor) and not visitor.needs_factor:
        return go(onward)
    return show(request, "studio/sign_in.html", {"next": onward, "email": "", "refusal": None})


@post("/sign-in", opt=open_to_all(), status_code=303)
async def sign_in(request: PageRequest) -> Answer:
    """Begin a session; its cookie is new, whatever the browser had before."""
    form = await read_form(request)
    email, onward = form.raw("email"), next_of(form.raw("next"))
    parts = parts_of(request)
    try:
        token, factor_due = await parts.signing_in.sign_in(
            email, form.raw("password"), place_of(request)
        )
    except (NotSignedIn, TooManyTries) as refusal:
        values = {"next": onward, "email": email, "refusal": refusal}
        code = status_code_of(refusal)
        return show(request, "studio/sign_in.html", values, status_code=code)
    target = f"{SECOND_FACTOR}?next={onward}" if factor_due else onward
    return _with_session(request, target, token)


@get("/sign-in/passkey", opt=open_to_all())
async def ask_for_passkey(request: PageRequest) -> Response[bytes]:
    """What the browser has to be asked, for whichever passkey it has; changes nothing."""
    return question(parts_of(request).passkeys.ask_anybody(request.auth))


@post("/sign-in/passkey", opt=open_to_all(), status_code=303)
async def sign_in_with_passkey(request: PageRequest) -> Answer:
    """Begin a session with a passkey, which is both factors at once."""
    form = await read_form(request)
    onward = next_of(form.raw("next"))
    try:
        token = await parts_of(request).passkeys.sign_in(
            request.auth, form.raw("passkey"), place_of(request)
        )
    except (Conflict, NotSignedIn, TooManyTries) as refusal:
        values = {"next": onward, "email": "", "refusal": refusal}
        code = status_code_of(refusal)
        return show(request, "studio/sign_in.html", values, status_code=code)
    return _with_session(request, onward, token)


@get("/second-factor")
async def factor_page(request: PageRequest) -> Answer:
    """Where a code is asked for."""
    onward = next_of(request.query_params.get("next", ""))
    if not request.user.needs_factor:
        return go(onward)
    return show(request, "studio/second_factor.html", {"next": onward, "refusal": None})


@post("/second-factor", status_code=303)
async def show_factor(request: PageRequest) -> Answer:
    """Finish signing in."""
    form = await read_form(request)
    onward = next_of(form.raw("next"))
    try:
        token = await parts_of(request).signing_in.show_factor(
            request.user, form.raw("code"), place_of(request)
        )
    except (NotSignedIn, TooManyTries) as refusal:
        values = {"next": onward, "refusal": refusal}
        code = status_code_of(refusal)
        return show(request, "studio/second_factor.html", values, status_code=code)
    return _with_session(request, onward, token)


@post("/sign-out", status_code=303)
async def sign_out(request: PageRequest) -> Answer:
    """End this session, and go on where the form says."""
    onward = (await read_form(request)).raw("next")
    return await ended(request, next_of(onward) if onward else SIGN_IN)


async def ended(request: PageRequest, target: str) -> Answer:
    """End the visitor's session and send the browser on."""
    await parts_of(request).signing_in.sign_out(request.user)
    cookie = session_cookie(parts_of(request), "", ended=True)
    return Response(b"", status_code=303, headers={"Location": target}, cookies=[cookie])


def _with_session(request: PageRequest, target: str, token: str) -> Answer:
    cookie = session_cookie(parts_of(request), token)
    return Response(b"", status_code=303, headers={"Location": target}, cookies=[cookie])


HANDLERS: Final = (
    sign_in_page,
    sign_in,
    ask_for_passkey,
    sign_in_with_passkey,
    factor_page,
    show_factor,
    sign_out,
)
