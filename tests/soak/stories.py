"""What happens to one invoice after another, whatever happens to the processes meanwhile."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from counterfoil.core.money import Asset
from soak.people import Stubborn, new_key
from support.actors import CURL_EXAMPLE, Answer, Caller, Signer
from support.inbox import Inbox
from support.journey import Bill, Chain, Journey, Payer

CONFLICT: Final = 409
LOOK_SECONDS: Final = 0.5
LOOKS: Final = 500
"""How often somebody looks before an invoice counts as stuck. By the clock a machine that is busy
with other things, or asleep, would look like a violation."""
RECEIPT: Final = b"%PDF-1.7\nx\nstartxref\n0\n%%EOF"

STAGES: Final = {
    "approval_pending": "before payment",
    "pending_payment": "payment",
    "expired": "payment",
    "transaction_detected": "payment",
    "aml_scanning": "payment",
    "payment_insufficient": "payment",
    "compliance_freeze": "hold",
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
    moody: Inbox
    """A merchant's server that has bad hours."""
    name: str
    chain: Chain
    token: Asset
    receiver: Inbox
    """The merchant's server that is told of it."""
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

    async def opens(self) -> None:
        """Finance creates the invoice, the reviewer approves it."""
        await self.creates()
        await self.acts(self.journey.reviewer, "approve")

    async def opens_in_time(self, deadline_at: int) -> bool:
        """The same with a deadline; false where it passed before the reviewer was heard."""
        await self.creates(payment_deadline=deadline_at)
        answer = await self._asks(self.journey.reviewer, "approve", None)
        assert answer.status == 200 or "payment_deadline" in answer.fields, answer.raw.decode()
        return answer.status == 200

    async def creates(self, **changes: object) -> None:
        key = new_key()
        asked = {
            **CURL_EXAMPLE,
            # So that the proof can tell whether a key has made two invoices.
            "description": key,
            "callback_url": self.receiver.url,
            "chain": self.chain.key,
            "pay_token": self.token.symbol,
            "payout_addresses": {"evm": "0x" + secrets.token_hex(20)},
            **changes,
        }
        made = await self.people.post(self.journey.merchant, "/invoice/intent", asked, key)
        self.bill = Bill.of(made.data)

    async def acts(self, who: Caller, verb: str, body: object = None) -> None:
        """Somebody does something, and is told that it is done."""
        answer = await self._asks(who, verb, body)
        assert answer.status == 200, f"{verb}: {answer.status} {answer.raw.decode()}"

    async def may_not(self, who: Caller, verb: str, status: int, body: object = None) -> None:
        """Somebody is refused with this status."""
        answer = await self._asks(who, verb, body)
        assert answer.status == status, f"{verb}: {answer.status} {answer.raw.decode()}"

    async def _asks(self, who: Caller, verb: str, body: object) -> Answer:
        """Asked again later where money is on its way just now, as the refusal says."""
        path = f"/invoice/intent/{self.bill.id}/{verb}"
        answer = await self.people.post(who, path, body)
        for _ in range(LOOKS):
            data = answer.body["data"] or {}
            if answer.status != CONFLICT or data.get("rule") != "in_flight":
                break
            await asyncio.sleep(LOOK_SECONDS)
            answer = await self.people.post(who, path, body)
        return answer

    async def pays(self, units: int, payer: Payer | None = None) -> None:
        payer = payer or self.journey.customer
        tx_hash = await payer.pays(self.chain, self.token, self.bill.address, units)
        await self.chain.included(tx_hash)
        self.payments += 1

    async def pays_out_of(self, address: str) -> None:
        """All that is due comes from somebody whom nobody knows yet."""
        payer = Payer(address)
        async with self.chain.sending:
            await payer.owns(self.chain, self.token, self.due_units)
        await self.pays(self.due_units, payer)

    async def signable(self) -> None:
        """All that was paid is there for good and was found clean."""
        await self.until(lambda i: i["status"] == "sign_pending" and self._all_final(i))

    async def short(self) -> None:
        """Too little was paid, and it is there for good."""
        await self.until(lambda i: i["status"] == "payment_insufficient" and self._all_final(i))

    async def held(self) -> None:
        """All that was paid is there for good, and somebody has to say what becomes of it."""
        await self.until(lambda i: i["status"] == "compliance_freeze" and self._all_final(i))

    async def ends(self, status: str) -> None:
        await self.until(lambda i: i["status"] == status)

    async def paid_out(self) -> Promise:
        """The merchant signs, and has what was due."""
        await self.acts(self.journey.signer, "sign")
        await self.ends("completed")
        return Promise("completed", merchant=(self.due_units,))

    async def order(self, **changes: object) -> dict[str, object]:
        """What a signer writes down who sends money back."""
        receipt = await self.people.upload(self.journey.signer, RECEIPT)
        return {
            "refund_address": self.refund_address,
            "refund_reason": "Called off.",
            "refund_attachments": [receipt],
            **changes,
        }

    async def sent_back(self, units: int) -> Promise:
        """One signer orders the refund of everything, another one approves it."""
        await self.acts(self.journey.signer, "refund", await self.order())
        await self.acts(self.second_signer, "refund/approve")
        await self.ends("refunded")
        return Promise("refunded", back=(units,))

    async def received_at(self, address: str) -> list[int]:
        """Every transfer that an address received; of ether, which has no log, their sum."""
        if not self.token.is_native:
            return await self.chain.paid_to(self.token, address)
        held = await self.chain.holds(self.token, address)
        return [held] if held else []

    async def until(self, enough: Callable[[dict[str, Any]], bool]) -> None:
        for _ in range(LOOKS):
            path = f"/invoice/intent/{self.bill.id}"
            invoice = (await self.people.get(self.journey.auditor, path)).data
            self.status = invoice["status"]
            if enough(invoice):
                return
            await asyncio.sleep(LOOK_SECONDS)
        raise AssertionError(f"stands in {self.status} and does not go on")

    def _all_final(self, invoice: dict[str, Any]) -> bool:
        transfers = invoice["transfers"]
        return len(transfers) == self.payments and all(t["depth"] == "final" for t in transfers)
