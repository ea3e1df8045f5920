"""Joining an organisation: where an invitation's link leads, and invitations in one's account."""

from typing import Final
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from counterfoil.core import ids
from counterfoil.core.errors import NotFound, Refusal
from counterfoil.desk import joining, passwords
from counterfoil.desk.signing_in import Visitor
from counterfoil.pages.forms import Form, read_form
from counterfoil.studio import account, signing_in
from counterfoil.studio.door import (
    SIGN_IN,
    Answer,
    PageRequest,
    desk_of,
    go,
    open_to_all,
    parts_of,
    place_of,
    session_cookie,
    show,
    status_code_of,
)


@get("/invitation/{token:str}", opt=open_to_all())
async def invitation(request: PageRequest, token: FromPath[str]) -> Answer:
    """Where somebody new chooses a password, and others accept with the one they have."""
    return await _page(request, token)


@post("/invitation/{token:str}", opt=open_to_all(), status_code=303)
async def accept(request: PageRequest, token: FromPath[str]) -> Answer:
    """Join; the link is good no longer."""
    form = await read_form(request)
    desk = desk_of(request)
    found = await joining.invitation(desk, token)
    try:
        if not found.has_password:
            new = form.raw("password")
            passwords.must_agree(new, form.raw("again"))
            known = parts_of(request).signing_in.passwords
            await joining.accept_newly(desk, known, token, new)
            if _somebody_else(request, found.person_id) is not None:
                return await signing_in.ended(request, f"{SIGN_IN}?done=invited")
            return go(SIGN_IN, done="invited")
        if _is_there(request, found.person_id):
            await joining.accept(desk, token, request.user.session.person_id)
            return go(account.ADDRESS, done="joined")
        return await _prove_and_accept(request, form, token)
    except NotFound:
        raise
    except Refusal as refusal:
        return await _page(request, token, refusal)


@post("/account/invitations/accept", status_code=303)
async def accept_here(request: PageRequest) -> Answer:
    """Join with a link that was taken over from wherever it was handed out."""
    token = (await read_form(request)).raw("link").strip().rpartition("/")[2]
    try:
        await joining.accept(desk_of(request), token, request.user.session.person_id)
    except Refusal as refusal:
        return await account.page(request, refusal)
    return go(account.ADDRESS, done="joined")


@post("/account/invitations/{public_id:str}/decline", status_code=303)
async def decline(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Refuse an invitation."""
    await joining.decline(desk_of(request), ids.parse("user", public_id), request.user)
    return go(account.ADDRESS, done="declined_invitation")


async def _prove_and_accept(request: PageRequest, form: Form, token: str) -> Answer:
    """Join as somebody who proves who they are in the same form, and sign them in.

    Whoever is a member nowhere can not sign in before.
    """
    parts, place = parts_of(request), place_of(request)
    found = await joining.invitation(desk_of(request), token)
    await parts.signing_in.prove_person(found.email, form.raw("old"), form.raw("code"), place)
    await joining.accept(desk_of(request), token, found.person_id)
    cookie = await parts.signing_in.begin_for(
        found.person_id, place, f"person:{found.email.lower()}", factor_due=False
    )
    if cookie is None:
        return go(SIGN_IN)
    target = f"{account.ADDRESS}?done=joined"
    cookies = [session_cookie(parts, cookie)]
    return Response(b"", status_code=303, headers={"Location": target}, cookies=cookies)


async def _page(request: PageRequest, token: str, refusal: Refusal | None = None) -> Answer:
    found = await joining.invitation(desk_of(request), token)
    values = {
        "found": found,
        "awaited": await joining.awaited(desk_of(request), found),
        "id": ids.public("user", found.member_id),
        "token": token,
        "is_there": _is_there(request, found.person_id),
        "somebody_else": _somebody_else(request, found.person_id),
        "least": passwords.LEAST_CHARACTERS,
        "refusal": refusal,
    }
    code = 200 if refusal is None else status_code_of(refusal)
    return show(request, "studio/invitation.html", values, status_code=code)


def _is_there(request: PageRequest, person_id: UUID) -> bool:
    """Whether the visitor is whom an invitation is for, with every factor shown."""
    visitor = request.scope.get("user")
    if not isinstance(visitor, Visitor) or visitor.needs_factor:
        return False
    return visitor.session.person_id == person_id


def _somebody_else(request: PageRequest, person_id: UUID) -> Visitor | None:
    """The visitor, where they are signed in as another person than an invitation is for."""
    visitor = request.scope.get("user")
    is_other = isinstance(visitor, Visitor) and visitor.session.person_id != person_id
    return visitor if is_other else None


HANDLERS: Final = (invitation, accept, accept_here, decline)
