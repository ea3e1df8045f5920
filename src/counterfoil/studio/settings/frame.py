"""What every settings page has: its tabs, and a form that comes back when it is refused."""

from typing import Any, Final

from counterfoil.core.errors import Refusal
from counterfoil.core.roles import Permission
from counterfoil.pages.language import N_
from counterfoil.studio.door import PREFIX, Answer, PageRequest, show, status_code_of

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


def _errors(refusal: Refusal | None) -> dict[str, str]:
    """The sentence at each field."""
    return {} if refusal is None else dict(refusal.fields)
