"""Everything about one invoice, as one moment saw it: what its page shows and an auditor asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from counterfoil.books import audit, ledger, orgs, outbox
from counterfoil.books.ledger import PostingRow
from counterfoil.core import ids, seal
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.seal import Break, LogEntry
from counterfoil.desk import queries, second_look
from counterfoil.desk.delivering import Told
from counterfoil.desk.desk import Desk
from counterfoil.desk.metadata import told_to
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.reach import readable


@dataclass(frozen=True, slots=True)
class Dossier:
    """The view, the log with its seals (oldest first), the ledger, the callbacks, and who is who.

    ``broken`` says where the chain of seals does not hold; None where all of it does. ``names``
    has the members' names by uid, those who left included, and ``papers`` those of the files of
    refunds and of hits found false.
    """

    view: InvoiceView
    entries: tuple[tuple[LogEntry, bytes], ...]
    broken: Break | None
    postings: tuple[PostingRow, ...]
    told: tuple[Told, ...]
    names: Mapping[str, str]
    papers: Mapping[UUID, str]


async def dossier(desk: Desk, invoice_id: UUID, by: Actor) -> Dossier:
    """All of one invoice of the actor's organisation; `NotFound` otherwise."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        invoice = await readable(tx, by, invoice_id)
        view = await queries.shown_view(desk, tx, invoice)
        entries = await audit.of_invoice(tx, by.org_id, invoice_id)
        postings = await ledger.of_invoice(tx, by.org_id, invoice_id)
        events = await outbox.of_invoice(tx, by.org_id, invoice_id)
        attempts = await outbox.attempts_of(tx, by.org_id, [e.event_id for e in events])
        people = await orgs.everybody(tx, by.org_id)
        papers = await second_look.paper_names(tx, by.org_id, [invoice])
    return Dossier(
        view=view,
        entries=tuple((told_to(by, entry), sealed) for entry, sealed in entries),
        broken=seal.verify(entries),
        postings=tuple(postings),
        told=tuple(
            Told(e, tuple(a for a in attempts if a.event_id == e.event_id))
            for e in events
            if e.status != "silent"
        ),
        names={ids.public("user", one.member_id): one.name for one in people},
        papers=papers,
    )
