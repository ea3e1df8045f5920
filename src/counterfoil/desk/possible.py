"""What a member may do with an invoice just now: each command is tried out on it as it is.

So nothing is offered anywhere that would be refused a moment later, and no page or API has rules
of its own about it.
"""

from collections.abc import Callable, Mapping
from typing import Final

from counterfoil.core import resolution
from counterfoil.core.errors import Refusal
from counterfoil.core.events import (
    Accept,
    Approve,
    ApproveRefund,
    Archive,
    Cancel,
    Command,
    Decline,
    DisposeHit,
    Edit,
    Escalate,
    OrderRefund,
    Quarantine,
    Recalculate,
    Reject,
    Release,
    SignOff,
    TakeNote,
    WithdrawRefund,
)
from counterfoil.core.invoice import Context, Invoice, Status
from counterfoil.core.lifecycle import BY_THE_WAY, RULES, decide
from counterfoil.core.planning import INWARD, waiting_surplus
from counterfoil.core.reckoning import refundable
from counterfoil.core.resolution import Choice
from counterfoil.core.roles import REQUIRED, Actor
from counterfoil.core.signing import signing, signs_as_it_is
from counterfoil.desk.compliance import event_of, hits_of
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.refunding import in_flight, in_motion, may_be_called_off

_SOMEWHERE: Final = "0x"
"""An address in an example; the lifecycle looks at whether there is one."""

EXAMPLES: Final[Mapping[type[Command], Callable[[Invoice, str], Command] | None]] = {
    Edit: None,
    Approve: lambda i, by: Approve(at=i.created_at, by=by, content_hash=""),
    Reject: lambda i, by: Reject(at=i.created_at, by=by, reason=""),
    Cancel: lambda i, by: Cancel(at=i.created_at, by=by),
    Release: lambda i, by: Release(at=i.created_at, by=by, reason=""),
    Decline: lambda i, by: Decline(at=i.created_at, by=by, reason=""),
    Escalate: lambda i, by: Escalate(at=i.created_at, by=by, reason=""),
    DisposeHit: None,
    Quarantine: lambda i, by: Quarantine(at=i.created_at, by=by, reason=""),
    TakeNote: lambda i, by: TakeNote(at=i.created_at, by=by, text="a note"),
    Accept: lambda i, by: Accept(at=i.created_at, by=by),
    Recalculate: None,
    SignOff: lambda i, by: SignOff(
        at=i.created_at, by=by, refund_address=_SOMEWHERE if resolution.to_return(i) else None
    ),
    OrderRefund: lambda i, by: OrderRefund(
        at=i.created_at,
        by=by,
        address=_SOMEWHERE,
        reason="",
        attachment_file_ids=(),
        amounts=refundable(i)[:1],
    ),
    ApproveRefund: lambda i, by: ApproveRefund(at=i.created_at, by=by),
    WithdrawRefund: lambda i, by: WithdrawRefund(at=i.created_at, by=by),
    Archive: lambda i, by: Archive(at=i.created_at, by=by),
}
"""Each command as a member (a uid) would give it, filled in well enough to be heard.

None where there is none: the status decides, or the choices about the payment. The order is that in
which they come up.
"""


def possible(view: InvoiceView, by: Actor) -> tuple[type[Command], ...]:
    """The commands that would be heard if this member gave them now: status, role, four eyes.

    Whether a deadline has passed meanwhile is for the approval itself to say.
    """
    return tuple(
        command
        for command in EXAMPLES
        if REQUIRED[command] in by.permissions
        and stands(view.invoice.status, view.invoice.context, command)
        and is_heard(view, command, by)
    )


def stands(status: Status, context: Context | None, command: type[Command]) -> bool:
    """Whether there is a row for the command where an invoice stands."""
    if (status, command) == (Status.SIGN_PENDING, Accept) and context is not Context.OVERPAID:
        return False
    at_once = command is SignOff and signs_as_it_is(status, context)
    return at_once or ((status, command) in RULES and (status, command) not in BY_THE_WAY)


def is_heard(view: InvoiceView, command: type[Command], by: Actor) -> bool:
    """Whether the command would change anything, coming from this member."""
    if command is Recalculate:
        return Choice.RECALCULATE in resolution.choices(view.invoice, view.read_at)
    if command is DisposeHit:
        hits = hits_of(view)
        return any(_changes(view, event_of(hit, view.invoice, by.uid)) for hit in hits)
    example = EXAMPLES[command]
    return example is None or _changes(view, example(view.invoice, by.uid))


def _changes(view: InvoiceView, command: Command) -> bool:
    before = after = view.invoice
    withdrawn_late = isinstance(command, WithdrawRefund) and not may_be_called_off(
        before, view.moves
    )
    signs = isinstance(command, SignOff) or (
        isinstance(command, ApproveRefund) and waiting_surplus(before) is not None
    )
    if withdrawn_late or (signs and view.goes_unregistered):
        return False
    if isinstance(command, OrderRefund | ApproveRefund) and in_motion(view.moves):
        return False
    if isinstance(command, Quarantine) and in_flight(view.moves, INWARD):
        return False
    if isinstance(command, Release) and in_flight(view.moves, {"quarantine"}):
        return False
    try:
        for step in signing(before, command) if isinstance(command, SignOff) else (command,):
            after, _ = decide(after, step)
    except Refusal:
        return False
    return after != before
