"""Settings: the logs of a period, taken along and checked without us."""

import csv
import hashlib
import io
import json
from datetime import timedelta

import pytest

from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import org_log
from support.site import Firm, Site
from support.visitor import Page, Visitor

EXPORT = "/studio/settings/log/export"
READER = Actor("user_test", 1, frozenset({Permission.AUDIT}))


@pytest.fixture
async def ada(site: Site, firm: Firm) -> Visitor:
    """The auditor, at the pages."""
    await site.person(firm.org_id, "anna", "administrator")
    return await site.at_the_pages("ada1@merchant.example")


def period(site: Site, form: str, days: int = 0) -> dict[str, str]:
    today = site.clock.now().date()
    first = (today - timedelta(days=days)).isoformat()
    return {"first": first, "last": today.isoformat(), "form": form}


def lines(page: Page) -> list[dict[str, object]]:
    return [json.loads(line) for line in page.text.splitlines()]


async def test_ada_takes_the_logs_along_and_computes_every_seal_again(
    site: Site, firm: Firm, ada: Visitor
) -> None:
    invoice = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(invoice)
    other = await site.firm(2)
    await other.merchant.create()
    page = await ada.send(EXPORT, period(site, "jsonl"))
    assert "attachment" in page.headers["Content-Disposition"]
    logs: dict[str, bytes] = {}
    for line in page.text.splitlines():
        outer = json.loads(line)
        entry = outer["entry"]
        assert entry["org_id"] == 1
        sealed = line.partition('"entry":')[2].removesuffix("}").encode()
        log = entry.get("invoice_id", "organisation")
        previous = logs.get(log, bytes(32))
        logs[log] = hashlib.sha256(previous + sealed).digest()
        assert logs[log].hex() == outer["seal"]
    events = [(one["log"], one["entry"]["event"]) for one in lines(page)]  # type: ignore[index]  # JSON
    assert events == [
        ("organisation", "audit_exported"),
        ("invoice", "created"),
        ("invoice", "approve"),
    ]
    ((entry, _),) = (await org_log.history(site.desk, READER)).entries
    assert entry.metadata["form"] == "jsonl"


async def test_the_table_runs_nothing(site: Site, firm: Firm, ada: Visitor) -> None:
    invoice = (await firm.merchant.create()).data["id"]
    await firm.reviewer.reject(invoice, "=HYPERLINK(1)")
    page = await ada.send(EXPORT, period(site, "csv"))
    assert page.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(page.text.removeprefix("\ufeff"))))
    assert [row["event"] for row in rows] == ["audit_exported", "created", "reject"]
    assert rows[-1]["reason"] == "'=HYPERLINK(1)"
    assert rows[-1]["subject"] == invoice


async def test_only_what_lies_in_the_period(site: Site, firm: Firm, ada: Visitor) -> None:
    await firm.merchant.create()
    assert len(lines(await ada.send(EXPORT, period(site, "jsonl")))) == 2
    site.clock.advance(timedelta(days=1))
    ada = await site.at_the_pages("ada1@merchant.example")
    assert len(lines(await ada.send(EXPORT, period(site, "jsonl")))) == 1
    assert len(lines(await ada.send(EXPORT, period(site, "jsonl", days=1)))) == 4
    good = period(site, "jsonl")
    for wrong in (
        {"first": "", "last": "x"},
        {"last": "2020-01-01"},
        {"last": "9999-12-31"},
        {"form": "xls"},
    ):
        assert (await ada.send(EXPORT, {**good, **wrong})).status == 422


async def test_only_auditors_and_administrators_take_logs(site: Site, ada: Visitor) -> None:
    del ada
    for name in ("maya", "rita", "sam", "otto", "anna"):
        visitor = await site.at_the_pages(f"{name}1@merchant.example")
        taken = await visitor.send(EXPORT, period(site, "csv"))
        assert taken.status == (200 if name == "anna" else 403)
