"""Many payments screened at once: each goes where it leads, and one's trouble stays its own."""

import asyncio
from decimal import Decimal

import pytest

from counterfoil.core.invoice import Status
from counterfoil.core.risk_facts import AddressRisk
from counterfoil.db.connection import Connection
from counterfoil.db.pool import Database
from counterfoil.db.rows import execute, one_value
from counterfoil.desk import screening, verdicts
from counterfoil.providers.screening.port import AddressQuery
from counterfoil.workers.examine import Examiner
from counterfoil.workers.screen import Screener
from support.bureau import LISTED, Bureau, opened
from support.fake_screening import FakeScreener
from support.invoices import STRANGER
from support.patience import patiently


@pytest.fixture
async def bureau(database: Database) -> Bureau:
    return await opened(database)


def clean(bureau: Bureau) -> screening.Finding:
    return screening.Finding(
        bureau.desk.ids.new(), "clear", sanctioned=False, total=Decimal(0), scores={}, record={}
    )


async def test_clean_and_listed_payments_part_ways_in_one_go(bureau: Bureau) -> None:
    bills = [await bureau.office.issues(number) for number in range(5)]
    for bill in bills:
        payer = LISTED if bill is bills[2] else STRANGER
        await bureau.office.is_paid(bill, payer=payer)

    assert await bureau.screener.step() == 5

    for bill in bills:
        held = bill is bills[2]
        wanted = Status.COMPLIANCE_HOLD if held else Status.SIGN_PENDING
        assert (await bureau.office.invoice(bill)).status is wanted
        assert (await bureau.run(bill)).decision == ("aml_hold" if held else "clear")
    assert await bureau.screener.step() == 0


async def test_however_many_are_concluded_in_as_many_trips(bureau: Bureau) -> None:
    async def trips(numbers: range) -> int:
        for number in numbers:
            await bureau.office.is_paid(await bureau.office.issues(number))
        claims = await screening.claim(bureau.desk, limit=len(numbers), lease_seconds=60)
        cases = await screening.cases_of(bureau.desk, claims)
        async with bureau.desk.database.transaction() as tx:
            found: list[verdicts.Found] = [(case, clean(bureau)) for case in cases]
            assert all(await verdicts.keep(bureau.desk, found, tx))
            assert isinstance(tx, Connection)
            return tx.trips

    assert await trips(range(2)) == await trips(range(2, 11))


async def test_whoever_lost_the_lease_on_one_still_concludes_the_others(bureau: Bureau) -> None:
    bills = [await bureau.office.issues(number) for number in range(3)]
    for bill in bills:
        await bureau.office.is_paid(bill)
    claims = await screening.claim(bureau.desk, limit=3, lease_seconds=60)
    cases = await screening.cases_of(bureau.desk, claims)
    assert await screening.give_back(bureau.desk, claims[1], "somebody else's now")

    outcomes = await verdicts.conclude_all(bureau.desk, [(c, clean(bureau)) for c in cases])

    assert outcomes == [True, False, True]
    lost = claims[1].invoice_id
    for bill in bills:
        wanted = Status.SCREENING if bill.invoice_id == lost else Status.SIGN_PENDING
        assert (await bureau.office.invoice(bill)).status is wanted


async def test_an_invoice_that_cannot_be_read_comes_back_and_stops_no_other(
    bureau: Bureau,
) -> None:
    bills = [await bureau.office.issues(number) for number in range(3)]
    for bill in bills:
        await bureau.office.is_paid(bill)
    broken = {"org_id": bills[1].org_id, "id": bills[1].invoice_id}
    async with bureau.desk.database.transaction() as tx:
        query = "UPDATE invoice SET detail = '{}' WHERE org_id = %(org_id)s AND invoice_id = %(id)s"
        await execute(tx, query, broken)

    assert await bureau.screener.step() == 3

    for bill in (bills[0], bills[2]):
        assert (await bureau.office.invoice(bill)).status is Status.SIGN_PENDING
    async with bureau.desk.database.reading() as tx:
        query = (
            "SELECT last_error FROM effect WHERE org_id = %(org_id)s AND invoice_id = %(id)s"
            " AND done_at IS NULL AND lease_token IS NULL"
        )
        assert "ValidationError" in (await one_value(tx, str, query, broken) or "")


async def test_a_provider_that_is_slow_about_one_payer_holds_up_nobody_else(
    bureau: Bureau,
) -> None:
    answers = asyncio.Event()

    class Slow(FakeScreener):
        async def screen_address(self, query: AddressQuery) -> AddressRisk:
            if query.address == STRANGER:
                await answers.wait()
            return await super().screen_address(query)

    screener = Screener(
        bureau.desk, Examiner(bureau.desk, [Slow(bureau.clock)], timeout_seconds=30)
    )
    slow, *quick = [await bureau.office.issues(number) for number in range(3)]
    await bureau.office.is_paid(slow, payer=STRANGER)
    for bill in quick:
        await bureau.office.is_paid(bill)

    step = asyncio.create_task(screener.step())
    async with patiently("answers about the quick ones"):
        while any([await is_screening(bureau, bill.invoice_id) for bill in quick]):
            await asyncio.sleep(0.02)
    assert await is_screening(bureau, slow.invoice_id)
    answers.set()
    assert await step == 3
    assert not await is_screening(bureau, slow.invoice_id)


async def is_screening(bureau: Bureau, invoice_id: object) -> bool:
    async with bureau.desk.database.looking() as tx:
        query = "SELECT status FROM invoice WHERE invoice_id = %(id)s"
        return await one_value(tx, str, query, {"id": invoice_id}) == "screening"
