"""From creation to the merchant's own account: every chain, every token, all six on one day."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any, Final

import pytest
import pytest_asyncio

from counterfoil.core.assets import CHAINS
from counterfoil.core.money import Asset
from support.inbox import Received
from support.journey import Bill, Chain, Journey

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAIRS: Final = [(key, token.symbol) for key, chain in CHAINS.items() for token in chain.accepted]

EVERY_STATUS: Final = [
    "approval_pending",
    "approved",
    "pending_payment",
    "transaction_detected",
    "aml_scanning",
    "sign_pending",
    "sweep_processing",
    "payout_processing",
    "completed",
]


@dataclass(frozen=True)
class Story:
    """One invoice at its end, with what people saw of it on the way."""

    bill: Bill
    chain: Chain
    token: Asset
    invoice: dict[str, Any]
    statuses: list[str]
    callbacks: list[Received]
    payment_tx_hash: str

    @property
    def due_units(self) -> int:
        """3,000 TWD at the invoice's own rate, rounded up to the token's last unit."""
        rate = Fraction(self.invoice["payment_intent"]["crypto_price"])
        units_per_coin: int = 10**self.token.decimals
        return ceil(3_000 / rate * units_per_coin)

    @property
    def due(self) -> str:
        return f"{Decimal(self.due_units).scaleb(-self.token.decimals):f}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stories(journey: Journey) -> dict[tuple[str, str], Story]:
    found = await asyncio.gather(*(approved(journey, *pair) for pair in PAIRS))
    hashes = await paid_and_confirmed(journey, found)
    invoices = await asyncio.gather(*(journey.settle(bill) for bill, _, _ in found))
    return {
        (chain.key, token.symbol): Story(
            bill,
            chain,
            token,
            invoice,
            await journey.statuses(bill),
            await journey.until_told(bill, "pending", "success"),
            tx_hash,
        )
        for (bill, chain, token), invoice, tx_hash in zip(found, invoices, hashes, strict=True)
    }


async def approved(journey: Journey, key: str, symbol: str) -> tuple[Bill, Chain, Asset]:
    chain = journey.chains[key]
    token = chain.token(symbol)
    return await journey.approved_bill(chain=key, pay_token=symbol), chain, token


async def paid_and_confirmed(journey: Journey, bills: list[tuple[Bill, Chain, Asset]]) -> list[str]:
    """Pay all of them, with the chains held at each depth until everybody has noticed."""
    async with AsyncExitStack() as stack:
        for chain in journey.chains.values():
            await stack.enter_async_context(chain.held())
        hashes = [
            await journey.customer.pays(chain, token, bill.address, bill.due_units(token))
            for bill, chain, token in bills
        ]
        await one_more_block(journey)
        for bill, _, _ in bills:
            await journey.until(bill, "transaction_detected")
        await one_more_block(journey)
        for bill, _, _ in bills:
            await journey.until(bill, "sign_pending")
            refused = await journey.signer.act("sign", bill.id)
            assert refused.refusal == (409, 4090)
            assert "not yet final" in refused.body["message"]
        await one_more_block(journey)
        for bill, _, _ in bills:
            await journey.until_signable(bill)
    return hashes


async def one_more_block(journey: Journey) -> None:
    for chain in journey.chains.values():
        await chain.node.mine()


@pytest.fixture(params=PAIRS, ids="-".join)
def story(stories: dict[tuple[str, str], Story], request: pytest.FixtureRequest) -> Story:
    return stories[request.param]


async def test_the_merchant_gets_what_was_due_to_the_unit_and_once(story: Story) -> None:
    assert story.bill.due_units(story.token) == story.due_units
    assert await story.chain.paid_to(story.token, story.bill.payout_address) == [story.due_units]
    assert await story.chain.holds(story.token, story.bill.payout_address) == story.due_units


async def test_nothing_stays_at_the_deposit_address(story: Story) -> None:
    assert await story.chain.holds(story.token, story.bill.address) == 0


async def test_an_invoice_passes_through_every_status_in_order(story: Story) -> None:
    assert story.statuses == EVERY_STATUS


async def test_the_merchants_server_is_told_in_order_and_can_verify_it(
    story: Story, journey: Journey
) -> None:
    assert all(callback.is_genuine(journey.shown_secret) for callback in story.callbacks)
    sequences = [callback.body["sequence"] for callback in story.callbacks]
    assert sequences == sorted(set(sequences))
    success = story.callbacks[-1].body
    assert success["payment_tx_hash"] == story.payment_tx_hash
    assert success["received_crypto_amount"] == success["crypto_amount"] == story.due
    assert (success["payment_chain_id"], success["symbol"]) == (story.chain.key, story.token.symbol)


async def test_the_invoice_shows_where_its_money_came_from_and_went(
    story: Story, journey: Journey
) -> None:
    intent = story.invoice["payment_intent"]
    assert intent["payer_address"] == journey.customer.address.lower()
    assert intent["payment_tx_hash"] == story.payment_tx_hash
    assert intent["aggregated_crypto_amount"] == story.due
    assert intent["kya_record"]["decision"] == "clear"
    swept = await story.chain.included(intent["aggregation_tx_hash"])
    assert any(log["address"] == story.token.contract for log in swept["logs"])


async def test_one_command_recomputes_every_seal(
    stories: dict[tuple[str, str], Story], journey: Journey
) -> None:
    ran = await journey.counterfoil("audit", "verify")
    assert ran.status == 0, ran.text
    assert "every seal holds" in ran.text
    verified = await journey.audit()
    assert verified.invoices >= len(stories)
    assert verified.entries >= len(stories) * len(EVERY_STATUS)


async def test_another_explains_every_unit_on_every_chain(
    stories: dict[tuple[str, str], Story], journey: Journey
) -> None:
    assert len(stories) == len(PAIRS)
    ran = await journey.counterfoil("reconcile")
    assert ran.status == 0, ran.text
    assert "every unit is explained" in ran.text
