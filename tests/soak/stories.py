"""What happens to one invoice after another, whatever happens to the processes meanwhile."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from counterfoil.core.money import Asset
from soak.people import Stubborn, new_key
from support.actors import CURL_EXAMPLE, Caller, Signer
from support.journey import Bill, Chain, Journey

PATIENCE_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 0.5
LATE_SECONDS: Final = 20
"""How long a late payer's invoice may be paid; long enough to get it approved between kills."""

RECEIPT: Final = b"%PDF-1.7\nx\nstartxref\n0\n%%EOF"

STAGES: Final = {
    "approval_pending": "before payment",
    "pending_payment": "payment",
    "expired": "payment",
    "transaction_detected": "payment",
    "aml_scanning": "payment",
    "payment_insufficient": "payment",
    "sign_pending": "sign-off",
    "sweep_processing": "sweep",
    "payout_processing": "payout",
    "refund_pending": "refund",
    "refund_processing": "refund",
}
"""What is going on in an invoice, by the status that it shows."""


@dataclass(frozen=True)
class Promise:
    """What has to be so in the end: the status, and every transfer out, in base units."""

    status: str
    merchant: tuple[int, ...] = ()
    back: tuple[int, ...] = ()


@dataclass
class Story:
    """One invoice and everybody who has to do with it."""

    journey: Journey
    people: Stubborn
    second_signer: Signer
    name: str
    chain: Chain
    token: Asset
    bill: Bill = field(init=False)
    refund_address: str = field(init=False)
    payments: int = 0
    status: str = "approval_pending"

    def __post_init__(self) -> None:
        self.refund_address = "0x" + secrets.token_hex(20)

    def __str__(self) -> str:
        known = getattr(self, "bill", None)
        return f"{self.name} {known.id if known else 'without an invoice'} on {self.chain.key}"

    @property
    def stage(self) -> str | None:
        return STAGES.get(self.status)

    @property
    def due_units(self) -> int:
        return self.bill.due_units(self.token)

    async def opens(self, **changes: object) -> None:
        """Finance creates the invoice, the reviewer approves it."""
        key = new_key()
        asked = {
            **CURL_EXAMPLE,
            # So that the proof can tell whether a key has made two invoices.
            "description": key,
            "callback_url": self.journey.inbox.url,
            "chain": self.chain.key,
            "pay_token": self.token.symbol,
            "payout_addresses": {"evm": "0x" + secrets.token_hex(20)},
            **changes,
        }
        made = await self.people.post(self.journey.merchant, "/invoice/intent", asked, key)
        self.bill = Bill.of(made.data)
        await self.acts(self.journey.reviewer, "approve")

    async def acts(self, who: Caller, verb: str, body: object = None) -> None:
        """Somebody does something, and is told that it is done."""
        answer = await self.people.post(who, f"/invoice/intent/{self.bill.id}/{verb}", body)
        assert answer.status == 200, f"{verb}: {answer.status} {answer.raw.decode()}"

    async def pays(self, units: int) -> None:
        customer = self.journey.customer
        tx_hash = await customer.pays(self.chain, self.token, self.bill.address, units)
        await self.chain.included(tx_hash)
        self.payments += 1

    async def signable(self) -> None:
        """All that was paid is there for good and was found clean."""
        await self.until(lambda i: i["status"] == "sign_pending" and self._all_final(i))

    async def short(self) -> None:
        """Too little was paid, and it is there for good."""
        await self.until(lambda i: i["status"] == "payment_insufficient" and self._all_final(i))

    async def ends(self, status: str) -> None:
        await self.until(lambda i: i["status"] == status)

    async def sends_back(self) -> None:
        """One signer orders the refund of everything, another one approves it."""
        receipt = await self.people.upload(self.journey.signer, RECEIPT)
        order = {
            "refund_address": self.refund_address,
            "refund_reason": "Called off.",
            "refund_attachments": [receipt],
        }
        await self.acts(self.journey.signer, "refund", order)
        await self.acts(self.second_signer, "refund/approve")

    async def until(self, enough: Callable[[dict[str, Any]], bool]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    path = f"/invoice/intent/{self.bill.id}"
                    invoice = (await self.people.get(self.journey.auditor, path)).data
                    self.status = invoice["status"]
                    if enough(invoice):
                        return
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise AssertionError(f"stands in {self.status} and does not go on") from None

    def _all_final(self, invoice: dict[str, Any]) -> bool:
        transfers = invoice["transfers"]
        return len(transfers) == self.payments and all(t["depth"] == "final" for t in transfers)


async def exact(story: Story) -> Promise:
    await story.opens()
    await story.pays(story.due_units)
    await story.signable()
    await story.acts(story.journey.signer, "sign")
    await story.ends("completed")
    return Promise("completed", merchant=(story.due_units,))


async def split(story: Story) -> Promise:
    await story.opens()
    first, second = story.due_units // 3, story.due_units // 2
    for units in (first, second, story.due_units - first - second):
        await story.pays(units)
    await story.signable()
    await story.acts(story.journey.signer, "sign")
    await story.ends("completed")
    return Promise("completed", merchant=(story.due_units,))


async def overpaid(story: Story) -> Promise:
    """The surplus goes elsewhere with the second signer's word, and the rest is paid out."""
    await story.opens()
    surplus = story.due_units // 4
    await story.pays(story.due_units + surplus)
    await story.signable()
    receipt = await story.people.upload(story.journey.signer, RECEIPT)
    body = {
        "refund_address": story.refund_address,
        "refund_reason": "Paid too much.",
        "refund_attachments": [receipt],
    }
    await story.acts(story.journey.signer, "sign", body)
    await story.acts(story.second_signer, "refund/approve")
    await story.ends("completed")
    return Promise("completed", merchant=(story.due_units,), back=(surplus,))


async def underpaid(story: Story) -> Promise:
    """The customer pays the rest when told."""
    await story.opens()
    part = story.due_units * 3 // 5
    await story.pays(part)
    await story.short()
    await story.pays(story.due_units - part)
    await story.signable()
    await story.acts(story.journey.signer, "sign")
    await story.ends("completed")
    return Promise("completed", merchant=(story.due_units,))


async def refunded(story: Story) -> Promise:
    await story.opens()
    await story.pays(story.due_units)
    await story.signable()
    await story.sends_back()
    await story.ends("refunded")
    return Promise("refunded", back=(story.due_units,))


async def refunded_short(story: Story) -> Promise:
    await story.opens()
    part = story.due_units // 2
    await story.pays(part)
    await story.short()
    await story.sends_back()
    await story.ends("refunded")
    return Promise("refunded", back=(part,))


async def late(story: Story) -> Promise:
    """Paid after the deadline, and taken all the same."""
    deadline = int(time.time()) + LATE_SECONDS
    await story.opens(payment_deadline=deadline)
    await asyncio.sleep(max(0, deadline + 2 - time.time()))
    await story.pays(story.due_units)
    await story.signable()
    await story.acts(story.journey.signer, "sign")
    await story.ends("completed")
    return Promise("completed", merchant=(story.due_units,))


Tale = Callable[[Story], Awaitable[Promise]]

TALES: Final[tuple[Tale, ...]] = (
    exact,
    overpaid,
    refunded,
    underpaid,
    split,
    refunded_short,
    late,
)
