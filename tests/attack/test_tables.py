"""Tables that are taken along: whatever somebody wrote, no cell is a formula (T23)."""

import asyncio
import csv
import io
import re
from datetime import timedelta
from typing import Final

import pytest

from support.patience import patiently
from support.site import Firm, Site
from support.spreadsheet import formula_cells
from support.visitor import Page, Visitor

BEGINNINGS: Final = ("=", "+", "-", "@", "|", "%", "\t=", "\r=", "\n=", " =", "\u3000=", "\uff1d")
RUNS: Final = re.compile(r"[\s\u3000\u00a0]*[=+\-@|%\uff1d\uff0b\uff0d\uff20]")
"""What spreadsheets take for a formula, also behind what they trim."""


def cells(page: Page) -> list[list[str]]:
    """The table as RFC 4180 has it; every row has as many cells as the first."""
    rows = list(csv.reader(io.StringIO(page.text.removeprefix("\ufeff"), newline=""), strict=True))
    assert {len(row) for row in rows} == {len(rows[0])}
    return rows


def formulas(rows: list[list[str]]) -> list[str]:
    return [cell for row in rows for cell in row if RUNS.match(cell)]


def test_the_spreadsheet_that_looks_at_them_runs_what_is_left_as_it_was_written() -> None:
    text = '"=1+1",+1+1,-1+1,"+886 2 1234","\'=1+1",5,-5,"=HYPERLINK(""https://evil.example"",A1)"'
    assert set(formula_cells(f"one\r\n{text}\r\n")) == {"A2", "B2", "C2", "D2", "H2"}


@pytest.fixture
async def written(site: Site, firm: Firm) -> list[str]:
    """Formulas in every text that reaches a table; answers them."""
    await site.person(1, "anna", "administrator")
    anna = await site.at_the_pages("anna1@merchant.example")
    token = (await anna.open("/studio/account")).form_token
    found = []
    for number, beginning in enumerate(BEGINNINGS):
        text = f"{beginning}HYPERLINK(A{number})"
        made = await firm.merchant.create(
            recipient_name=text,
            organization_name=text,
            description=text,
            creator=text,
            group_key=text,
            order_data={text: text},
            detail_items=[{"name": text, "quantity": 1, "unit_price": 3000, "tax": 0}],
        )
        if made.status == 422:
            assert beginning[0] in "\t\r\n", "only what is a control character is refused"
            continue
        found.append(text.strip())
        assert (await firm.reviewer.reject(made.data["id"], text)).status == 200
        profile = {"name": text, "email": "", "address": text, "tax_number": text[:40]}
        profile["time_zone"] = "UTC"
        saved = await anna.send("/studio/settings/organisation", profile, token=token)
        assert saved.status == 200
    return found


async def test_the_table_of_invoices_runs_nothing(
    site: Site, firm: Firm, written: list[str]
) -> None:
    del firm
    maya: Visitor = await site.at_the_pages("maya1@merchant.example")
    sent = await maya.send("/studio/exports", {"query": "", "what": "all"}, follow=False)
    job = sent.headers["Location"]
    async with patiently("the table"):
        while (table := await maya.open(f"{job}/table.csv")).status != 200:
            await asyncio.sleep(0.02)
    rows = cells(table)
    assert formula_cells(table.text) == {}
    assert formulas(rows) == []
    told = {cell for row in rows for cell in row}
    assert len(written) >= len(BEGINNINGS) - 3
    assert [text for text in written if f"'{text}" not in told] == []


async def test_the_table_of_the_logs_runs_nothing(
    site: Site, firm: Firm, written: list[str]
) -> None:
    del firm
    ada = await site.at_the_pages("ada1@merchant.example")
    today = site.clock.now().date()
    period = {"first": str(today - timedelta(days=1)), "last": str(today), "form": "csv"}
    table = await ada.send("/studio/settings/log/export", period)
    rows = cells(table)
    assert formula_cells(table.text) == {}
    assert formulas(rows) == []
    told = " ".join(cell for row in rows for cell in row)
    assert [text for text in written if text not in told] == []
