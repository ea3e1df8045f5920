"""The life of an invoice: one table, and one function that reads it (specs/lifecycle.md D.2)."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from counterfoil.core.errors import OutOfPlace
from counterfoil.core.events import (
    Accept,
    Approve,
    ApproveRefund,
    Archive,
    Cancel,
    Command,
    DeadlinePassed,
    Decline,
    DisposeHit,
    Edit,
    Escalate,
    Event,
    GraceOver,
    OrderRefund,
    PaidOut,
    Quarantine,
    Recalculate,
    RefundSettled,
    Reject,
    Release,
    Screened,
    SignOff,
    StrayScreened,
    Swept,
    TakeNote,
    TransferConfirmed,
    TransferDropped,
    TransferSeen,
    WithdrawRefund,
)
from counterfoil.core.holding import (
    declined,
    disposed,
    escalated,
    note_taken,
    quarantined,
    released,
    screened_when_declined,
)
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.refund_rules import (
    refund_approved,
    refund_ordered,
    refund_settled,
    refund_swept,
    refund_withdrawn,
    stray_screened,
    surplus_withdrawn,
)
from counterfoil.core.rules import (
    Outcome,
    accepted,
    approved,
    archived,
    cancelled,
    detected,
    edited,
    expired,
    joined,
    joined_hold,
    lapsed,
    noted,
    noted_in_motion,
    paid_out,
    recalculated,
    rejected,
    rescreened,
    screened,
    screened_in_hold,
    screened_in_motion,
    signed_off,
    swept,
)

S = Status

E = TypeVar("E", bound=Event)
Rule = Callable[[Invoice, Any], Outcome]
Row = tuple[Status, type[Event], Rule, frozenset[Status]]


def _row(when: Status, on: type[E], do: Callable[[Invoice, E], Outcome], *to: Status) -> Row:
    return when, on, do, frozenset(to)


def _money_rows(
    when: Status,
    seen: tuple[Rule, tuple[Status, ...]],
    confirmed: tuple[Rule, tuple[Status, ...]],
    dropped: tuple[Rule, tuple[Status, ...]],
) -> tuple[Row, ...]:
    return (
        _row(when, TransferSeen, seen[0], *seen[1]),
        _row(when, TransferConfirmed, confirmed[0], *confirmed[1]),
        _row(when, TransferDropped, dropped[0], *dropped[1]),
    )


_UNPAID = (S.AWAITING_PAYMENT, S.EXPIRED)
"""Where money that is reorganised away leaves an invoice: where it was before it came."""
_MOVING = (S.PAYMENT_DETECTED, S.SCREENING)


def _stays(when: Status) -> tuple[Row, ...]:
    """Money that comes or goes where everything has been decided: attributed, nothing else."""
    keep = (noted, (when,))
    return _money_rows(when, keep, keep, keep)


def _follows(when: Status, *unpaid: Status) -> tuple[Row, ...]:
    """Money while the payment is open."""
    go = (detected, (*unpaid, *_MOVING))
    return _money_rows(when, go, go, go)


def _reopens(when: Status, *also: Status) -> tuple[Row, ...]:
    """Money while the payment waits for a person: what changes it has it judged anew."""
    go = (joined, (when, *_UNPAID, *_MOVING, *also))
    return _money_rows(when, go, go, go)


def _moves_on(when: Status) -> tuple[Row, ...]:
    """Money that comes while what came before is on its way: screened before it goes along."""
    keep = (noted_in_motion, (when,))
    return _money_rows(when, keep, keep, keep)


def _holds(when: Status) -> tuple[Row, ...]:
    """Money while compliance holds what came before: it does not lift the hold."""
    go = (joined_hold, (when, *_UNPAID))
    return _money_rows(when, go, go, go)


_CHECKED = (
    S.COMPLIANCE_HOLD,
    S.SIGN_PENDING,
    S.RESOLUTION_REQUIRED,
    S.SWEEPING,
    S.PAYOUT_PROCESSING,
    S.COMPLETED,
)
"""Where checked money goes; straight to sweeping only where the policy signs for itself."""
_ON_ITS_WAY = (S.SWEEPING, S.PAYOUT_PROCESSING)
"""Where money goes that is signed for with the approval of its surplus."""
_SIGNED = (*_ON_ITS_WAY, S.COMPLETED)
"""Where signed money goes: an earlier refund may have swept all of it along already."""
_TAKEN_UP = (*_UNPAID, *_MOVING, S.COMPLIANCE_HOLD, S.SIGN_PENDING, S.RESOLUTION_REQUIRED, *_SIGNED)
"""Where a payment goes on from that a refund has interrupted."""
_ENDED = (S.COMPLIANCE_DECLINED, S.APPROVAL_REJECTED, S.CANCELLED, S.REFUNDED)
"""Where money that is refunded had no way on, or came too late for one."""

# fmt: off
LIFECYCLE: Final = (
    #    while                  on              do               may lead to
    _row(S.APPROVAL_PENDING,    Edit,           edited,          S.APPROVAL_PENDING),
    _row(S.APPROVAL_PENDING,    Approve,        approved,        S.AWAITING_PAYMENT, *_MOVING),
    _row(S.APPROVAL_PENDING,    Reject,         rejected,        S.APPROVAL_REJECTED),
    _row(S.APPROVAL_PENDING,    Cancel,         cancelled,       S.CANCELLED),
    *_stays(S.APPROVAL_PENDING),

    _row(S.APPROVAL_REJECTED,   OrderRefund,    refund_ordered,  S.REFUND_PENDING),
    _row(S.APPROVAL_REJECTED,   DisposeHit,     disposed,        S.APPROVAL_REJECTED),
    _row(S.APPROVAL_REJECTED,   Archive,        archived,        S.APPROVAL_REJECTED),
    *_stays(S.APPROVAL_REJECTED),

    _row(S.AWAITING_PAYMENT,    Cancel,         cancelled,       S.CANCELLED),
    _row(S.AWAITING_PAYMENT,    DeadlinePassed, expired,         S.EXPIRED, S.AWAITING_PAYMENT),
    *_follows(S.AWAITING_PAYMENT, S.AWAITING_PAYMENT),

    *_follows(S.PAYMENT_DETECTED, *_UNPAID),

    _row(S.SCREENING,           Screened,       screened,        S.SCREENING, *_CHECKED),
    *_reopens(S.SCREENING),

    _row(S.COMPLIANCE_HOLD,     Screened,       screened_in_hold, *_CHECKED),
    _row(S.COMPLIANCE_HOLD,     Release,        released,        *_CHECKED),
    _row(S.COMPLIANCE_HOLD,     Decline,        declined,        S.COMPLIANCE_HOLD, S.COMPLIANCE_DECLINED),
    _row(S.COMPLIANCE_HOLD,     Escalate,       escalated,       S.COMPLIANCE_HOLD),
    _row(S.COMPLIANCE_HOLD,     DisposeHit,     disposed,        S.COMPLIANCE_HOLD),
    _row(S.COMPLIANCE_HOLD,     Quarantine,     quarantined,     S.COMPLIANCE_HOLD),
    _row(S.COMPLIANCE_HOLD,     TakeNote,       note_taken,      S.COMPLIANCE_HOLD),
    *_holds(S.COMPLIANCE_HOLD),

    _row(S.COMPLIANCE_DECLINED, OrderRefund,    refund_ordered,  S.REFUND_PENDING),
    _row(S.COMPLIANCE_DECLINED, Screened,       screened_when_declined, S.COMPLIANCE_DECLINED),
    _row(S.COMPLIANCE_DECLINED, DisposeHit,     disposed,        S.COMPLIANCE_DECLINED),
    _row(S.COMPLIANCE_DECLINED, Quarantine,     quarantined,     S.COMPLIANCE_DECLINED),
    _row(S.COMPLIANCE_DECLINED, TakeNote,       note_taken,      S.COMPLIANCE_DECLINED),
    *_stays(S.COMPLIANCE_DECLINED),

    _row(S.RESOLUTION_REQUIRED, Accept,         accepted,        S.SIGN_PENDING),
    _row(S.RESOLUTION_REQUIRED, Recalculate,    recalculated,    S.SIGN_PENDING, S.RESOLUTION_REQUIRED),
    _row(S.RESOLUTION_REQUIRED, OrderRefund,    refund_ordered,  S.REFUND_PENDING),
    _row(S.RESOLUTION_REQUIRED, Screened,       rescreened,      S.RESOLUTION_REQUIRED, S.COMPLIANCE_HOLD),
    *_reopens(S.RESOLUTION_REQUIRED),

    _row(S.SIGN_PENDING,        Accept,         accepted,        S.SIGN_PENDING),
    _row(S.SIGN_PENDING,        SignOff,        signed_off,      *_SIGNED, S.REFUND_PENDING),
    _row(S.SIGN_PENDING,        OrderRefund,    refund_ordered,  S.REFUND_PENDING),
    _row(S.SIGN_PENDING,        Screened,       rescreened,      S.SIGN_PENDING, S.COMPLIANCE_HOLD),
    *_reopens(S.SIGN_PENDING, *_SIGNED),

    _row(S.SWEEPING,            Swept,          swept,           S.PAYOUT_PROCESSING, S.COMPLETED),
    _row(S.SWEEPING,            Screened,       screened_in_motion, S.SWEEPING, S.COMPLIANCE_HOLD),
    *_moves_on(S.SWEEPING),

    _row(S.PAYOUT_PROCESSING,   PaidOut,        paid_out,        S.COMPLETED),
    _row(S.PAYOUT_PROCESSING,   WithdrawRefund, surplus_withdrawn, S.PAYOUT_PROCESSING),
    _row(S.PAYOUT_PROCESSING,   Screened,       screened_in_motion, S.PAYOUT_PROCESSING, S.COMPLIANCE_HOLD),
    *_stays(S.PAYOUT_PROCESSING),

    _row(S.COMPLETED,           OrderRefund,    refund_ordered,  S.REFUND_PENDING),
    _row(S.COMPLETED,           DisposeHit,     disposed,        S.COMPLETED),
    _row(S.COMPLETED,           Archive,        archived,        S.COMPLETED),
    *_stays(S.COMPLETED),

    _row(S.REFUND_PENDING,      ApproveRefund,  refund_approved, S.REFUND_PROCESSING, *_ON_ITS_WAY),
    _row(S.REFUND_PENDING,      WithdrawRefund, refund_withdrawn, *_TAKEN_UP, *_ENDED),
    _row(S.REFUND_PENDING,      Screened,       screened_in_motion, S.REFUND_PENDING, S.COMPLIANCE_HOLD),
    _row(S.REFUND_PENDING,      DisposeHit,     disposed,        S.REFUND_PENDING),
    _row(S.REFUND_PENDING,      StrayScreened,  stray_screened,  S.REFUND_PENDING),
    *_moves_on(S.REFUND_PENDING),

    _row(S.REFUND_PROCESSING,   Swept,          refund_swept,    S.REFUND_PROCESSING),
    _row(S.REFUND_PROCESSING,   RefundSettled,  refund_settled,  *_TAKEN_UP, *_ENDED),
    _row(S.REFUND_PROCESSING,   WithdrawRefund, refund_withdrawn, *_TAKEN_UP, *_ENDED),
    _row(S.REFUND_PROCESSING,   Screened,       screened_in_motion, S.REFUND_PROCESSING),
    _row(S.REFUND_PROCESSING,   StrayScreened,  stray_screened,  S.REFUND_PROCESSING),
    *_moves_on(S.REFUND_PROCESSING),

    _row(S.REFUNDED,            OrderRefund,    refund_ordered,  S.REFUND_PENDING),
    _row(S.REFUNDED,            DisposeHit,     disposed,        S.REFUNDED),
    _row(S.REFUNDED,            Archive,        archived,        S.REFUNDED),
    *_stays(S.REFUNDED),

    _row(S.EXPIRED,             GraceOver,      lapsed,          S.CANCELLED, S.EXPIRED),
    *_follows(S.EXPIRED, S.EXPIRED),

    _row(S.CANCELLED,           OrderRefund,    refund_ordered,  S.REFUND_PENDING),
    _row(S.CANCELLED,           DisposeHit,     disposed,        S.CANCELLED),
    _row(S.CANCELLED,           Archive,        archived,        S.CANCELLED),
    *_stays(S.CANCELLED),
)
# fmt: on

RULES: Final = {(when, on): (do, to) for when, on, do, to in LIFECYCLE}


BY_THE_WAY: Final = {(S.PAYOUT_PROCESSING, WithdrawRefund)}
"""Commands that nobody gives by themselves: a surplus ends when its last payment is withdrawn."""


def allowed_commands(status: Status) -> list[str]:
    """The names of the commands that may be given in this status, in the table's order."""
    return [
        command_name(on)
        for when, on, _, _ in LIFECYCLE
        if when is status and issubclass(on, Command) and (when, on) not in BY_THE_WAY
    ]


def command_name(command: type[Event]) -> str:
    """How a command is called outside: ``sign_off`` for `SignOff`."""
    letters = (f"_{c.lower()}" if c.isupper() else c for c in command.__name__)
    return "".join(letters).lstrip("_")


def decide(invoice: Invoice, event: Event) -> Outcome:
    """Say what ``event`` makes of ``invoice``, and what must be done about it.

    Raises `OutOfPlace` for a command that this status does not allow, and whatever refusal the
    rule itself raises. Never raises for a fact.
    """
    found = RULES.get((invoice.status, type(event)))
    if found is None and isinstance(event, Command):
        allowed = ", ".join(allowed_commands(invoice.status)) or "nothing"
        refusal = OutOfPlace(
            f"{command_name(type(event))} is not possible while the invoice is"
            f" {invoice.status.value}; possible now: {allowed}"
        )
        raise _with_allowed(refusal, invoice)
    if found is None:
        return invoice, ()
    do, to = found
    try:
        after, effects = do(invoice, event)
    except OutOfPlace as refusal:
        raise _with_allowed(refusal, invoice) from None
    if after.status not in to:
        msg = f"{do.__name__} led from {invoice.status} to {after.status}, which its row omits"
        raise AssertionError(msg)
    return after, effects


def refusal_data(invoice: Invoice, *, but: type[Command] | None = None) -> dict[str, object]:
    """Where an invoice stands and what may be asked of it there, as a refusal tells it.

    ``but`` is refused just now, whatever the status allows; it is told as ``refused``.
    """
    refused = None if but is None else command_name(but)
    told: dict[str, object] = {
        "status": invoice.status.value,
        "context": None if invoice.context is None else invoice.context.value,
        "allowed": [name for name in allowed_commands(invoice.status) if name != refused],
    }
    return told if refused is None else {**told, "refused": refused}


def _with_allowed(refusal: OutOfPlace, invoice: Invoice) -> OutOfPlace:
    return OutOfPlace(refusal.message, data={**refusal_data(invoice), **refusal.data})
