"""``Idempotency-Key``: asking twice without doing twice."""

import asyncio
import json
from datetime import timedelta

from counterfoil.db.pool import Database
from counterfoil.desk import idempotency
from support.actors import CURL_EXAMPLE, STUDIO
from support.contents import all_tables
from support.site import Firm, Site

KEY = {"Idempotency-Key": "order-4711"}


async def test_the_same_request_gets_the_same_answer_and_one_invoice(
    site: Site, firm: Firm
) -> None:
    first = await firm.merchant.create(headers=KEY)
    site.clock.advance(timedelta(days=29))
    again = await firm.merchant.create(headers=KEY)

    assert again.raw == first.raw
    assert again.status == first.status
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert (await firm.auditor.list()).body["paging"]["total_count"] == 1


async def test_the_order_of_keys_does_not_matter_but_the_content_does(firm: Firm) -> None:
    body = json.dumps(CURL_EXAMPLE)
    turned = json.dumps(dict(sorted(CURL_EXAMPLE.items())), indent=1)
    number_as_text = body.replace('"unit_price": 3000', '"unit_price": "3000"')

    async def send(text: str) -> tuple[int, bytes]:
        answer = await firm.merchant.call(
            "POST", f"{STUDIO}/invoice/intent", content=text.encode(), headers=KEY
        )
        return answer.status, answer.raw

    first = await send(body)

    assert await send(turned) == first
    status, raw = await send(number_as_text)
    assert status == 422
    assert b"Idempotency-Key" in raw


async def test_a_key_belongs_to_its_member_and_route(firm: Firm) -> None:
    made = (await firm.merchant.create(headers=KEY)).data
    colleague = (await firm.colleague.create(headers=KEY)).data
    elsewhere = await firm.merchant.act("cancel", made["id"], {}, KEY)

    assert colleague["id"] != made["id"]
    assert elsewhere.refusal == (422, 4220)
    assert list(elsewhere.fields) == ["Idempotency-Key"]


async def test_every_action_honours_the_key(firm: Firm) -> None:
    one, other = [(await firm.merchant.create()).data["id"] for _ in range(2)]

    approved = [await firm.reviewer.act("approve", one, None, KEY) for _ in range(2)]
    cancelled = [await firm.merchant.act("cancel", other, {"reason": "x"}, KEY) for _ in range(2)]
    archived = [await firm.colleague.act("archive", other, None, KEY) for _ in range(2)]
    pdf = b"%PDF-1.7\nx\nstartxref\n0\n%%EOF"
    stored = [
        await firm.signer.call(
            "POST",
            f"{STUDIO}/files",
            content=pdf,
            headers={**KEY, "Content-Type": "application/pdf"},
        )
        for _ in range(2)
    ]

    for first, again in (approved, cancelled, archived, stored):
        assert first.status == 200
        assert again.raw == first.raw


async def test_a_refusal_is_not_kept(firm: Firm) -> None:
    refused = await firm.merchant.create(headers=KEY, recipient_email="nobody")
    made = await firm.merchant.create(headers=KEY)

    assert refused.status == 422
    assert made.status == 200


async def test_fifty_at_once_make_one(firm: Firm) -> None:
    answers = await asyncio.gather(*(firm.merchant.create(headers=KEY) for _ in range(50)))

    done = {answer.raw for answer in answers if answer.status == 200}
    assert len(done) == 1
    assert {answer.status for answer in answers} <= {200, 409}
    assert (await firm.auditor.list()).body["paging"]["total_count"] == 1


async def test_while_the_first_one_runs_the_second_is_asked_to_come_back(
    firm: Firm, database: Database
) -> None:
    key = idempotency.HEADER
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO idempotency_key (org_id, member_id, key, fingerprint, created_at)"
            " SELECT 1, member_id, 'order-4711', '', now() FROM member"
        )
        answer = await firm.merchant.create(headers=KEY)

        assert answer.refusal == (409, 4090)
        assert answer.headers["Retry-After"] == "1"
        assert key in answer.body["message"]
        await tx.rollback()
        await tx.execute("BEGIN")


async def test_keys_are_visible_ascii(firm: Firm, database: Database) -> None:
    before = await all_tables(database)
    for key in ("a b", "x" * 256, "é", "\u202e"):
        answer = await firm.merchant.create(headers={"Idempotency-Key": key})

        assert answer.refusal == (422, 4220)
        assert list(answer.fields) == ["Idempotency-Key"]
    assert await all_tables(database) == before


async def test_after_thirty_days_a_key_is_free_again(
    site: Site, firm: Firm, database: Database
) -> None:
    first = await firm.merchant.create(headers=KEY)
    site.clock.advance(timedelta(days=31))
    await site.publish_rates()
    second = await firm.merchant.create(headers=KEY)
    third = await firm.merchant.create(headers={"Idempotency-Key": "another"})

    assert second.data["id"] != first.data["id"]
    assert third.status == 200
    assert await idempotency.forget_old(site.desk) == 0
    site.clock.advance(timedelta(days=31))
    assert await idempotency.forget_old(site.desk) == 2
    assert (await all_tables(database))["idempotency_key"] == []
