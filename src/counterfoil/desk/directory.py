"""The recipient directory: kept by whoever may make invoices, offered to them while they write.

Invoices keep what they said when they were made; nothing here changes one. Documents show a
recipient's name and e-mail; address and tax number are kept for people to look up.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from psycopg.errors import UniqueViolation

from counterfoil.books import orgs, recipients
from counterfoil.books.lists import Recipient
from counterfoil.books.recipients import Entry
from counterfoil.core import bounds, ids, lookalike
from counterfoil.core.errors import Conflict, Invalid, NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.text import clean_email, clean_text
from counterfoil.db.pool import Tx
from counterfoil.desk import drafting
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note

__all__ = ["Entry", "Found", "Written", "add", "change", "found", "may_change", "one", "turn"]

PAGE: Final = 50
ADDRESS_LENGTH: Final = 500
TAX_NUMBER_LENGTH: Final = 40


@dataclass(frozen=True, slots=True)
class Written:
    """What somebody wrote about a recipient, not looked at yet.

    ``meant`` says that they looked twice at a name that looks like another one.
    """

    name: str = ""
    email: str = ""
    address: str = ""
    tax_number: str = ""
    meant: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A page of the directory, by name; whether there is another one, and who is not in it yet.

    ``others`` are recipients of the newest invoices, where nothing was looked for. ``changes`` says
    whether the member may change anything.
    """

    entries: Sequence[Entry]
    has_more: bool
    others: Sequence[Recipient]
    changes: bool


async def found(desk: Desk, text: str, by: Actor, *, active: bool | None, number: int) -> Found:
    """The ``number``-th page (from 1) of those who have the text. Raises `Forbidden`."""
    by.require(Permission.READ)
    changes = may_change(by)
    if not text.isprintable():
        return Found((), has_more=False, others=(), changes=changes)
    async with desk.database.reading() as tx:
        entries = await recipients.page(
            tx, by.org_id, text, active=active, limit=PAGE + 1, offset=(number - 1) * PAGE
        )
        others = () if text or not changes else await drafting.not_kept(tx, by.org_id)
    return Found(entries[:PAGE], len(entries) > PAGE, others, changes)


def may_change(by: Actor) -> bool:
    """Whether a member may change the directory."""
    return Permission.CREATE in by.permissions


async def one(desk: Desk, recipient_id: UUID, by: Actor) -> Entry:
    """One of them. Raises `Forbidden` and `NotFound`."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        return await _there(tx, recipient_id, by)


async def add(desk: Desk, written: Written, by: Actor) -> UUID:
    """Put somebody into the directory.

    Raises `Forbidden`, `Invalid` naming the field, also for a name that only looks like one that is
    known unless it is ``meant``, and `Conflict` for who is there.
    """
    by.require(Permission.CREATE)
    entry = Entry(
        desk.ids.new(), **_read(written), created_at=desk.clock.now(), deactivated_at=None
    )
    await _look_twice(desk, entry, by, meant=written.meant)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        await recipients.insert(tx, by.org_id, entry)
        subject = ids.public("rcp", entry.recipient_id)
        await note(desk, tx, by, "recipient_added", subject, name=entry.name, email=entry.email)

    await _run(desk, work)
    return entry.recipient_id


async def change(desk: Desk, recipient_id: UUID, written: Written, by: Actor) -> None:
    """Replace what is known of somebody; raises as `add`, and `NotFound`."""
    by.require(Permission.CREATE)
    fields = _read(written)
    before = await one(desk, recipient_id, by)
    after = _with(before, fields)
    if after.name != before.name:
        await _look_twice(desk, after, by, meant=written.meant)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        present = await _there(tx, recipient_id, by)
        told = {
            name: [getattr(present, name), value]
            for name, value in fields.items()
            if getattr(present, name) != value
        }
        if told:
            await recipients.save(tx, by.org_id, _with(present, fields))
            subject = ids.public("rcp", recipient_id)
            await note(desk, tx, by, "recipient_changed", subject, fields=told)

    await _run(desk, work)


async def turn(desk: Desk, recipient_id: UUID, by: Actor, *, on: bool) -> None:
    """Offer somebody again, or no more. Raises `Forbidden`, `NotFound`."""
    by.require(Permission.CREATE)

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        there = await _there(tx, recipient_id, by)
        if (there.deactivated_at is None) == on:
            return
        at = None if on else desk.clock.now()
        await recipients.save(tx, by.org_id, replace(there, deactivated_at=at))
        event = "recipient_activated" if on else "recipient_deactivated"
        await note(desk, tx, by, event, ids.public("rcp", recipient_id), name=there.name)

    await desk.database.run(work)


async def _run(desk: Desk, work: Callable[[Tx], Awaitable[None]]) -> None:
    try:
        await desk.database.run(work)
    except UniqueViolation:
        sentence = "is in the directory already, with this e-mail"
        raise Conflict(f"name: {sentence}", fields={"name": sentence}) from None


def _read(written: Written) -> dict[str, str]:
    return {
        "name": clean_text(written.name, "name", max_length=bounds.NAME_LENGTH),
        "email": clean_email(written.email.strip(), "email"),
        "address": clean_text(
            written.address, "address", max_length=ADDRESS_LENGTH, empty=True, lines=True
        ),
        "tax_number": clean_text(
            written.tax_number, "tax_number", max_length=TAX_NUMBER_LENGTH, empty=True
        ),
    }


def _with(entry: Entry, fields: Mapping[str, str]) -> Entry:
    return replace(
        entry,
        name=fields["name"],
        email=fields["email"],
        address=fields["address"],
        tax_number=fields["tax_number"],
    )


async def _look_twice(desk: Desk, entry: Entry, by: Actor, *, meant: bool) -> None:
    """Have somebody look twice at a name that is drawn like another one (T22)."""
    if meant:
        return
    known = await drafting.taken_for(desk, entry.name, by)
    if known is not None:
        sentence = f"only looks like {known.name} ({known.email}), whom you know; look twice"
        raise Invalid.field("name", sentence)
    if lookalike.mixes_scripts(entry.name):
        raise Invalid.field("name", "mixes letters of several scripts in one word; look twice")


async def _there(tx: Tx, recipient_id: UUID, by: Actor) -> Entry:
    there = await recipients.get(tx, by.org_id, recipient_id)
    if there is None:
        raise NotFound("there is no such recipient")
    return there
