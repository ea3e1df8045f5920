"""The list of an invoice's callbacks, and asking for one again."""

from counterfoil.db.pool import Database
from support.site import Firm


async def test_callbacks_are_listed_and_asked_for_again(firm: Firm, database: Database) -> None:
    url = "https://merchant.example/kg-callback"
    created = (await firm.merchant.create(callback_url=url)).data
    await firm.reviewer.approve(created["id"])
    path = f"/invoice/intent/{created['id']}/callbacks"

    *_, told = (await firm.auditor.get(path)).data
    early = await firm.merchant.post(f"{path}/{told['event_id']}/redeliver")
    async with database.transaction() as tx:
        await tx.execute(
            "UPDATE outbox SET status = 'delivered', delivered_at = created_at WHERE sequence = 2"
        )
    *_, delivered = (await firm.auditor.get(path)).data
    again = await firm.merchant.post(f"{path}/{told['event_id']}/redeliver")
    unknown = await firm.merchant.post(f"{path}/evt_{'0' * 32}/redeliver")

    assert (told["url"], told["status"], told["sequence"]) == (url, "pending", 2)
    assert told["attempts"] == []
    assert early.refusal == (409, 4090)
    assert delivered["delivered_at"] == "2026-06-22T12:00:00Z"
    assert again.data == {"event_id": told["event_id"]}
    assert unknown.refusal == (404, 4016)


async def test_a_callback_is_asked_for_under_its_own_invoice_only(
    firm: Firm, database: Database
) -> None:
    url = "https://merchant.example/kg-callback"
    one = (await firm.merchant.create(callback_url=url)).data["id"]
    other = (await firm.merchant.create(callback_url=url)).data["id"]
    (told,) = (await firm.auditor.get(f"/invoice/intent/{one}/callbacks")).data
    async with database.transaction() as tx:
        await tx.execute("UPDATE outbox SET status = 'parked'")

    answer = await firm.merchant.post(
        f"/invoice/intent/{other}/callbacks/{told['event_id']}/redeliver"
    )

    assert answer.refusal == (404, 4016)
