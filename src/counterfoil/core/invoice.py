"""The invoice as a value: what was asked, what has come in, and where it stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal
from uuid import UUID

from counterfoil.core.money import Asset, Money
from counterfoil.core.settlement import Settlement
from counterfoil.core.tally import Tally


class Status(StrEnum):
    """Where an invoice stands (specs/lifecycle.md D.2). Why it stands there is its `Context`."""

    APPROVAL_PENDING = "approval_pending"
    """A reviewer, who is not the creator, has to approve or reject it. Not payable yet."""
    APPROVAL_REJECTED = "approval_rejected"
    """The reviewer said no, with a reason. The end."""
    AWAITING_PAYMENT = "awaiting_payment"
    """Payable; nothing has arrived."""
    PAYMENT_DETECTED = "payment_detected"
    """A transfer is on chain but may still be reorganised away."""
    SCREENING = "screening"
    """The money is confirmed; its origin is being checked."""
    COMPLIANCE_HOLD = "compliance_hold"
    """Screening found something; the money does not move until two people say so."""
    COMPLIANCE_DECLINED = "compliance_declined"
    """Compliance refused the money; it can only be refunded, when ordered."""
    RESOLUTION_REQUIRED = "resolution_required"
    """Clean money of the wrong amount, time or kind; somebody or a rule must choose."""
    SIGN_PENDING = "sign_pending"
    """Clean and sufficient; the merchant has to sign for it."""
    SWEEPING = "sweeping"
    """Signed for; on its way from the deposit address to the merchant's pool."""
    PAYOUT_PROCESSING = "payout_processing"
    """In the pool; on its way to the merchant's own address."""
    COMPLETED = "completed"
    """Everything asked for has happened. The end, unless a refund is ordered."""
    REFUND_PENDING = "refund_pending"
    """A refund was asked for and waits for a second person."""
    REFUND_PROCESSING = "refund_processing"
    """The refund was approved and is on its way."""
    REFUNDED = "refunded"
    """Nothing is left with us and nothing was paid out: it all went back. The end."""
    EXPIRED = "expired"
    """The deadline passed unpaid, and the watcher had seen everything before it."""
    CANCELLED = "cancelled"
    """Called off before any money came. The end."""

    @property
    def is_end(self) -> bool:
        """Whether nothing more is expected here."""
        return self in _ENDS


_ENDS = frozenset(
    {
        Status.APPROVAL_REJECTED,
        Status.CANCELLED,
        Status.COMPLETED,
        Status.REFUNDED,
    }
)


class Context(StrEnum):
    """What is particular about the payment; the second axis beside `Status`."""

    EXACT = "exact"
    UNDERPAID = "underpaid"
    OVERPAID = "overpaid"
    PAID_LATE = "paid_late"
    MULTIPLE_PAYERS = "multiple_payers"
    WRONG_ASSET = "wrong_asset"
    HIGH_RISK = "high_risk"
    SANCTIONED = "sanctioned"


@dataclass(frozen=True, slots=True)
class LineItem:
    """One line of the document. ``tax`` is an amount, not a percentage."""

    name: str
    quantity: Decimal
    unit_price: Decimal
    tax: Decimal

    @property
    def total(self) -> Decimal:
        """Quantity times price, plus tax; exact, unrounded."""
        return self.quantity * self.unit_price + self.tax


@dataclass(frozen=True, slots=True)
class Document:
    """What the customer is shown and the reviewer approves; fixed once approved."""

    recipient_name: str
    recipient_email: str
    organization_name: str
    organization_email: str
    creator: str
    items: tuple[LineItem, ...]
    issued_on: date
    terms_days: int
    origin: str
    description: str = ""
    attachment_file_id: UUID | None = None
    order_data: str = "{}"
    """The merchant's own JSON object, kept as the text it came as and never interpreted."""
    group_key: str | None = None

    @property
    def net(self) -> Decimal:
        """What the lines come to before tax."""
        return sum((item.total - item.tax for item in self.items), start=Decimal(0))

    @property
    def tax(self) -> Decimal:
        """The tax of all lines."""
        return sum((item.tax for item in self.items), start=Decimal(0))


@dataclass(frozen=True, slots=True)
class Price:
    """What the merchant asks for: fiat (``currency`` TWD or USD) or the token itself."""

    mode: Literal["fiat", "crypto"]
    amount: Decimal
    currency: str | None


@dataclass(frozen=True, slots=True)
class Quote:
    """The rate an amount was computed with, and its evidence: 1 ``base`` = ``rate`` ``quote``.

    ``market`` is what the source said where a spread was taken off it; None where none was.
    """

    base: str
    quote: str
    rate: Decimal
    source: str
    observed_at: datetime
    locked_at: datetime
    raw: Mapping[str, object] = field(default_factory=dict)
    market: Decimal | None = None


def names_in(text: str) -> tuple[str, ...]:
    """The names in a text that separates them by commas."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


DepositMode = Literal["factory", "hd"]
"""How a deposit address comes about: a contract of the organisation's factory, or a child key."""


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """One asset the invoice may be paid in, and how much of it is due."""

    asset: Asset
    due_units: int
    quote: Quote | None


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules an invoice lives by, copied onto it at creation (specs/lifecycle.md D.1).

    ``underpay_ratio`` and ``overpay_ratio`` are shares of what is due: 0.995 accepts half a
    per cent too little, 1.02 two per cent too much. ``confirm_soft_below_usd``: payments worth
    less are confirmed at the chain's ``safe`` tag, all others at ``finalized``
    (specs/chains.md 6.3); money only ever leaves at ``finalized``. ``confirm_soft_chains`` are
    those on which that holds, separated by commas; empty for all. Transfers of less than
    ``dust_below`` whole coins are kept but count for nothing, so that nobody can disturb a payment
    with a fraction of a cent (specs/chains.md 6.5).

    What begins with ``auto_`` lets a rule choose where a person would have to; None leaves it to
    people. ``auto_accept_underpaid_from`` and ``auto_accept_overpaid_to`` are shares of what is
    due, ``auto_recalculate_late_from`` is what the share must be at the newer rate. No rule ever
    sends money back: people sign. ``auto_refund_surplus_below_usd`` spares them the address of a
    surplus that is worth less, where all the money came from one (`counterfoil.core.resolution`).

    What begins with ``rate_`` is how an amount in fiat becomes one in tokens. ``rate_spread_bps``
    hundredths of a per cent are taken off the rate. Rates older than ``rate_max_age_seconds``, or
    than the installation allows, price nothing. ``rate_sources`` names those that count, separated
    by commas; empty for all. ``rate_sources_agree`` of them have to be within
    ``rate_agree_within_bps`` of each other.
    """

    approval_required: bool = True
    sign_off_required: bool = True
    maker_is_not_checker: bool = True
    underpay_ratio: Decimal = Decimal(1)
    overpay_ratio: Decimal = Decimal(1)
    overpaid: Literal["refund_at_sign_off", "resolve"] = "refund_at_sign_off"
    several_payers: Literal["accept", "resolve"] = "resolve"
    receipt_window_seconds: int = 86_400
    grace_days: int = 14
    confirm_soft_below_usd: int = 1_000
    dust_below: Decimal = Decimal("0.01")
    auto_accept_underpaid_from: Decimal | None = None
    auto_accept_overpaid_to: Decimal | None = None
    auto_accept_late_minutes: int | None = None
    auto_recalculate_late_minutes: int | None = None
    auto_recalculate_late_from: Decimal = Decimal(1)
    auto_accept_several_payers: bool = False
    auto_refund_surplus_below_usd: int | None = None
    confirm_soft_chains: str = ""
    rate_spread_bps: int = 0
    rate_max_age_seconds: int | None = None
    rate_sources: str = ""
    rate_sources_agree: int = 1
    rate_agree_within_bps: int = 100

    def confirms_soon_on(self, chain: str) -> bool:
        """Whether small payments on a chain are confirmed before they are final."""
        named = names_in(self.confirm_soft_chains)
        return not named or chain in named


@dataclass(frozen=True, slots=True)
class Screening:
    """The newest screening's verdict, and exactly which money it looked at.

    ``covers`` and ``payers`` are those of the `Tally` as it was when screened. ``degraded``:
    nothing was found, only answers were missing, so asking again may clear it. So many people
    release it: ``review_approvers`` while it is to be looked at, ``hold_approvers`` once it is
    held (specs/aml.md 4.2, as the policy said at the time).
    """

    run_id: UUID
    decision: Literal["clear", "manual_review", "aml_hold"]
    sanctioned: bool
    covers: tuple[tuple[str, int], ...]
    payers: tuple[str, ...]
    degraded: bool = False
    review_approvers: int = 2
    hold_approvers: int = 2

    def covers_all(self, tally: Tally) -> bool:
        """Whether it looked at exactly this money, from exactly these payers."""
        return (self.covers, self.payers) == (tally.confirmed, tally.payers)


@dataclass(frozen=True, slots=True)
class Disposal:
    """Who found that a hit on the money means somebody else (specs/aml.md 4.1).

    ``payer`` is the address that was hit, ``fingerprint`` says as what.
    """

    list_code: str
    entry_uid: str
    payer: str
    fingerprint: str
    people: tuple[str, ...]
    evidence: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """What compliance wrote about held money; for no other eyes (specs/aml.md 4.1)."""

    text: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Resolution:
    """What was chosen about a payment that was particular. ``rule`` is empty for a person."""

    choice: Literal["accept", "recalculate", "refund_surplus"]
    by: str
    at: datetime
    rule: str = ""


class RefundStatus(StrEnum):
    """How far a refund has come."""

    PENDING = "pending"
    """Ordered; a second person has to approve it."""
    PROCESSING = "processing"
    """Approved; its money is on its way."""
    SETTLED = "settled"
    """All of it that was not given up is final on chain."""
    WITHDRAWN = "withdrawn"
    """Called off. Its movements tell what of it was on its way by then (`desk.refunding`)."""

    @property
    def is_open(self) -> bool:
        """Whether something is still to come of it."""
        return self in {RefundStatus.PENDING, RefundStatus.PROCESSING}


@dataclass(frozen=True, slots=True)
class Refund:
    """Money of an invoice that goes back: some of what is still with us, or all of it.

    At most one of an invoice is open at a time; ``number`` counts them from 1. ``is_whole``: with
    it all of the payment has gone back, what earlier refunds returned of it included.
    ``returns_to`` is where the invoice stood when it was ordered, and stands again once it is
    settled or withdrawn, unless the money says otherwise. ``with_sign_off``: it is the surplus of a
    sign-off that waits for its approval, and happens with it.
    """

    refund_id: UUID
    number: int
    amounts: tuple[Money, ...]
    address: str
    reason: str
    attachment_file_ids: tuple[UUID, ...]
    is_whole: bool
    returns_to: Status
    ordered_by: str
    ordered_at: datetime
    status: RefundStatus = RefundStatus.PENDING
    approved_by: str | None = None
    approved_at: datetime | None = None
    withdrawn_by: str | None = None
    withdrawn_at: datetime | None = None
    settled_at: datetime | None = None
    with_sign_off: bool = False

    @property
    def second_person(self) -> str | None:
        """Who approved it, where that was somebody else than who ordered it."""
        return None if self.approved_by == self.ordered_by else self.approved_by

    @property
    def after_completion(self) -> bool:
        """Whether the invoice was completed when it was ordered."""
        return self.returns_to is Status.COMPLETED


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice with everything its lifecycle decides on."""

    org_id: int
    invoice_id: UUID
    number: int
    dialect: str
    client_id: str
    status: Status
    document: Document
    price: Price
    requests: tuple[PaymentRequest, ...]
    policy: Policy
    payout_to: Mapping[str, str]
    """Where the money goes after the sweep: chain family to address; may be empty."""
    deposit_address: str
    callback_url: str | None
    created_by: str
    created_at: datetime
    deadline_at: datetime
    deadline_follows_approval: bool = False
    """Due on receipt: the window opens when the invoice becomes payable."""
    explicit_deadline_at: datetime | None = None
    """The deadline that was asked for outright, if it was; it wins over the terms."""
    settlement: Literal["crypto", "fiat"] = "crypto"
    bank_account_id: int | None = None
    swap_enabled: bool = False
    allow_any_chain: bool = False
    allow_any_token: bool = False
    use_fixed_stablecoin_rate: bool = False
    context: Context | None = None
    tally: Tally = field(default_factory=Tally)
    settled: Settlement = field(default_factory=Settlement)
    screening: Screening | None = None
    stray_screening: Screening | None = None
    """The newest verdict about what strayed here beside the payment and was to be sent back."""
    edited_by: tuple[str, ...] = ()
    """Who changed it since it was created; makers, too."""
    reviewer: str | None = None
    """Whom the creator asks to approve, as text; it grants nothing."""
    approved_by: str | None = None
    approved_at: datetime | None = None
    approved_hash: str | None = None
    releases: tuple[str, ...] = ()
    declines: tuple[str, ...] = ()
    escalated_by: str | None = None
    """Who had money held, since the hold began, that was only to be looked at."""
    escalated_at: datetime | None = None
    disposals: tuple[Disposal, ...] = ()
    quarantined_by: str | None = None
    """Who had held money taken to the hold wallet, since it was last let go."""
    quarantined_at: datetime | None = None
    notes: tuple[Note, ...] = ()
    refunds: tuple[Refund, ...] = ()
    """Every refund that was ever ordered, oldest first."""
    resolution: Resolution | None = None
    """The newest choice about the money that is there; none once other money came."""
    signed_off_by: str | None = None
    signed_off_at: datetime | None = None
    taken_assets: tuple[str, ...] = ()
    """Keys of the assets that it does not ask for, and that were signed for as its money."""
    expired_at: datetime | None = None
    completed_at: datetime | None = None
    archived_at: datetime | None = None
    hd_address: str | None = None
    """The deposit address of its number that has a key of its own, if it got one."""
    hd_chains: tuple[str, ...] = ()
    """The chains on which tokens are to be paid there, fixed when it was created."""
    version: int = 0
    """Grows with every recorded event; the sequence of log entries and callbacks."""

    @property
    def open_refund(self) -> Refund | None:
        """The refund that waits or is on its way."""
        return next((refund for refund in self.refunds if refund.status.is_open), None)


def pay_to(invoice: Invoice, asset: Asset) -> str:
    """The address at which the invoice takes an asset.

    The native coin always goes to the factory's address, from which all of it can be swept.
    """
    if invoice.hd_address is not None and asset.chain in invoice.hd_chains and asset.contract:
        return invoice.hd_address
    return invoice.deposit_address


def number_label(invoice: Invoice) -> str:
    """The number people use, as in ``INV-2026-000042``."""
    return f"INV-{invoice.created_at.year}-{invoice.number:06d}"
