"""What can reach an invoice, and what must be done about it.

Three kinds of event. A *command* is asked for by somebody, and is refused by name where it is out
of place. A *fact* happened outside; it is never refused, and told twice it changes nothing more.
A *money fact* is a fact about transfers: it has a row in every status, so that no payment can fall
between two cells, and carries the totals so far.

Effects are what must now be done. The desk writes them down together with the change.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from counterfoil.core.invoice import Document, PaymentRequest, Price, Screening
from counterfoil.core.money import Money
from counterfoil.core.settlement import Settlement
from counterfoil.core.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that reaches an invoice. ``by`` is the actor's uid; time comes with it."""

    at: datetime
    by: str


class Command(Event):
    """Somebody asks for something."""


class Fact(Event):
    """Something happened outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit(Command):
    """Change the document before it is approved; every value is the new one, complete."""

    document: Document
    price: Price
    requests: tuple[PaymentRequest, ...]
    payout_to: dict[str, str]
    deadline_at: datetime
    deadline_follows_approval: bool
    explicit_deadline_at: datetime | None
    settlement: Literal["crypto", "fiat"]
    bank_account_id: int | None
    allow_any_chain: bool
    allow_any_token: bool
    reviewer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve(Command):
    """Let the invoice be paid. ``content_hash`` is what the reviewer saw."""

    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject(Command):
    """Refuse the invoice, saying why."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Command):
    """Call the invoice off before any money came."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Command):
    """One compliance officer lets held money go on; it takes two."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline(Command):
    """One compliance officer refuses held money for good; it takes two."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalate(Command):
    """A compliance officer has money held that was only to be looked at."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DisposeHit(Command):
    """One compliance officer finds that a hit means somebody else; it takes two.

    ``fingerprint`` is that of the hit (`counterfoil.core.risk_facts.Hit`), ``payer`` the address
    that was hit, and ``evidence`` are uploaded files. ``run_ids`` are the screenings that found it
    and stand against money of the invoice; none named is the payment's.
    """

    list_code: str
    entry_uid: str
    payer: str
    fingerprint: str
    evidence: tuple[UUID, ...]
    reason: str
    run_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine(Command):
    """A compliance officer has refused or held money taken to the quarantine wallet."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeNote(Command):
    """Compliance writes something down about held money; the log only says that it did."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept(Command):
    """Take the payment as it is, whatever was particular about it.

    A surplus is kept, or with ``surplus`` ``return`` goes back at sign-off. ``rule`` names the
    rule of the policy that chose, if none of the people did.
    """

    reason: str = ""
    surplus: Literal["keep", "return"] = "keep"
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalculate(Command):
    """Price the invoice again at a newer rate, and judge what came in against that.

    ``until`` is how long what is then missing may be paid; None leaves it at the deadline, or now.
    """

    requests: tuple[PaymentRequest, ...]
    until: datetime | None = None
    reason: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOff(Command):
    """The merchant accepts the money.

    An overpaid invoice needs ``refund_address``; where it was chosen to keep the surplus, it is
    refused.
    ``goes_home``: at least as much as goes back had come from that very address, token by token
    (`counterfoil.core.homeward`). A surplus that goes anywhere else waits for a second person.
    """

    refund_address: str | None = None
    goes_home: bool = False
    reason: str = ""
    attachment_file_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRefund(Command):
    """Ask for money to be sent back; a second person approves. No ``amounts``: all that is left."""

    address: str
    reason: str
    attachment_file_ids: tuple[UUID, ...]
    amounts: tuple[Money, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveRefund(Command):
    """The second person lets the refund go out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawRefund(Command):
    """Call a refund off before any of it was sent."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive(Command):
    """Put an ended invoice out of sight; nothing else about it changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePassed(Fact):
    """The deadline is over, and the watcher has seen every block before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraceOver(Fact):
    """An expired invoice stayed unpaid for its days of grace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened(Fact):
    """The origin of the confirmed money was checked."""

    screening: Screening
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayScreened(Fact):
    """The origin of what strayed here beside the payment was checked, as it is to be sent back."""

    screening: Screening


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveFact(Fact):
    """A fact about movements of ours. ``settled`` is the totals so far, never an increment."""

    settled: Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept(MoveFact):
    """All of the invoice's money is final in the pool.

    ``more_to_move``: payouts or refunds of it wait for exactly this.
    """

    more_to_move: bool


class PaidOut(MoveFact):
    """Every payout of the invoice is final on chain."""


class RefundSettled(MoveFact):
    """All of the open refund is final on chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyFact(Fact):
    """A fact about transfers. ``tally`` is the total so far, never an increment."""

    tally: Tally


class TransferSeen(MoneyFact):
    """A transfer stands in a block that may still be reorganised."""


class TransferConfirmed(MoneyFact):
    """A transfer is as deep as the invoice's policy asks, or deeper than before."""


class TransferDropped(MoneyFact):
    """A transfer that was seen is no longer part of the chain."""


COMMANDS: Final[tuple[type[Command], ...]] = (
    Edit,
    Approve,
    Reject,
    Cancel,
    Release,
    Decline,
    Escalate,
    DisposeHit,
    Quarantine,
    TakeNote,
    Accept,
    Recalculate,
    SignOff,
    OrderRefund,
    ApproveRefund,
    WithdrawRefund,
    Archive,
)
MONEY_FACTS: Final[tuple[type[MoneyFact], ...]] = (
    TransferSeen,
    TransferConfirmed,
    TransferDropped,
)
FACTS: Final[tuple[type[Fact], ...]] = (
    *MONEY_FACTS,
    Screened,
    StrayScreened,
    DeadlinePassed,
    GraceOver,
    Swept,
    PaidOut,
    RefundSettled,
)


Purpose = Literal["sweep", "quarantine", "restore", "payout", "refund", "partial_refund"]


@dataclass(frozen=True, slots=True)
class Leg:
    """One movement of money to be made. ``destination`` is empty where it stays with us.

    A sweep takes it from the deposit address to the pool, a quarantine from there to the hold
    wallet, and a restoration from the hold wallet to the pool. ``source_id`` names the refund or
    the decision that it is made for; None where it is made for the sign-off. ``from_hold``: it
    leaves from the hold wallet.
    """

    purpose: Purpose
    money: Money
    destination: str
    source_id: UUID | None = None
    from_hold: bool = False


@dataclass(frozen=True, slots=True)
class Screen:
    """Have the origin of the confirmed money checked."""


@dataclass(frozen=True, slots=True)
class PlanMoves:
    """Write down movements. Sweeps may start at once; the others wait for `ReleaseMoves`."""

    legs: tuple[Leg, ...]


@dataclass(frozen=True, slots=True)
class ReleaseMoves:
    """The money is in the pool: movements out of it may start."""


@dataclass(frozen=True, slots=True)
class GiveUpMoves:
    """What is planned and not signed never happens; only of these purposes, where they are named.

    The money was refused, a refund withdrawn, or it goes another way.
    """

    purposes: frozenset[Purpose] | None = None


Effect = Screen | PlanMoves | ReleaseMoves | GiveUpMoves
