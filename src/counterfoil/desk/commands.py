"""What people do to an invoice: approve, reject, cancel, sign for it, refund it, put it away.

Every function is one transaction, answers the invoice as it then is, and raises `NotFound`,
`Forbidden` or `OutOfPlace` with nothing changed.
"""

from collections.abc import Awaitable, Callable
from uuid import UUID

from counterfoil.books import files
from counterfoil.core.content import content_hash
from counterfoil.core.errors import Conflict, Invalid
from counterfoil.core.events import (
    Approve,
    Archive,
    Cancel,
    Command,
    Event,
    OrderRefund,
    Reject,
    SignOff,
)
from counterfoil.core.invoice import Invoice
from counterfoil.core.roles import REQUIRED, Actor
from counterfoil.db.pool import Tx
from counterfoil.desk import queries
from counterfoil.desk.act import happen, locked
from counterfoil.desk.desk import Desk
from counterfoil.desk.destinations import check_destination
from counterfoil.desk.idempotency import Idempotent, once
from counterfoil.desk.queries import InvoiceView

MAX_ATTACHMENTS = 10
"""A refund carries one to ten (sources/kryptogo-invoice-approval-workflow.txt)."""

_FAMILY = "evm"

MakeEvent = Callable[[Tx, Invoice], Awaitable[Event]]


async def approve(
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    *,
    seen_hash: str | None = None,
    idempotent: Idempotent | None = None,
) -> InvoiceView:
    """Let the invoice be paid.

    With ``seen_hash`` the approval is for exactly the content the reviewer saw: `Conflict` when
    it changed meanwhile.
    """

    async def event(_tx: Tx, invoice: Invoice) -> Event:
        content = content_hash(invoice)
        if seen_hash is not None and seen_hash != content:
            raise Conflict(
                "the invoice was changed since you opened it; look at it again and then decide",
                data={"content_hash": content},
            )
        return Approve(at=desk.clock.now(), by=by.uid, content_hash=content)

    return await _command(desk, invoice_id, by, Approve, event, idempotent=idempotent)


async def reject(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Refuse the invoice, saying why."""

    async def event(_tx: Tx, _invoice: Invoice) -> Event:
        return Reject(at=desk.clock.now(), by=by.uid, reason=reason)

    return await _command(desk, invoice_id, by, Reject, event, idempotent=idempotent)


async def cancel(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Call the invoice off before any money came."""

    async def event(_tx: Tx, _invoice: Invoice) -> Event:
        return Cancel(at=desk.clock.now(), by=by.uid, reason=reason)

    return await _command(desk, invoice_id, by, Cancel, event, idempotent=idempotent)


async def archive(
    desk: Desk, invoice_id: UUID, by: Actor, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Put an ended invoice out of sight."""

    async def event(_tx: Tx, _invoice: Invoice) -> Event:
        return Archive(at=desk.clock.now(), by=by.uid)

    return await _command(desk, invoice_id, by, Archive, event, idempotent=idempotent)


async def sign_off(  # noqa: PLR0913 - the fields of SignInvoiceRequest
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    *,
    refund_address: str | None = None,
    refund_reason: str = "",
    refund_attachments: tuple[UUID, ...] = (),
    idempotent: Idempotent | None = None,
) -> InvoiceView:
    """Accept the money for the merchant; from here it is swept and paid out.

    An overpaid invoice needs ``refund_address``, where the surplus goes.
    """

    async def event(tx: Tx, invoice: Invoice) -> Event:
        await _check_attachments(tx, invoice.org_id, refund_attachments)
        address = refund_address and await check_destination(
            desk, tx, _FAMILY, refund_address, "refund_address"
        )
        return SignOff(at=desk.clock.now(), by=by.uid, refund_address=address, reason=refund_reason)

    return await _command(desk, invoice_id, by, SignOff, event, idempotent=idempotent)


async def order_refund(  # noqa: PLR0913 - the fields of RefundReviewRequest
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    *,
    address: str,
    reason: str,
    attachments: tuple[UUID, ...],
    idempotent: Idempotent | None = None,
) -> InvoiceView:
    """Ask for the whole payment to be sent back; a second person has to approve it."""

    async def event(tx: Tx, invoice: Invoice) -> Event:
        if not 1 <= len(attachments) <= MAX_ATTACHMENTS:
            sentence = f"must name one to {MAX_ATTACHMENTS} uploaded files"
            raise Invalid.field("refund_attachments", sentence)
        await _check_attachments(tx, invoice.org_id, attachments)
        return OrderRefund(
            at=desk.clock.now(),
            by=by.uid,
            address=await check_destination(desk, tx, _FAMILY, address, "refund_address"),
            reason=reason,
            attachment_file_ids=attachments,
        )

    return await _command(desk, invoice_id, by, OrderRefund, event, idempotent=idempotent)


async def _command(  # noqa: PLR0913 - one command, whole
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    kind: type[Command],
    make_event: MakeEvent,
    *,
    idempotent: Idempotent | None,
) -> InvoiceView:
    by.require(REQUIRED[kind])

    async def work(tx: Tx) -> InvoiceView:
        async def do() -> InvoiceView:
            before = await locked(tx, by.org_id, invoice_id)
            event = await make_event(tx, before)
            return await queries.full_view(tx, await happen(desk, tx, before, event, by))

        return await once(desk, tx, by, idempotent, do)

    return await desk.database.run(work)


async def _check_attachments(tx: Tx, org_id: int, attachments: tuple[UUID, ...]) -> None:
    if len(attachments) > MAX_ATTACHMENTS:
        sentence = f"must name at most {MAX_ATTACHMENTS} files"
        raise Invalid.field("refund_attachments", sentence)
    if attachments and not await files.exist(tx, org_id, attachments):
        raise Invalid.field("refund_attachments", "names a file that was not uploaded here")
