"""Callbacks as an organisation sets them up: the secret's version, receivers, and test messages.

A test goes the way of every callback: through the outbox, to be sent by the worker that checks
where it leads. It belongs to no invoice; `TESTS` stands where an invoice's id would.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from counterfoil.books import orgs, outbox
from counterfoil.books.outbox import Receiver
from counterfoil.core import ids
from counterfoil.core.callback_url import check_callback_url
from counterfoil.core.errors import Conflict, Invalid, NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.secrets import callback_secret, shown_callback_secret
from counterfoil.db.pool import Tx
from counterfoil.desk.delivering import Told
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note
from counterfoil.desk.the_org import the_org

TESTS: Final = UUID(int=0)
TESTS_AN_HOUR: Final = 20
"""Enough to get a receiver going, too few to map somebody's network with our answers."""
LATELY: Final = 1000
"""Of how many newest callbacks the receivers are counted."""
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The version of the signing secret, receivers of late, and the newest tests.

    ``default_url`` is told of invoices that name no address.
    """

    secret_version: int
    default_url: str | None
    receivers: Sequence[Receiver]
    tests: Sequence[Told]


async def overview(desk: Desk, by: Actor) -> Callbacks:
    """How callbacks do. Raises `Forbidden`."""
    by.require(Permission.ADMINISTER)
    async with desk.database.reading() as tx:
        org = await the_org(tx, by.org_id)
        receivers = await outbox.receivers(tx, by.org_id, LATELY)
        tests = (await outbox.of_invoice(tx, by.org_id, TESTS))[: -_SHOWN - 1 : -1]
        attempts = await outbox.attempts_of(tx, by.org_id, [one.event_id for one in tests])
    told = [Told(e, tuple(a for a in attempts if a.event_id == e.event_id)) for e in tests]
    return Callbacks(org.callback_secret_version, org.policy.callback_url, receivers, told)


async def choose_default(desk: Desk, url: str, by: Actor, *, allow_private: bool) -> None:
    """Have new invoices that name no callback address use this one; none where it is empty.

    Raises `Forbidden`, and `Invalid` for an address that callbacks may not go to.
    """
    by.require(Permission.ADMINISTER)
    chosen = url.strip() or None
    try:
        if chosen is not None:
            check_callback_url(chosen, allow_private=allow_private)
    except Invalid as refused:
        raise Invalid.field("default_url", refused.fields["callback_url"]) from None

    async def work(tx: Tx) -> None:
        await orgs.hold(tx, by.org_id)
        org = await the_org(tx, by.org_id)
        before = org.policy.callback_url
        if chosen != before:
            policy = msgspec.structs.replace(org.policy, callback_url=chosen)
            await orgs.save_policy(tx, by.org_id, policy)
            told = {"before": before, "after": chosen}
            await note(desk, tx, by, "callback_default_changed", "", **told)

    await desk.database.run(work)


async def secret(desk: Desk, master: bytes, by: Actor) -> str:
    """The signing secret as merchants are given it; that it was looked at is on record.

    Raises `Forbidden`.
    """
    by.require(Permission.ADMINISTER)

    async def look(tx: Tx) -> int:
        org = await the_org(tx, by.org_id)
        version = org.callback_secret_version
        await note(desk, tx, by, "secret_shown", "", version=version)
        return version

    version = await desk.database.run(look)
    return shown_callback_secret(callback_secret(master, by.org_id, version))


async def rotate(desk: Desk, by: Actor) -> int:
    """Sign with a new secret from the next attempt on; answers its version. Raises `Forbidden`."""
    by.require(Permission.ADMINISTER)

    async def work(tx: Tx) -> int:
        version = await orgs.next_callback_secret(tx, by.org_id)
        if version is None:
            raise NotFound(f"there is no organisation {by.org_id}")
        await note(desk, tx, by, "secret_rotated", "", version=version)
        return version

    return await desk.database.run(work)


async def test(desk: Desk, url: str, by: Actor, *, allow_private: bool) -> UUID:
    """Have a test message sent, once; what came back stands in `overview` then.

    Raises `Forbidden`, `Invalid` for an address that callbacks may not go to, and `Conflict`
    beyond `TESTS_AN_HOUR`.
    """
    by.require(Permission.ADMINISTER)
    checked = check_callback_url(url.strip(), allow_private=allow_private).text

    async def work(tx: Tx) -> UUID:
        now = desk.clock.now()
        await orgs.hold(tx, by.org_id)
        tests = await outbox.of_invoice(tx, by.org_id, TESTS)
        if sum(now - one.created_at < timedelta(hours=1) for one in tests) >= TESTS_AN_HOUR:
            raise Conflict(f"{TESTS_AN_HOUR} tests an hour are enough; try again later")
        event_id = desk.ids.new()
        await outbox.add_test(
            tx, by.org_id, event_id, TESTS, sequence=len(tests) + 1, url=checked, now=now
        )
        await note(desk, tx, by, "callback_tested", ids.public("evt", event_id), url=checked)
        return event_id

    return await desk.database.run(work)
