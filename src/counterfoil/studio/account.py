"""One's own account: invitations, look, password, second factor, passkeys, sessions."""

from typing import Final
from uuid import UUID

import segno
from litestar import get, post
from litestar.params import FromPath
from markupsafe import Markup

from counterfoil.core import ids
from counterfoil.core.errors import Forbidden, Invalid, NotFound, Refusal
from counterfoil.desk import factors, joining, passwords
from counterfoil.pages.forms import read_form
from counterfoil.pages.language import LANGUAGES
from counterfoil.studio.door import (
    PREFIX,
    Answer,
    PageRequest,
    confirm_with,
    desk_of,
    go,
    go_on_with,
    next_of,
    parts_of,
    place_of,
    show,
    status_code_of,
)

THEMES: Final = ("auto", "light", "dark")
ADDRESS: Final = f"{PREFIX}/account"


@get("/account")
async def account(request: PageRequest) -> Answer:
    """All of it on one page."""
    return await page(request)


@post("/account/look", status_code=303)
async def look(request: PageRequest) -> Answer:
    """Choose language and colours."""
    form = await read_form(request)
    try:
        language = form.chosen("language", LANGUAGES)
        theme = form.chosen("theme", THEMES)
    except Invalid as refusal:
        return await page(request, refusal)
    await parts_of(request).signing_in.appear(request.user, language, theme)
    return go(ADDRESS, done="saved")


@post("/account/password", status_code=303)
async def password(request: PageRequest) -> Answer:
    """Replace the password; every other session ends."""
    form = await read_form(request)
    try:
        new = form.raw("password")
        passwords.must_agree(new, form.raw("again"))
        token = await parts_of(request).signing_in.change_password(
            request.user, form.raw("old"), new, place_of(request)
        )
    except Refusal as refusal:
        return await page(request, refusal)
    go_on_with(request, token)
    return go(ADDRESS, done="password")


@get("/account/second-factor")
async def factor_page(request: PageRequest) -> Answer:
    """A new secret to be taken over into a telephone; it counts once a code of it was shown."""
    _refuse_second(request)
    return _enrol(request, parts_of(request).factors.new_secret())


@post("/account/second-factor", status_code=200)
async def enrol(request: PageRequest) -> Answer:
    """Begin to ask for codes; answers the recovery codes, which are seen only now."""
    _refuse_second(request)
    form = await read_form(request)
    secret = factors.read_secret(form.raw("secret"))
    try:
        await confirm_with(request, form)
        codes, token = await parts_of(request).signing_in.enrol_factor(
            request.user, secret, form.raw("code")
        )
    except Refusal as refusal:
        return _enrol(request, secret, refusal)
    go_on_with(request, token)
    return show(request, "studio/recovery_codes.html", {"codes": codes})


@post("/account/second-factor/drop", status_code=303)
async def drop(request: PageRequest) -> Answer:
    """Stop asking for codes; takes password and code, and every other session ends."""
    form = await read_form(request)
    try:
        token = await parts_of(request).signing_in.drop_factor(
            request.user, form.raw("old"), form.raw("code"), place_of(request)
        )
    except Refusal as refusal:
        return await page(request, refusal)
    go_on_with(request, token)
    return go(ADDRESS, done="factor_dropped")


@post("/account/sessions/{session_id:str}/end", status_code=303)
async def end_session(request: PageRequest, session_id: FromPath[str]) -> Answer:
    """End one of one's own sessions."""
    wanted = ids.parse("ses", session_id)
    if wanted is None:
        raise NotFound("there is no such session")
    await parts_of(request).signing_in.revoke(request.user, wanted)
    return go(ADDRESS, done="saved")


@post("/account/sessions/end-others", status_code=303)
async def end_others(request: PageRequest) -> Answer:
    """End all of one's own sessions but this."""
    await parts_of(request).signing_in.revoke_others(request.user)
    return go(ADDRESS, done="saved")


@post("/organisation", status_code=303)
async def turn_to(request: PageRequest) -> Answer:
    """Look at another of one's organisations."""
    form = await read_form(request)
    org_id = ids.parse_number(form.raw("org_id"))
    if org_id is None:
        raise Forbidden("you are not a member of that organisation")
    await parts_of(request).signing_in.look_at(request.user, org_id)
    return go(next_of(form.raw("next")))


def _refuse_second(request: PageRequest) -> None:
    if request.user.session.has_totp:
        raise factors.already_on()


def _enrol(request: PageRequest, secret: str, refusal: Refusal | None = None) -> Answer:
    address = parts_of(request).factors.address(secret, request.user.session.email)
    drawn = segno.make(address, error="m").svg_inline(
        scale=5, border=2, omitsize=True, svgclass="qr", lineclass=None, dark="#000", light="#fff"
    )
    return show(
        request,
        "studio/enrol_factor.html",
        # segno writes numbers and its own names, nothing of the address itself.
        {"secret": secret, "drawn": Markup(drawn), "refusal": refusal},  # noqa: S704 - as above
        status_code=200 if refusal is None else status_code_of(refusal),
    )


async def page(request: PageRequest, refusal: Refusal | None = None) -> Answer:
    """The account's page, perhaps with what was refused."""
    signing_in, passkeys = parts_of(request).signing_in, parts_of(request).passkeys
    return show(
        request,
        "studio/account.html",
        {
            "sessions": [(_public(s.session_id), s) for s in await signing_in.mine(request.user)],
            "this_session": request.user.session.session_id,
            "passkeys": [
                (ids.public("pass", one.passkey_id), one)
                for one in await passkeys.mine(request.user)
            ],
            "offers": [
                (ids.public("user", one.member_id), one)
                for one in await joining.offers(desk_of(request), request.user)
            ],
            "public_url": passkeys.public_url,
            "codes_left": await signing_in.codes_left(request.user),
            "languages": LANGUAGES,
            "themes": THEMES,
            "least": passwords.LEAST_CHARACTERS,
            "refusal": refusal,
        },
        status_code=200 if refusal is None else status_code_of(refusal),
    )


def _public(session_id: UUID) -> str:
    return ids.public("ses", session_id)


HANDLERS: Final = (
    account,
    look,
    password,
    factor_page,
    enrol,
    drop,
    end_session,
    end_others,
    turn_to,
)
