"""Who may tell the desk of a chain, one at a time, and where each chain stands."""

from datetime import timedelta

import pytest

from counterfoil.desk import applying, watching
from counterfoil.desk.desk import Desk
from counterfoil.desk.watching import Lease, LeaseLost, NeverWatched
from support.fake_clock import FakeClock
from support.shop import Shop
from support.watcher import Watcher, mark, payment


async def test_a_chain_is_started_once(desk: Desk) -> None:
    lease = Lease("arb", desk.ids.new())
    with pytest.raises(NeverWatched):
        await watching.take(desk, lease, 15)

    assert await watching.start(desk, "arb", mark(7))
    assert not await watching.start(desk, "arb", mark(9))

    at = await watching.take(desk, lease, 15)
    assert at is not None
    assert (at.head, at.safe_number, at.final) == (mark(7), 7, mark(7))


async def test_one_watcher_at_a_time_and_another_after_the_lease(
    desk: Desk, clock: FakeClock
) -> None:
    first = await Watcher(desk).start()
    second = Lease("arb", desk.ids.new())

    assert await watching.take(desk, second, 15) is None
    clock.advance(timedelta(seconds=10))
    assert await watching.take(desk, first.lease, 15) is not None
    clock.advance(timedelta(seconds=10))
    assert await watching.take(desk, second, 15) is None
    clock.advance(timedelta(seconds=15))
    assert await watching.take(desk, second, 15) is not None
    assert await watching.take(desk, first.lease, 15) is None


async def test_a_watcher_that_lost_its_lease_writes_nothing(
    shop: Shop, watcher: Watcher, desk: Desk, clock: FakeClock
) -> None:
    bill = await shop.bill()
    clock.advance(timedelta(minutes=1))
    assert await watching.take(desk, Lease("arb", desk.ids.new()), 15) is not None

    for late in (
        watcher.seen(0, 10, [payment(bill, 5)]),
        watcher.final(0, 10, payment(bill, 5)),
        watcher.seen(0, 10),
        watcher.safe(10),
    ):
        with pytest.raises(LeaseLost):
            await late

    assert await shop.transfers(bill) == []
    (at,) = await watching.positions(desk)
    assert (at.head_number, at.safe_number, at.final_number) == (0, 0, 0)


async def test_of_many_batches_none_is_written_either(
    shop: Shop, watcher: Watcher, desk: Desk, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "INVOICES_PER_TRANSACTION", 1)
    bills = [await shop.bill() for _ in range(5)]
    clock.advance(timedelta(minutes=1))
    assert await watching.take(desk, Lease("arb", desk.ids.new()), 15) is not None

    with pytest.raises(LeaseLost):
        await watcher.seen(0, 10, [payment(one, 5, tx=str(n)) for n, one in enumerate(bills)])

    assert [await shop.transfers(bill) for bill in bills] == [[]] * 5


async def test_a_lease_given_back_is_free_at_once(desk: Desk, watcher: Watcher) -> None:
    await watching.give_back(desk, watcher.lease)
    assert await watching.take(desk, Lease("arb", desk.ids.new()), 15) is not None


async def test_operators_see_where_each_chain_stands(
    desk: Desk, watcher: Watcher, clock: FakeClock
) -> None:
    await watcher.seen(0, 30)
    await watcher.final(0, 10)
    await watcher.safe(20)

    (at,) = await watching.positions(desk)

    assert (at.chain, at.head_number, at.safe_number, at.final_number) == ("arb", 30, 20, 10)
    assert (at.head_age_seconds, at.final_age_seconds) == (30, 50)
    assert at.watched
    clock.advance(timedelta(minutes=1))
    assert not (await watching.positions(desk))[0].watched


async def test_finality_pulls_the_head_along_after_an_outage(desk: Desk, watcher: Watcher) -> None:
    await watcher.seen(0, 5)
    await watcher.final(0, 9)

    at = await watching.take(desk, watcher.lease, 15)

    assert at is not None
    assert (at.head, at.safe_number, at.final) == (mark(9), 9, mark(9))
    assert await watching.anchors(desk, "arb") == []
