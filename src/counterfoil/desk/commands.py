"""What people do to an invoice, from approving it to putting it away.

Every function is one transaction, answers the invoice as it then is, and raises `NotFound`,
`Forbidden` or `OutOfPlace` with nothing changed.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from counterfoil.books import files, moves
from counterfoil.core import resolution
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
    Purpose,
    Quarantine,
    Recalculate,
    Reject,
    Release,
    SignOff,
    TakeNote,
    WithdrawRefund,
)
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.lifecycle import RULES, refusal_data
from counterfoil.core.planning import INWARD
from counterfoil.core.resolution import Choice
from counterfoil.core.roles import REQUIRED, Actor
from counterfoil.core.signing import signing, stands_to_be_signed, takes_a_signature
from counterfoil.db.pool import Tx
from counterfoil.desk import homeward, queries
from counterfoil.desk.act import happen
from counterfoil.desk.desk import Desk
from counterfoil.desk.destinations import check_refund
from counterfoil.desk.edits import must_be_seen
from counterfoil.desk.explained import must_be_explained
from counterfoil.desk.idempotency import Idempotent, once
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.reach import locked
from counterfoil.desk.refunding import Part, in_flight, must_be_at_rest, must_be_unsent
from counterfoil.desk.registered import must_still_be_registered
from counterfoil.desk.resolving import check_approved_content, recalculation
from counterfoil.desk.second_look import must_be_as_seen

MAX_ATTACHMENTS: Final = 10
"""A refund carries one to ten (sources/kryptogo-invoice-approval-workflow.txt)."""

FAMILY: Final = "evm"
"""Chains that money goes back on."""

MOST_HOURS: Final = 168
"""For how long a new price may last at most: the longer, the more it is worth to wait with it."""

MakeCommands = Callable[[Tx, Invoice], Awaitable[Sequence[Command]]]
"""Builds the commands from the locked invoice; they happen one after the other, or none does."""

Then = Callable[[Tx, Invoice], Awaitable[None]]
"""What is written beside the invoice once they happened, in the same transaction."""


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
    it changed meanwhile. Without, only what was submitted is approved: `Invalid` once it was
    changed.
    """

    async def make(_tx: Tx, invoice: Invoice) -> Sequence[Command]:
        must_be_seen(invoice, seen_hash, by)
        content = content_hash(invoice)
        if seen_hash is not None and seen_hash != content:
            raise Conflict(
                "the invoice was changed since you opened it; look at it again and then decide",
                data={"content_hash": content},
            )
        return [Approve(at=desk.clock.now(), by=by.uid, content_hash=content)]

    return await give(desk, invoice_id, by, Approve, make, key=idempotent)


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
    """Say that held money may go on; it does with the last word that it needs."""
    must_be_explained(by, Release, reason)

    async def make(tx: Tx, invoice: Invoice) -> Sequence[Command]:
        await _check_at_rest(tx, invoice, Release, frozenset({"quarantine"}))
        return [Release(at=desk.clock.now(), by=by.uid, reason=reason)]

    return await give(desk, invoice_id, by, Release, make, key=idempotent)


async def quarantine(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Have held or refused money taken from its deposit address to the hold wallet."""

    async def make(tx: Tx, invoice: Invoice) -> Sequence[Command]:
        await _check_at_rest(tx, invoice, Quarantine, INWARD)
        return [Quarantine(at=desk.clock.now(), by=by.uid, reason=reason)]

    return await give(desk, invoice_id, by, Quarantine, make, key=idempotent)


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


async def recalculate(  # noqa: PLR0913 - one command, whole
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    reason: str,
    idempotent: Idempotent | None = None,
    *,
    hours: int = 0,
) -> InvoiceView:
    """Price the invoice anew at the current rate, and judge what came in against that.

    What is then missing may be paid for ``hours`` more, or until the deadline where that is later.
    `OutOfPlace` where neither a rate nor more time would change anything,
    `Invalid` for more than `MOST_HOURS`, `Unavailable` while there is no fresh rate, `Conflict`
    when the invoice is not what was approved; then nothing changes.
    """
    if not 0 <= hours <= MOST_HOURS:
        raise Invalid.field("hours", f"must be from 0 to {MOST_HOURS}")

    async def make(tx: Tx, invoice: Invoice) -> Sequence[Command]:
        if (invoice.status, Recalculate) not in RULES:
            # The lifecycle says what is possible instead.
            return [Recalculate(at=desk.clock.now(), by=by.uid, requests=invoice.requests)]
        more = timedelta(hours=hours) if hours else None
        return [await recalculation(desk, tx, invoice, by.uid, reason=reason, more_time=more)]

    return await give(desk, invoice_id, by, Recalculate, make, key=idempotent)


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

    An overpaid invoice needs ``refund_address``, where the surplus goes, if no rule of it names
    where it came from (`homeward.by_rule`). Anywhere else a second person approves it as any
    refund, and all of it waits for them: `Invalid` without a reason and papers, and for an address
    where it was chosen to keep the surplus. `Conflict` when the invoice is not what was approved.
    With ``choice`` it is refused where that is none.
    """

    async def make(tx: Tx, invoice: Invoice) -> Sequence[Command]:
        check_approved_content(invoice, by.uid)
        if choice is not None:
            resolution.must_be_open(invoice, choice, desk.clock.now())
        if stands_to_be_signed(invoice):
            await must_still_be_registered(desk, tx, invoice)
        await _check_attachments(tx, by, refund_attachments)
        address, is_home, is_judged, reason = None, False, False, refund_reason
        home = await homeward.by_rule(tx, invoice) if refund_address is None else None
        if home is not None and not reason.strip():
            reason = f"by rule: {home.rule}"
        if named := refund_address or (home and home.address):
            address = await check_refund(desk, tx, by.org_id, FAMILY, named)
            is_home = await homeward.goes_home(tx, invoice, address)
            # Where nobody can sign, that is told: no reason and no paper would help.
            is_judged = not is_home and takes_a_signature(invoice)
            if is_judged and not refund_reason.strip():
                sentence = "is required unless money goes back to where it came from"
                raise Invalid.field("refund_reason", sentence)
            if is_judged:
                await check_papers(tx, by, refund_attachments)
        order = SignOff(
            at=desk.clock.now(),
            by=by.uid,
            refund_address=address,
            goes_home=is_home,
            reason=reason,
            attachment_file_ids=refund_attachments,
        )
        return signing(invoice, order)

    return await give(desk, invoice_id, by, SignOff, make, key=idempotent)


async def resolve(  # noqa: PLR0913 - a choice, whole
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    choice: Choice,
    *,
    reason: str = "",
    refund_address: str | None = None,
    attachments: tuple[UUID, ...] = (),
    hours: int = 0,
    idempotent: Idempotent | None = None,
) -> InvoiceView:
    """Choose what is done about a particular payment; each choice is the command that does it.

    Both refunds need an address; `Choice.REFUND_SURPLUS` signs for the rest. ``hours`` are those
    of `recalculate` alone. Raises as the command does, and `Invalid` for waiting, which nobody has
    to ask for.
    """
    if hours and choice is not Choice.RECALCULATE:
        sentence = f"goes with recalculate only: {choice} gives nobody more time to pay"
        raise Invalid.field("hours", sentence)
    match choice:
        case Choice.ACCEPT:
            return await accept(desk, invoice_id, by, reason, idempotent)
        case Choice.RECALCULATE:
            return await recalculate(desk, invoice_id, by, reason, idempotent, hours=hours)
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


async def order_refund(  # noqa: PLR0913 - the fields of RefundReviewRequest
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    *,
    address: str,
    reason: str,
    attachments: tuple[UUID, ...],
    part: Part | None = None,
    idempotent: Idempotent | None = None,
) -> InvoiceView:
    """Ask for money to be sent back; a second person has to approve it.

    Without ``part`` all that is left goes back.
    """

    async def make(tx: Tx, invoice: Invoice) -> Sequence[Command]:
        await check_papers(tx, by, attachments)
        destination = await check_refund(desk, tx, by.org_id, FAMILY, address)
        await _check_still(tx, invoice, OrderRefund)
        return [
            OrderRefund(
                at=desk.clock.now(),
                by=by.uid,
                address=destination,
                reason=reason,
                attachment_file_ids=attachments,
                amounts=() if part is None else part.of(invoice),
            )
        ]

    return await give(desk, invoice_id, by, OrderRefund, make, key=idempotent)


async def approve_refund(  # noqa: PLR0913 - one command, whole
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    idempotent: Idempotent | None = None,
    *,
    seen: UUID | None = None,
    seen_run: UUID | None = None,
) -> InvoiceView:
    """Let an ordered refund go out; not by the person who ordered it.

    Where a sign-off waited for it, that happens with it, and is refused as it would have been.

    With ``seen`` the approval is for the refund of this id alone, with ``seen_run`` for what the
    screening of this id had found about its money (`second_look.must_be_as_seen`). `Conflict` where
    either is another by now. Without ``seen`` only the first refund of an invoice is approved:
    `Invalid` for any later one.
    """

    async def make(tx: Tx, invoice: Invoice) -> Sequence[Command]:
        await _check_still(tx, invoice, ApproveRefund)
        refund = invoice.open_refund
        if invoice.status is Status.REFUND_PENDING and refund is not None:
            # Whoever ordered it is refused for that, whatever they saw.
            ordered_it = by.uid == refund.ordered_by
            if not ordered_it:
                must_be_as_seen(invoice, refund, seen, seen_run)
            await check_refund(desk, tx, by.org_id, FAMILY, refund.address)
            if refund.with_sign_off:
                check_approved_content(invoice, by.uid)
                await must_still_be_registered(desk, tx, invoice)
        return [ApproveRefund(at=desk.clock.now(), by=by.uid)]

    return await give(desk, invoice_id, by, ApproveRefund, make, key=idempotent)


async def withdraw_refund(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Call an open refund off, as long as none of it was sent.

    A surplus that goes back beside the payout is given up by `approving.withdraw` alone.
    """

    async def make(tx: Tx, invoice: Invoice) -> Sequence[Command]:
        must_be_unsent(invoice, await moves.of_invoices(tx, invoice.org_id, [invoice.invoice_id]))
        return [WithdrawRefund(at=desk.clock.now(), by=by.uid, reason=reason)]

    return await give(desk, invoice_id, by, WithdrawRefund, make, key=idempotent)


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

    return await give(desk, invoice_id, by, kind, one, key=key)


async def give(  # noqa: PLR0913 - one command, whole
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    kind: type[Command],
    make: MakeCommands,
    *,
    key: Idempotent | None,
    then: Then | None = None,
) -> InvoiceView:
    """Let what ``make`` says happen to an invoice, and ``then`` what belongs to it."""
    by.require(REQUIRED[kind])

    async def work(tx: Tx) -> InvoiceView:
        async def do() -> InvoiceView:
            invoice = await locked(tx, by, invoice_id)
            for event in await make(tx, invoice):
                invoice = await happen(desk, tx, invoice, event, by)
            if then is not None:
                await then(tx, invoice)
            return await queries.full_view(desk, tx, invoice)

        return await once(desk, tx, by, key, do)

    return await desk.database.run(work)


async def _check_still(tx: Tx, invoice: Invoice, command: type[Command]) -> None:
    """Refuse while something moves; where the status forbids the command, that is told instead."""
    if (invoice.status, command) not in RULES:
        return
    planned = await moves.of_invoices(tx, invoice.org_id, [invoice.invoice_id])
    must_be_at_rest(invoice, planned)


async def _check_at_rest(
    tx: Tx, invoice: Invoice, command: type[Command], purposes: frozenset[Purpose]
) -> None:
    """Refuse while movements with these purposes are in flight: where they end decides the way."""
    planned = await moves.of_invoices(tx, invoice.org_id, [invoice.invoice_id])
    if (invoice.status, command) in RULES and in_flight(planned, purposes):
        raise OutOfPlace(
            "some of the money is on its way between our own wallets just now; decide when it is"
            " there, in a few minutes",
            data={"rule": "in_flight", **refusal_data(invoice)},
        )


async def check_papers(tx: Tx, by: Actor, attachments: tuple[UUID, ...]) -> None:
    """Refuse the papers of a refund: none, too many, or what is no file that the member may see.

    Raises `Invalid` naming ``refund_attachments``.
    """
    if not 1 <= len(attachments) <= MAX_ATTACHMENTS:
        sentence = f"must name one to {MAX_ATTACHMENTS} uploaded files"
        raise Invalid.field("refund_attachments", sentence)
    await _check_attachments(tx, by, attachments)


async def _check_attachments(tx: Tx, by: Actor, attachments: tuple[UUID, ...]) -> None:
    if len(attachments) > MAX_ATTACHMENTS:
        sentence = f"must name at most {MAX_ATTACHMENTS} files"
        raise Invalid.field("refund_attachments", sentence)
    if attachments and not await files.exist(tx, by.org_id, attachments, by.client_id):
        sentence = "names a file that was not uploaded here; upload it first"
        raise Invalid.field("refund_attachments", sentence)
