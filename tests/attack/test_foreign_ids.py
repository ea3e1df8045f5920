"""One organisation's ids in another's hands: as unknown as ids that never were (T1)."""

from typing import Final

from counterfoil.db.pool import Database
from support.actors import STUDIO
from support.contents import all_tables
from support.site import Site

PDF: Final = b"%PDF-1.7\nx\nstartxref\n0\n%%EOF"

BY_ID: Final[tuple[tuple[str, str, object], ...]] = (
    ("GET", "/invoice/intent/{}", None),
    ("PUT", "/invoice/intent/{}", {"description": "mine"}),
    ("POST", "/invoice/intent/{}/cancel", {}),
    ("POST", "/invoice/intent/{}/approve", None),
    ("POST", "/invoice/intent/{}/reject", {"reason": "no"}),
    ("POST", "/invoice/intent/{}/sign", None),
    ("POST", "/invoice/intent/{}/refund/approve", None),
    ("POST", "/invoice/intent/{}/refund/withdraw", None),
    ("POST", "/invoice/intent/{}/accept", None),
    ("POST", "/invoice/intent/{}/archive", None),
    ("GET", "/invoice/intent/{}/logs", None),
    ("GET", "/invoice/intent/{}/callbacks", None),
    ("POST", "/invoice/intent/{}/callbacks/evt_" + "0" * 32 + "/redeliver", None),
    ("GET", "/files/{}", None),
)


async def test_foreign_and_unknown_ids_look_alike(site: Site, database: Database) -> None:
    ours, theirs = await site.firm(1), await site.firm(2)
    foreign = (await theirs.merchant.create()).data["id"]
    foreign_file = (await theirs.merchant.upload(PDF)).data["file_id"]
    before = await all_tables(database)

    for method, path, body in BY_ID:
        prefix = "file_" if path.startswith("/files") else "inv_"
        real = foreign_file if prefix == "file_" else foreign
        answers = [
            await ours.all_roles.call(method, STUDIO + path.format(name), json_body=body)
            for name in (real, prefix + "0" * 32, "x", prefix.upper(), "%00", "é")
        ]
        assert {answer.refusal for answer in answers} == {(404, 4016)}, path
        assert len({answer.raw for answer in answers}) == 1, path
    assert await all_tables(database) == before


async def test_foreign_files_cannot_be_attached(site: Site, database: Database) -> None:
    ours, theirs = await site.firm(1), await site.firm(2)
    foreign = (await theirs.merchant.upload(PDF)).data["file_id"]
    mine = (await ours.merchant.create()).data["id"]
    before = await all_tables(database)

    for file_id in (foreign, "file_" + "0" * 32):
        created = await ours.merchant.create(attachment={"file_id": file_id})
        updated = await ours.merchant.update(mine, attachment={"file_id": file_id})
        signed = await ours.signer.act("sign", mine, {"refund_attachments": [file_id]})

        assert list(created.fields) == list(updated.fields) == ["attachment.file_id"]
        assert list(signed.fields) == ["refund_attachments"]
    assert await all_tables(database) == before


async def test_lists_never_show_or_count_anothers(site: Site) -> None:
    ours, theirs = await site.firm(1), await site.firm(2)
    foreign = (await theirs.merchant.create(group_key="theirs")).data
    await ours.merchant.create()

    everything = (await ours.auditor.list()).body
    assert everything["paging"]["total_count"] == 1
    for query in (
        {"invoice_id": foreign["id"]},
        {"payment_intent_id": foreign["payment_intent"]["payment_intent_id"]},
        {"search": "theirs"},
    ):
        found = (await ours.auditor.list(**query)).body
        assert (found["data"], found["paging"]["total_count"]) == ([], 0)
