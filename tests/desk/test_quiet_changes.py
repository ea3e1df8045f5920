"""Changes that a dialect does not tell leave nothing behind that would have to be told."""

from dataclasses import replace

import pytest

from counterfoil.api.kryptogo.callbacks import tells
from counterfoil.core.invoice import Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.db.rows import all_values
from counterfoil.desk import commands
from counterfoil.desk.desk import Desk
from support.shop import Shop, desk_on

URL = "https://merchant.example/callback"
REVIEWER = Actor("user_reviewer", 1, frozenset({Permission.APPROVE}))


@pytest.fixture
def desk(database: Database) -> Desk:
    return desk_on(database)


async def events_of(desk: Desk, shop: Shop) -> list[str]:
    """What is left to be told once an invoice was created and approved."""
    bill = await shop.bill(status=Status.APPROVAL_PENDING, callback_url=URL)
    await commands.approve(desk, bill.invoice_id, REVIEWER)
    async with desk.database.reading() as tx:
        return await all_values(tx, str, "SELECT to_status FROM outbox ORDER BY sequence", {})


async def test_a_dialect_is_only_left_what_it_tells(desk: Desk) -> None:
    quiet = replace(desk, tells={"kryptogo": tells})
    assert await events_of(quiet, await Shop(quiet).open()) == ["awaiting_payment"]


async def test_one_that_says_nothing_about_it_tells_everything(desk: Desk) -> None:
    everything = ["approval_pending", "awaiting_payment"]
    assert await events_of(desk, await Shop(desk).open()) == everything


@pytest.mark.parametrize("status", list(Status))
def test_the_intent_is_pending_until_the_money_is_clean(status: Status) -> None:
    told = tells((Status.AWAITING_PAYMENT, None), (status, None))
    unchanged = {Status.AWAITING_PAYMENT, Status.PAYMENT_DETECTED, Status.SCREENING}
    assert told is (status not in unchanged)
