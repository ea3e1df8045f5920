"""The addresses that the organisation's money may go to, and the rules about them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, Final
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath

from counterfoil.core import ids, numerals
from counterfoil.core.errors import Forbidden, Invalid, NotFound, Refusal
from counterfoil.core.payout_rules import PayoutRules
from counterfoil.desk import payout_addresses
from counterfoil.desk.desk import Desk
from counterfoil.pages.forms import Form, read_form
from counterfoil.studio.door import Answer, PageRequest, desk_of
from counterfoil.studio.settings.frame import ADDRESS, decided, settings_page

PAYOUTS: Final = f"{ADDRESS}/payout-addresses"

_BLANK: Final = {"family": "", "address": "", "label": ""}
_SWITCHES: Final = ("registered_only", "two_people")
_DIGITS: Final = 6


@get("/settings/payout-addresses")
async def payouts(request: PageRequest) -> Answer:
    """The registered addresses."""
    return await _page(request)


@post("/settings/payout-addresses", status_code=303)
async def add_payout(request: PageRequest) -> Answer:
    """Register an address."""
    form = await read_form(request)
    written = {name: form.raw(name) for name in _BLANK}
    work = partial(payout_addresses.add, desk_of(request), **written, by=request.user.actor)
    page = partial(_page, request, written)
    return await decided(request, work, page, back_to=PAYOUTS, done="payout_added", raising=())


@post("/settings/payout-addresses/rules", status_code=303)
async def change_payout_rules(request: PageRequest) -> Answer:
    """Ask for other rules."""
    form = await read_form(request)

    async def work() -> str:
        after = await payout_addresses.change_rules(
            desk_of(request),
            _rules(form),
            request.user.actor,
            take_back=form.all("take_back", at_most=len(fields(PayoutRules))),
        )
        return "rules" if after.next_rules is None else "rules_later"

    async def page(refusal: Refusal) -> Answer:
        return await _page(request, None, refusal, form)

    return await decided(request, work, page, back_to=PAYOUTS, done=str, raising=(Forbidden,))


@post("/settings/payout-addresses/{public_id:str}/approve", status_code=303)
async def approve_payout(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Approve what somebody else added."""
    return await _decide(request, public_id, payout_addresses.approve, "payout_approved")


@post("/settings/payout-addresses/{public_id:str}/remove", status_code=303)
async def remove_payout(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Take an address away."""
    return await _decide(request, public_id, payout_addresses.remove, "payout_removed")


@post("/settings/payout-addresses/{public_id:str}/default", status_code=303)
async def default_payout(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Begin new invoices with an address."""
    choose = partial(payout_addresses.choose_default, on=True)
    return await _decide(request, public_id, choose, "saved")


@post("/settings/payout-addresses/{public_id:str}/no-default", status_code=303)
async def no_default_payout(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """Begin new invoices with none again."""
    choose = partial(payout_addresses.choose_default, on=False)
    return await _decide(request, public_id, choose, "saved")


async def _decide(
    request: PageRequest,
    public_id: str,
    decide: Callable[[Desk, UUID, Any], Awaitable[None]],
    done: str,
) -> Answer:
    wanted = ids.parse("pad", public_id)
    if wanted is None:
        raise NotFound("there is no such payout address")
    work = partial(decide, desk_of(request), wanted, request.user.actor)
    return await decided(request, work, partial(_page, request, None), back_to=PAYOUTS, done=done)


def _rules(form: Form) -> PayoutRules:
    switches = {name: form.raw(name) for name in _SWITCHES}
    for name, chosen in switches.items():
        if chosen not in {"true", "false"}:
            raise Invalid.field(name, "must be yes or no")
    hours = numerals.plain(form.raw("wait_hours"))
    if not (hours.isascii() and hours.isdigit() and len(hours) <= _DIGITS):
        raise Invalid.field("wait_hours", "must be a whole number of hours")
    return PayoutRules(
        registered_only=switches["registered_only"] == "true",
        two_people=switches["two_people"] == "true",
        wait_hours=int(hours),
    )


def _as_asked(form: Form) -> dict[str, object]:
    """The rules as they stand in a form that was refused."""
    switches = {name: form.raw(name) == "true" for name in _SWITCHES}
    return {**switches, "wait_hours": form.raw("wait_hours")}


async def _page(
    request: PageRequest,
    written: Mapping[str, str] | None = None,
    refusal: Refusal | None = None,
    asked: Form | None = None,
) -> Answer:
    """The page, with the address that was written, or the rules that a form asked for."""
    desk, actor = desk_of(request), request.user.actor
    found = await payout_addresses.registered(desk, actor)
    now = desk.clock.now()
    values = {
        "rows": [(ids.public("pad", one.payout_address_id), one) for one in found.addresses],
        "defaults": set(found.policy.defaults.values()),
        "names": found.names,
        "to_approve": found.to_approve,
        "now": now,
        "families": sorted(desk.addresses),
        "rules": found.policy.in_force(now),
        "later": found.policy.announced(now),
        "later_at": found.policy.next_at,
        "written_rules": found.policy.in_force(now) if asked is None else _as_asked(asked),
        "taken_back": asked.all("take_back", at_most=len(fields(PayoutRules))) if asked else (),
        "written": written or _BLANK,
    }
    return settings_page(request, "payout_addresses", values, refusal)


HANDLERS: Final = (
    payouts,
    add_payout,
    change_payout_rules,
    approve_payout,
    remove_payout,
    default_payout,
    no_default_payout,
)
