"""Invoices from long ago in a system of today: written at a desk whose clock stood then."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from counterfoil.clock import SystemClock
from counterfoil.core import ids
from counterfoil.core.invoice import LineItem
from counterfoil.core.money import Asset
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import commands, intake
from counterfoil.sandbox.demo import ORG_ID
from counterfoil.sandbox.past import PastIds, TravelClock
from support.journey import Bill, Journey, new_address


async def bill_from(journey: Journey, ago: timedelta, token: Asset) -> Bill:
    """A bill over 100 coins that was approved so long ago, and had a day to be paid."""
    clock = TravelClock(SystemClock().now() - ago)
    desk = replace(journey.desk, clock=clock, ids=PastIds(clock))
    view = await intake.create(desk, _draft(journey, token, clock.now()), _actor("finance"))
    await commands.approve(desk, view.invoice.invoice_id, _actor("reviewer"))
    found: dict[str, Any] = (
        await journey.auditor.look(ids.public("inv", view.invoice.invoice_id))
    ).data
    return Bill.of(found)


def _draft(journey: Journey, token: Asset, now: datetime) -> intake.Draft:
    return intake.Draft(
        dialect="kryptogo",
        pricing_mode="crypto",
        amount=Decimal(100),
        currency=None,
        pay_token=token.symbol,
        chain=token.chain,
        origin="https://meridian.example",
        recipient_name="Acme Buyer",
        recipient_email="buyer@acme.example",
        organization_name="Meridian Trading Co.",
        organization_email="finance@meridian.example",
        creator="finance",
        payment_terms=1,
        detail_items=(LineItem("Consulting", Decimal(1), Decimal(100), Decimal(0)),),
        callback_url=journey.inbox.url,
        payout_addresses=(("evm", new_address()),),
        payment_deadline=now + timedelta(days=1),
    )


def _actor(who: str) -> Actor:
    return Actor(f"user_{who}", ORG_ID, frozenset(Permission))
