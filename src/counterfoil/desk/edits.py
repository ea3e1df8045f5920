"""What was changed in invoices since they were submitted: for whoever approves them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from counterfoil.books import audit, orgs
from counterfoil.core import ids
from counterfoil.core.errors import Invalid
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.rules import makers
from counterfoil.core.seal import LogEntry
from counterfoil.desk.desk import Desk


@dataclass(frozen=True, slots=True)
class Edits:
    """The log's entries about changes by invoice, oldest first, and members' names by uid."""

    by_invoice: Mapping[UUID, tuple[LogEntry, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


async def of_waiting(desk: Desk, waiting: Collection[Invoice], by: Actor) -> Edits:
    """What was changed in those of the actor's invoices that wait for approval."""
    by.require(Permission.READ)
    edited = [invoice.invoice_id for invoice in waiting if was_edited(invoice)]
    if not edited:
        return Edits()
    async with desk.database.reading() as tx:
        entries = await audit.edits(tx, by.org_id, edited)
        people = await orgs.everybody(tx, by.org_id)
    found: dict[UUID, tuple[LogEntry, ...]] = {}
    for entry in entries:
        found[entry.invoice_id] = (*found.get(entry.invoice_id, ()), entry)
    return Edits(found, {ids.public("user", one.member_id): one.name for one in people})


def was_edited(invoice: Invoice) -> bool:
    """Whether an invoice waits for approval that is not what was submitted any more."""
    return invoice.status is Status.APPROVAL_PENDING and bool(invoice.edited_by)


def must_be_seen(invoice: Invoice, seen_hash: str | None, by: Actor) -> None:
    """Refuse an approval of what was changed since it was submitted, unless it says what was seen.

    Who knew an invoice by its id alone would approve another one. Raises `Invalid`; whoever had a
    hand in it is refused for that.
    """
    four_eyes = invoice.policy.maker_is_not_checker and by.uid in makers(invoice)
    if seen_hash is not None or four_eyes or not was_edited(invoice):
        return
    raise Invalid.field(
        "content_hash",
        "is required, as the invoice was changed since it was submitted; look at it, at where its"
        " money goes above all, and send the content_hash that you saw",
    )
