"""What a second person decides by: the order itself, where it goes, why, and what was found.

Its papers are told by name.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final
from uuid import UUID

from counterfoil.books import files, orgs
from counterfoil.books.transfers import TransferRow, received
from counterfoil.core import ids
from counterfoil.core.errors import Conflict, Invalid
from counterfoil.core.homeward import Origin
from counterfoil.core.invoice import Invoice, Refund, Screening
from counterfoil.core.reckoning import Depth, rough_dollars
from counterfoil.core.refund_rules import found_about
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.homeward import origin_of
from counterfoil.desk.queries import InvoiceView

__all__ = [
    "Facts",
    "Order",
    "Origin",
    "facts_of",
    "must_be_as_seen",
    "open_order",
    "orders",
    "paper_names",
]

MOST_PAYERS: Final = 5


@dataclass(frozen=True, slots=True)
class Order:
    """A refund, what its address has to do with its money, and who sent most of that.

    ``found`` is the newest verdict about the money that it takes from.
    """

    refund: Refund
    origin: Origin
    came_from: tuple[str, ...]
    found: Screening | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What people and papers are called: by uid, and by the file's id."""

    names: Mapping[str, str] = field(default_factory=dict)
    papers: Mapping[UUID, str] = field(default_factory=dict)


def orders(view: InvoiceView) -> dict[UUID, Order]:
    """The refunds of an invoice by id."""
    return {
        refund.refund_id: Order(
            refund,
            origin_of(refund, view.transfers, view.moves),
            _payers(refund, view.transfers),
            found_about(view.invoice, refund.amounts),
        )
        for refund in view.invoice.refunds
    }


def must_be_as_seen(
    invoice: Invoice, refund: Refund, seen: UUID | None, seen_run: UUID | None
) -> None:
    """Refuse to approve another order than somebody saw, or money about which more was found since.

    Whoever ordered it could else put another address and amount in its place under the eyes of the
    second person, and what a screening finds while they read would be approved unseen. A screening
    that is clear stands against nothing, so it is none that has to be seen. What is None is not
    compared, but only the first refund of an invoice is approved without its id: `Invalid` for any
    later one. Raises `Conflict` otherwise.
    """
    if seen is None and refund.number > 1:
        sentence = "is required: more than one refund was ordered; name the one you saw"
        raise Invalid.field("refund_id", sentence)
    if seen not in {None, refund.refund_id}:
        raise Conflict(
            "another refund stands here than the one you looked at, and nothing was"
            " approved; look at its address and amount and then decide"
        )
    found = found_about(invoice, refund.amounts)
    if seen_run is None or found is None or found.decision == "clear" or found.run_id == seen_run:
        return
    raise Conflict(
        "the money was screened since you looked, and something was found; nothing was approved;"
        " look at what it says and then decide",
        data={"rule": "screened_since", "screening_run_id": ids.public("scr", found.run_id)},
    )


def _payers(refund: Refund, came: Iterable[TransferRow]) -> tuple[str, ...]:
    """Those who are known to have sent the tokens that go back, who sent most of them first."""
    going = {money.asset.key for money in refund.amounts}
    sent: dict[str, Fraction] = {}
    for row in came:
        one = received(row)
        if row.known_payer and row.depth is not Depth.ORPHANED and one.asset.key in going:
            worth = rough_dollars(one.asset, one.amount_units)
            sent[row.known_payer] = sent.get(row.known_payer, Fraction(0)) + worth
    return tuple(sorted(sent, key=lambda payer: -sent[payer])[:MOST_PAYERS])


def open_order(view: InvoiceView) -> Order | None:
    """The refund that waits for its second person, or is on its way."""
    refund = view.invoice.open_refund
    return None if refund is None else orders(view)[refund.refund_id]


async def paper_names(tx: Tx, org_id: int, invoices: Collection[Invoice]) -> dict[UUID, str]:
    """What the papers of these invoices' refunds, and of hits found false, are called."""
    wanted = {
        file_id
        for invoice in invoices
        for papers in (
            *(refund.attachment_file_ids for refund in invoice.refunds),
            *(disposal.evidence for disposal in invoice.disposals),
        )
        for file_id in papers
    }
    return await files.names_of(tx, org_id, wanted) if wanted else {}


async def facts_of(desk: Desk, views: Sequence[InvoiceView], by: Actor) -> Facts:
    """What people of the actor's organisation, and the papers of its refunds, are called."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        people = await orgs.everybody(tx, by.org_id)
        papers = await paper_names(tx, by.org_id, [view.invoice for view in views])
    return Facts({ids.public("user", one.member_id): one.name for one in people}, papers)
