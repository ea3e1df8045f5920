"""One's own passkeys: adding one, removing one, and proving with one who is there.

Whoever adds a passkey comes in with it from then on, so adding one takes all that signing in does,
however short ago that was: a cookie that somebody stole is not enough.
"""

from typing import Final

from litestar import Response, get, post
from litestar.params import FromPath

from counterfoil.core import ids
from counterfoil.core.errors import Refusal
from counterfoil.desk.passkeys import NAME_LENGTH
from counterfoil.pages.forms import Form, read_form
from counterfoil.studio import account
from counterfoil.studio.door import (
    PREFIX,
    Answer,
    PageRequest,
    go,
    go_on_with,
    parts_of,
    place_of,
    question,
    show,
    status_code_of,
)

ADD: Final = f"{PREFIX}/account/passkeys/add"


@get("/account/passkeys/question")
async def ask(request: PageRequest) -> Response[bytes]:
    """What the browser has to be asked, for a passkey of the visitor's; changes nothing."""
    return question(await parts_of(request).passkeys.ask(request.user, request.auth))


@get("/account/passkeys/add")
async def add_page(request: PageRequest) -> Answer:
    """Where it is proved who adds a passkey."""
    return _page(request)


@post("/account/passkeys/begin", status_code=200)
async def begin(request: PageRequest) -> Answer:
    """Ask the browser for a passkey. Its answer is taken without a proof: nobody else was asked."""
    form = await read_form(request)
    passkeys = parts_of(request).passkeys
    try:
        await _prove(request, form)
        asked = await passkeys.ask_for_new(request.user, request.auth)
    except Refusal as refusal:
        return _page(request, refusal)
    values = {"question": asked, "longest": NAME_LENGTH, "refusal": None}
    return show(request, "studio/make_passkey.html", values)


@post("/account/passkeys/add", status_code=303)
async def add(request: PageRequest) -> Answer:
    """Keep the passkey that the browser has made."""
    form = await read_form(request)
    try:
        await parts_of(request).passkeys.add(
            request.user, request.auth, form.raw("name"), form.raw("made")
        )
    except Refusal as refusal:
        return _page(request, refusal)
    return go(account.ADDRESS, done="passkey_added")


@post("/account/passkeys/{passkey_id:str}/remove", status_code=303)
async def remove(request: PageRequest, passkey_id: FromPath[str]) -> Answer:
    """Take one's own passkey no longer; every other session ends."""
    passkeys = parts_of(request).passkeys
    one = await passkeys.one_of_mine(request.user, ids.parse("pass", passkey_id))
    form = await read_form(request)
    try:
        await _prove(request, form)
    except Refusal as refusal:
        return await account.page(request, refusal)
    go_on_with(request, await passkeys.remove(request.user, one))
    return go(account.ADDRESS, done="passkey_removed")


async def _prove(request: PageRequest, form: Form) -> None:
    parts, place = parts_of(request), place_of(request)
    if answer := form.raw("passkey"):
        await parts.passkeys.confirm(request.user, request.auth, answer, place)
    else:
        await parts.signing_in.prove_all(request.user, form.raw("old"), form.raw("code"), place)


def _page(request: PageRequest, refusal: Refusal | None = None) -> Answer:
    parts_of(request).passkeys.must_be_offered()
    code = 200 if refusal is None else status_code_of(refusal)
    return show(request, "studio/add_passkey.html", {"refusal": refusal}, status_code=code)


HANDLERS: Final = (ask, add_page, begin, add, remove)
