"""What people do to an invoice, from approving it to putting it away.

Every function is one transaction, answers the invoice as it then is, and raises `NotFound`,
`Forbidden` or `OutOfPlace` with nothing changed.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from counterfoil.books import files, moves
from counterfoil.books.moves import MoveRow
from counterfoil.core import reckoning, resolution
from counterfoil.core.content import content_hash
from counterfoil.core.errors import Conflict, Invalid, OutOfPlace
from counterfoil.core.events import (
    Accept,
    Approve,
    ApproveRefund,
    Archive,
    Cancel,
    Command,
    Decline,
    OrderRefund,
    Recalculate,
    Reject,
    Release,
    SignOff,
    TakeNote,
)
from counterfoil.core.invoice import Context, Invoice, Status
from counterfoil.core.lifecycle import RULES, allowed_commands
from counterfoil.core.money import Money
from counterfoil.core.resolution import Choice
from counterfoil.core.roles import REQUIRED, Actor
from counterfoil.db.pool import Tx
from counterfoil.desk import queries
from counterfoil.desk.act import happen, locked
from counterfoil.desk.desk import Desk
from counterfoil.desk.destinations import check_destination
from counterfoil.desk.idempotency import Idempotent, once
from counterfoil.desk.objections import OUTGOING
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.resolving import check_approved_content, recalculation

MAX_ATTACHMENTS: Final = 10
"""A refund carries one to ten (sources/kryptogo-invoice-approval-workflow.txt)."""

_FAMILY: Final = "evm"

_SIGNED_AS_IT_IS: Final = frozenset({Context.PAID_LATE, Context.MULTIPLE_PAYERS, Context.OVERPAID})
"""Enough money, but particular: whoever signs for it takes it as it is."""

MakeCommands = Callable[[Tx, Invoice], Awaitable[Sequence[Command]]]
"""Builds the commands from the locked invoice; they happen one after the other, or none does."""


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

    async def make(_tx: Tx, invoice: Invoice) -> Sequence[Command]:
        content = content_hash(invoice)
        if seen_hash is not None and seen_hash != content:
            raise Conflict(
                "the invoice was changed since you opened it; look at it again and then decide",
                data={"content_hash": content},
            )
        return [Approve(at=desk.clock.now(), by=by.uid, content_hash=content)]

    return await _command(desk, invoice_id, by, Approve, make, key=idempotent)


async def reject(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Refuse the invoice, saying why."""

    def make(at: datetime) -> Command:
        return Reject(at=at, by=by.uid, reason=reason)

    return await _simple(desk, invoice_id, by, Reject, make, key=idempotent)


async def cancel(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Call the invoice off before any money came."""

    def make(at: datetime) -> Command:
        return Cancel(at=at, by=by.uid, reason=reason)

    return await _simple(desk, invoice_id, by, Cancel, make, key=idempotent)


async def archive(
    desk: Desk, invoice_id: UUID, by: Actor, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Put an ended invoice out of sight."""

    def make(at: datetime) -> Command:
        return Archive(at=at, by=by.uid)

    return await _simple(desk, invoice_id, by, Archive, make, key=idempotent)


async def release(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Say that held money may go on; it does with the second person's word."""

    def make(at: datetime) -> Command:
        return Release(at=at, by=by.uid, reason=reason)

    return await _simple(desk, invoice_id, by, Release, make, key=idempotent)


async def decline(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Say that held money is refused for good; it is with the second person's word."""

    def make(at: datetime) -> Command:
        return Decline(at=at, by=by.uid, reason=reason)

    return await _simple(desk, invoice_id, by, Decline, make, key=idempotent)


async def take_note(
    desk: Desk, invoice_id: UUID, by: Actor, text: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Write something down about held money, for compliance only."""

    def make(at: datetime) -> Command:
        return TakeNote(at=at, by=by.uid, text=text)

    return await _simple(desk, invoice_id, by, TakeNote, make, key=idempotent)


async def accept(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Take a payment of the wrong amount, time or kind as it is; it still has to be signed for."""

    def make(at: datetime) -> Command:
        return Accept(at=at, by=by.uid, reason=reason)

    return await _simple(desk, invoice_id, by, Accept, make, key=idempotent)


async def recalculate(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Price the invoice anew at the current rate, and judge what came in against that.

    `Unavailable` while there is no fresh rate, `Conflict` when the invoice is not what was
    approved; then nothing changes.
    """

    async def make(tx: Tx, invoice: Invoice) -> Sequence[Command]:
        if (invoice.status, Recalculate) not in RULES:
            # The lifecycle says what is possible instead.
            return [Recalculate(at=desk.clock.now(), by=by.uid, requests=invoice.requests)]
        return [await recalculation(desk, tx, invoice, by.uid, reason=reason)]

    return await _command(desk, invoice_id, by, Recalculate, make, key=idempotent)


async def sign_off(  # noqa: PLR0913 - the fields of SignInvoiceRequest
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    *,
    refund_address: str | None = None,
    refund_reason: str = "",
    refund_attachments: tuple[UUID, ...] = (),
    idempotent: Idempotent | None = None,
    choice: Choice | None = None,
) -> InvoiceView:
    """Accept the money for the merchant; from here it is swept and paid out.

    An overpaid invoice needs ``refund_address``, where the surplus goes. `Conflict` when the
    invoice is not what was approved. With ``choice`` it is refused where that is none.
    """

    async def make(tx: Tx, invoice: Invoice) -> Sequence[Command]:
        check_approved_content(invoice, by.uid)
        if choice is not None:
            resolution.must_be_open(invoice, choice)
        await _check_attachments(tx, invoice.org_id, refund_attachments)
        address = refund_address and await check_destination(
            desk, tx, _FAMILY, refund_address, "refund_address"
        )
        now = desk.clock.now()
        order = SignOff(at=now, by=by.uid, refund_address=address, reason=refund_reason)
        return signing(invoice, order)

    return await _command(desk, invoice_id, by, SignOff, make, key=idempotent)


async def resolve(  # noqa: PLR0913 - a choice, whole
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    choice: Choice,
    *,
    reason: str = "",
    refund_address: str | None = None,
    attachments: tuple[UUID, ...] = (),
    idempotent: Idempotent | None = None,
) -> InvoiceView:
    """Choose what is done about a particular payment; each choice is the command that does it.

    Both refunds need an address; `Choice.REFUND_SURPLUS` signs for the rest. Raises as the
    command does, and `Invalid` for waiting, which nobody has to ask for.
    """
    match choice:
        case Choice.ACCEPT:
            return await accept(desk, invoice_id, by, reason, idempotent)
        case Choice.RECALCULATE:
            return await recalculate(desk, invoice_id, by, reason, idempotent)
        case Choice.WAIT:
            sentence = "needs nothing done: the customer may simply pay the rest"
            raise Invalid.field("choice", sentence)
        case _ if refund_address is None:
            sentence = f"is required for {choice}: money only goes where somebody says"
            raise Invalid.field("refund_address", sentence)
        case Choice.REFUND_SURPLUS:
            return await sign_off(
                desk,
                invoice_id,
                by,
                refund_address=refund_address,
                refund_reason=reason,
                refund_attachments=attachments,
                idempotent=idempotent,
                choice=choice,
            )
        case Choice.REFUND_ALL:
            return await order_refund(
                desk,
                invoice_id,
                by,
                address=refund_address,
                reason=reason,
                attachments=attachments,
                idempotent=idempotent,
            )


def signs_as_it_is(status: Status, context: Context | None) -> bool:
    """Whether the payment waits for a choice that signing for it makes as well."""
    return status is Status.RESOLUTION_REQUIRED and context in _SIGNED_AS_IT_IS


def signing(invoice: Invoice, order: SignOff) -> tuple[Command, ...]:
    """What happens when somebody signs: where the payment was particular, it is accepted first."""
    if not signs_as_it_is(invoice.status, invoice.context):
        return (order,)
    surplus: Literal["keep", "return"] = "return" if resolution.to_return(invoice) else "keep"
    return Accept(at=order.at, by=order.by, reason=order.reason, surplus=surplus), order


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

    async def make(tx: Tx, invoice: Invoice) -> Sequence[Command]:
        if not 1 <= len(attachments) <= MAX_ATTACHMENTS:
            sentence = f"must name one to {MAX_ATTACHMENTS} uploaded files"
            raise Invalid.field("refund_attachments", sentence)
        await _check_attachments(tx, invoice.org_id, attachments)
        destination = await check_destination(desk, tx, _FAMILY, address, "refund_address")
        await _check_refundable(tx, invoice, OrderRefund)
        return [
            OrderRefund(
                at=desk.clock.now(),
                by=by.uid,
                address=destination,
                reason=reason,
                attachment_file_ids=attachments,
            )
        ]

    return await _command(desk, invoice_id, by, OrderRefund, make, key=idempotent)


async def approve_refund(
    desk: Desk, invoice_id: UUID, by: Actor, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Let an ordered refund go out; not by the person who ordered it."""

    async def make(tx: Tx, invoice: Invoice) -> Sequence[Command]:
        await _check_refundable(tx, invoice, ApproveRefund)
        return [ApproveRefund(at=desk.clock.now(), by=by.uid)]

    return await _command(desk, invoice_id, by, ApproveRefund, make, key=idempotent)


def refund_obstacle(invoice: Invoice, went_out: Sequence[MoveRow]) -> OutOfPlace | None:
    """Why the payment cannot be refunded just now, given all of the invoice's moves.

    A refund sends back everything that came in, out of one budget with the payouts
    (specs/reliability.md 1.3, point 7), so all of it has to be final and still with us. A refund
    that were let through regardless would be parked at its signature, where nothing leads on.
    """
    held = reckoning.received(invoice)
    if not held:
        return _obstacle(
            invoice, "budget", "no money is here for this invoice, so nothing to refund"
        )
    if not (invoice.tally.settled and invoice.tally.final):
        sentence = "the payment is not yet final on chain; refund it in a few minutes"
        return _obstacle(invoice, "finality", sentence)
    if any(move.status == "signed" for move in went_out):
        sentence = "some of the money is on its way just now; refund it in a few minutes"
        return _obstacle(invoice, "in_flight", sentence)
    gone = Counter[tuple[str, str]]()
    for move in went_out:
        if move.purpose in OUTGOING and move.status != "failed":
            gone[move.chain, move.contract] += move.amount_units
    spent = [
        Money(units, money.asset)
        for money in held
        if (units := gone[money.asset.chain, money.asset.contract])
    ]
    if not spent:
        return None
    return _obstacle(
        invoice,
        "budget",
        f"{' and '.join(map(str, spent))} of the {' and '.join(map(str, held))} received has"
        " already been paid out or sent back, so the payment can no longer be refunded from here;"
        " if the customer is to get money back, send it from your own wallet",
    )


def _obstacle(invoice: Invoice, rule: str, sentence: str) -> OutOfPlace:
    return OutOfPlace(
        sentence,
        data={
            "rule": rule,
            "status": invoice.status.value,
            "context": None if invoice.context is None else invoice.context.value,
            "allowed": allowed_commands(invoice.status),
        },
    )


async def _simple(  # noqa: PLR0913 - one command, whole
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    kind: type[Command],
    make: Callable[[datetime], Command],
    *,
    key: Idempotent | None,
) -> InvoiceView:
    async def one(_tx: Tx, _invoice: Invoice) -> Sequence[Command]:
        return [make(desk.clock.now())]

    return await _command(desk, invoice_id, by, kind, one, key=key)


async def _command(  # noqa: PLR0913 - one command, whole
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    kind: type[Command],
    make: MakeCommands,
    *,
    key: Idempotent | None,
) -> InvoiceView:
    by.require(REQUIRED[kind])

    async def work(tx: Tx) -> InvoiceView:
        async def do() -> InvoiceView:
            invoice = await locked(tx, by.org_id, invoice_id)
            for event in await make(tx, invoice):
                invoice = await happen(desk, tx, invoice, event, by)
            return await queries.full_view(tx, invoice)

        return await once(desk, tx, by, key, do)

    return await desk.database.run(work)


async def _check_refundable(tx: Tx, invoice: Invoice, command: type[Command]) -> None:
    """Raise the `refund_obstacle`; where the status forbids the command, that is told instead."""
    if (invoice.status, command) not in RULES:
        return
    went_out = await moves.of_invoices(tx, invoice.org_id, [invoice.invoice_id])
    obstacle = refund_obstacle(invoice, went_out)
    if obstacle is not None:
        raise obstacle


async def _check_attachments(tx: Tx, org_id: int, attachments: tuple[UUID, ...]) -> None:
    if len(attachments) > MAX_ATTACHMENTS:
        sentence = f"must name at most {MAX_ATTACHMENTS} files"
        raise Invalid.field("refund_attachments", sentence)
    if attachments and not await files.exist(tx, org_id, attachments):
        sentence = "names a file that was not uploaded here; upload it first"
        raise Invalid.field("refund_attachments", sentence)
