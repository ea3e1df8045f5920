"""Registered payout addresses: added by one, approved by another, good after a while.

Whoever takes over one account can so neither register an address nor use it at once
(specs/reliability.md T34). An address is screened when it is added and when it is approved.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from psycopg.errors import UniqueViolation

from counterfoil.books import orgs, profiles
from counterfoil.books.profiles import PayoutAddress
from counterfoil.core import ids
from counterfoil.core.errors import Conflict, Forbidden, Invalid, NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.text import clean_text
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.destinations import check_destination, sanctioning
from counterfoil.desk.org_log import note

COOL_DOWN: Final = timedelta(hours=24)
"""From the approval until money may go there: time for everybody to notice what they did not do."""
LABEL_LENGTH: Final = 80


async def registered(desk: Desk, by: Actor) -> tuple[Sequence[PayoutAddress], dict[str, str]]:
    """The addresses, and people's names by uid. Raises `Forbidden`."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        found = await profiles.payout_addresses(tx, by.org_id)
        people = await orgs.everybody(tx, by.org_id)
    return found, {ids.public("user", one.member_id): one.name for one in people}


async def usable(tx: Tx, org_id: int, now: datetime) -> list[PayoutAddress]:
    """The addresses to which money may go now."""
    found = await profiles.payout_addresses(tx, org_id)
    return [one for one in found if one.usable_at is not None and one.usable_at <= now]


async def add(desk: Desk, family: str, address: str, label: str, *, by: Actor) -> UUID:
    """Register an address; it is good for nothing before somebody else approves it.

    Raises `Forbidden`, `Invalid` naming the field, also for an address on a sanctions list, and
    `Conflict` for one that is registered.
    """
    by.require(Permission.ADMINISTER)
    called = clean_text(label, "label", max_length=LABEL_LENGTH)
    if family not in desk.addresses:
        raise Invalid.field("family", f"must be one of {', '.join(sorted(desk.addresses))}")

    async def work(tx: Tx) -> UUID:
        checked = await check_destination(desk, tx, family, address.strip(), "address")
        await _screen(tx, by.org_id, family, checked)
        row = PayoutAddress(
            payout_address_id=desk.ids.new(),
            family=family,
            address=checked,
            label=called,
            added_by=by.uid,
            added_at=desk.clock.now(),
            approved_by=None,
            approved_at=None,
            usable_at=None,
        )
        await profiles.insert_payout_address(tx, by.org_id, row)
        await note(desk, tx, by, "payout_address_added", checked, family=family, label=called)
        return row.payout_address_id

    try:
        return await desk.database.run(work)
    except UniqueViolation:
        sentence = "is registered already"
        raise Conflict(f"address: {sentence}", fields={"address": sentence}) from None


async def approve(desk: Desk, payout_address_id: UUID, by: Actor) -> None:
    """Approve what somebody else added; it is good after `COOL_DOWN`.

    Raises `Forbidden`, also for whoever added it, `NotFound`, `Conflict` for one that is approved,
    and `Invalid` where it is on a sanctions list by now.
    """
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        found = await _one(tx, payout_address_id, by)
        if found.added_by == by.uid:
            raise Forbidden("whoever added an address does not approve it; ask another person")
        if found.approved_by is not None:
            raise Conflict("this address is approved already")
        await _screen(tx, by.org_id, found.family, found.address)
        now = desk.clock.now()
        await profiles.approve_payout_address(
            tx, by.org_id, payout_address_id, by=by.uid, at=now, usable_at=now + COOL_DOWN
        )
        usable_at = (now + COOL_DOWN).isoformat()
        await note(desk, tx, by, "payout_address_approved", found.address, usable_at=usable_at)

    await desk.database.run(work)


async def remove(desk: Desk, payout_address_id: UUID, by: Actor) -> None:
    """Take an address away, at once. Raises `Forbidden` and `NotFound`."""
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        found = await _one(tx, payout_address_id, by)
        await profiles.remove_payout_address(tx, by.org_id, payout_address_id, desk.clock.now())
        await note(desk, tx, by, "payout_address_removed", found.address)

    await desk.database.run(work)


async def _one(tx: Tx, payout_address_id: UUID, by: Actor) -> PayoutAddress:
    for one in await profiles.payout_addresses(tx, by.org_id):
        if one.payout_address_id == payout_address_id:
            return one
    raise NotFound("there is no such payout address")


async def _screen(tx: Tx, org_id: int, family: str, address: str) -> None:
    lists = await sanctioning(tx, org_id, family, address)
    if lists:
        sentence = f"is on the sanctions list {' and '.join(lists)}; nothing may be sent there"
        raise Invalid.field("address", sentence)
