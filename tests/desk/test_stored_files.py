"""Files that are not what they were: refused, logged, and found by the daily proof."""

import asyncio
import os
from typing import Final

import pytest
from psycopg.conninfo import conninfo_to_dict
from structlog.testing import capture_logs
from typer.testing import CliRunner

from counterfoil.cli import cli
from counterfoil.core import ids
from counterfoil.core.errors import Damaged
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.db.rows import execute
from counterfoil.desk import files, printing, profile
from support.hardship import lose_a_piece
from support.payments import Payments, order_refund
from support.pictures import png
from support.postgres import TestServer
from support.site import Firm, Site

PDF: Final = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\nstartxref\n9\n%%EOF\n"
BY_HAND: Final = {
    "changed": (
        "UPDATE file SET content = overlay(content PLACING 'x'::bytea FROM 20)"
        " WHERE file_id = %(file_id)s"
    ),
    "truncated": (
        "UPDATE file SET content = substring(content FROM 1 FOR 20) WHERE file_id = %(file_id)s"
    ),
    "a piece is gone": "SELECT %(file_id)s::uuid",
}
REFUSED: Final = "what is stored is not the file that was uploaded, so it is not given out"


def verify(url: str) -> tuple[int, str]:
    """What `counterfoil audit verify` says, and the status it ends with."""
    at = conninfo_to_dict(url)
    address = f"postgresql://{at['user']}:{at['password']}@{at['host']}:{at['port']}/{at['dbname']}"
    named = {"COUNTERFOIL_DATABASE_URL": address, "COLUMNS": "200"}
    ran = CliRunner().invoke(cli, ["audit", "verify"], env=named)
    return ran.exit_code, " ".join(ran.output.split())


async def said(url: str) -> tuple[int, str]:
    return await asyncio.to_thread(verify, url)


def long_pdf() -> bytes:
    """One that the database keeps in several pieces, as it cannot be made any shorter."""
    return PDF[:9] + b"%" + os.urandom(20_000).hex().encode() + b"\n" + PDF[9:]


@pytest.mark.parametrize("how", ["changed", "truncated", "a piece is gone"])
async def test_what_is_not_what_was_uploaded_is_refused_logged_and_found(
    how: str, site: Site, firm: Firm, database_url: str, postgres: TestServer
) -> None:
    good = (await firm.merchant.upload(png(), "scan.png")).data["file_id"]
    bad = (await firm.merchant.upload(long_pdf(), "receipt.pdf")).data["file_id"]
    status, told = await said(database_url)
    assert (status, "2 files compared" in told) == (0, True), told
    if how == "a piece is gone":
        lose_a_piece(postgres, database_url)
    async with site.desk.database.transaction() as tx:
        await execute(tx, BY_HAND[how], {"file_id": ids.parse("file", bad)})

    maya = await site.at_the_pages("maya1@merchant.example")
    with capture_logs() as logs:
        answer = await firm.auditor.get(f"/files/{bad}")
        page = await maya.open(f"/studio/files/{bad}")
    assert answer.refusal == (500, 5001)
    assert answer.body["message"].startswith(REFUSED)
    assert page.status == 500
    assert REFUSED in page.words
    assert [(one["event"], one["file"]) for one in logs] == 2 * [("file_damaged", bad)]
    status, told = await said(database_url)
    assert status == 1
    assert f"organisation 1, {bad}, receipt.pdf: what is stored is not what was uploaded" in told
    assert good not in told
    assert (await firm.auditor.get(f"/files/{good}")).raw == png()


async def test_a_paper_that_is_gone_is_not_there_and_the_proof_says_who_names_it(
    firm: Firm, site: Site, database: Database, database_url: str, payments: Payments
) -> None:
    await site.publish_rates()
    made = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made)
    await payments.booked(made)
    assert (await order_refund(firm, made)).status == 200
    assert (await files.compare(site.desk)).findings == ()
    async with database.transaction() as tx:
        await execute(tx, "DELETE FROM file", {})

    (finding,) = (await files.compare(site.desk)).findings
    assert finding.endswith(f"it is gone, and a refund of {made} names it")
    gone = finding.split(", ")[1].split(":")[0]
    assert (await firm.auditor.get(f"/files/{gone}")).refusal == (404, 4016)
    status, told = await said(database_url)
    assert (status, gone in told) == (1, True)


async def test_one_damaged_file_hides_none_of_many(
    site: Site, firm: Firm, database: Database
) -> None:
    sent = [(await firm.merchant.upload(long_pdf())).data["file_id"] for _ in range(20)]
    async with database.transaction() as tx:
        bad = {"file_ids": [ids.parse("file", one) for one in (sent[3], sent[17])]}
        await execute(
            tx, "UPDATE file SET content = 'x' WHERE file_id = ANY(%(file_ids)s::uuid[])", bad
        )
    compared = await files.compare(site.desk)
    assert compared.files == 20
    assert [one.split(", ")[1] for one in compared.findings] == sorted([sent[3], sent[17]])


async def test_a_damaged_logo_is_not_shown_and_invoices_are_printed_without_it(
    site: Site, firm: Firm, database: Database
) -> None:
    made = ids.parse("inv", (await firm.merchant.create()).data["id"])
    assert made is not None
    by = Actor(firm.merchant.uid, 1, frozenset({Permission.ADMINISTER, Permission.READ}))

    async def drawn(content: bytes, _width: int, _height: int) -> bytes:
        return content

    await profile.set_logo(site.desk, png(), "logo.png", by, drawn)
    shown = await printing.printable(site.desk, made, by)
    assert shown.logo == png()
    assert shown.profile.logo_sha256 is not None
    async with database.transaction() as tx:
        await execute(tx, "UPDATE file SET content = content || 'x'::bytea", {})
    with pytest.raises(Damaged):
        await profile.logo(site.desk, shown.profile.logo_sha256.hex(), by)
    assert (await printing.printable(site.desk, made, by)).logo is None
