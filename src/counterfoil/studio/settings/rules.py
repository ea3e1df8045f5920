"""The rules that new invoices start with, how they are paid on each chain, and the rates."""

from collections.abc import Collection
from functools import partial
from typing import Any, Final

from litestar import get, post

from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Forbidden, Refusal
from counterfoil.core.invoice import Policy
from counterfoil.core.roles import Permission
from counterfoil.desk import rates as desk_rates
from counterfoil.desk import settings
from counterfoil.pages.forms import read_form
from counterfoil.studio import units
from counterfoil.studio.door import Answer, PageRequest, desk_of
from counterfoil.studio.rule_words import DEPOSITS, RULES
from counterfoil.studio.settings.frame import ADDRESS, decided, settings_page

RULES_PAGE: Final = f"{ADDRESS}/rules"
NAMES: Final = tuple(name for group in RULES.values() for name in group)
_OF_CHAINS: Final = tuple(name for name in NAMES if units.KINDS[name] == "chains")


@get("/settings/rules")
async def rules(request: PageRequest) -> Answer:
    """Every rule with its present value."""
    return await _page(request, None)


@post("/settings/rules", status_code=303)
async def change(request: PageRequest) -> Answer:
    """Ask for what differs; refused, the form keeps what was written."""
    actor = request.user.actor
    actor.require(Permission.ADMINISTER)
    form = await read_form(request)
    written = {
        name: units.shown(name, ",".join(form.all(name, at_most=len(CHAINS))))
        if units.KINDS[name] == "chains"
        else form.raw(name).strip()
        for name in NAMES
    }
    present = _written(await settings.policy_of(desk_of(request), actor))
    taken_back = set(form.all("take_back", at_most=len(NAMES)))

    async def work() -> str:
        changes = {
            name: units.kept(name, text) or _nothing(name)
            for name, text in written.items()
            if text != present[name] or name in taken_back
        }
        await settings.change_policy(desk_of(request), actor.org_id, changes, by=actor)
        after = await settings.rules_of(desk_of(request), actor)
        waits = after.announced(desk_of(request).clock.now()) is not None
        return "rules_later" if waits else "rules"

    async def page(refusal: Refusal) -> Answer:
        return await _page(request, written, units.told(refusal), taken_back)

    return await decided(request, work, page, back_to=RULES_PAGE, done=str, raising=(Forbidden,))


@post("/settings/rules/deposits", status_code=303)
async def deposits(request: PageRequest) -> Answer:
    """Choose how new invoices are paid on a chain."""
    actor = request.user.actor
    form = await read_form(request)
    work = partial(
        settings.choose_deposits,
        desk_of(request),
        actor.org_id,
        form.raw("chain"),
        form.raw("mode"),
        by=actor,
    )
    page = partial(_page, request, None)
    return await decided(
        request, work, page, back_to=RULES_PAGE, done="rules", raising=(Forbidden,)
    )


@get("/settings/rates")
async def rates(request: PageRequest) -> Answer:
    """What every source says of each pair, and which of it prices invoices now."""
    desk = desk_of(request)
    values = {
        "pairs": await desk_rates.in_use(desk, request.user.actor),
        "now": desk.clock.now(),
        "max_age_seconds": desk.rate_max_age_seconds,
    }
    return settings_page(request, "rates", values)


async def _page(
    request: PageRequest,
    written: dict[str, str] | None,
    refusal: Refusal | None = None,
    taken_back: Collection[str] = (),
) -> Answer:
    desk, actor = desk_of(request), request.user.actor
    found, now = await settings.rules_of(desk, actor), desk.clock.now()
    present, later = _written(found.in_force(now)), found.announced(now)
    modes = await settings.choose_deposits(desk, actor.org_id, None, None)
    values: dict[str, Any] = {
        "groups": RULES,
        "offered_chains": {
            n: units.offered((written or present)[n], desk.chains) for n in _OF_CHAINS
        },
        "said": units.said,
        "written": written or present,
        "present": present,
        "later": {n: t for n, t in _written(later).items() if t != present[n]} if later else {},
        "later_at": found.next_at,
        "taken_back": taken_back,
        "modes": {key: modes[key] for key in CHAINS if key in desk.chains},
        "deposits": DEPOSITS,
    }
    return settings_page(request, "rules", values, refusal)


def _nothing(name: str) -> str:
    """What an empty field stands for."""
    return "" if units.KINDS[name] in {"text", "chains"} else "null"


def _written(policy: Policy) -> dict[str, str]:
    """The values as they stand in the form."""
    return {name: units.shown(name, getattr(policy, name)) for name in NAMES}


HANDLERS: Final = (rules, change, deposits, rates)
