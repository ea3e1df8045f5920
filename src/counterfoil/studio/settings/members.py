"""Members: who they are, adding one, and what an administrator changes about them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath

from counterfoil.core import ids
from counterfoil.core.errors import Forbidden, NotFound, Refusal
from counterfoil.core.roles import ROLES, Permission
from counterfoil.desk import granting, membership
from counterfoil.pages.forms import Form, read_form
from counterfoil.studio.door import (
    PREFIX,
    Answer,
    PageRequest,
    confirm_with,
    desk_of,
    parts_of,
)
from counterfoil.studio.settings.frame import ADDRESS, decided, settings_page

MEMBERS: Final = f"{ADDRESS}/members"


@get("/settings/members")
async def members(request: PageRequest) -> Answer:
    """Everybody, with what they may do and what they wait for."""
    found = await membership.everybody(desk_of(request), request.user.actor)
    rows = [(ids.public("user", one.member_id), one) for one in found]
    waiting = await granting.waiting(desk_of(request), request.user.actor)
    return settings_page(request, "members", {"rows": rows, "waiting": waiting})


@get("/settings/members/add")
async def add_page(request: PageRequest) -> Answer:
    """The form for one more."""
    request.user.actor.require(Permission.ADMINISTER)
    return _add_page(request, {"email": "", "name": "", "roles": []})


@post("/settings/members/add", status_code=303)
async def add(request: PageRequest) -> Answer:
    """Invite somebody; the link with which they accept is shown once."""
    form = await read_form(request)
    written: dict[str, Any] = {"email": form.raw("email"), "name": form.raw("name")}
    written["roles"] = _roles(form)
    try:
        await confirm_with(request, form)
        invited = await membership.add(
            desk_of(request),
            parts_of(request).signing_in.passwords,
            request.user.actor,
            email=written["email"],
            name=written["name"],
            roles=tuple(written["roles"]),
        )
    except Forbidden:
        raise
    except Refusal as refusal:
        return _add_page(request, written, refusal)
    return await _link_page(request, invited.member_id, written["name"], invited.token)


@get("/settings/members/{public_id:str}")
async def member(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """One member, with everything that can be changed."""
    return await _member_page(request, _member_id(public_id))


@post("/settings/members/{public_id:str}/roles", status_code=303)
async def change_roles(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Give a member other roles."""
    member_id = _member_id(public_id)
    form = await read_form(request)
    chosen = tuple(_roles(form))
    work = partial(membership.change_roles, desk_of(request), member_id, chosen, request.user.actor)
    return await _change(request, member_id, work, done="member_roles")


@post("/settings/members/{public_id:str}/roles/{role:str}/agree", status_code=303)
async def agree(request: PageRequest, public_id: FromPath[str], role: FromPath[str]) -> Answer:
    """Have a role hold that another administrator asked for."""
    member_id = _member_id(public_id)
    work = partial(granting.agree, desk_of(request), member_id, role, request.user.actor)
    return await _change(request, member_id, work, done="role_agreed")


@post("/settings/members/{public_id:str}/roles/{role:str}/call-off", status_code=303)
async def call_off(request: PageRequest, public_id: FromPath[str], role: FromPath[str]) -> Answer:
    """Have a role not come to hold."""
    member_id = _member_id(public_id)
    work = partial(granting.call_off, desk_of(request), member_id, role, request.user.actor)
    return await _change(request, member_id, work, done="role_called_off")


@post("/settings/members/{public_id:str}/disable", status_code=303)
async def disable(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Keep a member out."""
    member_id = _member_id(public_id)
    work = partial(membership.disable, desk_of(request), member_id, request.user.actor)
    return await _change(request, member_id, work, done="member_disabled")


@post("/settings/members/{public_id:str}/enable", status_code=303)
async def enable(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Let a member in again."""
    member_id = _member_id(public_id)
    work = partial(membership.enable, desk_of(request), member_id, request.user.actor)
    return await _change(request, member_id, work, done="member_enabled")


@post("/settings/members/{public_id:str}/reset-factor", status_code=303)
async def reset_factor(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Take a member's second factor away."""
    member_id = _member_id(public_id)
    work = partial(membership.reset_factor, desk_of(request), member_id, request.user.actor)
    return await _change(request, member_id, work, done="factor_reset")


@post("/settings/members/{public_id:str}/invite", status_code=200)
async def invite_again(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """A new link for somebody who has not joined yet."""
    member_id = _member_id(public_id)
    form = await read_form(request)
    try:
        await confirm_with(request, form)
        token = await membership.invite_again(desk_of(request), member_id, request.user.actor)
    except NotFound:
        raise
    except Refusal as refusal:
        return await _member_page(request, member_id, refusal)
    found = await membership.one(desk_of(request), member_id, request.user.actor)
    return await _link_page(request, member_id, found.name, token)


async def _change(
    request: PageRequest, member_id: UUID, work: Callable[[], Awaitable[None]], *, done: str
) -> Answer:
    back_to = f"{MEMBERS}/{ids.public('user', member_id)}"
    page = partial(_member_page, request, member_id)
    return await decided(request, work, page, back_to=back_to, done=done)


async def _member_page(
    request: PageRequest, member_id: UUID, refusal: Refusal | None = None
) -> Answer:
    found = await membership.one(desk_of(request), member_id, request.user.actor)
    public = ids.public("user", member_id)
    everybodys = await granting.waiting(desk_of(request), request.user.actor)
    waiting = [one for one in everybodys if one.member == public]
    values = {
        "id": public,
        "member": found,
        "waiting": waiting,
        "roles": ROLES,
        "chosen": {*found.roles, *(one.grant.role for one in waiting)},
        "me": public == request.user.actor.uid,
    }
    return settings_page(request, "member", values, refusal)


def _add_page(
    request: PageRequest, written: dict[str, Any], refusal: Refusal | None = None
) -> Answer:
    return settings_page(request, "member_add", {"written": written, "roles": ROLES}, refusal)


async def _link_page(request: PageRequest, member_id: UUID, name: str, token: str) -> Answer:
    public = ids.public("user", member_id)
    everybodys = await granting.waiting(desk_of(request), request.user.actor)
    values = {
        "id": public,
        "waiting": [one for one in everybodys if one.member == public],
        "name": name,
        "link": f"{parts_of(request).public_url}{PREFIX}/invitation/{token}",
        "days": membership.INVITED_FOR.days,
    }
    return settings_page(request, "invited", values)


def _roles(form: Form) -> list[str]:
    return form.all("role", at_most=len(ROLES))


def _member_id(public_id: str) -> UUID:
    found = ids.parse("user", public_id)
    if found is None:
        raise NotFound("there is no such member")
    return found


HANDLERS: Final = (
    members,
    add_page,
    add,
    member,
    change_roles,
    agree,
    call_off,
    disable,
    enable,
    reset_factor,
    invite_again,
)
