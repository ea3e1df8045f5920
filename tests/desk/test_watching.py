"""What the desk makes of scans that are handed to it; the node's side is in tests/nodes."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from counterfoil.books import addresses, invoices
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Policy, Status
from counterfoil.core.reckoning import Depth
from counterfoil.desk import applying, watching
from counterfoil.desk.desk import Desk
from counterfoil.desk.watching import Told
from support.fake_clock import FakeClock
from support.invoices import DUE, STRANGER, USDC, USDT
from support.patience import patiently
from support.shop import POOL, Shop
from support.watcher import Watcher, kept_aside, payment

(USDC_E,) = CHAINS["arb"].known_other


async def test_an_exact_payment_is_seen_then_safe_then_final(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill()
    paid = payment(bill, 5)

    await watcher.seen(0, 10, [paid])
    assert await shop.status(bill) is Status.PAYMENT_DETECTED
    assert await shop.deposited(bill) == 0

    await watcher.safe(6, paid.block_hash)
    assert await shop.status(bill) is Status.SCREENING
    assert (await shop.look(bill)).tally.assets[0].final_units == 0
    assert await shop.deposited(bill) == 0

    await watcher.final(0, 6, paid)
    assert (await shop.look(bill)).tally.assets[0].final_units == DUE
    assert await shop.deposited(bill) == DUE
    assert await shop.history(bill) == [
        "created",
        "transfer_seen",
        "transfer_confirmed",
        "transfer_confirmed",
    ]


async def test_a_large_payment_is_not_confirmed_before_it_is_final(
    shop: Shop, watcher: Watcher
) -> None:
    bill = await shop.bill(due_units=5_000_000_000)
    paid = payment(bill, 5, 5_000_000_000)

    await watcher.seen(0, 10, [paid])
    await watcher.safe(6, paid.block_hash)
    assert await shop.status(bill) is Status.PAYMENT_DETECTED

    await watcher.final(0, 6, paid)
    assert await shop.status(bill) is Status.SCREENING


async def test_the_final_pass_finds_what_the_head_pass_missed(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill()

    await watcher.seen(0, 10)
    await watcher.final(0, 10, payment(bill, 5))

    assert await shop.status(bill) is Status.SCREENING
    assert await shop.deposited(bill) == DUE


async def test_recording_a_scan_again_changes_nothing_more(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill()
    paid = payment(bill, 5)
    for _ in range(3):
        await watcher.seen(0, 10, [paid])
    for _ in range(3):
        await watcher.final(0, 10, paid)

    assert await shop.deposited(bill) == DUE
    assert len(await shop.transfers(bill)) == 1
    assert (await shop.history(bill))[1:] == ["transfer_seen", "transfer_confirmed"]


async def test_two_transfers_in_one_transaction_both_count(shop: Shop, watcher: Watcher) -> None:
    bill, other = await shop.bill(), await shop.bill()
    halves = [payment(bill, 5, DUE // 2, index=1), payment(bill, 5, DUE // 2, index=2)]

    await watcher.final(0, 10, *halves, payment(other, 5, index=3))

    assert await shop.deposited(bill) == DUE
    assert await shop.deposited(other) == DUE
    assert await shop.status(bill) is Status.SCREENING


async def test_the_final_pass_drops_what_it_does_not_find(shop: Shop, watcher: Watcher) -> None:
    gone, later = await shop.bill(), await shop.bill()
    await watcher.seen(0, 10, [payment(gone, 5), payment(later, 8, tx="2")])

    await watcher.final(0, 7)

    assert await shop.status(gone) is Status.AWAITING_PAYMENT
    assert await shop.status(later) is Status.PAYMENT_DETECTED


async def test_a_vouched_payment_is_final_although_the_query_left_it_out(
    shop: Shop, watcher: Watcher
) -> None:
    bill = await shop.bill()
    paid = payment(bill, 5)
    await watcher.seen(0, 10, [paid])

    await watcher.final(0, 7, vouched=[paid])

    assert await shop.deposited(bill) == DUE


async def test_a_known_other_token_is_kept_and_flagged(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill()

    await watcher.final(0, 7, replace(payment(bill, 5), contract=USDC_E.contract))

    look = await shop.look(bill)
    assert (look.status, look.tally.assets) == (Status.SCREENING, ())
    assert [(a.asset, a.final_units) for a in look.tally.stray] == [(USDC_E, DUE)]
    assert await shop.deposited(bill, USDC_E) == DUE


async def test_the_right_token_on_another_chain_is_kept_and_flagged(shop: Shop, desk: Desk) -> None:
    base = await Watcher(desk, "base").start()
    bill = await shop.bill()
    usdt = CHAINS["base"].accepted[1]

    await base.final(0, 7, replace(payment(bill, 5), contract=usdt.contract))

    assert (await shop.look(bill)).tally.stray
    assert await shop.deposited(bill, usdt) == DUE


async def test_money_for_an_address_without_invoice_is_kept_aside(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    (address,) = await shop.stock(1)
    paid = payment(address, 5)

    recorded = await watcher.seen(0, 10, [paid])
    assert [kept.reason for kept in recorded.quarantined] == ["unassigned"]

    await watcher.final(0, 10, paid)
    (kept,) = await kept_aside(desk, paid)
    assert (kept.amount_units, kept.depth) == (DUE, Depth.FINAL)


async def test_what_was_kept_aside_does_not_pay_the_invoice_that_gets_the_address(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    (address,) = await shop.stock(1)
    early = payment(address, 5)
    await watcher.seen(0, 10, [early])
    bill = await shop.bill()
    assert bill.deposit_address == address

    await watcher.final(0, 10, early, payment(bill, 6, 7, tx="2"))

    assert await shop.deposited(bill) == 7
    assert [kept.depth for kept in await kept_aside(desk, early)] == [Depth.FINAL]


async def test_a_watcher_that_lags_keeps_aside_what_came_before_the_invoice(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    bill = await shop.bill()
    dust = replace(payment(bill, 4, 20_000), block_at=bill.created_at - timedelta(minutes=2))

    recorded = await watcher.seen(0, 10, [dust, payment(bill, 5, tx="2")])
    await watcher.final(0, 10, dust, payment(bill, 5, tx="2"))

    assert [kept.reason for kept in recorded.quarantined] == ["unassigned"]
    assert [kept.depth for kept in await kept_aside(desk, dust)] == [Depth.FINAL]
    assert (await shop.look(bill)).tally.assets[0].final_units == DUE
    assert await shop.deposited(bill) == DUE


async def test_a_customer_who_pays_at_once_is_credited_although_the_block_is_stamped_earlier(
    shop: Shop, watcher: Watcher
) -> None:
    bill = await shop.bill()
    quick = replace(payment(bill, 5), block_at=bill.created_at - timedelta(seconds=2))

    await watcher.final(0, 10, quick)

    assert await shop.deposited(bill) == DUE


async def test_an_address_whose_invoice_is_gone_stops_nothing(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    (address,) = await shop.stock(1)
    async with desk.database.transaction() as tx:
        assert await addresses.take(tx, shop.org_id, "evm", desk.ids.new()) is not None

    await watcher.final(0, 10, payment(address, 5))

    assert [kept.reason for kept in await kept_aside(desk, payment(address, 5))] == ["unassigned"]


async def test_nobody_pays_an_invoice_from_its_own_organisations_pool(
    shop: Shop, watcher: Watcher, desk: Desk
) -> None:
    neighbour = await Shop(desk, org_id=2).open()
    ours, theirs = await shop.bill(), await neighbour.bill()
    circular = replace(payment(ours, 5), from_address=POOL)
    honest = replace(payment(theirs, 5, tx="2"), from_address=POOL)

    await watcher.final(0, 10, circular, honest)

    assert await shop.status(ours) is Status.AWAITING_PAYMENT
    assert [kept.reason for kept in await kept_aside(desk, circular)] == ["own_address"]
    assert await neighbour.deposited(theirs) == DUE


async def test_strangers_addresses_mean_nothing(watcher: Watcher, desk: Desk) -> None:
    await watcher.seen(0, 10, [payment(STRANGER, 5)])
    assert await kept_aside(desk, payment(STRANGER, 5)) == []


async def test_payment_time_is_the_earlier_of_block_and_first_sight(
    shop: Shop, watcher: Watcher, clock: FakeClock
) -> None:
    ahead = clock.now() + timedelta(minutes=5)
    bill = await shop.bill()

    await watcher.seen(0, 10, [replace(payment(bill, 5), block_at=ahead)])

    assert (await shop.look(bill)).tally.paid_at == clock.now()


async def test_several_accepted_assets_pay_one_invoice(shop: Shop, watcher: Watcher) -> None:
    bill = await shop.bill(assets=(USDT, USDC))
    usdc = replace(payment(bill, 6, 40_000_000, tx="2"), contract=USDC.contract)

    await watcher.final(0, 10, payment(bill, 5, 60_000_000), usdc)

    assert await shop.status(bill) is Status.SCREENING


async def test_many_payments_at_once_reach_their_invoices(shop: Shop, watcher: Watcher) -> None:
    bills = [await shop.bill() for _ in range(120)]
    block = [payment(bill, 5, index=index) for index, bill in enumerate(bills)]

    recorded = await watcher.seen(0, 10, block)

    assert (recorded.transfers, recorded.invoices) == (120, 120)
    assert {await shop.status(bill) for bill in bills} == {Status.PAYMENT_DETECTED}


async def test_chains_tell_the_same_invoice_at_the_same_time(shop: Shop, desk: Desk) -> None:
    watchers = [await Watcher(desk, key).start() for key in CHAINS]
    tokens = [chain.accepted[1] for chain in CHAINS.values()]
    bills = [await shop.bill(assets=tuple(tokens), policy=Policy()) for _ in range(5)]

    await asyncio.gather(
        *(
            watcher.final(
                0,
                10,
                *(
                    replace(payment(bill, 5, index=index), contract=token.contract)
                    for index, bill in enumerate(bills)
                ),
            )
            for watcher, token in zip(watchers, tokens, strict=True)
        )
    )

    for bill in bills:
        final = [asset.final_units for asset in (await shop.look(bill)).tally.assets]
        assert final == [DUE, DUE, DUE]


async def test_an_invoice_that_somebody_holds_does_not_hold_up_the_others(
    shop: Shop, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "INVOICES_PER_TRANSACTION", 1)
    bills = [await shop.bill() for _ in range(4)]
    held, *others = bills
    async with shop.desk.database.transaction() as tx:
        await invoices.lock(tx, held.org_id, held.invoice_id)
        paid = [payment(bill, 5, tx=str(place)) for place, bill in enumerate(bills)]
        telling = asyncio.create_task(watcher.seen(0, 10, paid))
        async with patiently("the others to be told"):
            while not all([await shop.transfers(one) for one in others]):
                await asyncio.sleep(0.01)
        assert await shop.transfers(held) == []

    assert (await telling).invoices == 4
    assert [await shop.status(bill) for bill in bills] == [Status.PAYMENT_DETECTED] * 4


async def test_who_is_told_in_one_transaction_need_not_wait_for_the_next(
    shop: Shop, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "INVOICES_PER_TRANSACTION", 1)
    bills = [await shop.bill() for _ in range(3)]
    paid = [payment(bill, 5, tx=str(place)) for place, bill in enumerate(bills)]
    await watcher.seen(0, 10, paid)
    told: list[int] = []
    lease, hashes = watcher.lease, {one.block_hash for one in paid}

    async def note(of_batch: Sequence[Told]) -> None:
        told.extend(one.invoice.number for one in of_batch)

    await watching.record_safe(shop.desk, lease, 6, hashes, relay=watching.Relay(written=note))

    assert sorted(told) == sorted(bill.number for bill in bills), "after each of them"
    assert [await shop.status(bill) for bill in bills] == [Status.SCREENING] * 3
