"""What somebody who writes an invoice is offered: earlier recipients, addresses, reviewers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from counterfoil.books import lists, orgs
from counterfoil.books import recipients as kept_recipients
from counterfoil.books.lists import COUNTED_AT_MOST, Filters, Recipient
from counterfoil.core import lookalike
from counterfoil.core.returning import ReturnRules
from counterfoil.core.roles import Actor, Permission, permissions_of
from counterfoil.db.pool import Tx
from counterfoil.desk import bank_accounts
from counterfoil.desk.bank_accounts import BankAccount
from counterfoil.desk.desk import Desk
from counterfoil.desk.intake import Draft, draft_of
from counterfoil.desk.registered import PayoutAddress, usable
from counterfoil.desk.the_org import the_org

__all__ = [
    "BankAccount",
    "Offered",
    "PayoutAddress",
    "Recipient",
    "offered",
    "recipients",
    "taken_for",
]

SHOWN_AT_MOST: Final = 12
"""Recipients in a directory; whoever types on sees others."""

_LOOKED_THROUGH: Final = 100
_LATEST: Final = 20
_FAMILY: Final = "evm"


@dataclass(frozen=True, slots=True)
class Offered:
    """What a form for an invoice offers, beside recipients.

    ``latest`` is the newest invoice as it was asked for. ``registered`` are the addresses that are
    good, by name; ``default`` is the one that a new invoice begins with, empty for none. All of
    them, and the ``payout_addresses`` of the newest invoices, newest first, are for chains of the
    EVM family; the latter are none where ``registered_only``. ``reviewers`` are the e-mails of who
    may approve; ``callback_url`` is told where an invoice names no address. ``leads_back`` are the
    origins that customers are led back to; any where there are none.
    """

    latest: Draft | None
    registered: tuple[PayoutAddress, ...]
    registered_only: bool
    default: str
    payout_addresses: tuple[str, ...]
    reviewers: tuple[str, ...]
    bank_accounts: tuple[BankAccount, ...]
    callback_url: str | None
    leads_back: ReturnRules


async def offered(desk: Desk, by: Actor) -> Offered:
    """What may be chosen just now. Raises `Forbidden` without ``transfer:create``."""
    by.require(Permission.CREATE)
    now = desk.clock.now()
    async with desk.database.reading() as tx:
        org = await the_org(tx, by.org_id)
        newest = await lists.page(tx, by.org_id, Filters(), limit=_LATEST, offset=0)
        members = await orgs.members(tx, by.org_id)
        accounts = await bank_accounts.usable(tx, by.org_id, now)
        good = [one for one in await usable(tx, by.org_id, now) if one.family == _FAMILY]
    only = org.policy.payouts.in_force(now).registered_only
    default = org.policy.payouts.defaults.get(_FAMILY)
    drafts = [draft_of(invoice) for invoice in newest]
    return Offered(
        latest=drafts[0] if drafts else None,
        registered=tuple(good),
        registered_only=only,
        default=next((o.address for o in good if o.payout_address_id == default), ""),
        payout_addresses=() if only else _earlier(drafts),
        reviewers=tuple(
            member.email for member in members if Permission.APPROVE in permissions_of(member.roles)
        ),
        bank_accounts=tuple(accounts),
        callback_url=org.policy.callback_url,
        leads_back=org.policy.returns.in_force(now),
    )


def _earlier(drafts: Sequence[Draft]) -> tuple[str, ...]:
    found = (a for d in drafts for family, a in d.payout_addresses if family == _FAMILY)
    return tuple(dict.fromkeys(found))


async def recipients(desk: Desk, text: str, by: Actor) -> tuple[Recipient, ...]:
    """Whose name or e-mail has this text: of the directory, then of the newest invoices.

    Whom the directory keeps from being offered is not offered for an invoice's sake either.
    """
    by.require(Permission.CREATE)
    wanted = text.casefold()
    if not text.isprintable():
        return ()  # Nobody is called so, and no database could be asked for it.
    async with desk.database.reading() as tx:
        kept = await kept_recipients.page(tx, by.org_id, text, active=True, limit=SHOWN_AT_MOST)
        found = await _of_invoices(tx, by.org_id, text)
        off = {pair for pair, active in (await _kept(tx, by.org_id, found)).items() if not active}
    named = [Recipient(one.name, one.email) for one in kept]
    named += [r for r in found if wanted in r.name.casefold() or wanted in r.email.casefold()]
    return tuple(r for r in dict.fromkeys(named) if r not in off)[:SHOWN_AT_MOST]


async def not_kept(tx: Tx, org_id: int) -> tuple[Recipient, ...]:
    """To whom the newest invoices were made out who are not in the directory."""
    found = await _of_invoices(tx, org_id, "")
    kept = await _kept(tx, org_id, found)
    return tuple(r for r in dict.fromkeys(found) if r not in kept)[:SHOWN_AT_MOST]


async def _kept(tx: Tx, org_id: int, found: Sequence[Recipient]) -> dict[Recipient, bool]:
    """Who of these is in the directory, and whether they are offered."""
    names, emails = [r.name for r in found], [r.email for r in found]
    there = await kept_recipients.of_pairs(tx, org_id, names, emails)
    return {Recipient(one.name, one.email): one.deactivated_at is None for one in there}


async def taken_for(desk: Desk, name: str, by: Actor) -> Recipient | None:
    """A known recipient whose name is drawn like this one and is another (T22); None without.

    Looked for in the directory, and among the newest invoices that have the name as it looks.
    """
    by.require(Permission.CREATE)
    if not name.isprintable():
        return None
    async with desk.database.reading() as tx:
        kept = await kept_recipients.drawn_like(tx, by.org_id, name)
        found = [Recipient(one.name, one.email) for one in kept]
        found += await _of_invoices(tx, by.org_id, lookalike.skeleton(name))
    return next((r for r in found if lookalike.looks_like(r.name, name)), None)


async def _of_invoices(tx: Tx, org_id: int, text: str) -> list[Recipient]:
    if not text.isprintable():
        return []  # Nothing is found by what nobody can be called.
    filters = Filters(search=text or None)
    counted = sum(c.count for c in await lists.counts(tx, org_id, filters)) if text else 0
    many = counted > COUNTED_AT_MOST
    return await lists.recipients(tx, org_id, filters, limit=_LOOKED_THROUGH, many=many)
