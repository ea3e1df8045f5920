"""Bank accounts into which invoices are paid: added, approved by another, good after a while.

Where money goes is what thieves change first, so nothing about an account is ever changed: another
one is added. As with payout addresses (`desk.registering`), where the organisation's rules ask for
two people, a second one compares the number with the bank's own paper, and nobody is told to pay
into it before the time of waiting is over. Logs bear the number's end.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from counterfoil.books import bank_accounts, orgs
from counterfoil.books.bank_accounts import BankAccount
from counterfoil.core import bank, ids
from counterfoil.core.bank import BankDetails
from counterfoil.core.errors import Conflict, Invalid, NotFound
from counterfoil.core.payout_rules import PayoutRules
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.text import clean_text
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note
from counterfoil.desk.registering import (
    Known,
    may_approve,
    must_be_another,
    must_look_like_no_other,
    rules_of,
)

__all__ = ["BankAccount", "BankDetails", "Registered"]

CURRENCIES: Final = ("TWD", "USD")
"""What invoices can be priced in."""
LABEL_LENGTH: Final = 80


@dataclass(frozen=True, slots=True)
class Registered:
    """The accounts, the newest first; people's names by uid; what is asked of accounts.

    ``to_approve`` are those that wait for the approval of exactly who asks.
    """

    accounts: list[BankAccount]
    names: dict[str, str]
    rules: PayoutRules
    to_approve: frozenset[int]


async def registered(desk: Desk, by: Actor) -> Registered:
    """One's own organisation's accounts. Raises `Forbidden`."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        found = await bank_accounts.of_org(tx, by.org_id)
        people = await orgs.everybody(tx, by.org_id)
        rules = await rules_of(tx, by.org_id, desk.clock.now())
    names = {ids.public("user", one.member_id): one.name for one in people}
    return Registered(found[::-1], names, rules, _to_approve(found, by))


async def to_approve(desk: Desk, by: Actor) -> int:
    """How many accounts wait for the approval of exactly this member."""
    if Permission.ADMINISTER not in by.permissions:
        return 0
    async with desk.database.reading() as tx:
        found = await bank_accounts.of_org(tx, by.org_id)
    return len(_to_approve(found, by))


def _to_approve(found: Sequence[BankAccount], by: Actor) -> frozenset[int]:
    waiting = (one for one in found if one.approved_at is None and one.disabled_at is None)
    return frozenset(one.bank_account_id for one in waiting if may_approve(one.added_by, by))


async def add(
    desk: Desk, written: BankDetails, *, label: str, currency: str, by: Actor
) -> BankAccount:
    """Register an account; where the rules ask for two people, it waits for `approve`.

    Raises `Forbidden`, `Invalid` naming the field, also for a name or a number that only looks
    like a registered one, and `Conflict` for one that is in use.
    """
    by.require(Permission.ADMINISTER)
    return await desk.database.run(
        lambda tx: _add(desk, tx, written, label=label, currency=currency, by=by)
    )


async def set_up(  # noqa: PLR0913 - an account and its number
    desk: Desk, number: int, written: BankDetails, *, label: str, currency: str, by: Actor
) -> None:
    """Register an account under a number, good at once: for whoever sets the installation up.

    Raises as `add` does, and ``psycopg.errors.UniqueViolation`` for a number that is taken.
    """
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> None:
        await _add(desk, tx, written, label=label, currency=currency, by=by, number=number)
        now = desk.clock.now()
        await bank_accounts.approve(tx, by.org_id, number, by=None, at=now, usable_at=now)

    await desk.database.run(work)


async def approve(desk: Desk, bank_account_id: int, by: Actor) -> None:
    """Approve what somebody else added; invoices may name it after the time of waiting.

    Raises `Forbidden`, also for whoever added it, `NotFound`, and `Conflict` for one that is
    approved or disabled.
    """
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        found = await _one(tx, bank_account_id, by.org_id)
        must_be_another(found.added_by, by)
        if found.approved_at is not None or found.disabled_at is not None:
            raise Conflict("this account does not wait for approval")
        now = desk.clock.now()
        usable_at = now + (await rules_of(tx, by.org_id, now)).wait
        await bank_accounts.approve(
            tx, by.org_id, bank_account_id, by=by.uid, at=now, usable_at=usable_at
        )
        told = {**_told(found), "usable_at": usable_at.isoformat()}
        await note(desk, tx, by, "bank_account_approved", str(bank_account_id), **told)

    await desk.database.run(work)


async def disable(desk: Desk, bank_account_id: int, by: Actor) -> None:
    """Have nobody pay into an account any more, at once and for good.

    Raises `Forbidden`, `NotFound`, and `Conflict` for one that is disabled.
    """
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        found = await _one(tx, bank_account_id, by.org_id)
        if found.disabled_at is not None:
            raise Conflict("this account is disabled already")
        await bank_accounts.disable(tx, by.org_id, bank_account_id, desk.clock.now())
        await note(desk, tx, by, "bank_account_disabled", str(bank_account_id), **_told(found))

    await desk.database.run(work)


async def usable(tx: Tx, org_id: int, now: datetime) -> list[BankAccount]:
    """The accounts that invoices may name."""
    return [one for one in await bank_accounts.of_org(tx, org_id) if one.is_usable(now)]


async def check_usable(tx: Tx, org_id: int, bank_account_id: int, now: datetime) -> BankAccount:
    """The account; raises `Invalid` unless invoices may name it."""
    field = "bank_account_id"
    try:
        found = await _one(tx, bank_account_id, org_id)
    except NotFound:
        raise Invalid.field(field, "names no bank account of this organisation") from None
    if found.disabled_at is not None:
        raise Invalid.field(field, "names a bank account that is not used any more")
    if found.usable_at is None:
        raise Invalid.field(field, "names a bank account that nobody has approved yet")
    if not found.is_usable(now):
        since = f"{found.usable_at:%Y-%m-%d %H:%M} UTC"
        raise Invalid.field(field, f"names a bank account that is good only from {since} on")
    return found


async def _add(  # noqa: PLR0913 - an account, its number, and who adds it
    desk: Desk,
    tx: Tx,
    written: BankDetails,
    *,
    label: str,
    currency: str,
    by: Actor,
    number: int | None = None,
) -> BankAccount:
    called = clean_text(label, "label", max_length=LABEL_LENGTH)
    if currency not in CURRENCIES:
        raise Invalid.field("currency", f"must be one of {', '.join(CURRENCIES)}")
    details = bank.checked(written)
    await orgs.hold(tx, by.org_id)
    known = await bank_accounts.of_org(tx, by.org_id)
    in_use = [one for one in known if one.disabled_at is None]
    if any(_same(one, details) for one in in_use):
        sentence = "is that of an account in use; disable it first to have it named otherwise"
        raise Conflict(f"account_number: {sentence}", fields={"account_number": sentence})
    must_look_like_no_other(
        (Known(one.label, one.account_number, bank.masked(one.account_number)) for one in in_use),
        Known(called, details.account_number, bank.masked(details.account_number)),
        "account_number",
    )
    given = await bank_accounts.next_number(tx, by.org_id) if number is None else number
    now = desk.clock.now()
    await bank_accounts.insert(
        tx,
        by.org_id,
        given,
        details,
        label=called,
        currency=currency,
        added_by=by.uid,
        created_at=now,
    )
    good_from = (await rules_of(tx, by.org_id, now)).good_from(now)
    if good_from is not None:
        await bank_accounts.approve(tx, by.org_id, given, by=None, at=now, usable_at=good_from)
    row = await _one(tx, given, by.org_id)
    await note(desk, tx, by, "bank_account_added", str(given), **_told(row))
    return row


def _same(one: BankAccount, details: BankDetails) -> bool:
    return (one.account_number, one.bank_code, one.bic) == (
        details.account_number,
        details.bank_code,
        details.bic,
    )


async def _one(tx: Tx, bank_account_id: int, org_id: int) -> BankAccount:
    for one in await bank_accounts.of_org(tx, org_id):
        if one.bank_account_id == bank_account_id:
            return one
    raise NotFound("there is no such bank account")


def _told(account: BankAccount) -> dict[str, object]:
    """What the log says of an account: everything but most of its number."""
    names = ("label", "currency", "holder", "bank_name", "branch", "bank_code", "bic", "reference")
    told: dict[str, object] = {n: v for n, v in asdict(account).items() if n in names and v}
    if account.account_number:
        told["account_number"] = bank.masked(account.account_number)
    return told
