"""The order of a refund, looked over before it is given: everything wrong with it at once.

The order itself looks again, under the invoice's lock.
"""

from counterfoil.core.errors import Invalid, Problems
from counterfoil.core.events import OrderRefund
from counterfoil.core.lifecycle import decide
from counterfoil.core.roles import REQUIRED, Actor
from counterfoil.desk.commands import FAMILY
from counterfoil.desk.desk import Desk
from counterfoil.desk.destinations import check_refund
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.refunding import Part


async def look_over(
    desk: Desk, view: InvoiceView, by: Actor, *, address: str, part: Part | None
) -> dict[str, str]:
    """What is wrong with the address and the amount, by the names that the order has for them.

    Raises `Forbidden`, and `OutOfPlace` where no refund can be ordered at all.
    """
    by.require(REQUIRED[OrderRefund])
    told = Problems()
    async with desk.database.reading() as tx:
        try:
            await check_refund(desk, tx, by.org_id, FAMILY, address)
        except Invalid as refused:
            told.found.update(refused.fields)
    amounts = told.read(lambda: () if part is None else part.of(view.invoice), None)
    if amounts is not None:
        order = OrderRefund(
            at=desk.clock.now(),
            by=by.uid,
            address=address,
            reason="",
            attachment_file_ids=(),
            amounts=amounts,
        )
        told.read(lambda: decide(view.invoice, order), None)
    return told.found
