"""Who comes in: anybody, at a bounded pace. What is refused says so, and nothing more."""

from math import ceil
from traceback import format_exception
from typing import Any, Final
from urllib.parse import urlencode

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from counterfoil.checkout.parts import Parts, TooFast
from counterfoil.core.errors import Damaged, NotFound, Refusal, Unavailable
from counterfoil.desk.desk import Desk
from counterfoil.front import neighbourhood_of, request_id_of
from counterfoil.pages import language, render
from counterfoil.pages.language import N_

PageRequest = Request[Any, Any, Any]
Answer = Response[bytes]

HEADERS: Final = {"X-Robots-Tag": "noindex, nofollow, noarchive"}

_log: Final = structlog.get_logger("counterfoil.checkout")

_NOWHERE: Final = (
    N_("There is no such page"),
    N_("The address is wrong, or it is no longer valid. Ask whoever sent it to you."),
)
_TOO_FAST: Final = (
    N_("Please wait a moment"),
    N_("Too much was asked at once from where you are."),
)
_BUSY: Final = (
    N_("This is not possible just now"),
    N_("Nothing was changed. Load the page again in a moment."),
)
_STRANGE: Final = (N_("This cannot be read"), N_("Nothing was changed. Load the page again."))
_FAILED: Final = (
    N_("Something went wrong on our side"),
    N_("Money that you sent is not affected. Load the page again in a moment."),
)


def desk_of(request: PageRequest) -> Desk:
    """The desk."""
    desk: Desk = request.app.state.desk
    return desk


def parts_of(request: PageRequest) -> Parts:
    """The other parts."""
    parts: Parts = request.app.state.checkout
    return parts


def keep_pace(request: PageRequest) -> None:
    """Hear each address at a bounded pace, whatever headers of its own claim (T25)."""
    wait_seconds = parts_of(request).pace.wait_seconds(neighbourhood_of(request.scope))
    if wait_seconds:
        raise TooFast("too much at once", data={"retry_after_seconds": ceil(wait_seconds)})


def language_of(request: PageRequest) -> str:
    """The language that the address names, else what the browser asks for."""
    named = request.query_params.get("lang", "")
    accepted = request.headers.get("accept-language", "")
    return named if named in language.LANGUAGES else language.preferred(accepted)


def show(
    request: PageRequest,
    template: str,
    values: dict[str, Any],
    *,
    status_code: int = 200,
    headers: dict[str, str] | None = None,
) -> Answer:
    """A page that no search engine lists."""
    return render.page(
        language_of(request),
        template,
        values,
        status_code=status_code,
        headers={**HEADERS, **(headers or {})},
        packed=render.takes_packed(request),
    )


def refused(request: PageRequest, refusal: Refusal) -> Answer:
    """Say it in both languages: nobody knows who stands before a door that does not open."""
    match refusal:
        case NotFound():
            return _plain(request, 404, _NOWHERE)
        case TooFast():
            wait = {"Retry-After": str(refusal.data["retry_after_seconds"])}
            return _plain(request, 429, _TOO_FAST, wait)
        case Unavailable():
            return _plain(request, 503, _BUSY, {"Retry-After": "5"})
        case Damaged():
            return _plain(request, 500, _FAILED)
        case _:
            return _plain(request, 400, _STRANGE)


def refused_by_http(request: PageRequest, refusal: HTTPException) -> Answer:
    """Answer what the server itself refuses: unknown paths and methods, bodies too large."""
    told = _NOWHERE if refusal.status_code == 404 else _STRANGE  # noqa: PLR2004 - HTTP: not found
    return _plain(request, refusal.status_code, told)


def failed(request: PageRequest, failure: Exception) -> Answer:
    """Answer a failure of ours without telling anything about our insides; the log has it all."""
    _log.error(
        "payment_page_failed",
        request_id=request_id_of(request.scope),
        trace="".join(format_exception(failure)),
    )
    return _plain(request, 500, _FAILED)


def _plain(
    request: PageRequest,
    status_code: int,
    told: tuple[str, str],
    headers: dict[str, str] | None = None,
) -> Answer:
    said = [(tag, *map(language.translations(tag).gettext, told)) for tag in language.LANGUAGES]
    return show(
        request, "checkout/plain.html", {"said": said}, status_code=status_code, headers=headers
    )


def query(**fields: str) -> str:
    """A query string of what is not empty, with its question mark; empty where nothing is."""
    given = {name: value for name, value in fields.items() if value}
    return f"?{urlencode(given)}" if given else ""
