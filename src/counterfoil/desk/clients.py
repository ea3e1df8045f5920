"""Client ids of an organisation: one for each integration, so that each can be told and ended.

The first comes with the organisation; invoices that are written in Studio bear it.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from counterfoil.books import clients, orgs
from counterfoil.books.clients import Client
from counterfoil.core.errors import Conflict, NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.text import clean_text
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note

__all__ = ["Client", "add", "disable", "enable", "rename", "shown"]

NAME_LENGTH: Final = 80
MOST_CLIENTS: Final = 50


async def shown(desk: Desk, by: Actor) -> Sequence[Client]:
    """The organisation's client ids, the oldest first. Raises `Forbidden`."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        return await clients.of_org(tx, by.org_id)


async def add(desk: Desk, name: str, by: Actor) -> str:
    """Make a client id for an integration of this name, and answer it.

    Raises `Forbidden`, `Invalid` naming the field, `Conflict` for a name that another one has and
    at `MOST_CLIENTS`.
    """
    by.require(Permission.ADMINISTER)
    called = clean_text(name, "name", max_length=NAME_LENGTH)
    client_id = f"client_{secrets.token_hex(12)}"

    async def work(tx: Tx) -> str:
        await orgs.hold(tx, by.org_id)
        there = await clients.of_org(tx, by.org_id)
        _check_name(there, client_id, called)
        if len(there) >= MOST_CLIENTS:
            raise Conflict(f"there are {MOST_CLIENTS} client ids already; use one of them anew")
        await note(desk, tx, by, "client_added", client_id, name=called)
        await clients.insert(tx, by.org_id, Client(client_id, called, desk.clock.now(), None))
        return client_id

    return await desk.database.run(work)


async def rename(desk: Desk, client_id: str, name: str, by: Actor) -> None:
    """Call an integration something else; raises as `add`, and `NotFound`."""
    by.require(Permission.ADMINISTER)
    called = clean_text(name, "name", max_length=NAME_LENGTH)

    async def work(tx: Tx) -> None:
        there, found = await _one(tx, client_id, by)
        _check_name(there, client_id, called)
        told = [found.name, called]
        await note(desk, tx, by, "client_renamed", client_id, name=told)
        await clients.save(tx, by.org_id, replace(found, name=called))

    await desk.database.run(work)


async def disable(desk: Desk, client_id: str, by: Actor) -> None:
    """Refuse whoever sends it from now on; invoices that bear it go on.

    Raises `Forbidden`, `NotFound`, and `Conflict` for one that is disabled.
    """
    await _turn(desk, client_id, by, on=False)


async def enable(desk: Desk, client_id: str, by: Actor) -> None:
    """Take it again. Raises `Forbidden`, `NotFound`, and `Conflict` for one that is enabled."""
    await _turn(desk, client_id, by, on=True)


async def _turn(desk: Desk, client_id: str, by: Actor, *, on: bool) -> None:
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> None:
        _, found = await _one(tx, client_id, by)
        if on and found.disabled_at is None:
            raise Conflict("this client id is enabled already")
        if not on and found.disabled_at is not None:
            raise Conflict("this client id is disabled already")
        event = "client_enabled" if on else "client_disabled"
        await note(desk, tx, by, event, client_id, name=found.name)
        disabled_at = None if on else desk.clock.now()
        await clients.save(tx, by.org_id, replace(found, disabled_at=disabled_at))

    await desk.database.run(work)


async def _one(tx: Tx, client_id: str, by: Actor) -> tuple[Sequence[Client], Client]:
    await orgs.hold(tx, by.org_id)
    there = await clients.of_org(tx, by.org_id)
    for one in there:
        if one.client_id == client_id:
            return there, one
    raise NotFound("there is no such client id")


def _check_name(there: Sequence[Client], client_id: str, name: str) -> None:
    if any(one.name == name and one.client_id != client_id for one in there):
        sentence = "is another one's name already"
        raise Conflict(f"name: {sentence}", fields={"name": sentence})
