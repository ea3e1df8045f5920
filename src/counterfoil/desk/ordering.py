"""The order of a refund, looked over before it is given: everything wrong with it at once.

The order itself looks again, under the invoice's lock.
"""

from uuid import UUID

from counterfoil.core.errors import Invalid, Problems
from counterfoil.core.events import OrderRefund
from counterfoil.core.lifecycle import decide
from counterfoil.core.roles import REQUIRED, Actor
from counterfoil.desk.commands import FAMILY, check_papers
from counterfoil.desk.desk import Desk
from counterfoil.desk.destinations import check_refund
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.refunding import Part


async def look_over(  # noqa: PLR0913 - what is ordered, field by field
    desk: Desk,
    view: InvoiceView,
    by: Actor,
    *,
    address: str,
    attachments: tuple[UUID, ...],
    part: Part | None,
) -> dict[str, str]:
    """What is wrong with address, papers and amount, by the names that the order has for them.

    Raises `Forbidden`, and `OutOfPlace` where no refund can be ordered at all.
    """
    by.require(REQUIRED[OrderRefund])
    told = Problems()
    async with desk.database.reading() as tx:
        for check in (
            check_papers(tx, by, attachments),
            check_refund(desk, tx, by.org_id, FAMILY, address),
        ):
            try:
                await check
            except Invalid as refused:
                told.note(refused)
    amounts = told.read(lambda: () if part is None else part.of(view.invoice), None)
    if amounts is not None:
        order = OrderRefund(
            at=desk.clock.now(),
            by=by.uid,
            address=address,
            reason="",
            attachment_file_ids=attachments,
            amounts=amounts,
        )
        told.read(lambda: decide(view.invoice, order), None)
    return told.found
