"""Whether money may go to an address: to registered ones only, where an organisation says so.

What was registered once and removed is barred everywhere, until it is registered and good again:
whoever removed it was told that nothing is paid there any more. It is asked when an invoice is made
or changed, when somebody signs for its money or approves a payment again, and once more before the
signer is asked, since addresses can be removed at any time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from counterfoil.books import orgs, profiles
from counterfoil.books.moves import OUTGOING, MoveRow
from counterfoil.books.orgs import Org
from counterfoil.books.profiles import PayoutAddress
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid, OutOfPlace
from counterfoil.core.events import SignOff
from counterfoil.core.invoice import Invoice
from counterfoil.core.lifecycle import refusal_data
from counterfoil.core.signing import stands_to_be_signed
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.destinations import sanctioning

__all__ = ["PayoutAddress"]

_NAMED_AT_MOST: Final = 10


async def usable(tx: Tx, org_id: int, now: datetime) -> list[PayoutAddress]:
    """The addresses to which money may go now, by name."""
    found = await profiles.payout_addresses(tx, org_id)
    return sorted((one for one in found if one.is_usable(now)), key=lambda one: one.label)


async def must_be_registered(tx: Tx, org: Org, payout_to: Mapping[str, str], now: datetime) -> None:
    """Refuse addresses that an organisation does not pay out to; raises `Invalid` by field."""
    if not payout_to:
        return
    only = org.policy.payouts.in_force(now).registered_only
    removed = await profiles.removed_payout_addresses(tx, org.org_id)
    asked = {place for place in payout_to.items() if only or place in removed}
    if not asked:
        return
    known = await profiles.payout_addresses(tx, org.org_id)
    for family, address in asked:
        if not only and _of(known, family, address) is None:
            raise Invalid.field(
                f"payout_addresses.{family}",
                "was a registered payout address and is removed, so nothing is paid there; have it"
                " registered again, or name another",
            )
        refuse_unregistered(known, family, address, f"payout_addresses.{family}", now)


def refuse_unregistered(
    known: Sequence[PayoutAddress], family: str, address: str, field: str, now: datetime
) -> PayoutAddress:
    """The registered address that this one is; raises `Invalid` where it is none, or not yet."""
    found = _of(known, family, address)
    against = _against(found, now)
    if found is not None and against is None:
        return found
    if found is not None and against is not None:
        raise Invalid.field(field, against.reason)
    of_family = [one for one in known if one.family == family]
    good = sorted(f"{one.label} ({one.address})" for one in of_family if one.is_usable(now))
    if not good:
        raise Invalid.field(
            field,
            "is no registered payout address, and nothing else is allowed here. None is good just"
            " now: an administrator registers one in Studio's settings",
        )
    allowed = ", ".join(good[:_NAMED_AT_MOST])
    raise Invalid.field(
        field,
        f"is no registered payout address, and nothing else is allowed here. Allowed: {allowed}",
    )


async def must_still_be_registered(desk: Desk, tx: Tx, invoice: Invoice) -> None:
    """Refuse to sign for money that would go where the organisation does not pay out to any more.

    Raises `OutOfPlace`, as nothing in the request is wrong.
    """
    now = desk.clock.now()
    address = _elsewhere(invoice, await _places(tx, invoice.org_id, [invoice], now))
    if address is None:
        return
    raise OutOfPlace(
        f"its money would go to {address}, which is no registered payout address or not good yet;"
        " have it registered, or refund the payment",
        data={"rule": "registered_payouts", **refusal_data(invoice, but=SignOff)},
    )


async def not_signed_for(
    tx: Tx, org_id: int, found: Sequence[Invoice], now: datetime
) -> frozenset[UUID]:
    """Those of an organisation's invoices that `must_still_be_registered` refuses to sign for."""
    waiting = [invoice for invoice in found if stands_to_be_signed(invoice)]
    places = await _places(tx, org_id, waiting, now)
    return frozenset(i.invoice_id for i in waiting if _elsewhere(i, places) is not None)


_Place = tuple[str, str]
"""A chain family with an address of it."""


@dataclass(frozen=True, slots=True)
class _Places:
    """Where money may go: to what is ``good``; elsewhere unless ``only`` that or it was removed."""

    good: frozenset[_Place]
    removed: frozenset[_Place]
    only: bool

    def allow(self, place: _Place) -> bool:
        return place in self.good or not (self.only or place in self.removed)


async def _places(tx: Tx, org_id: int, invoices: Sequence[Invoice], now: datetime) -> _Places:
    """Where the money of these invoices may go."""
    org = await orgs.get(tx, org_id) if any(i.payout_to for i in invoices) else None
    if org is None:
        return _Places(frozenset(), frozenset(), only=False)
    only = org.policy.payouts.in_force(now).registered_only
    removed = await profiles.removed_payout_addresses(tx, org_id)
    good = await usable(tx, org_id, now) if only or removed else ()
    return _Places(frozenset((one.family, one.address) for one in good), removed, only)


def _elsewhere(invoice: Invoice, places: _Places) -> str | None:
    """The first address of an invoice to which no money may go."""
    named = invoice.payout_to.items()
    return next((address for family, address in named if not places.allow((family, address))), None)


@dataclass(frozen=True, slots=True)
class Bar:
    """Why nothing may be sent somewhere; ``until`` where time alone mends it, else for a person."""

    reason: str
    until: datetime | None = None


async def barred(tx: Tx, move: MoveRow, now: datetime, *, hold: bool = False) -> Bar | None:
    """Why nothing may be sent to where a payment goes, whoever approved it.

    Lists and registered addresses change after an approval, so this is asked once more before
    every new warrant and before the signer is. With ``hold`` the registered address stays what it
    is until the transaction ends: who removes it waits, and what they are told then is true.
    """
    if move.purpose not in OUTGOING:
        return None
    family = CHAINS[move.chain].family
    lists = await sanctioning(tx, move.org_id, family, move.destination)
    if lists:
        named = " and ".join(lists)
        return Bar(f"the destination {move.destination} is on the sanctions list {named}")
    if move.purpose != "payout" or move.invoice_id is None:
        return None
    if hold:
        await profiles.hold_payout_address(tx, move.org_id, family, move.destination)
    if not await _must_be_registered(tx, move, family, now):
        return None
    found = _of(await profiles.payout_addresses(tx, move.org_id), family, move.destination)
    against = _against(found, now)
    if against is None:
        return None
    return Bar(f"the destination {move.destination}: it {against.reason}", against.until)


def _against(found: PayoutAddress | None, now: datetime) -> Bar | None:
    """What stands against paying out to a registered address, or to what is none."""
    if found is None:
        return Bar("is no registered payout address, or not any more")
    if found.is_usable(now):
        return None
    if found.usable_at is None:
        return Bar(f"is registered as {found.label}, but nobody has approved it yet")
    since = f"{found.usable_at:%Y-%m-%d %H:%M} UTC"
    reason = f"is registered as {found.label}, but good only from {since} on"
    return Bar(reason, found.usable_at)


def _of(known: Iterable[PayoutAddress], family: str, address: str) -> PayoutAddress | None:
    return next((one for one in known if (one.family, one.address) == (family, address)), None)


async def _must_be_registered(tx: Tx, move: MoveRow, family: str, now: datetime) -> bool:
    """Whether a payout may go to a registered address only.

    What was sent elsewhere than its invoice says (`desk.redirecting`) always may, and what goes to
    an address that was removed; other payouts only where the organisation asks for that.
    """
    if move.invoice_id is None or move.source_id != move.invoice_id.hex:
        return True
    org = await orgs.get(tx, move.org_id)
    if org is not None and org.policy.payouts.in_force(now).registered_only:
        return True
    return (family, move.destination) in await profiles.removed_payout_addresses(tx, move.org_id)
