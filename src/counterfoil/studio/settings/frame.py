"""What every settings page has: tabs, forms that come back when refused, and buttons."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from counterfoil.core.errors import NotFound, Refusal
from counterfoil.core.roles import Permission
from counterfoil.pages.forms import read_form
from counterfoil.pages.language import N_
from counterfoil.studio.door import (
    PREFIX,
    Answer,
    PageRequest,
    confirm_with,
    go,
    show,
    status_code_of,
)

ADDRESS: Final = f"{PREFIX}/settings"

TABS: Final[tuple[tuple[str, str, Permission], ...]] = (
    (f"{ADDRESS}/organisation", N_("Organisation"), Permission.READ),
    (f"{ADDRESS}/members", N_("Members"), Permission.AUDIT),
    (f"{ADDRESS}/roles", N_("Roles"), Permission.READ),
    (f"{ADDRESS}/keys", N_("API keys"), Permission.READ),
    (f"{ADDRESS}/clients", N_("Client ids"), Permission.READ),
    (f"{ADDRESS}/payout-addresses", N_("Payout addresses"), Permission.READ),
    (f"{ADDRESS}/bank-accounts", N_("Bank accounts"), Permission.READ),
    (f"{ADDRESS}/rules", N_("Rules"), Permission.READ),
    (f"{ADDRESS}/rates", N_("Rates"), Permission.READ),
    (f"{ADDRESS}/callbacks", N_("Callbacks"), Permission.ADMINISTER),
    (f"{ADDRESS}/log", N_("History"), Permission.AUDIT),
)
"""Address and name of each tab, and the permission without which it is not shown."""


def settings_page(
    request: PageRequest,
    template: str,
    values: dict[str, Any] | None = None,
    refusal: Refusal | None = None,
    *,
    status_code: int = 200,
) -> Answer:
    """One of the pages, with the refusal of what was sent to it, if any."""
    return show(
        request,
        f"studio/settings/{template}.html",
        {"tabs": TABS, "refusal": refusal, "errors": _errors(refusal), **(values or {})},
        status_code=status_code if refusal is None else status_code_of(refusal),
    )


async def decided(  # noqa: PLR0913 - one form, whole
    request: PageRequest,
    work: Callable[[], Awaitable[object]],
    page: Callable[[Refusal], Awaitable[Answer]],
    *,
    back_to: str,
    done: str | Callable[[Any], str],
    raising: tuple[type[Refusal], ...] = (NotFound,),
) -> Answer:
    """Do what a form of an administrator asks for, once they have proved that it is they.

    Refused, the page says why; refusals of the kinds ``raising`` are raised, for a page of their
    own. ``done`` names the sentence that is told afterwards, or makes its name of what was done.
    Raises `Forbidden` without permission.
    """
    request.user.actor.require(Permission.ADMINISTER)
    form = await read_form(request)
    try:
        await confirm_with(request, form)
        what = await work()
    except raising:
        raise
    except Refusal as refusal:
        return await page(refusal)
    return go(back_to, done=done if isinstance(done, str) else done(what))


def _errors(refusal: Refusal | None) -> dict[str, str]:
    """The sentence at each field."""
    return {} if refusal is None else dict(refusal.fields)
