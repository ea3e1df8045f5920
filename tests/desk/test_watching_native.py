"""Native coin as the watcher finds it: balances first, then whatever explains them."""

from collections.abc import Collection, Sequence
from contextlib import suppress

import pytest

from counterfoil.books.transfers import NOBODY
from counterfoil.chains.port import At, Block, ChainMoved, ChainUnreachable, Transfer
from counterfoil.core.assets import CHAINS, TOP_LEVEL
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database
from counterfoil.db.rows import execute
from counterfoil.workers.native import NativeFound, NativeRange, NativeScan
from counterfoil.workers.watch import WatchLimits
from support.fake_chain import FakeChain, Moved
from support.fake_clock import FakeClock
from support.invoices import CUSTOMER, DUE, ETH, STRANGER, USDT
from support.shop import POOL, Shop, desk_on
from support.till import ETHER
from support.tower import Tower, left_behind

SAFE_WALLET = "0x" + "5afe" * 10


async def ether_bill(tower: Tower, status: Status = Status.AWAITING_PAYMENT) -> Invoice:
    return await tower.shop.bill(assets=(ETH,), due_units=ETHER, status=status)


def coin(to: Invoice, wei: int = ETHER, sender: str = CUSTOMER, **how: str) -> Moved:
    return Moved("", sender, to.deposit_address, wei, **how)  # type: ignore[arg-type]  # - how it came, by name


async def settle(tower: Tower) -> None:
    tower.mine(10)
    await tower.watch()


async def paid(tower: Tower, bill: Invoice) -> list[tuple[int, int, str, Depth]]:
    """What stands to an invoice: place in its transaction, wei, payer, depth."""
    rows = await tower.shop.transfers(bill)
    return [(r.log_index, r.amount_units, r.from_address, r.depth) for r in rows]


async def test_a_plain_payment_goes_from_seen_to_safe_to_final(tower: Tower) -> None:
    shop, bill = tower.shop, await ether_bill(tower)
    tower.mine(3)
    await tower.watch()
    tx = tower.chain.include(coin(bill))
    depths = []
    for _ in range(5):
        tower.mine()
        await tower.watch()
        depths += [transfer.depth for transfer in await shop.transfers(bill)]

    assert depths == [Depth.SEEN, Depth.SEEN, Depth.SAFE, Depth.SAFE, Depth.FINAL]
    (row,) = await shop.transfers(bill)
    assert (row.tx_hash, row.log_index, row.contract) == (tx.tx_hash, TOP_LEVEL, "")
    assert await shop.deposited(bill, ETH) == ETHER
    assert await shop.status(bill) is Status.SCREENING
    assert (await shop.look(bill)).tally.payers == (CUSTOMER,)


async def test_a_payment_by_a_contract_is_told_by_its_trace(tower: Tower) -> None:
    bill = await ether_bill(tower)
    both = (coin(bill, 1, SAFE_WALLET, how="call"), coin(bill, 2, SAFE_WALLET, how="call"))
    tx = tower.chain.include(*both)
    await settle(tower)

    final = Depth.FINAL
    assert await paid(tower, bill) == [(-3, 2, SAFE_WALLET, final), (-2, 1, SAFE_WALLET, final)]
    assert {row.tx_hash for row in await tower.shop.transfers(bill)} == {tx.tx_hash}
    assert await tower.shop.deposited(bill, ETH) == 3


async def test_without_traces_the_amount_is_known_and_the_transaction_is_not(tower: Tower) -> None:
    bill = await ether_bill(tower)
    tower.chain.faults.no_traces = True
    tower.chain.include(coin(bill, how="call"), coin(bill, 5))
    tower.mine()
    await settle(tower)

    known, unknown = sorted(await tower.shop.transfers(bill), key=lambda row: row.amount_units)
    assert (known.amount_units, known.from_address, known.is_unattributed) == (5, CUSTOMER, False)
    assert (unknown.amount_units, unknown.from_address) == (ETHER, NOBODY)
    assert unknown.is_unattributed
    assert unknown.tx_hash == f"internal:{unknown.block_number}:{bill.deposit_address}"
    assert await tower.shop.deposited(bill, ETH) == ETHER + 5


async def test_coin_that_was_forced_on_an_address_counts_by_its_balance(tower: Tower) -> None:
    bill = await ether_bill(tower)
    tower.chain.include(coin(bill, how="forced"))
    await settle(tower)
    ((_, wei, payer, depth),) = await paid(tower, bill)
    assert (wei, payer, depth) == (ETHER, NOBODY, Depth.FINAL)


async def test_what_a_trace_explains_later_is_not_counted_twice(tower: Tower) -> None:
    bill = await ether_bill(tower)
    tower.chain.faults.no_traces = True
    tx = tower.chain.include(coin(bill, sender=SAFE_WALLET, how="call"))
    tower.mine()
    await tower.watch()
    assert (await tower.shop.look(bill)).tally.payers == (NOBODY,)

    tower.chain.faults.no_traces = False
    await settle(tower)

    rows = {row.tx_hash: row.depth for row in await tower.shop.transfers(bill)}
    assert rows.pop(tx.tx_hash) is Depth.FINAL
    assert list(rows.values()) == [Depth.ORPHANED]
    assert await tower.shop.deposited(bill, ETH) == ETHER
    assert (await tower.shop.look(bill)).tally.payers == (SAFE_WALLET,)


async def test_nothing_that_was_undone_is_ever_credited(tower: Tower) -> None:
    bill = await ether_bill(tower)
    tower.chain.include(coin(bill), reverts=True)
    await settle(tower)
    assert await paid(tower, bill) == []
    assert await tower.shop.status(bill) is Status.AWAITING_PAYMENT


async def test_an_outage_is_searched_down_to_the_blocks_that_paid(tower: Tower) -> None:
    first, second = await ether_bill(tower), await ether_bill(tower)
    blocks = []
    for bill, gap in ((first, 1), (second, 700), (first, 1), (first, 900)):
        tower.chain.mine(gap)
        tower.chain.include(coin(bill, 10**15))
        blocks.append(tower.chain.mine().number)
    tower.chain.mine(300)

    await tower.watcher.stop()
    await tower.watch(tower.another(WatchLimits(widest_range=400)))

    rows = [*await tower.shop.transfers(first), *await tower.shop.transfers(second)]
    assert sorted(row.block_number for row in rows) == blocks
    assert not any(row.is_unattributed for row in rows)
    assert await tower.shop.deposited(first, ETH) == 3 * 10**15


async def test_a_reorg_takes_a_payment_away_and_brings_it_elsewhere(tower: Tower) -> None:
    bill = await ether_bill(tower)
    tower.mine(5)
    await tower.watch()
    tower.chain.faults.no_traces = True
    tower.chain.include(coin(bill, how="call"))
    tower.mine(2)
    await tower.watch()
    (before,) = await tower.shop.transfers(bill)

    dropped = tower.chain.reorg(2, forget=True)
    tower.mine(2)
    await tower.watch()
    assert await tower.shop.status(bill) is Status.AWAITING_PAYMENT

    tower.chain.pool = [*dropped]
    await settle(tower)
    live = [r for r in await tower.shop.transfers(bill) if r.depth is not Depth.ORPHANED]
    assert [(r.amount_units, r.depth) for r in live] == [(ETHER, Depth.FINAL)]
    assert live[0].block_number > before.block_number
    assert await tower.shop.deposited(bill, ETH) == ETHER


async def test_two_payments_in_one_block_from_different_people(tower: Tower) -> None:
    bill = await ether_bill(tower)
    tower.chain.include(coin(bill, 3))
    tower.chain.include(coin(bill, 4, STRANGER))
    await settle(tower)
    assert {(wei, payer) for _, wei, payer, _ in await paid(tower, bill)} == {
        (3, CUSTOMER),
        (4, STRANGER),
    }


async def test_coin_on_another_chain_than_asked_is_astray_and_not_lost(
    database: Database,
) -> None:
    clock = FakeClock()
    elsewhere = Tower(desk_on(database, clock), clock, FakeChain(clock, key="base"))
    await elsewhere.shop.open()
    await elsewhere.watch()
    bill = await ether_bill(elsewhere)
    elsewhere.chain.include(coin(bill))
    await settle(elsewhere)
    (row,) = await elsewhere.shop.transfers(bill)
    assert (row.chain, row.amount_units) == ("base", ETHER)
    assert (await elsewhere.shop.look(bill)).tally.stray


async def test_only_invoices_that_ask_for_coin_are_asked_about(tower: Tower) -> None:
    bill = await tower.shop.bill()
    tower.chain.include(coin(bill))
    await settle(tower)
    assert await paid(tower, bill) == []


async def test_what_came_before_the_invoice_asked_for_coin_is_found_once_it_does(
    tower: Tower,
) -> None:
    bill = await tower.shop.bill()
    tower.chain.include(coin(bill))
    await settle(tower)
    async with tower.desk.database.transaction() as tx:
        await execute(tx, "UPDATE payment_request SET contract = ''", {})
    await settle(tower)
    assert [wei for _, wei, _, _ in await paid(tower, bill)] == [ETHER]


async def test_money_that_came_after_a_sweep_in_the_same_range_is_seen(tower: Tower) -> None:
    """The balance fell all in all, and still somebody paid."""
    bill = await ether_bill(tower)
    tower.chain.include(coin(bill))
    await settle(tower)
    swept(tower, bill, ETHER)
    await planned_sweep(tower.shop, bill)
    tower.mine()
    tower.chain.include(coin(bill, 10**15, STRANGER))
    tower.mine()
    await tower.watch()
    assert (await tower.shop.look(bill)).tally.assets[0].seen_units == ETHER + 10**15
    await settle(tower)
    await settle(tower)

    assert [wei for _, wei, _, _ in await paid(tower, bill)] == [ETHER, 10**15]
    assert await tower.shop.deposited(bill, ETH) == ETHER + 10**15

    tower.chain.include(coin(bill, 3 * 10**15))
    await settle(tower)
    assert await tower.shop.deposited(bill, ETH) == ETHER + 4 * 10**15


def swept(tower: Tower, bill: Invoice, wei: int) -> None:
    """Let the shop's factory empty the invoice's address in the next block."""
    tower.chain.sweep_coin(f"0xfac{1:037x}", bill.deposit_address, POOL, wei)


async def planned_sweep(shop: Shop, bill: Invoice) -> None:
    async with shop.desk.database.transaction() as tx:
        await execute(
            tx,
            """
            INSERT INTO move (org_id, move_id, purpose, source_id, leg, invoice_id, chain, contract,
                destination, amount_units, status, created_at, updated_at)
            VALUES (1, %(id)s, 'sweep', 'x', 0, %(id)s, 'arb', '', '', 1, 'signed', %(at)s, %(at)s)
            """,
            {"id": bill.invoice_id, "at": shop.desk.clock.now()},
        )


@pytest.mark.parametrize("final_lag", [50, 4])
async def test_a_sweep_on_a_branch_that_leads_nowhere_adds_nothing_to_what_came(
    tower: Tower, monkeypatch: pytest.MonkeyPatch, final_lag: int
) -> None:
    """Balances are asked by hash; a node that stayed behind tells of a sweep that never was."""
    bill = await ether_bill(tower)
    tower.chain.include(coin(bill))
    await settle(tower)
    tower.chain.final_lag = final_lag
    await planned_sweep(tower.shop, bill)
    swept(tower, bill, ETHER)
    tower.mine()
    behind = left_behind(tower.chain)
    tower.chain.reorg(1, forget=True)
    behind.mine(20)
    with monkeypatch.context() as patched:
        told = FakeChain.native_sweeps
        patched.setattr(FakeChain, "native_sweeps", lambda _, *a, **o: told(behind, *a, **o))
        for _ in range(12):
            tower.mine()
            await tower.watch()
    assert [wei for _, wei, _, _ in await paid(tower, bill)] == [ETHER]

    await settle(tower)
    assert [wei for _, wei, _, _ in await paid(tower, bill)] == [ETHER]
    assert await tower.shop.deposited(bill, ETH) == ETHER
    assert (await tower.position()).head_number == tower.chain.head.number


async def test_where_coin_came_is_searched_for_in_one_chain(
    tower: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node left on another branch would have it come where no transaction brought it."""
    bill = await ether_bill(tower)
    tower.mine(4)
    await tower.watch()
    behind = left_behind(tower.chain)
    tx = tower.chain.include(coin(bill))
    behind.pool = []
    behind.mine(10)
    tower.mine(20)
    with monkeypatch.context() as patched:
        told, together, scan = FakeChain.block, FakeChain.headers, NativeScan.scan
        held, bodies = FakeChain.native_balances, FakeChain.native_payments

        async def block(chain: FakeChain, at: At) -> Block | None:
            return await told(behind, at) or await told(chain, at)

        async def balances(chain: FakeChain, some: Sequence[str], block_hash: str) -> list[int]:
            try:
                return await held(chain, some, block_hash)
            except ChainUnreachable:
                return await held(behind, some, block_hash)

        async def payments(chain: FakeChain, of: Block, to: Collection[str]) -> list[Transfer]:
            node = chain if await told(chain, of.number) == of else behind
            return await bodies(node, of, to)

        async def headers(
            _: FakeChain, numbers: Collection[int], *, below: Block
        ) -> dict[int, Block | None]:
            return await together(behind, numbers, below=below)

        async def scanned(looking: NativeScan, blocks: NativeRange) -> NativeFound:
            with monkeypatch.context() as torn:
                torn.setattr(FakeChain, "block", block)
                torn.setattr(FakeChain, "headers", headers)
                return await scan(looking, blocks)

        patched.setattr(FakeChain, "native_balances", balances)
        patched.setattr(FakeChain, "native_payments", payments)
        patched.setattr(NativeScan, "scan", scanned)
        with suppress(ChainMoved):
            await tower.watch()
    await tower.watch()
    (row,) = await tower.shop.transfers(bill)
    assert (row.tx_hash, row.amount_units) == (tx.tx_hash, ETHER)


async def test_a_final_pass_that_answers_with_nothing_loses_no_plain_payment(
    tower: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill = await ether_bill(tower)
    tower.mine(4)
    await tower.watch()
    tower.chain.include(coin(bill))
    tower.mine()
    await tower.watch()

    monkeypatch.setattr(FakeChain, "native_balances", lambda _self, *asked: _nothing(*asked))
    await settle(tower)
    assert await tower.shop.deposited(bill, ETH) == ETHER


async def test_a_token_payment_beside_it_is_unharmed(tower: Tower) -> None:
    bill = await tower.shop.bill(assets=(USDT, ETH))
    tower.chain.include(coin(bill, 5), Moved(USDT.contract, CUSTOMER, bill.deposit_address, DUE))
    await settle(tower)
    assert await tower.shop.deposited(bill, USDT) == DUE
    assert await tower.shop.deposited(bill, ETH) == 5
    assert CHAINS["arb"].native == ETH


class BlindChain(FakeChain):
    """A node that sees nothing anywhere."""

    async def native_balances(self, addresses: Sequence[str], block_hash: str) -> list[int]:
        return [0 for _ in await super().native_balances(addresses, block_hash)]


class BoastfulChain(FakeChain):
    """A node that sees an ether more than there is at every address."""

    async def native_balances(self, addresses: Sequence[str], block_hash: str) -> list[int]:
        return [wei + ETHER for wei in await super().native_balances(addresses, block_hash)]


async def test_one_node_alone_makes_nobody_paid(
    tower: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill = await ether_bill(tower)
    boastful = BoastfulChain(tower.clock, _chain=tower.chain._chain)  # noqa: SLF001 - the same blocks
    monkeypatch.setattr(FakeChain, "second_view", property(lambda _self: boastful))
    tower.chain.include(coin(bill, 10**15))
    await settle(tower)
    assert await tower.shop.deposited(bill, ETH) == 10**15


async def test_what_a_node_was_silent_about_is_found_once_both_see_it(
    tower: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill = await ether_bill(tower)
    tower.chain.include(coin(bill, 10**15, how="forced"))
    blind = BlindChain(tower.clock, _chain=tower.chain._chain)  # noqa: SLF001 - the same blocks
    with monkeypatch.context() as for_now:
        for_now.setattr(FakeChain, "second_view", property(lambda _self: blind))
        await settle(tower)
    assert await tower.shop.deposited(bill, ETH) == 0
    await settle(tower)
    assert await tower.shop.deposited(bill, ETH) == 10**15


async def _nothing(addresses: Sequence[str], _block_hash: str) -> list[int]:
    return [0 for _ in addresses]


async def test_coin_from_ourselves_is_nobodys_payment_and_told_once(tower: Tower) -> None:
    bill = await ether_bill(tower)
    tower.chain.include(coin(bill, 10**15, POOL))
    await settle(tower)
    await settle(tower)
    tower.chain.include(coin(bill, 5))
    await settle(tower)
    assert [(wei, payer) for _, wei, payer, _ in await paid(tower, bill)] == [(5, CUSTOMER)]
