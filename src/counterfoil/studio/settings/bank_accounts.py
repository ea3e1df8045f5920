"""Bank accounts: added by one, approved by another, good after a while; never changed."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, Final

from litestar import get, post
from litestar.params import FromPath

from counterfoil.core import bank, ids, numerals
from counterfoil.core.errors import Forbidden, NotFound, Refusal
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import bank_accounts
from counterfoil.desk.bank_accounts import BankAccount, BankDetails
from counterfoil.desk.desk import Desk
from counterfoil.pages.bank import details
from counterfoil.pages.forms import read_form
from counterfoil.studio.door import Answer, PageRequest, desk_of
from counterfoil.studio.settings.frame import ADDRESS, decided, settings_page

ACCOUNTS: Final = f"{ADDRESS}/bank-accounts"

_DETAILS: Final = tuple(field.name for field in fields(BankDetails))
_NUMBERS: Final = ("account_number", "bank_code")


@get("/settings/bank-accounts")
async def accounts(request: PageRequest) -> Answer:
    """All accounts; of their numbers only the end."""
    return await _page(request)


@post("/settings/bank-accounts", status_code=303)
async def add(request: PageRequest) -> Answer:
    """Register an account."""
    form = await read_form(request)
    written = {name: form.raw(name) for name in ("label", "currency", *_DETAILS)}
    numbers = {name: numerals.narrow(written[name]) for name in _NUMBERS}
    work = partial(
        bank_accounts.add,
        desk_of(request),
        BankDetails(**{name: written[name] for name in _DETAILS} | numbers),
        label=written["label"],
        currency=written["currency"],
        by=request.user.actor,
    )
    return await decided(
        request,
        work,
        partial(_page, request, written),
        back_to=ACCOUNTS,
        done="bank_added",
        raising=(Forbidden,),
    )


@post("/settings/bank-accounts/{number:str}/approve", status_code=303)
async def approve(request: PageRequest, number: FromPath[str]) -> Answer:
    """Approve what somebody else added."""
    return await _decide(request, number, bank_accounts.approve, "bank_approved")


@post("/settings/bank-accounts/{number:str}/disable", status_code=303)
async def disable(request: PageRequest, number: FromPath[str]) -> Answer:
    """Have nobody pay into it any more."""
    return await _decide(request, number, bank_accounts.disable, "bank_disabled")


async def _decide(
    request: PageRequest,
    number: str,
    decide: Callable[[Desk, int, Actor], Awaitable[None]],
    done: str,
) -> Answer:
    wanted = ids.parse_number(number)
    if wanted is None:
        raise NotFound("there is no such bank account")
    work = partial(decide, desk_of(request), wanted, request.user.actor)
    return await decided(request, work, partial(_page, request, None), back_to=ACCOUNTS, done=done)


async def _page(
    request: PageRequest, written: Mapping[str, str] | None = None, refusal: Refusal | None = None
) -> Answer:
    actor = request.user.actor
    found = await bank_accounts.registered(desk_of(request), actor)
    administers = Permission.ADMINISTER in actor.permissions
    blank = dict.fromkeys(("label", "currency", *_DETAILS), "")
    values: dict[str, Any] = {
        "rows": [
            (one, _end(one), _to_compare(one) if administers else ()) for one in found.accounts
        ],
        "names": found.names,
        "rules": found.rules,
        "now": desk_of(request).clock.now(),
        "to_approve": found.to_approve,
        "currencies": bank_accounts.CURRENCIES,
        "written": written or blank,
    }
    return settings_page(request, "bank_accounts", values, refusal)


def _end(account: BankAccount) -> str:
    return bank.masked(account.account_number) if account.account_number else ""


def _to_compare(account: BankAccount) -> tuple[tuple[str, str], ...]:
    """All of an account that waits: whoever approves it has to see what they approve."""
    waits = account.usable_at is None and account.disabled_at is None
    return details(account) if waits else ()


HANDLERS: Final = (accounts, add, approve, disable)
