"""What people do, by role: one rule each, in a table that is easy to extend.

A rule names who may do it and in which statuses it makes sense; most of the time it is tried there,
by the right person, and sometimes anywhere by anybody. A refusal is an answer; any other error is
a finding.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from counterfoil.books.profiles import PayoutAddress
from counterfoil.core.errors import Refusal
from counterfoil.core.invoice import LineItem, Status
from counterfoil.core.resolution import Choice
from counterfoil.core.roles import ROLES, Actor
from counterfoil.desk import (
    approving,
    attaching,
    commands,
    delivering,
    intake,
    queries,
    redirecting,
)
from counterfoil.desk.desk import Desk
from counterfoil.desk.idempotency import Answered, Idempotent
from counterfoil.desk.intake import Draft
from counterfoil.desk.refunding import Part
from simulation.chain import SimulatedChain
from simulation.chaos import Dice

S = Status

MERCHANT: Final = "Merchant"
BRANCH: Final = "Branch"
TREASURY: Final = "Treasury"
PLACES: Final = {MERCHANT: "{org:02x}", BRANCH: "b{org}", TREASURY: "7{org}"}
"""What organisations have registered, and what those addresses consist of. Payouts go to the first
two, the second of which comes and goes; to the third goes what can never be made."""


@dataclass(frozen=True, slots=True)
class Person:
    """A member with one role, as the desk knows them."""

    actor: Actor
    member_id: UUID
    role: str


@dataclass(frozen=True, slots=True)
class Known:
    """An invoice as people see it on their screens, which may be out of date."""

    org_id: int
    invoice_id: UUID
    status: Status
    context: str | None
    version: int


@dataclass(slots=True)
class Scene:
    """One act: who does something at which desk, to which invoice, and what may be used for it."""

    desk: Desk
    dice: Dice
    person: Person
    invoice: Known
    files: Sequence[UUID]
    chains: Mapping[str, SimulatedChain]
    key: str
    address: str

    def idempotent(self, what: str) -> Idempotent | None:
        """Some requests carry a key; the same key always comes with the same request."""
        if not self.key:
            return None
        said = f"{what}:{self.invoice.invoice_id}:{self.key}"
        return Idempotent(self.person.member_id, self.key, sha256(said.encode()).digest(), _render)


Do = Callable[[Scene], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Rule:
    """``role`` does it while an invoice is in one of ``statuses``; drawn ``weight`` times."""

    name: str
    role: str
    statuses: frozenset[Status]
    do: Do
    weight: int = 3


async def _approve(s: Scene) -> object:
    """Whatever happened to it since it was created is looked at first."""
    seen = None
    if s.invoice.version > 1:
        view = await queries.view(s.desk, s.invoice.invoice_id, s.person.actor)
        seen = view.content_hash
    return await commands.approve(
        s.desk,
        s.invoice.invoice_id,
        s.person.actor,
        seen_hash=seen,
        idempotent=s.idempotent("approve"),
    )


async def _reject(s: Scene) -> object:
    return await commands.reject(s.desk, s.invoice.invoice_id, s.person.actor, "not ours")


async def _cancel(s: Scene) -> object:
    return await commands.cancel(s.desk, s.invoice.invoice_id, s.person.actor, "called off")


async def _edit(s: Scene) -> object:
    def change(draft: Draft) -> Draft:
        amount = Decimal(s.dice.random.randrange(10, 900))
        items = (LineItem("Consulting", Decimal(1), amount, Decimal(0)),)
        return replace(draft, amount=amount, detail_items=items)

    return await intake.edit(s.desk, s.invoice.invoice_id, change, s.person.actor)


async def _sign_off(s: Scene) -> object:
    address = s.address if s.dice.random.random() < 0.8 else None
    return await commands.sign_off(
        s.desk,
        s.invoice.invoice_id,
        s.person.actor,
        refund_address=address,
        refund_reason="paid too much",
        refund_attachments=tuple(s.files),
        idempotent=s.idempotent("sign"),
    )


async def _accept(s: Scene) -> object:
    return await commands.accept(s.desk, s.invoice.invoice_id, s.person.actor, "good enough")


async def _recalculate(s: Scene) -> object:
    return await commands.recalculate(s.desk, s.invoice.invoice_id, s.person.actor, "price anew")


async def _order_refund(s: Scene) -> object:
    return await commands.order_refund(
        s.desk,
        s.invoice.invoice_id,
        s.person.actor,
        address=s.address,
        reason="the customer asked",
        attachments=tuple(s.files),
        idempotent=s.idempotent("refund"),
    )


async def _order_part(s: Scene) -> object:
    """Some of it: a coin, a third of what such invoices cost, or more than there is."""
    amount = s.dice.random.choice((Decimal(1), Decimal(33), Decimal("0.01"), Decimal(10_000)))
    return await commands.order_refund(
        s.desk,
        s.invoice.invoice_id,
        s.person.actor,
        address=s.address,
        reason="a part of it",
        attachments=tuple(s.files),
        part=Part(amount, s.dice.random.choice((None, None, "USDT", "ETH"))),
        idempotent=s.idempotent("part"),
    )


async def _withdraw_refund(s: Scene) -> object:
    return await commands.withdraw_refund(
        s.desk,
        s.invoice.invoice_id,
        s.person.actor,
        "the customer thought again",
        s.idempotent("withdraw"),
    )


async def _resolve(s: Scene) -> object:
    choice = s.dice.random.choice(tuple(Choice))
    return await commands.resolve(
        s.desk,
        s.invoice.invoice_id,
        s.person.actor,
        choice,
        reason="looked at it",
        refund_address=s.address if s.dice.random.random() < 0.9 else None,
        attachments=tuple(s.files),
        idempotent=s.idempotent(f"resolve {choice}"),
    )


async def _approve_again(s: Scene) -> object:
    return await approving.approve_payments_again(
        s.desk,
        s.invoice.invoice_id,
        s.person.actor,
        "looked at the chain",
        s.idempotent("again"),
    )


async def _redirect(s: Scene) -> object:
    return await redirecting.redirect(
        s.desk,
        s.invoice.invoice_id,
        s.person.actor,
        address=place(s.person.actor.org_id, TREASURY),
        reason="frozen for good",
        idempotent=s.idempotent("redirect"),
    )


async def _approve_redirect(s: Scene) -> object:
    return await redirecting.approve(
        s.desk, s.invoice.invoice_id, s.person.actor, s.idempotent("approve redirect")
    )


async def _withdraw_redirect(s: Scene) -> object:
    return await redirecting.withdraw(
        s.desk,
        s.invoice.invoice_id,
        s.person.actor,
        reason="not there either",
        idempotent=s.idempotent("withdraw redirect"),
    )


async def _give_up(s: Scene) -> object:
    return await approving.withdraw_payments(
        s.desk,
        s.invoice.invoice_id,
        s.person.actor,
        "it can never be made",
        s.idempotent("give up"),
    )


async def _quarantine(s: Scene) -> object:
    return await commands.quarantine(
        s.desk, s.invoice.invoice_id, s.person.actor, "stolen", s.idempotent("quarantine")
    )


async def _attach(s: Scene) -> object:
    """Name the transaction of a payment that only the balance shows, mostly the right one."""
    seen = await queries.view(s.desk, s.invoice.invoice_id, s.person.actor)
    unknown = [row for row in seen.transfers if row.is_unattributed]
    if not unknown:
        return seen
    row = s.dice.random.choice(unknown)
    blocks, ours = s.chains[row.chain].canonical(), seen.invoice.deposit_address
    brought = [
        tx.tx_hash
        for number, tx in blocks
        if number == row.block_number and any(m.to_address == ours for m in tx.moves)
    ]
    named = brought[0] if brought and s.dice.random.random() < 0.8 else "0x" + "ab" * 32
    return await attaching.attach(
        s.desk,
        s.invoice.invoice_id,
        s.person.actor,
        transfer=row.tx_hash,
        tx_hash=named,
        reason="found in an explorer",
        idempotent=s.idempotent(f"attach {row.tx_hash} {named}"),
    )


async def _take_note(s: Scene) -> object:
    return await commands.take_note(
        s.desk, s.invoice.invoice_id, s.person.actor, "asked the payer", s.idempotent("note")
    )


async def _approve_refund(s: Scene) -> object:
    """What stands there now is looked at first."""
    view = await queries.view(s.desk, s.invoice.invoice_id, s.person.actor)
    refund = view.invoice.open_refund
    seen = None if refund is None else refund.refund_id
    return await commands.approve_refund(
        s.desk,
        s.invoice.invoice_id,
        s.person.actor,
        s.idempotent(f"approve_refund {seen}"),
        seen=seen,
    )


async def _release(s: Scene) -> object:
    return await commands.release(s.desk, s.invoice.invoice_id, s.person.actor, "known customer")


async def _decline(s: Scene) -> object:
    return await commands.decline(s.desk, s.invoice.invoice_id, s.person.actor, "too risky")


async def _archive(s: Scene) -> object:
    return await commands.archive(s.desk, s.invoice.invoice_id, s.person.actor)


async def _redeliver(s: Scene) -> object:
    told = await delivering.of_invoice(s.desk, s.invoice.invoice_id, s.person.actor)
    if not told:
        return None
    event = s.dice.random.choice(told).event
    await delivering.redeliver(s.desk, event.event_id, s.person.actor)
    return event


_REFUNDABLE: Final = (S.SIGN_PENDING, S.RESOLUTION_REQUIRED, S.COMPLETED, S.COMPLIANCE_DECLINED)
_PAID: Final = (S.COMPLIANCE_HOLD, S.SIGN_PENDING, S.RESOLUTION_REQUIRED)
_MOVING: Final = (S.SWEEPING, S.PAYOUT_PROCESSING, S.REFUND_PROCESSING)
_REFUNDING: Final = (S.REFUND_PENDING, S.REFUND_PROCESSING, S.PAYOUT_PROCESSING)
_GIVEN_UP: Final = (S.REFUND_PROCESSING, S.PAYOUT_PROCESSING, S.COMPLIANCE_DECLINED)
_ENDS: Final = (S.COMPLETED, S.REFUNDED, S.CANCELLED, S.APPROVAL_REJECTED)


def _at(*statuses: Status) -> frozenset[Status]:
    return frozenset(statuses)


RULES: Final = (
    Rule("approve", "reviewer", _at(S.APPROVAL_PENDING), _approve, 12),
    Rule("reject", "reviewer", _at(S.APPROVAL_PENDING), _reject, 1),
    Rule("edit", "finance", _at(S.APPROVAL_PENDING), _edit, 2),
    Rule("cancel", "finance", _at(S.APPROVAL_PENDING, S.AWAITING_PAYMENT), _cancel, 2),
    Rule("sign off", "signer", _at(S.SIGN_PENDING, S.RESOLUTION_REQUIRED), _sign_off, 12),
    Rule("accept", "signer", _at(S.RESOLUTION_REQUIRED), _accept, 3),
    Rule("recalculate", "signer", _at(S.RESOLUTION_REQUIRED), _recalculate, 3),
    Rule("order refund", "signer", _at(*_REFUNDABLE), _order_refund, 4),
    Rule("order a part", "signer", _at(*_REFUNDABLE), _order_part, 3),
    Rule("resolve", "signer", _at(S.RESOLUTION_REQUIRED), _resolve, 4),
    Rule("withdraw refund", "signer", _at(*_REFUNDING), _withdraw_refund, 1),
    Rule("approve again", "signer", _at(*_MOVING), _approve_again, 2),
    Rule("redirect", "signer", _at(S.PAYOUT_PROCESSING), _redirect, 1),
    Rule("approve redirect", "signer", _at(S.PAYOUT_PROCESSING), _approve_redirect, 1),
    Rule("withdraw redirect", "signer", _at(S.PAYOUT_PROCESSING), _withdraw_redirect, 1),
    Rule("give up payments", "signer", _at(*_GIVEN_UP), _give_up, 1),
    Rule("take note", "compliance", _at(S.COMPLIANCE_HOLD, S.COMPLIANCE_DECLINED), _take_note, 1),
    Rule("quarantine", "compliance", _at(S.COMPLIANCE_HOLD, S.COMPLIANCE_DECLINED), _quarantine, 4),
    Rule("name a transaction", "compliance", _at(*_PAID), _attach, 3),
    Rule("approve refund", "signer", _at(S.REFUND_PENDING), _approve_refund, 8),
    Rule("release", "compliance", _at(S.COMPLIANCE_HOLD), _release, 6),
    Rule("decline", "compliance", _at(S.COMPLIANCE_HOLD), _decline, 3),
    Rule("archive", "finance", _at(*_ENDS), _archive, 1),
    Rule("redeliver", "finance", _at(*_ENDS), _redeliver, 1),
)
"""Whatever people can do to an invoice. A new command is one line here and one function above."""

RULE: Final = {rule.name: rule for rule in RULES}

NEXT: Final[Mapping[Status, tuple[str, ...]]] = {
    S.APPROVAL_PENDING: ("approve",),
    S.AWAITING_PAYMENT: (),
    S.SIGN_PENDING: (*["sign off"] * 8, "order refund", "order a part"),
    S.RESOLUTION_REQUIRED: ("accept", "recalculate", "order refund", "resolve", "resolve"),
    S.COMPLIANCE_HOLD: (*["release"] * 5, "quarantine", "decline", "name a transaction"),
    S.COMPLIANCE_DECLINED: ("order refund", "quarantine"),
    S.REFUND_PENDING: (*["approve refund"] * 6, "withdraw refund"),
    S.COMPLETED: ("order refund", "order a part", "order a part"),
}
"""What an invoice waits for in a status; nothing where it waits for its payer."""

DECIDING: Final = tuple(
    name for names in NEXT.values() for name in dict.fromkeys(names) if name != "order a part"
)
"""What ends the waiting, when people decide all that waits for them."""


def draft(  # noqa: PLR0913 - what is asked for, whole
    *,
    amount: Decimal,
    token: str,
    chain: str,
    org: int,
    key: str,
    fiat: bool = False,
    pays_out: bool = True,
    pays_to: str = MERCHANT,
    calls_back: bool = True,
    on_receipt: bool = False,
    deadline: datetime | None = None,
    any_token: bool = False,
    any_chain: bool = False,
) -> Draft:
    """What finance asks for. The key stands in the description, where an invariant looks for it."""
    return Draft(
        dialect="kryptogo",
        pricing_mode="fiat" if fiat else "crypto",
        amount=amount,
        currency="USD" if fiat else None,
        pay_token=token,
        chain=chain,
        origin="https://merchant.example",
        recipient_name="Acme Buyer",
        recipient_email="buyer@example.com",
        organization_name="Merchant Ltd.",
        organization_email="finance@merchant.example",
        creator="finance-bot",
        payment_terms=0 if on_receipt else 1,
        detail_items=(LineItem("Consulting", Decimal(1), amount, Decimal(0)),),
        callback_url=f"https://shop{org}.example/callback" if calls_back else None,
        payout_addresses=(("evm", place(org, pays_to)),) if pays_out else (),
        payment_deadline=deadline,
        allow_any_token=any_token,
        allow_any_chain=any_chain,
        description=key,
    )


async def create(s: Scene, *, chain: str, token: str, org: int) -> object:
    """A new invoice: small, payable soon, with or without a place to pay out to."""
    dice = s.dice.random
    fiat = dice.random() < 0.3
    amounts = ("0.05", "1") if token == "ETH" and not fiat else ("25", "100", "100", "250", "1500")
    amount = Decimal(dice.choice(amounts))
    now = s.desk.clock.now()
    soon = now + timedelta(minutes=dice.choice((3, 10, 60, 60 * 24)))
    asked = draft(
        amount=amount,
        token=token,
        chain=chain,
        org=org,
        key=s.key,
        fiat=fiat,
        on_receipt=dice.random() < 0.3,
        calls_back=dice.random() < 0.8,
        pays_out=dice.random() < 0.8,
        pays_to=dice.choice((MERCHANT, MERCHANT, BRANCH)),
        deadline=soon if dice.random() < 0.6 else None,
        any_token=token != "ETH" and dice.random() < 0.2,
        any_chain=dice.random() < 0.2,
    )
    return await intake.create(s.desk, asked, s.person.actor, s.idempotent("create"))


async def answered(work: Awaitable[object]) -> object:
    """What somebody hears, also where the answer was given before."""
    try:
        return await work
    except Answered as before:
        return before


def staff(desk_ids: Callable[[], UUID], org_id: int, uid: Callable[[UUID], str]) -> list[Person]:
    """Two people of each role, so that four eyes can be found."""
    people = []
    for role in ("finance", "reviewer", "signer", "compliance", "administrator"):
        for _ in range(2):
            member_id = desk_ids()
            actor = Actor(uid(member_id), org_id, ROLES[role])
            people.append(Person(actor, member_id, role))
    return people


def is_refusal(answer: object) -> bool:
    return isinstance(answer, Refusal)


def place(org: int, label: str) -> str:
    """The address that an organisation has registered under a name."""
    return "0x" + PLACES[label].format(org=org) * 20


def registered(org: int, address_id: UUID, at: datetime, label: str) -> PayoutAddress:
    """Such an address, good from the beginning."""
    address = place(org, label)
    return PayoutAddress(address_id, "evm", address, label, "user_anna", at, None, None, at)


def _render(view: Any) -> tuple[int, bytes]:  # noqa: ANN401 - as `Idempotent` has it
    invoice = view.invoice
    return 200, f"{invoice.invoice_id} {invoice.status} {invoice.version}".encode()
