"""What became of the sandbox's invoices: one story for each way an invoice can go.

A story is an async generator that acts, and yields how many days it waits until it acts again.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from counterfoil.core.assets import CHAINS, accepted_asset
from counterfoil.core.invoice import pay_to
from counterfoil.core.money import Asset
from counterfoil.core.roles import Actor
from counterfoil.desk import commands, files, intake, queries
from counterfoil.sandbox.deals import COLLEAGUE, PAYOUT, SANCTIONED, SUSPECT, Deal, address_of
from counterfoil.sandbox.past import Past

LETTER: Final = b"%PDF-1.7\nPlease send it back to the address below.\nstartxref\n0\n%%EOF"
REASONS_TO_REJECT: Final = (
    "Recipient information does not match our records.",
    "單價與報價單不符",
    "The purchase order number is missing.",
)
REASONS_TO_CANCEL: Final = ("Ordered twice", "客戶取消訂單", "Replaced by a corrected invoice")
_WHOLE: Final = 100


@dataclass(slots=True)
class Town:
    """The merchant's people and their customers, at a certain time."""

    past: Past
    people: Mapping[str, tuple[Actor, ...]]
    """Who acts, by role; the members of a role take turns."""
    callback_url: str | None
    merchant: str
    issued: int = 0
    _turn: dict[str, int] = field(default_factory=dict)
    _ordered: dict[UUID, Actor] = field(default_factory=dict)

    def one(self, role: str) -> Actor:
        """Whose turn it is among those with a role."""
        turn = self._turn.get(role, 0)
        self._turn[role] = turn + 1
        actors = self.people[role]
        return actors[turn % len(actors)]

    async def issue(self, deal: Deal, terms_days: int = 30) -> UUID:
        """Finance writes an invoice."""
        self.past.clock.forward(2)
        draft = intake.Draft(
            dialect="kryptogo",
            pricing_mode="fiat",
            amount=deal.amount,
            currency=deal.currency,
            pay_token=deal.asset.symbol,
            chain=deal.asset.chain,
            origin="https://meridian.example",
            recipient_name=deal.customer.name,
            recipient_email=deal.customer.email,
            organization_name=self.merchant,
            organization_email="finance@meridian.example",
            creator="finance",
            payment_terms=terms_days,
            detail_items=deal.items,
            order_data=f'{{"external_invoice_id": "MT-{2_000 + deal.number}"}}',
            callback_url=self.callback_url if deal.told else None,
            payout_addresses=() if deal.to_pool else (("evm", PAYOUT),),
            allow_any_token=deal.any_token,
        )
        view = await intake.create(self.past.desk, draft, self.one("finance"))
        self.issued += 1
        return view.invoice.invoice_id

    async def approve(self, invoice_id: UUID) -> None:
        """A reviewer says yes."""
        self.past.clock.forward(2)
        await commands.approve(self.past.desk, invoice_id, self.one("reviewer"))

    async def approved(self, deal: Deal, terms_days: int = 30) -> UUID:
        """An invoice that was written and found right within the hour."""
        invoice_id = await self.issue(deal, terms_days)
        await self.approve(invoice_id)
        return invoice_id

    async def pay(
        self,
        invoice_id: UUID,
        percent: int = _WHOLE,
        *,
        payer: str | None = None,
        asset: Asset | None = None,
    ) -> None:
        """The customer, or somebody else, pays this share of what is due."""
        bill = (await queries.view(self.past.desk, invoice_id, self.one("auditor"))).invoice
        due = bill.requests[0]
        units = due.due_units * percent // _WHOLE
        paid_in = asset or due.asset
        await self.past.pay(
            payer or address_of(bill.document.recipient_email),
            paid_in,
            pay_to(bill, paid_in),
            units,
        )

    async def sign(self, invoice_id: UUID, refund_address: str | None = None) -> None:
        """A signer takes the money for the merchant."""
        self.past.clock.forward(2)
        await commands.sign_off(
            self.past.desk,
            invoice_id,
            self.one("signer"),
            refund_address=refund_address,
            refund_reason="" if refund_address is None else "Paid too much",
        )

    async def order_refund(self, invoice_id: UUID, address: str, reason: str) -> None:
        """A signer asks for the money to go back, with the customer's letter."""
        self.past.clock.forward(2)
        signer = self._ordered[invoice_id] = self.one("signer")
        letter = await files.store(self.past.desk, LETTER, "letter.pdf", signer)
        await commands.order_refund(
            self.past.desk,
            invoice_id,
            signer,
            address=address,
            reason=reason,
            attachments=(letter.file_id,),
        )

    async def approve_refund(self, invoice_id: UUID) -> None:
        """The other signer agrees."""
        self.past.clock.forward(2)
        ordered_by = self._ordered[invoice_id]
        other = next(signer for signer in self.people["signer"] if signer != ordered_by)
        await commands.approve_refund(self.past.desk, invoice_id, other)

    async def accept(self, invoice_id: UUID, reason: str) -> None:
        """A signer takes a particular payment as it is."""
        self.past.clock.forward(2)
        await commands.accept(self.past.desk, invoice_id, self.one("signer"), reason)

    async def reject(self, invoice_id: UUID, reason: str) -> None:
        """A reviewer says no."""
        self.past.clock.forward(2)
        await commands.reject(self.past.desk, invoice_id, self.one("reviewer"), reason)

    async def cancel(self, invoice_id: UUID, reason: str) -> None:
        """Finance calls it off."""
        self.past.clock.forward(2)
        await commands.cancel(self.past.desk, invoice_id, self.one("finance"), reason)

    async def note(self, invoice_id: UUID, text: str) -> None:
        """An officer writes something down."""
        self.past.clock.forward(2)
        await commands.take_note(self.past.desk, invoice_id, self.one("compliance"), text)

    async def release(self, invoice_id: UUID, reason: str) -> None:
        """An officer lets held money go on."""
        self.past.clock.forward(2)
        await commands.release(self.past.desk, invoice_id, self.one("compliance"), reason)

    async def decline(self, invoice_id: UUID, reason: str) -> None:
        """An officer refuses held money."""
        self.past.clock.forward(2)
        await commands.decline(self.past.desk, invoice_id, self.one("compliance"), reason)

    async def archive(self, invoice_id: UUID) -> None:
        """Finance puts it away."""
        await commands.archive(self.past.desk, invoice_id, self.one("finance"))


Story = AsyncIterator[int]


async def settled(town: Town, deal: Deal) -> Story:
    """Paid in time and to the cent, signed for, paid out."""
    bill = await town.issue(deal)
    yield 1
    await town.approve(bill)
    yield 2 + deal.number % 17
    await town.pay(bill)
    yield deal.number % 3
    await town.sign(bill)


async def paid_in_two(town: Town, deal: Deal) -> Story:
    """Paid in two transfers, some days apart."""
    bill = await town.approved(deal)
    yield 4
    await town.pay(bill, 60)
    yield 3
    await town.pay(bill, 41)
    yield 1
    await town.sign(bill, refund_address=deal.customer.address)


async def paid_too_much(town: Town, deal: Deal) -> Story:
    """The surplus goes back with the signature."""
    bill = await town.approved(deal)
    yield 6
    await town.pay(bill, 110)
    yield 1
    await town.sign(bill, refund_address=deal.customer.address)


async def paid_too_little(town: Town, deal: Deal) -> Story:
    """A little is missing when time is over; a signer takes what came."""
    bill = await town.approved(deal, terms_days=10)
    yield 5
    await town.pay(bill, 97)
    yield 8
    await town.accept(bill, "Three per cent of bank charges, agreed by telephone")
    yield 1
    await town.sign(bill)


async def paid_late(town: Town, deal: Deal) -> Story:
    """The money comes days after the deadline, and is taken all the same."""
    bill = await town.approved(deal, terms_days=7)
    yield 11
    await town.pay(bill)
    yield 1
    await town.accept(bill, "A customer of many years")
    yield 0
    await town.sign(bill)


async def given_back(town: Town, deal: Deal) -> Story:
    """Paid, but the order is called off before anybody signs: all of it goes back."""
    bill = await town.approved(deal)
    yield 7
    await town.pay(bill)
    yield 2
    await town.order_refund(bill, deal.customer.address, "The customer cancelled the order")
    yield 1
    await town.approve_refund(bill)


async def cleared(town: Town, deal: Deal) -> Story:
    """Held because of its payer, and released by two officers."""
    bill = await town.approved(deal)
    yield 5
    await town.pay(bill, payer=SUSPECT)
    yield 1
    await town.note(bill, "Asked the customer for the contract with their exchange.")
    yield 3
    for _ in range(2):
        await town.release(bill, "The exchange confirms where the money comes from")
    yield 1
    await town.sign(bill)


async def declined(town: Town, deal: Deal) -> Story:
    """Paid by somebody on a sanctions list: two officers refuse it, and there it stays."""
    bill = await town.approved(deal)
    yield 5
    await town.pay(bill, payer=SANCTIONED)
    yield 2
    for _ in range(2):
        await town.decline(bill, "The payer is on a sanctions list")


async def rejected(town: Town, deal: Deal) -> Story:
    """The reviewer says no."""
    bill = await town.issue(deal)
    yield 1
    await town.reject(bill, REASONS_TO_REJECT[deal.number % len(REASONS_TO_REJECT)])
    yield 9
    if deal.number % 3 == 0:
        await town.archive(bill)


async def called_off(town: Town, deal: Deal) -> Story:
    """Finance calls it off before any money came."""
    bill = await town.approved(deal)
    yield 2
    await town.cancel(bill, REASONS_TO_CANCEL[deal.number % len(REASONS_TO_CANCEL)])
    yield 7
    if deal.number % 3 == 0:
        await town.archive(bill)


async def paid_after_all(town: Town, deal: Deal) -> Story:
    """Called off, and paid nevertheless: the money goes back."""
    bill = await town.approved(deal)
    yield 3
    await town.cancel(bill, "Ordered twice")
    yield 2
    await town.pay(bill)
    yield 1
    await town.order_refund(bill, deal.customer.address, "The invoice had been cancelled")
    yield 1
    await town.approve_refund(bill)


async def returned_later(town: Town, deal: Deal) -> Story:
    """Completed into the merchant's pool, and given back weeks later, as goods were returned."""
    bill = await town.approved(replace(deal, to_pool=True))
    yield 6
    await town.pay(bill)
    yield 1
    await town.sign(bill)
    yield 12
    await town.order_refund(bill, deal.customer.address, "Goods returned undamaged")
    yield 1
    await town.approve_refund(bill)


async def unpaid(town: Town, deal: Deal) -> Story:
    """Nobody pays; it expires, and two weeks later it is closed."""
    await town.approved(deal, terms_days=7)
    yield 0


async def to_approve(town: Town, deal: Deal) -> Story:
    """Waits for a reviewer."""
    await town.issue(deal)
    yield 0


async def awaiting(town: Town, deal: Deal) -> Story:
    """Waits for its payment."""
    await town.approved(deal)
    yield 0


async def part_paid(town: Town, deal: Deal) -> Story:
    """Two fifths have come; the customer may still pay the rest."""
    bill = await town.approved(deal)
    yield 3
    await town.pay(bill, 40)


async def to_sign(town: Town, deal: Deal) -> Story:
    """Paid and found clean; waits for a signer."""
    bill = await town.approved(deal)
    yield 4
    await town.pay(bill)


async def to_sign_with_surplus(town: Town, deal: Deal) -> Story:
    """Paid too much; waits for a signer who says where the surplus goes."""
    bill = await town.approved(deal)
    yield 4
    await town.pay(bill, 108)


async def underpaid(town: Town, deal: Deal) -> Story:
    """Time was over before the rest came; somebody has to choose."""
    bill = await town.approved(deal, terms_days=5)
    yield 3
    await town.pay(bill, 85)


async def late(town: Town, deal: Deal) -> Story:
    """Paid after the deadline; somebody has to choose."""
    bill = await town.approved(deal, terms_days=4)
    yield 7
    await town.pay(bill)


async def by_several(town: Town, deal: Deal) -> Story:
    """Paid from two wallets; somebody has to choose."""
    bill = await town.approved(deal)
    yield 2
    await town.pay(bill, 50)
    yield 1
    await town.pay(bill, 50, payer=COLLEAGUE.address)


async def wrong_token(town: Town, deal: Deal) -> Story:
    """Paid in the stablecoin that was not asked for."""
    bill = await town.approved(replace(deal, any_token=False))
    yield 3
    other = "USDC" if deal.asset.symbol == "USDT" else "USDT"
    await town.pay(bill, asset=accepted_asset(CHAINS[deal.asset.chain], other))


async def held(town: Town, deal: Deal) -> Story:
    """Held because of its payer; waits for compliance."""
    bill = await town.approved(deal)
    yield 3
    await town.pay(bill, payer=SUSPECT)


async def half_released(town: Town, deal: Deal) -> Story:
    """Held, and released by one officer; the second has yet to look."""
    bill = await town.approved(deal)
    yield 3
    await town.pay(bill, payer=SUSPECT)
    yield 1
    await town.release(bill, "The customer sent the exchange's statement")


async def to_refund(town: Town, deal: Deal) -> Story:
    """A refund was asked for and waits for a second person."""
    bill = await town.approved(deal)
    yield 4
    await town.pay(bill)
    yield 1
    await town.order_refund(bill, deal.customer.address, "The customer ordered the wrong size")


@dataclass(frozen=True, slots=True)
class Cast:
    """How many invoices go a way, and how long before the present they begin at the latest."""

    story: Callable[[Town, Deal], Story]
    times: int
    days: int
    spread: int = 0
    """Over how many days before that they begin; 0 for all the time there is."""


CAST: Final = (
    Cast(settled, 84, 25),
    Cast(paid_in_two, 8, 12),
    Cast(paid_too_much, 6, 10),
    Cast(paid_too_little, 4, 18),
    Cast(paid_late, 4, 15),
    Cast(given_back, 7, 13),
    Cast(cleared, 4, 13),
    Cast(declined, 2, 16),
    Cast(rejected, 10, 14),
    Cast(called_off, 9, 13),
    Cast(paid_after_all, 2, 10),
    Cast(returned_later, 2, 25),
    Cast(unpaid, 8, 30),
    Cast(unpaid, 5, 12, spread=3),
    Cast(to_approve, 9, 0, spread=5),
    Cast(awaiting, 14, 2, spread=18),
    Cast(part_paid, 3, 9, spread=9),
    Cast(to_sign, 7, 11, spread=5),
    Cast(to_sign_with_surplus, 2, 11, spread=3),
    Cast(underpaid, 2, 12, spread=3),
    Cast(late, 2, 13, spread=3),
    Cast(by_several, 2, 12, spread=3),
    Cast(wrong_token, 1, 10, spread=3),
    Cast(held, 3, 10, spread=3),
    Cast(half_released, 1, 13, spread=3),
    Cast(to_refund, 3, 14, spread=3),
)
"""The invoices of some months: about two hundred."""
