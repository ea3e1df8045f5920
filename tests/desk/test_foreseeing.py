"""A payer is looked at while the payment is merely seen; the answer counts once the money does."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from counterfoil.core.invoice import Invoice, Policy, Status
from counterfoil.db.pool import Database
from counterfoil.db.rows import execute, one_value
from counterfoil.desk import proving
from counterfoil.providers.screening.port import ScreeningUnavailable
from counterfoil.workers.foresee import Foreseer
from counterfoil.workers.watch import ChainWatcher, WatchedAddresses
from support.bureau import LISTED, Bureau, opened
from support.fake_chain import FakeChain
from support.invoices import CUSTOMER, DUE, STRANGER, USDT
from support.tower import Tower


@dataclass
class Lookout:
    """A watcher whose process looks at payers ahead, and an invoice that waits to be paid."""

    bureau: Bureau
    tower: Tower
    foreseer: Foreseer
    watcher: ChainWatcher
    bill: Invoice

    async def sees(self, payer: str = CUSTOMER, units: int = DUE) -> None:
        self.tower.chain.pay(USDT.contract, self.bill.deposit_address, units, payer)
        self.tower.mine()
        await self.tower.watch(self.watcher)

    async def becomes_safe(self) -> Invoice:
        self.tower.mine(3)
        await self.tower.watch(self.watcher)
        return await self.tower.shop.look(self.bill)

    async def still_to_screen(self) -> int | None:
        async with self.bureau.desk.database.reading() as tx:
            query = "SELECT count(*) FROM effect WHERE kind = 'screen' AND done_at IS NULL"
            return await one_value(tx, int, query, {})


@pytest.fixture
async def lookout(database: Database) -> Lookout:
    bureau = await opened(database)
    chain = FakeChain(bureau.clock)
    tower = Tower(bureau.desk, bureau.clock, chain)
    foreseer = Foreseer(bureau.desk, bureau.examiner)
    watched = WatchedAddresses(bureau.desk, "evm")
    watcher = ChainWatcher(bureau.desk, chain, watched, foreseer=foreseer)
    await tower.watch(watcher)
    bill = await tower.shop.bill()
    return Lookout(bureau, tower, foreseer, watcher, bill)


async def test_what_was_looked_at_is_screened_the_moment_it_is_safe(lookout: Lookout) -> None:
    await lookout.sees()
    assert await lookout.foreseer.step() == 1
    assert (await lookout.tower.shop.look(lookout.bill)).status is Status.PAYMENT_DETECTED
    assert await lookout.bureau.runs(lookout.bill) == []

    ready = await lookout.becomes_safe()

    assert ready.status is Status.SIGN_PENDING
    assert ready.screening is not None
    assert ready.screening.covers_all(ready.tally)
    run = await lookout.bureau.run(lookout.bill)
    assert (run.decision, run.run_id) == ("clear", ready.screening.run_id)
    assert await lookout.still_to_screen() == 0
    assert await lookout.bureau.screener.step() == 0
    assert lookout.bureau.provider.asked == [CUSTOMER]
    history = await lookout.tower.shop.history(lookout.bill)
    assert history[-3:] == ["transfer_seen", "transfer_confirmed", "screened"]
    assert (await proving.verify_audit(lookout.bureau.desk)).breaks == ()


async def test_a_larger_payment_is_screened_the_moment_it_is_final(lookout: Lookout) -> None:
    lookout.bill = await lookout.tower.shop.bill(policy=Policy(confirm_soft_below_usd=0))
    await lookout.sees()
    await lookout.foreseer.step()
    assert (await lookout.becomes_safe()).status is Status.PAYMENT_DETECTED
    lookout.tower.mine(8)
    await lookout.tower.watch(lookout.watcher)
    assert (await lookout.tower.shop.look(lookout.bill)).status is Status.SIGN_PENDING
    assert (await lookout.bureau.run(lookout.bill)).decision == "clear"


async def more_is_paid(lookout: Lookout) -> None:
    await lookout.sees(units=1_000_000)


async def somebody_else_pays_as_well(lookout: Lookout) -> None:
    await lookout.sees(STRANGER, units=1_000_000)


async def somebody_else_paid_instead(lookout: Lookout) -> None:
    lookout.tower.chain.reorg(1, forget=True)
    await lookout.sees(STRANGER)


async def a_list_is_read_anew(lookout: Lookout) -> None:
    await lookout.bureau.lists(LISTED, CUSTOMER)


async def the_policy_grows_stricter(lookout: Lookout) -> None:
    async with lookout.bureau.desk.database.transaction() as tx:
        stricter = '{"screening": {"thresholds": {"edd_twd": "1"}}}'
        query = "UPDATE org SET policy = policy || %(stricter)s::jsonb"
        await execute(tx, query, {"stricter": stricter})


async def a_minute_goes_by(lookout: Lookout) -> None:
    lookout.bureau.clock.advance(timedelta(seconds=61))


Meanwhile = Callable[[Lookout], Coroutine[Any, Any, None]]


@pytest.mark.parametrize(
    ("meanwhile", "becomes"),
    [
        (more_is_paid, Status.SIGN_PENDING),
        (somebody_else_pays_as_well, Status.RESOLUTION_REQUIRED),
        (somebody_else_paid_instead, Status.SIGN_PENDING),
        (a_list_is_read_anew, Status.COMPLIANCE_HOLD),
        (the_policy_grows_stricter, Status.COMPLIANCE_HOLD),
        (a_minute_goes_by, Status.SIGN_PENDING),
    ],
)
async def test_what_was_overtaken_is_screened_as_if_nobody_had_looked(
    lookout: Lookout, meanwhile: Meanwhile, becomes: Status
) -> None:
    await lookout.sees()
    await lookout.foreseer.step()
    assert lookout.bill.invoice_id in lookout.foreseer.looks
    await meanwhile(lookout)

    assert (await lookout.becomes_safe()).status is Status.SCREENING
    assert await lookout.bureau.runs(lookout.bill) == []
    assert (await lookout.bureau.screens(lookout.bill)).status is becomes


@pytest.mark.parametrize("listed", [True, False])
async def test_what_is_not_clear_is_asked_again_when_it_counts(
    lookout: Lookout, *, listed: bool
) -> None:
    if not listed:
        lookout.bureau.provider.fails(CUSTOMER, ScreeningUnavailable("away"))
    await lookout.sees(LISTED if listed else CUSTOMER)
    await lookout.foreseer.step()
    assert (await lookout.becomes_safe()).status is Status.SCREENING
    assert await lookout.bureau.runs(lookout.bill) == []
    held = await lookout.bureau.screens_patiently(lookout.bill)
    assert held.status is Status.COMPLIANCE_HOLD


async def test_what_cannot_be_looked_at_is_screened_once_it_counts(lookout: Lookout) -> None:
    await lookout.sees()
    lookout.foreseer.expect([])
    async with lookout.bureau.desk.database.transaction() as tx:
        query = """UPDATE org SET policy = policy || '{"screening": {"bands": 1}}'"""
        await execute(tx, query, {})
    assert await lookout.foreseer.step() == 1
    assert lookout.foreseer.looks == {}
    assert (await lookout.becomes_safe()).status is Status.SCREENING


async def test_a_payment_that_a_reorg_took_back_was_looked_at_for_nothing(
    lookout: Lookout,
) -> None:
    await lookout.sees()
    await lookout.foreseer.step()
    lookout.tower.chain.reorg(1, forget=True)
    lookout.tower.mine(2)
    gone = await lookout.becomes_safe()
    assert gone.status is Status.AWAITING_PAYMENT
    assert await lookout.bureau.runs(lookout.bill) == []


async def test_whoever_sends_dust_fills_no_memory(lookout: Lookout) -> None:
    await lookout.sees(units=1)
    await lookout.foreseer.step()
    assert lookout.foreseer.looks == {}
    assert lookout.bureau.provider.asked == []
