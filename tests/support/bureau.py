"""An office with a compliance department: lists, rates, and providers that answer or do not."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from counterfoil.books import screening as book
from counterfoil.core.invoice import Invoice
from counterfoil.core.risk_facts import Severity
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.desk import queries
from counterfoil.desk.rates import Snapshot, store
from counterfoil.providers.screening.list_content import ListImport
from counterfoil.providers.screening.lists import read_csv
from counterfoil.workers.examine import Examiner
from counterfoil.workers.lists import import_list
from counterfoil.workers.screen import Screener
from support.fake_clock import FakeClock
from support.fake_screening import FakeScreener
from support.invoices import OFFICERS, STRANGER
from support.office import Office
from support.patience import patiently

LISTED = "0x098b716b8aaf21512996dc57eb0615e2383e2f96"


class Bureau:
    """Knows no list and no rate yet; its provider says LOW unless told otherwise."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.desk = office.desk
        self.clock = office.clock
        self.provider = FakeScreener(office.clock)
        self.examiner = Examiner(self.desk, [self.provider], timeout_seconds=0.2)
        self.screener = Screener(self.desk, self.examiner)

    async def lists(self, *addresses: str, override: bool = False) -> None:
        await import_list(self.desk, sdn(*addresses), "a test", override=override)

    async def knows_the_rate(self, value: str = "32.41", symbol: str = "USDT") -> None:
        now = self.clock.now()
        rate = Snapshot(symbol, "TWD", now, "manual", Decimal(value), {}, now)
        await store(self.desk, rate)

    async def screens(self, bill: Invoice) -> Invoice:
        async with patiently("a screener that rests"):
            while await self.screener.step():
                pass
        return await self.office.invoice(bill)

    async def screens_patiently(self, bill: Invoice) -> Invoice:
        """Let the screener ask again and again until its patience is over."""
        for _ in range(16):
            await self.screens(bill)
            self.clock.advance(timedelta(seconds=30))
        return await self.screens(bill)

    async def runs(self, bill: Invoice) -> list[book.ScreeningRun]:
        async with self.desk.database.reading() as tx:
            return await book.latest_of_invoices(tx, bill.org_id, [bill.invoice_id])

    async def run(self, bill: Invoice) -> book.ScreeningRun:
        (run,) = await self.runs(bill)
        return run


async def opened(database: Database) -> Bureau:
    """A bureau with a list, a rate, and a provider that says LOW."""
    office = Office(database, FakeClock())
    await office.opens()
    bureau = Bureau(office)
    await bureau.lists(LISTED)
    await bureau.knows_the_rate()
    return bureau


def officer(number: int = 0, org_id: int = 1) -> Actor:
    return Actor(OFFICERS[number], org_id, frozenset({Permission.REVIEW, Permission.READ}))


async def listed(bureau: Bureau, payer: str = LISTED, number: int = 42, **changes: Any) -> Invoice:  # noqa: ANN401 - fields of an invoice
    """An invoice that somebody on a list has paid."""
    bill = await bureau.office.issues(number, **changes)
    await bureau.office.is_paid(bill, payer=payer)
    return await bureau.screens(bill)


async def looked_at(bureau: Bureau, number: int = 42) -> Invoice:
    """An invoice whose money is to be looked at."""
    bureau.provider.says(STRANGER, Severity.MEDIUM)
    return await listed(bureau, STRANGER, number)


async def history(bureau: Bureau, bill: Invoice) -> list[str]:
    everybody = Actor("user_ada", bill.org_id, frozenset(Permission))
    entries = await queries.logs(bureau.desk, bill.invoice_id, everybody)
    return [one.entry.event for one in entries]


def sdn(*addresses: str, entries: Sequence[tuple[str, str]] = ()) -> ListImport:
    """A list with these addresses, and with more as ``(address, name)``."""
    rows = [f"{address},Somebody,CYBER2,{n}" for n, address in enumerate(addresses)]
    rows += [f"{address},{name},DPRK,9{n}" for n, (address, name) in enumerate(entries)]
    text = "\n".join(["address,names,programs,entry_uid", *rows])
    return read_csv(text.encode(), "OFAC_SDN", publish_date=date(2026, 6, 20))


def floors(run: book.ScreeningRun) -> list[str]:
    record: Any = run.record
    return [floor["code"] for floor in record["floors"]]
