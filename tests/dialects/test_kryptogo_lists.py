"""Lists of invoices: filters, pages and counts."""

from datetime import timedelta

from support.site import Firm, Site


async def test_the_newest_comes_first_and_pages_do_not_overlap(site: Site, firm: Firm) -> None:
    made = []
    for _ in range(5):
        made.append((await firm.merchant.create()).data["id"])
        site.clock.advance(timedelta(seconds=1))

    first = (await firm.auditor.list(page="1", page_size="2")).body
    last = (await firm.auditor.list(page="3", page_size="2")).body

    assert [i["id"] for i in first["data"]] == [made[4], made[3]]
    assert [i["id"] for i in last["data"]] == [made[0]]
    assert first["paging"] == {
        "page_number": 1,
        "page_size": 2,
        "total_count": 5,
        "total_is_at_least": False,
    }
    assert first["code"] == 0


async def test_counts_say_how_many_stand_where(firm: Firm) -> None:
    ids = [(await firm.merchant.create()).data["id"] for _ in range(4)]
    await firm.reviewer.approve(ids[0])
    await firm.reviewer.reject(ids[1], "no")
    await firm.merchant.cancel(ids[2])

    counts = (await firm.auditor.list()).body["counts"]

    per_status = {name: n for name, n in counts.items() if name != "category" and n}
    assert per_status == {
        "approval_pending": 1,
        "approval_rejected": 1,
        "pending_payment": 1,
        "cancelled": 1,
    }
    per_category = {name: n for name, n in counts["category"].items() if n}
    assert per_category == {"approval": 2, "pre_payment": 1, "terminal": 1}


async def test_each_filter_finds_its_own(site: Site, firm: Firm) -> None:
    one = (await firm.merchant.create(recipient_email="one@example.com")).data
    site.clock.advance(timedelta(hours=1))
    await site.publish_rates()
    other = (await firm.merchant.create(recipient_name="Zoë 100%_sure")).data
    await firm.reviewer.approve(other["id"])

    async def found(**query: str) -> list[str]:
        return [invoice["id"] for invoice in (await firm.auditor.list(**query)).data]

    assert await found(status="pending_payment") == [other["id"]]
    assert await found(status_category="approval") == [one["id"]]
    assert await found(status="pending_payment", status_category="approval") == []
    assert await found(recipient_email="one@example.com") == [one["id"]]
    assert await found(invoice_id=one["id"]) == [one["id"]]
    assert await found(invoice_id=other["invoice_id"]) == [other["id"]]
    assert await found(invoice_id=other["invoice_id"].replace("2026", "2025")) == []
    assert await found(payment_intent_id=one["id"].replace("inv", "pi")) == [one["id"]]
    assert await found(search="zoë 100%_S") == [other["id"]]
    assert await found(search="100__sure") == []
    assert await found(settlement_type="crypto") == [other["id"], one["id"]]
    assert await found(settlement_type="fiat") == []
    assert await found(created_after="2026-06-22T12:30:00Z") == [other["id"]]
    assert await found(created_before="2026-06-22T20:30:00+08:00") == [one["id"]]
    assert await found(unknown="ignored") == [other["id"], one["id"]]


BAD_QUERIES: list[tuple[dict[str, str] | list[tuple[str, str]], str]] = [
    ({"page": "0"}, "page"),
    ({"page": "1e9"}, "page"),
    ({"page": "1000000000"}, "page"),
    ({"page": "5000", "page_size": "100"}, "page"),
    ({"page": "-1"}, "page"),
    ({"page": "٣"}, "page"),
    ({"page_size": "101"}, "page_size"),
    ({"page_size": "ten"}, "page_size"),
    ({"status": "draft"}, "status"),
    ({"status_category": "open"}, "status_category"),
    ({"settlement_type": "cash"}, "settlement_type"),
    ({"recipient_email": "nobody"}, "recipient_email"),
    ({"invoice_id": "42"}, "invoice_id"),
    ({"invoice_id": "INV-0000-000001"}, "invoice_id"),
    ({"payment_intent_id": "inv_" + "0" * 32}, "payment_intent_id"),
    ({"search": "x" * 201}, "search"),
    ({"search": "a\u202eb"}, "search"),
    ({"created_after": "yesterday"}, "created_after"),
    ({"created_before": "2026-02-30T00:00:00Z"}, "created_before"),
    ([("status", "expired"), ("status", "refunded")], "status"),
]


async def test_a_bad_query_is_named(firm: Firm) -> None:
    for query, field in BAD_QUERIES:
        answer = await firm.auditor.call("GET", "/v1/studio/api/invoice/intents", query=query)

        assert answer.refusal == (400, 4000), query
        assert list(answer.fields) == [field], query


async def test_an_unknown_status_is_told_the_known_ones(firm: Firm) -> None:
    answer = await firm.auditor.list(status="draft")

    assert "approval_pending" in answer.fields["status"]
    assert "refund_processing" in answer.fields["status"]
