"""A key that is bound to a client id: no use case has another client id's invoice for it."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from counterfoil.core.errors import NotFound
from counterfoil.core.ids import public
from counterfoil.core.resolution import Choice
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import (
    approving,
    attaching,
    commands,
    delivering,
    dossier,
    intake,
    moving,
    printing,
    queries,
    redirecting,
    token_fees,
)
from counterfoil.desk.desk import Desk
from support.invoices import STRANGER
from support.till import Till, fresh_hash, reserve
from support.treasury import land

WHY = "It is not mine, and I say so"
BOUND = Actor(public("user", UUID(int=7)), 1, frozenset(Permission), client_id="client_other")

USES: dict[str, Callable[[Desk, UUID, Actor], Awaitable[object]]] = {
    "view": queries.view,
    "logs": queries.logs,
    "reach": queries.must_reach,
    "callbacks": delivering.of_invoice,
    "dossier": dossier.dossier,
    "printed": printing.printable,
    "edit": lambda d, i, by: intake.edit(d, i, lambda draft: draft, by),
    "preview": lambda d, i, by: intake.look_over_change(d, i, lambda draft: draft, by),
    "approve": commands.approve,
    "cancel": lambda d, i, by: commands.cancel(d, i, by, WHY),
    "sign": commands.sign_off,
    "refund": lambda d, i, by: commands.resolve(
        d, i, by, Choice.REFUND_ALL, reason=WHY, refund_address=STRANGER
    ),
    "archive": commands.archive,
    "approve again": lambda d, i, by: approving.approve_payments_again(d, i, by, WHY),
    "accept fees": lambda d, i, by: token_fees.accept(d, i, by, WHY),
    "withdraw": lambda d, i, by: approving.withdraw_payments(d, i, by, WHY),
    "redirect": lambda d, i, by: redirecting.redirect(d, i, by, address=STRANGER, reason=WHY),
    "approve redirect": redirecting.approve,
    "withdraw redirect": lambda d, i, by: redirecting.withdraw(d, i, by, reason=WHY),
    "name": lambda d, i, by: attaching.attach(
        d, i, by, transfer="0x", tx_hash=fresh_hash(), reason=WHY
    ),
}


async def test_nothing_reads_or_changes_an_invoice_of_another_client_id(till: Till) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till)
    move_id = (await till.move(bill, "payout")).move_id
    await moving.park(till.desk, 1, {move_id: "it stands still"})
    before = await till.look(bill)
    for name, use in USES.items():
        for invoice_id in (bill.invoice_id, UUID(int=1)):
            with pytest.raises(NotFound) as refused:
                await use(till.desk, invoice_id, BOUND)
            assert refused.value.message == "there is no such invoice", name
    for decide in (approving.approve_again, approving.withdraw):
        with pytest.raises(NotFound):
            await decide(till.desk, move_id, BOUND, reason=WHY)
    assert await till.look(bill) == before
