"""Deadlines pass only behind the watcher (specs/reliability.md 1.5, I21)."""

from collections.abc import Collection
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Policy, Status
from counterfoil.desk import expiring, watching
from counterfoil.desk.desk import Desk
from counterfoil.desk.watching import Lease, Mark, Sighting
from counterfoil.workers.expire import Expirer
from support.damage import damaged
from support.fake_clock import NOON, FakeClock
from support.invoices import CUSTOMER, DUE, USDT
from support.shop import Shop

DEADLINE = NOON + timedelta(hours=1)
(BASE_USDT,) = (a for a in CHAINS["base"].accepted if a.symbol == "USDT")


class Chains:
    """Cursors in the hands of a test: each chain is read up to the time it is told."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._leases: dict[str, Lease] = {}
        self._numbers: dict[str, int] = {}

    async def read(self, chain: str, at: datetime, *sightings: Sighting) -> None:
        """Put the head of a chain at a block of this time."""
        lease, after, upto = await self._next(chain, at)
        await watching.record_seen(self._desk, lease, after, upto, sightings)

    async def settle(self, chain: str, at: datetime) -> None:
        """Put the final cursor of a chain at a block of this time."""
        lease, after, upto = await self._next(chain, at)
        await watching.record_final(self._desk, lease, after, upto, ())

    async def _next(self, chain: str, at: datetime) -> tuple[Lease, int, Mark]:
        if chain not in self._leases:
            self._leases[chain] = Lease(chain, self._desk.ids.new())
            await watching.start(self._desk, chain, Mark(0, "0x00", NOON))
        await watching.take(self._desk, self._leases[chain], 10_000_000)
        after = self._numbers.get(chain, 0)
        self._numbers[chain] = after + 1
        return self._leases[chain], after, Mark(after + 1, f"0x{after + 1:064x}", at)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def chains(desk: Desk) -> Chains:
    return Chains(desk)


async def expire(desk: Desk, watched: Collection[str] = ("arb", "base")) -> int:
    return (await expiring.expire_overdue(desk, watched, grace_seconds=10)).ended


async def close(desk: Desk, watched: Collection[str]) -> int:
    return (await expiring.close_expired(desk, watched)).ended


async def test_an_unpaid_invoice_expires_once_the_watcher_has_passed_its_deadline(
    shop: Shop, desk: Desk, clock: FakeClock, chains: Chains
) -> None:
    bill = await shop.bill(deadline_at=DEADLINE)
    clock.advance(timedelta(hours=2))

    assert await expire(desk) == 0, "the chain was never watched"
    await chains.read("arb", DEADLINE)
    assert await expire(desk) == 0, "the watcher is at the deadline, not past it"
    await chains.read("arb", DEADLINE + timedelta(seconds=10))
    assert await expire(desk) == 1

    assert await shop.status(bill) is Status.EXPIRED
    assert await expire(desk) == 0


async def test_nothing_expires_before_its_deadline(
    shop: Shop, desk: Desk, clock: FakeClock, chains: Chains
) -> None:
    await shop.bill(deadline_at=DEADLINE)
    # A block from the future, as a sequencer with a wrong clock makes them.
    await chains.read("arb", DEADLINE + timedelta(days=1))
    clock.advance(timedelta(minutes=59))
    assert await expire(desk) == 0


async def test_every_chain_an_invoice_may_be_paid_on_has_to_be_past(
    shop: Shop, desk: Desk, clock: FakeClock, chains: Chains
) -> None:
    bill = await shop.bill(deadline_at=DEADLINE, assets=(USDT, BASE_USDT))
    clock.advance(timedelta(hours=2))
    await chains.read("arb", clock.now())
    await chains.read("base", DEADLINE - timedelta(minutes=1))
    assert await expire(desk) == 0

    await chains.read("base", clock.now())
    assert await expire(desk, ["arb"]) == 0, "a chain that is switched off has passed nothing"
    assert await expire(desk) == 1
    assert await shop.status(bill) is Status.EXPIRED


async def test_a_payment_found_after_an_outage_across_the_deadline_is_in_time(
    shop: Shop, desk: Desk, clock: FakeClock, chains: Chains
) -> None:
    bill = await shop.bill(deadline_at=DEADLINE)
    clock.advance(timedelta(hours=5))
    await expire(desk)
    paid_at = DEADLINE - timedelta(seconds=1)
    found = Sighting(
        tx_hash="0x" + "1" * 64,
        log_index=0,
        block_number=1,
        block_hash="0x" + "a" * 64,
        block_at=paid_at,
        contract=USDT.contract,
        from_address=CUSTOMER,
        to_address=bill.deposit_address,
        amount_units=DUE,
    )

    await chains.read("arb", clock.now(), found)
    await expire(desk)

    look = await shop.look(bill)
    assert look.status is Status.PAYMENT_DETECTED
    assert look.tally.paid_at == paid_at


async def test_days_of_grace_end_behind_the_finalized_block(
    shop: Shop, desk: Desk, clock: FakeClock, chains: Chains
) -> None:
    bill = await shop.bill(deadline_at=DEADLINE, policy=Policy(grace_days=14))
    clock.advance(timedelta(hours=2))
    await chains.read("arb", clock.now())
    await expire(desk)
    assert await shop.status(bill) is Status.EXPIRED

    clock.advance(timedelta(days=14))
    await chains.read("arb", clock.now())
    assert await close(desk, ["arb"]) == 0, "the head is not final"
    await chains.settle("arb", DEADLINE + timedelta(days=13))
    assert await close(desk, ["arb"]) == 0
    await chains.settle("arb", clock.now())
    assert await close(desk, ["base"]) == 0
    assert await close(desk, ["arb"]) == 1
    assert await shop.status(bill) is Status.CANCELLED


async def test_the_worker_goes_on_in_bounded_batches(
    shop: Shop, desk: Desk, clock: FakeClock, chains: Chains
) -> None:
    bills = [await shop.bill(deadline_at=DEADLINE) for _ in range(expiring.BATCH + 1)]
    clock.advance(timedelta(hours=2))
    await chains.read("arb", clock.now())
    expirer = Expirer(desk, ["arb"])

    assert await expirer.step()
    assert not await expirer.step()
    assert {await shop.status(bill) for bill in bills} == {Status.EXPIRED}


async def test_an_invoice_somebody_else_holds_is_left_for_later(
    shop: Shop, desk: Desk, clock: FakeClock, chains: Chains
) -> None:
    held, free = [await shop.bill(deadline_at=DEADLINE) for _ in range(2)]
    clock.advance(timedelta(hours=2))
    await chains.read("arb", clock.now())

    async with desk.database.transaction() as tx:
        await tx.execute(
            "SELECT 1 FROM invoice WHERE invoice_id = %(id)s FOR UPDATE", {"id": held.invoice_id}
        )
        assert await expire(desk) == 1

    assert await shop.status(free) is Status.EXPIRED
    assert await shop.status(held) is Status.AWAITING_PAYMENT


async def test_one_broken_invoice_does_not_hold_up_the_end_of_the_others(
    shop: Shop, desk: Desk, clock: FakeClock, chains: Chains
) -> None:
    broken = await shop.bill(deadline_at=DEADLINE - timedelta(minutes=1))
    others = [await shop.bill(deadline_at=DEADLINE) for _ in range(2)]
    clock.advance(timedelta(hours=2))
    await chains.read("arb", clock.now())
    expirer = Expirer(desk, ["arb"])

    async with damaged(desk, broken):
        with capture_logs() as logs:
            await expirer.step()
            await expirer.step()
        assert {await shop.status(bill) for bill in others} == {Status.EXPIRED}
        failed = [line for line in logs if line["event"] == "invoice_cannot_be_told"]
        assert [line["invoice_id"] for line in failed] == [str(broken.invoice_id)], "not at once"

    await expirer.step()
    assert await shop.status(broken) is Status.AWAITING_PAYMENT
    clock.advance(timedelta(minutes=1))
    await expirer.step()
    assert await shop.status(broken) is Status.EXPIRED


async def test_broken_invoices_cannot_fill_the_batch(
    shop: Shop, desk: Desk, clock: FakeClock, chains: Chains
) -> None:
    broken = [await shop.bill(deadline_at=DEADLINE) for _ in range(2)]
    sound = await shop.bill(deadline_at=DEADLINE + timedelta(minutes=1))
    clock.advance(timedelta(hours=2))
    await chains.read("arb", clock.now())

    async with damaged(desk, *broken):
        first = await expiring.expire_overdue(desk, ["arb"], grace_seconds=10, limit=2)
        failed = [one.invoice_id for one in first.untold]
        assert sorted(failed) == sorted(bill.invoice_id for bill in broken)
        second = await expiring.expire_overdue(
            desk, ["arb"], grace_seconds=10, limit=2, passing_over=failed
        )

    assert (first.ended, second.ended) == (0, 1)
    assert await shop.status(sound) is Status.EXPIRED
