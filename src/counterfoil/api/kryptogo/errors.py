"""Refusals on KryptoGO's wire: ``{"code", "message", "data"}`` (specs/kryptogo.md C.2)."""

import traceback
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.enums import MediaType
from litestar.exceptions import HTTPException

from counterfoil.api.kryptogo.status import VERBS, invoice_status, verbs_of
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
from counterfoil.core.invoice import Context, Status
from counterfoil.core.lifecycle import command_name
from counterfoil.core.roles import Actor
from counterfoil.core.strict_json import Unreadable

RETRY_AFTER_SECONDS: Final = 5

_log: Final = structlog.get_logger("counterfoil.api.kryptogo")


class BadQuery(Invalid):
    """The address asked for is malformed: a list filter or a page that cannot be."""


class NotYou(Refusal):
    """No API key, or one that is not good; never says which."""

    kind = "unauthenticated"


class WrongClient(Forbidden):
    """The client id is not the one that the API key belongs to."""


class TooMany(Refusal):
    """More requests than are heard in this time."""

    kind = "too_many"


_CODES: Final[dict[type[Refusal], tuple[int, int]]] = {
    Unreadable: (400, 4000),
    BadQuery: (400, 4000),
    NotYou: (401, 4002),
    WrongClient: (403, 4001),
    Forbidden: (403, 4003),
    NotFound: (404, 4016),
    OutOfPlace: (409, 4090),
    Conflict: (409, 4090),
    Invalid: (422, 4220),
    TooMany: (429, 4290),
    Damaged: (500, 5001),
    Unavailable: (503, 5030),
}
"""HTTP status and code of each refusal; the nearest class counts."""

_HTTP_CODES: Final = {404: 4040, 405: 4050, 413: 4130, 415: 4150}
"""What the wire itself refuses, before any invoice is asked about."""

_HTTP_MESSAGES: Final = {
    404: "there is no such path in this API; /v1/studio/api/openapi.json lists those there are",
    405: "this path does not take this method",
    413: "the body is too large",
}


def refused(request: Request[Any, Any, Any], refusal: Refusal) -> Response[bytes]:
    """Answer a refusal with what was wrong and what is allowed."""
    status_code, code = next(_CODES[c] for c in type(refusal).__mro__ if c in _CODES)
    data: dict[str, object] = dict(refusal.data)
    if refusal.fields:
        data["fields"] = dict(refusal.fields)
    message = refusal.message
    if isinstance(refusal, OutOfPlace):
        # Refused commands come from those who may act, who are told what they themselves may do.
        message = _in_our_words(message, data, request.user.actor)
    headers = {}
    if isinstance(refusal, Unavailable | TooMany) or "retry_after_seconds" in data:
        headers["Retry-After"] = str(data.get("retry_after_seconds", RETRY_AFTER_SECONDS))
    if isinstance(refusal, NotYou):
        headers["WWW-Authenticate"] = "X-STUDIO-API-KEY"
    return error(status_code, code, message, data, headers)


def refused_by_http(_request: Request[Any, Any, Any], refusal: HTTPException) -> Response[bytes]:
    """Answer what the server itself refuses: unknown paths and methods, bodies too large."""
    status_code = refusal.status_code
    if status_code >= 500:  # noqa: PLR2004 - the server's own failures
        return error(500, 5000, "something went wrong on our side; nothing was changed", {})
    message = _HTTP_MESSAGES.get(status_code, "the request could not be read")
    return error(status_code, _HTTP_CODES.get(status_code, 4000), message, {})


def failed(request: Request[Any, Any, Any], failure: Exception) -> Response[bytes]:
    """Answer a failure of ours without telling anything about our insides; the log has it all."""
    request_id = request.scope.get("state", {}).get("request_id")
    # Written out here, because a renderer that adds local variables would log keys and names.
    trace = "".join(traceback.format_exception(failure))
    _log.error("request_failed", request_id=request_id, trace=trace)
    return error(
        500,
        5000,
        "something went wrong on our side; ask with the request id",
        {"request_id": request_id},
    )


def try_again(message: str) -> Response[bytes]:
    """Answer that something we need, such as the database, does not answer just now."""
    return error(503, 5030, message, {}, {"Retry-After": str(RETRY_AFTER_SECONDS)})


def error(
    status_code: int,
    code: int,
    message: str,
    data: Mapping[str, object],
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """The error envelope."""
    # A message may repeat what the client sent, even half a surrogate pair.
    told = message.encode("utf-8", "backslashreplace").decode()
    body = msgspec.json.encode({"code": code, "message": told, "data": data})
    return Response(
        body, status_code=status_code, media_type=MediaType.JSON, headers=dict(headers or {})
    )


def _in_our_words(message: str, data: dict[str, object], by: Actor) -> str:
    """Rename status and commands to what this API calls them.

    A refusal with a ``rule`` has a reason of its own, which is told as it is.
    """
    status = data.get("status")
    if not isinstance(status, str):
        return message
    context = data.pop("context", None)
    standing = Status(status), Context(context) if isinstance(context, str) else None
    data["status"] = shown = invoice_status(*standing)
    refused = data.pop("refused", None)
    unheard = {verb.name for verb in VERBS if command_name(verb.command) == refused}
    data["allowed"] = allowed = [v for v in verbs_of(*standing, by.permissions) if v not in unheard]
    if "rule" in data:
        return message
    others = verbs_of(*standing)
    stands = data.get("stands_still")
    nothing = "nothing, others have to go on" if others else "nothing, it goes on by itself"
    if isinstance(stands, dict) and not stands["by_itself"]:
        nothing = "nothing, and it does not go on by itself"
    possible = ", ".join(allowed) or nothing
    sentence = f"this is not possible while the invoice is {shown}; possible now: {possible}"
    if not isinstance(stands, dict):
        return sentence
    word = "It waits" if stands["by_itself"] else "It stands still"
    money, who = _told(stands["money"]), _told(stands["who"])
    return f"{sentence}. {word}: {stands['happened']}. {money}. {who}"


def _told(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
