"""Money that is left where an invoice has ended: found, the most first, until it went back."""

import asyncio
import os
from datetime import timedelta
from typing import LiteralString

from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner

from counterfoil.books import invoices
from counterfoil.cli import cli
from counterfoil.core import ids
from counterfoil.core.assets import CHAINS
from counterfoil.core.events import ApproveRefund, OrderRefund, WithdrawRefund
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.money import Asset, Money
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.rows import execute
from counterfoil.desk import after_end, landing, moving, telling
from counterfoil.desk.act import act
from counterfoil.desk.landing import Landed, LandedItem
from counterfoil.desk.tidying import tidy
from support.fake_clock import FakeClock
from support.invoices import CHECKER, DUE, SIGNER, STRANGER, USDT
from support.life import surplus_to
from support.till import TERMS, Till, quick_sign

ETH = CHAINS["arb"].native
DOLLAR = 10**6


async def left(till: Till) -> list[tuple[int, list[Money]]]:
    """The numbers of the invoices at which something is left, in order, with what it is."""
    by = Actor(SIGNER, till.org_id, frozenset({Permission.READ}))
    found = await after_end.page(till.desk, by, number=1, size=50)
    assert found.total == len(found.invoices) == await after_end.count(till.desk, by)
    return [(invoice.number, list(money)) for invoice, money in found.invoices]


async def moves_on(till: Till, role: str) -> None:
    """What the wallet has to do is signed, and lands."""
    batch = await till.batch(role)  # type: ignore[arg-type]  # a role by its name
    await moving.reserve(till.desk, batch, TERMS, quick_sign)
    (flying,) = await moving.open_txs(till.desk, "arb")
    items = tuple(LandedItem(i.move.move_id, i.move.amount_units) for i in flying.items)
    await landing.settle(till.desk, Landed("arb", flying.tx.tx_hash, 90, True, 1, items))  # noqa: FBT003 - it went well


async def completed(till: Till, *, stays_in_pool: bool = False, units: int = DUE) -> Invoice:
    """An invoice that was paid, signed for and done with."""
    bill = await till.paid_bill() if units == DUE else await overpaid(till, units)
    if stays_in_pool:
        await ends_in_pool(till, bill)
    await till.sign_off(bill)
    await moves_on(till, "operator")
    if not stays_in_pool:
        await moves_on(till, "pool")
    assert await till.status(bill) is Status.COMPLETED
    return bill


async def overpaid(till: Till, units: int) -> Invoice:
    bill = await till.bill(status=Status.SIGN_PENDING)
    await till.receive(bill, units)
    await till.screened(bill)
    return bill


async def ends_in_pool(till: Till, bill: Invoice) -> None:
    """The merchant wants nothing paid out."""
    async with till.desk.database.transaction() as tx:
        await execute(
            tx,
            "UPDATE invoice SET detail = jsonb_set(detail, '{payout_to}', '{}')"
            " WHERE invoice_id = %(invoice_id)s",
            {"invoice_id": bill.invoice_id},
        )


async def comes(till: Till, bill: Invoice, units: int, asset: Asset = USDT) -> None:
    """More comes in, and the invoice is told of it as the watcher does."""
    before = await till.look(bill)
    await till.receive(bill, units, asset)
    async with till.desk.database.transaction() as tx:
        await invoices.lock(tx, bill.org_id, bill.invoice_id)
        await telling.tell(till.desk, tx, [before])


async def refund(till: Till, bill: Invoice, units: int, asset: Asset = USDT) -> None:
    """One person orders that so much goes back, another approves it."""
    at = till.desk.clock.now()
    amounts = (Money(units, asset),)
    order = OrderRefund(
        at=at, by=SIGNER, address=STRANGER, reason="x", attachment_file_ids=(), amounts=amounts
    )
    for event in (order, ApproveRefund(at=at, by=CHECKER)):
        by = Actor(event.by, till.org_id, frozenset({Permission.SIGN}))
        await act(till.desk, bill.org_id, bill.invoice_id, event, by)
        await till.screened(bill)


async def withdraw(till: Till, bill: Invoice) -> None:
    by = Actor(SIGNER, till.org_id, frozenset({Permission.SIGN}))
    event = WithdrawRefund(at=till.desk.clock.now(), by=SIGNER, reason="x")
    await act(till.desk, bill.org_id, bill.invoice_id, event, by)


async def test_what_is_worth_the_most_comes_first_whatever_its_token_counts_in(till: Till) -> None:
    little, coin, much, done = [await completed(till) for _ in range(4)]
    assert await left(till) == []
    await comes(till, little, 2 * DOLLAR)
    await comes(till, coin, 2 * 10**16, ETH)
    await comes(till, much, 5_000 * DOLLAR)
    assert await left(till) == [
        (much.number, [Money(5_000 * DOLLAR, USDT)]),
        (coin.number, [Money(2 * 10**16, ETH)]),
        (little.number, [Money(2 * DOLLAR, USDT)]),
    ]
    await comes(till, little, 9_000 * DOLLAR)
    assert [number for number, _ in await left(till)] == [little.number, much.number, coin.number]
    assert done.number not in dict(await left(till))


async def test_money_is_listed_until_it_went_back_and_again_when_its_refund_is_called_off(
    till: Till,
) -> None:
    bill = await completed(till)
    await comes(till, bill, 40 * DOLLAR)
    await refund(till, bill, 40 * DOLLAR)
    assert await left(till) == []
    await moves_on(till, "operator")
    await withdraw(till, bill)
    assert await left(till) == [(bill.number, [Money(40 * DOLLAR, USDT)])]
    await refund(till, bill, 40 * DOLLAR)
    await moves_on(till, "pool")
    assert await till.status(bill) is Status.COMPLETED
    assert await left(till) == []


async def test_what_a_refund_took_into_the_pool_and_did_not_send_is_listed(
    till: Till, clock: FakeClock
) -> None:
    bill = await completed(till, stays_in_pool=True)
    clock.advance(timedelta(minutes=1))
    await refund(till, bill, 30 * DOLLAR)
    await moves_on(till, "pool")
    assert await left(till) == [], "what was signed for and stays in the pool waits for nobody"
    await comes(till, bill, 400 * DOLLAR)
    assert await left(till) == [(bill.number, [Money(400 * DOLLAR, USDT)])]
    await refund(till, bill, DUE)
    await moves_on(till, "operator")
    await withdraw(till, bill)
    assert (await till.books()).deposit == 0
    assert await left(till) == [(bill.number, [Money(400 * DOLLAR, USDT)])]
    await comes(till, bill, 1 * DOLLAR)
    assert await left(till) == [(bill.number, [Money(401 * DOLLAR, USDT)])]
    await refund(till, bill, 150 * DOLLAR)
    await moves_on(till, "pool")
    assert await left(till) == [(bill.number, [Money(251 * DOLLAR, USDT)])]
    await refund(till, bill, 250 * DOLLAR)
    await moves_on(till, "pool")
    assert await left(till) == [(bill.number, [Money(1 * DOLLAR, USDT)])]


async def test_a_surplus_that_does_not_go_back_after_all_is_listed(
    till: Till, clock: FakeClock
) -> None:
    bill = await overpaid(till, DUE + 9 * DOLLAR)
    await ends_in_pool(till, bill)
    clock.advance(timedelta(minutes=1))
    by = Actor(SIGNER, till.org_id, frozenset({Permission.SIGN}))
    sign_off = surplus_to(STRANGER, at=clock.now())
    await act(till.desk, bill.org_id, bill.invoice_id, sign_off, by)
    await moves_on(till, "operator")
    assert await till.status(bill) is Status.PAYOUT_PROCESSING
    await withdraw(till, bill)
    assert await till.status(bill) is Status.COMPLETED
    assert await left(till) == [(bill.number, [Money(9 * DOLLAR, USDT)])]


async def test_what_an_upgrade_found_is_looked_at_before_it_is_listed(till: Till) -> None:
    bill, done = [await completed(till) for _ in range(2)]
    await till.receive(bill, 70 * DOLLAR)
    async with till.desk.database.transaction() as tx:
        await execute(
            tx,
            "INSERT INTO money_after_end (org_id, invoice_id) SELECT org_id, invoice_id"
            " FROM invoice",
            {},
        )
    assert await left(till) == []
    await tidy(till.desk)
    assert await left(till) == [(bill.number, [Money(70 * DOLLAR, USDT)])]
    assert await till.status(done) is Status.COMPLETED


async def by_hand(till: Till, statement: LiteralString, *bills: Invoice) -> None:
    """Somebody or a bug writes into the kept list."""
    async with till.desk.database.transaction() as tx:
        await execute(
            tx, statement, {"org_id": till.org_id, "ids": [bill.invoice_id for bill in bills]}
        )


async def run(database_url: str, *words: str) -> tuple[int, str]:
    """A command of the operator: its status and what it prints, with one space between words."""
    on = conninfo_to_dict(database_url)
    url = f"postgresql://{on['user']}:{on['password']}@{on['host']}:{on['port']}/{on['dbname']}"
    env = {**os.environ, "COUNTERFOIL_DATABASE_URL": url}
    done = await asyncio.to_thread(CliRunner().invoke, cli, words, env=env)
    assert isinstance(done.exception, SystemExit | None), repr(done.exception)
    return done.exit_code, " ".join(done.output.split())


async def test_a_kept_list_that_is_not_what_the_books_say_is_named_and_put_right(
    till: Till, database_url: str
) -> None:
    lost, stale, gone, unseen, right = [await completed(till) for _ in range(5)]
    for bill in (lost, stale, unseen, right):
        await comes(till, bill, 70 * DOLLAR)
    await comes(till, stale, 2 * 10**16, ETH)
    open_ = await till.bill()
    assert await after_end.differences(till.desk) == []
    assert (await run(database_url, "audit", "verify"))[0] == 0

    keep = (
        "INSERT INTO money_after_end SELECT %(org_id)s, unnest(%(ids)s::uuid[]), 9"
        " ON CONFLICT (org_id, invoice_id) DO UPDATE SET worth_dollars = "
    )
    await by_hand(till, "DELETE FROM money_after_end WHERE invoice_id = ANY(%(ids)s)", lost)
    await by_hand(till, keep + "70", stale, gone, open_)
    await by_hand(till, keep + "NULL", unseen)
    money = "what is left there, 70.00 USDT,"
    truth = {
        lost.invoice_id: f"{money} is shown to nobody",
        stale.invoice_id: "what is left there, 70.00 USDT and 0.02 ETH, is worth 90 dollars, and 70"
        " are kept",
        gone.invoice_id: "it is listed, and nothing is left there",
        unseen.invoice_id: f"{money} is not shown before the work process has weighed it",
        open_.invoice_id: "it is listed, and nothing is left there",
    }

    found = await after_end.differences(till.desk)
    assert {one.invoice_id: one.finding for one in found} == truth
    status, said = await run(database_url, "audit", "verify")
    assert status == 1
    for invoice_id, sentence in truth.items():
        named = f"organisation {till.org_id}, {ids.public('inv', invoice_id)}: {sentence}"
        assert named in said
    assert right.invoice_id.hex not in said
    assert "counterfoil audit relist puts it right" in said

    status, said = await run(database_url, "audit", "relist")
    assert (status, "5 put right" in said) == (0, True)
    assert [number for number, _ in await left(till)] == [
        bill.number for bill in (stale, *sorted((lost, unseen, right), key=lambda b: b.invoice_id))
    ]
    assert (await run(database_url, "audit", "verify"))[0] == 0
    assert (await run(database_url, "audit", "relist"))[1].startswith("0 put right")
