"""Proof beyond the log: the books at a block, and gifts that are explained."""

import pytest

from counterfoil.books import ledger
from counterfoil.core.errors import Invalid, NotFound
from counterfoil.core.invoice import Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.db.rows import all_values, execute
from counterfoil.desk import commands, landing, moving, proving, settings
from counterfoil.desk.desk import Desk
from counterfoil.desk.landing import Landed, LandedItem
from support.fake_clock import FakeClock
from support.invoices import DUE, USDT
from support.shop import desk_on
from support.till import TERMS, Till, fresh_hash, quick_sign

REVIEWER = Actor("user_reviewer", 1, frozenset({Permission.APPROVE}))


@pytest.fixture
def desk(database: Database) -> Desk:
    return desk_on(database, FakeClock())


@pytest.fixture
async def till(desk: Desk) -> Till:
    return await (await Till(desk).open()).ready()


async def gift(till: Till, address: str, units: int, block: int) -> None:
    """A stranger's transfer to an address that no invoice had taken yet."""
    async with till.desk.database.transaction() as tx:
        await execute(
            tx,
            """
            INSERT INTO ingest.unassigned_transfer (chain, tx_hash, log_index, org_id, number,
                address, reason, contract, from_address, amount_units, block_number, block_hash,
                block_at, first_seen_at, depth)
            VALUES ('arb', %(tx_hash)s, 0, 1, 1, %(address)s, 'unassigned', %(contract)s, '0x',
                %(units)s, %(block)s, '0x', %(at)s, %(at)s, 3)
            """,
            {
                "tx_hash": fresh_hash(),
                "address": address,
                "contract": USDT.contract,
                "units": units,
                "block": block,
                "at": till.desk.clock.now(),
            },
        )


async def at(till: Till, address: str, block: int) -> int:
    """What the books say an address held of USDT after a block."""
    (place,) = [p for p in await proving.places(till.desk, "arb", block) if p.address == address]
    return place.units.get(USDT.contract, 0)


async def test_the_books_can_be_read_as_they_stood_at_any_block(till: Till) -> None:
    bill = await till.bill()
    await till.receive(bill, DUE, block=50)
    await till.receive(bill, 7, block=60)
    assert [await at(till, bill.deposit_address, block) for block in (49, 50, 59, 60)] == [
        0,
        DUE,
        DUE,
        DUE + 7,
    ]


async def test_a_gift_to_an_address_in_stock_is_explained(till: Till) -> None:
    (address,) = await till.stock(1)
    await gift(till, address, 5, block=70)
    assert await at(till, address, 69) == 0
    assert await at(till, address, 70) == 5


async def test_a_gift_that_a_sweep_took_along_lies_in_the_pool_from_then_on(till: Till) -> None:
    bill = await till.signed_bill()
    await gift(till, bill.deposit_address, 5, block=70)
    await moving.reserve(till.desk, await till.batch(), TERMS, quick_sign)
    (open_tx,) = await moving.open_txs(till.desk, "arb")
    landed = LandedItem(open_tx.items[0].move.move_id, DUE + 5)
    told = Landed("arb", open_tx.tx.tx_hash, 90, ok=True, fee_wei=1, items=(landed,))
    await landing.settle(till.desk, told)

    pool = (await till.org()).pool_address
    assert [await at(till, bill.deposit_address, block) for block in (69, 70, 89, 90)] == [
        DUE,
        DUE + 5,
        DUE + 5,
        0,
    ]
    assert [await at(till, pool, block) for block in (89, 90)] == [0, DUE + 5]


async def test_an_edit_underneath_an_approval_is_found(till: Till) -> None:
    bill = await till.bill(status=Status.APPROVAL_PENDING)
    await commands.approve(till.desk, bill.invoice_id, REVIEWER)
    assert (await proving.verify_audit(till.desk)).breaks == ()
    async with till.desk.database.transaction() as tx:
        await execute(
            tx,
            """
            UPDATE invoice SET detail = jsonb_set(detail, '{payout_to,evm}', '"0xthief"')
             WHERE invoice_id = %(invoice_id)s
            """,
            {"invoice_id": bill.invoice_id},
        )
    (broken,) = (await proving.verify_audit(till.desk)).breaks
    assert (broken.sequence, broken.finding) == (2, "the invoice is not what was approved here")


class TestSettings:
    async def test_a_new_rule_is_kept_and_told(self, till: Till) -> None:
        policy = await settings.change_policy(till.desk, 1, {"maker_is_not_checker": "false"})
        assert not policy.maker_is_not_checker
        assert not (await settings.change_policy(till.desk, 1, {})).maker_is_not_checker

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("makers_are_checkers", "true"),
            ("maker_is_not_checker", "perhaps"),
            ("underpay_ratio", "1.5"),
            ("underpay_ratio", "NaN"),
            ("overpay_ratio", "0.9"),
            ("dust_below", "2"),
            ("grace_days", "-1"),
            ("sign_off_required", "false"),
        ],
    )
    async def test_a_wrong_rule_is_refused_by_name(self, till: Till, name: str, value: str) -> None:
        with pytest.raises(Invalid):
            await settings.change_policy(till.desk, 1, {name: value})
        assert (await settings.change_policy(till.desk, 1, {})).maker_is_not_checker

    async def test_an_unknown_organisation_has_no_rules(self, till: Till) -> None:
        with pytest.raises(NotFound):
            await settings.change_policy(till.desk, 99, {})


async def test_a_balance_is_summed_in_an_index_however_long_its_history(till: Till) -> None:
    bill = await till.bill()
    for units in (DUE, 7):
        await till.receive(bill, units)
    where = {"org_id": 1, "account": "deposit", "chain": "arb", "contract": USDT.contract}
    async with till.desk.database.looking() as connection:
        # So that nothing has to be looked up, as with a history that is long.
        await connection.execute("VACUUM (ANALYZE) posting")
    async with till.desk.database.transaction() as tx:
        assert await ledger.balance(tx, 1, "deposit", "arb", USDT.contract) == DUE + 7
        assert await ledger.balance(tx, 1, "outside:payer", "arb", USDT.contract) == -DUE - 7
        of_bill = {"invoice_id": bill.invoice_id}
        assert await ledger.balance(tx, 1, "deposit", "arb", USDT.contract, **of_bill) == DUE + 7
        await execute(tx, "SET LOCAL enable_seqscan = off", {})
        await execute(tx, "SET LOCAL enable_bitmapscan = off", {})
        plan = await all_values(tx, str, "EXPLAIN " + ledger.BALANCE, where)
    assert sum("Index Only Scan using posting_" in line for line in plan) == 2
