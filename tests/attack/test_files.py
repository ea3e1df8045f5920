"""Uploads: judged by what they are, named harmlessly, given back to be saved (T11 to T13)."""

from typing import Final

import aiohttp

from counterfoil.books import clients
from counterfoil.db.migrate import MIGRATIONS
from counterfoil.db.rows import execute
from support.actors import PAYOUT_ADDRESS, STUDIO, Merchant
from support.payments import Payments
from support.pictures import jpeg, png
from support.site import Firm, Site

PDF: Final = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\nstartxref\n9\n%%EOF\n"


async def test_what_is_uploaded_comes_back_to_be_saved(firm: Firm) -> None:
    for content, kind, name in (
        (PDF, "application/pdf", "receipt.pdf"),
        (png(), "image/png", "scan.png"),
        (jpeg(), "image/jpeg", "scan.jpeg"),
    ):
        stored = (await firm.merchant.upload(content, name)).data
        back = await firm.auditor.call("GET", f"{STUDIO}/files/{stored['file_id']}")

        assert (stored["content_type"], stored["name"]) == (kind, name)
        assert stored["size_bytes"] == len(content)
        assert back.raw == content
        assert back.headers["Content-Type"] == kind
        assert back.headers["Content-Disposition"].startswith(f'attachment; filename="{name}"')
        assert back.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in back.headers["Content-Security-Policy"]


async def test_the_whole_body_may_be_the_file(firm: Firm) -> None:
    answer = await firm.signer.call(
        "POST",
        f"{STUDIO}/files",
        content=png(),
        headers={"Content-Type": "image/png"},
        query={"name": "proof of payment.png"},
    )

    assert answer.data["name"] == "proof of payment.png"


async def test_anything_else_is_refused_whatever_it_is_called(firm: Firm) -> None:
    for content in (
        b"",
        b"x",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
        b"<!doctype html><script>alert(1)</script>",
        b"GIF89a" + bytes(20),
        b"PK\x03\x04" + bytes(30),
        b"MZ" + bytes(60),
        b"\n" + PDF,
        b"%PDF-1.7\nonly the beginning",
        PDF + b"PK\x03\x04 a zip behind it",
        png()[:-4],
        png() + b"<script>alert(1)</script>",
        png().replace(b"IHDR", b"IHDX"),
        png(0, 1),
        png(2**31 - 1, 1),
        png(20_000, 20_000),
        jpeg()[:-1],
        jpeg() + b"<?php ?>",
        jpeg(0, 1),
        jpeg(65_535, 65_535),
        b"\xff\xd8\xff\xd9",
    ):
        answer = await firm.merchant.upload(content, "innocent.png")

        assert answer.refusal == (422, 4220), content[:40]
        assert list(answer.fields) == ["file"]


async def test_names_lose_what_could_hurt(firm: Firm) -> None:
    for name, kept in (
        ("../../etc/passwd", "passwd.pdf"),
        ("..\\..\\boot.ini", "boot.ini.pdf"),
        ("/absolute/path.pdf", "path.pdf"),
        ("", "file.pdf"),
        ("...", "file.pdf"),
        ("nul", "file nul.pdf"),
        ("CON.pdf", "file CON.pdf"),
        ("page.html", "page.html.pdf"),
        ("invoice\u202efdp.exe", "invoicefdp.exe.pdf"),
        ("a\u0000b.pdf", "ab.pdf"),
        ('x"; filename="evil.html', "x filename=evil.html.pdf"),
        ("發票 六月.PDF", "發票 六月.pdf"),
        ("x" * 5_000, "x" * 116 + ".pdf"),
        ("%2e%2e%2fup.pdf", "2e2e2fup.pdf"),
    ):
        answer = await firm.merchant.call(
            "POST",
            f"{STUDIO}/files",
            content=PDF,
            headers={"Content-Type": "application/pdf"},
            query={"name": name},
        )
        back = await firm.auditor.call("GET", f"{STUDIO}/files/{answer.data['file_id']}")

        assert answer.data["name"].lower() == kept.lower(), name
        assert back.headers["Content-Disposition"].isascii()


async def test_a_line_break_in_a_name_starts_no_header(firm: Firm) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a%0d%0aX-Evil: 1.pdf"\r\n'
        b"\r\n" + PDF + b"\r\n--b--\r\n"
    )

    answer = await firm.merchant.call(
        "POST",
        f"{STUDIO}/files",
        content=body,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    back = await firm.auditor.call("GET", f"{STUDIO}/files/{answer.data['file_id']}")

    assert "X-Evil" not in back.headers


async def test_broken_multipart_bodies_are_refused(firm: Firm) -> None:
    for body, kind in (
        (b"nonsense", "multipart/form-data; boundary=b"),
        (b"--b\r\n", "multipart/form-data; boundary=b"),
        (b"--b--\r\n", "multipart/form-data; boundary=b"),
        (b"x", "multipart/form-data"),
        (b"", "multipart/form-data; boundary=b"),
    ):
        answer = await firm.merchant.call(
            "POST", f"{STUDIO}/files", content=body, headers={"Content-Type": kind}
        )

        assert answer.status in {400, 422}, body
        assert set(answer.body) == {"code", "message", "data"}


async def test_exactly_one_file_is_taken_at_a_time(firm: Firm) -> None:
    two = aiohttp.FormData()
    for _ in range(2):
        two.add_field("file", PDF, filename="a.pdf")
    text = aiohttp.FormData()
    text.add_field("file", "just text")

    for form in (two, text):
        answer = await firm.merchant.call("POST", f"{STUDIO}/files", form=form)

        assert answer.refusal == (422, 4220)


async def test_a_file_beyond_ten_megabytes_is_not_read_to_its_end(site: Site, firm: Firm) -> None:
    sent = 0

    async def endless() -> object:
        nonlocal sent
        while sent < 200:
            sent += 1
            yield bytes(1024 * 1024)

    headers = {
        "X-STUDIO-API-KEY": firm.merchant.key or "",
        "Content-Type": "application/pdf",
    }
    try:
        async with site.session.post(
            f"{STUDIO}/files", data=endless(), headers=headers
        ) as response:
            assert response.status == 413
    except aiohttp.ClientOSError:
        pass  # The server closed the connection while the rest was still being sent.

    assert sent < 60


async def test_a_key_that_is_bound_to_a_client_id_has_the_files_of_that_one_alone(
    site: Site, firm: Firm
) -> None:
    shop, other = [await bound_key(site, f"client_{name}") for name in ("shop", "till")]
    own = (await shop.upload(PDF, "own.pdf")).data["file_id"]
    theirs = (await other.upload(PDF, "theirs.pdf")).data["file_id"]
    loose = (await firm.merchant.upload(png(), "loose.png")).data["file_id"]
    given = (await firm.merchant.upload(jpeg(), "given.jpeg")).data["file_id"]
    await firm.merchant.create(
        headers={"X-Client-ID": "client_shop"}, attachment={"file_id": given}
    )

    unknown = await shop.get("/files/file_" + 32 * "0")
    for hidden in (theirs, loose):
        answer = await shop.get(f"/files/{hidden}")
        assert answer.refusal == (404, 4016)
        assert answer.raw == unknown.raw
        attached = await shop.create(attachment={"file_id": hidden})
        assert list(attached.fields) == ["attachment.file_id"]
    for reached in (own, given):
        assert (await shop.get(f"/files/{reached}")).status == 200
    assert (await other.get(f"/files/{given}")).status == 404
    assert (await shop.create(attachment={"file_id": own})).status == 200
    for file_id in (own, theirs, loose, given):
        assert (await firm.auditor.get(f"/files/{file_id}")).status == 200


async def test_what_belongs_to_a_refund_is_there_for_the_invoices_own_client_id(
    site: Site, firm: Firm, payments: Payments
) -> None:
    await site.publish_rates()
    shop, other = [await bound_key(site, f"client_{name}") for name in ("shop", "till")]
    made = (await firm.merchant.create(headers={"X-Client-ID": "client_shop"})).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made)
    await payments.booked(made)
    asked = {"refund_address": PAYOUT_ADDRESS, "refund_reason": "Goods returned."}
    theirs = (await other.upload(PDF)).data["file_id"]
    refused = await shop.act("refund", made, {**asked, "refund_attachments": [theirs]})
    assert list(refused.fields) == ["refund_attachments"]
    assert "was not uploaded here" in refused.fields["refund_attachments"]

    proof = (await firm.signer.upload(PDF)).data["file_id"]
    ordered = await firm.signer.act("refund", made, {**asked, "refund_attachments": [proof]})
    assert ordered.status == 200
    migration = (MIGRATIONS / "0036_files_of_a_client.sql").read_text()
    backfill = migration[migration.index("INSERT") :]
    for _ in ("as it was given", "as an upgrade finds it"):
        assert (await shop.get(f"/files/{proof}")).status == 200
        assert (await other.get(f"/files/{proof}")).status == 404
        async with site.desk.database.transaction() as tx:
            await execute(tx, "DELETE FROM client_file", {})
            assert await execute(tx, backfill, {}) == 1


async def bound_key(site: Site, client_id: str) -> Merchant:
    """A program of the merchant's with a key that is good for one client id."""
    program = Merchant(*await site.person(1, client_id.replace("_", ""), "finance", "signer"))
    async with site.desk.database.transaction() as tx:
        client = clients.Client(client_id, client_id, site.clock.now(), None)
        await clients.insert(tx, 1, client)
        bound = "UPDATE api_key SET client_id = %(client)s WHERE key_id = %(key)s"
        key_id = (program.key or "").split("_")[1]
        await execute(tx, bound, {"client": client_id, "key": key_id})
    program.client_id = client_id
    return program
