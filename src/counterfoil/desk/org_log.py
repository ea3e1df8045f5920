"""An organisation's own history: who changed its members, keys and rules, sealed entry by entry.

Every change writes its entry in its own transaction, so that none is without the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from counterfoil.books import org_log, orgs
from counterfoil.core import ids, seal
from counterfoil.core.errors import NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.seal import OrgBreak, OrgEntry
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk


@dataclass(frozen=True, slots=True)
class History:
    """All entries with their seals, oldest first; where they break; people's names by uid."""

    entries: list[tuple[OrgEntry, bytes]]
    broken: OrgBreak | None
    names: Mapping[str, str]


async def note(desk: Desk, tx: Tx, by: Actor, event: str, subject: str, **metadata: object) -> None:
    """Write down what ``by`` does to their organisation, in the transaction that does it.

    Holds the organisation until the transaction ends; raises `NotFound` where there is none.
    """
    sequence = await org_log.next_sequence(tx, by.org_id)
    if sequence is None:
        raise NotFound(f"there is no organisation {by.org_id}")
    entry = OrgEntry(
        org_id=by.org_id,
        sequence=sequence,
        at=desk.clock.now(),
        operator_uid=by.uid,
        event=event,
        subject=subject,
        metadata=metadata,
        request_id=by.request_id,
    )
    await org_log.append(tx, entry)


async def history(desk: Desk, by: Actor) -> History:
    """The whole log, its seals computed anew. Raises `Forbidden`."""
    by.require(Permission.AUDIT)
    async with desk.database.reading() as tx:
        entries = await org_log.of_org(tx, by.org_id)
        length = await org_log.length(tx, by.org_id)
        people = await orgs.everybody(tx, by.org_id)
    names = {ids.public("user", one.member_id): one.name for one in people}
    return History(entries, seal.verify_org(by.org_id, entries, length), names)
