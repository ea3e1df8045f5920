"""Who is asking: the Studio API key, the client id, and the permission each route needs."""

from math import ceil
from typing import Any, Final

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import HttpMethod
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from counterfoil.api.kryptogo.errors import NotYou, TooMany, WrongClient
from counterfoil.core import ids
from counterfoil.core.errors import Forbidden
from counterfoil.core.pace import Pace
from counterfoil.core.roles import ROLES, Permission
from counterfoil.core.strict_json import Unreadable
from counterfoil.desk import queries
from counterfoil.desk.desk import Desk
from counterfoil.desk.members import Principal, authenticate, with_request_id
from counterfoil.front import request_id_of

KEY_HEADER: Final = "X-STUDIO-API-KEY"
CLIENT_HEADER: Final = "X-Client-ID"

_MAX_KEY_LENGTH: Final = 256
_ANONYMOUS: Final = "anonymous"
_NEEDS: Final = "permissions"
_ASKS: Final = {HttpMethod.OPTIONS}

Connection = ASGIConnection[Any, Any, Any, Any]
StudioRequest = Request[Principal, str, Any]


class StudioKeys(AbstractAuthenticationMiddleware):
    """Finds the member behind the API key, and checks the client id wherever one is sent."""

    async def authenticate_request(self, connection: Connection) -> AuthenticationResult:
        """Return the principal; raises `NotYou` or `WrongClient`."""
        if _ANONYMOUS in connection.route_handler.opt:
            return AuthenticationResult(user=None, auth=None)
        presented = connection.headers.get(KEY_HEADER, "")
        desk: Desk = connection.app.state.desk
        principal = None
        if 0 < len(presented) <= _MAX_KEY_LENGTH and presented.isascii():
            principal = await authenticate(desk, presented)
        if principal is None:
            message = f"the header {KEY_HEADER} must carry a valid Studio API key"
            raise NotYou(message)
        _keep_pace(connection.app.state.pace, principal)
        _check_client(connection.headers.get(CLIENT_HEADER), principal)
        request_id = request_id_of(connection.scope)
        return AuthenticationResult(user=with_request_id(principal, request_id), auth="key")


def needs(*permissions: Permission) -> dict[str, object]:
    """Route option: the caller must hold one of these permissions."""
    return {_NEEDS: permissions}


def anonymous() -> dict[str, object]:
    """Route option: anybody may ask, without a key."""
    return {_ANONYMOUS: True}


async def permitted(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guard: refuse whoever lacks the route's permission, before anything of theirs is read.

    To a key that is bound to a client id, invoices of others are as unknown as those of nobody.
    ``OPTIONS`` tells anybody which methods a path takes, and asks for no key.
    """
    only_asks = isinstance(handler, HTTPRouteHandler) and handler.http_methods == _ASKS
    if _ANONYMOUS in handler.opt or only_asks:
        return
    needed: tuple[Permission, ...] = handler.opt[_NEEDS]
    principal: Principal = connection.user
    if any(permission in principal.actor.permissions for permission in needed):
        await _reached(connection, principal)
        return
    names = " or ".join(permission.value for permission in needed)
    roles = " or ".join(role for role, held in ROLES.items() if held.intersection(needed))
    message = f"this needs the permission {names}, which you do not have; the role {roles} has it"
    raise Forbidden(message, data={"missing_permission": needed[0].value})


async def _reached(connection: Connection, principal: Principal) -> None:
    asked = ids.parse("inv", str(connection.path_params.get("intent_id", "")))
    if asked is not None:
        await queries.must_reach(connection.app.state.desk, asked, principal.actor)


def require_client(request: StudioRequest, in_body: object) -> str:
    """Create needs the client id as a header, and answers it; one in the body must be the same."""
    sent = request.headers.get(CLIENT_HEADER)
    if sent is None:
        raise Unreadable.field(CLIENT_HEADER, "is required to create an invoice")
    if in_body is not None and in_body != sent:
        message = f"client_id is not the one that {CLIENT_HEADER} names"
        raise WrongClient(message, fields={"client_id": f"is not the one in {CLIENT_HEADER}"})
    return sent


def _keep_pace(pace: Pace | None, principal: Principal) -> None:
    wait_seconds = 0 if pace is None else pace.wait_seconds(principal.actor.uid)
    if wait_seconds:
        message = "more requests than are heard in this time; ask again a little later"
        raise TooMany(message, data={"retry_after_seconds": ceil(wait_seconds)})


def _check_client(given: str | None, principal: Principal) -> None:
    if not principal.client_ids:
        message = "every client id that this API key may be used with is disabled"
        raise WrongClient(message, fields={CLIENT_HEADER: "is disabled, and this key with it"})
    if given is not None and given not in principal.client_ids:
        message = f"{CLIENT_HEADER} is no client id that this API key may be used with"
        raise WrongClient(message, fields={CLIENT_HEADER: "is no client id of this API key"})
