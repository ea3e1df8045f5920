"""Reports to authorities: an officer writes down that one went, and nobody else sees it."""

import asyncio
from datetime import date

import pytest

from counterfoil.books import reports
from counterfoil.core.errors import Forbidden, Invalid, NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.desk import proving, reporting
from support.bureau import Bureau, history, looked_at, officer, opened
from support.invoices import OFFICERS


@pytest.fixture
async def bureau(database: Database) -> Bureau:
    return await opened(database)


class TestReports:
    async def test_it_changes_nothing_that_others_see(self, bureau: Bureau) -> None:
        bill = await looked_at(bureau)
        before, told = await bureau.office.invoice(bill), await history(bureau, bill)
        for _ in range(2):
            await reporting.file_report(
                bureau.desk,
                bill.invoice_id,
                officer(),
                reference=" MJIB 114-7 ",
                reported_on=date(2026, 6, 22),
            )

        assert await bureau.office.invoice(bill) == before
        assert await history(bureau, bill) == told
        (report,) = await reporting.of_invoice(bureau.desk, bill.invoice_id, officer(1))
        assert (report.reference, report.reported_on) == ("MJIB 114-7", date(2026, 6, 22))
        assert report.by == OFFICERS[0]
        nobody = Actor("user_ada", 1, frozenset(Permission) - {Permission.REVIEW})
        with pytest.raises(Forbidden):
            await reporting.of_invoice(bureau.desk, bill.invoice_id, nobody)

    async def test_organisations_are_apart_and_at_once_is_one_after_the_other(
        self, bureau: Bureau
    ) -> None:
        await bureau.office.opens(2)
        bill = await looked_at(bureau)

        async def files_one(number: int, by: Actor) -> None:
            await reporting.file_report(
                bureau.desk,
                bill.invoice_id,
                by,
                reference=f"MJIB {number}",
                reported_on=date(2026, 6, 22),
            )

        await asyncio.gather(*(files_one(n, officer(n % 2)) for n in range(6)))
        with pytest.raises(NotFound):
            await files_one(9, officer(0, 2))
        async with bureau.desk.database.reading() as tx:
            chain = await reports.of_org(tx, 1)
            assert await reports.of_org(tx, 2) == []
        assert [entry.sequence for entry, _ in chain] == [1, 2, 3, 4, 5, 6]
        assert (await proving.verify_audit(bureau.desk)).holds

    @pytest.mark.parametrize(
        "by_hand",
        [
            "UPDATE compliance_report SET reference = 'MJIB 2'",
            "UPDATE compliance_report SET reported_on = '2026-01-01'",
            "DELETE FROM compliance_report",
        ],
    )
    async def test_one_that_was_changed_by_hand_is_found(
        self, bureau: Bureau, by_hand: str
    ) -> None:
        bill = await looked_at(bureau)
        await reporting.file_report(
            bureau.desk,
            bill.invoice_id,
            officer(),
            reference="MJIB 1",
            reported_on=date(2026, 6, 22),
        )
        async with bureau.desk.database.transaction() as tx:
            await tx.execute("GRANT ALL ON compliance_report TO CURRENT_USER")
            await tx.execute(by_hand)
        assert not (await proving.verify_audit(bureau.desk)).holds

    async def test_a_day_to_come_and_an_empty_reference_are_refused(self, bureau: Bureau) -> None:
        bill = await looked_at(bureau)
        with pytest.raises(Invalid) as refused:
            await reporting.file_report(
                bureau.desk, bill.invoice_id, officer(), reference=" ", reported_on=date(2030, 1, 1)
            )
        assert set(refused.value.fields) == {"reference", "reported_on"}
