"""The organisation: its profile and logo, its bank accounts, and where its money may go."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath

from counterfoil.core import ids
from counterfoil.core.errors import Forbidden, Invalid, NotFound, Refusal
from counterfoil.core.roles import Permission
from counterfoil.desk import files, payout_addresses
from counterfoil.desk import profile as desk_profile
from counterfoil.pages.forms import Form, read_form
from counterfoil.studio.door import Answer, PageRequest, confirm_with, desk_of, go
from counterfoil.studio.settings.frame import ADDRESS, settings_page

PROFILE: Final = f"{ADDRESS}/organisation"
PAYOUTS: Final = f"{ADDRESS}/payout-addresses"
MAX_LOGO_FORM_BYTES: Final = desk_profile.MAX_LOGO_BYTES + 64 * 1024

_FIELDS: Final = ("name", "email", "address", "tax_number")


@get("/settings/organisation")
async def organisation(request: PageRequest) -> Answer:
    """All that documents say about the organisation."""
    return await _page(request)


@post("/settings/organisation", status_code=303)
async def change(request: PageRequest) -> Answer:
    """Change name, e-mail, address and tax number."""
    form = await read_form(request)
    written = {name: form.raw(name) for name in _FIELDS}
    work = partial(
        desk_profile.change, desk_of(request), desk_profile.Written(**written), request.user.actor
    )
    return await _do(request, form, work, written)


@post("/settings/organisation/logo", status_code=303, request_max_body_size=MAX_LOGO_FORM_BYTES)
async def set_logo(request: PageRequest) -> Answer:
    """Take a logo in."""
    form = await read_form(request)

    async def work() -> None:
        sent = form.files("file", at_most=1)
        if not sent:
            raise Invalid.field("file", "must be a PNG or a JPEG")
        content = await sent[0].read()
        actor = request.user.actor
        await desk_profile.set_logo(desk_of(request), content, sent[0].filename, actor)

    return await _do(request, form, work)


@post("/settings/organisation/logo/drop", status_code=303)
async def drop_logo(request: PageRequest) -> Answer:
    """Show none."""
    work = partial(desk_profile.drop_logo, desk_of(request), request.user.actor)
    return await _do(request, await read_form(request), work)


@get("/settings/organisation/logo")
async def logo(request: PageRequest) -> Answer:
    """The picture itself."""
    desk, actor = desk_of(request), request.user.actor
    found, _ = await desk_profile.own(desk, actor)
    if found.logo_file_id is None:
        raise NotFound("there is no logo")
    file, content = await files.fetch(desk, found.logo_file_id, actor)
    policy = {"Content-Security-Policy": "default-src 'none'; sandbox"}
    return Response(content, media_type=file.content_type, headers=policy)


@post("/settings/organisation/bank-accounts", status_code=303)
async def add_bank_account(request: PageRequest) -> Answer:
    """Register a bank account."""
    form = await read_form(request)

    async def work() -> None:
        await desk_profile.add_bank_account(
            desk_of(request), form.raw("label"), form.raw("currency"), request.user.actor
        )

    return await _do(request, form, work, {"label": form.raw("label")})


@get("/settings/payout-addresses")
async def payouts(request: PageRequest) -> Answer:
    """The registered addresses."""
    return await _payouts(request)


@post("/settings/payout-addresses", status_code=303)
async def add_payout(request: PageRequest) -> Answer:
    """Register an address."""
    form = await read_form(request)
    written = {name: form.raw(name) for name in ("family", "address", "label")}
    request.user.actor.require(Permission.ADMINISTER)
    try:
        await confirm_with(request, form)
        await payout_addresses.add(desk_of(request), **written, by=request.user.actor)
    except Refusal as refusal:
        return await _payouts(request, written, refusal)
    return go(PAYOUTS, done="payout_added")


@post("/settings/payout-addresses/{public_id:str}/approve", status_code=303)
async def approve_payout(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Approve what somebody else added."""
    return await _decide(request, public_id, payout_addresses.approve, "payout_approved")


@post("/settings/payout-addresses/{public_id:str}/remove", status_code=303)
async def remove_payout(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Take an address away."""
    return await _decide(request, public_id, payout_addresses.remove, "payout_removed")


async def _decide(
    request: PageRequest, public_id: str, decide: Callable[..., Awaitable[None]], done: str
) -> Answer:
    request.user.actor.require(Permission.ADMINISTER)
    form = await read_form(request)
    wanted = ids.parse("pad", public_id)
    if wanted is None:
        raise NotFound("there is no such payout address")
    try:
        await confirm_with(request, form)
        await decide(desk_of(request), wanted, request.user.actor)
    except NotFound:
        raise
    except Refusal as refusal:
        return await _payouts(request, refusal=refusal)
    return go(PAYOUTS, done=done)


async def _do(
    request: PageRequest,
    form: Form,
    work: Callable[[], Awaitable[None]],
    written: Mapping[str, str] | None = None,
) -> Answer:
    request.user.actor.require(Permission.ADMINISTER)
    try:
        await confirm_with(request, form)
        await work()
    except Forbidden:
        raise
    except Refusal as refusal:
        return await _page(request, written, refusal)
    return go(PROFILE, done="saved")


async def _page(
    request: PageRequest, written: Mapping[str, str] | None = None, refusal: Refusal | None = None
) -> Answer:
    found, accounts = await desk_profile.own(desk_of(request), request.user.actor)
    present = {name: getattr(found, name) for name in _FIELDS}
    values: dict[str, Any] = {
        "written": {"label": "", **present, **(written or {})},
        "present": present,
        "has_logo": found.logo_file_id is not None,
        "most_kilobytes": desk_profile.MAX_LOGO_BYTES // 1024,
        "accounts": accounts,
        "currencies": desk_profile.CURRENCIES,
    }
    return settings_page(request, "organisation", values, refusal)


async def _payouts(
    request: PageRequest, written: Mapping[str, str] | None = None, refusal: Refusal | None = None
) -> Answer:
    desk, actor = desk_of(request), request.user.actor
    found, names = await payout_addresses.registered(desk, actor)
    values = {
        "rows": [(_public(one.payout_address_id), one) for one in found],
        "names": names,
        "me": actor.uid,
        "now": desk.clock.now(),
        "families": sorted(desk.addresses),
        "hours": int(payout_addresses.COOL_DOWN.total_seconds() // 3600),
        "written": written or {"family": "", "address": "", "label": ""},
    }
    return settings_page(request, "payout_addresses", values, refusal)


def _public(payout_address_id: UUID) -> str:
    return ids.public("pad", payout_address_id)


HANDLERS: Final = (
    organisation,
    change,
    set_logo,
    drop_logo,
    logo,
    add_bank_account,
    payouts,
    add_payout,
    approve_payout,
    remove_payout,
)
