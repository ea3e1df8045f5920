"""Who comes in: the session behind the cookie, forms that only our own pages send, and refusals.

Every request passes here first. Without a session only sign-in is open, with half of one only
the second factor; an unsafe request must come from a page of ours, which its origin and a token
of the form show (specs/reliability.md T9).
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import tzinfo
from traceback import format_exception
from typing import Any, Final
from urllib.parse import quote, urlsplit

import structlog
from litestar import Request, Response
from litestar.datastructures import Cookie, MutableScopeHeaders
from litestar.enums import MediaType, ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from counterfoil.core import zones
from counterfoil.core.errors import (
    Conflict,
    Damaged,
    Forbidden,
    Invalid,
    NotFound,
    OutOfPlace,
    Refusal,
    Unavailable,
)
from counterfoil.desk.changes import Changes
from counterfoil.desk.desk import Desk
from counterfoil.desk.factors import Factors
from counterfoil.desk.jobs import Jobs
from counterfoil.desk.passkeys import Passkeys
from counterfoil.desk.signing_in import (
    ConfirmFirst,
    NotSignedIn,
    SigningIn,
    Visitor,
    form_token,
    is_form_token,
)
from counterfoil.desk.tries import Place, TooManyTries
from counterfoil.front import address_of, neighbourhood_of, request_id_of
from counterfoil.pages import language, render
from counterfoil.pages.forms import Form, comes_from_here, read_form
from counterfoil.pages.press import Press
from counterfoil.studio import action_words, terms, words

PREFIX: Final = "/studio"
SIGN_IN: Final = f"{PREFIX}/sign-in"
SECOND_FACTOR: Final = f"{PREFIX}/second-factor"

FORM_FIELD: Final = "form_token"
FORM_HEADER: Final = "X-Form-Token"

_OPEN: Final = "open"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_log: Final = structlog.get_logger("counterfoil.studio")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the pages need beside the desk. ``form_key`` makes the tokens of forms.

    ``public_url`` is where people reach us, and the beginning of every link that is handed out.

    ``callback_master`` is there only where administrators may look at the secret that signs
    callbacks.

    ``secure``: browsers reach us by https, so cookies go nowhere else. ``sandbox`` shows what
    only a demo may show.
    """

    signing_in: SigningIn
    factors: Factors
    passkeys: Passkeys
    changes: Changes
    jobs: Jobs
    press: Press
    public_url: str
    form_key: bytes = field(repr=False)
    secure: bool = False
    sandbox: bool = False
    allow_private_callbacks: bool = False
    callback_master: bytes | None = field(default=None, repr=False)

    @property
    def cookie(self) -> str:
        """The session cookie's name; the prefix binds it to this host (RFC 6265bis 4.1.3)."""
        return "__Host-counterfoil" if self.secure else "counterfoil"


PageRequest = Request[Visitor, str, Any]
Answer = Response[bytes]


class SignInFirst(Refusal):
    """Nobody is signed in, or the session has ended."""

    kind = "sign_in_first"


class StrangeForm(Refusal):
    """An unsafe request that did not come from a page of ours."""

    kind = "strange_form"


def open_to_all() -> dict[str, object]:
    """Route option: no session is needed."""
    return {_OPEN: True}


class Door(ASGIMiddleware):
    """Finds out who is there, and turns away what no page of ours has sent."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Let the request pass, with its visitor, or raise a `Refusal`."""
        request: PageRequest = Request(scope, receive=receive, send=send)
        parts: Parts = request.app.state.studio
        cookie = request.cookies.get(parts.cookie, "")
        visitor = await _visitor(request, parts, cookie) if cookie else None
        scope["user"] = visitor
        # Whoever is not signed in yet gets a cookie as well, for the token of the form.
        scope["auth"] = cookie or secrets.token_urlsafe(32)
        is_unsafe = request.method not in _SAFE
        if is_unsafe and not comes_from_here(request):
            raise StrangeForm("this form came from another site, so nothing was done")
        # Before the form is read: nobody sends files whom we do not know.
        if _OPEN not in request.route_handler.opt:
            _check_visitor(request, visitor)
        if is_unsafe:
            await _check_form(request, parts, cookie)

        async def remember(message: Message) -> None:
            token = scope["auth"]
            if message["type"] == "http.response.start" and token != cookie:
                headers = MutableScopeHeaders.from_message(message)
                if not any(v.startswith(parts.cookie) for v in headers.getall("set-cookie", [])):
                    header = session_cookie(parts, token).to_header(header="")
                    headers.add("Set-Cookie", header.strip())
            await send(message)

        await next_app(scope, receive, remember)


async def _visitor(request: PageRequest, parts: Parts, cookie: str) -> Visitor | None:
    return await parts.signing_in.who(cookie, request_id_of(request.scope))


def _check_visitor(request: PageRequest, visitor: Visitor | None) -> None:
    if visitor is None:
        raise SignInFirst("sign in first")
    if visitor.needs_factor and request.scope["path"] != SECOND_FACTOR:
        raise SignInFirst("show your second factor first")


async def _check_form(request: PageRequest, parts: Parts, cookie: str) -> None:
    """Refuse a form without the token that we wrote into it."""
    given = request.headers.get(FORM_HEADER) or (await read_form(request)).raw(FORM_FIELD)
    if not cookie or not is_form_token(parts.form_key, cookie, given):
        raise StrangeForm("this form is too old; load the page again and send it once more")


def session_cookie(parts: Parts, token: str, *, ended: bool = False) -> Cookie:
    """The cookie that carries a session: for scripts unreadable, for other sites out of reach."""
    return Cookie(
        key=parts.cookie,
        value=token,
        path="/",
        httponly=True,
        samesite="lax",
        secure=parts.secure,
        max_age=0 if ended else None,
    )


def go_on_with(request: PageRequest, token: str) -> None:
    """Have the answer carry the session's new cookie, and its forms the tokens that fit it."""
    request.scope["auth"] = token


def desk_of(request: PageRequest) -> Desk:
    """The desk."""
    desk: Desk = request.app.state.desk
    return desk


def parts_of(request: PageRequest) -> Parts:
    """The other parts."""
    parts: Parts = request.app.state.studio
    return parts


def place_of(request: PageRequest) -> Place:
    """Where a request comes from, whatever headers of its own claim (T25)."""
    agent = request.headers.get("user-agent", "")
    return Place(agent, address_of(request.scope), neighbourhood_of(request.scope))


def language_of(request: PageRequest) -> str:
    """The member's choice, else what the browser asks for."""
    visitor = request.scope.get("user")
    chosen = visitor.session.language if isinstance(visitor, Visitor) else None
    return chosen or language.preferred(request.headers.get("accept-language", ""))


def zone_of(request: PageRequest) -> tzinfo:
    """Where the visitor's organisation is; pages write every time as it is there."""
    visitor = request.scope.get("user")
    return zones.zone(visitor.session.time_zone if isinstance(visitor, Visitor) else zones.DEFAULT)


def translated(request: PageRequest) -> Callable[[str], str]:
    """What says a sentence in the visitor's language, for what is no page."""
    return language.translations(language_of(request)).gettext


def show(
    request: PageRequest,
    template: str,
    values: dict[str, Any] | None = None,
    *,
    status_code: int = 200,
    headers: dict[str, str] | None = None,
) -> Answer:
    """A page of Studio, with what each of them shows."""
    parts = parts_of(request)
    visitor = request.scope.get("user")
    cookie = request.scope.get("auth")
    known = {
        "visitor": visitor,
        "may": visitor.actor.permissions if isinstance(visitor, Visitor) else frozenset(),
        "confirmed": isinstance(visitor, Visitor)
        and visitor.is_confirmed(desk_of(request).clock.now()),
        "form_token": form_token(parts.form_key, cookie if isinstance(cookie, str) else ""),
        "passkey_origin": party.origin if (party := parts.passkeys.party) else None,
        "theme": visitor.session.theme if isinstance(visitor, Visitor) else "auto",
        "path": request.scope["path"],
        "zone": zone_of(request),
        "words": words,
        "terms": terms,
        "buttons": action_words,
        "sandbox": parts.sandbox,
        "done": request.query_params.get("done", ""),
        "is_looking": request.method in _SAFE,
    }
    return render.page(
        language_of(request),
        template,
        {**known, **(values or {})},
        status_code=status_code,
        headers=headers,
        packed=render.takes_packed(request),
    )


def go(address: str, *, done: str | None = None) -> Answer:
    """Send the browser on after something was done, and say there what it was."""
    join = "&" if "?" in address else "?"
    target = address if done is None else f"{address}{join}done={quote(done)}"
    return Response(b"", status_code=303, headers={"Location": target})


def question(text: str) -> Response[bytes]:
    """What a page's script asks the browser; JSON."""
    return Response(text.encode(), media_type=MediaType.JSON)


async def confirm_with(request: PageRequest, form: Form) -> None:
    """Have who is about to move money prove themselves, if they did not a moment ago.

    The proof stands in the same form, so that nothing is asked twice: what they typed, or what
    their passkey answered. Raises `ConfirmFirst`, `NotSignedIn` and `TooManyTries`.
    """
    parts, place = parts_of(request), place_of(request)
    if answer := form.raw("passkey"):
        await parts.passkeys.confirm(request.user, request.auth, answer, place)
    elif proof := form.raw("proof"):
        await parts.signing_in.confirm(request.user, proof, place)
    else:
        parts.signing_in.must_be_confirmed(request.user)
        return
    # A form that comes back for another reason does not ask for the proof again.
    request.scope["user"] = request.user.just_confirmed(desk_of(request).clock.now())


_STATUS_CODES: Final[dict[type[Refusal], int]] = {
    StrangeForm: 403,
    NotSignedIn: 403,
    ConfirmFirst: 403,
    TooManyTries: 429,
    Forbidden: 403,
    NotFound: 404,
    OutOfPlace: 409,
    Conflict: 409,
    Invalid: 422,
    Damaged: 500,
    Unavailable: 503,
}


def status_code_of(refusal: Refusal) -> int:
    """The HTTP status of a refusal; the nearest class counts."""
    return next((_STATUS_CODES[c] for c in type(refusal).__mro__ if c in _STATUS_CODES), 400)


def refused(request: PageRequest, refusal: Refusal) -> Answer:
    """Say what was wrong and what is allowed, in the frame that was asked for."""
    fragment = render.is_fragment(request)
    template = "studio/refused_part.html" if fragment else "studio/refused.html"
    return show(
        request,
        template,
        {"refusal": refusal, "kind": refusal.kind},
        status_code=status_code_of(refusal),
        headers={"Retry-After": "5"} if isinstance(refusal, Unavailable) else None,
    )


def refused_by_http(request: PageRequest, refusal: HTTPException) -> Answer:
    """Answer what the server itself refuses: unknown paths and methods, bodies too large."""
    told = {
        404: Refusal("there is no such page"),
        413: Refusal("this is too large; nothing was changed"),
    }
    otherwise = Refusal("the request could not be read; nothing was changed")
    values = {"refusal": told.get(refusal.status_code, otherwise), "kind": "http"}
    return show(request, "studio/refused.html", values, status_code=refusal.status_code)


def failed(request: PageRequest, failure: Exception) -> Answer:
    """Answer a failure of ours without telling anything about our insides; the log has it all."""
    request_id = request_id_of(request.scope)
    _log.error("page_failed", request_id=request_id, trace="".join(format_exception(failure)))
    message = (
        "something went wrong on our side; nothing more is known here than this number:"
        f" {request_id}"
    )
    values = {"refusal": Refusal(message), "kind": "failed"}
    return show(request, "studio/refused.html", values, status_code=500)


def sign_in_first(request: PageRequest, _refusal: SignInFirst) -> Answer:
    """Send the browser to where it can sign in, and back afterwards."""
    visitor = request.scope.get("user")
    half = isinstance(visitor, Visitor) and visitor.needs_factor
    target = SECOND_FACTOR if half else SIGN_IN
    if request.method in _SAFE:
        asked = request.scope["path"]
        if query := request.scope["query_string"].decode("latin-1"):
            asked = f"{asked}?{query}"
        target = f"{target}?next={quote(asked, safe='')}"
    if render.is_fragment(request):
        return Response(b"", status_code=200, headers={"HX-Redirect": target})
    return Response(b"", status_code=303, headers={"Location": target})


def next_of(text: str) -> str:
    """Where to go on: one of our own pages, and nothing that a browser could take for more."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return PREFIX
    plain = text.isascii() and text.isprintable() and "\\" not in text and "//" not in text
    ours = parts.path == PREFIX or parts.path.startswith(f"{PREFIX}/")
    return text if plain and ours and not parts.scheme and not parts.netloc else PREFIX
